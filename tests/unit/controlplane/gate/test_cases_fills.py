"""Fills, cancels, unknown states: an order counts until its venue has confirmed its end, and a fill counts once."""

import random

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import PermitInvalid
from controlplane.domain.orders import Side, TimeInForce
from controlplane.domain.reports import ReportKind
from controlplane.gate.permit import verify
from tests.support.builders import LOT_MICRO, PRICE, ROUTE, roomy_snapshot, tightened
from tests.support.rig import OpenRig, Rig

DESK = "desk:crypto"
DAY_NS = 86_400_000_000_000


def state_of(rig: Rig, child: int) -> str:
    order = rig.live(child)
    return "gone" if order is None else order.state


@pytest.mark.case("GATE-12")
def test_fill_before_the_acknowledgement_counts_once_and_makes_the_order_working(rig: Rig) -> None:
    rig.buy(10)
    child = rig.last
    rig.tell(ReportKind.SENT, child)
    sent = state_of(rig, child)

    rig.fill(child, 4)
    filled = state_of(rig, child)
    rig.tell(ReportKind.ACKNOWLEDGED, child)

    assert (sent, filled, state_of(rig, child)) == ("sent", "working", "working")
    assert rig.position() == 4
    assert rig.reserved(child) == 6


@pytest.mark.case("GATE-12")
def test_repeated_fill_counts_once(rig: Rig) -> None:
    child = rig.work(lots=10)
    rig.fill(child, 4, execution_id=77)

    rig.fill(child, 4, execution_id=77)
    rig.fill(child, 4, execution_id=78)

    assert rig.position() == 8
    assert rig.reserved(child) == 2


def test_same_execution_of_another_order_is_another_fill(rig: Rig) -> None:
    first, second = rig.work(lots=10), rig.work(lots=10)

    rig.fill(first, 4, execution_id=77)
    rig.fill(second, 4, execution_id=77)

    assert rig.position() == 8


@pytest.mark.case("GATE-14")
def test_order_being_cancelled_counts_in_full_in_every_limit(rig: Rig) -> None:
    child = rig.work(lots=10)
    before = rig.exposure()

    rig.cancel(child)
    rig.tell(ReportKind.CANCEL_REQUESTED, child)

    assert rig.exposure() == before
    assert rig.reserved(child) == 10


@pytest.mark.case("GATE-15")
def test_cancel_that_came_too_late_frees_nothing_and_the_fill_is_awaited(rig: Rig) -> None:
    child = rig.work(lots=10)
    rig.cancel(child)
    rig.tell(ReportKind.CANCEL_REJECTED, child)

    while_waiting = rig.reserved(child)
    rig.fill(child, 10)

    assert while_waiting == 10
    assert rig.live(child) is None
    assert rig.position() == 10


@pytest.mark.case("GATE-16")
def test_fill_of_an_unknown_order_moves_the_position_and_its_strategy_goes_reduce_only(rig: Rig) -> None:
    rig.gate.notices()

    rig.fill(0x999, 5, route=rig.gate.handle(ROUTE), side=Side.BUY)

    assert rig.position() == 5
    assert rig.position(scope="strategy:crypto/twap") == 5
    notices = [(notice.scope, notice.state.name) for notice in rig.gate.notices()]
    assert notices == [("strategy:crypto/twap", "REDUCE_ONLY")]
    assert rig.buy(1).codes == (DenialCode.REDUCE_ONLY_EXCEEDED,)
    assert rig.sell(5).is_allowed


@pytest.mark.case("GATE-16")
def test_unknown_fill_that_names_no_side_stops_new_risk_in_the_whole_firm(rig: Rig) -> None:
    rig.fill(0x999, 5)

    states = {row["scope"]: row["state"] for row in rig.gate.control("status", {})["states"]}
    assert states == {"firm:firm": "REDUCE_ONLY"}
    assert rig.buy(1).codes == (DenialCode.REDUCE_ONLY_EXCEEDED,)


@pytest.mark.case("GATE-16")
def test_unknown_fill_reported_twice_moves_the_position_once(rig: Rig) -> None:
    for _ in range(2):
        rig.fill(0x999, 5, execution_id=7, route=rig.gate.handle(ROUTE), side=Side.SELL)

    assert rig.position() == -5


@pytest.mark.case("GATE-16")
def test_unknown_fill_never_makes_a_stricter_state_milder(rig: Rig) -> None:
    rig.stop("strategy:crypto/twap", "HALTED")

    rig.fill(0x999, 5, route=rig.gate.handle(ROUTE), side=Side.BUY)

    states = {row["scope"]: row["state"] for row in rig.gate.control("status", {})["states"]}
    assert states == {"strategy:crypto/twap": "HALTED"}


@pytest.mark.case("GATE-18")
def test_fill_larger_than_the_remainder_is_the_position_and_leaves_nothing_live(rig: Rig) -> None:
    child = rig.work(lots=10)

    rig.fill(child, 13)

    assert rig.position() == 13
    assert rig.live(child) is None
    assert rig.row("position_long", "firm:firm", "BTC-PERP")["reserved"] == 0
    assert rig.row("open_notional")["reserved"] == 0


@pytest.mark.case("GATE-18")
def test_parent_that_was_overfilled_has_nothing_left(open_rig: OpenRig) -> None:
    rig = open_rig()
    rig.parent(lots=10)
    rig.fill(rig.work(lots=10), 13)

    verdict = rig.buy(1)

    assert verdict.codes == (DenialCode.PARENT_QUANTITY_EXCEEDED,)
    assert verdict.binding is not None
    assert (verdict.binding.measured, verdict.binding.limit) == (14, 10)


@pytest.mark.case("GATE-20")
def test_order_whose_sending_timed_out_stays_reserved_and_a_retry_has_the_first_permit(rig: Rig) -> None:
    first = rig.buy(10)
    child = rig.last

    rig.tell(ReportKind.SEND_UNKNOWN, child)
    rig.clock.advance(DAY_NS)
    again = rig.gate.decide(rig.orders[child])

    assert (state_of(rig, child), rig.reserved(child)) == ("unknown", 10)
    assert again == first
    assert len(rig.gate.working()) == 1


@pytest.mark.case("GATE-20")
def test_unknown_order_becomes_working_when_its_venue_speaks(rig: Rig) -> None:
    rig.buy(10)
    child = rig.last
    rig.tell(ReportKind.SEND_UNKNOWN, child)

    rig.tell(ReportKind.ACKNOWLEDGED, child)

    assert (state_of(rig, child), rig.reserved(child)) == ("working", 10)


@pytest.mark.parametrize("late", [ReportKind.SENT, ReportKind.SEND_UNKNOWN, ReportKind.NOT_SENT])
def test_late_word_of_the_sender_takes_nothing_back_that_the_venue_has_said(rig: Rig, late: ReportKind) -> None:
    child = rig.work(lots=10)

    rig.tell(late, child)

    assert (state_of(rig, child), rig.reserved(child)) == ("working", 10)


@pytest.mark.case("GATE-22")
def test_reserved_lots_of_all_orders_equal_the_ledger_at_every_step(rig: Rig) -> None:
    chance = random.Random(20240808)  # one seeded history; tests/property walks many
    for _ in range(150):
        step(rig, chance)

        orders = rig.gate.working()
        for side, limit in ((Side.BUY, "position_long"), (Side.SELL, "position_short")):
            position = rig.position() * side
            reserved = sum(order.reserved_lots for order in orders if order.side == side)
            row = rig.row(limit, DESK, "BTC-PERP")
            assert row["used"] + row["reserved"] == max(0, reserved + position)
        assert rig.row("live_orders", DESK)["reserved"] == len(orders)


def step(rig: Rig, chance: random.Random) -> None:
    """Do one thing that a trader or a venue may do."""
    live = [order.child_id for order in rig.gate.working()]
    if not live or (len(live) < 12 and chance.random() < 0.4):
        rig.ask(chance.choice((Side.BUY, Side.SELL)), quantity_lots=chance.randint(1, 20))
        return
    child = chance.choice(live)
    match chance.randint(0, 6):
        case 0:
            rig.amend(child, quantity_lots=chance.randint(1, 30))
        case 1:
            rig.tell(ReportKind.AMENDED, child, quantity_lots=chance.randint(1, 30))
        case 2:
            rig.fill(child, chance.randint(1, 12))
        case 3:
            rig.cancel(child)
        case other:
            kinds = (ReportKind.ACKNOWLEDGED, ReportKind.CANCELLED, ReportKind.AMEND_REJECTED)
            rig.tell(kinds[other - 4], child)


@pytest.mark.case("GATE-24")
def test_thousand_orders_that_could_not_be_sent_leave_nothing_behind(rig: Rig) -> None:
    rig.parent()
    before = rig.exposure()

    for _ in range(1_000):
        verdict = rig.buy(7)
        assert verdict.is_allowed
        rig.tell(ReportKind.NOT_SENT, rig.last)

    assert rig.exposure() == before
    assert rig.gate.working() == []


@pytest.mark.case("GATE-25")
@pytest.mark.parametrize("force", [TimeInForce.IMMEDIATE_OR_CANCEL, TimeInForce.FILL_OR_KILL])
def test_order_that_should_have_expired_is_live_until_its_venue_says_so(rig: Rig, force: TimeInForce) -> None:
    child = rig.work(lots=10, time_in_force=force)
    rig.fill(child, 4)

    rig.clock.advance(DAY_NS)
    rig.gate.pass_time()
    afterwards = rig.reserved(child)
    rig.tell(ReportKind.EXPIRED, child, cumulative_lots=4)

    assert afterwards == 6
    assert rig.live(child) is None


@pytest.mark.parametrize("ended", [ReportKind.CANCELLED, ReportKind.EXPIRED, ReportKind.REJECTED])
def test_fills_that_the_venue_counts_and_we_have_not_seen_stay_reserved_until_they_arrive(
    rig: Rig, ended: ReportKind
) -> None:
    child = rig.work(lots=10)
    rig.fill(child, 2)

    rig.tell(ended, child, cumulative_lots=5)
    awaited = rig.reserved(child)
    rig.fill(child, 1)
    rig.fill(child, 2)

    assert awaited == 3
    assert rig.position() == 5
    assert rig.live(child) is None


@pytest.mark.parametrize(
    "nonsense",
    [
        {"quantity_lots": -1},
        {"quantity_lots": 1 << 41},
        {"price_ticks": 1 << 41},
        {"price_ticks": -(1 << 41)},
        {"cumulative_lots": -1},
        {"cumulative_lots": 1 << 62},
        {"fee_micro": 1 << 62},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_malformed_report_changes_nothing(rig: Rig, nonsense: dict[str, int]) -> None:
    child = rig.work(lots=10)
    before = rig.exposure()

    rig.tell(ReportKind.CANCELLED, child, **nonsense)

    assert rig.exposure() == before
    assert rig.reserved(child) == 10


@pytest.mark.parametrize("nonsense", [{"quantity_lots": 0}, {"execution_id": 0}, {"execution_id": -1}])
def test_fill_without_a_quantity_or_an_execution_changes_nothing(rig: Rig, nonsense: dict[str, int]) -> None:
    child = rig.work(lots=10)

    rig.fill(child, 4, **nonsense)

    assert rig.position() == 0
    assert rig.reserved(child) == 10


@pytest.mark.parametrize("price", [0, -5])
def test_fill_at_no_price_is_a_position_and_hides_no_loss(open_rig: OpenRig, price: int) -> None:
    """A fill reported at no price once divided by zero for inverse contracts, and counted as a gift for linear ones."""
    rig = open_rig(tightened(roomy_snapshot(), DESK, daily_loss_micro_max=LOT_MICRO))
    child = rig.work(lots=10)

    rig.fill(child, 10, price)

    assert rig.position() == 10
    assert rig.used("daily_loss", DESK) > LOT_MICRO
    assert DenialCode.SCOPE_HALTED in rig.buy(1).codes


def test_reports_about_orders_that_nobody_knows_change_nothing(rig: Rig) -> None:
    rig.work(lots=10)
    before = rig.exposure()

    for kind in ReportKind:
        if kind is not ReportKind.FILLED:
            rig.tell(kind, 0x999, quantity_lots=3)

    assert rig.exposure() == before


def test_every_end_frees_the_whole_reservation_at_every_scope(rig: Rig) -> None:
    rig.parent()
    before = rig.exposure()
    for ended in (ReportKind.CANCELLED, ReportKind.REJECTED, ReportKind.EXPIRED):
        rig.tell(ended, rig.work(lots=10))
    rig.buy(10)
    rig.tell(ReportKind.NOT_SENT, rig.last)

    assert rig.exposure() == before


def test_permit_of_an_order_still_stands_while_it_is_not_known_whether_it_was_sent(rig: Rig) -> None:
    verdict = rig.buy(10)
    order = rig.orders[rig.last]
    rig.tell(ReportKind.SEND_UNKNOWN, order.child_id)
    assert verdict.permit is not None

    verify(verdict.permit, order, key=rig.gate.permit_key(), fence=rig.gate.fence(), now_ns=rig.clock.wall)
    with pytest.raises(PermitInvalid, match="expired"):
        verify(verdict.permit, order, key=rig.gate.permit_key(), fence=rig.gate.fence(), now_ns=rig.clock.wall + DAY_NS)


def test_average_price_of_partial_fills_is_what_the_loss_is_measured_from(rig: Rig) -> None:
    child = rig.work(lots=10, price=PRICE + 100)
    rig.fill(child, 5, PRICE)
    rig.fill(child, 5, PRICE + 100)

    rig.quote(PRICE, PRICE + 2)

    assert rig.used("daily_loss", DESK) == 5 * 100 * 100
