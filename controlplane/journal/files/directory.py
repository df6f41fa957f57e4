"""What a log directory holds beside segments: the lock of its writer, the ballast, and the mark of what was copied."""

import fcntl
import os
from pathlib import Path

from controlplane.domain.errors import ChainBroken, JournalUnavailable
from controlplane.journal.files.segment import TEMPORARY_SUFFIX, Disk, sync_directory, write_whole

LOCK_NAME = "lock"
BALLAST_NAME = "ballast"
COPIED_MARK_NAME = "copied.mark"


def take_lock(directory: Path) -> int:
    """Return the descriptor that makes this process the only writer of a log until it is closed.

    Errors
        JournalUnavailable when another writer is at work
        OSError            as the disk says
    """
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            raise
        raise JournalUnavailable(
            f"Expected to be the only writer of {directory}, found another at work; stop it or use another directory."
        ) from None
    return descriptor


def keep_ballast(directory: Path, length: int, *, disk: Disk) -> None:
    """Return once a file of this many bytes is there to be given up for stop records on a full disk.

    Errors
        OSError as the disk says
    """
    path = directory / BALLAST_NAME
    if length <= 0 or (path.exists() and path.stat().st_size >= length):
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        disk.allocate(descriptor, length)
        disk.sync(descriptor)
    except OSError:
        # A short ballast would be taken for a whole one at the next start.
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    sync_directory(directory, disk=disk)


def drop_ballast(directory: Path) -> None:
    """Give the space of the ballast back to the disk."""
    (directory / BALLAST_NAME).unlink(missing_ok=True)


def read_copied_mark(directory: Path) -> int:
    """Return the highest sequence that PostgreSQL is known to hold a copy of; 0 when nothing was copied yet.

    A log that ends before it was shortened, which its own files can't tell.

    Errors
        ChainBroken when the mark isn't a number
    """
    path = directory / COPIED_MARK_NAME
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        return 0
    except (OSError, UnicodeDecodeError) as error:
        raise ChainBroken(f"Expected a number in {path}, found it unreadable ({error}); restore the file.") from error
    if not text.isdigit():
        raise ChainBroken(f"Expected a number in {path}, found {text[:40]!r}; restore the file from a backup.")
    return int(text)


def write_copied_mark(directory: Path, seq: int, *, disk: Disk) -> None:
    """Keep the highest copied sequence; a crash leaves the old mark or the new one.

    Errors
        OSError as the disk says
    """
    path = directory / COPIED_MARK_NAME
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        write_whole(descriptor, f"{seq}\n".encode(), disk=disk)
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(path)


def shortened(directory: Path, *, last_seq: int, copied_seq: int) -> ChainBroken:
    """Return the fault of a log that ends before what was copied from it."""
    return ChainBroken(
        f"Expected {directory} to reach sequence {copied_seq}, which PostgreSQL has a copy of, found that it ends at "
        f"{last_seq}; the log was shortened or replaced: keep it as it is and restore it from a backup."
    )
