"""What stands after the last whole frame of a segment: nothing, a torn tail, or frames that prove damage."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from controlplane.journal.files.frames import FRAME_BYTES_MAX, Bytes, stray_frame_offset
from controlplane.journal.files.segment import read_at

WINDOW_BYTES = 2 * 1024 * 1024
# Windows overlap by a whole frame, so that none is cut in two in every window that shows it.
OVERLAP_BYTES = FRAME_BYTES_MAX + 8


@dataclass(frozen=True, slots=True)
class Remainder:
    """The bytes of a segment after its last whole frame.

    Fields
        offset        where they begin
        length        up to the last byte that isn't zero; 0 when all are zero
        sha256        of these bytes, as hexadecimal text; empty when there are none
        stray_offset  where a whole frame with a higher sequence begins, -1 when there is none
    """

    offset: int
    length: int
    sha256: str
    stray_offset: int

    @property
    def is_torn(self) -> bool:
        """Whether something was being written here when the writer ended."""
        return self.length > 0 and self.stray_offset < 0


def inspect_remainder(descriptor: int, offset: int, *, seq_above: int, epoch: int) -> Remainder:
    """Return what stands in a file from an offset on.

    Arguments
        offset     end of the last whole frame, a multiple of 8
        seq_above  sequence of that frame
        epoch      epoch of the segment

    Errors
        OSError when the file can't be read
    """
    end = offset
    stray = -1
    for start, window in _windows(descriptor, offset):
        used = np.flatnonzero(window)
        if used.size == 0:
            continue
        end = max(end, start + int(used[-1]) + 1)
        if stray < 0:
            found = stray_frame_offset(window, seq_above=seq_above, epoch=epoch)
            stray = start + found if found >= 0 else -1
    digest = hashlib.sha256()
    for part in read_parts(descriptor, offset, end - offset):
        digest.update(part)
    return Remainder(offset, end - offset, digest.hexdigest() if end > offset else "", stray)


def read_parts(descriptor: int, offset: int, length: int) -> Iterator[bytes]:
    """Yield so many bytes of a file from an offset on, in parts of bounded size; less where the file ends before."""
    buffer = np.zeros(WINDOW_BYTES, np.uint8)
    while length > 0:
        count = min(read_at(descriptor, buffer, offset), length)
        if count == 0:
            return
        yield buffer[:count].tobytes()
        offset += count
        length -= count


def _windows(descriptor: int, offset: int) -> Iterator[tuple[int, Bytes]]:
    buffer = np.zeros(WINDOW_BYTES, np.uint8)
    while True:
        count = read_at(descriptor, buffer, offset)
        yield offset, buffer[:count]
        if count < WINDOW_BYTES:
            return
        offset += WINDOW_BYTES - OVERLAP_BYTES
