"""One segment read forward: records as values, and batches of them that numpy can work on without copying."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from controlplane.domain.errors import ChainBroken
from controlplane.journal.files.frames import Bytes, Frames, FrameScanner, Int64s, Stop, binary_words
from controlplane.journal.files.remainder import inspect_remainder, read_parts
from controlplane.journal.files.segment import (
    WAY_OUT,
    SegmentHeader,
    SystemDisk,
    read_at,
    read_header,
    segment_path,
    unreadable,
)
from controlplane.journal.record import FLAG_JSON, FRAME_HEADER_BYTES, HEADER_BYTES

# A chunk holds at least one frame of the largest size.
CHUNK_BYTES_MIN = 128 * 1024
CHUNK_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it stands in the file.

    Fields
        seq      number in its log, from 1 without a gap
        epoch    run of the writer
        flags    bit 0: the entry is JSON
        entry    its bytes, exactly
        segment  number of the file
        offset   of its frame in the file
    """

    seq: int
    epoch: int
    flags: int
    entry: bytes
    segment: int
    offset: int

    @property
    def is_json(self) -> bool:
        return bool(self.flags & FLAG_JSON)


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole frames of one segment, one after another; its arrays are valid until the next batch is read.

    Fields
        first_seq  sequence of the first frame; the others follow without a gap
        base       offset in the file of the first byte of `chunk`
        chunk      uint8, the bytes that were read
        offsets    int64, offset of each frame in `chunk`
        lengths    int64, length of each entry in bytes
        flags      int64
        end        offset in `chunk` after the last frame
    """

    segment: int
    epoch: int
    first_seq: int
    base: int
    chunk: Bytes
    offsets: Int64s
    lengths: Int64s
    flags: Int64s
    end: int

    @property
    def count(self) -> int:
        return int(self.offsets.size)

    def records(self) -> Iterator[Record]:
        """Every record of the batch, its bytes copied."""
        return self._records(range(self.count))

    def json_records(self) -> Iterator[Record]:
        """The JSON records of the batch, their bytes copied."""
        return self._records(np.flatnonzero(self.flags & FLAG_JSON).tolist())

    def binary(self) -> tuple[Int64s, Int64s]:
        """Sequences and entries of the binary records: int64 of shape (n,) and (n, 32)."""
        is_binary = self.flags == 0
        seqs = np.flatnonzero(is_binary) + self.first_seq
        return seqs, binary_words(self.chunk, self.offsets[is_binary])

    def from_seq(self, seq: int) -> "Batch":
        """The batch without the records before a sequence."""
        return self._part(max(0, seq - self.first_seq), self.count)

    def limited(self, count: int) -> "Batch":
        """The first records of the batch, at most so many."""
        return self._part(0, min(count, self.count))

    def _records(self, indices: Iterable[int]) -> Iterator[Record]:
        offsets, lengths, flags = self.offsets.tolist(), self.lengths.tolist(), self.flags.tolist()
        for index in indices:
            start = offsets[index] + FRAME_HEADER_BYTES
            entry = self.chunk[start : start + lengths[index]].tobytes()
            offset = self.base + offsets[index]
            yield Record(self.first_seq + index, self.epoch, flags[index], entry, self.segment, offset)

    def _part(self, start: int, stop: int) -> "Batch":
        if start == 0 and stop == self.count:
            return self
        end = int(self.offsets[stop]) if stop < self.count else self.end
        return Batch(
            segment=self.segment,
            epoch=self.epoch,
            first_seq=self.first_seq + start,
            base=self.base,
            chunk=self.chunk,
            offsets=self.offsets[start:stop],
            lengths=self.lengths[start:stop],
            flags=self.flags[start:stop],
            end=end,
        )


class SegmentReader:
    """Reads one segment forward in chunks; `stop` says why the last read ended.

    Arguments
        directory  of the log
        number     of the segment
    """

    def __init__(self, directory: Path, number: int) -> None:
        self.header: SegmentHeader = read_header(directory, number)
        self.number = number
        self.path = segment_path(directory, number)
        self.offset = HEADER_BYTES
        self.next_seq = self.header.first_seq
        self.stop = Stop.END
        self._chunk = np.zeros(CHUNK_BYTES_MIN, np.uint8)
        self._length = 0
        self._scanner = FrameScanner(CHUNK_BYTES_MIN)
        try:
            self.descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise unreadable(self.path, error) from error

    def read(self) -> Batch | None:
        """The next batch, or None when there is no whole frame at the place reached.

        Errors
            JournalUnavailable when the disk doesn't answer
        """
        frames = self._scan()
        if frames.offsets.size == 0:
            return None
        batch = Batch(
            segment=self.number,
            epoch=self.header.epoch,
            first_seq=self.next_seq,
            base=self.offset,
            chunk=self._chunk,
            offsets=frames.offsets,
            lengths=frames.lengths,
            flags=frames.flags,
            end=frames.end,
        )
        self.next_seq += batch.count
        self.offset += frames.end
        if frames.stop is Stop.MORE_NEEDED and self._length == self._chunk.size < CHUNK_BYTES_MAX:
            # A quiet log is polled with small reads, a long one is read in large ones; the batch keeps its old chunk.
            self._chunk = np.zeros(self._chunk.size * 2, np.uint8)
            self._scanner = FrameScanner(self._chunk.size)
        return batch

    def is_damaged(self) -> bool:
        """Whether whole records stand after the place reached and none stands at it.

        A writer that is at work fills the file in order: where a later record is seen, the one at this place was there
        before, so another look at it decides.
        """
        remainder = inspect_remainder(
            self.descriptor, self.offset, seq_above=self.next_seq - 1, epoch=self.header.epoch
        )
        return remainder.stray_offset >= 0 and not self.has_frame()

    def has_frame(self) -> bool:
        """Whether a whole record stands at the place reached now."""
        return self._scan().offsets.size > 0

    def has_bytes_ahead(self) -> bool:
        """Whether the last read saw anything but zeros from the place reached on."""
        return bool(self._chunk[: self._length].any())

    def frames_so_far(self) -> Iterator[bytes]:
        """Everything between the header and the place reached, in parts.

        Errors
            JournalUnavailable when the disk doesn't answer
        """
        try:
            yield from read_parts(self.descriptor, HEADER_BYTES, self.offset - HEADER_BYTES)
        except OSError as error:
            raise unreadable(self.path, error) from error

    def make_durable(self) -> None:
        """Return once what was read is on disk.

        Errors
            JournalUnavailable when the disk refuses
        """
        try:
            SystemDisk().sync_content(self.descriptor)
        except OSError as error:
            raise unreadable(self.path, error) from error

    def skip_to(self, seq: int) -> None:
        """Go on until the next record has this sequence, or to the last whole frame before it."""
        while self.next_seq < seq:
            before = self.next_seq, self.offset
            batch = self.read()
            if batch is None:
                return
            if self.next_seq > seq:
                self.next_seq, self.offset = seq, before[1] + int(batch.offsets[seq - before[0]])

    def close(self) -> None:
        """Give the file back."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _scan(self) -> Frames:
        try:
            self._length = read_at(self.descriptor, self._chunk, self.offset)
        except OSError as error:
            raise unreadable(self.path, error) from error
        frames = self._scanner.scan(self._chunk, self._length, next_seq=self.next_seq, epoch=self.header.epoch)
        self.stop = frames.stop
        return frames

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def damaged(reader: SegmentReader) -> ChainBroken:
    """Return the fault of a place where no record stands though later ones do."""
    return ChainBroken(
        f"Expected sequence {reader.next_seq} in {reader.path} at offset {reader.offset}, found {reader.stop.words}, "
        f"then whole records; {WAY_OUT}"
    )


def check_follows(finished: SegmentReader, header: SegmentHeader) -> None:
    """Return when the next segment goes on where this one ends.

    Errors
        ChainBroken names the place where this one ends
    """
    if header.first_seq != finished.next_seq:
        raise ChainBroken(
            f"Expected sequence {finished.next_seq} in {finished.path} at offset {finished.offset}, found "
            f"{finished.stop.words} though the next segment begins with {header.first_seq}; {WAY_OUT}"
        )
    if header.epoch < finished.header.epoch or header.log != finished.header.log:
        raise ChainBroken(
            f"Expected {finished.header.log} of epoch {finished.header.epoch} or later after {finished.path}, found "
            f"{header.log} of epoch {header.epoch}; {WAY_OUT}"
        )
