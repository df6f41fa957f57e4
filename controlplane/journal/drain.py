"""Copies every log of this machine into PostgreSQL: in order, exactly once, however often it is killed.

Records and cursor move in one transaction, so a crash leaves either both or neither. What is copied is made durable
first and noted beside the log afterwards (`copied.mark`), so that a log which later ends before its copy is known to
have been shortened. With the database away nothing is lost: the files wait.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from controlplane.domain.clock import Clock, SystemClock
from controlplane.domain.errors import (
    DatabaseUnavailable,
    DependencyError,
    EvidenceError,
    InvalidRequest,
    JournalUnavailable,
    StateConflict,
)
from controlplane.journal import store
from controlplane.journal.files.directory import read_copied_mark, write_copied_mark
from controlplane.journal.files.segment import SystemDisk, list_logs
from controlplane.journal.reader import Batch, Tail
from controlplane.journal.rows import Rows, rows_of
from controlplane.runtime import metrics
from controlplane.runtime.database import Database
from controlplane.runtime.logs import get_logger

BATCH_RECORDS = 16_384
# After so many batches of one log the others get their turn.
BATCHES_PER_TURN = 16
LOOK_BATCHES_MAX = 256
POLL_SECONDS = 0.2
BACK_OFF_SECONDS_MIN = 0.5
BACK_OFF_SECONDS_MAX = 30.0

events = get_logger("journal.drain")


@dataclass(frozen=True, slots=True)
class LogProgress:
    """Where the copy of one log stands.

    Fields
        copied_seq   highest sequence known to be in PostgreSQL
        last_seq     highest sequence in the files
        problem      why it doesn't go on, one sentence; empty when it does
        is_stopped   whether the files contradict the copy or themselves, so that nothing more is tried
    """

    log: str
    copied_seq: int
    last_seq: int
    problem: str = ""
    is_stopped: bool = False

    @property
    def lag_records(self) -> int:
        """Records that are not in PostgreSQL yet."""
        return max(0, self.last_seq - self.copied_seq)


@dataclass(frozen=True, slots=True)
class DrainProgress:
    """What one round did.

    Fields
        copied                 records that this round added to PostgreSQL
        logs                   where every log stands, by name
        is_database_reachable  whether the database answered
    """

    copied: int
    logs: tuple[LogProgress, ...]
    is_database_reachable: bool

    @property
    def lag_records(self) -> int:
        """Records of all logs that are not in PostgreSQL yet."""
        return sum(log.lag_records for log in self.logs)

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that keeps a log from being copied, one sentence each."""
        return tuple(log.problem for log in self.logs if log.problem)

    def line(self) -> str:
        """The progress for a terminal."""
        database = "" if self.is_database_reachable else ", database away"
        return f"copied {self.copied}, behind by {self.lag_records} in {len(self.logs)} logs{database}"


class Drain:
    """The copying of all logs below `<state>/journal`; one per machine.

    Arguments
        state_directory  where this machine keeps its state
        database         the search index
        clock            stamps moves of the cursor
        batch_records    most records of one transaction
    """

    def __init__(
        self,
        state_directory: Path,
        database: Database,
        *,
        clock: Clock | None = None,
        batch_records: int = BATCH_RECORDS,
    ) -> None:
        self._journal_directory = state_directory / "journal"
        self._database = database
        self._clock = clock or SystemClock()
        self._batch_records = batch_records
        self._copiers: dict[str, LogCopier] = {}

    def run_once(self) -> DrainProgress:
        """What was copied after giving every log its turn; never raises for a log or a database that is unwell.

        Errors
            JournalUnavailable when the journal directory can't be read
        """
        for directory in list_logs(self._journal_directory):
            if directory.name not in self._copiers:
                self._copiers[directory.name] = LogCopier(
                    directory, self._database, clock=self._clock, batch_records=self._batch_records
                )
        copied = 0
        is_reachable = True
        for copier in self._copiers.values():
            if not is_reachable:
                copier.look_ahead()
                continue
            try:
                copied += copier.take_turn()
            except DatabaseUnavailable:
                is_reachable = False
                copier.look_ahead()
        progress = DrainProgress(copied, tuple(copier.progress for copier in self._copiers.values()), is_reachable)
        metrics.DRAIN_LAG_RECORDS.set(progress.lag_records)
        return progress

    def run(self, stop_event: threading.Event, on_progress: Callable[[DrainProgress], None] | None = None) -> None:
        """Return when the event is set; waits between rounds, longer and longer while the database is away."""
        back_off = BACK_OFF_SECONDS_MIN
        reported: tuple[str, ...] = ()
        while not stop_event.is_set():
            progress = self.run_once()
            if on_progress is not None:
                on_progress(progress)
            if progress.problems != reported:
                reported = progress.problems
                events.warning("drain_state", lag_records=progress.lag_records, problems=list(reported))
            if not progress.is_database_reachable:
                stop_event.wait(back_off)
                back_off = min(back_off * 2, BACK_OFF_SECONDS_MAX)
                continue
            back_off = BACK_OFF_SECONDS_MIN
            if progress.copied == 0:
                stop_event.wait(POLL_SECONDS)

    def close(self) -> None:
        """Give the files back."""
        for copier in self._copiers.values():
            copier.close()


class LogCopier:
    """The copying of one log.

    Arguments
        directory  of the log; its name is the log's
    """

    def __init__(self, directory: Path, database: Database, *, clock: Clock, batch_records: int) -> None:
        self._directory = directory
        self._database = database
        self._clock = clock
        self._batch_records = batch_records
        self._tail: Tail | None = None
        self._ahead: Tail | None = None
        self.progress = LogProgress(directory.name, 0, 0)

    def take_turn(self) -> int:
        """How many records were copied until the log's end, the end of its turn, or something that stops it.

        Errors
            DatabaseUnavailable as for a transaction; nothing is half done
        """
        copied = 0
        if self.progress.is_stopped:
            return copied
        try:
            for _ in range(BATCHES_PER_TURN):
                batch_copied = self.copy_next()
                copied += batch_copied
                if batch_copied == 0:
                    self._reached_end()
                    return copied
        except DatabaseUnavailable as error:
            self._note(str(error))
            raise
        except DependencyError as error:
            self._note(str(error))
        except StateConflict as error:
            self._note(str(error))
        except EvidenceError as error:
            self._stop(str(error))
        self.look_ahead()
        return copied

    def copy_next(self) -> int:
        """How many records the next batch moved into PostgreSQL; 0 at the end of the log.

        Errors
            EvidenceError        the files contradict themselves or what PostgreSQL holds of them; nothing was copied
            DatabaseUnavailable  the server went away; nothing is half done
            StateConflict        another program moved the cursor at the same time
            JournalUnavailable   the disk doesn't answer
        """
        try:
            copied_seq, count = self._copy(is_compared=False)
        except psycopg.errors.UniqueViolation:
            # Some of these records are there already: they must be the same ones.
            copied_seq, count = self._copy(is_compared=True)
        self.progress = replace(
            self.progress, copied_seq=copied_seq, last_seq=max(copied_seq, self.progress.last_seq), problem=""
        )
        if count:
            self._mark(copied_seq)
        return count

    def look_ahead(self) -> None:
        """Bring the last sequence of the files up to date, with or without a database."""
        if self.progress.is_stopped:
            return
        try:
            if self._ahead is None:
                copied_seq = max(self.progress.copied_seq, read_copied_mark(self._directory))
                self.progress = replace(self.progress, copied_seq=copied_seq)
                self._ahead = Tail(self._directory, copied_seq + 1)
            for _ in range(LOOK_BATCHES_MAX):
                if self._ahead.poll_batch() is None:
                    break
        except EvidenceError as error:
            self._stop(str(error))
        except JournalUnavailable as error:
            self._note(str(error))
        else:
            self.progress = replace(self.progress, last_seq=self._ahead.next_seq - 1)

    def close(self) -> None:
        """Give the files back."""
        for tail in (self._tail, self._ahead):
            if tail is not None:
                tail.close()

    def _reached_end(self) -> None:
        self.progress = replace(self.progress, last_seq=self.progress.copied_seq)
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _copy(self, *, is_compared: bool) -> tuple[int, int]:
        """The sequence that the copy reached and how many records this moved it by."""
        name = self.progress.log
        with self._database.transaction() as connection:
            copied_seq, chain = store.lock_cursor(connection, name)
            tail = self._tail_after(copied_seq, chain)
            batch = tail.poll_batch(count_max=self._batch_records)
            if batch is None:
                return copied_seq, 0
            tail.make_durable()
            held = store.held_alike(connection, name, batch.records()) if is_compared else frozenset()
            rows = self._rows(batch, held)
            store.copy_rows(connection, rows)
            store.add_counts(connection, name, rows.counts)
            store.move_cursor(
                connection,
                name,
                from_seq=copied_seq,
                copied=batch.count,
                chain=tail.chain_value(),
                moved_ns=self._clock.wall_ns(),
            )
            store.notify(connection)
        return copied_seq + batch.count, batch.count

    def _tail_after(self, copied_seq: int, chain: bytes) -> Tail:
        """The tail at the first record that isn't copied; reopened where a transaction was given up after reading.

        Errors
            EvidenceError when the files before that place aren't those that were copied
        """
        if self._tail is not None and self._tail.next_seq == copied_seq + 1:
            return self._tail
        if self._tail is not None:
            self._tail.close()
        self._tail = None
        tail = Tail(self._directory, copied_seq + 1, is_chained=True)
        if tail.open() and chain and tail.chain_value() != chain:
            tail.close()
            raise EvidenceError(
                f"Expected the records of {self._directory} up to sequence {copied_seq} to be those that were copied, "
                "found others: the log has forked; stop its writer, keep the files and the table and compare them."
            )
        self._tail = tail
        return tail

    def _rows(self, batch: Batch, without: frozenset[int]) -> Rows:
        try:
            return rows_of(self.progress.log, batch, without=without)
        except InvalidRequest as error:
            raise EvidenceError(
                f"Expected readable records from sequence {batch.first_seq} in {self._directory}, found: {error}"
            ) from error

    def _mark(self, copied_seq: int) -> None:
        try:
            write_copied_mark(self._directory, copied_seq, disk=SystemDisk())
        except OSError as error:
            # The copy stands; the mark follows with the next batch.
            self._note(f"Expected to note what was copied in {self._directory}, found: {error.strerror or error}.")

    def _note(self, problem: str) -> None:
        self.progress = replace(self.progress, problem=problem)

    def _stop(self, problem: str) -> None:
        """Copy nothing more of this log: its files and its copy need a person."""
        self.progress = replace(self.progress, problem=problem, is_stopped=True)
        events.error("drain_stopped", log=self.progress.log, problem=problem)
        try:
            with self._database.transaction() as connection:
                store.note_problem(connection, self.progress.log, problem=problem)
        except DatabaseUnavailable as error:
            events.warning("drain_problem_kept_here", log=self.progress.log, reason=str(error))
