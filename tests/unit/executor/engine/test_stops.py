"""Stops reach what they name, at once, and nothing else; what was stopped goes on only when it is free again."""

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.reports import ReportKind
from controlplane.domain.states import TradingState
from executor.engine.events import MachineArmed
from executor.orders.child import ChildState
from tests.support.trading import RESTING, World, denied


def two_working() -> World:
    """Return a world with two parents, one child of each working."""
    world = World()
    for _ in range(2):
        world.accept(parameters=RESTING, seconds=600)
        world.beat()
        world.says(ReportKind.ACKNOWLEDGED)
    return world


@pytest.mark.case("GATE-84")
def test_kill_cancels_everything_working_and_asks_nothing_more() -> None:
    world = two_working()
    world.gate.is_away = True
    asked = len([step for step in world.steps if step == "decide new"])

    world.gate.kill()
    world.beat(5_000)

    assert len(set(world.venue.cancelled)) == 2
    assert len([step for step in world.steps if step == "decide new"]) == asked
    assert world.state.counts["cancels_sent"] >= 2
    assert world.state.counts["parents_stopped"] == 2


def test_kill_cancels_leave_before_anything_is_asked_or_written() -> None:
    world = two_working()
    world.steps.clear()

    world.gate.kill()
    world.engine.watch_gate(world.clock.now_ns)

    assert world.steps[0] == "send cancel"
    assert "decide new" not in world.steps


def test_fills_that_arrive_after_a_kill_are_counted() -> None:
    world = two_working()
    world.gate.kill()
    world.beat()

    world.fills(40, 0)

    assert world.child(0).child.filled_lots == 40
    assert world.gate.reports[-1].kind is ReportKind.FILLED


def test_machine_armed_again_lets_parents_go_on() -> None:
    world = two_working()
    world.gate.kill()
    world.beat()
    for number in (0, 1):
        world.says(ReportKind.CANCELLED, number)
    world.beat(1_000)
    sent = len(world.venue.sent)

    world.gate.killed = False
    world.beat(300)

    assert len(world.venue.sent) == sent + 2


@pytest.mark.parametrize(
    "scope", ["firm:firm", "desk:crypto", "strategy:crypto/twap", "instrument:XYZ", "underlying:XYZ", "venue:SIM"]
)
def test_halt_of_any_scope_of_the_route_cancels_what_works_in_it(scope: str) -> None:
    world = two_working()

    world.gate.halt(scope)
    world.beat()

    assert len(set(world.venue.cancelled)) == 2


def test_halt_of_another_scope_touches_nothing() -> None:
    world = two_working()

    world.gate.halt("desk:equities")
    world.beat(1_000)

    assert world.venue.cancelled == []


def test_halt_of_one_parent_leaves_the_other_alone() -> None:
    world = two_working()
    first = world.child(0).child

    world.gate.halt(f"parent:{first.parent_id:016x}")
    world.beat()

    assert world.venue.cancelled == [first.child_id]


def test_paused_scope_keeps_working_orders_and_asks_nothing_new() -> None:
    world = two_working()
    world.gate.halt("desk:crypto", TradingState.PAUSED)
    world.beat()
    world.accept(parameters=RESTING)

    world.beat(2_000)

    assert world.venue.cancelled == []
    assert len(world.venue.sent) == 2
    assert world.state.counts["asks_withheld"] > 0


def test_reduce_only_cancels_and_leaves_the_proof_of_reduction_to_the_gate() -> None:
    world = two_working()
    world.gate.halt("desk:crypto", TradingState.REDUCE_ONLY)
    world.beat()
    world.says(ReportKind.CANCELLED, 0)

    world.beat(500)

    assert len(set(world.venue.cancelled)) == 2
    assert len([command for command in world.gate.decided if command.quantity_lots]) == 3


def test_lifted_halt_lets_the_parent_ask_at_once() -> None:
    world = two_working()
    world.gate.halt("desk:crypto")
    world.beat()
    for number in (0, 1):
        world.says(ReportKind.CANCELLED, number)
    world.beat(3_000)
    sent = len(world.venue.sent)

    world.gate.halt("desk:crypto", TradingState.ACTIVE)
    world.beat()

    assert len(world.venue.sent) == sent + 2


def test_denial_because_of_a_halt_cancels_what_works_for_that_parent() -> None:
    world = World()
    world.accept(lots=100, parameters=(("slices", "2"), ("patience_bps", "10000"), ("cross_bps", "10000")), seconds=10)
    world.beat()
    world.says(ReportKind.ACKNOWLEDGED)
    world.gate.verdicts = [denied(DenialCode.SCOPE_HALTED)] * 20

    world.beat(5_500)

    assert world.venue.cancelled == [world.child(0).child.child_id]
    assert world.child(0).child.state is ChildState.CANCEL_PENDING


def test_fence_that_moves_without_a_kill_lets_whoever_waited_ask_again() -> None:
    world = World()
    world.gate.verdicts = [denied(DenialCode.REFERENCE_STALE)]
    world.accept()
    world.beat()
    assert world.venue.sent == []

    world.gate.current_fence += 1
    world.beat()

    assert len(world.venue.sent) == 1
    assert world.state.fence == world.gate.current_fence


def test_armed_event_alone_does_not_cancel() -> None:
    world = two_working()

    world.handle(MachineArmed(2))

    assert world.venue.cancelled == []
