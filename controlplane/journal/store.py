"""Every query of the search index over the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy
from sqlalchemy import ColumnElement, func, literal, literal_column, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from controlplane.domain.decisions import Outcome
from controlplane.domain.errors import EvidenceError
from controlplane.journal.query import CopyState, DecisionFilter, Place, StoredRecord
from controlplane.journal.record import RecordKind
from controlplane.journal.rows import COLUMNS, COPY_HEADER, COPY_TRAILER, CountKey, Rows
from controlplane.journal.tables import DrainCursorRow, JournalCountRow, JournalRecordRow
from controlplane.runtime.database import driver_connection

Connection: TypeAlias = Session

if TYPE_CHECKING:
    # Brings the compiled scan with it, which a program that only searches doesn't need.
    from controlplane.journal.reader import Record

NOTIFY_CHANNEL = "journal"


def lock_cursor(connection: Connection, log: str) -> tuple[int, bytes]:
    """The highest copied sequence of a log and the chain value there, held against other copiers until the end."""
    blank = {"log": log, "seq": 0, "previous_seq": 0, "copied": 0, "chain": b"", "moved_ns": 0, "problem": ""}
    connection.connection().execute(insert(DrainCursorRow).values(blank).on_conflict_do_nothing())
    found = select(DrainCursorRow.seq, DrainCursorRow.chain).where(DrainCursorRow.log == log).with_for_update()
    seq, chain = connection.exec(found).one()
    return seq, chain


def copy_rows(connection: Connection, rows: Rows) -> None:
    """Add rows by binary COPY.

    Errors
        psycopg.errors.UniqueViolation when one of them is there already; the transaction is lost then
    """
    statement = f"COPY journal_record ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"
    with driver_connection(connection).cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.write(COPY_HEADER)
        for part in rows.parts:
            copy.write(part)
        copy.write(COPY_TRAILER)


def move_cursor(connection: Connection, log: str, *, from_seq: int, copied: int, chain: bytes, moved_ns: int) -> None:
    """Move the cursor of a log on, in the transaction that added the rows.

    Arguments
        chain  chain value of the log at the place the cursor moves to

    Errors
        EvidenceError when the cursor isn't where it was read; nothing is kept then
    """
    moved = connection.connection().execute(
        update(DrainCursorRow)
        .where(col(DrainCursorRow.log) == log, col(DrainCursorRow.seq) == from_seq)
        .values(
            previous_seq=DrainCursorRow.seq,
            copied=copied,
            seq=col(DrainCursorRow.seq) + copied,
            chain=chain,
            moved_ns=moved_ns,
            problem="",
        )
    )
    if moved.rowcount != 1:
        raise EvidenceError(
            f"Expected the copy of {log} to stand at sequence {from_seq}, found it elsewhere; run one drain only."
        )


def add_counts(connection: Connection, log: str, counts: Counter[CountKey]) -> None:
    """Count the rows that were added, in the transaction that added them."""
    if not counts:
        return
    values = [
        {"log": log, "kind": kind, "outcome": outcome, "code": code, "records": records}
        for (kind, outcome, code), records in counts.items()
    ]
    statement = insert(JournalCountRow).values(values)
    total = col(JournalCountRow.records) + statement.excluded.records
    connection.connection().execute(
        statement.on_conflict_do_update(index_elements=["log", "kind", "outcome", "code"], set_={"records": total})
    )


def notify(connection: Connection) -> None:
    """Tell listeners on the channel `journal`, once this transaction is committed, that there is more to read."""
    connection.connection().execute(text(f"NOTIFY {NOTIFY_CHANNEL}"))


def note_problem(connection: Connection, log: str, *, problem: str) -> None:
    """Keep why the copy of a log doesn't go on."""
    lock_cursor(connection, log)
    connection.connection().execute(
        update(DrainCursorRow).where(col(DrainCursorRow.log) == log).values(problem=problem)
    )


def copy_states(connection: Connection) -> list[CopyState]:
    """How far every log is copied, by name."""
    rows = connection.exec(select(DrainCursorRow).order_by(col(DrainCursorRow.log))).all()
    return [CopyState(row.log, row.seq, row.moved_ns, row.problem) for row in rows]


def find(connection: Connection, log: str, seq: int) -> StoredRecord | None:
    """One record."""
    return next(iter(between(connection, log, first_seq=seq, last_seq=seq)), None)


def between(connection: Connection, log: str, *, first_seq: int, last_seq: int) -> list[StoredRecord]:
    """The records of a log in a range, both ends included, by sequence."""
    seq = col(JournalRecordRow.seq)
    query = _records().where(col(JournalRecordRow.log) == log, seq >= first_seq, seq <= last_seq).order_by(seq)
    return [StoredRecord(*row) for row in connection.connection().execute(query)]


def held_alike(connection: Connection, log: str, records: Iterable[Record]) -> frozenset[int]:
    """The sequences among consecutive records that are stored already, with the same bytes.

    Errors
        EvidenceError at the first one that is stored with others
    """
    expected = {record.seq: record for record in records}
    if not expected:
        return frozenset()
    held = between(connection, log, first_seq=min(expected), last_seq=max(expected))
    for row in held:
        record = expected[row.seq]
        if (row.epoch, row.flags, row.entry) != (record.epoch, record.flags, record.entry):
            raise EvidenceError(
                f"Expected sequence {row.seq} of {log} in PostgreSQL to have the bytes of the journal, found others: "
                "the log has forked; stop its writer, keep the files and the table as they are and compare them."
            )
    return frozenset(row.seq for row in held)


def after(connection: Connection, log: str, *, seq: int, kinds: Sequence[RecordKind], limit: int) -> list[StoredRecord]:
    """The next records of some kinds, by sequence; of every kind when none is named."""
    column = col(JournalRecordRow.seq)
    query = _records().where(col(JournalRecordRow.log) == log, column > seq)
    if kinds:
        query = query.where(col(JournalRecordRow.kind).in_([int(kind) for kind in kinds]))
    return [StoredRecord(*row) for row in connection.connection().execute(query.order_by(column).limit(limit))]


def about_child(connection: Connection, child_id: int, *, limit: int) -> list[StoredRecord]:
    """The records that name a child order, by log and sequence."""
    return _about(connection, col(JournalRecordRow.child_id) == child_id, "child_id <> 0", limit)


def about_parent(connection: Connection, parent_id: int, *, limit: int) -> list[StoredRecord]:
    """The records that name a parent order, by log and sequence."""
    return _about(connection, col(JournalRecordRow.parent_id) == parent_id, "parent_id <> 0", limit)


def decisions(
    connection: Connection, wanted: DecisionFilter, *, before: Place | None, limit: int
) -> list[StoredRecord]:
    """Gate decisions that match, the highest sequence first, below a place where one is given."""
    seq, log = col(JournalRecordRow.seq), col(JournalRecordRow.log)
    query = _records().where(*_conditions(wanted))
    if before is not None:
        query = query.where(tuple_(seq, log) < tuple_(literal(before.seq), literal(before.log)))
    return [
        StoredRecord(*row)
        for row in connection.connection().execute(query.order_by(seq.desc(), log.desc()).limit(limit))
    ]


def count_decisions(connection: Connection, wanted: DecisionFilter, *, count_max: int) -> int:
    """How many gate decisions match, counted no further than a bound."""
    some = select(col(JournalRecordRow.seq)).where(*_conditions(wanted)).limit(count_max).subquery()
    return connection.exec(select(func.count()).select_from(some)).one()


def decision_counts(connection: Connection, *, log: str | None) -> dict[tuple[int, int], int]:
    """Gate decisions by outcome and binding code, from the counts kept with the copy."""
    total = func.sum(col(JournalCountRow.records))
    query = (
        select(JournalCountRow.outcome, JournalCountRow.code, total)
        .where(JournalCountRow.kind == int(RecordKind.ORDER_DECIDED))
        .group_by(col(JournalCountRow.outcome), col(JournalCountRow.code))
    )
    if log is not None:
        query = query.where(JournalCountRow.log == log)
    return {(outcome, code): int(records) for outcome, code, records in connection.exec(query)}


def decision_counts_between(connection: Connection, *, from_ns: int, to_ns: int) -> dict[tuple[int, int], int]:
    """Gate decisions of a time range by outcome and binding code, the end excluded."""
    outcome, code = col(JournalRecordRow.outcome), col(JournalRecordRow.code)
    query = (
        select(outcome, code, func.count())
        .where(*_conditions(DecisionFilter(from_ns=from_ns, to_ns=to_ns)))
        .group_by(outcome, code)
    )
    return {(number, first): records for number, first, records in connection.exec(query)}


def kind_counts(connection: Connection, log: str) -> dict[int, int]:
    """Records of a log by number of kind, from the counts kept with the copy."""
    total = func.sum(col(JournalCountRow.records))
    query = (
        select(JournalCountRow.kind, total)
        .where(JournalCountRow.log == log)
        .group_by(col(JournalCountRow.kind))
        .order_by(col(JournalCountRow.kind))
    )
    return {kind: int(records) for kind, records in connection.exec(query)}


def row_totals(connection: Connection) -> dict[str, tuple[int, int]]:
    """Rows and highest sequence of each log, counted row by row."""
    query = select(col(JournalRecordRow.log), func.count(), func.max(JournalRecordRow.seq)).group_by(
        col(JournalRecordRow.log)
    )
    return {log: (rows, last_seq) for log, rows, last_seq in connection.exec(query)}


def _records() -> Any:
    return sqlalchemy.select(
        col(JournalRecordRow.log),
        col(JournalRecordRow.seq),
        col(JournalRecordRow.epoch),
        col(JournalRecordRow.flags),
        col(JournalRecordRow.kind),
        col(JournalRecordRow.entry),
    )


def _about(connection: Connection, condition: ColumnElement[bool], index_words: str, limit: int) -> list[StoredRecord]:
    # The words of the partial index stand in the query, or a prepared statement couldn't use it.
    query = _records().where(condition, text(index_words))
    query = query.order_by(col(JournalRecordRow.log), col(JournalRecordRow.seq)).limit(limit)
    return [StoredRecord(*row) for row in connection.connection().execute(query)]


def _conditions(wanted: DecisionFilter) -> Iterable[ColumnElement[bool]]:
    """The filter as conditions; kind and denial are written out, so that their indexes serve prepared statements."""
    row = JournalRecordRow
    yield col(row.kind) == literal_column(str(int(RecordKind.ORDER_DECIDED)))
    if wanted.outcome is not None:
        yield col(row.outcome) == literal_column(str(int(wanted.outcome)))
    if wanted.code is not None:
        # An allowed decision names its tightest limit with the same numbers.
        yield col(row.outcome) == literal_column(str(int(Outcome.DENIED)))
    for column, value in ((row.code, wanted.code), (row.parent_id, wanted.parent_id), (row.child_id, wanted.child_id)):
        if value is not None:
            yield col(column) == value
    if wanted.log is not None:
        yield col(row.log) == wanted.log
    if wanted.routes is not None:
        yield col(row.route).in_(wanted.routes)
    if wanted.from_ns is not None:
        yield col(row.wall_ns) >= wanted.from_ns
    if wanted.to_ns is not None:
        yield col(row.wall_ns) < wanted.to_ns
