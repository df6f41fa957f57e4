"""What an operator may ask of one parent order: pause, resume, cancel. Each is recorded with who and why."""

from controlplane.domain.errors import UnknownReference
from controlplane.domain.ids import to_text
from executor.engine import records
from executor.engine.events import Action, Operation, OperatorSpoke, WriteRecord
from executor.engine.reports import want_cancel
from executor.engine.state import EngineState
from executor.orders.parent import ParentAct, act_on_parent

ACTS = {Operation.PAUSE: ParentAct.PAUSE, Operation.RESUME: ParentAct.RESUME, Operation.CANCEL: ParentAct.CANCEL}


def obey(state: EngineState, event: OperatorSpoke, actions: list[Action]) -> None:
    """Carry an operator's word out. A pause leaves working children alone; a cancel withdraws them.

    Errors
        UnknownReference  there is no such parent order
        StateConflict     the parent is in no state for it
    """
    work = state.parents.get(event.parent_id)
    if work is None:
        raise UnknownReference(f"Parent order {to_text(event.parent_id)} is unknown; list the orders and try again.")
    work.parent = act_on_parent(work.parent, ACTS[event.operation])
    actions.append(WriteRecord(records.parent_commanded(event, state.now_ns)))
    work.is_dirty = True
    if event.operation is Operation.CANCEL:
        work.finish_reason = event.reason
        for child in state.children_of(work):
            want_cancel(state, child, f"cancelled by {event.spoken_by}", actions)
