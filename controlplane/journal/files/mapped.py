"""The segment a writer is at: mapped, shared with compiled code by address, with its chain value as it grows."""

import mmap
import os
from contextlib import suppress

import numpy as np

from controlplane.domain.invariants import require
from controlplane.journal.chain import ChainDigest
from controlplane.journal.record import HEADER_BYTES

# MADV_POPULATE_WRITE of Linux 5.14, which the mmap module doesn't name.
POPULATE_WRITE = 23


class MappedSegment:
    """One open segment file and its mapping.

    Arguments
        number          of the file
        descriptor      open for reading and writing; owned from now on
        length          bytes of the file, all reserved
        previous_chain  chain value of the segment before
    """

    def __init__(self, *, number: int, descriptor: int, length: int, previous_chain: bytes) -> None:
        self.number = number
        self.descriptor = descriptor
        self.length = length
        self._chain = ChainDigest(previous_chain)
        self.chained_offset = HEADER_BYTES
        self._ready_offset = 0
        self._map = mmap.mmap(descriptor, length)
        # The view must not outlive this line: a mapping with views can't be closed.
        self.address = int(np.frombuffer(self._map, np.uint8).ctypes.data)

    def make_ready(self, end: int) -> None:
        """Have the pages up to an offset at hand before frames are written there: met one by one each costs a wait.

        Where the system can't, they are met one by one.
        """
        start, end = self._ready_offset, min(-(-end // mmap.PAGESIZE) * mmap.PAGESIZE, self.length)
        if end > start:
            with suppress(OSError):
                self._map.madvise(POPULATE_WRITE, start, end - start)
            self._ready_offset = end

    def write(self, frame: bytes, offset: int) -> None:
        """Put a frame at an offset, its length word last: until then it doesn't exist for any reader."""
        require(offset + len(frame) <= self.length, f"A frame of {len(frame)} bytes doesn't fit at offset {offset}.")
        self._map[offset + 4 : offset + len(frame)] = frame[4:]
        self._map[offset : offset + 4] = frame[:4]

    def chain_value(self, end: int) -> bytes:
        """The chain value over all frames up to an offset, which only grows from call to call."""
        if end > self.chained_offset:
            with memoryview(self._map) as mapped:
                self._chain.update(mapped[self.chained_offset : end])
            self.chained_offset = end
        return self._chain.value()

    def close(self, *, cut_at: int | None) -> None:
        """Unmap and close; where an offset is given, give the zeros after it back, whose refusal costs only space."""
        self._map.close()
        if cut_at is not None:
            with suppress(OSError):
                os.ftruncate(self.descriptor, cut_at)
        os.close(self.descriptor)
