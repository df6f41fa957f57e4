"""Appends records to a log: recover first, then write into a mapped segment, make durable, start the next segment.

A record exists once its length word is written, which happens last; it is durable once `commit` returned. Whatever goes
wrong with the disk is final for the writer: a page that failed to reach the disk may be reported clean the next time,
so nothing is tried twice, and the process has to end and recover.

`LogOpened` (and `RecordsRecovered` after a torn tail) is written by `open` together with the segment's header,
`LogClosed` by `close`; callers write neither.
"""

import errno
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import numpy as np

from controlplane.domain.clock import Clock
from controlplane.domain.errors import InvalidRequest, JournalUnavailable
from controlplane.domain.invariants import require
from controlplane.journal.files.blobs import with_blob
from controlplane.journal.files.directory import drop_ballast, keep_ballast, take_lock
from controlplane.journal.files.frames import FRAME_BYTES_MAX, Int64s, build_frame, frame_bytes
from controlplane.journal.files.mapped import MappedSegment
from controlplane.journal.files.segment import (
    Disk,
    SegmentHeader,
    SystemDisk,
    check_log_name,
    create_segment,
    segment_path,
    sync_directory,
)
from controlplane.journal.record import (
    ENTRY_BYTES,
    FLAG_JSON,
    FORMAT_VERSION,
    FRAME_ALIGNMENT,
    HEADER_BYTES,
    JSON_BYTES_MAX,
    RecordKind,
    encode_json,
)
from controlplane.journal.recovery import Opening, give_back_unused, recover
from controlplane.runtime.settings import Durability

MIB = 1024 * 1024
SEGMENT_BYTES = 64 * MIB
SEGMENT_BYTES_MIN = HEADER_BYTES + 2 * FRAME_BYTES_MAX
# Stop and closing records take a few hundred bytes; the ballast holds a small segment for them with room to spare.
BALLAST_BYTES = 16 * MIB
LAST_SEGMENT_BYTES = 128 * 1024
# Digesting a whole segment when it is full would hold a decision up for 50 ms; a step of this size takes 0.2 ms.
CHAIN_STEP_BYTES = 256 * 1024
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)

CURSOR_WORDS = 8
(
    CURSOR_ADDRESS, CURSOR_OFFSET, CURSOR_END, CURSOR_NEXT_SEQ, CURSOR_EPOCH, CURSOR_COMMITTED_OFFSET,
    CURSOR_COMMITTED_SEQ, CURSOR_QUIET_END,
) = range(CURSOR_WORDS)  # fmt: skip


class JournalWriter:
    """The one writer of a log; made by `open`.

    `cursor` is shared with compiled code that writes frames straight into the mapping: int64 of shape (8,), its words
    named by the CURSOR_ constants. Whoever writes a frame moves the write offset and the next sequence on, and writes
    the frame's length word last. Up to the quiet end it may also commit, by moving the two committed words: there the
    writer has nothing of its own to do. `roll` changes the address in place; a closed or failed writer has no room.
    """

    def __init__(
        self, directory: Path, *, log: str, durability: Durability, clock: Clock, disk: Disk, lock: int
    ) -> None:
        self.directory = directory
        self.log = log
        self.durability = durability
        self.cursor: Int64s = np.zeros(CURSOR_WORDS, np.int64)
        self._clock = clock
        self._disk = disk
        self._lock = lock
        self._segment_bytes = 0
        self._segment: MappedSegment | None = None
        self._failure: str | None = None
        self._is_full = False

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        log: str,
        durability: Durability,
        clock: Clock,
        segment_bytes: int = SEGMENT_BYTES,
        ballast_bytes: int = BALLAST_BYTES,
        disk: Disk | None = None,
    ) -> Self:
        """The writer of a log, recovered, in a new epoch and a new segment whose first record is LogOpened.

        Arguments
            directory      of this log, `<state>/journal/<log>`; made when absent
            log            its name, `gate-0`
            durability     `process`: a record survives the end of the process; `disk`: of the machine, once committed
            segment_bytes  size of a segment, a multiple of 8, at least 102,448
            ballast_bytes  space kept so that stop records can be written on a full disk; 0 for a log without any

        Errors
            InvalidRequest      a name or size out of range
            JournalUnavailable  another writer holds the log, or the disk refuses
            ChainBroken         the log is damaged or was shortened; nothing was altered
        """
        check_log_name(log)
        _check_segment_bytes(segment_bytes)
        used_disk = disk or SystemDisk()
        try:
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            with ExitStack() as undo:
                lock = take_lock(directory)
                undo.callback(os.close, lock)
                opening = recover(directory, log=log, disk=used_disk)
                keep_ballast(directory, ballast_bytes, disk=used_disk)
                sync_directory(directory.parent, disk=used_disk)
                writer = cls(directory, log=log, durability=durability, clock=clock, disk=used_disk, lock=lock)
                writer._start(opening, segment_bytes)
                undo.pop_all()
        except OSError as error:
            raise JournalUnavailable(
                f"Expected to open the journal in {directory} for writing, found: {_reason(error)}; free space or "
                "repair the disk, then start again."
            ) from error
        return writer

    @property
    def epoch(self) -> int:
        """Number of this run of the writer."""
        return int(self.cursor[CURSOR_EPOCH])

    @property
    def next_seq(self) -> int:
        """Sequence that the next record gets."""
        return int(self.cursor[CURSOR_NEXT_SEQ])

    @property
    def committed_seq(self) -> int:
        """Sequence of the last record that is durable under this writer's policy."""
        return int(self.cursor[CURSOR_COMMITTED_SEQ])

    def has_room(self, length: int) -> bool:
        """Whether frames of this many bytes, headers and padding included (280 for a binary one), fit the segment."""
        return bool(self.cursor[CURSOR_OFFSET] + length <= self.cursor[CURSOR_END])

    def append_binary(self, entry: bytes) -> int:
        """Sequence of a fixed entry of 256 bytes that now stands in the segment; starts the next segment when full.

        Errors
            JournalUnavailable, finally
        """
        require(len(entry) == ENTRY_BYTES, f"A fixed entry has {ENTRY_BYTES} bytes, found {len(entry)}.")
        return self._append(entry, flags=0)

    def append_json(self, payload: Mapping[str, object]) -> int:
        """Sequence of a JSON record that now stands in the segment; `wall_ns` is filled in when the payload has none.

        A payload whose bytes don't fit a record goes into a blob, and the record names it.

        Errors
            InvalidRequest      the payload isn't a record; nothing was written
            JournalUnavailable  finally
        """
        self._require_usable()
        complete = self._with_time(payload)
        entry = encode_json(complete)
        try:
            entry = with_blob(self.directory, entry, complete, disk=self._disk)
        except OSError as error:
            self._fail("to store a blob", error)
        return self._append(entry, flags=FLAG_JSON)

    def commit(self) -> None:
        """Return once everything appended is as durable as the policy says.

        Errors
            JournalUnavailable, finally: what was appended since the last commit may or may not be on disk
        """
        segment = self._require_usable()
        if self.cursor[CURSOR_COMMITTED_OFFSET] == self.cursor[CURSOR_OFFSET]:
            return
        if self.durability is Durability.DISK:
            try:
                self._disk.sync_content(segment.descriptor)
            except OSError as error:
                self._fail("to make records durable", error, is_page_lost=True)
        self.cursor[CURSOR_COMMITTED_OFFSET] = self.cursor[CURSOR_OFFSET]
        self.cursor[CURSOR_COMMITTED_SEQ] = self.cursor[CURSOR_NEXT_SEQ] - 1
        if self.cursor[CURSOR_OFFSET] - segment.chained_offset > CHAIN_STEP_BYTES:
            self.advance_chain()
            self._look_ahead(segment)

    def advance_chain(self) -> None:
        """Take what was appended into the running digest; called in a quiet moment, it keeps the next `roll` short."""
        self._require_usable().chain_value(int(self.cursor[CURSOR_OFFSET]))

    def _look_ahead(self, segment: MappedSegment) -> None:
        """Say up to where a commit has nothing to do but move two words, and have the pages up to there ready.

        Where a commit reaches the disk there is no such place, and pages made ready would only be written twice.
        """
        if self.durability is Durability.DISK:
            return
        quiet_end = segment.chained_offset + CHAIN_STEP_BYTES
        self.cursor[CURSOR_QUIET_END] = quiet_end
        segment.make_ready(quiet_end + FRAME_BYTES_MAX)

    def roll(self) -> None:
        """Seal this segment and start the next one.

        Errors
            JournalUnavailable, finally; on a full disk `append_final` still works
        """
        self.commit()
        try:
            self._next_segment(self._segment_bytes)
        except OSError as error:
            self._fail("to start a segment", error)

    def append_final(self, payload: Mapping[str, object]) -> int:
        """Sequence of a stop record that is durable, if need be in the space of the ballast on a full disk.

        Errors
            InvalidRequest      the payload isn't a record that fits one frame
            JournalUnavailable  the journal failed for another reason than a full disk, or the ballast is spent
        """
        entry = encode_json(self._with_time(payload))
        if len(entry) > JSON_BYTES_MAX:
            raise InvalidRequest(f"Expected a stop record of at most {JSON_BYTES_MAX} bytes, found {len(entry)}.")
        if self._failure is None:
            try:
                seq = self._append(entry, flags=FLAG_JSON)
                self.commit()
                return seq
            except JournalUnavailable:
                if not self._is_full:
                    raise
        return self._append_from_ballast(entry)

    def close(self) -> None:
        """Write LogClosed where that is possible, make everything durable and release the log; again is harmless.

        Errors
            JournalUnavailable when the closing record couldn't be written; the log is released all the same
        """
        if self._lock < 0:
            return
        try:
            if self._failure is None or self._is_full:
                self.append_final({"kind": RecordKind.LOG_CLOSED.text, "log": self.log, "epoch": self.epoch})
        finally:
            if self._segment is not None:
                # A failed disk is left as it is.
                self._segment.close(cut_at=int(self.cursor[CURSOR_OFFSET]) if self._failure is None else None)
            self._segment = None
            self.cursor[CURSOR_ADDRESS] = self.cursor[CURSOR_OFFSET] = self.cursor[CURSOR_END] = 0
            self.cursor[CURSOR_QUIET_END] = 0
            self._failure = self._failure or f"Expected an open journal, found {self.log} closed; open it again."
            self._is_full = False
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, opening: Opening, segment_bytes: int) -> None:
        """Create the first segment of this epoch with its opening records in it, so that they appear together."""
        self._segment_bytes = segment_bytes
        payloads: list[dict[str, object]] = [
            {
                "kind": RecordKind.LOG_OPENED.text,
                "log": self.log,
                "epoch": opening.epoch,
                "durability": self.durability.value,
                "segment_bytes": segment_bytes,
                "format_version": FORMAT_VERSION,
            }
        ]
        if opening.recovered is not None:
            payloads.append({"kind": RecordKind.RECORDS_RECOVERED.text, **opening.recovered})
        entries = [encode_json(self._with_time(payload)) for payload in payloads]
        frames = [
            build_frame(entry, seq=opening.next_seq + index, epoch=opening.epoch, flags=FLAG_JSON)
            for index, entry in enumerate(entries)
        ]
        self.cursor[CURSOR_NEXT_SEQ] = opening.next_seq
        self.cursor[CURSOR_EPOCH] = opening.epoch
        self._create(opening.number, opening.state.chain, frames, segment_bytes)
        give_back_unused(self.directory, opening.state)

    def _append(self, entry: bytes, *, flags: int) -> int:
        self._require_usable()
        if not self.has_room(frame_bytes(len(entry))):
            self.roll()
        return self._write(entry, flags=flags)

    def _write(self, entry: bytes, *, flags: int) -> int:
        offset, seq = int(self.cursor[CURSOR_OFFSET]), self.next_seq
        frame = build_frame(entry, seq=seq, epoch=self.epoch, flags=flags)
        self._mapped().write(frame, offset)
        self.cursor[CURSOR_OFFSET] = offset + len(frame)
        self.cursor[CURSOR_NEXT_SEQ] = seq + 1
        return seq

    def _append_from_ballast(self, entry: bytes) -> int:
        if not self._is_full:
            raise JournalUnavailable(self._failure)
        try:
            if int(self.cursor[CURSOR_OFFSET]) + frame_bytes(len(entry)) > self._mapped().length:
                drop_ballast(self.directory)
                self._next_segment(LAST_SEGMENT_BYTES)
            seq = self._write(entry, flags=FLAG_JSON)
            self._disk.sync_content(self._mapped().descriptor)
        except OSError as error:
            self._fail("to write a stop record from the ballast", error, is_page_lost=True)
        # Ordinary records stay refused: compiled code looks at the cursor alone.
        self.cursor[CURSOR_END] = self.cursor[CURSOR_COMMITTED_OFFSET] = self.cursor[CURSOR_OFFSET]
        self.cursor[CURSOR_COMMITTED_SEQ] = seq
        return seq

    def _next_segment(self, length: int) -> None:
        before, used = self._mapped(), int(self.cursor[CURSOR_OFFSET])
        self._create(before.number + 1, before.chain_value(used), [], length)
        before.close(cut_at=used)

    def _create(self, number: int, previous_chain: bytes, frames: list[bytes], length: int) -> None:
        header = SegmentHeader(
            log=self.log,
            epoch=self.epoch,
            first_seq=self.next_seq,
            previous_chain=previous_chain,
            created_ns=self._clock.wall_ns(),
            durability=self.durability,
        )
        descriptor = create_segment(self.directory, number, header, frames=frames, length=length, disk=self._disk)
        self._segment = MappedSegment(
            number=number, descriptor=descriptor, length=length, previous_chain=previous_chain
        )
        self.cursor[CURSOR_ADDRESS] = self._segment.address
        self.cursor[CURSOR_OFFSET] = HEADER_BYTES + sum(len(frame) for frame in frames)
        self.cursor[CURSOR_END] = length
        self.cursor[CURSOR_NEXT_SEQ] += len(frames)
        self.cursor[CURSOR_COMMITTED_OFFSET] = self.cursor[CURSOR_OFFSET]
        self.cursor[CURSOR_COMMITTED_SEQ] = self.cursor[CURSOR_NEXT_SEQ] - 1
        self._look_ahead(self._segment)

    def _mapped(self) -> MappedSegment:
        if self._segment is None:
            raise JournalUnavailable(self._failure or f"Expected an open journal of {self.log}, found none; open it.")
        return self._segment

    def _with_time(self, payload: Mapping[str, object]) -> dict[str, object]:
        return {"wall_ns": str(self._clock.wall_ns()), **payload}

    def _require_usable(self) -> MappedSegment:
        if self._failure is not None:
            raise JournalUnavailable(self._failure)
        return self._mapped()

    def _fail(self, purpose: str, error: OSError, *, is_page_lost: bool = False) -> NoReturn:
        """Make the failure final and raise it; space can be made on a full disk, a lost page can't be brought back."""
        self._failure = (
            f"Expected {purpose} in {segment_path(self.directory, self._mapped().number)}, found: {_reason(error)}; "
            "nothing more is written: repair the disk or free space, then restart, which recovers the journal."
        )
        self._is_full = error.errno in FULL_DISK and not is_page_lost
        self.cursor[CURSOR_END] = self.cursor[CURSOR_OFFSET]
        self.cursor[CURSOR_QUIET_END] = 0
        raise JournalUnavailable(self._failure) from error


def _check_segment_bytes(length: int) -> None:
    if length < SEGMENT_BYTES_MIN or length % FRAME_ALIGNMENT:
        raise InvalidRequest(
            f"Expected a segment size of at least {SEGMENT_BYTES_MIN} bytes that divides by {FRAME_ALIGNMENT}, found "
            f"{length}.",
            field="segment_bytes",
        )


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
