"""Parent and child orders as the record tells them; filled in by `projection.py` and read by pages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from controlplane.domain.reports import ReportKind

Facts = Mapping[str, object]


class ChildState(StrEnum):
    """Where a child order stands."""

    ASKED = "asked"
    DENIED = "denied"
    REFUSED = "refused"
    PERMITTED = "permitted"
    IN_FLIGHT = "in flight"
    UNKNOWN = "unknown"
    WORKING = "working"
    PARTLY_FILLED = "partly filled"
    CANCEL_PENDING = "cancel pending"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    NOT_SENT = "not sent"


ENDED = frozenset(
    {
        ChildState.DENIED,
        ChildState.REFUSED,
        ChildState.FILLED,
        ChildState.CANCELLED,
        ChildState.REJECTED,
        ChildState.EXPIRED,
        ChildState.NOT_SENT,
    }
)
LIVE_AT_VENUE = frozenset(
    {ChildState.WORKING, ChildState.PARTLY_FILLED, ChildState.CANCEL_PENDING, ChildState.UNKNOWN}
)


class ParentState(StrEnum):
    """Where a parent order stands."""

    WORKING = "working"
    PAUSED = "paused"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Entry:
    """One journal record: its place, and what it says.

    Fields
        log, seq  place in the record, written `gate-0.512`
        kind      name of the record's kind
        wall_ns   wall time that it states
        facts     all of it
        words     the 32 numbers of a fixed record; empty for others
    """

    log: str
    seq: int
    kind: str
    wall_ns: int
    facts: Facts
    words: tuple[int, ...] = ()

    @property
    def place(self) -> str:
        return f"{self.log}.{self.seq}"


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of a child order."""

    wall_ns: int
    lots: int
    price_ticks: int
    fee_micro: int
    child_id: str
    execution_id: str


@dataclass(slots=True)
class Child:
    """One child order with every record about it, oldest first."""

    child_id: str
    parent_id: str = ""
    requested: Entry | None = None
    decisions: list[Entry] = field(default_factory=list)
    denied: Entry | None = None
    sent: Entry | None = None
    refused: Entry | None = None
    reports: list[Entry] = field(default_factory=list)
    applied: list[Entry] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    side: str = ""
    quantity_lots: int = 0
    price_ticks: int = 0
    order_type: str = ""
    time_in_force: str = ""
    instrument: str = ""
    venue: str = ""
    last_report: ReportKind | None = None
    is_cancel_asked: bool = False
    ended_by: ReportKind | None = None
    last_ns: int = 0

    @property
    def filled_lots(self) -> int:
        return sum(fill.lots for fill in self.fills)

    @property
    def first_ns(self) -> int:
        """When the record first speaks of it."""
        entries = [entry for entry in (self.requested, *self.decisions[:1]) if entry is not None]
        return min((entry.wall_ns for entry in entries), default=self.last_ns)

    @property
    def state(self) -> ChildState:
        """Where it stands; what ended it wins over what was said before."""
        if self.ended_by is not None:
            return _ENDED_STATE[self.ended_by]
        if self.quantity_lots and self.filled_lots >= self.quantity_lots:
            return ChildState.FILLED
        if self.refused is not None:
            return ChildState.REFUSED
        if self.last_report is None and self.sent is None:
            return self._state_before_sending()
        if self.is_cancel_asked:
            return ChildState.CANCEL_PENDING
        if self.last_report is ReportKind.SEND_UNKNOWN:
            return ChildState.UNKNOWN
        if self.filled_lots:
            return ChildState.PARTLY_FILLED
        return ChildState.IN_FLIGHT if self.last_report in (None, ReportKind.SENT) else ChildState.WORKING

    def _state_before_sending(self) -> ChildState:
        new = self.opening_decision
        if self.denied is not None or (new is not None and new.facts.get("outcome") == "DENIED"):
            return ChildState.DENIED
        return ChildState.ASKED if new is None else ChildState.PERMITTED

    @property
    def opening_decision(self) -> Entry | None:
        """The decision about the new order, as opposed to those about amends and cancels of it."""
        return next((entry for entry in self.decisions if entry.facts.get("subkind") == "NEW"), None)


_ENDED_STATE = {
    ReportKind.NOT_SENT: ChildState.NOT_SENT,
    ReportKind.CANCELLED: ChildState.CANCELLED,
    ReportKind.REJECTED: ChildState.REJECTED,
    ReportKind.EXPIRED: ChildState.EXPIRED,
}


@dataclass(slots=True)
class Parent:
    """One parent order with its children in the order in which the record first speaks of them."""

    parent_id: str
    accepted: Entry | None = None
    opened: Entry | None = None
    finished: Entry | None = None
    tca: Entry | None = None
    commands: list[Entry] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    route: dict[str, str] = field(default_factory=dict)
    side: str = ""
    quantity_lots: int = 0
    denied_count: int = 0
    allowed_count: int = 0
    fills: list[Fill] = field(default_factory=list)
    is_paused: bool = False
    last_ns: int = 0

    @property
    def filled_lots(self) -> int:
        return sum(fill.lots for fill in self.fills)

    @property
    def state(self) -> ParentState:
        if self.finished is not None:
            return ParentState.FINISHED
        return ParentState.PAUSED if self.is_paused else ParentState.WORKING

    @property
    def started_ns(self) -> int:
        """When it was accepted, or when the record first speaks of it."""
        first = self.accepted or self.opened
        return first.wall_ns if first is not None else self.last_ns

    @property
    def average_ticks_milli(self) -> int:
        """Average fill price in thousandths of a tick, rounded to nearest; 0 before the first fill."""
        lots = self.filled_lots
        paid = sum(fill.lots * fill.price_ticks for fill in self.fills)
        return (2 * paid * 1_000 + lots) // (2 * lots) if lots else 0
