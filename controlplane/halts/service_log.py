"""The web service's own log in the journal: who signed in, who pressed what, who asked for and confirmed a lift."""

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from controlplane.domain.clock import Clock
from controlplane.journal.reader import scan
from controlplane.journal.record import decode_json
from controlplane.journal.writer import JournalWriter
from controlplane.runtime.settings import Durability

LOG = "serve-0"
# A few hundred bytes for each thing a person does; a segment lasts for thousands.
SEGMENT_BYTES = 1024 * 1024
BALLAST_BYTES = 256 * 1024


class ServiceLog:
    """Appends one record at a time and makes it durable before it returns."""

    def __init__(self, writer: JournalWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._lock = Lock()

    @classmethod
    def open(cls, journal_directory: Path, *, durability: Durability, clock: Clock) -> Self:
        """The log of the one web service of this machine.

        Errors
            JournalUnavailable  another web service runs on the same state, or the disk refuses
            ChainBroken         the log is damaged
        """
        writer = JournalWriter.open(
            journal_directory / LOG,
            log=LOG,
            durability=durability,
            clock=clock,
            segment_bytes=SEGMENT_BYTES,
            ballast_bytes=BALLAST_BYTES,
        )
        return cls(writer, clock)

    def record(self, facts: Mapping[str, object]) -> int:
        """The sequence of the record that was written; without a wall time it gets the present one.

        Errors
            JournalUnavailable
        """
        payload = facts if "wall_ns" in facts else {**facts, "wall_ns": str(self._clock.wall_ns())}
        with self._lock:
            seq = self._writer.append_json(payload)
            self._writer.commit()
        return seq

    def close(self) -> None:
        """Finish the log in order."""
        with self._lock:
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def past_records(journal_directory: Path) -> list[dict[str, object]]:
    """What the web service recorded in earlier runs, oldest first; empty before the first.

    Errors
        ChainBroken when the log contradicts itself
    """
    directory = journal_directory / LOG
    if not directory.is_dir():
        return []
    return [dict(decode_json(record.entry)) for record in scan(directory) if record.is_json]
