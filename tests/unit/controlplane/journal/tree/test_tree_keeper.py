"""The trees of a machine and their witness: everyone who says no is heard, and nobody stops the others."""

import http.client
import json
import shutil
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.domain.clock import ManualClock, SystemClock
from controlplane.domain.errors import ChainBroken, EvidenceError, InvalidRequest, StateConflict
from controlplane.journal.files.segment import Disk
from controlplane.journal.tree.cosigner import Cosigner
from controlplane.journal.tree.keeper import EVERY_LOG, TreeKeeper
from controlplane.journal.tree.keys import SigningKey, is_signature
from controlplane.journal.tree.notes import (
    COSIGNATURE,
    LOG_SIGNATURE,
    Checkpoint,
    Note,
    VerifierKey,
    log_line,
    parse_checkpoint,
    parse_key,
    parse_note,
    parse_signature_lines,
    signers_of,
)
from controlplane.journal.tree.status import TreeProgress, read_status
from controlplane.journal.witness import Answer, Witness, WitnessServer
from tests.support.journal import LOG, NOW_NS, FailingDisk, QuietDisk, flip, open_writer, write_log
from tests.support.transparency import slow_root, witness_request

KEY = SigningKey.from_seed(b"l" * 32)
ORIGIN = "example.com/m1/gate-0"
LOG_KEY = VerifierKey(ORIGIN, LOG_SIGNATURE, KEY.public)
ENTRIES = [f"entry {number}".encode() for number in range(40)]
NAME = "witness.example/desk"


def witness_of(folder: Path, *, logs: tuple[VerifierKey, ...] = (LOG_KEY,), disk: Disk | None = None) -> Witness:
    return Witness(folder, name=NAME, logs=logs, clock=ManualClock(NOW_NS), disk=disk or QuietDisk())


def asking(old_size: int, size: int, *, entries: list[bytes] = ENTRIES, key: SigningKey = KEY) -> bytes:
    """A request for the first so many entries, signed by a log's key."""
    text = Checkpoint(ORIGIN, size, slow_root(entries[:size])).text
    return witness_request(entries, old_size, size, Note(text, (log_line(LOG_KEY, key.sign(text)),)).content)


def status_of(answer: Answer) -> tuple[int, bytes]:
    return answer.status, answer.content if answer.status == 409 else b""


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    opened = witness_of(tmp_path / "witness")
    yield opened
    opened.close()


def test_witness_signs_each_extension_with_the_time(witness: Witness) -> None:
    answers = [witness.add_checkpoint(asking(old, size)) for old, size in ((0, 5), (5, 5), (5, 12), (12, 40))]

    assert [answer.status for answer in answers] == [200] * 4
    (line,) = parse_signature_lines(answers[2].content)
    text = Checkpoint(ORIGIN, 12, slow_root(ENTRIES[:12])).text
    assert signers_of(Note(text, (line,)), [witness.verifier_key], is_signature) == (witness.verifier_key,)
    assert int.from_bytes(line.signature[:8], "big") == NOW_NS // 10**9


def test_witness_answers_every_fault_with_its_own_status(witness: Witness) -> None:
    other = [b"another past", *ENTRIES[1:]]
    witness.add_checkpoint(asking(0, 12))
    stranger = SigningKey.from_seed(b"s" * 32)

    assert status_of(witness.add_checkpoint(asking(5, 20))) == (409, b"12\n")
    assert status_of(witness.add_checkpoint(asking(0, 20))) == (409, b"12\n")
    assert status_of(witness.add_checkpoint(asking(12, 12, entries=other))) == (409, b"12\n")
    assert status_of(witness.add_checkpoint(asking(12, 20, entries=other))) == (422, b"")
    assert status_of(witness.add_checkpoint(asking(12, 20, key=stranger))) == (403, b"")
    assert status_of(witness.add_checkpoint(asking(12, 20).replace(ORIGIN.encode(), b"example.com/m2"))) == (404, b"")
    assert status_of(witness.add_checkpoint(asking(5, 5).replace(b"old 5", b"old 6"))) == (400, b"")
    assert witness.add_checkpoint(asking(0, 20)).content_type == "text/x.tlog.size"
    assert witness.add_checkpoint(asking(12, 20)).status == 200


@pytest.mark.case("EVIDENCE-28")
def test_smaller_checkpoint_signed_again_gets_no_second_signature(witness: Witness) -> None:
    witness.add_checkpoint(asking(0, 20))

    assert status_of(witness.add_checkpoint(asking(12, 12))) == (409, b"20\n")
    assert status_of(witness.add_checkpoint(asking(0, 12))) == (409, b"20\n")
    assert status_of(witness.add_checkpoint(asking(20, 12))) == (400, b"")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"new 0\n\nx",
        b"old 00\n\nx",
        b"old -1\n\nx",
        b"old 99999999999999999999\n\nx",
        b"old 5\nAAAA\n\nx",
        b"old 5\n!!!\n\nx",
        b"old 5\n" + (b"A" * 43 + b"=\n") * 64 + b"\nx",
        b"old 0\n\nno note",
        b"old 0\n\ntext\n\n\xe2\x80\x94 a AAAAAAA=\n",
    ],
)
def test_witness_refuses_what_isnt_a_request(witness: Witness, body: bytes) -> None:
    assert witness.add_checkpoint(body).status == 400


def test_witness_remembers_over_restarts_and_never_begins_anew(tmp_path: Path) -> None:
    first = witness_of(tmp_path)
    first.add_checkpoint(asking(0, 20))
    with pytest.raises(StateConflict, match="only witness"):
        witness_of(tmp_path)
    first.close()

    second = witness_of(tmp_path)
    assert second.verifier_key == first.verifier_key
    assert status_of(second.add_checkpoint(asking(0, 12))) == (409, b"20\n")
    second.close()

    (tmp_path / "seen").unlink()
    with pytest.raises(EvidenceError, match="one that forgot must not sign again"):
        witness_of(tmp_path)


def test_witness_that_cant_remember_doesnt_sign(tmp_path: Path) -> None:
    disk = FailingDisk("sync", 28, after=100)
    witness = witness_of(tmp_path, disk=disk)
    disk.arm()

    with pytest.raises(OSError, match="space"):
        witness.add_checkpoint(asking(0, 20))

    disk.arm(1_000)
    assert witness.add_checkpoint(asking(0, 12)).status == 200


def test_two_requests_at_once_get_one_signature_for_one_past(tmp_path: Path) -> None:
    witness = witness_of(tmp_path)
    other = [b"another past", *ENTRIES[1:]]
    bodies = [asking(0, 20), asking(0, 20, entries=other)] * 20
    statuses: list[int] = []
    start = threading.Barrier(len(bodies))

    def ask(body: bytes) -> None:
        start.wait()
        statuses.append(witness.add_checkpoint(body).status)

    threads = [threading.Thread(target=ask, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200] + [409] * (len(bodies) - 1)


class Machine:
    """A machine with one log, and the witness that watches it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.log = self.state / "journal" / LOG
        self.clock = ManualClock(NOW_NS)
        self.folder = folder
        self.stop = threading.Event()
        self.witness: Witness | None = None

    def keeper(self, cosigner: Cosigner | None = None) -> TreeKeeper:
        return TreeKeeper(self.state, origin="example.com/m1", cosigner=cosigner, clock=self.clock, disk=QuietDisk())

    def start_witness(self) -> Cosigner:
        first = self.keeper()
        first.grow_all(is_due=True)
        (progress,) = first.progress
        first.close()
        self.witness = witness_of(self.folder / "witness", logs=(parse_key(progress.key),))
        server = WitnessServer(self.witness)
        self.thread = threading.Thread(target=server.run, args=(self.stop,))
        self.thread.start()
        return Cosigner(server.address, self.witness.verifier_key)

    def end_witness(self) -> None:
        self.stop.set()
        if self.witness is not None:
            self.thread.join()
            self.witness.close()
            self.witness = None


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    write_log(made.log, 300)
    yield made
    made.end_witness()


def test_checkpoint_is_witnessed_and_lies_beside_the_tree_with_both_signatures(machine: Machine) -> None:
    keeper = machine.keeper(machine.start_witness())

    for count in (0, 5, 300):
        write_log(machine.log, count)
        keeper.grow_all(is_due=True)
        assert keeper.cosign_all() == 1

    (progress,) = keeper.progress
    keys = [parse_key(progress.key), machine.witness.verifier_key]
    for name in ("checkpoint", "checkpoint.cosigned"):
        note = parse_note((machine.log / "tree" / name).read_bytes())
        assert signers_of(note, keys, is_signature) == tuple(keys)
        assert parse_checkpoint(note.text).size == progress.size == progress.cosigned_size
    assert (progress.cosign_waits_seconds, progress.problem, progress.cosign_problem) == (0, "", "")
    assert keeper.cosign_all() == 0


def test_witness_that_is_away_is_told_late_and_is_caught_up_with(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    cosigner = machine.start_witness()
    away = Cosigner(f"http://127.0.0.1:{port}", machine.witness.verifier_key)
    keeper = machine.keeper(away)

    keeper.grow_all(is_due=True)
    machine.clock.advance_to(NOW_NS + 45 * 10**9)
    assert keeper.cosign_all() == 0
    (progress,) = keeper.progress
    assert progress.cosign_waits_seconds == 45
    assert "to answer, found" in progress.cosign_problem
    assert (progress.is_stopped, progress.size, progress.cosigned_size) == (False, 302, 0)

    keeper._cosigner = cosigner
    assert keeper.cosign_all() == 1
    assert keeper.progress[0].cosign_waits_seconds == 0


def test_forgetful_drain_learns_from_the_witness_what_it_signed(machine: Machine) -> None:
    cosigner = machine.start_witness()
    keeper = machine.keeper(cosigner)
    keeper.grow_all(is_due=True)
    keeper.cosign_all()
    (machine.log / "tree" / "checkpoint.cosigned").unlink()
    cosigner._sizes.clear()

    write_log(machine.log, 5)
    keeper.grow_all(is_due=True)

    assert keeper.cosign_all() == 1
    assert keeper.progress[0].cosigned_size == 309


@pytest.mark.case("EVIDENCE-17")
@pytest.mark.parametrize(
    ("count", "later", "words"),
    [(100, 0, "to hold the 302 records that"), (350, 1, "found another past"), (300, 1, "that it signed another")],
)
def test_machine_put_back_to_an_older_or_another_state_is_told_from_its_witness(
    machine: Machine, count: int, later: int, words: str
) -> None:
    cosigner = machine.start_witness()
    keeper = machine.keeper(cosigner)
    keeper.grow_all(is_due=True)
    keeper.cosign_all()
    keeper.close()
    key = (machine.state / "drain" / "key").read_bytes()
    # The whole machine is restored, the signer's notes with it.
    shutil.rmtree(machine.state)
    write_log(machine.log, count, clock=ManualClock(NOW_NS + later))
    (machine.state / "drain").mkdir()
    (machine.state / "drain" / "key").write_bytes(key)
    (machine.state / "drain" / "key").chmod(0o600)
    restored = machine.keeper(cosigner)
    restored.grow_all(is_due=True)

    assert restored.cosign_all() == 0

    (progress,) = restored.progress
    assert progress.is_stopped
    assert words in progress.problem
    assert restored.grow_all(is_due=True) == 0


@pytest.mark.case("EVIDENCE-17")
def test_log_that_ends_before_its_checkpoint_refuses_to_open(machine: Machine) -> None:
    keeper = machine.keeper()
    keeper.grow_all(is_due=True)
    tree = machine.folder / "tree"
    shutil.move(machine.log / "tree", tree)
    shutil.rmtree(machine.log)
    write_log(machine.log, 100)
    shutil.move(tree, machine.log / "tree")

    with pytest.raises(ChainBroken, match="to reach sequence 302, which its signed checkpoint covers"):
        open_writer(machine.log)


def test_one_damaged_log_stops_alone(machine: Machine) -> None:
    write_log(machine.state / "journal" / "executor-0", 300, log="executor-0")
    flip(machine.log, 0, 40_000)
    keeper = machine.keeper()

    assert keeper.grow_all(is_due=True) == 302
    other, damaged = keeper.progress
    assert (other.log, other.size, other.problem) == ("executor-0", 302, "")
    assert damaged.is_stopped
    assert "then whole records" in damaged.problem


def test_second_drain_signs_nothing_and_says_why(machine: Machine) -> None:
    first, second = machine.keeper(), machine.keeper()
    first.grow_all()

    assert second.grow_all() == 0
    assert second.progress[0].log == EVERY_LOG
    assert "only signer" in second.progress[0].problem
    first.close()
    second.grow_all(is_due=True)
    assert [(one.log, one.size) for one in second.progress] == [(LOG, 302)]


def test_running_keeper_signs_within_a_second_and_leaves_its_status(machine: Machine) -> None:
    keeper = TreeKeeper(machine.state, clock=SystemClock())
    stop = threading.Event()
    thread = threading.Thread(target=keeper.run, args=(stop,))
    thread.start()
    found: tuple[TreeProgress, ...] = ()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (found and found[0].size == 302):
        time.sleep(0.02)
        _, found = read_status(machine.state)
    write_log(machine.log, 3)
    stop.set()
    thread.join()
    keeper.close()

    written_ns, (progress,) = read_status(machine.state)
    # The last records are signed on the way out.
    assert progress.size == 307
    assert abs(time.time_ns() - written_ns) < 60 * 10**9
    assert progress.key.startswith("controlplane/")


def test_status_that_cant_be_read_is_said(machine: Machine) -> None:
    assert read_status(machine.state) == (0, ())
    (machine.state / "drain").mkdir()
    (machine.state / "drain" / "status").write_text(json.dumps({"logs": 5}))

    with pytest.raises(EvidenceError, match="status of the drain"):
        read_status(machine.state)


@pytest.mark.parametrize("address", ["", "witness.example", "https://x", "http://"])
def test_address_of_a_witness_is_checked(address: str) -> None:
    with pytest.raises(InvalidRequest, match="http://host:port"):
        Cosigner(address, VerifierKey(NAME, COSIGNATURE, KEY.public))
    with pytest.raises(InvalidRequest, match="type 4"):
        Cosigner("http://127.0.0.1:1", LOG_KEY)


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/", {}, b"x", 404),
        ("/add-checkpoint", {}, b"x", 400),
        ("/add-checkpoint", {"Content-Length": "999999999"}, b"", 413),
        ("/add-checkpoint", {"Content-Length": "many"}, b"", 411),
    ],
)
def test_witness_over_http_refuses_other_paths_and_sizes(
    machine: Machine, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    cosigner = machine.start_witness()
    connection = http.client.HTTPConnection(cosigner._host, cosigner._port, timeout=5)

    connection.request("POST", path, body, headers)

    assert connection.getresponse().status == status
    connection.close()


def test_lost_connection_is_no_traceback_and_the_witness_goes_on(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    cosigner = machine.start_witness()
    for _ in range(3):
        with socket.create_connection((cosigner._host, cosigner._port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 50\r\n\r\nold 0")
    time.sleep(0.2)
    keeper = machine.keeper(cosigner)
    keeper.grow_all(is_due=True)

    assert keeper.cosign_all() == 1
    assert "Traceback" not in capfd.readouterr().err
