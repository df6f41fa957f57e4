"""What is asked of the search index and what comes back, as values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record as PostgreSQL keeps it: its place and its exact bytes."""

    log: str
    seq: int
    epoch: int
    flags: int
    kind: int
    entry: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Log and sequence of one record."""

    log: str
    seq: int


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which gate decisions are wanted; a field that is None doesn't narrow.

    Fields
        from_ns, to_ns  wall time, the end excluded
        outcome         number of an outcome
        code            number of the code that failed first; finds denials alone
        routes          handles of routes
        log             one gate's log
    """

    from_ns: int | None = None
    to_ns: int | None = None
    outcome: int | None = None
    code: int | None = None
    parent_id: int | None = None
    child_id: int | None = None
    routes: tuple[int, ...] | None = None
    log: str | None = None


@dataclass(frozen=True, slots=True)
class CopyState:
    """How far one log is copied.

    Fields
        seq       highest sequence in the index
        moved_ns  wall time of the last move
        problem   why it doesn't go on, empty when it does
    """

    log: str
    seq: int
    moved_ns: int
    problem: str
