"""Segments and frames, as docs/reference/journal.md describes them: what is whole, and the first thing that isn't."""

import hashlib
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import crc32c
import numpy as np
from numpy.typing import NDArray

MARK = b"CPJOURNL"
VERSION = 1
HEADER_BYTES = 4096
HEADER = struct.Struct("<8sIIIIQq32s32s")
FRAME = struct.Struct("<IIQII")
FRAME_BYTES = 24
FIXED_BYTES = 256
JSON_BYTES_MAX = 49_152
JSON_FLAG = 1
CHUNK_BYTES = 2 * 1024 * 1024
SEGMENT_FILE = re.compile(r"^\d{8}\.seg$")
RECOVERED = "RecordsRecovered"


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that can't be.

    Fields
        reason  what was expected and found, one sentence
        seq     sequence of the record concerned, 0 when it concerns none
        path    file, relative to the log's directory
        offset  in that file, -1 when it concerns the file as a whole
    """

    reason: str
    seq: int
    path: str
    offset: int


@dataclass(frozen=True, slots=True)
class Part:
    """Whole frames, one after another.

    Fields
        first_seq  sequence of the first
        entries    their entries, exactly
        offsets    where each frame begins in its file
    """

    first_seq: int
    entries: list[bytes]
    offsets: list[int]


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says about itself."""

    epoch: int
    first_seq: int
    log: str
    previous_chain: bytes


class FaultFound(Exception):
    """Reading ended at a fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault


class LogFrames:
    """The frames of one log from the first to the last; `chain`, `log` and `next_seq` tell how far it came.

    Arguments
        directory  of the log
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = ""
        self.next_seq = 1
        self.epoch = 0
        self.chain = bytes(32)
        self.segments = 0
        self.torn_bytes = 0
        self._first: list[bytes] = []  # the first two entries of the segment that is read

    def parts(self) -> Iterator[Part]:
        """Yield all whole frames in parts of bounded size.

        Errors
            FaultFound at the first thing that can't be
            OSError    when a file can't be read
        """
        names = sorted(path.name for path in self.directory.iterdir() if SEGMENT_FILE.match(path.name))
        left_over: tuple[str, int, bytes] | None = None
        for number, name in enumerate(names):
            if name != f"{number:08d}.seg":
                raise self._fault("expected this file, found that it is missing", f"{number:08d}.seg", -1)
            self._first = []
            yield from self._segment(name)
            if left_over is not None:
                self._require_stated(*left_over)
            offset, rest = self._end, self._rest
            left_over = (name, offset, rest) if rest and number < len(names) - 1 else None
            if number == len(names) - 1:
                self.torn_bytes = len(rest)
            self.segments += 1

    def _segment(self, name: str) -> Iterator[Part]:
        path = self.directory / name
        digest = hashlib.sha256(self.chain)
        with path.open("rb") as file:
            header = self._header(file.read(HEADER_BYTES), name)
            self.epoch, self.log = header.epoch, header.log
            held, base = b"", HEADER_BYTES
            while True:
                chunk = file.read(CHUNK_BYTES)
                content = held + chunk
                part, end, reason = self._frames(content, base)
                digest.update(memoryview(content)[:end])
                if part.entries:
                    if len(self._first) < 2:
                        self._first += part.entries[: 2 - len(self._first)]
                    self.next_seq += len(part.entries)
                    yield part
                held, base = content[end:], base + end
                if reason != MORE or not chunk:
                    break
            rest = held + file.read()
        self.chain = digest.digest()
        self._end, self._rest = base, rest.rstrip(b"\0")
        if reason not in (MORE, NOTHING):
            self._require_torn(path, base, rest, reason)

    def _header(self, content: bytes, name: str) -> Header:
        if len(content) < HEADER_BYTES:
            raise self._fault(f"expected a header of {HEADER_BYTES} bytes, found {len(content)}", name, 0)
        mark, version, _, epoch, _, first_seq, _, log, previous = HEADER.unpack_from(content)
        if mark != MARK or version != VERSION:
            raise self._fault(f"expected the mark and version {VERSION} of a segment, found others", name, 0)
        if crc32c.crc32c(content[:-4]) != int.from_bytes(content[-4:], "little"):
            raise self._fault("expected a header whose CRC fits, found one that was altered", name, 0)
        found = Header(epoch, first_seq, log.rstrip(b"\0").decode("ascii", "replace"), previous)
        if found.first_seq != self.next_seq:
            raise self._fault(
                f"expected a segment that begins with sequence {self.next_seq}, found {found.first_seq}", name, 0
            )
        if found.epoch < max(self.epoch, 1) or (self.log and found.log != self.log):
            raise self._fault("expected the same log in the same or a later epoch, found another", name, 0)
        if found.previous_chain != self.chain:
            raise self._fault(
                "expected the chain value of the segment before, found another: records before it were altered", name, 0
            )
        return found

    def _frames(self, content: bytes, base: int) -> tuple[Part, int, str]:
        """The whole frames at the start of some bytes, where they end, and why there."""
        entries: list[bytes] = []
        offsets: list[int] = []
        offset, reason = 0, ""
        while not reason:
            count, length, reason = _run(content, offset, self.next_seq + len(entries), self.epoch)
            stride = _stride(length)
            first = offset + FRAME_BYTES
            entries += [content[at : at + length] for at in range(first, first + count * stride, stride)]
            offsets += range(base + offset, base + offset + count * stride, stride)
            offset += count * stride
        return Part(self.next_seq, entries, offsets), offset, reason

    def _require_torn(self, path: Path, base: int, rest: bytes, reason: str) -> None:
        """Return when what stands after the last whole frame is one frame that wasn't finished.

        A whole frame with a later sequence shows that the one here was finished once, and altered.
        """
        fault = self._fault(f"expected a record, found {reason}", path.name, base)
        if reason in WHOLE_BUT_WRONG or _has_later_frame(rest, self.next_seq, self.epoch):
            # Somebody may be writing: a frame that is whole by now was never altered.
            with path.open("rb") as file:
                file.seek(base)
                again, _, _ = self._frames(file.read(JSON_BYTES_MAX + 2 * FRAME_BYTES), base)
            if not again.entries:
                raise fault

    def _require_stated(self, name: str, offset: int, rest: bytes) -> None:
        """Return when the opening of the next segment states the bytes that stand after the last frame of this one."""
        stated = {
            "kind": RECOVERED,
            "segment": name.removesuffix(".seg"),
            "offset": offset,
            "bytes": len(rest),
            "sha256": hashlib.sha256(rest).hexdigest(),
        }
        for entry in self._first:
            try:
                document = json.loads(entry)
            except ValueError:
                continue
            if isinstance(document, dict) and stated.items() <= document.items():
                return
        raise self._fault(
            f"expected nothing after the last record of a finished segment, found {len(rest)} bytes that no recovery "
            "states",
            name,
            offset,
        )

    def _fault(self, reason: str, name: str, offset: int) -> FaultFound:
        return FaultFound(Fault(reason, self.next_seq, name, offset))


NOTHING = "no frame"
MORE = "a frame longer than the file"
BAD_LENGTH = "a length that no entry has"
BAD_CRC = "a CRC that doesn't fit its bytes"
BAD_SEQUENCE = "a sequence that doesn't follow"
BAD_EPOCH = "an epoch other than its segment's"
BAD_FLAGS = "unknown flags, or a fixed entry that isn't 256 bytes"
BAD_PADDING = "padding that isn't zero"
# Their CRC fits, so they were written like this.
WHOLE_BUT_WRONG = (BAD_SEQUENCE, BAD_EPOCH, BAD_FLAGS, BAD_PADDING)

_CRC_OF_LENGTH: dict[int, int] = {}


def _stride(length: int) -> int:
    return (FRAME_BYTES + length + 7) // 8 * 8


def _run(content: bytes, offset: int, seq: int, epoch: int) -> tuple[int, int, str]:
    """How many whole frames of one length stand at an offset, that length, and why there are no more.

    The reason is empty where frames of another length may follow.
    """
    if offset + 8 > len(content):
        return 0, 0, MORE
    length = int.from_bytes(content[offset : offset + 4], "little")
    if length == 0:
        return 0, 0, NOTHING
    if length > JSON_BYTES_MAX:
        return 0, 0, BAD_LENGTH
    stride = _stride(length)
    room = (len(content) - offset) // stride
    if room == 0:
        return 0, 0, MORE
    following = content[offset + stride : offset + stride + 4]
    count = _alike(content, offset, length, room) if following == content[offset : offset + 4] else 1
    words = np.frombuffer(content, np.uint32, count * stride // 4, offset).reshape(count, stride // 4)
    good, reason = _good_headers(words, length, seq, epoch)
    initial = _CRC_OF_LENGTH.get(length)
    if initial is None:
        initial = _CRC_OF_LENGTH[length] = crc32c.crc32c(length.to_bytes(4, "little"))
    view = memoryview(content)
    crc, size = crc32c.crc32c, FRAME_BYTES + length
    # A frame whose CRC is wrong says nothing about its fields, so this is judged first.
    checked = count if good == count else good + 1
    wanted = words[:checked, 1].tolist()
    found = [crc(view[at + 8 : at + size], initial) for at in range(offset, offset + checked * stride, stride)]
    if found != wanted:
        first = next(at for at, value in enumerate(wanted) if value != found[at])
        return first, length, BAD_CRC
    return good, length, reason


def _alike(content: bytes, offset: int, length: int, room: int) -> int:
    """How many frames from an offset on have the same length."""
    stride = _stride(length)
    lengths = np.frombuffer(content, np.uint32, room * stride // 4, offset)[:: stride // 4]
    other = np.flatnonzero(lengths != length)
    return int(other[0]) if other.size else room


def _good_headers(words: NDArray[np.uint32], length: int, seq: int, epoch: int) -> tuple[int, str]:
    """How many frames have the fields they must have, and what is wrong with the next."""
    count = words.shape[0]
    seqs = words[:, 2].astype(np.int64) | words[:, 3].astype(np.int64) << 32
    flags = words[:, 5]
    padding = _stride(length) - FRAME_BYTES - length
    faults = [
        (seqs != np.arange(seq, seq + count), BAD_SEQUENCE),
        (words[:, 4] != epoch, BAD_EPOCH),
        ((flags > JSON_FLAG) | ((flags == 0) & (length != FIXED_BYTES)), BAD_FLAGS),
    ]
    if padding:
        tails = np.ascontiguousarray(words).view(np.uint8)[:, -padding:]
        faults.append((tails.any(axis=1), BAD_PADDING))
    good, reason = count, ""
    for is_wrong, words_for_it in faults:
        first = int(np.argmax(is_wrong)) if is_wrong.any() else count
        if first < good:
            good, reason = first, words_for_it
    return good, reason


def _has_later_frame(rest: bytes, seq: int, epoch: int) -> bool:
    """Whether a whole frame with this sequence or a later one stands somewhere in some bytes."""
    words = np.frombuffer(rest, np.uint64, len(rest) // 8)
    if words.size < 4:
        return False
    highest = seq + len(rest) // (FRAME_BYTES + 8) + 1
    is_near = (words[1:-2] >= seq) & (words[1:-2] <= highest) & ((words[2:-1] & np.uint64(0xFFFFFFFF)) == epoch)
    for index in np.flatnonzero(is_near).tolist():
        at = index * 8
        length, wanted, *_ = FRAME.unpack_from(rest, at)
        if not 0 < length <= JSON_BYTES_MAX or at + FRAME_BYTES + length > len(rest):
            continue
        initial = crc32c.crc32c(rest[at : at + 4])
        if crc32c.crc32c(rest[at + 8 : at + FRAME_BYTES + length], initial) == wanted:
            return True
    return False
