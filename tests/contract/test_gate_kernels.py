"""One suite, two gates: what the compiled one and its judge must both do, seen from outside.

Nothing is read but replies. Where a test has a story, the compiled gate once did otherwise.
"""

import dataclasses
from collections.abc import Callable

import pytest

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.orders import TimeInForce
from controlplane.domain.quantities import PRICE_TICKS_CAP, QUANTITY_LOTS_CAP
from controlplane.domain.reports import ReportKind
from controlplane.domain.states import TradingState
from controlplane.gate import words as w
from controlplane.gate.snapshot import Snapshot
from tests.support.gate_desk import (
    BTC,
    FIRM,
    LOT_MICRO,
    MODEL,
    STRATEGY,
    Desk,
    bare,
    codes,
    limited,
    measured,
    notional,
    passing,
)
from tests.support.gate_machines import CompiledMachine, ReferenceMachine
from tests.support.gate_universes import SECOND_NS

OpenDesk = Callable[..., Desk]
INT64_MIN = -(1 << 63)


@pytest.fixture(params=[CompiledMachine, ReferenceMachine], ids=["compiled", "judge"])
def open_desk(request: pytest.FixtureRequest) -> OpenDesk:
    """Opens a desk at a gate of the kind under test."""

    def opened(snapshot: Snapshot | None = None) -> Desk:
        return Desk.open(request.param, snapshot)

    return opened


def position_max(lots: int, instrument: str = "BTC-PERP") -> Snapshot:
    """Return limits in which the model may be long or short this much and nothing else binds."""
    return limited(bare(), MODEL, instrument, position_long_lots_max=lots, position_short_lots_max=lots)


def live_and_held(desk: Desk, side: int = 1) -> int:
    """Return position and live orders of a side, read from the denial of an order far too large for the position."""
    reply = desk.ask(side, 90_000)
    assert min(codes(reply)) == Code.POSITION_ABOVE_LIMIT
    return measured(reply) - 90_000


# --- amends -----------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-1")
def test_amend_above_the_headroom_is_denied_and_the_old_size_stays_reserved(open_desk: OpenDesk) -> None:
    desk = open_desk(position_max(14))
    child = desk.work(1, 10)

    reply = desk.amend(child, lots=15)

    assert (codes(reply), passing(reply)) == ({Code.POSITION_ABOVE_LIMIT}, 14)
    assert live_and_held(desk) == 10


@pytest.mark.case("GATE-3")
def test_size_down_frees_nothing_before_it_is_answered(open_desk: OpenDesk) -> None:
    desk = open_desk(position_max(20))
    child = desk.work(1, 15)
    assert desk.amend(child, lots=10).is_allowed

    before = live_and_held(desk)
    desk.report(ReportKind.AMENDED, child, lots=10)

    assert (before, live_and_held(desk)) == (15, 10)


@pytest.mark.case("GATE-4")
def test_rejected_amend_after_a_partial_fill_returns_to_what_is_left_of_the_old_terms(open_desk: OpenDesk) -> None:
    desk = open_desk(position_max(40))
    child = desk.work(1, 10)
    assert desk.amend(child, lots=20, price=BTC + 50).is_allowed
    desk.fill(child, 4)
    assert live_and_held(desk) == 20  # 4 held, and of the larger terms 16 live

    desk.report(ReportKind.AMEND_REJECTED, child)

    assert live_and_held(desk) == 10  # 4 held, 6 live


def test_rejected_amend_of_the_price_returns_to_the_old_worth(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, open_notional_micro_max=20 * LOT_MICRO))
    child = desk.work(1, 10, BTC + 1)
    assert desk.amend(child, price=BTC + 60_000).is_allowed
    far = desk.buy(10, BTC + 1)

    desk.report(ReportKind.AMEND_REJECTED, child)
    near = desk.buy(10, BTC + 1)

    assert measured(far) - measured(near) == 10 * (60_000 - 1) * 100


@pytest.mark.case("GATE-5")
def test_amend_below_what_was_filled_leaves_nothing_live_and_never_less(open_desk: OpenDesk) -> None:
    desk = open_desk(position_max(50))
    child = desk.work(1, 10)
    assert desk.amend(child, lots=6).is_allowed
    desk.fill(child, 7)

    desk.report(ReportKind.AMENDED, child, lots=6)

    assert live_and_held(desk) == 7
    assert codes(desk.amend(child, lots=8)) == {Code.CHILD_UNKNOWN}


@pytest.mark.case("GATE-5")
def test_amend_below_what_the_venue_says_it_filled_keeps_the_fills_that_are_on_their_way(open_desk: OpenDesk) -> None:
    desk = open_desk(position_max(50))
    child = desk.work(1, 10)
    assert desk.amend(child, lots=6).is_allowed

    desk.report(ReportKind.AMENDED, child, lots=6, cumulative=9)

    assert live_and_held(desk) == 9
    desk.fill(child, 9)
    assert live_and_held(desk) == 9
    assert codes(desk.amend(child, lots=8)) == {Code.CHILD_UNKNOWN}


@pytest.mark.case("GATE-2", "GATE-3")
@pytest.mark.parametrize("late", [ReportKind.AMENDED, ReportKind.AMEND_REJECTED])
def test_late_answer_to_an_earlier_amend_does_not_answer_the_one_in_flight(
    open_desk: OpenDesk, late: ReportKind
) -> None:
    desk = open_desk(position_max(50))
    child = desk.work(1, 10)
    assert desk.amend(child, lots=5).is_allowed
    first = desk.minted
    desk.report(late, child, lots=5, execution=first)
    assert desk.amend(child, lots=20).is_allowed

    desk.report(late, child, lots=5, execution=first)

    assert live_and_held(desk) == 20
    desk.report(ReportKind.AMENDED, child, lots=20, execution=desk.minted)
    assert live_and_held(desk) == 20
    desk.report(ReportKind.CANCELLED, child)
    assert live_and_held(desk) == 0


@pytest.mark.case("GATE-8")
def test_amend_of_the_price_alone_is_valued_again_and_changes_no_quantity(open_desk: OpenDesk) -> None:
    limits = limited(position_max(50), STRATEGY, open_notional_micro_max=10 * LOT_MICRO + 100_000)
    desk = open_desk(limits)
    child = desk.work(1, 10, BTC)

    reply = desk.amend(child, price=BTC + 101)

    assert codes(reply) == {Code.OPEN_NOTIONAL_ABOVE_LIMIT}
    assert passing(reply) == 9
    assert live_and_held(desk) == 10


def test_a_repriced_amend_is_told_a_size_that_passes_and_none_when_none_does(open_desk: OpenDesk) -> None:
    """A reduction at a new price has to hold for the old size too, which counts until the venue answers; the largest
    passing quantity named the reducible part of it, which failed as well.
    """
    desk = open_desk()
    desk.hold(10)
    child = desk.work(-1, 10)
    desk.fill(desk.work(-1, 6), 6)
    desk.stop(STRATEGY, TradingState.REDUCE_ONLY)

    repriced, smaller = desk.amend(child, price=BTC + 5), desk.amend(child, lots=4)

    assert (codes(repriced), passing(repriced)) == ({Code.REDUCE_ONLY_EXCEEDED}, 0)
    assert smaller.is_allowed


def test_a_mere_size_down_passes_though_the_market_has_risen_since(open_desk: OpenDesk) -> None:
    """It was valued at the new reference, and denied for a notional that it only made smaller."""
    limits = limited(bare(), STRATEGY, open_notional_micro_max=11 * LOT_MICRO, order_notional_micro_max=11 * LOT_MICRO)
    desk = open_desk(limits)
    child = desk.work(1, 10)
    desk.quote("BTC-PERP", BTC + 60_000)

    assert desk.amend(child, lots=10).is_allowed


def test_after_a_partial_fill_an_amend_is_valued_by_what_it_wants(open_desk: OpenDesk) -> None:
    """The old remaining size was valued at the new price: a smaller order at a higher price was denied for money that
    neither the old nor the new terms could cost.
    """
    limits = limited(bare(), STRATEGY, open_notional_micro_max=10 * LOT_MICRO + 1_000)
    desk = open_desk(limits)
    child = desk.work(1, 10, BTC - 1)
    desk.fill(child, 1)

    assert desk.amend(child, lots=6, price=BTC + 30_000).is_allowed
    assert codes(desk.buy(2)) == {Code.OPEN_NOTIONAL_ABOVE_LIMIT}


def test_an_amend_that_makes_an_order_take_liquidity_counts_against_participation(open_desk: OpenDesk) -> None:
    """Passive orders don't count once they work, and an amend that only moved the price wasn't counted either: any
    number of orders could be let in one by one and turned aggressive together.
    """
    desk = open_desk(limited(bare(), STRATEGY, "BTC-PERP", participation_bps_max=1_000))
    desk.wait(60 * SECOND_NS)
    desk.rate("EUR", 1_000_000)
    desk.quote("BTC-PERP", BTC)
    desk.trade("BTC-PERP", 500)
    first, second = desk.work(1, 50, BTC - 5), desk.work(1, 50, BTC - 5)
    assert desk.amend(first, price=BTC + 1).is_allowed

    reply = desk.amend(second, price=BTC + 1)

    assert (codes(reply), passing(reply)) == ({Code.PARTICIPATION_ABOVE_LIMIT}, 0)
    assert desk.amend(second, price=BTC - 4).is_allowed


def test_participation_returns_to_zero_when_every_order_has_ended(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, "BTC-PERP", participation_bps_max=1_000))
    desk.wait(60 * SECOND_NS)
    desk.quote("BTC-PERP", BTC)
    desk.trade("BTC-PERP", 500)
    for _ in range(3):
        child = desk.work(1, 30, BTC + 1)
        assert desk.amend(child, lots=40).is_allowed
        desk.report(ReportKind.AMEND_REJECTED, child)
        desk.report(ReportKind.CANCELLED, child)

    assert desk.ask(1, 50, BTC + 1).is_allowed
    assert codes(desk.ask(1, 51, BTC + 1)) == {Code.PARTICIPATION_ABOVE_LIMIT}


# --- fills and ends ---------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-12")
def test_a_fill_before_the_acknowledgement_counts_once(open_desk: OpenDesk) -> None:
    desk = open_desk(position_max(50))
    assert desk.buy(10).is_allowed
    desk.fill(desk.last, 4)

    desk.report(ReportKind.ACKNOWLEDGED, desk.last)

    assert live_and_held(desk) == 10


@pytest.mark.case("GATE-18")
def test_a_fill_larger_than_what_is_left_is_held_in_full(open_desk: OpenDesk) -> None:
    desk = open_desk(position_max(50))
    child = desk.work(1, 10)

    desk.fill(child, 13)

    assert live_and_held(desk) == 13
    assert not desk.report(ReportKind.CANCELLED, child).is_allowed


@pytest.mark.case("GATE-16")
def test_a_fill_after_the_cancel_was_confirmed_is_held_and_restricts_the_strategy(open_desk: OpenDesk) -> None:
    desk = open_desk(position_max(50))
    child = desk.work(1, 10)
    desk.report(ReportKind.CANCELLED, child)

    assert desk.fill(child, 10).is_allowed

    assert codes(desk.buy(1)) == {Code.REDUCE_ONLY_EXCEEDED}
    assert desk.sell(10).is_allowed
    assert codes(desk.sell(1)) == {Code.REDUCE_ONLY_EXCEEDED}


def test_a_fill_without_any_route_restricts_the_whole_firm(open_desk: OpenDesk) -> None:
    desk = open_desk()

    assert desk.report(ReportKind.FILLED, 999, lots=5, price=BTC, execution=1, route=-1, side=1).is_allowed

    assert codes(desk.buy(1)) == {Code.REDUCE_ONLY_EXCEEDED}
    assert codes(desk.buy(1, route=desk.route(strategy="gamma"))) == {Code.REDUCE_ONLY_EXCEEDED}


def test_a_fill_reported_again_after_the_order_has_gone_is_booked_once(open_desk: OpenDesk) -> None:
    """Its venue was looked up by the order's route the first time and by the report's own the second: a report without
    one was another fill.
    """
    desk = open_desk(position_max(50))
    child = desk.work(1, 10, route=desk.route(venue="WEST"))
    assert desk.fill(child, 10, execution=77).is_allowed

    assert not desk.fill(child, 10, execution=77, route=0).is_allowed
    assert live_and_held(desk) == 10


def test_fills_that_the_venue_claims_stay_reserved_until_they_are_seen_whatever_it_says_next(
    open_desk: OpenDesk,
) -> None:
    """A second word about the end, without a count, freed what the first had left; a late acknowledgement made the
    order work again, so that it could be amended.
    """
    desk = open_desk(position_max(50))
    child = desk.work(1, 10)
    desk.report(ReportKind.CANCELLED, child, cumulative=6)

    after = []
    for kind in (ReportKind.EXPIRED, ReportKind.ACKNOWLEDGED, ReportKind.CANCEL_REJECTED, ReportKind.AMENDED):
        desk.report(kind, child)
        after.append(live_and_held(desk))

    assert after == [6, 6, 6, 6]
    assert codes(desk.amend(child, lots=8)) == {Code.CHILD_NOT_AMENDABLE}
    desk.fill(child, 6)
    assert live_and_held(desk) == 6
    assert codes(desk.amend(child, lots=8)) == {Code.CHILD_UNKNOWN}


@pytest.mark.case("GATE-24")
def test_a_send_that_failed_frees_the_reservation_and_one_that_the_venue_answered_does_not(open_desk: OpenDesk) -> None:
    desk = open_desk(position_max(50))
    assert desk.buy(10).is_allowed
    failed = desk.last
    answered = desk.work(1, 5)

    desk.report(ReportKind.NOT_SENT, failed)

    assert not desk.report(ReportKind.NOT_SENT, answered).is_allowed
    assert live_and_held(desk) == 5


@pytest.mark.case("GATE-20")
def test_an_order_of_which_nobody_knows_whether_it_was_sent_counts_in_full(open_desk: OpenDesk) -> None:
    desk = open_desk(position_max(50))
    assert desk.buy(10).is_allowed

    desk.report(ReportKind.SEND_UNKNOWN, desk.last)

    assert live_and_held(desk) == 10


def test_rows_of_ended_orders_are_used_again_without_end(open_desk: OpenDesk) -> None:
    desk = open_desk(position_max(50))

    for number in range(400):
        child = desk.work(1, 3, BTC - number % 7)
        desk.fill(child, 1)
        desk.report(ReportKind.CANCELLED, child)
        desk.hold(-1)

    assert live_and_held(desk) == 0


def test_orders_beyond_the_capacity_are_denied_until_one_has_ended(open_desk: OpenDesk) -> None:
    desk = open_desk()
    children = [desk.work(1, 1) for _ in range(64)]

    assert codes(desk.buy(1)) == {Code.CAPACITY_EXHAUSTED}

    desk.report(ReportKind.CANCELLED, children[10])
    assert desk.buy(1).is_allowed


# --- numbers out of range ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [{"price": INT64_MIN}, {"fee": INT64_MIN}, {"lots": -1}, {"lots": QUANTITY_LOTS_CAP + 1}]
)
def test_a_fill_with_a_number_that_no_venue_can_mean_changes_nothing(
    open_desk: OpenDesk, words: dict[str, int]
) -> None:
    """The smallest integer is its own absolute value, and passed a check of magnitude."""
    desk = open_desk(position_max(50))
    child = desk.work(1, 10)

    assert not desk.fill(child, **({"lots": 5} | words)).is_allowed

    assert live_and_held(desk) == 10


@pytest.mark.parametrize("cumulative", [-1, QUANTITY_LOTS_CAP + 1, 1 << 62])
def test_an_end_with_an_absurd_count_leaves_the_order_live(open_desk: OpenDesk, cumulative: int) -> None:
    desk = open_desk(position_max(50))
    child = desk.work(1, 10)

    assert not desk.report(ReportKind.CANCELLED, child, cumulative=cumulative).is_allowed

    assert live_and_held(desk) == 10


@pytest.mark.parametrize("instrument", ["BTC-PERP", "BTC-COIN", "ETH-CALL", "DUST"])
@pytest.mark.parametrize("price", [0, -1, -BTC, PRICE_TICKS_CAP])
def test_a_fill_at_an_impossible_price_is_held_and_counts_as_a_loss(
    open_desk: OpenDesk, instrument: str, price: int
) -> None:
    """At a price of 0 an inverse contract divided by zero, half-way through the books; others wrapped or were free."""
    desk = open_desk(limited(bare(), STRATEGY, daily_loss_micro_max=1_000_000))
    route, lots = desk.route(instrument), 1_000
    usual = {"BTC-PERP": BTC, "BTC-COIN": BTC, "ETH-CALL": 1_200, "DUST": 2_500}[instrument]
    child = desk.work(1, lots, usual, route=route)

    assert desk.fill(child, lots, price).is_allowed

    assert Code.SCOPE_HALTED in codes(desk.buy(1))
    desk.roll_day()
    desk.stop(STRATEGY, TradingState.ACTIVE)
    assert desk.sell(lots, usual, route=route).is_allowed


def test_a_fill_beyond_everything_is_held_and_stops_new_risk(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, gross_notional_micro_max=1 << 54, daily_loss_micro_max=1_000_000))
    child = desk.work(1, 10)

    for _ in range(5):
        assert desk.fill(child, QUANTITY_LOTS_CAP, 10_000_000).is_allowed

    desk.stop(STRATEGY, TradingState.ACTIVE)
    assert {Code.GROSS_NOTIONAL_ABOVE_LIMIT, Code.DAILY_LOSS_ABOVE_LIMIT} <= codes(desk.buy(1))


def test_a_negative_price_weighs_as_much_as_a_positive_one(open_desk: OpenDesk) -> None:
    """Without a trigger the larger of limit and trigger was the missing trigger's 0."""
    desk = open_desk()
    desk.quote("ETH-SPREAD", 400)

    reply = desk.buy(5, -3_000, route=desk.route("ETH-SPREAD"))

    assert notional(reply) == 5 * 3_000 * 10_000


def test_a_price_beyond_the_range_is_named_as_that_alone(open_desk: OpenDesk) -> None:
    desk = open_desk()

    assert codes(desk.buy(100_000, PRICE_TICKS_CAP)) == {Code.PRICE_OUT_OF_RANGE, Code.PRICE_OUTSIDE_COLLAR}


def test_a_quantity_off_the_grid_is_told_the_next_one_below(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, "DUST", order_quantity_lots_max=50_004))

    reply = desk.buy(60_003, 2_500, route=desk.route("DUST"))

    assert codes(reply) == {Code.QUANTITY_OFF_LOT, Code.ORDER_QUANTITY_ABOVE_LIMIT}
    assert passing(reply) == 50_000


def test_a_venue_number_beyond_all_venues_is_no_other_venue(open_desk: OpenDesk) -> None:
    """Numbers were cut to twenty bits, so that 2**20 was the first venue."""
    desk = open_desk()

    reply = desk.send((w.VOLUME_APPLIED | w.SCHEMA, 0, 0, 0, 0, 0, 0, 1 << 20, 0, 5, 0, 0, 0, desk.wall_ns, 0, 0))

    assert not reply.is_allowed


# --- parents ----------------------------------------------------------------------------------------------------------


def test_a_closed_parent_takes_no_new_child_but_the_fills_of_those_it_has(open_desk: OpenDesk) -> None:
    desk = open_desk(position_max(50))
    route = desk.route()
    child = desk.work(1, 10)
    parent = desk.parents[route, 1]
    assert desk.close(route, 1).is_allowed
    desk.parents[route, 1] = parent

    assert codes(desk.buy(1)) == {Code.PARENT_CLOSED}
    assert desk.fill(child, 10).is_allowed
    assert codes(desk.buy(1)) == {Code.PARENT_UNKNOWN}


def test_a_parent_in_the_place_of_an_ended_one_starts_with_nothing(open_desk: OpenDesk) -> None:
    desk = open_desk()
    route = desk.route()
    for _ in range(40):
        desk.parent(route, 1, 10)
        desk.fill(desk.work(1, 10), 4)
        assert codes(desk.buy(1)) == {Code.PARENT_QUANTITY_EXCEEDED}
        desk.report(ReportKind.CANCELLED, desk.last - 256)
        assert desk.buy(6).is_allowed
        desk.report(ReportKind.CANCELLED, desk.last)
        assert desk.close(route, 1).is_allowed


# --- losses -----------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-99")
def test_a_loss_halts_its_scope_and_the_next_day_is_measured_from_where_it_ended(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, daily_loss_micro_max=5_000_000))
    desk.hold(10)
    desk.quote("BTC-PERP", BTC - 6_000)

    assert Code.SCOPE_HALTED in codes(desk.buy(1, BTC - 6_000))

    desk.roll_day()
    desk.stop(STRATEGY, TradingState.ACTIVE)
    desk.quote("BTC-PERP", BTC - 6_000)
    assert desk.buy(1, BTC - 6_000).is_allowed
    desk.quote("BTC-PERP", BTC - 12_000)
    assert Code.DAILY_LOSS_ABOVE_LIMIT in codes(desk.buy(1, BTC - 12_000))


@pytest.mark.case("GATE-95")
def test_a_parents_unknown_loss_is_known_again_with_the_next_price(open_desk: OpenDesk) -> None:
    boundless = bare()
    measured_losses = tuple(
        (name, dataclasses.replace(found, limits=dataclasses.replace(found.limits, daily_loss_micro_max=1 << 54)))
        for name, found in boundless.parent_limits
    )
    desk = open_desk(dataclasses.replace(boundless, parent_limits=measured_losses))
    desk.hold(10)
    desk.wait(3 * SECOND_NS)
    desk.pass_time()
    desk.quote("BTC-PERP", BTC)
    assert codes(desk.buy(1)) == {Code.LOSS_UNKNOWN}

    desk.pass_time()

    assert desk.buy(1).is_allowed


def test_a_hedged_scope_is_not_halted_by_the_rate_that_moves_both_legs(open_desk: OpenDesk) -> None:
    """Each leg was valued and judged on its own: the loss of one halted the scope before the other was looked at."""
    desk = open_desk(limited(bare(), STRATEGY, daily_loss_micro_max=20_000_000))
    perpetual, call = desk.route("ETH-PERP"), desk.route("ETH-CALL")
    desk.hold(1_000, 250_000, route=perpetual)
    desk.quote("ETH-PERP", 250_900)  # 1 000 lots of 0.01 gain 90
    desk.hold(-1_000, 1_200, route=call)
    desk.quote("ETH-CALL", 1_208)  # 1 000 lots of 0.1 lose 80
    desk.stop(STRATEGY, TradingState.ACTIVE)
    assert desk.buy(1).is_allowed

    desk.rate("EUR", 3_000_000)

    assert desk.buy(1).is_allowed


# --- proofs of reduction ----------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-77")
@pytest.mark.case("GATE-78")
def test_reduce_only_passes_what_reduces_once_and_nothing_when_flat(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.stop(FIRM, TradingState.REDUCE_ONLY)
    assert codes(desk.buy(1)) == codes(desk.sell(1)) == {Code.REDUCE_ONLY_EXCEEDED}
    desk.stop(FIRM, TradingState.ACTIVE)
    desk.hold(10)
    desk.stop(FIRM, TradingState.REDUCE_ONLY)

    assert passing(desk.sell(11)) == 10
    assert desk.sell(10).is_allowed
    assert codes(desk.sell(10)) == {Code.REDUCE_ONLY_EXCEEDED}


def test_a_reduction_without_a_reference_is_told_how_much_of_it_would_pass(open_desk: OpenDesk) -> None:
    """Allowed as a reduction, it was told the largest quantity of an order that isn't one."""
    desk = open_desk()
    desk.hold(10)
    desk.wait(3 * SECOND_NS)

    reply = desk.sell(4)

    assert (reply.is_allowed, passing(reply)) == (True, 10)
    assert codes(desk.sell(7)) == {Code.REFERENCE_STALE}


# --- valuation --------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-51")
def test_an_inverse_order_is_valued_at_the_lowest_of_limit_and_reference(open_desk: OpenDesk) -> None:
    desk = open_desk()
    route = desk.route("BTC-COIN")

    below, above = desk.buy(6, 500_000 + 50_000, route=route), desk.buy(6, BTC, route=route)

    # Six contracts of 100 dollars in coin at the lower price, and the coin at 60 000.
    assert notional(below) == -(-6 * 100 * 10**9 // 55_000) * 60
    assert notional(above) == -(-6 * 100 * 10**10 // 599_999) * 60


def test_a_short_option_weighs_its_stressed_underlying(open_desk: OpenDesk) -> None:
    desk = open_desk()
    route = desk.route("ETH-CALL")

    bought, sold = desk.buy(10, 1_200, route=route), desk.sell(10, 1_200, route=route)

    assert notional(bought) == 10 * 1_201 * 10_000
    assert notional(sold) == (250_001 + -(-250_001 * 2_500 // 10_000)) * 10_000


# --- time and identity ------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-33")
def test_orders_stop_before_the_share_of_messages_that_belongs_to_cancels(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, message_count_max=10, message_reserve_bps=2_000))
    children = [desk.work(1, 1) for _ in range(8)]

    assert codes(desk.buy(1)) == {Code.MESSAGE_RATE_ABOVE_LIMIT}
    assert all(desk.cancel(child).is_allowed for child in children)
    desk.wait(2 * SECOND_NS)
    assert codes(desk.buy(1)) == {Code.MESSAGE_RATE_ABOVE_LIMIT}
    desk.wait(SECOND_NS // 8)
    desk.quote("BTC-PERP", BTC)
    assert desk.buy(1).is_allowed


@pytest.mark.case("GATE-121")
def test_a_clock_that_goes_back_releases_no_message_and_makes_old_news_no_fresher(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, message_count_max=2))
    desk.work(1, 1)
    desk.work(1, 1)
    desk.wall_ns -= 3_600 * SECOND_NS
    desk.monotonic_ns -= 3_600 * SECOND_NS

    assert {Code.MESSAGE_RATE_ABOVE_LIMIT, Code.REFERENCE_STALE, Code.PHASE_UNKNOWN} <= codes(desk.buy(1))


def test_a_price_from_the_future_is_not_kept_and_the_next_true_one_is(open_desk: OpenDesk) -> None:
    desk = open_desk()
    desk.wait(3 * SECOND_NS)

    assert not desk.quote("BTC-PERP", BTC, ahead_ns=3_600 * SECOND_NS).is_allowed
    assert codes(desk.buy(1)) == {Code.REFERENCE_STALE}
    desk.quote("BTC-PERP", BTC)
    assert desk.buy(1).is_allowed


@pytest.mark.case("GATE-26")
def test_the_same_request_gets_its_first_verdict_and_another_under_its_identifier_is_denied(
    open_desk: OpenDesk,
) -> None:
    desk = open_desk()
    first = desk.buy(10)
    words = desk.orders[desk.last]
    desk.wait(1)

    again, other = desk.send(words), desk.send((*words[:9], 11, *words[10:]))

    assert (again.is_repeated, again.sequence, again.code) == (True, first.sequence, first.code)
    assert again.words[16:] == first.words[16:]
    assert codes(other) == {Code.REQUEST_ID_REUSED}


def test_a_report_about_nothing_has_the_same_digest_whatever_was_repeated_before_it(open_desk: OpenDesk) -> None:
    """A repeated request leaves no record, so nothing of it may be in the digest of the record after it."""
    digests = []
    for repeats in (0, 1):
        desk = open_desk()
        desk.buy(10)
        for _ in range(repeats):
            assert desk.send(desk.orders[desk.last]).is_repeated
        digests.append(desk.report(ReportKind.ACKNOWLEDGED, 4711).words[31])

    assert digests[0] == digests[1]


def test_an_order_that_takes_its_time_is_post_only_and_never_counts_as_taking(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, "BTC-PERP", participation_bps_max=1_000))
    desk.wait(60 * SECOND_NS)
    desk.quote("BTC-PERP", BTC)
    desk.trade("BTC-PERP", 500)

    for _ in range(3):
        assert desk.ask(1, 50, BTC - 1, force=TimeInForce.POST_ONLY).is_allowed

    assert desk.ask(1, 50, BTC + 1).is_allowed
    assert codes(desk.ask(1, 1, BTC + 1)) == {Code.PARTICIPATION_ABOVE_LIMIT}
