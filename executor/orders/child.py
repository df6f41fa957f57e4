"""The life of a child order: its states, what a report does to it, and where its lots are.

A child always names its parent. Reports come late, twice and out of order, so the rules are: an execution counts
once, whatever the state; only the venue's word ends an order that may have left the machine; a report that does not
fit changes nothing and is named an oddity. Lots that a venue says it filled but has not reported one by one stay live
until they are.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from controlplane.domain.errors import InvalidRequest, StateConflict
from controlplane.domain.invariants import require
from controlplane.domain.orders import Side
from controlplane.domain.reports import ReportKind, VenueReport


class ChildState(StrEnum):
    """Closed set of states. Live states come first, the states that end a child after them."""

    REQUESTED = "requested"
    PERMITTED = "permitted"
    SENT = "sent"
    UNKNOWN = "unknown"
    WORKING = "working"
    PARTIALLY_FILLED = "partially filled"
    CANCEL_PENDING = "cancel pending"
    FILLED = "filled"
    DENIED = "denied"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


class Oddity(StrEnum):
    """What was unusual about a report. Only the first two are harmless races; the others need a person's eye."""

    OUT_OF_ORDER = "out of order"
    DUPLICATE_EXECUTION = "duplicate execution"
    CONTRADICTED_EXECUTION = "same execution with other numbers"
    FILL_ABOVE_REMAINING = "fill above remaining"
    FILL_AFTER_END = "fill after end"
    FILL_WITHOUT_PERMIT = "fill without permit"
    FILLS_AWAITED = "venue counts fills it has not reported"


ENDED = frozenset(
    {
        ChildState.FILLED,
        ChildState.DENIED,
        ChildState.REFUSED,
        ChildState.CANCELLED,
        ChildState.REJECTED,
        ChildState.EXPIRED,
    }
)
UNANSWERED = frozenset({ChildState.REQUESTED, ChildState.PERMITTED, ChildState.SENT, ChildState.UNKNOWN})
NEVER_PERMITTED = frozenset({ChildState.REQUESTED, ChildState.DENIED})
AT_VENUE = frozenset(
    {
        ChildState.PERMITTED,
        ChildState.SENT,
        ChildState.UNKNOWN,
        ChildState.WORKING,
        ChildState.PARTIALLY_FILLED,
        ChildState.CANCEL_PENDING,
    }
)

# Report -> states in which it moves the child. In any other state it is out of order and changes no state.
# Fills are not here: they count in every state and their effect on the state is in `_state_after_fill`.
MOVES: dict[ReportKind, dict[ChildState, ChildState]] = {
    ReportKind.SENT: {ChildState.PERMITTED: ChildState.SENT},
    ReportKind.NOT_SENT: {
        ChildState.PERMITTED: ChildState.REFUSED,
        ChildState.UNKNOWN: ChildState.REFUSED,
        ChildState.CANCEL_PENDING: ChildState.REFUSED,
    },
    ReportKind.SEND_UNKNOWN: {ChildState.PERMITTED: ChildState.UNKNOWN, ChildState.SENT: ChildState.UNKNOWN},
    ReportKind.ACKNOWLEDGED: {
        ChildState.PERMITTED: ChildState.WORKING,
        ChildState.SENT: ChildState.WORKING,
        ChildState.UNKNOWN: ChildState.WORKING,
        # Still waiting for the cancel, but no longer in flight.
        ChildState.CANCEL_PENDING: ChildState.CANCEL_PENDING,
    },
    ReportKind.CANCEL_REQUESTED: {
        state: ChildState.CANCEL_PENDING for state in AT_VENUE if state is not ChildState.CANCEL_PENDING
    },
    # Where a rejected cancel leads back to depends on what the venue has said so far: `_state_without_cancel`.
    ReportKind.CANCEL_REJECTED: {ChildState.CANCEL_PENDING: ChildState.WORKING},
    ReportKind.CANCELLED: dict.fromkeys(AT_VENUE, ChildState.CANCELLED),
    ReportKind.REJECTED: dict.fromkeys(AT_VENUE, ChildState.REJECTED),
    ReportKind.EXPIRED: dict.fromkeys(AT_VENUE, ChildState.EXPIRED),
    ReportKind.AMENDED: {state: state for state in AT_VENUE},
    ReportKind.AMEND_REJECTED: {state: state for state in AT_VENUE},
}


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill, counted once: the venue's number, lots, price, fee and times."""

    execution_id: int
    quantity_lots: int
    price_ticks: int
    fee_micro: int
    exchange_ns: int
    receive_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One child order.

    Fields
        quantity_lots         ordered, as last confirmed
        filled_lots           sum of its executions, whatever else a venue claims
        venue_filled_lots     most the venue ever claimed to have filled in all
        is_acknowledged       the venue has answered: what is left is working, before that it is in flight
    """

    child_id: int
    parent_id: int
    side: Side
    quantity_lots: int
    state: ChildState = ChildState.REQUESTED
    filled_lots: int = 0
    venue_filled_lots: int = 0
    is_acknowledged: bool = False
    executions: tuple[Execution, ...] = ()

    @property
    def has_ended(self) -> bool:
        """No further lot is expected from it, except those in `awaited_lots`."""
        return self.state in ENDED

    @property
    def remaining_lots(self) -> int:
        """Ordered and not filled; what a venue filled beyond the order does not make it negative."""
        return max(self.quantity_lots - self.filled_lots, 0)

    @property
    def awaited_lots(self) -> int:
        """Filled by the venue's own count and not yet reported."""
        return max(self.venue_filled_lots - self.filled_lots, 0)

    @property
    def live_lots(self) -> int:
        """What may still be filled: the remaining lots of a live child, the awaited lots of an ended one."""
        return self.awaited_lots if self.has_ended else max(self.remaining_lots, self.awaited_lots)

    @property
    def working_lots(self) -> int:
        """Live lots of an order that the venue has answered for."""
        return self.live_lots if self.is_acknowledged else 0

    @property
    def in_flight_lots(self) -> int:
        """Live lots of an order without an answer yet."""
        return 0 if self.is_acknowledged else self.live_lots


@dataclass(frozen=True, slots=True)
class ChildChange:
    """A child after something happened to it, what was newly filled, and what was odd."""

    child: Child
    filled: Execution | None = None
    oddities: tuple[Oddity, ...] = ()


def request_child(*, child_id: int, parent_id: int, side: Side, quantity_lots: int) -> Child:
    """Return a child that is about to be decided; its lots are in flight from here on.

    Errors
        InvalidRequest   a quantity that is not positive
    """
    if quantity_lots <= 0:
        raise InvalidRequest(
            f"quantity_lots of a child must be positive, found {quantity_lots}.", field="quantity_lots"
        )
    return Child(child_id=child_id, parent_id=parent_id, side=side, quantity_lots=quantity_lots)


def decide_child(child: Child, *, is_allowed: bool) -> Child:
    """Return the child with the gate's decision.

    Errors
        StateConflict   it was decided before: a child is decided exactly once
    """
    if child.state is not ChildState.REQUESTED:
        raise StateConflict(
            f"Child {child.child_id} must be requested to be decided, found {child.state}; decide each child once."
        )
    return replace(child, state=ChildState.PERMITTED if is_allowed else ChildState.DENIED)


def apply_report(child: Child, report: VenueReport) -> ChildChange:
    """Return the child after a report, however late, repeated or odd the report is.

    Errors
        InvariantBroken   the report names another child
        InvalidRequest    a fill without lots or number, which an adapter may not pass on
    """
    require(
        report.child_id == child.child_id,
        f"A report about child {report.child_id} was applied to child {child.child_id}.",
    )
    change = _fill(child, report) if report.kind is ReportKind.FILLED else _move(_claimed(child, report), report)
    if change.child.has_ended and change.child.awaited_lots:
        return replace(change, oddities=(*change.oddities, Oddity.FILLS_AWAITED))
    return change


def _claimed(child: Child, report: VenueReport) -> Child:
    """Return the child with the venue's own count of its fills, which never falls."""
    return replace(child, venue_filled_lots=max(child.venue_filled_lots, report.cumulative_lots))


def _fill(child: Child, report: VenueReport) -> ChildChange:
    """Return the child with the execution counted, unless it was counted before."""
    if report.quantity_lots <= 0 or report.execution_id == 0:
        raise InvalidRequest(
            f"A fill must hold positive lots and the venue's number, found {report.quantity_lots} lots and number "
            f"{report.execution_id}; quarantine the report and ask the venue.",
            field="execution_id",
        )
    execution = Execution(
        execution_id=report.execution_id,
        quantity_lots=report.quantity_lots,
        price_ticks=report.price_ticks,
        fee_micro=report.fee_micro,
        exchange_ns=report.exchange_ns,
        receive_ns=report.receive_ns,
    )
    for known in child.executions:
        if known.execution_id == execution.execution_id:
            is_same = (known.quantity_lots, known.price_ticks) == (execution.quantity_lots, execution.price_ticks)
            oddity = Oddity.DUPLICATE_EXECUTION if is_same else Oddity.CONTRADICTED_EXECUTION
            return ChildChange(_claimed(child, report), oddities=(oddity,))
    filled = replace(
        _claimed(child, report),
        filled_lots=child.filled_lots + execution.quantity_lots,
        executions=(*child.executions, execution),
        is_acknowledged=True,
    )
    return ChildChange(
        replace(filled, state=_state_after_fill(filled)), filled=execution, oddities=_fill_oddities(child, execution)
    )


def _state_after_fill(child: Child) -> ChildState:
    """Return the state after a fill; what the gate denied and the venue fills all the same is alive."""
    if child.has_ended and child.state is not ChildState.DENIED:
        return child.state
    if child.remaining_lots == 0:
        return ChildState.FILLED
    if child.state is ChildState.CANCEL_PENDING:
        return child.state
    return ChildState.PARTIALLY_FILLED


def _fill_oddities(before: Child, execution: Execution) -> tuple[Oddity, ...]:
    """Return what is odd about a fill that is counted, seen from the child as it was before the report."""
    is_awaited = execution.quantity_lots <= before.awaited_lots
    return tuple(
        oddity
        for oddity, is_so in (
            (Oddity.FILL_WITHOUT_PERMIT, before.state in NEVER_PERMITTED),
            (Oddity.FILL_AFTER_END, before.has_ended and not is_awaited),
            (Oddity.FILL_ABOVE_REMAINING, execution.quantity_lots > before.remaining_lots),
        )
        if is_so
    )


def _move(child: Child, report: VenueReport) -> ChildChange:
    """Return the child moved by a report that is not a fill; unmoved and named when it does not fit."""
    next_state = MOVES[report.kind].get(child.state)
    if next_state is None or (report.kind is ReportKind.NOT_SENT and child.is_acknowledged):
        return ChildChange(child, oddities=(Oddity.OUT_OF_ORDER,))
    if report.kind is ReportKind.CANCEL_REJECTED:
        return ChildChange(replace(child, state=_state_without_cancel(child)))
    if report.kind is ReportKind.AMENDED:
        return _amend(child, report)
    is_answer = report.kind is ReportKind.ACKNOWLEDGED
    moved = replace(child, state=next_state, is_acknowledged=child.is_acknowledged or is_answer)
    return ChildChange(moved)


def _state_without_cancel(child: Child) -> ChildState:
    """Return the state of a child whose cancel was rejected; without an earlier answer it is still unknown."""
    if child.filled_lots:
        return ChildState.PARTIALLY_FILLED
    return ChildState.WORKING if child.is_acknowledged else ChildState.UNKNOWN


def _amend(child: Child, report: VenueReport) -> ChildChange:
    """Return the child with its new total; a total below what is filled leaves nothing, never less than nothing."""
    if report.quantity_lots <= 0:
        raise InvalidRequest(
            f"An amended quantity must be positive, found {report.quantity_lots}; a removed order is cancelled.",
            field="quantity_lots",
        )
    amended = replace(child, quantity_lots=report.quantity_lots, is_acknowledged=True)
    if amended.remaining_lots == 0:
        return ChildChange(replace(amended, state=ChildState.FILLED))
    if child.state in UNANSWERED:
        return ChildChange(replace(amended, state=_state_without_cancel(amended)))
    return ChildChange(amended)
