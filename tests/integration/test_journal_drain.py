"""The copy of the journal in PostgreSQL: exactly once, tied to the files, whatever is killed or missing."""

import itertools
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import ProgrammingError
from sqlmodel import SQLModel

from controlplane.domain.clock import ManualClock
from controlplane.domain.errors import DatabaseUnavailable, EvidenceError
from controlplane.journal import service, store, tables
from controlplane.journal.drain import BACK_OFF_SECONDS_MAX, POLL_SECONDS, Drain, DrainProgress
from controlplane.journal.files.segment import segment_path
from controlplane.journal.reader import scan
from controlplane.journal.record import RecordKind, entry_words
from controlplane.runtime import postgres
from controlplane.runtime.database import Database
from tests.support.journal import NOW_NS, copy_of, decided, open_writer, write_log

NAMES = (f"log-{number}" for number in itertools.count())


@pytest.fixture
def name() -> str:
    """A log name that no other test of this module uses: copied records can't be removed again."""
    return next(NAMES)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory."""
    return tmp_path / "state"


def log_path(state: Path, name: str) -> Path:
    return state / "journal" / name


def drain_of(state: Path, database: Database, **changes: object) -> Drain:
    return Drain(state, database, clock=ManualClock(NOW_NS), **changes)


def drain_all(drain: Drain) -> DrainProgress:
    """The last round of a drain that copied everything."""
    while (progress := drain.run_once()).copied:
        pass
    return progress


def stored(database: Database, name: str) -> list[store.StoredRecord]:
    with database.transaction() as connection:
        return store.between(connection, name, first_seq=1, last_seq=2**62)


def columns(database: Database, name: str, seq: int) -> dict[str, object]:
    with database.transaction() as connection:
        query = sa.select(tables.JournalRecordRow.__table__).where(sa.column("log") == name, sa.column("seq") == seq)
        return dict(connection.connection().execute(query).mappings().one())


def counted(database: Database, name: str) -> dict[str, int]:
    with database.transaction() as connection:
        return service.kind_counts(connection, name)


def execute(database: Database, statement: str) -> None:
    with database.transaction() as connection:
        connection.connection().execute(sa.text(statement))


def test_every_record_is_copied_byte_for_byte_with_the_words_people_search_by(
    database: Database, state: Path, name: str
) -> None:
    directory = log_path(state, name)
    with open_writer(directory, log=name) as writer:
        seq = writer.append_binary(decided(77, parent_id=79, route=5))
        halt = writer.append_json({"kind": "HaltSet", "reason": "x", "child_id": "00000000000000ff"})
        for child_id in range(600):
            writer.append_binary(decided(child_id))

    progress = drain_all(drain_of(state, database))

    found = stored(database, name)
    written = list(scan(directory))
    assert [(row.seq, row.epoch, row.flags, row.entry) for row in found] == [
        (record.seq, record.epoch, record.flags, record.entry) for record in written
    ]
    row = columns(database, name, seq)
    words = entry_words(found[seq - 1].entry)
    assert (row["kind"], row["subkind"], row["outcome"], row["code"]) == (1, 1, 1, 0)
    assert (row["child_id"], row["parent_id"], row["route"], row["wall_ns"]) == (77, 79, 5, words[1])
    assert row["document"] is None
    row = columns(database, name, halt)
    assert (row["kind"], row["child_id"], row["wall_ns"]) == (68, 255, NOW_NS)
    assert row["document"] == {
        "kind": "HaltSet", "reason": "x", "child_id": "00000000000000ff", "wall_ns": str(NOW_NS),
    }  # fmt: skip
    assert (progress.lag_records, progress.problems) == (0, ())
    assert counted(database, name) == {"OrderDecided": 601, "HaltSet": 1, "LogOpened": 1, "LogClosed": 1}
    assert (directory / "copied.mark").read_text() == f"{len(written)}\n"


def test_draining_again_copies_nothing_and_new_records_follow(database: Database, state: Path, name: str) -> None:
    directory = log_path(state, name)
    write_log(directory, 10, log=name)
    first = drain_of(state, database)
    drain_all(first)

    assert first.run_once().copied == 0
    assert drain_of(state, database).run_once().copied == 0
    write_log(directory, 5, log=name)
    assert first.run_once().copied == 7
    assert [row.seq for row in stored(database, name)] == list(range(1, 20))


def test_batches_of_any_size_give_the_same_rows(database: Database, state: Path, name: str) -> None:
    directory = log_path(state, name)
    write_log(directory, 900, log=name)

    drain_all(drain_of(state, database, batch_records=7))

    assert [row.entry for row in stored(database, name)] == [record.entry for record in scan(directory)]


def test_log_that_is_being_written_is_copied_without_gap(database: Database, state: Path, name: str) -> None:
    directory = log_path(state, name)
    drain = drain_of(state, database)
    with open_writer(directory, log=name) as writer:
        for _ in range(40):
            for child_id in range(25):
                writer.append_binary(decided(child_id))
            drain.run_once()
    drain_all(drain)

    assert [row.seq for row in stored(database, name)] == list(range(1, 1003))


def test_listeners_are_told_after_each_copied_batch(
    database: Database, database_dsn: str, state: Path, name: str
) -> None:
    write_log(log_path(state, name), 3, log=name)
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        connection.execute(f"LISTEN {store.NOTIFY_CHANNEL}")
        drain_of(state, database).run_once()

        heard = list(connection.notifies(timeout=5, stop_after=1))

    assert [notification.channel for notification in heard] == ["journal"]


def test_zero_character_in_a_record_is_copied_exactly_and_shown_replaced(
    database: Database, state: Path, name: str
) -> None:
    with open_writer(log_path(state, name), log=name) as writer:
        seq = writer.append_json({"kind": "HaltSet", "reason": "a\0b \\u0000"})

    drain_all(drain_of(state, database))

    row = columns(database, name, seq)
    assert row["document"]["reason"] == "a\ufffdb \\u0000"
    assert b"a\\u0000b" in row["entry"]


@pytest.mark.case("EVIDENCE-36")
def test_lost_cursor_finds_equal_records_and_moves_over_them(database: Database, state: Path, name: str) -> None:
    directory = log_path(state, name)
    write_log(directory, 50, log=name)
    drain_all(drain_of(state, database))
    execute(database, f"DELETE FROM drain_cursor WHERE log = '{name}'")
    write_log(directory, 3, log=name)

    progress = drain_all(drain_of(state, database))

    assert progress.problems == ()
    assert [row.seq for row in stored(database, name)] == list(range(1, 58))
    assert counted(database, name)["OrderDecided"] == 53


def forked(state: Path, name: str) -> Path:
    """A log with the same name and length that says something else."""
    other = state.with_name("other") / name
    with open_writer(other, log=name) as writer:
        for child_id in range(1, 51):
            writer.append_binary(decided(child_id, price_ticks=1))
    return copy_of(other, log_path(state, name))


@pytest.mark.parametrize("is_cursor_lost", [True, False])
def test_forked_log_is_stopped_with_a_sentence_and_the_others_go_on(
    database: Database, state: Path, name: str, is_cursor_lost: bool
) -> None:
    write_log(log_path(state, name), 50, log=name)
    drain_all(drain_of(state, database))
    forked(state, name)
    write_log(log_path(state, name), 5, log=name)
    other = next(NAMES)
    write_log(log_path(state, other), 4, log=other)
    if is_cursor_lost:
        execute(database, f"DELETE FROM drain_cursor WHERE log = '{name}'")
    drain = drain_of(state, database)

    progress = drain_all(drain)

    stopped = {log.log: log for log in progress.logs}
    assert stopped[name].is_stopped
    assert "found others: the log has forked" in stopped[name].problem
    assert (stopped[other].copied_seq, stopped[other].problem) == (6, "")
    assert len(stored(database, name)) == 52
    with database.transaction() as connection:
        kept = {state.log: state.problem for state in service.copy_states(connection)}
    assert kept[name] == stopped[name].problem
    assert drain.run_once().problems == progress.problems


def test_copier_raises_the_fork_as_evidence(database: Database, state: Path, name: str) -> None:
    write_log(log_path(state, name), 50, log=name)
    drain_all(drain_of(state, database))
    forked(state, name)
    drain = drain_of(state, database)
    drain.run_once()

    with pytest.raises(EvidenceError, match="the log has forked"):
        drain._copiers[name].copy_next()


def test_log_that_ends_before_its_copy_is_stopped(database: Database, state: Path, name: str) -> None:
    directory = log_path(state, name)
    write_log(directory, 50, log=name)
    drain_all(drain_of(state, database))
    path = segment_path(directory, 0)
    path.write_bytes(path.read_bytes()[:8192])

    progress = drain_of(state, database).run_once()

    (log,) = progress.logs
    assert log.is_stopped
    assert "shortened or replaced" in log.problem


def test_damaged_log_is_stopped_and_keeps_what_was_copied(database: Database, state: Path, name: str) -> None:
    directory = log_path(state, name)
    write_log(directory, 900, log=name)
    drain = drain_of(state, database, batch_records=100)
    path = segment_path(directory, 1)
    content = bytearray(path.read_bytes())
    content[8192] ^= 1
    path.write_bytes(bytes(content))

    progress = drain_all(drain)

    (log,) = progress.logs
    assert log.is_stopped
    assert "00000001.seg at offset" in log.problem
    assert [row.seq for row in stored(database, name)] == list(range(1, log.copied_seq + 1))
    assert log.copied_seq > 300


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal_record SET kind = 2 WHERE log = '{}' AND seq = 2",
        "DELETE FROM journal_record WHERE log = '{}' AND seq = 2",
        "TRUNCATE journal_record",
        "INSERT INTO journal_record SELECT * FROM journal_record ON CONFLICT (log, seq) DO UPDATE SET kind = 2",
    ],
)
@pytest.mark.case("EVIDENCE-34")
def test_copied_record_can_not_be_changed(database: Database, state: Path, name: str, statement: str) -> None:
    write_log(log_path(state, name), 3, log=name)
    drain_all(drain_of(state, database))

    with pytest.raises(ProgrammingError) as caught:
        execute(database, statement.format(name))

    assert caught.value.orig.sqlstate == "42501"
    assert "Expected copied journal records to stay as they are" in str(caught.value.orig)
    assert len(stored(database, name)) == 5


@pytest.mark.parametrize(
    "change", ["previous_seq = seq, copied = -1, seq = seq - 1", "seq = seq + 5", "previous_seq = 0, copied = 9"]
)
def test_cursor_neither_goes_back_nor_skips(database: Database, state: Path, name: str, change: str) -> None:
    write_log(log_path(state, name), 3, log=name)
    drain_all(drain_of(state, database))

    with pytest.raises(sa.exc.IntegrityError, match="drain_cursor_"):
        execute(database, f"UPDATE drain_cursor SET {change} WHERE log = '{name}'")


def test_moving_a_cursor_that_moved_meanwhile_is_refused(database: Database, name: str) -> None:
    with database.transaction() as connection:
        store.lock_cursor(connection, name)

        with pytest.raises(EvidenceError, match="run one drain only"):
            store.move_cursor(connection, name, from_seq=5, copied=1, chain=b"", moved_ns=0)


def test_two_drains_at_once_copy_every_record_once(database: Database, state: Path, name: str) -> None:
    write_log(log_path(state, name), 900, log=name)
    drains = [drain_of(state, database, batch_records=50) for _ in range(2)]
    threads = [threading.Thread(target=drain_all, args=(drain,)) for drain in drains]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [row.seq for row in stored(database, name)] == list(range(1, 903))
    assert counted(database, name)["OrderDecided"] == 900


def test_tables_are_what_the_migration_makes(database: Database) -> None:
    own = {"journal_record", "journal_count", "drain_cursor"}
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        found = compare_metadata(context, SQLModel.metadata)

    assert own <= set(SQLModel.metadata.tables)
    assert [change for change in found if any(table in repr(change) for table in own)] == []


def drain_forever(dsn: str, state: Path, started: "multiprocessing.synchronize.Event") -> None:
    with Database(dsn) as database:
        drain = Drain(state, database, batch_records=64)
        while True:
            drain.run_once()
            started.set()


@pytest.mark.case("EVIDENCE-36")
def test_drain_killed_again_and_again_leaves_no_gap_and_no_double(
    database: Database, database_dsn: str, state: Path, name: str
) -> None:
    directory = log_path(state, name)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["controlplane.journal.drain"])
    writer = open_writer(directory, log=name)
    killed_at: list[int] = []
    for attempt in range(5):
        for child_id in range(3_000):
            writer.append_binary(decided(child_id))
        started = context.Event()
        process = context.Process(target=drain_forever, args=(database_dsn, state, started))
        process.start()
        started.wait(timeout=30)
        for child_id in range(3_000):
            writer.append_binary(decided(child_id))
        time.sleep(0.02 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with database.transaction() as connection:
            killed_at.append(service.newest(connection).get(name, 0))
    writer.close()

    drain_all(drain_of(state, database))

    assert any(0 < seq < 6_000 * (attempt + 1) for attempt, seq in enumerate(killed_at))
    with database.transaction() as connection:
        (answer,) = [log for log in service.completeness(connection, state / "journal") if log.log == name]
    assert (answer.rows, answer.last_row_seq, answer.is_complete) == (30_002, 30_002, True)
    assert counted(database, name)["OrderDecided"] == 30_000


@pytest.mark.xdist_group("database_server")
@pytest.mark.case("EVIDENCE-38")
def test_logs_wait_while_the_database_is_away_and_are_copied_when_it_is_back(tmp_path: Path, state: Path) -> None:
    directory = log_path(state, "gate-0")
    cluster = postgres.start(tmp_path / "server", is_volatile=True)
    with Database(cluster.dsn) as database:
        database.migrate()
        write_log(directory, 20)
        drain = drain_of(state, database)
        drain_all(drain)
        cluster.stop()
        write_log(directory, 30)

        away = drain.run_once()
        fresh_and_away = drain_of(state, database).run_once()

        for progress in (away, fresh_and_away):
            assert (progress.is_database_reachable, progress.copied, progress.lag_records) == (False, 0, 32)
            assert "check that it runs" in progress.problems[0]
            assert "database away" in progress.line()
        with postgres.start(tmp_path / "server", is_volatile=True):
            back = drain_all(drain)
            assert (back.is_database_reachable, back.lag_records, back.problems) == (True, 0, ())
            assert len(stored(database, "gate-0")) == 54


class AwayDatabase:
    """A database that doesn't answer a number of times."""

    def __init__(self, database: Database, times: int) -> None:
        self.database = database
        self.times = times

    def transaction(self):
        self.times -= 1
        if self.times >= 0:
            raise DatabaseUnavailable("Expected PostgreSQL to answer, found nothing; start it.")
        return self.database.transaction()


class CountingEvent(threading.Event):
    """An event that notes how long it was asked to wait and is set after a number of waits."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.left = waits
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0)
        self.left -= 1
        if self.left <= 0:
            self.set()
        return self.is_set()


def test_waits_grow_while_the_database_is_away_and_shrink_when_it_is_back(
    database: Database, state: Path, name: str
) -> None:
    write_log(log_path(state, name), 5, log=name)
    stop = CountingEvent(10)
    seen: list[DrainProgress] = []

    Drain(state, AwayDatabase(database, 9), clock=ManualClock(NOW_NS)).run(stop, seen.append)

    assert stop.waited == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, POLL_SECONDS]
    assert max(stop.waited) == BACK_OFF_SECONDS_MAX
    assert [progress.copied for progress in seen] == [0] * 9 + [7, 0]


def test_no_log_yet_is_no_problem(database: Database, state: Path) -> None:
    progress = drain_of(state, database).run_once()

    assert (progress.copied, progress.logs, progress.is_database_reachable) == (0, (), True)


def test_kind_of_a_newer_program_is_copied_as_unknown(database: Database, state: Path, name: str) -> None:
    directory = log_path(state, name)
    writer = open_writer(directory, log=name)
    seq = writer._append(b'{"kind":"OfTheFuture","wall_ns":"5"}', flags=1)
    writer.close()

    drain_all(drain_of(state, database))

    row = columns(database, name, seq)
    assert (row["kind"], row["document"]["kind"]) == (0, "OfTheFuture")
    assert RecordKind.HALT_SET not in {row.kind for row in stored(database, name)}
