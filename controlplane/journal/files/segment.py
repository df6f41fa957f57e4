"""One segment file: its header, its name, how it comes into being and how its bytes are read.

Files are read with plain reads, never through a mapping: a reader must not die when a writer gives unused space back.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import crc32c
import numpy as np

from controlplane.domain.errors import ChainBroken, InvalidRequest, JournalUnavailable
from controlplane.journal.files.frames import Bytes
from controlplane.journal.record import FORMAT_VERSION, HEADER_BYTES, HEADER_CRC_OFFSET, HEADER_STRUCT, MAGIC
from controlplane.runtime.settings import Durability

GENESIS_CHAIN = bytes(32)
SEGMENT_NAME = re.compile(r"^(\d{8})\.seg$")
LOG_NAME = re.compile(r"^[a-z][a-z0-9-]{0,31}$")
TEMPORARY_SUFFIX = ".tmp"
EPOCH_MAX = 2**31 - 1
GAPS_MAX = 64

_DURABILITY_NUMBERS = {Durability.PROCESS: 1, Durability.DISK: 2}
_DURABILITIES = {number: durability for durability, number in _DURABILITY_NUMBERS.items()}


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says about itself.

    Fields
        log             name of the log, `gate-0`
        epoch           run of the writer, from 1; every opening for writing is a new one
        first_seq       sequence of its first record
        previous_chain  chain value of the segment before, 32 zero bytes for the first
        created_ns      wall time of its creation
        durability      what a committed record has survived
    """

    log: str
    epoch: int
    first_seq: int
    previous_chain: bytes
    created_ns: int
    durability: Durability


class Disk(Protocol):
    """The few ways in which the writer touches a disk, so that a test can make each of them fail."""

    def allocate(self, descriptor: int, length: int) -> None: ...

    def write(self, descriptor: int, content: bytes, offset: int) -> int: ...

    def sync(self, descriptor: int) -> None: ...

    def sync_content(self, descriptor: int) -> None: ...


class SystemDisk:
    """The disk of this machine."""

    def allocate(self, descriptor: int, length: int) -> None:
        """Reserve the whole length; a later write into a hole on a full disk would end the process with SIGBUS."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, length)
            return
        zeros = bytes(1 << 20)
        for offset in range(0, length, len(zeros)):
            os.pwrite(descriptor, zeros[: length - offset], offset)

    def write(self, descriptor: int, content: bytes, offset: int) -> int:
        return os.pwrite(descriptor, content, offset)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def sync_content(self, descriptor: int) -> None:
        """Make the content durable; on Linux this includes pages changed through a shared mapping."""
        getattr(os, "fdatasync", os.fsync)(descriptor)


def segment_path(directory: Path, number: int) -> Path:
    """Return the path of a segment by its number."""
    return directory / f"{number:08d}.seg"


def check_log_name(log: str) -> None:
    """Return when the name can be a log's.

    Errors
        InvalidRequest otherwise
    """
    if not LOG_NAME.match(log):
        raise InvalidRequest(
            f"Expected a log name of lower-case letters, digits and hyphens (at most 32), found {log[:40]!r}.",
            field="log",
        )


def list_segments(directory: Path) -> tuple[int, ...]:
    """Return the numbers of the segments in a log directory, ascending; empty when there is no directory.

    Errors
        JournalUnavailable when the directory can't be read
    """
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise unreadable(directory, error) from error
    numbers = {int(match.group(1)) for match in map(SEGMENT_NAME.match, names) if match}
    # A listing may miss a file that gets its name while it runs and show a later one: small gaps are looked at again.
    if 0 < max(numbers, default=-1) + 1 - len(numbers) <= GAPS_MAX:
        gaps = set(range(max(numbers))) - numbers
        numbers |= {number for number in gaps if segment_path(directory, number).exists()}
    return tuple(sorted(numbers))


def list_logs(journal_directory: Path) -> tuple[Path, ...]:
    """Return the directories below the journal directory that hold segments, by name."""
    try:
        entries = sorted(path for path in journal_directory.iterdir() if path.is_dir())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise unreadable(journal_directory, error) from error
    return tuple(path for path in entries if list_segments(path))


def pack_header(header: SegmentHeader) -> bytes:
    """Return the 4096 bytes of a segment header."""
    used = HEADER_STRUCT.pack(
        MAGIC,
        FORMAT_VERSION,
        _DURABILITY_NUMBERS[header.durability],
        header.epoch,
        0,
        header.first_seq,
        header.created_ns,
        header.log.encode("ascii"),
        header.previous_chain,
    )
    body = used + bytes(HEADER_CRC_OFFSET - len(used))
    return body + crc32c.crc32c(body).to_bytes(4, "little")


def read_header(directory: Path, number: int) -> SegmentHeader:
    """Return the header of a segment.

    Errors
        ChainBroken         the header isn't one, was altered or has another version; names the file
        JournalUnavailable  the file can't be read
    """
    path = segment_path(directory, number)
    try:
        with path.open("rb") as file:
            content = file.read(HEADER_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    problem = _header_problem(content)
    if problem:
        raise ChainBroken(f"Expected a segment header in {path}, found {problem} at offset 0; {WAY_OUT}")
    _, _, durability, epoch, _, first_seq, created_ns, log, previous_chain = HEADER_STRUCT.unpack_from(content)
    return SegmentHeader(
        log=log.rstrip(b"\0").decode("ascii", "replace"),
        epoch=epoch,
        first_seq=first_seq,
        previous_chain=previous_chain,
        created_ns=created_ns,
        durability=_DURABILITIES[durability],
    )


WAY_OUT = "keep the directory as it is and restore the file from the copy in PostgreSQL or a backup."


def create_segment(
    directory: Path, number: int, header: SegmentHeader, *, frames: Sequence[bytes], length: int, disk: Disk
) -> int:
    """Return an open descriptor of a new segment that is complete and durable before it gets its name.

    Arguments
        frames  first frames; they appear together with the segment or not at all
        length  bytes reserved for the file, header included

    Errors
        OSError as the disk says; the temporary file is gone then
    """
    path = segment_path(directory, number)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        disk.allocate(descriptor, length)
        write_whole(descriptor, pack_header(header) + b"".join(frames), disk=disk)
        disk.sync(descriptor)
        os.rename(temporary, path)
        sync_directory(directory, disk=disk)
    except OSError:
        os.close(descriptor)
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink(missing_ok=True)
        raise
    return descriptor


def write_whole(descriptor: int, content: bytes, *, disk: Disk) -> None:
    """Write all bytes from offset 0.

    Errors
        OSError, also for a short write: the rest would not fare better, and must not be tried
    """
    written = disk.write(descriptor, content, 0)
    if written != len(content):
        raise OSError(f"short write, {written} of {len(content)} bytes")


def sync_directory(directory: Path, *, disk: Disk) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def read_at(descriptor: int, into: Bytes, offset: int) -> int:
    """Return how many bytes were read into the array from an offset; fewer than it holds only at the file's end."""
    filled = 0
    while filled < into.size:
        count = os.preadv(descriptor, [into[filled:].data], offset + filled)
        if count == 0:
            break
        filled += count
    return filled


def read_remainder(descriptor: int, offset: int) -> Bytes:
    """Return the bytes of a file from an offset on, as uint8; at most one segment's worth."""
    size = os.fstat(descriptor).st_size - offset
    content = np.zeros(max(size, 0), np.uint8)
    return content[: read_at(descriptor, content, offset)]


def unreadable(path: Path, error: OSError) -> JournalUnavailable:
    """Return the fault that stands for a file or directory that can't be read."""
    return JournalUnavailable(
        f"Expected to read {path}, found: {error.strerror or error}; check the disk and the permissions."
    )


def _header_problem(content: bytes) -> str:
    if len(content) < HEADER_BYTES:
        return f"only {len(content)} bytes"
    magic, version, durability, epoch, _, first_seq, _, log, _ = HEADER_STRUCT.unpack_from(content)
    if magic != MAGIC:
        return "other bytes than the format's mark"
    if version != FORMAT_VERSION:
        return f"format version {version}, of which this program knows only {FORMAT_VERSION},"
    if crc32c.crc32c(content[:HEADER_CRC_OFFSET]) != int.from_bytes(content[HEADER_CRC_OFFSET:], "little"):
        return "a CRC that doesn't fit its bytes"
    name = log.rstrip(b"\0").decode("ascii", "replace")
    if durability not in _DURABILITIES or not 1 <= epoch <= EPOCH_MAX or first_seq < 1 or not LOG_NAME.match(name):
        return "values out of range"
    return ""
