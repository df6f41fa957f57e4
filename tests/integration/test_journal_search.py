"""What pages and programs find in the search index: filters, pages, one order's records, counts, completeness, REST."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from controlplane.domain.clock import ManualClock
from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.errors import InvalidRequest, UnknownReference
from controlplane.domain.ids import to_text
from controlplane.journal import service
from controlplane.journal.drain import Drain
from controlplane.journal.query import DecisionFilter, Place
from controlplane.journal.record import RecordKind, pack_entry
from controlplane.journal.store import Connection
from controlplane.runtime.database import Database
from tests.support.journal import NOW_NS, open_writer

DECIDED = 120
QUANTITY, HALTED = DenialCode.ORDER_QUANTITY_ABOVE_LIMIT, DenialCode.SCOPE_HALTED


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Path:
    """Two gate logs with 120 decisions (every third denied, of two codes) and an executor log, all copied."""
    state = tmp_path_factory.mktemp("state")
    gates = {name: open_writer(state / "journal" / name, log=name) for name in ("gate-0", "gate-1")}
    with open_writer(state / "journal" / "executor-0", log="executor-0") as executor:
        executor.append_json({"kind": "ParentAccepted", "parent_id": to_text(1_000)})
        for number in range(1, DECIDED + 1):
            gate = gates["gate-1" if number % 10 == 0 else "gate-0"]
            gate.append_binary(decision(number))
            gate.append_binary(pack_entry(RecordKind.REFERENCE_APPLIED, wall_ns=NOW_NS + number))
            if number % 3:
                ids = {"child_id": to_text(number), "parent_id": to_text(1_000 + number % 2)}
                executor.append_json({"kind": "ChildSent", **ids})
    for gate in gates.values():
        gate.close()
    drain = Drain(state, database, clock=ManualClock(NOW_NS))
    while drain.run_once().copied:
        pass
    return state


def decision(number: int) -> bytes:
    """Decision about child `number`: every third denied, every fifteenth of these because of a halt."""
    is_denied = number % 3 == 0
    # An allowed decision names its tightest limit with the same numbers.
    code = int(HALTED if number % 15 == 0 else QUANTITY)
    return pack_entry(
        RecordKind.ORDER_DECIDED,
        subkind=1,
        outcome=int(Outcome.DENIED if is_denied else Outcome.ALLOWED),
        code=code,
        wall_ns=NOW_NS + number * 1_000,
        request_id=number,
        child_id=number,
        parent_id=1_000 + number % 2,
        route=number % 4,
        side=1,
        failed_checks=1 << (code - 1) if is_denied else 0,
        notional_micro=2**60,
    )


@pytest.fixture
def connection(database: Database, state: Path) -> Iterator[Connection]:
    with database.transaction() as opened:
        yield opened


def children(entries: tuple[service.JournalEntry, ...]) -> list[int]:
    return [entry.words[4] for entry in entries]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (DecisionFilter(), lambda number: True),
        (DecisionFilter(outcome=Outcome.ALLOWED), lambda number: number % 3),
        (DecisionFilter(outcome=Outcome.DENIED), lambda number: number % 3 == 0),
        (DecisionFilter(code=QUANTITY), lambda number: number % 3 == 0 and number % 15),
        (DecisionFilter(outcome=Outcome.DENIED, code=HALTED), lambda number: number % 15 == 0),
        (DecisionFilter(parent_id=1_001), lambda number: number % 2),
        (DecisionFilter(child_id=77), lambda number: number == 77),
        (DecisionFilter(routes=(1, 3)), lambda number: number % 2),
        (DecisionFilter(routes=(9,)), lambda number: False),
        (DecisionFilter(child_id=2**64 - 1), lambda number: False),
        (DecisionFilter(from_ns=2**70), lambda number: False),
        (DecisionFilter(to_ns=2**70), lambda number: True),
        (DecisionFilter(log="gate-1"), lambda number: number % 10 == 0),
        (
            DecisionFilter(from_ns=NOW_NS + 20_000, to_ns=NOW_NS + 30_000),
            lambda number: 20 <= number < 30,
        ),
        (DecisionFilter(outcome=Outcome.DENIED, parent_id=1_000, routes=(2,)), lambda number: number % 12 == 6),
    ],
)
def test_decisions_are_found_by_every_filter(connection: Connection, wanted: DecisionFilter, expected) -> None:
    page = service.decisions(connection, wanted, limit=1_000)

    assert sorted(children(page.entries)) == [number for number in range(1, DECIDED + 1) if expected(number)]
    assert (page.total, page.is_complete, page.next_before) == (len(page.entries), True, None)


@pytest.mark.parametrize("limit", [1, 7, 40, 119, 120, 121])
@pytest.mark.parametrize("outcome", [None, Outcome.DENIED])
def test_pages_follow_each_other_without_overlap_or_gap(
    connection: Connection, limit: int, outcome: Outcome | None
) -> None:
    wanted = DecisionFilter(outcome=outcome)
    seen: list[tuple[int, str]] = []
    before = None
    while len(seen) <= DECIDED:
        page = service.decisions(connection, wanted, before=before, limit=limit)
        seen.extend((entry.seq, entry.log) for entry in page.entries)
        before = page.next_before
        if before is None:
            break

    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen) == (DECIDED if outcome is None else DECIDED // 3)


@pytest.mark.parametrize("limit", [0, -1, 1_001])
def test_page_out_of_range_is_refused(connection: Connection, limit: int) -> None:
    with pytest.raises(InvalidRequest, match="a page of 1 to 1000"):
        service.decisions(connection, DecisionFilter(), limit=limit)


def test_record_is_found_by_its_place_with_words_and_facts(connection: Connection) -> None:
    entry = service.decision(connection, Place("gate-0", 6))

    assert (entry.place, entry.kind, entry.wall_ns) == ("gate-0.6", "OrderDecided", NOW_NS + 3_000)
    assert entry.facts["code"] == "ORDER_QUANTITY_ABOVE_LIMIT"
    assert (entry.words[4], entry.facts["child_id"]) == (3, to_text(3))


@pytest.mark.parametrize("place", [Place("gate-0", 10_000), Place("gate-9", 2), Place("gate-0", 1)])
def test_place_that_names_no_decision_is_said_so(connection: Connection, place: Place) -> None:
    with pytest.raises(UnknownReference, match=f"{place.log}.{place.seq}"):
        service.decision(connection, place)


def test_everything_about_one_child_comes_from_all_logs(connection: Connection) -> None:
    found = service.about_child(connection, 7)

    assert [(entry.log, entry.kind) for entry in found] == [("executor-0", "ChildSent"), ("gate-0", "OrderDecided")]
    assert {entry.facts["child_id"] for entry in found} == {to_text(7)}


def test_everything_about_one_parent_comes_from_all_logs(connection: Connection) -> None:
    found = service.about_parent(connection, 1_000)

    kinds = [entry.kind for entry in found]
    assert (kinds.count("ParentAccepted"), kinds.count("ChildSent"), kinds.count("OrderDecided")) == (1, 40, 60)
    assert [(entry.log, entry.seq) for entry in found] == sorted((entry.log, entry.seq) for entry in found)


def test_records_after_a_sequence_come_by_kind(connection: Connection) -> None:
    kinds = (RecordKind.ORDER_DECIDED, RecordKind.LOG_CLOSED)

    found = service.after(connection, "gate-0", seq=200, kinds=kinds, limit=1_000)

    assert [entry.seq for entry in found] == [202, 204, 206, 208, 210, 212, 214, 216, 218]
    assert found[-1].kind == "LogClosed"
    assert len(service.after(connection, "gate-0", seq=200)) == 18


def test_counts_agree_with_the_decisions(connection: Connection) -> None:
    counts = service.decision_counts(connection)
    one_gate = service.decision_counts(connection, log="gate-1")
    hour = service.decision_counts_between(connection, from_ns=NOW_NS, to_ns=NOW_NS + 31_000)

    assert (counts.total, counts.outcomes) == (DECIDED, {"ALLOWED": 80, "DENIED": 40})
    assert counts.codes == {"SCOPE_HALTED": 8, "ORDER_QUANTITY_ABOVE_LIMIT": 32}
    assert one_gate.outcomes == {"ALLOWED": 8, "DENIED": 4}
    assert (hour.total, hour.codes["SCOPE_HALTED"]) == (30, 2)
    assert service.kind_counts(connection, "executor-0")["ChildSent"] == 80


def test_rows_equal_records_and_a_log_that_only_one_side_knows_is_told(connection: Connection, state: Path) -> None:
    answers = {answer.log: answer for answer in service.completeness(connection, state / "journal")}
    without_files = service.completeness(connection, state / "none")

    assert {name: answer.is_complete for name, answer in answers.items()} == {
        "executor-0": True, "gate-0": True, "gate-1": True,
    }  # fmt: skip
    assert answers["gate-0"].records == answers["gate-0"].rows == 218
    assert [answer.is_complete for answer in without_files] == [False] * 3


@pytest.mark.parametrize(
    ("rows", "last_row_seq", "is_complete"),
    [(9, 9, True), (8, 9, False), (10, 9, False), (9, 10, False), (0, 0, False)],
)
def test_copy_is_complete_only_when_both_counts_and_both_ends_agree(
    rows: int, last_row_seq: int, is_complete: bool
) -> None:
    answer = service.LogCompleteness(log="gate-0", records=9, rows=rows, last_seq=9, last_row_seq=last_row_seq)

    assert answer.is_complete is is_complete


def test_records_that_are_not_copied_yet_make_the_copy_incomplete(
    connection: Connection, state: Path, tmp_path: Path
) -> None:
    with open_writer(tmp_path / "journal" / "gate-0") as writer:
        writer.append_binary(decision(1))

    answers = {answer.log: answer for answer in service.completeness(connection, tmp_path / "journal")}

    assert not answers["gate-0"].is_complete
    assert (answers["gate-0"].records, answers["gate-0"].rows) == (3, 218)


@pytest.mark.parametrize(
    ("index", "condition", "order"),
    [
        ("ix_journal_record_child", "child_id = 7 AND child_id <> 0", "log, seq"),
        ("ix_journal_record_parent", "parent_id = 1 AND parent_id <> 0", "seq"),
        ("ix_journal_record_decided", "kind = 1", "seq DESC, log DESC"),
        ("ix_journal_record_denied", "kind = 1 AND outcome = 2", "seq DESC, log DESC"),
        ("ix_journal_record_kind", "kind = 68 AND kind >= 64", "seq DESC"),
        ("journal_record_pkey", "log = 'gate-0' AND seq > 5", "seq"),
    ],
)
def test_questions_that_pages_ask_every_second_have_an_index(
    connection: Connection, index: str, condition: str, order: str
) -> None:
    run = connection.connection().execute
    run(sa.text("SET LOCAL enable_seqscan = off"))
    run(sa.text("SET LOCAL enable_bitmapscan = off"))

    plan = run(sa.text(f"EXPLAIN SELECT entry FROM journal_record WHERE {condition} ORDER BY {order} LIMIT 9"))

    assert index in "\n".join(row[0] for row in plan)
