"""What supervision needs of the search index over the journal, as one seam."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from controlplane.supervision.orders import Entry


@dataclass(frozen=True, slots=True)
class DecisionQuery:
    """Which decisions somebody looks for; a field left out doesn't narrow.

    Fields
        from_ns, to_ns  wall time, the end excluded
        outcome         `ALLOWED` or `DENIED`
        code            a denial code that failed first, `SCOPE_HALTED`
        order_id        parent or child order, 16 hexadecimal digits
        routes          handles of routes that the decision may have; None for any
        before          the page starts below this place, written `gate-0.512`; empty for the newest
        limit           rows of a page
    """

    from_ns: int = 0
    to_ns: int = 0
    outcome: str = ""
    code: str = ""
    order_id: str = ""
    routes: tuple[int, ...] | None = None
    before: str = ""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Found:
    """One page of an answer, the newest first.

    Fields
        total        how many match in all, counted up to `total_max`
        is_complete  whether that count is the whole
        has_older    whether another page follows
    """

    entries: tuple[Entry, ...]
    total: int
    is_complete: bool
    has_older: bool


class RecordIndex(Protocol):
    """The search index. Whatever it can't answer because the database is away is raised as DatabaseUnavailable."""

    def newest(self) -> Mapping[str, int]:
        """The highest sequence of each log."""

    def after(self, log: str, seq: int, *, limit: int) -> list[Entry]:
        """The next records of a log about orders, parents and their reports, oldest first."""

    def about_child(self, child_id: str) -> list[Entry]:
        """Every record about one child order, by log and sequence."""

    def about_parent(self, parent_id: str) -> list[Entry]:
        """Every record about one parent order and its children, by log and sequence."""

    def find(self, log: str, seq: int) -> Entry | None:
        """One record of any kind."""

    def decisions(self, query: DecisionQuery) -> Found:
        """Decisions that match."""
