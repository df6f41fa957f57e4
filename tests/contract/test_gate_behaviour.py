"""One suite, two gates: equal orders, what a venue keeps rejecting, our own other side, what a scope does over time.

Nothing is read but replies.
"""

import dataclasses
from collections.abc import Callable

import pytest

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.orders import OrderType, TimeInForce
from controlplane.domain.reports import ReportKind
from controlplane.gate import words as w
from controlplane.gate.snapshot import Snapshot
from tests.support.gate_desk import BTC, FIRM, LOT_MICRO, STRATEGY, Desk, bare, codes, limited, measured, passing
from tests.support.gate_machines import CompiledMachine, ReferenceMachine
from tests.support.gate_universes import SECOND_NS

OpenDesk = Callable[..., Desk]
DUPLICATE, LOOP, OWN = {Code.DUPLICATE_ORDER}, {Code.REJECT_LOOP}, {Code.SELF_TRADE_POSSIBLE}
POST_ONLY = TimeInForce.POST_ONLY


@pytest.fixture(params=[CompiledMachine, ReferenceMachine], ids=["compiled", "judge"])
def open_desk(request: pytest.FixtureRequest) -> OpenDesk:
    """Opens a desk at a gate of the kind under test."""

    def opened(snapshot: Snapshot | None = None) -> Desk:
        return Desk.open(request.param, snapshot)

    return opened


def repeating(**limits: int) -> Snapshot:
    """Return limits in which only the parents' own repetition is bounded."""
    snapshot = bare()
    parents = tuple((name, dataclasses.replace(own, **limits)) for name, own in snapshot.parent_limits)
    return dataclasses.replace(snapshot, parent_limits=parents, reject_window_ns=5 * SECOND_NS)


def owned(*, south: str = "us", west: str = "WEST") -> Snapshot:
    """Return limits with owners and books: EAST and WEST are two books unless both are named alike."""
    return dataclasses.replace(
        bare(), owners=(("north", "us"), ("south", south)), books=(("EAST", "EAST"), ("WEST", west))
    )


# --- GT31: duplicates -------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-29")
def test_fifth_equal_order_in_the_window_is_denied_and_passes_when_it_has_cleared(open_desk: OpenDesk) -> None:
    desk = open_desk(repeating(duplicate_orders_max=4))
    first = [desk.buy(10).is_allowed for _ in range(4)]

    fifth = desk.buy(10)
    desk.wait(SECOND_NS - 1)
    within = desk.buy(10)
    desk.wait(1)

    assert first == [True] * 4
    assert (codes(fifth), measured(fifth), fifth.words[21]) == (DUPLICATE, 5, 4)
    assert codes(within) == DUPLICATE
    assert desk.buy(10).is_allowed


@pytest.mark.case("GATE-29")
@pytest.mark.parametrize("other", [(11, BTC), (10, BTC + 1)], ids=["quantity", "price"])
def test_an_order_that_differs_is_no_duplicate(open_desk: OpenDesk, other: tuple[int, int]) -> None:
    desk = open_desk(repeating(duplicate_orders_max=1))
    desk.buy(10)

    assert desk.buy(*other).is_allowed
    assert desk.sell(10).is_allowed
    assert codes(desk.buy(10)) == DUPLICATE


def test_amend_back_to_the_terms_of_another_order_is_no_duplicate(open_desk: OpenDesk) -> None:
    desk = open_desk(repeating(duplicate_orders_max=1))
    desk.buy(10)
    child = desk.work(1, 11)

    assert desk.amend(child, lots=10).is_allowed


@pytest.mark.case("GATE-30")
def test_denied_duplicates_do_not_keep_the_window_up(open_desk: OpenDesk) -> None:
    desk = open_desk(repeating(duplicate_orders_max=2))
    desk.buy(10)
    desk.buy(10)

    for _ in range(9):
        desk.wait(SECOND_NS // 10)
        assert codes(desk.buy(10)) == DUPLICATE
    desk.wait(SECOND_NS // 10)

    assert desk.buy(10).is_allowed


def test_many_other_orders_in_between_hide_no_duplicate(open_desk: OpenDesk) -> None:
    desk = open_desk(repeating(duplicate_orders_max=1))
    desk.buy(10)

    for lots in range(11, 40):
        assert desk.buy(lots).is_allowed

    assert codes(desk.buy(10)) == DUPLICATE


def test_a_clock_that_goes_back_releases_no_duplicate(open_desk: OpenDesk) -> None:
    desk = open_desk(repeating(duplicate_orders_max=1))
    desk.buy(10)
    desk.monotonic_ns -= 10 * SECOND_NS

    assert codes(desk.buy(10)) == DUPLICATE
    desk.monotonic_ns += 10 * SECOND_NS + SECOND_NS - 1
    assert codes(desk.buy(10)) == DUPLICATE


# --- GT32: what the venue rejects -------------------------------------------------------------------------------------


def rejected(desk: Desk, *reasons: int, price: int = BTC) -> None:
    """Have the same order asked for and rejected, once for each reason."""
    for reason in reasons:
        assert desk.ask(1, 10, price, force=POST_ONLY).is_allowed
        desk.report(ReportKind.REJECTED, desk.last, reason=reason)


@pytest.mark.case("GATE-37")
def test_three_equal_rejects_stop_the_request_until_it_changes(open_desk: OpenDesk) -> None:
    desk = open_desk(repeating(same_rejects_max=3))
    rejected(desk, 7, 7, 7)

    same = desk.ask(1, 10, force=POST_ONLY)

    assert (codes(same), measured(same), same.words[21]) == (LOOP, 3, 3)
    assert desk.ask(1, 11, force=POST_ONLY).is_allowed
    assert desk.ask(1, 10, BTC - 1, force=POST_ONLY).is_allowed
    assert desk.ask(1, 10).is_allowed
    assert codes(desk.ask(1, 10, force=POST_ONLY)) == LOOP


@pytest.mark.case("GATE-37")
def test_changed_quantity_is_counted_afresh(open_desk: OpenDesk) -> None:
    desk = open_desk(repeating(same_rejects_max=2))
    rejected(desk, 7, 7)

    for _ in range(2):
        assert desk.ask(1, 11, force=POST_ONLY).is_allowed
        desk.report(ReportKind.REJECTED, desk.last, reason=7)

    assert codes(desk.ask(1, 11, force=POST_ONLY)) == LOOP


def test_rejects_for_different_reasons_are_no_loop(open_desk: OpenDesk) -> None:
    desk = open_desk(repeating(same_rejects_max=3))
    rejected(desk, 7, 7, 8)

    assert desk.ask(1, 10, force=POST_ONLY).is_allowed


def test_another_venue_may_be_asked(open_desk: OpenDesk) -> None:
    desk = open_desk(repeating(same_rejects_max=1))
    rejected(desk, 7)
    parent = desk.parent(desk.route(), 1)
    words = list(desk.orders[desk.last])
    words[3] = words[4] = desk.mint()
    words[5], words[6] = parent, desk.route(venue="WEST")

    assert desk.send(tuple(words)).is_allowed


def test_time_ends_a_reject_loop(open_desk: OpenDesk) -> None:
    desk = open_desk(repeating(same_rejects_max=1))
    rejected(desk, 7)
    assert codes(desk.ask(1, 10, force=POST_ONLY)) == LOOP

    desk.wait(5 * SECOND_NS)
    desk.quote("BTC-PERP", BTC)

    assert desk.ask(1, 10, force=POST_ONLY).is_allowed


def test_amend_that_the_venue_rejects_is_not_asked_for_again(open_desk: OpenDesk) -> None:
    desk = open_desk(repeating(same_rejects_max=1))
    child = desk.work(1, 10)
    assert desk.amend(child, lots=20).is_allowed
    desk.report(ReportKind.AMEND_REJECTED, child, reason=9)

    assert codes(desk.amend(child, lots=20)) == LOOP
    assert desk.amend(child, lots=21).is_allowed


# --- GT33: our own other side -----------------------------------------------------------------------------------------


def test_order_that_could_meet_our_own_is_denied_with_the_price_it_would_meet(open_desk: OpenDesk) -> None:
    desk = open_desk(owned())
    desk.work(-1, 10, BTC + 20)
    desk.work(-1, 10, BTC + 30)

    reply = desk.buy(5, BTC + 20)

    assert (codes(reply), measured(reply), reply.words[21]) == (OWN, BTC + 20, BTC + 20)
    assert desk.buy(5, BTC + 19).is_allowed
    assert codes(desk.sell(5, BTC + 19)) == OWN


@pytest.mark.case("GATE-14")
def test_order_being_cancelled_and_one_without_an_answer_can_still_be_met(open_desk: OpenDesk) -> None:
    desk = open_desk(owned())
    assert desk.sell(10, BTC + 20).is_allowed
    sold = desk.last
    unanswered = desk.buy(5, BTC + 20)
    desk.report(ReportKind.ACKNOWLEDGED, sold)
    desk.cancel(sold)
    cancelling = desk.buy(5, BTC + 20)
    desk.report(ReportKind.CANCELLED, sold)

    assert (codes(unanswered), codes(cancelling)) == (OWN, OWN)
    assert desk.buy(5, BTC + 20).is_allowed


@pytest.mark.case("GATE-9")
def test_amend_that_lets_an_order_meet_our_own_is_denied_and_keeps_its_terms(open_desk: OpenDesk) -> None:
    desk = open_desk(owned())
    desk.work(-1, 10, BTC + 20)
    child = desk.work(1, 10, BTC - 20)

    crossing = desk.amend(child, price=BTC + 20)

    assert codes(crossing) == OWN
    assert desk.amend(child, price=BTC + 19).is_allowed
    assert codes(desk.sell(1, BTC + 19)) == OWN


@pytest.mark.case("GATE-9")
def test_amend_in_flight_can_be_met_at_both_prices_until_the_venue_answers(open_desk: OpenDesk) -> None:
    desk = open_desk(owned())
    child = desk.work(1, 10, BTC + 20)
    assert desk.amend(child, price=BTC - 20).is_allowed
    in_flight = desk.sell(1, BTC + 20)
    desk.report(ReportKind.AMENDED, child, lots=10, price=BTC - 20)

    assert codes(in_flight) == OWN
    assert desk.sell(1, BTC - 19).is_allowed


def test_rejected_amend_is_met_at_its_old_price_again(open_desk: OpenDesk) -> None:
    desk = open_desk(owned())
    child = desk.work(1, 10, BTC - 20)
    assert desk.amend(child, price=BTC + 20).is_allowed
    assert codes(desk.sell(1, BTC + 20)) == OWN
    desk.report(ReportKind.AMEND_REJECTED, child)

    assert desk.sell(1, BTC + 20).is_allowed
    assert codes(desk.sell(1, BTC - 20)) == OWN


@pytest.mark.parametrize(
    ("south", "west", "is_denied"),
    [("us", "EAST", True), ("us", "WEST", False), ("them", "EAST", False)],
    ids=["one owner, one book", "two books", "two owners"],
)
def test_strategies_and_venues_meet_where_owner_and_book_are_one(
    open_desk: OpenDesk, south: str, west: str, is_denied: bool
) -> None:
    desk = open_desk(owned(south=south, west=west))
    desk.work(-1, 10, BTC, route=desk.route(strategy="gamma", venue="WEST"))

    reply = desk.buy(5, BTC, route=desk.route(strategy="alpha", venue="EAST"))

    assert codes(reply) == (OWN if is_denied else set())


def test_another_instrument_is_never_met(open_desk: OpenDesk) -> None:
    desk = open_desk(owned())
    desk.work(-1, 10, 250_000, route=desk.route("ETH-PERP"))

    assert desk.buy(5, BTC).is_allowed


def test_best_of_many_is_known_again_when_it_has_left(open_desk: OpenDesk) -> None:
    desk = open_desk(owned())
    children = [desk.work(-1, 10, BTC + price) for price in (40, 20, 30, 20, 50)]

    seen = []
    for child in (children[1], children[3], children[2], children[0], children[4]):
        seen.append(codes(desk.buy(1, BTC + 20)) == OWN)
        desk.fill(child, 10, BTC)
        reply = desk.buy(1, BTC + 60)
        seen.append(reply.words[21] - BTC)

    assert seen[:-1] == [True, 20, True, 30, False, 40, False, 50, False]
    assert desk.buy(1, BTC + 60).is_allowed


def test_size_down_passes_where_two_of_our_orders_stand_against_each_other_already(open_desk: OpenDesk) -> None:
    """A fill that we learn of late may leave two that meet; making one smaller adds nothing."""
    desk = open_desk(owned())
    child = desk.work(1, 10, BTC)
    assert codes(desk.sell(1, BTC)) == OWN

    assert desk.amend(child, lots=5).is_allowed


def test_market_order_meets_ours_up_to_its_protection_limit(open_desk: OpenDesk) -> None:
    desk = open_desk(owned())
    desk.work(-1, 10, BTC + 20)

    near = desk.ask(1, 5, BTC + 19, order_type=OrderType.MARKET)
    far = desk.ask(1, 5, BTC + 21, order_type=OrderType.MARKET)

    assert (codes(near), codes(far)) == (set(), OWN)


# --- GT30: going on after a fill --------------------------------------------------------------------------------------


def went_on(desk: Desk, times: int) -> None:
    """Have an order filled and another one entered so many times."""
    for _ in range(times):
        desk.hold(1)
    assert desk.buy(1).is_allowed


@pytest.mark.case("GATE-36")
def test_strategy_that_went_on_as_often_as_it_may_is_disabled_until_it_is_enabled(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, repeated_executions_max=2))
    went_on(desk, 2)
    desk.fill(desk.last, 1)

    stopped = desk.buy(1)
    desk.wait(SECOND_NS // 10)
    desk.roll_day()
    still = desk.buy(1)
    cleared = enable(desk, STRATEGY)

    assert (codes(stopped), measured(stopped), stopped.words[21]) == ({Code.REPEATED_EXECUTION}, 3, 2)
    assert Code.REPEATED_EXECUTION in codes(still)
    assert cleared
    assert Code.REPEATED_EXECUTION not in codes(desk.buy(1))


def enable(desk: Desk, scope: object) -> bool:
    number = [node.scope for node in desk.snapshot.nodes].index(scope)  # type: ignore[arg-type]
    return desk.send((w.REPEATS_CLEARED | w.SCHEMA, 0, 0, 0, 0, number, *[0] * 10)).is_allowed


def test_orders_without_a_fill_between_them_repeat_nothing(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, repeated_executions_max=0))

    assert all(desk.buy(1).is_allowed for _ in range(5))


def test_another_strategy_goes_on_and_the_disabled_one_may_make_its_orders_smaller(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, repeated_executions_max=0))
    child = desk.work(1, 10)
    desk.fill(child, 1)

    assert codes(desk.buy(1)) == {Code.REPEATED_EXECUTION}
    larger = desk.amend(child, lots=20)
    assert (codes(larger), passing(larger)) == ({Code.REPEATED_EXECUTION}, 10)
    assert desk.amend(child, lots=5).is_allowed
    assert desk.buy(1, route=desk.route(strategy="gamma")).is_allowed


def test_scope_without_such_a_limit_has_nothing_to_enable(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, repeated_executions_max=1))

    assert not enable(desk, FIRM)
    assert not desk.send((w.REPEATS_CLEARED | w.SCHEMA, 0, 0, 0, 0, 999, *[0] * 10)).is_allowed
    assert not desk.send((w.REPEATS_CLEARED | w.SCHEMA, 0, 0, 0, 0, -1, *[0] * 10)).is_allowed


# --- GT29: orders, cancels and trades ---------------------------------------------------------------------------------


def habits(**limits: int) -> Snapshot:
    """Return limits on the strategy's ratios, judged from four orders on, over a second."""
    return dataclasses.replace(limited(bare(), STRATEGY, **limits), ratio_window_ns=SECOND_NS, ratio_orders_min=4)


def test_too_many_cancels_stop_new_orders_and_no_cancel(open_desk: OpenDesk) -> None:
    desk = open_desk(habits(cancel_ratio_bps_max=5_000))
    children = [desk.work(1, lots) for lots in (1, 2, 3, 4)]
    for child in children[:2]:
        desk.cancel(child)
    half = desk.buy(5)
    for child in children[2:]:
        assert desk.cancel(child).is_allowed
    stopped = desk.buy(6)
    desk.wait(SECOND_NS + SECOND_NS // 8)

    assert half.is_allowed
    assert (codes(stopped), measured(stopped)) == ({Code.CANCEL_RATIO_ABOVE_LIMIT}, 8_000)
    assert desk.buy(7).is_allowed


def test_cancel_asked_for_twice_is_one_cancelled_order(open_desk: OpenDesk) -> None:
    desk = open_desk(habits(cancel_ratio_bps_max=5_000))
    children = [desk.work(1, lots) for lots in (1, 2, 3, 4)]
    for _ in range(5):
        desk.cancel(children[0])

    assert desk.buy(5).is_allowed


def test_few_orders_say_nothing_about_a_habit(open_desk: OpenDesk) -> None:
    desk = open_desk(habits(cancel_ratio_bps_max=0, orders_per_trade_max=0))
    for lots in (1, 2, 3):
        desk.cancel(desk.work(1, lots))
    assert desk.buy(4).is_allowed

    assert codes(desk.buy(5)) == {Code.CANCEL_RATIO_ABOVE_LIMIT, Code.ORDERS_PER_TRADE_ABOVE_LIMIT}


def test_orders_without_trades_stop_until_one_trades(open_desk: OpenDesk) -> None:
    desk = open_desk(habits(orders_per_trade_max=4))
    children = [desk.work(1, lots) for lots in (1, 2, 3, 4, 5)]
    stopped = desk.buy(6)
    desk.fill(children[0], 1)
    desk.fill(children[1], 1)

    assert (codes(stopped), measured(stopped), stopped.words[21]) == ({Code.ORDERS_PER_TRADE_ABOVE_LIMIT}, 5, 4)
    assert desk.buy(6).is_allowed


# --- GT36: turnover ---------------------------------------------------------------------------------------------------


def test_turnover_counts_buys_and_sells_and_what_is_live_and_says_what_would_pass(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), FIRM, turnover_micro_max=30 * LOT_MICRO))
    desk.hold(10)
    desk.hold(-10)
    desk.work(1, 4, BTC - 1)

    reply = desk.sell(20)

    assert codes(reply) == {Code.TURNOVER_ABOVE_LIMIT}
    assert reply.words[21] == 30 * LOT_MICRO
    assert measured(reply) > 44 * LOT_MICRO - LOT_MICRO
    assert passing(reply) == 5
    assert desk.sell(5).is_allowed


def test_reduction_is_turnover_too_and_a_new_day_begins_at_nothing(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), STRATEGY, turnover_micro_max=10 * LOT_MICRO))
    desk.hold(9)

    assert codes(desk.sell(9)) == {Code.TURNOVER_ABOVE_LIMIT}
    desk.roll_day()
    desk.quote("BTC-PERP", BTC)
    assert desk.sell(9).is_allowed


def test_fill_whose_worth_cannot_be_formed_is_worth_the_most_there_is(open_desk: OpenDesk) -> None:
    desk = open_desk(limited(bare(), FIRM, turnover_micro_max=1 << 54))
    desk.fill(desk.work(1, 10), 10, 0)

    assert codes(desk.buy(1)) == {Code.TURNOVER_ABOVE_LIMIT}
