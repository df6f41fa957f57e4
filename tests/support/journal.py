"""Logs on disk for tests: entries with valid defaults, logs of a wanted shape, and disks that fail on demand."""

import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crc32c

from controlplane.domain.clock import ManualClock
from controlplane.journal.files.segment import SystemDisk, segment_path
from controlplane.journal.reader import Batch, find
from controlplane.journal.record import ENTRY_BYTES, FRAME_HEADER_BYTES, RecordKind, pack_entry
from controlplane.journal.walk import Fault, walk
from controlplane.journal.writer import SEGMENT_BYTES_MIN, JournalWriter
from controlplane.runtime.settings import Durability

NOW_NS = 1_790_000_000_000_000_000
LOG = "gate-0"


class QuietDisk(SystemDisk):
    """A disk that counts and doesn't wait: tests of what is written need no real flush."""

    def __init__(self) -> None:
        self.syncs = 0
        self.content_syncs = 0

    def sync(self, descriptor: int) -> None:
        self.syncs += 1

    def sync_content(self, descriptor: int) -> None:
        self.content_syncs += 1


class FailingDisk(QuietDisk):
    """A disk whose named operation fails from the n-th call on, or writes short."""

    def __init__(self, operation: str, error: int | None, *, after: int = 0) -> None:
        super().__init__()
        self.operation = operation
        self.error = error
        self.left = after
        self.calls_after_failure = 0

    def arm(self, after: int = 0) -> None:
        """Fail from the call after so many more on."""
        self.left = after

    def allocate(self, descriptor: int, length: int) -> None:
        self._meet("allocate")
        super().allocate(descriptor, length)

    def write(self, descriptor: int, content: bytes, offset: int) -> int:
        if self.operation == "write" and self.error is None and self._is_due():
            return os.pwrite(descriptor, content[: len(content) // 2], offset)
        self._meet("write")
        return super().write(descriptor, content, offset)

    def sync(self, descriptor: int) -> None:
        self._meet("sync")
        super().sync(descriptor)

    def sync_content(self, descriptor: int) -> None:
        self._meet("sync_content")
        super().sync_content(descriptor)

    def _meet(self, operation: str) -> None:
        if operation == self.operation and self.error is not None and self._is_due():
            raise OSError(self.error, os.strerror(self.error))

    def _is_due(self) -> bool:
        self.left -= 1
        if self.left < -1:
            self.calls_after_failure += 1
        return self.left < 0


def decided(child_id: int = 7, **words: int) -> bytes:
    """A fixed entry of an allowed new order; its last byte isn't zero, so that cutting a byte off is seen."""
    given = {"wall_ns": NOW_NS, "digest_after": -1, **words}
    return pack_entry(RecordKind.ORDER_DECIDED, subkind=1, outcome=1, child_id=child_id, **given)


def open_writer(directory: Path, **changes: Any) -> JournalWriter:
    """A writer with small segments on a disk that doesn't wait."""
    settings: dict[str, Any] = {
        "log": LOG,
        "durability": Durability.PROCESS,
        "clock": ManualClock(NOW_NS),
        "segment_bytes": SEGMENT_BYTES_MIN,
        "ballast_bytes": 0,
        "disk": QuietDisk(),
    }
    return JournalWriter.open(directory, **{**settings, **changes})


def write_log(directory: Path, count: int, **changes: Any) -> Path:
    """A closed log with so many fixed entries, whose child identifiers count from 1."""
    with open_writer(directory, **changes) as writer:
        for number in range(1, count + 1):
            writer.append_binary(decided(number))
        writer.commit()
    return directory


def abandon(writer: JournalWriter) -> None:
    """Leave a log as a killed process leaves it: no closing record, nothing cut, the lock gone."""
    os.close(writer._lock)
    writer._lock = -1


def copy_of(directory: Path, target: Path) -> Path:
    """A copy of a log that a test may damage."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(directory, target)
    return target


def damage(directory: Path, number: int, offset: int, content: bytes) -> None:
    """Overwrite bytes of a segment."""
    with segment_path(directory, number).open("r+b") as file:
        file.seek(offset)
        file.write(content)


def flip(directory: Path, number: int, offset: int, bit: int = 0) -> None:
    """Flip one bit of a segment."""
    with segment_path(directory, number).open("r+b") as file:
        file.seek(offset)
        value = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([value ^ 1 << bit]))


def rewrite_word(directory: Path, seq: int, word: int, value: int) -> None:
    """Give one word of a fixed entry another value, with a checksum that fits it: what an adversary would do."""
    found = find(directory, seq)
    assert found is not None
    path = segment_path(directory, found.segment)
    frame = bytearray(path.read_bytes()[found.offset : found.offset + FRAME_HEADER_BYTES + ENTRY_BYTES])
    struct.pack_into("<q", frame, FRAME_HEADER_BYTES + 8 * word, value)
    struct.pack_into("<I", frame, 4, crc32c.crc32c(bytes(frame[:4] + frame[8:])))
    damage(directory, found.segment, found.offset, bytes(frame))


def content_of(directory: Path) -> dict[str, bytes]:
    """Every file of a log by name, to see that nothing changed."""
    return dict(_files(directory))


def _files(directory: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(directory)), path.read_bytes()


def recorded_words(log: Path) -> dict[int, list[int]]:
    """Return the words of every decision in a log by sequence."""
    found: dict[int, list[int]] = {}

    def keep(batch: Batch) -> Fault | None:
        seqs, words = batch.binary()
        found.update(zip(seqs.tolist(), words.tolist(), strict=True))
        return None

    walk(log, visit=keep)
    return found
