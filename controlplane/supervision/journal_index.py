"""The search index over the journal as supervision asks it: one short transaction for each question."""

from collections.abc import Mapping

from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.ids import from_text
from controlplane.journal import service
from controlplane.journal.query import DecisionFilter, Place
from controlplane.journal.record import RecordKind
from controlplane.journal.service import JournalEntry, parse_place
from controlplane.runtime.database import Database
from controlplane.supervision.index import DecisionQuery, Found
from controlplane.supervision.orders import Entry

# What the projection folds; observations of the market are most of a log and none of its business.
FOLLOWED = (
    RecordKind.ORDER_DECIDED,
    RecordKind.REPORT_APPLIED,
    RecordKind.PARENT_OPENED,
    RecordKind.RECORDS_RECOVERED,
    RecordKind.HALT_SET,
    RecordKind.HALT_LIFTED,
    RecordKind.MACHINE_KILLED,
    RecordKind.BREAKER_CHANGED,
    RecordKind.PARENT_ACCEPTED,
    RecordKind.CHILD_REQUESTED,
    RecordKind.CHILD_DENIED,
    RecordKind.CHILD_SENT,
    RecordKind.CHILD_REFUSED,
    RecordKind.REPORT_RECEIVED,
    RecordKind.PARENT_COMMANDED,
    RecordKind.PARENT_FINISHED,
    RecordKind.FEED_QUARANTINED,
    RecordKind.TCA_COMPUTED,
)


class JournalIndex:
    """`RecordIndex` over PostgreSQL; raises DatabaseUnavailable while it is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self) -> Mapping[str, int]:
        """The highest sequence of each log."""
        with self._database.transaction() as connection:
            return service.newest(connection)

    def after(self, log: str, seq: int, *, limit: int) -> list[Entry]:
        """The next records of a log about orders, parents and their reports, oldest first."""
        with self._database.transaction() as connection:
            found = service.after(connection, log, seq=seq, kinds=FOLLOWED, limit=limit)
        return [_entry(row) for row in found]

    def about_child(self, child_id: str) -> list[Entry]:
        """Every record about one child order, by log and sequence."""
        with self._database.transaction() as connection:
            return [_entry(row) for row in service.about_child(connection, from_text(child_id))]

    def about_parent(self, parent_id: str) -> list[Entry]:
        """Every record about one parent order and its children, by log and sequence."""
        with self._database.transaction() as connection:
            return [_entry(row) for row in service.about_parent(connection, from_text(parent_id))]

    def find(self, log: str, seq: int) -> Entry | None:
        """One record of any kind."""
        with self._database.transaction() as connection:
            found = service.find(connection, Place(log, seq))
        return None if found is None else _entry(found)

    def decisions(self, query: DecisionQuery) -> Found:
        """Decisions that match; an order that is no parent is looked for among the children."""
        order = from_text(query.order_id) if query.order_id else None
        before = parse_place(query.before) if query.before else None
        with self._database.transaction() as connection:
            page = service.decisions(
                connection, _filter(query, parent_id=order, child_id=None), before=before, limit=query.limit
            )
            if order is not None and page.total == 0:
                page = service.decisions(
                    connection, _filter(query, parent_id=None, child_id=order), before=before, limit=query.limit
                )
        entries = tuple(_entry(row) for row in page.entries)
        return Found(entries, page.total, page.is_complete, page.next_before is not None)


def _filter(query: DecisionQuery, *, parent_id: int | None, child_id: int | None) -> DecisionFilter:
    return DecisionFilter(
        from_ns=query.from_ns or None,
        to_ns=query.to_ns or None,
        outcome=int(Outcome[query.outcome]) if query.outcome else None,
        code=int(DenialCode[query.code]) if query.code else None,
        parent_id=parent_id,
        child_id=child_id,
        routes=query.routes,
    )


def _entry(row: JournalEntry) -> Entry:
    return Entry(row.log, row.seq, row.kind, row.wall_ns, row.facts, row.words)
