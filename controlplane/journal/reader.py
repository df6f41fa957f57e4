"""Records out of a log: one after another, in batches for numpy, in runs of one form, by sequence, and following a log
being written.

A reader never waits for a writer and is never misled by one: a frame counts when its length stands there, and the
length is written last.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from controlplane.domain.errors import ChainBroken
from controlplane.domain.invariants import require
from controlplane.journal.chain import ChainDigest
from controlplane.journal.files.blobs import document
from controlplane.journal.files.segment import WAY_OUT, list_segments, read_header, segment_path
from controlplane.journal.files.segment_reader import Batch, Record, SegmentReader, check_follows, damaged
from controlplane.journal.record import FRAME_HEADER_BYTES

__all__ = ["Batch", "Part", "Record", "SegmentReader", "Tail", "batches", "find", "parts_of", "read_parts", "scan"]


class Tail:
    """Follows a log from a sequence on, over segments and restarts of the writer.

    Arguments
        directory   of the log; may be empty or absent for now
        from_seq    first sequence wanted, at least 1
        is_chained  compute the chain value on the way and compare it with every seal that is passed
    """

    def __init__(self, directory: Path, from_seq: int = 1, *, is_chained: bool = False) -> None:
        require(from_seq >= 1, f"A log begins with sequence 1, asked for {from_seq}.")
        self._directory = directory
        self._is_chained = is_chained
        self._chain: ChainDigest | None = None
        self._reader: SegmentReader | None = None
        self.next_seq = from_seq

    def poll(self) -> list[Record]:
        """The records written since the last call; at most one chunk, so a caller that is behind calls again.

        Errors
            ChainBroken         the log contradicts itself at the place reached, or ends before the sequence wanted
            JournalUnavailable  the disk doesn't answer
        """
        batch = self.poll_batch()
        return [] if batch is None else list(batch.records())

    def poll_batch(self, *, count_max: int | None = None) -> Batch | None:
        """The records written since the last call as a batch, valid until the next call; None when there are none.

        Errors
            as `poll`
        """
        self.open()
        while self._reader is not None:
            batch = self._read(self._reader, count_max)
            if batch is not None:
                return batch
            if not segment_path(self._directory, self._reader.number + 1).exists():
                self._check_undamaged(self._reader)
                return None
            # Records may have been written between that read and the birth of the next segment.
            batch = self._read(self._reader, count_max)
            if batch is not None:
                return batch
            self._reader = self._following(self._reader)
        return None

    def open(self) -> bool:
        """Whether there is a log to follow; polling does this by itself.

        Errors
            as `poll`
        """
        if self._reader is None:
            self._reader = self._open_at(self.next_seq)
        return self._reader is not None

    def chain_value(self) -> bytes:
        """The chain value at the place reached, which stands for every record before it; empty without a log."""
        return b"" if self._chain is None else self._chain.value()

    def make_durable(self) -> None:
        """Return once what was read is on disk, whatever the writer's policy; for whoever passes records on.

        Errors
            JournalUnavailable when the disk refuses
        """
        if self._reader is not None:
            self._reader.make_durable()

    def close(self) -> None:
        """Give the file back."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _read(self, reader: SegmentReader, count_max: int | None) -> Batch | None:
        batch = reader.read()
        if batch is None:
            return None
        if count_max is not None and batch.count > count_max:
            batch = batch.limited(count_max)
            reader.next_seq, reader.offset = batch.first_seq + batch.count, batch.base + batch.end
        self.next_seq = reader.next_seq
        if self._chain is not None:
            self._chain.update(batch.chunk[: batch.end].data)
        return batch

    def _check_undamaged(self, reader: SegmentReader) -> None:
        # Bytes ahead without a record are a record being written, a torn tail, or damage; only then is a long look due.
        if reader.has_bytes_ahead() and reader.is_damaged():
            raise damaged(reader)

    def _open_at(self, seq: int) -> SegmentReader | None:
        # The segment of the record before, so that the chain value there can be told.
        number = segment_of(self._directory, max(seq - 1, 1))
        if number is None:
            return None
        reader = SegmentReader(self._directory, number)
        reader.skip_to(seq)
        if reader.next_seq < seq:
            found = reader.next_seq - 1
            reader.close()
            raise ChainBroken(
                f"Expected {self._directory} to hold sequence {seq - 1}, found that it ends at {found}; the log was "
                "shortened or replaced: keep both and find out how."
            )
        if self._is_chained:
            self._chain = ChainDigest(reader.header.previous_chain)
            for part in reader.frames_so_far():
                self._chain.update(part)
        return reader

    def _following(self, reader: SegmentReader) -> SegmentReader:
        reader.close()
        following = SegmentReader(self._directory, reader.number + 1)
        try:
            check_follows(reader, following.header)
            if self._chain is not None:
                self._check_seal(self._chain, following)
                self._chain = ChainDigest(following.header.previous_chain)
        except ChainBroken:
            following.close()
            raise
        return following

    def _check_seal(self, chain: ChainDigest, following: SegmentReader) -> None:
        if chain.value() != following.header.previous_chain:
            raise ChainBroken(
                f"Expected {following.path} to carry the seal of the segment before it, found another; {WAY_OUT}"
            )


def segment_of(directory: Path, seq: int) -> int | None:
    """Return the number of the last segment that begins at or before a sequence; None when the log has no segment.

    Errors
        ChainBroken when the first segment is missing or a header is damaged
    """
    numbers = list_segments(directory)
    if not numbers:
        return None
    if numbers != tuple(range(len(numbers))):
        missing = next(number for number in range(len(numbers)) if number not in numbers)
        raise ChainBroken(f"Expected the file {segment_path(directory, missing)}, found none; {WAY_OUT}")
    low, high = 0, len(numbers) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if read_header(directory, middle).first_seq <= seq:
            low = middle
        else:
            high = middle - 1
    return low


def batches(directory: Path, *, from_seq: int = 1) -> Iterator[Batch]:
    """Yield the log from a sequence on in batches, up to the last whole frame; a torn tail ends it silently.

    Errors
        ChainBroken         a bad frame, a gap or a missing file before the end; names file and offset
        JournalUnavailable  the disk doesn't answer
    """
    number = segment_of(directory, from_seq)
    count = len(list_segments(directory))
    before: SegmentReader | None = None
    while number is not None and number < count:
        with SegmentReader(directory, number) as reader:
            if before is not None:
                check_follows(before, reader.header)
            reader.skip_to(from_seq)
            while (batch := reader.read()) is not None:
                yield batch
            if number == count - 1 and reader.is_damaged():
                raise damaged(reader)
        before = reader
        number += 1


def scan(directory: Path, *, from_seq: int = 1) -> Iterator[Record]:
    """Yield every record of a log from a sequence on.

    Errors
        as `batches`
    """
    for batch in batches(directory, from_seq=from_seq):
        yield from batch.records()


@dataclass(frozen=True, slots=True)
class Part:
    """Binary records that follow each other without a JSON one between: sequences int64 [n], entries int64 [n, 32]."""

    seqs: Any
    entries: Any
    epoch: int


def read_parts(directory: Path) -> Iterator[Part | tuple[int, dict[str, Any]]]:
    """Yield a whole log in order, as `parts_of` does; a part is valid until the next is asked for.

    Errors
        as `batches`
    """
    for batch in batches(directory):
        yield from parts_of(batch, directory)


def parts_of(batch: Batch, directory: Path) -> Iterator[Part | tuple[int, dict[str, Any]]]:
    """Yield a batch in order: runs of binary records, and each JSON record as its sequence and its payload."""
    seqs, entries = batch.binary()
    done = 0
    for index in np.flatnonzero(batch.flags).tolist():
        seq = batch.first_seq + index
        before = int(np.searchsorted(seqs, seq))
        if before > done:
            yield Part(seqs[done:before], entries[done:before], batch.epoch)
        done = before
        start = int(batch.offsets[index]) + FRAME_HEADER_BYTES
        yield seq, document(directory, batch.chunk[start : start + int(batch.lengths[index])].tobytes())
    if len(seqs) > done:
        yield Part(seqs[done:], entries[done:], batch.epoch)


def find(directory: Path, seq: int) -> Record | None:
    """Return the record with a sequence, or None when the log doesn't reach it.

    Errors
        as `batches`
    """
    for batch in batches(directory, from_seq=max(seq, 1)):
        return next(batch.limited(1).records()) if batch.first_seq == seq else None
    return None
