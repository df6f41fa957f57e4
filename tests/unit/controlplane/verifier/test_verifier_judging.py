"""Every way in which a log, its tree or its past can be tampered with, and the record that is named for it."""

import base64
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.domain.clock import ManualClock
from controlplane.journal.files.frames import build_frame
from controlplane.journal.files.segment import segment_path
from controlplane.journal.reader import find, scan
from controlplane.journal.tree.entry_proof import entry_proof
from controlplane.journal.tree.growth import LogTree
from controlplane.journal.tree.keys import SigningKey
from controlplane.journal.tree.notes import (
    COSIGNATURE,
    LOG_SIGNATURE,
    Checkpoint,
    Note,
    VerifierKey,
    cosignature_line,
    cosigned_message,
    log_line,
    parse_note,
)
from controlplane.journal.tree.signer import Signer
from controlplane.verifier.__main__ import main
from controlplane.verifier.judging import Verdict, judge, judge_proof
from controlplane.verifier.keys import PublicKey, public_key
from controlplane.verifier.notes import checkpoint
from tests.support.journal import (
    LOG,
    NOW_NS,
    QuietDisk,
    abandon,
    copy_of,
    damage,
    decided,
    flip,
    open_writer,
    write_log,
)
from tests.support.programs import REPOSITORY

WITNESS = SigningKey.from_seed(b"w" * 32)
WITNESS_KEY = VerifierKey("witness.example/w", COSIGNATURE, WITNESS.public)
RECORDS = 702


class Signed:
    """A log with a signed tree, and what an auditor was given at the beginning."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / LOG
        with open_writer(self.log) as writer:
            for number in range(1, RECORDS - 1):
                if number % 5:
                    writer.append_binary(decided(number))
                else:
                    writer.append_json({"kind": "HaltSet", "reason": "r" * (number % 90)})
            writer.commit()
        self.sign()
        self.vkey = self.signer.verifier_key(LOG).text
        self.key = public_key(self.vkey)
        self.witness_key = public_key(WITNESS_KEY.text)
        self.kept = checkpoint((self.log / "tree" / "checkpoint").read_bytes())

    def sign(self, drain: str = "drain") -> None:
        """Sign whatever the log holds now, as a process of its own."""
        self.signer = Signer(self.folder / drain, origin="example.com/m", disk=QuietDisk())
        tree = LogTree(self.log, self.signer, clock=ManualClock(NOW_NS), disk=QuietDisk())
        tree.grow(is_due=True)
        tree.close()
        self.signer.close()

    def cosign(self, *, text: bytes | None = None) -> None:
        """Let the witness sign the newest checkpoint, or another text."""
        note = parse_note((self.log / "tree" / "checkpoint").read_bytes())
        line = cosignature_line(WITNESS_KEY, WITNESS.sign(cosigned_message(text or note.text, 9)), 9)
        (self.log / "tree" / "checkpoint.cosigned").write_bytes(Note(note.text, (*note.lines, line)).content)

    def judge(self, **changes: object) -> Verdict:
        return judge(self.log, **{"keys": [self.key], **changes})

    def resign(self, size: int, root: bytes, key: SigningKey) -> None:
        """Put another checkpoint in place, as somebody who holds the disk and this key may."""
        log_key = VerifierKey("example.com/m/gate-0", LOG_SIGNATURE, key.public)
        text = Checkpoint("example.com/m/gate-0", size, root).text
        (self.log / "tree" / "checkpoint").write_bytes(Note(text, (log_line(log_key, key.sign(text)),)).content)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    return Signed(tmp_path_factory.mktemp("signed"))


@pytest.fixture
def signed(original: Signed, tmp_path: Path) -> Signed:
    """A copy that a test may spoil."""
    made = object.__new__(Signed)
    made.__dict__.update(original.__dict__)
    made.folder, made.log = tmp_path, tmp_path / LOG
    copy_of(original.log, made.log)
    shutil.copytree(original.folder / "drain", tmp_path / "drain")
    return made


def test_sound_log_is_proved(signed: Signed) -> None:
    signed.cosign()

    verdict = signed.judge(keys=[signed.key, signed.witness_key], old=signed.kept)

    assert verdict.problems == []
    assert (verdict.is_sound, verdict.is_complete, verdict.records, verdict.log) == (True, True, RECORDS, LOG)
    assert (verdict.signed_size, verdict.cosigned_size, verdict.old_size) == (RECORDS, RECORDS, RECORDS)
    assert (verdict.key, verdict.witnesses) == ("given", ["witness.example/w"])
    assert verdict.lines() == [
        f"gate-0: proved, {RECORDS} records, signed up to {RECORDS}, witnessed up to {RECORDS} by witness.example/w",
        f"gate-0: extends the checkpoint of {RECORDS} records that you kept",
    ]
    assert verdict.chain == signed.judge().chain != ""
    assert json.loads(json.dumps(verdict.document()))["is_sound"]


def test_log_that_went_on_since_is_proved_and_its_new_records_are_not_called_signed(signed: Signed) -> None:
    write_log(signed.log, 40)

    verdict = signed.judge(old=signed.kept)

    assert (verdict.problems, verdict.records, verdict.signed_size) == ([], RECORDS + 42, RECORDS)
    signed.sign()
    assert signed.judge(old=signed.kept).signed_size == RECORDS + 42


@pytest.mark.case("EVIDENCE-6", "EVIDENCE-7")
@pytest.mark.parametrize("seq", [1, 2, 255, 256, 257, 400, RECORDS - 1, RECORDS])
@pytest.mark.parametrize("at", [0, 4, 8, 16, 20, 24, 60])
def test_every_flipped_bit_of_a_record_names_the_record(signed: Signed, seq: int, at: int) -> None:
    record = find(signed.log, seq)
    flip(signed.log, record.segment, record.offset + at)

    verdict = signed.judge()

    assert (verdict.is_sound, verdict.seq) == (False, seq)


def rewrite(log: Path, seq: int, entry: bytes) -> None:
    """Alter a record as somebody does who can compute a CRC; the chain of a single segment doesn't show it."""
    record = find(log, seq)
    frame = build_frame(entry, seq=seq, epoch=record.epoch, flags=record.flags)
    damage(log, record.segment, record.offset, frame)


@pytest.mark.case("EVIDENCE-26")
@pytest.mark.parametrize("seq", [2, 256, 257, 699])
def test_record_altered_with_its_crc_is_named(signed: Signed, seq: int) -> None:
    rewrite(signed.log, seq, decided(999_999))

    verdict = signed.judge()

    assert verdict.seq == seq
    assert verdict.path.startswith("tree/tile/entries/")


@pytest.mark.case("EVIDENCE-26")
@pytest.mark.parametrize(("name", "at", "seq"), [("000", 300, 2), ("001", 5, 257), ("002.p/190", 5, 513)])
def test_entry_altered_in_a_bundle_is_named(signed: Signed, name: str, at: int, seq: int) -> None:
    path = signed.log / "tree" / "tile" / "entries" / name
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)

    verdict = signed.judge()

    assert (verdict.seq, verdict.path) == (seq, f"tree/tile/entries/{name}")


@pytest.mark.case("EVIDENCE-27")
@pytest.mark.parametrize(
    ("name", "seq"),
    [("0/000", 101), ("0/002.p/190", 613), ("1/000.p/2", 1), ("entries/000", 1), ("entries/002.p/190", 513)],
)
@pytest.mark.parametrize("how", ["alter", "drop", "cut", "lengthen"])
def test_altered_dropped_cut_or_lengthened_file_of_the_tree_is_named(
    signed: Signed, name: str, seq: int, how: str
) -> None:
    path = signed.log / "tree" / "tile" / name
    content = path.read_bytes()
    spoil: dict[str, Callable[[], object]] = {
        "alter": lambda: (
            path.write_bytes(content[:3200] + bytes([content[3200] ^ 1]) + content[3201:])
            if len(content) > 3200
            else path.write_bytes(bytes(32) + content[32:])
        ),
        "drop": path.unlink,
        "cut": lambda: path.write_bytes(content[:-1]),
        "lengthen": lambda: path.write_bytes(content + b"x"),
    }
    spoil[how]()

    verdict = signed.judge()

    if how == "lengthen" and ".p/" not in name:
        # A whole bundle or tile that goes on after its end begins with what was signed.
        return
    assert not verdict.is_sound
    assert verdict.path == f"tree/tile/{name}"
    assert verdict.seq >= 1
    if how == "alter" and not name.startswith("entries"):
        assert verdict.seq == seq


@pytest.mark.case("EVIDENCE-28")
def test_tail_cut_off_with_a_smaller_checkpoint_by_the_logs_own_key_fails_against_the_kept_one(
    signed: Signed,
) -> None:
    shutil.rmtree(signed.log)
    with open_writer(signed.log) as writer:
        for number in range(1, 300):
            if number % 5:
                writer.append_binary(decided(number))
            else:
                writer.append_json({"kind": "HaltSet", "reason": "r" * (number % 90)})
    (signed.folder / "drain" / "gate-0.signed").unlink()
    signed.sign()

    assert signed.judge().is_sound
    verdict = signed.judge(old=signed.kept)

    assert not verdict.is_sound
    assert f"at least the {RECORDS} records signed before, found 301" in "".join(verdict.problems)
    assert verdict.seq == 302


@pytest.mark.case("EVIDENCE-28")
def test_rewritten_past_fails_against_the_kept_checkpoint(signed: Signed) -> None:
    shutil.rmtree(signed.log)
    write_log(signed.log, 900)
    (signed.folder / "drain" / "gate-0.signed").unlink()
    signed.sign()

    assert signed.judge().is_sound
    verdict = signed.judge(old=signed.kept)

    assert verdict.seq == 1
    assert f"the root of {RECORDS} records in the checkpoint that was kept, found another" in verdict.problem


@pytest.mark.case("EVIDENCE-9")
def test_missing_segment_names_the_record_it_begins_with(signed: Signed) -> None:
    second = [number for number in range(2) if segment_path(signed.log, number).exists()]
    segment_path(signed.log, second[-1]).unlink()

    verdict = signed.judge()

    assert not verdict.is_sound
    assert verdict.seq > 1
    assert "records" in verdict.problem


@pytest.mark.case("EVIDENCE-31")
def test_checkpoint_of_a_replaced_key_is_refused(signed: Signed) -> None:
    signed.resign(signed.kept.size, signed.kept.root, SigningKey.from_seed(b"x" * 32))

    verdict = signed.judge()

    assert not verdict.is_sound
    assert "signature of the log's key over 702 records, found none" in verdict.problem


@pytest.mark.case("EVIDENCE-32")
def test_line_of_a_stranger_is_left_alone_and_a_bad_line_of_a_known_key_refuses(signed: Signed) -> None:
    path = signed.log / "tree" / "checkpoint"
    content = path.read_bytes()
    stranger = f"\u2014 stranger.example {base64.b64encode(bytes(72)).decode()}\n".encode()
    path.write_bytes(content + stranger)
    assert signed.judge().is_sound

    number = WITNESS_KEY.key_id
    path.write_bytes(content + f"\u2014 witness.example/w {base64.b64encode(number + bytes(72)).decode()}\n".encode())
    assert signed.judge().is_sound
    verdict = signed.judge(keys=[signed.key, signed.witness_key])

    assert "signature of witness.example/w to fit, found that it doesn't" in "".join(verdict.problems)


def test_missing_or_foreign_cosignature_is_a_fault_when_the_witness_was_named(signed: Signed) -> None:
    keys = [signed.key, signed.witness_key]
    assert "signature of witness.example/w, found none" in signed.judge(keys=keys).problem

    signed.cosign(text=b"another text\n")
    assert "to fit" in signed.judge(keys=keys).problem


def test_key_of_another_log_and_a_missing_checkpoint_are_faults(signed: Signed) -> None:
    other = PublicKey("example.com/other", signed.key.kind, signed.key.material)
    assert "one of the given keys signs" in signed.judge(keys=[other]).problem

    (signed.log / "tree" / "checkpoint").unlink()
    assert "expected a signed checkpoint, found none" in signed.judge().problem
    assert signed.judge(keys=[]).lines() == [f"gate-0: proved, {RECORDS} records, no signed checkpoint"]


def test_key_found_beside_the_log_is_said_to_prove_little(signed: Signed) -> None:
    verdict = signed.judge(keys=[])

    assert (verdict.is_sound, verdict.key) == (True, "found beside the log")
    assert "proves nothing against who holds the disk" in verdict.lines()[1]


def test_log_of_several_segments_and_epochs_is_proved_and_a_broken_seal_is_named(tmp_path: Path) -> None:
    log = tmp_path / LOG
    for _ in range(3):
        write_log(log, 400)

    verdict = judge(log)
    assert (verdict.problems, verdict.segments >= 6, verdict.records) == ([], True, 1206)
    record = next(record for record in scan(log) if record.segment == 1)
    rewrite(log, record.seq, decided(5))

    verdict = judge(log)
    assert "records before it were altered" in verdict.problem
    assert (verdict.path, verdict.offset) == ("00000002.seg", 0)


@pytest.mark.case("EVIDENCE-5")
def test_torn_tail_is_sound_and_so_is_its_recovery_and_bytes_that_nobody_states_are_not(tmp_path: Path) -> None:
    log = tmp_path / LOG
    writer = open_writer(log)
    for number in range(9):
        writer.append_binary(decided(number))
    offset = int(writer.cursor[1])
    writer.append_binary(decided())
    abandon(writer)
    damage(log, 0, offset + 100, bytes(180))

    verdict = judge(log)
    assert (verdict.problems, verdict.records, verdict.torn_bytes) == ([], 10, 57)

    write_log(log, 5)
    assert (judge(log).problems, judge(log).torn_bytes) == ([], 0)
    damage(log, 0, offset + 30, b"\xff")
    assert "that no recovery states" in judge(log).problem


def test_log_that_is_being_written_and_signed_is_never_accused(signed: Signed) -> None:
    stop = threading.Event()

    def write() -> None:
        with open_writer(signed.log) as writer:
            while not stop.is_set():
                for _ in range(20):
                    writer.append_binary(decided(writer.next_seq))
                writer.commit()
                signed.sign()
                stop.wait(0.001)

    thread = threading.Thread(target=write)
    thread.start()
    verdicts = [signed.judge(old=signed.kept) for _ in range(15)]
    stop.set()
    thread.join()

    assert [problem for verdict in verdicts for problem in verdict.problems] == []
    assert verdicts[-1].signed_size > verdicts[0].signed_size


def test_end_of_the_time_says_how_far_it_came(signed: Signed) -> None:
    verdict = signed.judge(seconds_max=0.0)

    assert (verdict.is_sound, verdict.is_complete) == (True, False)
    assert verdict.records > 0
    assert "NOT FINISHED" in verdict.lines()[0]


def test_unreadable_files_are_faults_and_no_tracebacks(signed: Signed, tmp_path: Path) -> None:
    (signed.log / "tree" / "checkpoint").unlink()
    (signed.log / "tree" / "checkpoint").mkdir()
    assert "expected to read" in signed.judge().problem

    absent = judge(tmp_path / "absent")
    assert "expected to read" in absent.problem


@pytest.mark.parametrize("content", [b"", b"x", bytes(5000), b"CPJOURNL" + bytes(5000)])
def test_segment_of_other_bytes_is_a_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "00000000.seg").write_bytes(content)

    assert not judge(tmp_path).is_sound


def test_every_entry_is_proved_by_its_file_and_no_other(signed: Signed) -> None:
    signed.cosign()
    keys = [signed.key, signed.witness_key]
    entries = {record.seq: record.entry for record in scan(signed.log)}

    for seq in (1, 2, 256, 257, 512, 513, RECORDS):
        proof = entry_proof(signed.log, seq)
        assert judge_proof(proof, keys=keys) == ""
        assert judge_proof(proof, keys=keys, entry=entries[seq]) == ""
        assert "doesn't lead from it" in judge_proof(proof, keys=keys, entry=entries[3] + b"x")
        assert "index" in judge_proof(proof.replace(b"index ", b"index 1"), keys=keys)
        assert "found none by a key" in judge_proof(proof, keys=[])
    assert "found none" in judge_proof(entry_proof(signed.log, 1).rsplit(b"\n", 2)[0] + b"\n", keys=keys)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "controlplane.verifier", *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_judge_runs_alone_and_loads_nothing_else_of_ours(signed: Signed) -> None:
    (signed.folder / "kept").write_bytes((signed.log / "tree" / "checkpoint").read_bytes())

    done = run(signed.log, "--public-key", signed.vkey, "--checkpoint", signed.folder / "kept", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["logs"][0]["records"] == RECORDS
    code = "import controlplane.verifier.__main__, sys; print([m for m in sys.modules if m.startswith('controlplane')])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert all(one == "controlplane" or one.startswith("controlplane.verifier") for one in eval(loaded.stdout))


def test_judge_ends_with_a_status_and_a_sentence_for_each_outcome(
    signed: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    (signed.folder / "key").write_text(f"# on paper since March\n{signed.vkey}\n")
    (signed.folder / "one.tlog-proof").write_bytes(entry_proof(signed.log, 5))
    (signed.folder / "bad").write_text("no checkpoint")
    key = ["--public-key", str(signed.folder / "key")]

    statuses = [
        main([str(signed.folder), *key]),
        main([str(signed.log), *key, "--seconds", "0"]),
        main([str(signed.folder / "one.tlog-proof"), *key]),
        main([str(signed.folder / "one.tlog-proof")]),
        main([str(signed.folder / "drain"), *key]),
        main([str(signed.log), "--public-key", "x"]),
        main([str(signed.log), "--checkpoint", str(signed.folder / "bad")]),
        main([str(signed.log), "--checkpoint", str(signed.folder / "none")]),
    ]
    flip(signed.log, 0, 5000)
    statuses.append(main([str(signed.log), *key]))

    assert statuses == [0, 3, 0, 1, 2, 2, 2, 2, 1]
    assert "NOT SOUND: record 4" in capsys.readouterr().out
