"""A disk that remembers what was flushed, so that a power cut can take the rest away, sector by sector."""

import os
from collections.abc import Callable
from pathlib import Path

from controlplane.journal.files.segment import SystemDisk

SECTOR_BYTES = 512


class PowerDisk(SystemDisk):
    """The disk of this machine, whose segments survive a power cut only as far as they were flushed."""

    def __init__(self) -> None:
        self.flushed: dict[str, bytes] = {}

    def sync(self, descriptor: int) -> None:
        self._remember(descriptor)

    def sync_content(self, descriptor: int) -> None:
        self._remember(descriptor)

    def _remember(self, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if path.endswith((".seg", ".seg.tmp")):
            # The segment has its last name by the time the power can fail.
            self.flushed[path.removesuffix(".tmp")] = os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    def cut_power(self, survives: Callable[[], bool], *, piece_bytes: int = SECTOR_BYTES) -> int:
        """Put every segment into a state the disk may be in: what was flushed, and any of the pieces that were not.

        Returns how many pieces were lost.
        """
        lost = 0
        for path, flushed in self.flushed.items():
            content = Path(path).read_bytes()
            if content == flushed:
                continue
            left = bytearray(content)
            for start in range(0, len(content), piece_bytes):
                piece = slice(start, start + piece_bytes)
                if content[piece] != flushed[piece] and not survives():
                    left[piece] = flushed[piece]
                    lost += 1
            Path(path).write_bytes(bytes(left))
        return lost
