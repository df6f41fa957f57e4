"""Offline verification: what a sound log reports, what is named when it isn't, and that a live log is never accused."""

import json
import threading
import time
from pathlib import Path

import pytest

from controlplane.domain.errors import InvalidRequest
from controlplane.journal.reader import find
from controlplane.journal.record import RecordKind, pack_entry
from controlplane.journal.verify import verify, verify_journal
from controlplane.journal.walk import _Walk
from tests.support.journal import LOG, abandon, damage, decided, open_writer, write_log


def test_sound_log_is_described_by_kind_outcome_and_code(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        for _ in range(3):
            writer.append_binary(decided())
        for code in (33, 11, 33):
            writer.append_binary(pack_entry(RecordKind.ORDER_DECIDED, subkind=1, outcome=2, code=code))
        writer.append_binary(pack_entry(RecordKind.REPORT_APPLIED, subkind=5))
        writer.append_json({"kind": "HaltSet"})

    report = verify(tmp_path)

    assert (report.is_sound, report.problem, report.log) == (True, "", LOG)
    assert (report.records, report.segments, report.epochs, report.torn_bytes) == (10, 1, 1, 0)
    assert list(report.kinds.items()) == [
        ("OrderDecided", 6), ("ReportApplied", 1), ("LogOpened", 1), ("LogClosed", 1), ("HaltSet", 1),
    ]  # fmt: skip
    assert report.outcomes == {"ALLOWED": 3, "DENIED": 3}
    assert list(report.codes.items()) == [("SCOPE_HALTED", 1), ("ORDER_QUANTITY_ABOVE_LIMIT", 2)]
    assert json.loads(json.dumps(report.document()))["chain"] == report.chain
    assert report.lines()[0] == f"{LOG}: sound, 10 records, 1 segments, 1 epochs, chain {report.chain[:16]}"
    assert report.lines()[1] == f"{LOG}: decisions 3 allowed, 3 denied"


def test_chain_value_depends_on_every_byte_of_every_record(tmp_path: Path) -> None:
    chains = {
        verify(write_log(tmp_path / str(number), 400 + number // 2, segment_bytes=102_448 + 8 * (number % 2))).chain
        for number in range(4)
    }

    assert len(chains) == 4
    assert verify(write_log(tmp_path / "again", 400)).chain in chains


def test_torn_tail_is_sound_and_said(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    offset = int(writer.cursor[1])
    writer.append_binary(decided())
    abandon(writer)
    damage(tmp_path, 0, offset + 100, bytes(180))

    report = verify(tmp_path)

    # Zeros behind the last byte that was written say nothing, so they aren't counted.
    assert (report.is_sound, report.records, report.torn_bytes) == (True, 1, 57)
    assert "57 bytes of an unfinished record" in report.lines()[1]


def test_damage_is_named_with_file_offset_and_sequence(tmp_path: Path) -> None:
    write_log(tmp_path, 400)
    offset = find(tmp_path, 200).offset
    damage(tmp_path, 0, offset + 30, b"\xff")

    report = verify(tmp_path)

    assert (report.is_sound, report.segment, report.offset, report.seq) == (False, 0, offset, 200)
    assert f"00000000.seg at offset {offset} (sequence 200)" in report.problem
    assert "NOT SOUND, 199 records" in report.lines()[0]
    assert report.document()["problem"] == report.problem


@pytest.mark.parametrize(
    ("entry", "flags", "words"),
    [
        (bytes(256), 0, "found kind 0 of schema 0"),
        (pack_entry(RecordKind.HALT_SET), 0, "found kind 68 of schema 2"),
        (decided()[:7] + b"\x03" + decided()[8:], 0, "of schema 3"),
        (b'{"kind":"HaltSet"}', 1, "'wall_ns' as decimal text"),
        (b'{"kind": "HaltSet","wall_ns":"5"}', 1, "written in another form"),
        (b"{", 1, "bytes that don't parse"),
        (b'{"blob_sha256":"' + b"0" * 64 + b'","kind":"HaltSet","wall_ns":"5"}', 1, "found none; restore it"),
    ],
)
def test_record_that_can_not_be_read_is_a_fault_though_its_crc_fits(
    tmp_path: Path, entry: bytes, flags: int, words: str
) -> None:
    writer = open_writer(tmp_path)
    writer.append_binary(decided())
    seq = writer._append(entry, flags=flags)
    writer.close()

    report = verify(tmp_path)

    assert (report.is_sound, report.seq) == (False, seq)
    assert words in report.problem


def test_altered_blob_is_a_fault(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        writer.append_json({"kind": "SnapshotLoaded", "limits": "x" * 60_000})
    assert verify(tmp_path).is_sound
    (blob,) = (tmp_path / "blobs").iterdir()
    blob.write_bytes(blob.read_bytes()[:-1] + b" ")

    assert "to have its name as SHA-256" in verify(tmp_path).problem


def test_binary_kind_of_a_newer_program_is_counted_by_its_number(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        writer.append_binary((60 | 1 << 56).to_bytes(8, "little") + bytes(248))

    report = verify(tmp_path)

    assert report.is_sound
    assert report.kinds["60"] == 1


def test_journal_directory_gives_one_report_for_each_log(tmp_path: Path) -> None:
    for log in ("gate-0", "executor-0"):
        write_log(tmp_path / log, 3, log=log)
    (tmp_path / "empty").mkdir()

    reports = verify_journal(tmp_path)

    assert [(report.log, report.records) for report in reports] == [("executor-0", 5), ("gate-0", 5)]
    assert [report.log for report in verify_journal(tmp_path / "gate-0")] == ["gate-0"]


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_directory_without_a_log_is_said_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(InvalidRequest, match="Expected a journal in"):
        verify_journal(tmp_path / name)


def test_live_log_is_never_accused(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    stop = threading.Event()

    def append() -> None:
        while not stop.is_set():
            for _ in range(50):
                writer.append_binary(decided())
            # The other thread reads all of it again and again: a slower writer keeps that short.
            stop.wait(0.001)

    thread = threading.Thread(target=append)
    thread.start()
    reports = [verify(tmp_path)]
    # On a busy machine the other thread may not get its turn between two readings.
    deadline = time.monotonic() + 20
    while len({report.records for report in reports}) < 5 and time.monotonic() < deadline:
        reports.append(verify(tmp_path))
    stop.set()
    thread.join()
    writer.close()

    assert [report.problem for report in reports if not report.is_sound] == []
    assert [report.records for report in reports] == sorted(report.records for report in reports)
    assert len({report.records for report in reports}) == 5


class RacedWalk(_Walk):
    """A walk whose writer goes on between its last read and its look at what follows."""

    race = staticmethod(lambda: None)

    def _inspect(self, reader):
        self.race()
        return super()._inspect(reader)


def test_records_written_between_two_looks_are_taken_in_and_not_taken_for_damage(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    walk = RacedWalk(tmp_path, lambda batch: None)

    def race() -> None:
        walk.race = lambda: None
        for _ in range(3):
            writer.append_binary(decided())

    walk.race = race
    state = walk.run()
    writer.close()

    assert (state.fault, state.records) == (None, 4)
