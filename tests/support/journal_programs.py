"""Programs around a log that tests start as processes of their own: one to be killed, one to meet a full disk."""

import json
import os
import random
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from controlplane.domain.clock import SystemClock
from controlplane.domain.errors import JournalUnavailable
from controlplane.journal.reader import scan
from controlplane.journal.record import decode_json
from controlplane.journal.verify import verify
from controlplane.journal.writer import SEGMENT_BYTES_MIN, JournalWriter
from controlplane.runtime.settings import Durability
from tests.support.journal import LOG, decided


def append_forever(directory: Path, durability: Durability, seed: int, acknowledged: Connection) -> None:
    """Append groups of records and say after each commit how far it reached; ends only by being killed."""
    choice = random.Random(seed)
    writer = JournalWriter.open(
        directory,
        log=LOG,
        durability=durability,
        clock=SystemClock(),
        segment_bytes=SEGMENT_BYTES_MIN,
        ballast_bytes=0,
    )
    while True:
        for _ in range(choice.randrange(1, 40)):
            if choice.random() < 0.1:
                writer.append_json({"kind": "HaltSet", "reason": "x" * choice.randrange(2_000)})
            else:
                writer.append_binary(decided(writer.next_seq))
        writer.commit()
        acknowledged.send(writer.committed_seq)


def meet_full_disk(directory: Path) -> None:
    """Write on a disk of 1 MiB until it is full, then write the stop from the ballast; prints what happened as JSON."""
    told: dict[str, object] = {}
    writer = _open_small(directory / LOG)
    with (directory / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError as error:
            told["filler"] = os.strerror(error.errno or 0)
    try:
        while True:
            writer.append_binary(decided(1))
            writer.commit()
    except JournalUnavailable as error:
        told["refusal"] = str(error)
    told["allowed"] = writer.committed_seq
    told["halt"] = writer.append_final({"kind": "HaltSet", "reason": "disk full", "detail": "y" * 4_000})
    writer.close()
    report = verify(directory / LOG)
    told["is_sound"], told["records"] = report.is_sound, report.records
    told["last"] = [decode_json(record.entry)["kind"] for record in scan(directory / LOG) if record.is_json]
    try:
        _open_small(directory / LOG)
    except JournalUnavailable as error:
        told["reopening"] = str(error)
    (directory / "filler").unlink()
    with _open_small(directory / LOG) as again:
        told["after"] = (again.epoch, again.next_seq)
    sys.stdout.write(json.dumps(told))


def _open_small(directory: Path) -> JournalWriter:
    return JournalWriter.open(
        directory,
        log=LOG,
        durability=Durability.DISK,
        clock=SystemClock(),
        segment_bytes=256 * 1024,
        ballast_bytes=256 * 1024,
    )


if __name__ == "__main__":
    meet_full_disk(Path(sys.argv[1]))
