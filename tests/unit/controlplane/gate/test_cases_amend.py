"""Amends: the larger of old and new counts until the venue has answered, and what was filled is never given back."""

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.orders import OrderType, Side
from controlplane.domain.reports import ReportKind
from tests.support.builders import INVERSE, LOT_MICRO, PRICE, rate, roomy_snapshot, tightened, with_parent_limits
from tests.support.rig import OpenRig, Rig

DESK = "desk:crypto"


def with_room_for(open_rig: OpenRig, lots: int) -> Rig:
    """Return a gate whose desk may be long so many lots."""
    return open_rig(tightened(roomy_snapshot(), DESK, position_long_lots_max=lots))


@pytest.mark.case("GATE-1")
def test_amend_beyond_the_headroom_is_denied_and_the_original_stays_live_and_reserved(open_rig: OpenRig) -> None:
    rig = with_room_for(open_rig, 14)
    child = rig.work(lots=10)

    verdict = rig.amend(child, quantity_lots=15)

    assert verdict.codes == (DenialCode.POSITION_ABOVE_LIMIT,)
    assert verdict.largest_passing_lots == 14
    order = rig.live(child)
    assert order is not None
    assert (order.reserved_lots, order.remaining_lots, order.state) == (10, 10, "working")


@pytest.mark.case("GATE-2")
def test_amend_within_the_headroom_reserves_the_new_total_from_the_permit_on(open_rig: OpenRig) -> None:
    rig = with_room_for(open_rig, 15)
    child = rig.work(lots=10)

    verdict = rig.amend(child, quantity_lots=15)

    assert verdict.is_allowed
    assert verdict.permit is not None
    assert rig.reserved(child) == 15
    assert rig.row("position_long", DESK, "BTC-PERP")["headroom"] == 0
    rig.tell(ReportKind.AMENDED, child, quantity_lots=15, price_ticks=PRICE)
    assert rig.reserved(child) == 15


@pytest.mark.case("GATE-3")
def test_smaller_amend_frees_nothing_before_the_venue_has_answered(open_rig: OpenRig) -> None:
    rig = with_room_for(open_rig, 15)
    child = rig.work(lots=15)
    assert rig.amend(child, quantity_lots=10).is_allowed

    too_early = rig.buy(5)
    rig.tell(ReportKind.AMENDED, child, quantity_lots=10, price_ticks=PRICE)
    after_the_answer = rig.buy(5)

    assert too_early.codes == (DenialCode.POSITION_ABOVE_LIMIT,)
    assert after_the_answer.is_allowed


@pytest.mark.case("GATE-4")
@pytest.mark.parametrize("wanted", [15, 6], ids=["larger", "smaller"])
def test_rejected_amend_returns_to_the_old_terms_and_not_to_zero(rig: Rig, wanted: int) -> None:
    child = rig.work(lots=10)
    before = rig.exposure()
    assert rig.amend(child, quantity_lots=wanted, price_ticks=PRICE - 100).is_allowed

    rig.tell(ReportKind.AMEND_REJECTED, child)

    order = rig.live(child)
    assert order is not None
    assert (order.reserved_lots, order.remaining_lots, order.price_ticks, order.state) == (10, 10, PRICE, "working")
    assert rig.exposure() == before


@pytest.mark.case("GATE-5")
def test_amend_below_what_was_filled_meanwhile_leaves_nothing_live_and_no_negative_remainder(rig: Rig) -> None:
    child = rig.work(lots=10)
    assert rig.amend(child, quantity_lots=6).is_allowed
    rig.fill(child, 7)
    in_flight = rig.reserved(child)

    rig.tell(ReportKind.AMENDED, child, quantity_lots=6, price_ticks=PRICE)

    assert in_flight == 3
    assert rig.live(child) is None
    assert rig.position() == 7
    assert rig.row("position_long", "firm:firm", "BTC-PERP")["reserved"] == 0


@pytest.mark.case("GATE-6")
def test_two_orders_that_stand_for_one_amend_both_count_until_the_old_one_is_gone(open_rig: OpenRig) -> None:
    rig = with_room_for(open_rig, 20)
    old = rig.work(lots=10)
    rig.cancel(old)

    replacement = rig.work(lots=10)
    third = rig.buy(1)
    rig.fill(old, 10)
    rig.fill(replacement, 10)

    assert third.codes == (DenialCode.POSITION_ABOVE_LIMIT,)
    assert rig.position() == 20
    assert rig.row("position_long", DESK, "BTC-PERP")["headroom"] == 0


@pytest.mark.case("GATE-6")
def test_old_order_makes_room_once_its_cancel_is_confirmed(open_rig: OpenRig) -> None:
    rig = with_room_for(open_rig, 20)
    old = rig.work(lots=10)
    assert rig.buy(10).is_allowed
    rig.cancel(old)

    before = rig.buy(10)
    rig.tell(ReportKind.CANCELLED, old)
    after = rig.buy(10)

    assert not before.is_allowed
    assert after.is_allowed


@pytest.mark.case("GATE-8")
def test_price_amend_meets_the_collar_again(rig: Rig) -> None:
    child = rig.work()

    verdict = rig.amend(child, price_ticks=630_001)

    assert verdict.codes == (DenialCode.PRICE_OUTSIDE_COLLAR,)
    order = rig.live(child)
    assert order is not None
    assert order.price_ticks == PRICE


@pytest.mark.case("GATE-8")
def test_price_amend_is_valued_again_and_its_quantity_exposure_stays(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, order_notional_micro_max=10 * LOT_MICRO + 10 * 100))
    child = rig.work(lots=10, price=PRICE)

    one_tick_more = rig.amend(child, price_ticks=PRICE + 2)
    at_the_limit = rig.amend(child, price_ticks=PRICE + 1)

    assert one_tick_more.codes == (DenialCode.ORDER_NOTIONAL_ABOVE_LIMIT,)
    assert at_the_limit.is_allowed
    assert rig.reserved(child) == 10
    assert rig.row("position_long", DESK, "BTC-PERP")["reserved"] == 10
    assert rig.row("open_notional", DESK)["reserved"] == 10 * LOT_MICRO + 10 * 100


@pytest.mark.case("GATE-8")
def test_price_amend_of_an_inverse_contract_downwards_is_worth_more(rig: Rig) -> None:
    rig.gate.observe(rate())
    rig.open_market(instrument="BTC-INVERSE")
    child = rig.work(lots=100, price=PRICE - 1, on=INVERSE)
    before = rig.row("open_notional", DESK)["reserved"]

    assert rig.amend(child, price_ticks=PRICE - 1_000).is_allowed

    assert rig.reserved(child) == 100
    assert rig.row("open_notional", DESK)["reserved"] > before


@pytest.mark.case("GATE-10")
def test_amend_of_an_order_being_cancelled_is_denied_until_the_venue_rejects_the_cancel(rig: Rig) -> None:
    child = rig.work()
    rig.cancel(child)

    while_cancelling = rig.amend(child, quantity_lots=9)
    rig.tell(ReportKind.CANCEL_REJECTED, child)
    afterwards = rig.amend(child, quantity_lots=9)

    assert while_cancelling.codes == (DenialCode.CHILD_NOT_AMENDABLE,)
    assert afterwards.is_allowed


@pytest.mark.case("GATE-10")
def test_cancel_sent_by_someone_else_forbids_an_amend_as_well(rig: Rig) -> None:
    child = rig.work()
    rig.tell(ReportKind.CANCEL_REQUESTED, child)

    assert rig.amend(child, quantity_lots=9).codes == (DenialCode.CHILD_NOT_AMENDABLE,)


@pytest.mark.case("GATE-10")
def test_amend_of_an_order_that_was_never_permitted_is_denied_and_recorded(rig: Rig) -> None:
    stranger = rig.order().child_id

    verdict = rig.amend(stranger, quantity_lots=9)

    assert verdict.codes == (DenialCode.CHILD_UNKNOWN,)
    assert rig.gate.control("status", {})["codes"] == {"CHILD_UNKNOWN": 1}


@pytest.mark.case("GATE-10")
@pytest.mark.parametrize("ended", [ReportKind.CANCELLED, ReportKind.REJECTED, ReportKind.EXPIRED])
def test_amend_of_an_order_that_has_ended_is_denied(rig: Rig, ended: ReportKind) -> None:
    child = rig.work()
    rig.tell(ended, child)

    assert rig.amend(child, quantity_lots=9).codes == (DenialCode.CHILD_UNKNOWN,)


@pytest.mark.parametrize("told", [None, ReportKind.SENT, ReportKind.SEND_UNKNOWN])
def test_only_an_order_that_its_venue_has_acknowledged_can_be_amended(rig: Rig, told: ReportKind | None) -> None:
    assert rig.buy().is_allowed
    child = rig.last
    if told is not None:
        rig.tell(told, child)

    assert rig.amend(child, quantity_lots=9).codes == (DenialCode.CHILD_NOT_AMENDABLE,)


def test_second_amend_waits_for_the_answer_to_the_first(rig: Rig) -> None:
    child = rig.work()
    assert rig.amend(child, quantity_lots=9).is_allowed

    assert rig.amend(child, quantity_lots=8).codes == (DenialCode.CHILD_NOT_AMENDABLE,)


def test_amend_may_not_move_an_order_to_another_route_parent_or_side(rig: Rig) -> None:
    child = rig.work()
    other_route = rig.gate.handle(INVERSE)
    other_parent = rig.parent(Side.SELL)

    assert rig.amend(child, route=other_route).codes == (DenialCode.PARENT_UNKNOWN,)
    assert rig.amend(child, parent_id=other_parent).codes == (DenialCode.PARENT_UNKNOWN,)
    assert rig.amend(child, side=Side.SELL).codes == (DenialCode.PARENT_UNKNOWN,)
    assert rig.amend(child, quantity_lots=9).is_allowed


@pytest.mark.case("GATE-1")
def test_amend_counts_against_what_the_parent_still_has(open_rig: OpenRig) -> None:
    rig = open_rig()
    rig.parent(lots=20)
    child = rig.work(lots=10)
    rig.fill(child, 4)

    beyond = rig.amend(child, quantity_lots=21)
    whole = rig.amend(child, quantity_lots=20)

    assert beyond.codes == (DenialCode.PARENT_QUANTITY_EXCEEDED,)
    assert beyond.largest_passing_lots == 20
    assert whole.is_allowed
    assert rig.reserved(child) == 16


def test_amends_of_a_parent_are_counted_over_all_its_children(open_rig: OpenRig) -> None:
    rig = open_rig(with_parent_limits(roomy_snapshot(), amends_max=2))
    first, second = rig.work(), rig.work()
    assert rig.amend(first, quantity_lots=9).is_allowed
    assert rig.amend(second, quantity_lots=9).is_allowed
    rig.tell(ReportKind.AMENDED, first, quantity_lots=9)

    verdict = rig.amend(first, quantity_lots=8)

    assert verdict.codes == (DenialCode.PARENT_AMENDS_ABOVE_LIMIT,)
    assert verdict.binding is not None
    assert (verdict.binding.measured, verdict.binding.limit) == (3, 2)


def test_fill_while_an_amend_is_in_flight_uses_the_larger_total(rig: Rig) -> None:
    child = rig.work(lots=10)
    assert rig.amend(child, quantity_lots=15).is_allowed

    rig.fill(child, 12)

    assert rig.reserved(child) == 3
    assert rig.position() == 12


def test_amend_of_a_whole_filled_order_is_an_amend_of_nothing(rig: Rig) -> None:
    child = rig.work(lots=10)
    rig.fill(child, 10)

    assert rig.amend(child, quantity_lots=12).codes == (DenialCode.CHILD_UNKNOWN,)


def test_trigger_and_limit_of_an_amended_stop_meet_the_collar(rig: Rig) -> None:
    child = rig.work(order_type=OrderType.STOP, trigger_ticks=PRICE + 10, price=PRICE + 20)

    verdict = rig.amend(child, trigger_ticks=630_001)

    assert verdict.codes == (DenialCode.PRICE_OUTSIDE_COLLAR,)
    assert rig.amend(child, trigger_ticks=PRICE + 30, price_ticks=PRICE + 40).is_allowed
