"""What stands between a log on disk and its next writer: soundness, a torn tail put aside, nothing altered.

The bytes of a torn tail are copied into `quarantine/` and stated in a RecordsRecovered record of the next segment. They
also stay where they are: the only thing ever cut from a file is zeros that nobody wrote.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from controlplane.domain.errors import ChainBroken
from controlplane.journal.canonical import JsonValue
from controlplane.journal.files.directory import read_copied_mark, shortened
from controlplane.journal.files.remainder import Remainder, read_parts
from controlplane.journal.files.segment import TEMPORARY_SUFFIX, Disk, segment_path, sync_directory
from controlplane.journal.tree.tiles import read_signed_size
from controlplane.journal.walk import LogState, walk

QUARANTINE_DIRECTORY = "quarantine"


@dataclass(frozen=True, slots=True)
class Opening:
    """Where the next segment begins.

    Fields
        state      of the log as it was found
        number     of the next segment
        epoch      of the next writer
        next_seq   sequence of its first record
        recovered  what a RecordsRecovered record has to state, None when the tail wasn't torn
    """

    state: LogState
    number: int
    epoch: int
    next_seq: int
    recovered: dict[str, JsonValue] | None


def recover(directory: Path, *, log: str, disk: Disk) -> Opening:
    """Return where a new writer begins; the caller holds the lock of the log.

    Errors
        ChainBroken         the log contradicts itself or ends before what was copied from it or signed; nothing was
                            changed
        JournalUnavailable  a file can't be read
        OSError             as the disk says while the torn tail is put aside
    """
    state = walk(directory)
    if state.fault is not None:
        raise ChainBroken(f"Expected a sound log, found in {state.fault.sentence(directory)}")
    if state.segments and state.log != log:
        raise ChainBroken(f"Expected the log {log} in {directory}, found {state.log}; choose the directory of {log}.")
    copied_seq = read_copied_mark(directory)
    if state.last_seq < copied_seq:
        raise shortened(directory, last_seq=state.last_seq, copied_seq=copied_seq)
    signed_size = read_signed_size(directory)
    if state.last_seq < signed_size:
        raise ChainBroken(
            f"Expected {directory} to reach sequence {signed_size}, which its signed checkpoint covers, found that it "
            f"ends at {state.last_seq}; the log was shortened or replaced: keep it and restore it from a backup."
        )
    for left_over in directory.glob("*.seg" + TEMPORARY_SUFFIX):
        left_over.unlink()
    if state.segments:
        _flush_last(directory, state.segments - 1, disk=disk)
    recovered = None
    if state.remainder is not None and state.remainder.is_torn:
        recovered = _quarantine(directory, state.segments - 1, state.remainder, disk=disk)
    return Opening(state, state.segments, state.epoch + 1, state.last_seq + 1, recovered)


def _flush_last(directory: Path, number: int, *, disk: Disk) -> None:
    """Make what is read from the last segment as durable as what will be written after it.

    A killed process leaves records that no flush has reached. They are taken up here, and the next segment begins after
    them: a power cut that took them then would leave a hole that no later start could explain.
    """
    descriptor = os.open(segment_path(directory, number), os.O_RDONLY)
    try:
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def give_back_unused(directory: Path, state: LogState) -> None:
    """Cut the zeros off the end of the segment that was the last; a file system that refuses only keeps its space."""
    if state.remainder is None:
        return
    path = segment_path(directory, state.segments - 1)
    used = state.remainder.offset + state.remainder.length
    with suppress(OSError):
        if path.stat().st_size > used:
            os.truncate(path, used)


def _quarantine(directory: Path, number: int, remainder: Remainder, *, disk: Disk) -> dict[str, JsonValue]:
    folder = directory / QUARANTINE_DIRECTORY
    folder.mkdir(exist_ok=True)
    path = folder / f"{number:08d}-{remainder.offset:010d}.torn"
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    source = os.open(segment_path(directory, number), os.O_RDONLY)
    target = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        position = 0
        for part in read_parts(source, remainder.offset, remainder.length):
            if disk.write(target, part, position) != len(part):
                raise OSError(f"short write into {temporary.name}")
            position += len(part)
        disk.sync(target)
    finally:
        os.close(source)
        os.close(target)
    temporary.rename(path)
    sync_directory(folder, disk=disk)
    sync_directory(directory, disk=disk)
    return {
        "segment": f"{number:08d}",
        "offset": remainder.offset,
        "bytes": remainder.length,
        "sha256": remainder.sha256,
        "quarantine": path.name,
    }
