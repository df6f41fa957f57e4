"""One frame: how it is built, and the compiled scan that tells whole frames from everything else.

The scan checks length, CRC, sequence, epoch, flags and padding of frame after frame in one compiled loop, because
recovery of a gate waits for it.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import crc32c
import numba
import numpy as np
from numpy.typing import NDArray

from controlplane.domain.invariants import require
from controlplane.journal.record import (
    ENTRY_BYTES,
    FLAG_JSON,
    FRAME_ALIGNMENT,
    FRAME_HEADER_BYTES,
    FRAME_STRUCT,
    JSON_BYTES_MAX,
    WORD_COUNT,
)

Bytes: TypeAlias = NDArray[np.uint8]
Int64s: TypeAlias = NDArray[np.int64]

FRAME_BYTES_MIN = FRAME_HEADER_BYTES + FRAME_ALIGNMENT
FRAME_BYTES_MAX = FRAME_HEADER_BYTES + JSON_BYTES_MAX
BINARY_FRAME_BYTES = FRAME_HEADER_BYTES + ENTRY_BYTES


class Stop(IntEnum):
    """Why a scan ended where it did."""

    END = 0  # length 0: nothing was written here yet
    MORE_NEEDED = 1  # the frame goes on after the bytes at hand
    BAD_LENGTH = 2
    BAD_CRC = 3
    BAD_SEQUENCE = 4
    BAD_EPOCH = 5
    BAD_FLAGS = 6
    BAD_PADDING = 7

    @property
    def words(self) -> str:
        """What is wrong, for a sentence about one frame."""
        return _STOP_WORDS[self]


_STOP_WORDS = {
    Stop.END: "no frame",
    Stop.MORE_NEEDED: "a frame longer than the file",
    Stop.BAD_LENGTH: "a length outside 1..49152",
    Stop.BAD_CRC: "a CRC that doesn't fit its bytes",
    Stop.BAD_SEQUENCE: "a sequence that doesn't follow",
    Stop.BAD_EPOCH: "an epoch other than its segment's",
    Stop.BAD_FLAGS: "unknown flags or a binary entry that isn't 256 bytes",
    Stop.BAD_PADDING: "padding that isn't zero",
}


def frame_bytes(entry_length: int) -> int:
    """Return how many bytes a frame around an entry of this length takes."""
    return (FRAME_HEADER_BYTES + entry_length + FRAME_ALIGNMENT - 1) & -FRAME_ALIGNMENT


def frame_crc(entry: bytes, *, seq: int, epoch: int, flags: int) -> int:
    """Return the CRC32C over length, sequence, epoch, flags and entry, in this order."""
    header = FRAME_STRUCT.pack(len(entry), 0, seq, epoch, flags)
    return int(crc32c.crc32c(entry, crc32c.crc32c(header[8:], crc32c.crc32c(header[:4]))))


def build_frame(entry: bytes, *, seq: int, epoch: int, flags: int) -> bytes:
    """Return the bytes of one frame with its padding."""
    crc = frame_crc(entry, seq=seq, epoch=epoch, flags=flags)
    frame = FRAME_STRUCT.pack(len(entry), crc, seq, epoch, flags) + entry
    return frame + bytes(frame_bytes(len(entry)) - len(frame))


@dataclass(frozen=True, slots=True)
class Frames:
    """Whole frames found one after another.

    Fields
        offsets  int64, offset of each frame in the scanned bytes
        lengths  int64, length of each entry in bytes
        flags    int64
        end      offset after the last whole frame
        stop     why the scan ended there
    """

    offsets: Int64s
    lengths: Int64s
    flags: Int64s
    end: int
    stop: Stop


class FrameScanner:
    """Scans chunk after chunk; keeps the arrays it fills, so that a long scan allocates nothing."""

    __slots__ = ("_flags", "_lengths", "_offsets")

    def __init__(self, chunk_bytes: int) -> None:
        count = chunk_bytes // FRAME_BYTES_MIN + 1
        self._offsets = np.zeros(count, np.int64)
        self._lengths = np.zeros(count, np.int64)
        self._flags = np.zeros(count, np.int64)

    def scan(self, chunk: Bytes, length: int, *, next_seq: int, epoch: int) -> Frames:
        """Return the whole frames at the start of a chunk; the arrays are valid until the next scan.

        Arguments
            chunk     uint8, its size a multiple of 8; bytes after `length` are ignored
            length    how many bytes of the chunk count
            next_seq  sequence that the first frame must have
            epoch     epoch that every frame must have
        """
        require(chunk.size % 8 == 0, f"A chunk is a multiple of 8 bytes, found {chunk.size}.")
        require(
            chunk.size // FRAME_BYTES_MIN < self._offsets.size, "The chunk is larger than the scanner was made for."
        )
        count, end, stop = _scan(
            chunk, chunk.view(np.uint64), length, next_seq, epoch, self._offsets, self._lengths, self._flags
        )
        return Frames(self._offsets[:count], self._lengths[:count], self._flags[:count], int(end), Stop(stop))


def stray_frame_offset(remainder: Bytes, *, seq_above: int, epoch: int) -> int:
    """Return where a whole frame with a higher sequence starts at a multiple of 8, or -1 when there is none.

    A torn tail holds no such frame; a record that was damaged in place is followed by them.

    Arguments
        remainder  uint8, everything in the segment from the first bad frame on
        seq_above  last good sequence
        epoch      epoch of the segment
    """
    words = remainder[: remainder.size // 8 * 8].view(np.uint64)
    if words.size < 4:
        return -1
    highest = seq_above + remainder.size // FRAME_BYTES_MIN + 1
    is_candidate = (words[1:-2] > seq_above) & (words[1:-2] <= highest)
    is_candidate &= (words[2:-1] & np.uint64(0xFFFF_FFFF)) == epoch
    for index in np.flatnonzero(is_candidate).tolist():
        if _is_frame_at(remainder, words, index * 8, epoch):
            return int(index) * 8
    return -1


def binary_words(chunk: Bytes, offsets: Int64s) -> Int64s:
    """Return the entries of binary frames as int64 of shape (frames, 32); a view when the frames are adjacent."""
    if offsets.size == 0:
        return np.zeros((0, WORD_COUNT), np.int64)
    words: Int64s = chunk.view(np.int64)
    first = int(offsets[0]) // 8
    width = BINARY_FRAME_BYTES // 8
    if int(offsets[-1]) - int(offsets[0]) == (offsets.size - 1) * BINARY_FRAME_BYTES:
        run = words[first : first + offsets.size * width].reshape(offsets.size, width)
        return run[:, FRAME_HEADER_BYTES // 8 :]
    gathered: Int64s = words[(offsets // 8)[:, None] + (FRAME_HEADER_BYTES // 8 + np.arange(WORD_COUNT))]
    return gathered


def _crc_tables() -> NDArray[np.uint32]:
    """Return the eight tables that let CRC32C (Castagnoli, reflected 0x82F63B78) take eight bytes at a time."""
    tables = np.zeros((8, 256), np.uint32)
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        tables[0, value] = crc
    for table in range(1, 8):
        before = tables[table - 1]
        tables[table] = before >> np.uint32(8) ^ tables[0][before & np.uint32(0xFF)]
    return tables


_TABLES = _crc_tables()
_ONES = 0xFFFF_FFFF


@numba.njit("uint32(uint32, uint64)", cache=True, inline="always")
def _crc_word(crc: int, word: int) -> int:
    mixed = word ^ numba.uint64(crc)
    after: int = (
        _TABLES[7, mixed & 0xFF]
        ^ _TABLES[6, mixed >> 8 & 0xFF]
        ^ _TABLES[5, mixed >> 16 & 0xFF]
        ^ _TABLES[4, mixed >> 24 & 0xFF]
        ^ _TABLES[3, mixed >> 32 & 0xFF]
        ^ _TABLES[2, mixed >> 40 & 0xFF]
        ^ _TABLES[1, mixed >> 48 & 0xFF]
        ^ _TABLES[0, mixed >> 56 & 0xFF]
    )
    return after


@numba.njit("uint32(uint32, uint8)", cache=True, inline="always")
def _crc_byte(crc: int, byte: int) -> int:
    after: int = crc >> 8 ^ _TABLES[0, (crc ^ byte) & 0xFF]
    return after


@numba.njit("uint32(uint8[::1], uint64[::1], int64, int64)", cache=True)
def _crc_of_frame(chunk: Bytes, words: NDArray[np.uint64], offset: int, entry_length: int) -> int:
    """CRC32C of the frame at an offset that is a multiple of 8; the whole frame lies inside the chunk."""
    crc = _ONES
    for index in range(offset, offset + 4):
        crc = _crc_byte(crc, chunk[index])
    crc = _crc_word(crc, words[offset // 8 + 1])
    crc = _crc_word(crc, words[offset // 8 + 2])
    first = offset // 8 + 3
    for index in range(first, first + entry_length // 8):
        crc = _crc_word(crc, words[index])
    start = offset + 24 + entry_length // 8 * 8
    for index in range(start, offset + 24 + entry_length):
        crc = _crc_byte(crc, chunk[index])
    return crc ^ _ONES


@numba.njit(
    "Tuple((int64, int64, int64))(uint8[::1], uint64[::1], int64, int64, int64, int64[::1], int64[::1], int64[::1])",
    cache=True,
    nogil=True,
)
def _scan(
    chunk: Bytes,
    words: NDArray[np.uint64],
    length: int,
    next_seq: int,
    epoch: int,
    offsets: Int64s,
    lengths: Int64s,
    flags: Int64s,
) -> tuple[int, int, int]:
    """Count of whole frames, offset after the last, and the number of a Stop; fills the three arrays."""
    count = 0
    offset = 0
    while True:
        if offset + 8 > length:
            return count, offset, 1
        entry_length = numba.int64(words[offset // 8] & numba.uint64(0xFFFF_FFFF))
        if entry_length == 0:
            return count, offset, 0
        if entry_length > JSON_BYTES_MAX:
            return count, offset, 2
        size = (FRAME_HEADER_BYTES + entry_length + 7) // 8 * 8
        if offset + size > length:
            return count, offset, 1
        if _crc_of_frame(chunk, words, offset, entry_length) != numba.uint32(words[offset // 8] >> numba.uint64(32)):
            return count, offset, 3
        if numba.int64(words[offset // 8 + 1]) != next_seq + count:
            return count, offset, 4
        tags = words[offset // 8 + 2]
        if numba.int64(tags & numba.uint64(0xFFFF_FFFF)) != epoch:
            return count, offset, 5
        flag = numba.int64(tags >> numba.uint64(32))
        if flag > FLAG_JSON or (flag == 0 and entry_length != ENTRY_BYTES):
            return count, offset, 6
        for index in range(offset + FRAME_HEADER_BYTES + entry_length, offset + size):
            if chunk[index] != 0:
                return count, offset, 7
        offsets[count] = offset
        lengths[count] = entry_length
        flags[count] = flag
        count += 1
        offset += size


@numba.njit("boolean(uint8[::1], uint64[::1], int64, int64)", cache=True)
def _is_frame_at(chunk: Bytes, words: NDArray[np.uint64], offset: int, epoch: int) -> bool:
    """Whether the bytes at an offset are a frame of this epoch, whatever its sequence."""
    entry_length = numba.int64(words[offset // 8] & numba.uint64(0xFFFF_FFFF))
    if entry_length == 0 or entry_length > JSON_BYTES_MAX:
        return False
    if offset + FRAME_HEADER_BYTES + entry_length > words.size * 8:
        return False
    if numba.int64(words[offset // 8 + 2] & numba.uint64(0xFFFF_FFFF)) != epoch:
        return False
    return bool(
        _crc_of_frame(chunk, words, offset, entry_length) == numba.uint32(words[offset // 8] >> numba.uint64(32))
    )
