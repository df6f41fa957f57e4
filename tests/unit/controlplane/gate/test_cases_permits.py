"""Permits of the gate: each stands for one exact order, and the suggested quantity is the largest that gets one."""

import dataclasses
import random

import pytest

from controlplane.domain.decisions import Permit
from controlplane.domain.errors import PermitInvalid
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind
from controlplane.domain.scopes import Route
from controlplane.gate.permit import SpentPermits, verify
from controlplane.gate.snapshot import Snapshot
from tests.support.builders import (
    CALL,
    INVERSE,
    PRICE,
    ROUTE,
    amend_command,
    rate,
    roomy_snapshot,
    tightened,
    with_parent_limits,
    with_rules,
)
from tests.support.rig import OpenRig, Rig

FIELDS = [field.name for field in dataclasses.fields(OrderCommand)]


def allowed(rig: Rig, kind: CommandKind) -> tuple[OrderCommand, Permit]:
    """Return an allowed command of a kind with its permit."""
    if kind is CommandKind.AMEND:
        child = rig.work()
        command = amend_command(rig.orders[child], request_id=rig.next_id(), quantity_lots=12, price_ticks=PRICE - 3)
        verdict = rig.gate.decide(command)
        assert verdict.permit is not None
        return command, verdict.permit
    verdict = rig.ask(
        Side.SELL, kind=kind, order_type=OrderType.STOP, trigger_ticks=PRICE + 5, price_ticks=PRICE - 5,
        time_in_force=TimeInForce.GOOD_TILL_CANCEL, quantity_lots=7,
    )  # fmt: skip
    assert verdict.permit is not None
    return rig.orders[rig.last], verdict.permit


KINDS = [CommandKind.NEW, CommandKind.AMEND, CommandKind.QUOTE_ACCEPTANCE]


@pytest.mark.parametrize("kind", KINDS)
def test_permit_of_the_gate_stands_for_its_order(rig: Rig, kind: CommandKind) -> None:
    command, permit = allowed(rig, kind)

    verify(permit, command, key=rig.gate.permit_key(), fence=rig.gate.fence(), now_ns=rig.clock.wall)
    assert permit.sequence == rig.gate.sequence
    assert permit.expiry_ns == rig.clock.wall + rig.gate.state.snapshot.permit_ttl_ns


@pytest.mark.parametrize("kind", KINDS)
def test_permit_of_the_gate_stands_for_no_order_that_differs_in_one_field(rig: Rig, kind: CommandKind) -> None:
    command, permit = allowed(rig, kind)

    altered = {name: dataclasses.replace(command, **{name: getattr(command, name) + 1}) for name in FIELDS}

    refused = [name for name, other in altered.items() if "was altered" in refusal(rig, permit, other)]
    assert refused == FIELDS


def test_permit_of_the_gate_whose_own_field_was_changed_is_refused(rig: Rig) -> None:
    command, permit = allowed(rig, CommandKind.NEW)
    numbers = ("gate_id", "epoch", "sequence", "expiry_ns", "fence")

    changed = [dataclasses.replace(permit, **{name: getattr(permit, name) + 1}) for name in numbers]

    assert refusal(rig, permit, command) == ""
    assert all(refusal(rig, other, command) for other in changed)
    assert refusal(rig, dataclasses.replace(permit, code=bytes(16)), command)


def refusal(rig: Rig, permit: Permit, command: OrderCommand) -> str:
    """Return why an adapter would not send this order with this permit here and now, nothing when it would."""
    try:
        verify(permit, command, key=rig.gate.permit_key(), fence=rig.gate.fence(), now_ns=rig.clock.wall)
    except PermitInvalid as error:
        return str(error)
    return ""


def test_every_decision_has_a_permit_of_its_own_and_each_is_spent_once(rig: Rig) -> None:
    spent, codes = SpentPermits(), set()
    for _ in range(10):
        permit = rig.buy(1).permit
        assert permit is not None
        spent.spend(permit)
        codes.add(permit.code)
        with pytest.raises(PermitInvalid, match="used before"):
            spent.spend(permit)

    assert len(codes) == 10


def test_denied_order_and_cancel_have_no_permit(rig: Rig) -> None:
    child = rig.work()

    assert rig.buy(price=1).permit is None
    assert rig.cancel(child).permit is None
    assert rig.gate.permit_code == bytes(16)


def test_two_runs_of_one_gate_have_different_keys(rig: Rig) -> None:
    first = rig.gate.permit_key()

    rig.restart()

    second = rig.gate.permit_key()
    assert (first.epoch, second.epoch) == (1, 2)
    assert first.secret != second.secret


# --- the largest quantity that passes ---------------------------------------------------------------------------------


def crowded() -> Snapshot:
    """Return limits of every kind that lie close together, so that any of them may be the tightest."""
    usd = 1_000_000
    limits = roomy_snapshot()
    limits = tightened(limits, "firm:firm", gross_notional_micro_max=90_000 * usd, net_notional_micro_max=61_000 * usd)
    limits = tightened(limits, "desk:crypto", position_long_lots_max=700, position_short_lots_max=500)
    limits = tightened(limits, "strategy:crypto/twap", order_notional_micro_max=40_000 * usd + 77)
    limits = tightened(limits, "model:crypto/twap/schedule", open_notional_micro_max=52_000 * usd + 13)
    limits = tightened(limits, "venue:SIM", order_quantity_lots_max=640)
    for instrument in ("BTC-INVERSE", "ETH-CALL"):
        limits = tightened(
            limits, "desk:crypto", instrument=instrument, position_long_lots_max=900, position_short_lots_max=800
        )
    limits = with_rules(limits, lot_step=7, quantity_min_lots=7, quantity_max_lots=7 * 90)
    return with_parent_limits(limits, limits={"gross_notional_micro_max": 55_000 * usd})


def crowded_market(rig: Rig) -> None:
    rig.gate.observe(rate(60_000_000_000, at_ns=rig.clock.wall))
    rig.open_market(lots=3_000)
    rig.open_market(instrument="BTC-INVERSE", price=PRICE)
    rig.open_market(instrument="ETH-CALL", price=900)
    rig.quote(250_000, 250_002, instrument="ETH-PERP")


@pytest.mark.parametrize("seed", range(4))
def test_suggested_quantity_passes_and_one_step_more_does_not(open_rig: OpenRig, seed: int) -> None:
    """In a history of fills and orders of three payoffs; the states in which nothing would pass are counted as well."""
    rig, chance = open_rig(crowded()), random.Random(seed)
    crowded_market(rig)
    suggested = empty = 0
    for _ in range(120):
        route, price, step = chance.choice([(ROUTE, PRICE, 7), (INVERSE, PRICE, 1), (CALL, 900, 1)])
        side = chance.choice((Side.BUY, Side.SELL))
        asked = {"price_ticks": price - side * chance.randint(-3, 5), "quantity_lots": chance.randint(1, 300) * step}

        verdict = rig.ask(side, on=route, **asked)
        if not verdict.is_allowed and verdict.largest_passing_lots == 0:
            empty += 1
            assert not rig.ask(side, on=route, **asked | {"quantity_lots": step}).is_allowed
            for order in rig.gate.working()[:2]:
                rig.tell(ReportKind.CANCELLED, order.child_id)
        elif not verdict.is_allowed:
            suggested += 1
            largest = verdict.largest_passing_lots
            assert largest % step == 0
            assert not rig.ask(side, on=route, **asked | {"quantity_lots": largest + step}).is_allowed
            verdict = rig.ask(side, on=route, **asked | {"quantity_lots": largest})
            assert verdict.is_allowed, f"{route.instrument} {asked} {largest}: {verdict.explanation}"
        if verdict.is_allowed:
            go_on(rig, chance, asked["price_ticks"], route)

    assert suggested > 20
    assert empty > 0


def go_on(rig: Rig, chance: random.Random, price: int, route: Route) -> None:
    """Fill, cancel or leave the order that was allowed last, and keep some rows free."""
    child, order = rig.last, rig.live(rig.last)
    assert order is not None
    choice = chance.randint(0, 2)
    if choice == 0:
        rig.fill(child, chance.randint(1, 1 + order.remaining_lots // 6), price)
    if choice == 1 or len(rig.gate.working()) > 8:
        rig.tell(ReportKind.CANCELLED, child)
    if len(rig.gate.working()) > 6:
        rig.tell(ReportKind.CANCELLED, rig.gate.working()[0].child_id)
