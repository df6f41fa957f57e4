"""Negative controls: what ought to pass does, since a gate that blocks too much is wrong as well."""

import random

import pytest

from controlplane.domain.orders import Side, TimeInForce
from controlplane.domain.reports import ReportKind
from tests.support.builders import ELSEWHERE, PRICE, rate, roomy_snapshot, tightened, with_rules, with_second_venue
from tests.support.policies import AS_OF_NS, shipped_snapshot, small_snapshot
from tests.support.rig import OpenRig, Rig

SECOND = 1_000_000_000


@pytest.mark.case("GATE-131")
def test_quiet_trading_under_ordinary_limits_is_never_denied(open_rig: OpenRig) -> None:
    """Twenty minutes of small orders, amends, fills and cancels under the small rule book as it is written."""
    rig = open_rig(small_snapshot(as_of_ns=AS_OF_NS))
    chance = random.Random(8)
    price = PRICE
    for _ in range(600):
        rig.clock.advance(2 * SECOND)
        price += chance.randint(-20, 20)
        rig.open_market(price=price, lots=40_000)
        trade_a_little(rig, chance, price)

    status = rig.gate.control("status", {})

    assert status["codes"] == {}
    assert status["decisions"]["ALLOWED"] > 400
    assert status["states"] == []


def trade_a_little(rig: Rig, chance: random.Random, price: int) -> None:
    """Send one order near the market or go on with one that works; keep the position small."""
    live = [order for order in rig.gate.working() if order.state == "working"]
    if len(live) < 3:
        position = rig.position()
        side = Side.BUY if position < -500 else Side.SELL if position > 500 else chance.choice((Side.BUY, Side.SELL))
        asked = price - side * chance.randint(-5, 50)
        # Nobody trades with himself: it stays behind its own orders on the other side.
        others = [order.price_ticks for order in live if order.side != side]
        rig.work(side, chance.randint(1, 300), side * min([side * asked, *(side * other - 1 for other in others)]))
        return
    order = chance.choice(live)
    match chance.randint(0, 2):
        case 0:
            rig.fill(order.child_id, chance.randint(1, order.remaining_lots), order.price_ticks)
        case 1:
            total = rig.orders[order.child_id].quantity_lots
            wanted = chance.randint(1, total)
            if rig.amend(order.child_id, quantity_lots=wanted).is_allowed:
                rig.tell(ReportKind.AMENDED, order.child_id, quantity_lots=wanted)
        case _:
            rig.cancel(order.child_id)
            rig.tell(ReportKind.CANCELLED, order.child_id)


@pytest.mark.case("GATE-131")
def test_shipped_limits_let_an_ordinary_order_pass_on_every_route(open_rig: OpenRig) -> None:
    snapshot = shipped_snapshot()
    open_hours = next(s for name, s in snapshot.calendars if len(s) == 1)
    rig = open_rig(snapshot, is_market_open=False)
    rig.clock.step_wall(max(0, open_hours[0][0] - rig.clock.wall))
    for currency in rig.gate.state.handles.currencies:
        rig.gate.observe(rate(1_000_000, currency=currency, at_ns=rig.clock.wall))
    tried = 0
    for route in snapshot.routes:
        rules = next(rule for rule in snapshot.instruments if rule.instrument.name == route.instrument)
        sessions = dict(snapshot.calendars)[rules.instrument.calendar]
        model = next(rule for rule in snapshot.models if rule.name == route.model)
        is_open = any(opened <= rig.clock.wall < closed for opened, closed in sessions)
        if not is_open or not model.is_approved or model.artefact_sha256 or rules.instrument.option:
            continue
        price = rules.static_reference_ticks or max(10_000, rules.instrument.price_min_ticks * 2)
        rig.open_market(instrument=route.instrument, price=price)
        verdict = rig.ask(on=route, quantity_lots=rules.instrument.quantity_min_lots, price_ticks=price)
        assert verdict.is_allowed, f"{route}: {verdict.explanation}"
        rig.tell(ReportKind.NOT_SENT, rig.last)
        rig.gate.close_parent(rig.parents.pop((route, Side.BUY)))
        tried += 1

    assert tried > 0


@pytest.mark.case("GATE-132")
@pytest.mark.parametrize("held", [1, 2, 7, 10, -1, -2, -7, -10])
def test_last_contract_can_be_closed_in_reduce_only(rig: Rig, held: int) -> None:
    rig.hold(held)
    rig.stop("firm:firm", "REDUCE_ONLY")

    rig.hold(-held)

    assert rig.position() == 0
    assert rig.used("gross_notional") == 0


@pytest.mark.case("GATE-132")
@pytest.mark.parametrize("held", [20, 25, 30, 45])
def test_every_size_that_the_venue_accepts_can_be_closed_in_reduce_only(open_rig: OpenRig, held: int) -> None:
    rig = open_rig(with_rules(roomy_snapshot(), quantity_min_lots=20, lot_step=5))
    rig.hold(held)
    rig.stop("desk:crypto", "REDUCE_ONLY")

    one_step_more = rig.sell(held + 5)
    rig.hold(-held)

    assert one_step_more.largest_passing_lots == held
    assert rig.position() == 0


@pytest.mark.case("GATE-132")
def test_position_can_be_closed_in_parts_and_on_another_venue_of_the_same_strategy(open_rig: OpenRig) -> None:
    rig = open_rig(with_second_venue(roomy_snapshot()))
    rig.hold(10)
    rig.stop("desk:crypto", "REDUCE_ONLY")

    rig.hold(-4, on=ELSEWHERE)
    rig.hold(-6)

    assert rig.position() == 0


@pytest.mark.case("GATE-132")
def test_position_can_be_closed_with_stale_prices_unknown_phase_and_over_every_money_limit(open_rig: OpenRig) -> None:
    rig = open_rig()
    rig.hold(10)
    cut = tightened(roomy_snapshot(version=2), "firm:firm", gross_notional_micro_max=1, net_notional_micro_max=1)
    rig.restart(cut, down_ns=3_600 * SECOND)

    assert not rig.buy(1).is_allowed
    rig.hold(-10)

    assert rig.position() == 0


@pytest.mark.case("GATE-133")
@pytest.mark.parametrize("state", ["REDUCE_ONLY", "PAUSED", "HALTED", "KILLED"])
def test_after_every_stop_trading_is_possible_again_by_lifting_alone(rig: Rig, state: str) -> None:
    if state == "KILLED":
        rig.gate.control("kill", {"reason": "drill", "by": "olga"})
        rig.lift("machine")
    else:
        rig.stop("firm:firm", state)
        rig.lift("firm:firm")

    assert rig.buy().is_allowed
    assert rig.gate.control("status", {})["state"] == "ACTIVE"
    assert rig.gate.control("status", {})["states"] == []


@pytest.mark.parametrize("force", TimeInForce)
@pytest.mark.parametrize("side", Side)
def test_order_of_every_force_and_side_passes(rig: Rig, force: TimeInForce, side: Side) -> None:
    assert rig.ask(side, time_in_force=force).is_allowed


def test_rows_of_finished_parents_and_orders_are_used_again_for_ever(rig: Rig) -> None:
    for _ in range(200):
        parent = rig.parent(lots=10)
        rig.fill(rig.work(lots=10), 10)
        rig.gate.close_parent(parent)
        rig.parents.clear()

    assert rig.position() == 2_000
    assert rig.gate.working() == []
