"""The journal under real faults: writers killed at random moments, and a disk that is really full."""

import json
import multiprocessing
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controlplane.journal.reader import Tail, scan
from controlplane.journal.record import decode_json, entry_words
from controlplane.journal.verify import verify
from controlplane.runtime.settings import Durability
from tests.support.journal import open_writer
from tests.support.journal_programs import append_forever

ROUNDS = 12
SEED = 20_261_120


@pytest.mark.parametrize("durability", list(Durability))
@pytest.mark.case("EVIDENCE-1", "EVIDENCE-2")
def test_no_acknowledged_record_is_lost_however_often_the_writer_is_killed(
    tmp_path: Path, durability: Durability
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.journal_programs"])
    choice = random.Random(SEED)
    tail = Tail(tmp_path / "log")
    followed: list[int] = []

    for attempt in range(ROUNDS):
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=append_forever, args=(tmp_path / "log", durability, attempt, sending))
        process.start()
        sending.close()
        acknowledged = receiving.recv()
        until = time.monotonic() + choice.uniform(0, 0.15)
        while time.monotonic() < until:
            followed.extend(record.seq for record in tail.poll())
            if receiving.poll():
                acknowledged = receiving.recv()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        while True:
            try:
                acknowledged = receiving.recv()
            except EOFError:
                break

        report = verify(tmp_path / "log")
        assert (report.is_sound, report.problem) == (True, ""), f"seed {SEED}, round {attempt}"
        assert report.records >= acknowledged, f"seed {SEED}, round {attempt}"
        assert report.epochs == attempt + 1

    open_writer(tmp_path / "log").close()
    while records := tail.poll():
        followed.extend(record.seq for record in records)
    seqs = [record.seq for record in scan(tmp_path / "log")]
    assert seqs == list(range(1, len(seqs) + 1)) == followed
    assert verify(tmp_path / "log").is_sound
    assert len(seqs) > ROUNDS * 10


def test_records_of_a_killed_writer_say_what_was_appended(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.journal_programs"])
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=append_forever, args=(tmp_path, Durability.PROCESS, 1, sending))
    process.start()
    while receiving.recv() < 2_000:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    for record in scan(tmp_path):
        if record.is_json:
            assert decode_json(record.entry)["kind"] in {"LogOpened", "HaltSet"}
        else:
            # The program gives every child order the sequence of its record.
            assert entry_words(record.entry)[4] == record.seq


def private_mount() -> list[str]:
    """How a command gets file systems of its own here; the test is skipped where nobody may have them."""
    namespaces = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run([*namespaces, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"a disk of 1 MiB needs a private mount, which this machine refuses: {error}")
    return namespaces


@pytest.mark.case("EVIDENCE-11")
def test_full_disk_refuses_records_keeps_room_for_the_halt_and_kills_nobody(repository: Path, tmp_path: Path) -> None:
    disk = shlex.quote(str(tmp_path))
    program = f"{shlex.quote(sys.executable)} -m tests.support.journal_programs {disk}"
    script = f"mount -t tmpfs -o size=1m none {disk} && exec {program}"

    done = subprocess.run(
        [*private_mount(), "sh", "-c", script], cwd=repository, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["filler"] == "No space left on device"
    assert "to start a segment" in told["refusal"]
    assert "No space left on device; nothing more is written" in told["refusal"]
    assert told["halt"] == told["allowed"] + 1
    assert (told["is_sound"], told["records"]) == (True, told["halt"] + 1)
    assert told["last"] == ["LogOpened", "HaltSet", "LogClosed"]
    assert "free space or repair the disk" in told["reopening"]
    assert told["after"] == [2, told["records"] + 2]
