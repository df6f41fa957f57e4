"""Stops, whoever set them: nothing new is asked in a stopped scope, and what a halt reaches is cancelled at once.

Cancels wait for nothing here: no question to the gate, no turn of a strategy. Paused leaves working orders alone;
reduce-only cancels them all, since what reduces may be asked for again and the gate proves the reduction.
"""

from controlplane.domain.states import TradingState
from executor.engine.events import Action, GateReturned, MachineArmed, MachineStopped, ScopeStateChanged
from executor.engine.reports import want_cancel
from executor.engine.state import EngineState, ParentWork

CANCELLING_STATES = frozenset({TradingState.REDUCE_ONLY, TradingState.HALTED})


def on_scope_state(state: EngineState, event: ScopeStateChanged, actions: list[Action]) -> None:
    """Take in a scope's new state; cancel what works in it when the state says so, and ask again when it is free."""
    state.scopes[event.scope] = event.state
    if event.state is TradingState.ACTIVE:
        del state.scopes[event.scope]
    for work in list(state.active_parents.values()):
        if state.trading_state(work) in CANCELLING_STATES:
            cancel_working(state, work, f"{event.scope} is {event.state.name.lower()}: {event.reason}", actions)
        forget_setback(state, work)


def on_machine_stopped(state: EngineState, event: MachineStopped, actions: list[Action]) -> None:
    """Cancel everything that works on this machine; nothing is asked until the switch is armed again."""
    state.is_killed, state.fence = True, event.fence
    for work in list(state.active_parents.values()):
        cancel_working(state, work, "the machine was killed", actions)


def on_free(state: EngineState, event: MachineArmed | GateReturned) -> None:
    """Ask again after a stop or an absence of the gate."""
    state.fence = event.fence
    if isinstance(event, MachineArmed):
        state.is_killed = False
    for work in state.active_parents.values():
        forget_setback(state, work)


def cancel_working(state: EngineState, work: ParentWork, reason: str, actions: list[Action]) -> None:
    """Cancel every child of a parent that may still be filled."""
    state.counts["parents_stopped"] += 1
    for child in state.children_of(work):
        want_cancel(state, child, reason, actions)


def forget_setback(state: EngineState, work: ParentWork) -> None:
    """Let a parent be asked at once, whatever came of it while its scope was stopped."""
    work.setback = None
    work.is_dirty = True
    state.look_again(state.now_ns)
