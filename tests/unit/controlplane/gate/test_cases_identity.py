"""Identity and rates: a request is decided once, cancels always have room, and a loop of denials stops itself."""

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import PermitInvalid
from controlplane.domain.orders import OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind
from controlplane.gate.permit import verify
from tests.support.builders import OTHER_STRATEGY, PRICE, ROUTE, cancel_command, roomy_snapshot, tightened
from tests.support.rig import SMALL_CAPACITY, OpenRig, Rig

DESK, STRATEGY, VENUE = "desk:crypto", "strategy:crypto/twap", "venue:SIM"
SECOND = 1_000_000_000
MESSAGE_WINDOW_NS, DENIED_WINDOW_NS = 10 * SECOND, 60 * SECOND


@pytest.mark.case("GATE-26")
def test_same_request_twice_has_one_permit_and_is_counted_once(rig: Rig) -> None:
    first = rig.buy(10)
    before = rig.exposure(), rig.used("message_count")

    again = rig.gate.decide(rig.orders[rig.last])

    assert first.is_allowed
    assert again == first
    assert (rig.exposure(), rig.used("message_count")) == before
    assert rig.gate.control("status", {})["decisions"] == {"ALLOWED": 1}


@pytest.mark.case("GATE-26")
def test_denied_request_keeps_its_verdict_although_it_would_pass_now(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, position_long_lots_max=10))
    child = rig.work(lots=10)
    denied = rig.buy(10)
    rig.tell(ReportKind.CANCELLED, child)

    again = rig.gate.decide(rig.orders[rig.last])

    assert again == denied
    assert not again.is_allowed
    assert rig.buy(10).is_allowed


@pytest.mark.case("GATE-26")
def test_repeated_amend_is_decided_once(rig: Rig) -> None:
    child = rig.work(lots=10)
    request = rig.next_id()
    first = rig.amend(child, request_id=request, quantity_lots=15)

    again = rig.amend(child, request_id=request, quantity_lots=15)

    assert first.is_allowed
    assert again == first
    assert rig.reserved(child) == 15


@pytest.mark.parametrize(
    "changed",
    [
        {"side": Side.SELL},
        {"order_type": OrderType.MARKET},
        {"time_in_force": TimeInForce.POST_ONLY},
        {"quantity_lots": 11},
        {"price_ticks": PRICE - 1},
        {"model_digest": 3},
        {"parent_id": 0x700},
        {"route": 0},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_identifier_with_other_content_is_denied_and_the_first_order_stays(rig: Rig, changed: dict[str, int]) -> None:
    rig.parent(Side.SELL)
    rig.buy(10)
    child = rig.last
    before = rig.exposure()

    verdict = rig.ask(child_id=child, **changed)

    assert verdict.codes == (DenialCode.REQUEST_ID_REUSED,)
    assert verdict.permit is None
    assert rig.exposure() == before
    assert rig.reserved(child) == 10


def test_identifier_below_the_newest_of_its_program_is_denied(rig: Rig) -> None:
    skipped = rig.next_id()
    rig.buy(10)

    assert rig.ask(child_id=skipped).codes == (DenialCode.REQUEST_ID_REUSED,)


def test_each_program_has_identifiers_of_its_own(rig: Rig) -> None:
    rig.buy(10)
    earlier_but_of_another_program = rig.last - 0x100 + 7

    assert rig.ask(child_id=earlier_but_of_another_program).is_allowed


def test_malformed_request_uses_no_identifier_up(rig: Rig) -> None:
    child = rig.next_id()
    malformed = rig.ask(child_id=child, quantity_lots=0)

    assert malformed.codes == (DenialCode.MALFORMED_REQUEST,)
    assert rig.ask(child_id=child).is_allowed


@pytest.mark.case("GATE-28")
def test_identifier_used_before_a_restart_is_denied_for_another_order(rig: Rig) -> None:
    rig.buy(10)
    child = rig.last
    rig.restart()
    rig.open_market()

    assert rig.ask(child_id=child, quantity_lots=11).codes == (DenialCode.REQUEST_ID_REUSED,)
    assert rig.reserved(child) == 10


@pytest.mark.case("GATE-28")
def test_same_request_after_a_restart_gets_no_permit_that_an_adapter_would_take(rig: Rig) -> None:
    rig.buy(10)
    order = rig.orders[rig.last]
    rig.restart()
    rig.open_market()

    again = rig.gate.decide(order)

    assert len(rig.gate.working()) == 1
    assert rig.reserved(order.child_id) == 10
    if again.permit is not None:
        with pytest.raises(PermitInvalid):
            verify(again.permit, order, key=rig.gate.permit_key(), fence=rig.gate.fence(), now_ns=rig.clock.wall)


@pytest.mark.case("GATE-28")
def test_identifier_too_old_to_be_remembered_word_for_word_is_known_all_the_same(rig: Rig) -> None:
    rig.buy(10)
    first = rig.orders[rig.last]
    for _ in range(SMALL_CAPACITY.requests):
        rig.tell(ReportKind.NOT_SENT, rig.last)
        assert rig.buy(10).is_allowed

    rig.restart()
    rig.open_market()

    assert rig.gate.decide(first).codes == (DenialCode.REQUEST_ID_REUSED,)


@pytest.mark.case("GATE-33")
def test_orders_stop_before_the_share_of_the_message_budget_that_belongs_to_cancels(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), VENUE, message_count_max=10, message_reserve_bps=2_000))
    children = [rig.work(lots=1) for _ in range(8)]

    stopped = rig.buy(1)
    row = rig.row("message_count", VENUE)
    cancels = [rig.cancel(child) for child in children]

    assert stopped.codes == (DenialCode.MESSAGE_RATE_ABOVE_LIMIT,)
    assert stopped.binding is not None
    assert (stopped.binding.scope, stopped.binding.measured, stopped.binding.limit) == (VENUE, 9, 8)
    assert (row["used"], row["headroom"]) == (8, 2)
    assert all(verdict.is_allowed for verdict in cancels)


@pytest.mark.case("GATE-33")
def test_cancels_count_and_pass_far_beyond_the_whole_budget(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), VENUE, message_count_max=10, message_reserve_bps=2_000))
    child = rig.work(lots=1)

    cancels = [rig.cancel(child) for _ in range(30)]

    assert all(verdict.is_allowed for verdict in cancels)
    assert rig.used("message_count", VENUE) == 31
    assert rig.buy(1).codes == (DenialCode.MESSAGE_RATE_ABOVE_LIMIT,)


@pytest.mark.case("GATE-94")
def test_cancel_of_an_order_nobody_knows_counts_where_its_route_goes(open_rig: OpenRig) -> None:
    rig = open_rig()
    rig.parent()

    rig.cancel(0x99999900, route=rig.gate.handle(ROUTE))
    rig.cancel(0x99999A00, route=999_999)
    rig.cancel(0x99999B00, route=-1)

    counted = {scope: rig.used("message_count", scope) for scope in (DESK, STRATEGY, VENUE, "strategy:crypto/pov")}
    assert counted == {DESK: 1, STRATEGY: 1, VENUE: 1, "strategy:crypto/pov": 0}
    assert rig.used("message_count", f"parent:{rig.parent():016x}") == 0


def test_message_budget_comes_back_when_its_window_has_passed(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, message_count_max=2))
    assert rig.buy(1).is_allowed
    assert rig.buy(1).is_allowed
    assert not rig.buy(1).is_allowed

    rig.clock.advance(MESSAGE_WINDOW_NS - 1)
    rig.open_market()
    within = rig.buy(1)
    rig.clock.advance(MESSAGE_WINDOW_NS // 16 + 2)
    rig.open_market()
    after = rig.buy(1)

    assert within.codes == (DenialCode.MESSAGE_RATE_ABOVE_LIMIT,)
    assert after.is_allowed


def test_amends_spend_the_same_budget_as_orders(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, message_count_max=2))
    child = rig.work(lots=10)
    assert rig.amend(child, quantity_lots=9).is_allowed

    assert rig.buy(1).codes == (DenialCode.MESSAGE_RATE_ABOVE_LIMIT,)


def test_repeated_cancel_request_is_decided_once(rig: Rig) -> None:
    child = rig.work()
    request = cancel_command(rig.orders[child], request_id=rig.next_id())

    first = rig.gate.decide(request)
    again = rig.gate.decide(request)

    assert first.is_allowed
    assert again == first
    assert rig.used("message_count") == 2


def loop_of_denials(rig: Rig, count: int) -> None:
    for _ in range(count):
        assert rig.buy(10, price=1).codes[0] is not DenialCode.DENIED_RATE_ABOVE_LIMIT


@pytest.mark.case("GATE-35")
def test_loop_of_denied_orders_stops_its_strategy_and_spends_nothing_of_the_venue(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), STRATEGY, denied_count_max=5))
    loop_of_denials(rig, 6)

    good = rig.buy(1)
    of_another_strategy = rig.buy(1, on=OTHER_STRATEGY)

    assert good.codes == (DenialCode.DENIED_RATE_ABOVE_LIMIT,)
    assert good.binding is not None
    assert (good.binding.scope, good.binding.measured, good.binding.limit) == (STRATEGY, 6, 5)
    assert of_another_strategy.is_allowed
    assert rig.used("message_count", VENUE) == 1


@pytest.mark.case("GATE-35")
def test_as_many_denials_as_are_tolerated_stop_nothing(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), STRATEGY, denied_count_max=5))

    loop_of_denials(rig, 5)

    assert rig.buy(1).is_allowed


@pytest.mark.case("GATE-35")
def test_order_denied_for_the_loop_alone_does_not_prolong_it(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), STRATEGY, denied_count_max=2))
    loop_of_denials(rig, 3)
    for _ in range(10):
        rig.clock.advance(5 * SECOND)
        rig.open_market()
        assert rig.buy(1).codes == (DenialCode.DENIED_RATE_ABOVE_LIMIT,)

    rig.clock.advance(DENIED_WINDOW_NS // 16 + 10 * SECOND)
    rig.open_market()

    assert rig.buy(1).is_allowed


@pytest.mark.case("GATE-35")
def test_cancels_pass_while_orders_are_stopped_for_a_loop_of_denials(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), STRATEGY, denied_count_max=0))
    child = rig.work()
    rig.buy(10, price=1)

    assert rig.cancel(child).is_allowed
    assert rig.buy(1).codes == (DenialCode.DENIED_RATE_ABOVE_LIMIT,)
