"""Drain and witness as processes: trees grow with the database away, and survive being killed at any moment."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controlplane.console.measurements import measure_trees
from controlplane.domain.clock import ManualClock
from controlplane.journal.tree.growth import split_bundle
from controlplane.journal.tree.keys import is_signature
from controlplane.journal.tree.notes import parse_checkpoint, parse_key, parse_note, signers_of
from controlplane.journal.tree.proofs import is_extension, root_of
from controlplane.journal.tree.status import read_status
from controlplane.journal.tree.tiles import TileReader
from controlplane.runtime import metrics
from tests.support.journal import LOG, NOW_NS, decided, open_writer
from tests.support.policies import small_files, write_files
from tests.support.programs import Machine, machine, one_sentence
from tests.support.transparency import slow_root

NO_DATABASE = {"CONTROLPLANE_DSN": "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"}
SECONDS_MAX = 60.0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "state", dict(NO_DATABASE)) as made:
        yield made


def wait_for(is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not is_there():
        assert time.monotonic() < deadline, "it didn't happen in time"
        time.sleep(0.05)


def signed_size(log: Path) -> int:
    """Size of the checkpoint of a log, after reading every entry and tile that it promises."""
    path = log / "tree" / "checkpoint"
    if not path.exists():
        return 0
    checkpoint = parse_checkpoint(parse_note(path.read_bytes()).text)
    tiles = TileReader(log / "tree", checkpoint.size)
    entries = [
        entry[2:]
        for number in range((checkpoint.size + 255) // 256)
        for entry in split_bundle(tiles.bundle(number), min(256, checkpoint.size - 256 * number))
    ]
    assert root_of(checkpoint.size, tiles.node_at) == checkpoint.root == slow_root(entries)
    return checkpoint.size


@pytest.mark.case("EVIDENCE-38")
def test_trees_grow_while_the_database_is_away(place: Machine) -> None:
    log = place.gate_journal
    drain = place.start("drain", "drain")
    with open_writer(log) as writer:
        for size in (1, 301, 302):
            while writer.next_seq <= size:
                writer.append_binary(decided(writer.next_seq))
            writer.commit()
            wait_for(lambda size=size: signed_size(log) == size)

    assert drain.end() == 0
    assert "Logs are signed meanwhile" in drain.output()
    assert signed_size(log) == 303
    status = place.run("drain", "--status", "--json")
    assert status.returncode == 0
    assert [(one["log"], one["size"]) for one in json.loads(status.stdout)["logs"]] == [(LOG, 303)]


@pytest.mark.case("EVIDENCE-30")
def test_drain_killed_again_and_again_never_promises_what_isnt_there(place: Machine) -> None:
    log = place.gate_journal
    stop = threading.Event()

    def append() -> None:
        with open_writer(log) as writer:
            while not stop.is_set():
                for _ in range(40):
                    writer.append_binary(decided(writer.next_seq))
                writer.commit()
                stop.wait(0.005)

    thread = threading.Thread(target=append)
    thread.start()
    sizes = []
    try:
        for pause in (0.0, 0.13, 0.31, 0.47, 0.05):
            drain = place.start("drain", "drain")
            before = sizes[-1] if sizes else 0
            wait_for(lambda before=before: signed_size(log) > before)
            time.sleep(pause)
            drain.process.send_signal(signal.SIGKILL)
            drain.process.wait()
            sizes.append(signed_size(log))
    finally:
        stop.set()
        thread.join()

    assert sizes == sorted(sizes)
    last = place.start("drain", "drain")
    last.wait_until("Logs are signed meanwhile")
    wait_for(lambda: signed_size(log) > sizes[-1])
    assert last.end() == 0


def test_witness_process_signs_what_the_drain_asks_and_the_wait_is_measured(place: Machine) -> None:
    log = place.gate_journal
    with open_writer(log) as writer:
        writer.append_binary(decided())
    place.run("drain", "--once")
    (key,) = [one.key for one in read_status(place.state_directory)[1]] or [""]
    watching = place.start("witness", "witness", "--name", "witness.example/w", "--log", key, "--port", "0")
    watching.wait_until("public key is")
    words = watching.output().split()
    place.environment["CONTROLPLANE_WITNESS_ADDRESS"] = next(word for word in words if "http" in word).rstrip(";")
    place.environment["CONTROLPLANE_WITNESS_KEY"] = words[-1]

    drain = place.start("drain", "drain")
    cosigned = log / "tree" / "checkpoint.cosigned"
    wait_for(cosigned.exists)
    old = parse_note(cosigned.read_bytes())
    with open_writer(log) as writer:
        writer.append_binary(decided())
    wait_for(lambda: parse_checkpoint(parse_note(cosigned.read_bytes()).text).size == 6)

    assert drain.end() == 0
    assert watching.end() == 0
    keys = [parse_key(key), parse_key(words[-1])]
    note = parse_note(cosigned.read_bytes())
    assert set(signers_of(note, keys, is_signature)) == set(keys)
    first, last = parse_checkpoint(old.text), parse_checkpoint(note.text)
    assert (first.size, last.size) == (3, 6)
    assert not is_extension(old_size=3, old_root=first.root, size=6, root=last.root, proof=[])
    measure_trees(place.state_directory)
    assert metrics.COSIGNED_SIZE_RECORDS.labels(log=LOG)._value.get() == 6
    assert 0 <= metrics.DRAIN_STATUS_AGE_SECONDS._value.get() < SECONDS_MAX
    assert metrics.COSIGNATURE_WAIT_SECONDS.labels(log=LOG)._value.get() < 5


def test_half_a_witness_is_refused_in_one_sentence(place: Machine) -> None:
    place.environment["CONTROLPLANE_WITNESS_ADDRESS"] = "http://127.0.0.1:1"

    done = place.run("drain", "--once")

    assert done.returncode == 1
    assert "CONTROLPLANE_WITNESS_KEY together" in done.stderr


def test_record_is_judged_by_command_with_key_past_time_and_proof(place: Machine, tmp_path: Path) -> None:
    with open_writer(place.gate_journal) as writer:
        for number in range(300):
            writer.append_binary(decided(number))
    place.run("drain", "--once")
    key = read_status(place.state_directory)[1][0].key
    kept = tmp_path / "kept"
    kept.write_bytes((place.gate_journal / "tree" / "checkpoint").read_bytes())
    proof = tmp_path / "x.tlog-proof"
    asked = ("--public-key", key, "--checkpoint", str(kept))

    sound, document = place.run("verify", *asked), place.run("verify", *asked, "--json")
    late = place.run("verify", "--seconds", "0")
    proved = place.run("prove", "gate-0.17", "--out", str(proof))
    judged = place.run("verify", str(proof), "--public-key", key)
    unproved, nowhere = place.run("prove", "gate-0.999"), place.run("verify", "--public-key", "x")
    rewritten = place.gate_journal / "tree" / "tile" / "entries" / "000"
    rewritten.write_bytes(rewritten.read_bytes().replace(decided(7), decided(8)))
    damaged = place.run("verify", *asked)

    assert (sound.returncode, document.returncode) == (0, 0), sound.stdout
    assert "proved, 302 records, signed up to 302" in sound.stdout
    assert "extends the checkpoint of 302 records" in sound.stdout
    (found,) = json.loads(document.stdout)["logs"]
    assert (found["records"], found["outcomes"], found["proof"]["signed_size"]) == (302, {"ALLOWED": 300}, 302)
    assert late.returncode == 3
    assert "NOT FINISHED" in late.stdout
    assert (proved.returncode, judged.returncode, judged.stdout) == (0, 0, "Proved.\n")
    assert [done.returncode for done in (unproved, nowhere)] == [1, 1]
    assert all(one_sentence(done.stderr) for done in (unproved, nowhere))
    assert damaged.returncode == 1
    assert "record 9: expected the entries of the log in this bundle" in damaged.stdout


def test_signed_records_are_exported_and_retired_by_command_as_the_rule_book_allows(
    place: Machine, tmp_path: Path
) -> None:
    with open_writer(place.gate_journal, clock=ManualClock(NOW_NS - 8 * 366 * 24 * 3600 * 10**9)) as writer:
        for number in range(600):
            writer.append_binary(decided(number, wall_ns=NOW_NS - 8 * 366 * 24 * 3600 * 10**9))
    place.run("drain", "--once")
    held = write_files(
        tmp_path / "policies", {**small_files(), "retention.toml": b'years = 7\nlegal_holds = ["gate-0"]\n'}
    )

    done = place.run("export", "--format", "parquet", "--out", str(tmp_path / "rows"), "--json")
    again = place.run("export", "--format", "parquet", "--out", str(tmp_path / "rows"))
    odd = place.run("export", "--format", "xlsx")
    pruned, young = place.run("prune", "gate-0", "--before", "257"), place.run("prune", "gate-0", "--before", "700")
    place.environment["CONTROLPLANE_POLICY_DIRECTORY"] = str(held)
    on_hold = place.run("prune", "gate-0", "--before", "513")
    place.run("drain", "--once")
    judged = place.run("verify", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 602
    assert [one.returncode for one in (again, odd, pruned, young, on_hold)] == [1, 1, 0, 1, 1]
    assert all(one_sentence(one.stderr) for one in (again, odd, young, on_hold))
    assert "legal holds" in on_hold.stderr
    assert "Records 1 to 256 of gate-0 are out of reach; on record as evidence-0.5" in pruned.stdout
    # What was done to the record is itself a log that is signed and judged like any other.
    logs = {log["log"]: log for log in json.loads(judged.stdout)["logs"]}
    assert logs["evidence-0"]["kinds"] == {"LogOpened": 2, "LogClosed": 2, "RecordsExported": 1, "RecordsRetired": 1}
    assert {name: log["proof"]["signed_size"] for name, log in logs.items()} == {"evidence-0": 6, "gate-0": 602}
