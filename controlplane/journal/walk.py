"""Whether a log on disk hangs together, judged record by record and seal by seal.

The walk is the one judgement of a log. Opening for writing and offline verification both rest on it: either the log is
sound up to a known last record, with or without a torn tail, or there is a first fault with its place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from controlplane.domain.errors import ChainBroken, InvalidRequest
from controlplane.journal.canonical import JsonValue
from controlplane.journal.chain import ChainDigest
from controlplane.journal.files.frames import Stop
from controlplane.journal.files.remainder import Remainder, inspect_remainder
from controlplane.journal.files.segment import (
    GENESIS_CHAIN,
    WAY_OUT,
    SegmentHeader,
    list_segments,
    segment_path,
    unreadable,
)
from controlplane.journal.files.segment_reader import Batch, SegmentReader
from controlplane.journal.record import HEADER_BYTES, RecordKind, decode_json


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing in a log that can't be.

    Fields
        segment  number of the file
        offset   in it
        seq      sequence expected there
        reason   what was expected and what was found, as one clause
    """

    segment: int
    offset: int
    seq: int
    reason: str

    def sentence(self, directory: Path) -> str:
        """The fault for a person: file, offset, reason and the way out."""
        path = segment_path(directory, self.segment)
        return f"{path} at offset {self.offset} (sequence {self.seq}): {self.reason}; {WAY_OUT}"


@dataclass(frozen=True, slots=True)
class LogState:
    """What the walk found.

    Fields
        log          name, empty when there is no segment yet
        segments     number of files
        records      whole records up to the end or the fault
        last_seq     sequence of the last, 0 when there is none
        epoch        epoch of the last segment, 0 when there is none
        epochs       how many epochs the log holds
        chain        chain value of the last segment up to its last whole frame
        end_offset   where that frame ends
        remainder    what stands after it; None when there is no segment
        fault        the first contradiction, None when the log is sound
    """

    log: str
    segments: int
    records: int
    last_seq: int
    epoch: int
    epochs: int
    chain: bytes
    end_offset: int
    remainder: Remainder | None
    fault: Fault | None


def walk(directory: Path, *, visit: Callable[[Batch], Fault | None] | None = None) -> LogState:
    """Return the state of a log after reading all of it; changes nothing and needs memory for one chunk.

    Arguments
        directory  of the log; may be empty or absent
        visit      sees every batch after its frames were checked; what it returns ends the walk

    Errors
        JournalUnavailable when a file can't be read
    """
    return _Walk(directory, visit or _nothing_more).run()


def _nothing_more(_: Batch) -> Fault | None:
    return None


class _Walk:
    """The state between two segments; each method either moves it on or sets the fault."""

    def __init__(self, directory: Path, visit: Callable[[Batch], Fault | None]) -> None:
        self.directory = directory
        self.visit = visit
        self.log = ""
        self.segments = 0
        self.epoch = 0
        self.epochs = 0
        self.next_seq = 1
        self.chain = GENESIS_CHAIN
        self.end_offset = HEADER_BYTES
        self.stop = Stop.END
        self.remainder: Remainder | None = None
        self.fault: Fault | None = None

    def run(self) -> LogState:
        numbers = list_segments(self.directory)
        for position, number in enumerate(numbers):
            if number != position:
                self.fault = Fault(position, 0, self.next_seq, "expected this file, found that it is missing")
                break
            self._segment(number)
            if self.fault is not None:
                break
        if self.fault is None and numbers:
            self._end(numbers[-1])
        return LogState(
            log=self.log,
            segments=self.segments,
            records=self.next_seq - 1,
            last_seq=self.next_seq - 1,
            epoch=self.epoch,
            epochs=self.epochs,
            chain=self.chain,
            end_offset=self.end_offset,
            remainder=self.remainder,
            fault=self.fault,
        )

    def _segment(self, number: int) -> None:
        try:
            reader = SegmentReader(self.directory, number)
        except ChainBroken:
            self.fault = Fault(number, 0, self.next_seq, "expected a segment header, found damaged bytes")
            return
        with reader:
            self.fault = self._joint_fault(number, reader.header)
            if self.fault is not None:
                return
            self.segments += 1
            self.epochs += reader.header.epoch > self.epoch
            self.epoch, self.log = reader.header.epoch, reader.header.log
            left_over = self.remainder if self.remainder is not None and self.remainder.length else None
            digest = ChainDigest(self.chain)
            is_sound = self._frames(reader, digest, left_over)
            self.remainder = self._inspect(reader)
            # A writer at work may have gone on between the last read and the look at what follows it.
            while is_sound and self.remainder.stray_offset >= 0 and reader.has_frame():
                is_sound = self._frames(reader, digest, None)
                self.remainder = self._inspect(reader)

    def _inspect(self, reader: SegmentReader) -> Remainder:
        try:
            return inspect_remainder(reader.descriptor, reader.offset, seq_above=reader.next_seq - 1, epoch=self.epoch)
        except OSError as error:
            raise unreadable(reader.path, error) from error

    def _joint_fault(self, number: int, header: SegmentHeader) -> Fault | None:
        """What is wrong between the segment before and this header; the earlier place is named where both could be."""
        if number > 0 and header.first_seq > self.next_seq:
            return Fault(
                number - 1,
                self.end_offset,
                self.next_seq,
                f"expected a record before segment {number:08d}, which begins with {header.first_seq}, found "
                f"{self.stop.words}",
            )
        reason = ""
        if header.first_seq != self.next_seq:
            reason = f"expected to begin with sequence {self.next_seq}, found {header.first_seq}"
        elif self.log and header.log != self.log:
            reason = f"expected a segment of {self.log}, found one of {header.log}"
        elif header.epoch < self.epoch:
            reason = f"expected epoch {self.epoch} or later, found {header.epoch}"
        elif header.previous_chain != self.chain:
            reason = "expected the chain value of the segment before, found another: records before it were altered"
        return Fault(number, 0, self.next_seq, reason) if reason else None

    def _frames(self, reader: SegmentReader, digest: ChainDigest, left_over: Remainder | None) -> bool:
        """Whether the segment is sound up to the place where its whole frames end."""
        while (batch := reader.read()) is not None:
            digest.update(batch.chunk[: batch.end].data)
            if left_over is not None:
                self.fault = self._left_over_fault(left_over, batch)
                left_over = None
            self.fault = self.fault or self.visit(batch)
            if self.fault is not None:
                break
        if left_over is not None and self.fault is None:
            self.fault = self._left_over_fault(left_over, None)
        self.chain = digest.value()
        self.next_seq, self.end_offset, self.stop = reader.next_seq, reader.offset, reader.stop
        return self.fault is None

    def _left_over_fault(self, left_over: Remainder, batch: Batch | None) -> Fault | None:
        """Bytes after the last record of a finished segment must be those that the next opening put into quarantine."""
        number = self.segments - 2
        stated: dict[str, JsonValue] = {
            "segment": f"{number:08d}",
            "offset": left_over.offset,
            "bytes": left_over.length,
            "sha256": left_over.sha256,
        }
        # The opening writes LogOpened and RecordsRecovered together with the segment's header.
        first = list(batch.limited(2).records()) if batch is not None else []
        for record in first:
            if record.is_json and is_recovery_of(record.entry, stated):
                return None
        return Fault(
            number,
            left_over.offset,
            batch.first_seq if batch is not None else self.next_seq,
            f"expected nothing after the last record of a finished segment, found {left_over.length} bytes that no "
            "recovery states",
        )

    def _end(self, number: int) -> None:
        """Judge the end of the last segment: nothing there, a torn tail, or damage."""
        remainder = self.remainder
        if remainder is None:
            return
        if remainder.stray_offset >= 0:
            reason = (
                f"expected a record, found {self.stop.words} and whole records from offset {remainder.stray_offset} on"
            )
        elif self.stop in _WHOLE_BUT_WRONG:
            reason = f"expected a record, found {self.stop.words} in a frame that is otherwise whole"
        else:
            return
        self.fault = Fault(number, self.end_offset, self.next_seq, reason)


# A frame with a good CRC was written whole; a torn write doesn't explain what is wrong with it.
_WHOLE_BUT_WRONG = frozenset({Stop.BAD_SEQUENCE, Stop.BAD_EPOCH, Stop.BAD_FLAGS, Stop.BAD_PADDING})


def is_recovery_of(entry: bytes, stated: dict[str, JsonValue]) -> bool:
    """Whether a JSON entry is the RecordsRecovered record that states exactly these facts."""
    try:
        payload = decode_json(entry)
    except InvalidRequest:
        return False
    return payload["kind"] == RecordKind.RECORDS_RECOVERED.text and stated.items() <= payload.items()
