"""Nothing leaves for a venue without a valid permit of its own; cancels leave in every state."""

from dataclasses import replace

import pytest

from controlplane.domain.decisions import Permit
from controlplane.domain.errors import PermitInvalid
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.gate.permit import PermitKey
from executor.venues.port import Delivery
from tests.support.trading import PERMIT_TTL_NS, World, altered


def order(child_id: int = 0x1001, **changes: object) -> OrderCommand:
    command = OrderCommand(
        CommandKind.NEW,
        child_id,
        child_id,
        0x501,
        7,
        Side.BUY,
        OrderType.LIMIT,
        TimeInForce.GOOD_TILL_CANCEL,
        10,
        10_000,
    )
    return replace(command, **changes)  # type: ignore[arg-type]


def permitted(world: World, command: OrderCommand) -> Permit:
    permit = world.gate.decide(command).permit
    assert permit is not None
    return permit


def test_order_with_its_own_permit_leaves() -> None:
    world, command = World(), order()

    result = world.venue.send(command, permitted(world, command))

    assert result.delivery is Delivery.SENT
    assert world.venue.sent == [command]


@pytest.mark.case("GATE-01")
def test_order_without_permit_is_refused_and_counted() -> None:
    world = World()

    with pytest.raises(PermitInvalid, match="without a permit; ask the gate first"):
        world.venue.send(order(), None)

    assert world.venue.sent == []
    assert world.venue.refused_count == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity_lots": 11},
        {"price_ticks": 10_001},
        {"side": Side.SELL},
        {"child_id": 0x1002, "request_id": 0x1002},
        {"order_type": OrderType.MARKET},
        {"time_in_force": TimeInForce.POST_ONLY},
        {"route": 8},
        {"parent_id": 0x502},
        {"trigger_ticks": 1},
        {"model_digest": 1},
        {"kind": CommandKind.AMEND},
    ],
)
def test_permit_is_worth_nothing_for_an_order_that_differs_in_one_field(changes: dict[str, object]) -> None:
    world, command = World(), order()
    permit = permitted(world, command)

    with pytest.raises(PermitInvalid):
        world.venue.send(replace(command, **changes), permit)  # type: ignore[arg-type]

    assert world.venue.sent == []


def test_permit_sends_one_order_once() -> None:
    world, command = World(), order()
    permit = permitted(world, command)
    world.venue.send(command, permit)

    with pytest.raises(PermitInvalid, match="used before"):
        world.venue.send(command, permit)

    assert len(world.venue.sent) == 1


@pytest.mark.case("GATE-72")
def test_permit_expires_one_nanosecond_after_its_time() -> None:
    world, command, late = World(), order(), order(0x1002)
    permit, late_permit = permitted(world, command), permitted(world, late)
    world.clock.advance_to(permit.expiry_ns)

    assert world.venue.send(command, permit).delivery is Delivery.SENT
    world.clock.advance_to(permit.expiry_ns + 1)
    with pytest.raises(PermitInvalid, match="expired 1 ns ago"):
        world.venue.send(late, late_permit)


@pytest.mark.case("GATE-82")
def test_permit_in_flight_is_void_after_a_kill() -> None:
    world, command = World(), order()
    permit = permitted(world, command)
    world.gate.kill()

    with pytest.raises(PermitInvalid, match="fence"):
        world.venue.send(command, permit)

    assert world.venue.sent == []


@pytest.mark.parametrize(
    "changes", [{"code": b"\0" * 16}, {"sequence": 2}, {"expiry_ns": PERMIT_TTL_NS << 32}, {"epoch": 2}, {"gate_id": 1}]
)
def test_altered_permit_is_refused(changes: dict[str, object]) -> None:
    world, command = World(), order()
    permit = altered(permitted(world, command), **changes)

    with pytest.raises(PermitInvalid):
        world.venue.send(command, permit)


def test_permit_of_another_run_of_the_gate_is_refused() -> None:
    world, command = World(), order()
    permit = permitted(world, command)
    world.gate.key = PermitKey(0, 2, b"n" * 32)

    with pytest.raises(PermitInvalid, match="run"):
        world.venue.send(command, permit)


def test_cancel_needs_no_permit_and_may_not_come_through_send() -> None:
    world = World()
    world.gate.kill()
    cancel = order(kind=CommandKind.CANCEL, request_id=0x1009)

    result = world.venue.cancel(cancel)

    assert result.delivery is Delivery.SENT
    assert world.venue.cancelled == [cancel.child_id]
    with pytest.raises(PermitInvalid, match=r"use cancel\(\)"):
        world.venue.send(cancel, None)
