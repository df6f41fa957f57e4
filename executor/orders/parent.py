"""The life of a parent order and where its lots are.

Every lot of a parent is in exactly one place: filled, working, in flight, unplaced or cancelled. A change of a child
moves lots between these places; the parent keeps its own count of each, apart from the children's, so that
`reconcile.py` has two accounts to compare.

A venue can fill more than it was asked for, or fill what it said it had cancelled and we have placed again. Then more
is filled and live than was ordered; the difference is `excess_lots`, which only such a venue can make positive, and
which falls again as other children end.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from controlplane.domain.errors import InvalidRequest, StateConflict
from controlplane.domain.invariants import require
from controlplane.domain.orders import Side
from executor.orders.child import Child, ChildState


class ParentState(StrEnum):
    """Closed set of states; the last three end a parent."""

    ACCEPTED = "accepted"
    ACTIVE = "active"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    EXPIRING = "expiring"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class ParentAct(StrEnum):
    """What people and time do to a parent; everything else follows from its children."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    EXPIRE = "expire"


ENDED = frozenset({ParentState.FILLED, ParentState.CANCELLED, ParentState.EXPIRED})
CLOSING = {ParentState.CANCELLING: ParentState.CANCELLED, ParentState.EXPIRING: ParentState.EXPIRED}
WANTING = frozenset({ParentState.ACCEPTED, ParentState.ACTIVE, ParentState.PAUSED})
"""States in which lots that come back are wanted again."""

MOVES: dict[ParentAct, dict[ParentState, ParentState]] = {
    ParentAct.START: {ParentState.ACCEPTED: ParentState.ACTIVE},
    ParentAct.PAUSE: {ParentState.ACTIVE: ParentState.PAUSED, ParentState.ACCEPTED: ParentState.PAUSED},
    ParentAct.RESUME: {ParentState.PAUSED: ParentState.ACTIVE},
    ParentAct.CANCEL: {
        **dict.fromkeys(WANTING, ParentState.CANCELLING),
        ParentState.EXPIRING: ParentState.CANCELLING,
    },
    ParentAct.EXPIRE: dict.fromkeys(WANTING, ParentState.EXPIRING),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """One parent order.

    Fields
        quantity_lots       ordered
        unplaced_lots       wanted and not with any child
        cancelled_lots      given up for good: never wanted again, though a late fill may still take from them
        excess_lots         filled and live beyond what was ordered, by a venue's doing
        limit_price_ticks   worst price of any child, None for none
    """

    parent_id: int
    instrument: str
    side: Side
    quantity_lots: int
    limit_price_ticks: int | None
    accepted_ns: int
    start_ns: int
    end_ns: int
    state: ParentState = ParentState.ACCEPTED
    filled_lots: int = 0
    working_lots: int = 0
    in_flight_lots: int = 0
    unplaced_lots: int = 0
    cancelled_lots: int = 0
    excess_lots: int = 0

    @property
    def has_ended(self) -> bool:
        """Nothing is live and nothing is wanted any more."""
        return self.state in ENDED

    @property
    def live_lots(self) -> int:
        """Working and in flight."""
        return self.working_lots + self.in_flight_lots


def accept_parent(
    *,
    parent_id: int,
    instrument: str,
    side: Side,
    quantity_lots: int,
    limit_price_ticks: int | None,
    accepted_ns: int,
    start_ns: int,
    end_ns: int,
) -> Parent:
    """Return a new parent with all its lots unplaced.

    Errors
        InvalidRequest   a quantity or limit price that is not positive, or no time between start and end
    """
    if quantity_lots <= 0:
        raise InvalidRequest(
            f"quantity_lots of a parent must be positive, found {quantity_lots}.", field="quantity_lots"
        )
    if limit_price_ticks is not None and limit_price_ticks <= 0:
        raise InvalidRequest(
            f"limit_price_ticks must be positive, found {limit_price_ticks}.", field="limit_price_ticks"
        )
    if end_ns <= start_ns:
        raise InvalidRequest(f"end_ns must lie after start_ns {start_ns}, found {end_ns}.", field="end_ns")
    return Parent(
        parent_id=parent_id,
        instrument=instrument,
        side=side,
        quantity_lots=quantity_lots,
        limit_price_ticks=limit_price_ticks,
        accepted_ns=accepted_ns,
        start_ns=start_ns,
        end_ns=end_ns,
        unplaced_lots=quantity_lots,
    )


def act_on_parent(parent: Parent, act: ParentAct) -> Parent:
    """Return the parent after a person's or the clock's act; closing gives up what is unplaced at once.

    Errors
        StateConflict   the act does not fit the state
    """
    next_state = MOVES[act].get(parent.state)
    if next_state is None:
        raise StateConflict(
            f"Parent {parent.parent_id} cannot {act} while {parent.state}; reload it and look at its state."
        )
    moved = replace(parent, state=next_state)
    if next_state in CLOSING:
        moved = replace(moved, unplaced_lots=0, cancelled_lots=moved.cancelled_lots + moved.unplaced_lots)
    return _settled(moved)


def place_child(parent: Parent, child: Child) -> Parent:
    """Return the parent with the lots of a requested child moved from unplaced to in flight.

    Errors
        StateConflict   the parent is not active, or wants fewer lots than the child asks for
    """
    require(
        child.parent_id == parent.parent_id and child.side is parent.side and child.state is ChildState.REQUESTED,
        f"Only a requested child of parent {parent.parent_id} may be placed, found {child.state} child of "
        f"{child.parent_id} on side {child.side.name}.",
    )
    if parent.state is not ParentState.ACTIVE or child.quantity_lots > parent.unplaced_lots:
        raise StateConflict(
            f"Parent {parent.parent_id} must be active with {child.quantity_lots} lots unplaced, found {parent.state} "
            f"with {parent.unplaced_lots}; decide again on its present state."
        )
    return replace(
        parent,
        unplaced_lots=parent.unplaced_lots - child.quantity_lots,
        in_flight_lots=parent.in_flight_lots + child.quantity_lots,
    )


def absorb_change(parent: Parent, *, before: Child, after: Child) -> Parent:
    """Return the parent after one of its children changed.

    Lots that a child gives back become unplaced, or cancelled when the parent is closing or has ended; lots that a
    child takes beyond what it had come from there, and from nowhere (`excess_lots`) when nothing is left there.
    """
    require(
        before.child_id == after.child_id and after.parent_id == parent.parent_id,
        f"Parent {parent.parent_id} absorbs changes of one child of its own, found children {before.child_id} and "
        f"{after.child_id} of parent {after.parent_id}.",
    )
    filled_lots = parent.filled_lots + after.filled_lots - before.filled_lots
    working_lots = parent.working_lots + after.working_lots - before.working_lots
    in_flight_lots = parent.in_flight_lots + after.in_flight_lots - before.in_flight_lots
    taken_lots = filled_lots + working_lots + in_flight_lots - parent.filled_lots - parent.live_lots
    wants = parent.state in WANTING
    spare_lots = (parent.unplaced_lots if wants else parent.cancelled_lots) - parent.excess_lots - taken_lots
    return _settled(
        replace(
            parent,
            filled_lots=filled_lots,
            working_lots=working_lots,
            in_flight_lots=in_flight_lots,
            unplaced_lots=max(spare_lots, 0) if wants else parent.unplaced_lots,
            cancelled_lots=parent.cancelled_lots if wants else max(spare_lots, 0),
            excess_lots=max(-spare_lots, 0),
        )
    )


def _settled(parent: Parent) -> Parent:
    """Return the parent, ended when nothing is live and nothing is wanted; an ended parent stays as it ended."""
    if parent.has_ended or parent.live_lots or parent.unplaced_lots:
        return parent
    if parent.filled_lots >= parent.quantity_lots:
        return replace(parent, state=ParentState.FILLED)
    return replace(parent, state=CLOSING[parent.state]) if parent.state in CLOSING else parent
