"""What people and programs ask of the record: decisions, everything about one order, counts, and whether it is whole.

Every function works inside the caller's transaction. Answers carry a record's facts as `describe_entry` writes them and
the 32 words of a fixed entry as plain integers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.errors import InvalidRequest, UnknownReference
from controlplane.journal import store
from controlplane.journal.canonical import JsonValue
from controlplane.journal.query import CopyState, DecisionFilter, Place, StoredRecord
from controlplane.journal.record import WORD_WALL_NS, RecordKind, describe_entry, entry_words, kind_text
from controlplane.journal.store import Connection

ABOUT_MAX = 10_000
PAGE_MAX = 1_000
COUNT_MAX = 10_000
INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One record for people.

    Fields
        log, seq  its place, written `gate-0.512`
        epoch     run of the writer
        kind      name of its kind
        wall_ns   wall time that it states
        facts     all of it: identifiers as hexadecimal text, enumerations by name, large numbers as decimal text
        words     the 32 numbers of a fixed entry; empty for JSON
    """

    log: str
    seq: int
    epoch: int
    kind: str
    wall_ns: int
    facts: dict[str, JsonValue]
    words: tuple[int, ...]

    @property
    def place(self) -> str:
        return f"{self.log}.{self.seq}"


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """One page of decisions, the newest first.

    Fields
        entries      decisions of this page
        next_before  place to ask for the next page with; None on the last one
        total        how many match in all, counted up to `COUNT_MAX`
        is_complete  whether that count is the whole
    """

    entries: tuple[JournalEntry, ...]
    next_before: Place | None
    total: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class LogCompleteness:
    """Whether PostgreSQL holds exactly the records of one log.

    Fields
        records        in the files
        rows           in the table
        is_complete    rows equal records and the highest sequences agree
    """

    log: str
    records: int
    rows: int
    last_seq: int
    last_row_seq: int

    @property
    def is_complete(self) -> bool:
        return self.records == self.rows and self.last_seq == self.last_row_seq


@dataclass(frozen=True, slots=True)
class DecisionCounts:
    """Gate decisions by outcome, and denials by first code in order of precedence."""

    outcomes: dict[str, int]
    codes: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())


def decisions(
    connection: Connection, wanted: DecisionFilter, *, before: Place | None = None, limit: int = 100
) -> DecisionPage:
    """Decisions that match, the newest first, from below a place where one is given.

    Errors
        InvalidRequest when the page is larger than 1,000
    """
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidRequest(f"Expected a page of 1 to {PAGE_MAX} decisions, found {limit}.", field="limit")
    stored = _as_stored(wanted)
    found = store.decisions(connection, stored, before=before, limit=limit + 1)
    total = store.count_decisions(connection, stored, count_max=COUNT_MAX + 1)
    entries = tuple(_entry(row) for row in found[:limit])
    has_older = len(found) > limit
    return DecisionPage(
        entries=entries,
        next_before=Place(entries[-1].log, entries[-1].seq) if has_older else None,
        total=min(total, COUNT_MAX),
        is_complete=total <= COUNT_MAX,
    )


def record(connection: Connection, place: Place) -> JournalEntry:
    """The record at a place.

    Errors
        UnknownReference when nothing is copied there
    """
    found = store.find(connection, place.log, place.seq)
    if found is None:
        raise UnknownReference(
            f"Expected a record at {place.log}.{place.seq}, found none; if it is new, try again in a moment."
        )
    return _entry(found)


def decision(connection: Connection, place: Place) -> JournalEntry:
    """The decision at a place.

    Errors
        UnknownReference when nothing is copied there, or a record of another kind
    """
    found = record(connection, place)
    if found.kind != RecordKind.ORDER_DECIDED.text:
        raise UnknownReference(
            f"Expected a decision at {found.place}, found {found.kind}; a decision's place stands in its list."
        )
    return found


def find(connection: Connection, place: Place) -> JournalEntry | None:
    """The record at a place, or None when nothing is copied there."""
    found = store.find(connection, place.log, place.seq)
    return None if found is None else _entry(found)


def about_child(connection: Connection, child_id: int) -> list[JournalEntry]:
    """Every record that names a child order, by log and sequence; at most 10,000."""
    return [_entry(row) for row in store.about_child(connection, _signed(child_id), limit=ABOUT_MAX)]


def about_parent(connection: Connection, parent_id: int) -> list[JournalEntry]:
    """Every record that names a parent order, by log and sequence; at most 10,000."""
    return [_entry(row) for row in store.about_parent(connection, _signed(parent_id), limit=ABOUT_MAX)]


def after(
    connection: Connection, log: str, *, seq: int, kinds: Sequence[RecordKind] = (), limit: int = PAGE_MAX
) -> list[JournalEntry]:
    """The next records of a log after a sequence, oldest first; of every kind when none is named."""
    return [_entry(row) for row in store.after(connection, log, seq=seq, kinds=kinds, limit=limit)]


def newest(connection: Connection) -> dict[str, int]:
    """The highest copied sequence of each log."""
    return {state.log: state.seq for state in store.copy_states(connection)}


def copy_states(connection: Connection) -> list[CopyState]:
    """How far each log is copied, when it last moved, and why it doesn't go on where it doesn't."""
    return store.copy_states(connection)


def decision_counts(connection: Connection, *, log: str | None = None) -> DecisionCounts:
    """All decisions by outcome and code, from counts that are kept with the copy: cheap however long the record is."""
    return _decision_counts(store.decision_counts(connection, log=log))


def decision_counts_between(connection: Connection, *, from_ns: int, to_ns: int) -> DecisionCounts:
    """Decisions of a time range by outcome and code, the end excluded; reads every decision of the range."""
    return _decision_counts(store.decision_counts_between(connection, from_ns=from_ns, to_ns=to_ns))


def kind_counts(connection: Connection, log: str) -> dict[str, int]:
    """Records of a log by kind, from counts that are kept with the copy."""
    return {kind_text(kind): records for kind, records in store.kind_counts(connection, log).items()}


def completeness(connection: Connection, journal_directory: Path) -> tuple[LogCompleteness, ...]:
    """Whether PostgreSQL holds exactly the records of every log, counted in the files and row by row.

    A log that only one side knows is reported with zeros on the other. Call it when the writers have closed and the
    drain has caught up; before that the difference is what is still to be copied.

    Errors
        ChainBroken         a log contradicts itself
        JournalUnavailable  a file can't be read
    """
    # Here alone this file needs the compiled scan, which takes a second to load.
    from controlplane.journal.files.segment import list_logs
    from controlplane.journal.reader import batches

    rows = store.row_totals(connection)
    answers = []
    names = {path.name: path for path in list_logs(journal_directory)}
    for name in sorted(names.keys() | rows.keys()):
        counts = [(batch.count, batch.first_seq) for batch in batches(names[name])] if name in names else []
        records = sum(count for count, _ in counts)
        last_seq = counts[-1][1] + counts[-1][0] - 1 if counts else 0
        row_count, last_row_seq = rows.get(name, (0, 0))
        answers.append(LogCompleteness(name, records, row_count, last_seq, last_row_seq))
    return tuple(answers)


def parse_place(text: str) -> Place:
    """Log and sequence of a place written `gate-0.512`.

    Errors
        InvalidRequest otherwise
    """
    log, separator, number = text.rpartition(".")
    if not separator or not log or not number.isascii() or not number.isdigit() or not 0 < int(number) < 2**63:
        raise InvalidRequest(f"Expected the place of a record such as gate-0.512, found {text[:80]!r}.", field="place")
    return Place(log, int(number))


def _signed(identifier: int) -> int:
    """The identifier as 64 signed bits: a malformed request may carry one that is none of ours."""
    return identifier if identifier <= INT64_MAX else identifier - 2**64


def _as_stored(wanted: DecisionFilter) -> DecisionFilter:
    """The filter with numbers that the table can be asked for; later than the latest moment is that moment."""
    return replace(
        wanted,
        from_ns=None if wanted.from_ns is None else min(wanted.from_ns, INT64_MAX),
        to_ns=None if wanted.to_ns is None else min(wanted.to_ns, INT64_MAX),
        parent_id=None if wanted.parent_id is None else _signed(wanted.parent_id),
        child_id=None if wanted.child_id is None else _signed(wanted.child_id),
    )


def _entry(row: StoredRecord) -> JournalEntry:
    facts = describe_entry(row.entry, flags=row.flags)
    words = () if row.flags else entry_words(row.entry)
    wall_ns = words[WORD_WALL_NS] if words else int(str(facts["wall_ns"]))
    kind = str(facts["kind"])
    return JournalEntry(row.log, row.seq, row.epoch, kind, wall_ns, facts, words)


def _decision_counts(counts: dict[tuple[int, int], int]) -> DecisionCounts:
    outcomes: dict[str, int] = {}
    codes: dict[str, int] = {}
    for (outcome, code), records in sorted(counts.items()):
        name = Outcome(outcome).name if outcome in _OUTCOMES else str(outcome)
        outcomes[name] = outcomes.get(name, 0) + records
        if code and outcome == Outcome.DENIED:
            first = DenialCode(code).name if code in _CODES else str(code)
            codes[first] = codes.get(first, 0) + records
    return DecisionCounts(outcomes, codes)


_OUTCOMES = frozenset(int(outcome) for outcome in Outcome)
_CODES = frozenset(int(code) for code in DenialCode)
