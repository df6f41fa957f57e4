"""Exports: only what was signed, held against the tree, with digests on record; and what may go out of reach, when."""

import base64
import csv
import datetime as dt
import hashlib
import json
import shutil
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from controlplane.domain.clock import ManualClock
from controlplane.domain.errors import (
    ChainBroken,
    EvidenceError,
    InvalidRequest,
    JournalUnavailable,
    StateConflict,
    UnknownReference,
)
from controlplane.journal.export import Exported, Wanted, export
from controlplane.journal.exports.forms import ExportFormat
from controlplane.journal.exports.rows import COLUMNS, csv_cell
from controlplane.journal.files.frames import build_frame
from controlplane.journal.reader import find, scan
from controlplane.journal.record import RecordKind, decode_json, describe_entry, pack_entry
from controlplane.journal.retention import (
    RetentionRules,
    Retirement,
    kept_since_ns,
    refusal,
    retire,
)
from controlplane.journal.tree.entry_proof import entry_proof
from controlplane.journal.tree.growth import LogTree
from controlplane.journal.tree.hashing import leaf_hash
from controlplane.journal.tree.minimum import read_minimum
from controlplane.journal.tree.signer import Signer
from controlplane.journal.tree.tiles import tile_path
from controlplane.policy.load import load_policies
from controlplane.runtime.settings import SHIPPED_POLICIES
from controlplane.verifier.judging import judge, judge_proof
from controlplane.verifier.keys import public_key
from tests.support.journal import LOG, NOW_NS, QuietDisk, damage, decided, open_writer, write_log

RECORDS = 600
YEAR_NS = 366 * 24 * 3600 * 10**9
EVIL = '=HYPERLINK("http://x.example","y")'


class Place:
    """A journal with one signed log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        self.log = self.journal / LOG
        self.clock = ManualClock(NOW_NS)
        with open_writer(self.log) as writer:
            for number in range(1, RECORDS - 1):
                if number % 9 == 0:
                    writer.append_json({"kind": "HaltSet", "reason": EVIL, "child_id": "00000000000000ff"})
                elif number % 9 == 1:
                    writer.append_binary(
                        pack_entry(
                            RecordKind.ORDER_DECIDED,
                            subkind=1,
                            outcome=2,
                            code=11,
                            wall_ns=NOW_NS,
                            child_id=number,
                            side=-1,
                            failed_checks=1 << 10 | 1 << 32,
                            measured=-(2**62),
                        )
                    )
                else:
                    writer.append_binary(decided(number))
        self.sign()

    def sign(self) -> str:
        signer = Signer(self.folder / "drain", origin="example.com/m", disk=QuietDisk())
        tree = LogTree(self.log, signer, clock=self.clock, disk=QuietDisk())
        while tree.grow(is_due=True):
            pass
        tree.close()
        signer.close()
        return signer.verifier_key(LOG).text

    def export(self, form: ExportFormat = ExportFormat.JSON, target: str = "out", **changes: int) -> Exported:
        wanted = Wanted((self.log,), form, by="auditor", environment="SIMULATION", **changes)
        return export(wanted, self.folder / target, journal_directory=self.journal, clock=self.clock)

    def rows(self, target: str = "out") -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.folder / target / "gate-0.json").read_text("utf-8").splitlines()]

    def deeds(self) -> list[dict[str, object]]:
        """What is on record about the record, without openings and closings."""
        entries = [decode_json(record.entry) for record in scan(self.journal / "evidence-0")]
        return [entry for entry in entries if str(entry["kind"]).startswith("Records")]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_rows_of_every_form_carry_the_same_facts_and_the_exact_bytes(place: Place) -> None:
    for form in ExportFormat:
        place.export(form, form.value)

    written = list(scan(place.log))
    objects = place.rows("json")
    with (place.folder / "csv" / "gate-0.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    table = pq.read_table(place.folder / "parquet" / "gate-0.parquet").to_pylist()
    assert len(objects) == len(lines) == len(table) == len(written) == RECORDS
    for record, fact, line, row in zip(written, objects, lines, table, strict=True):
        assert base64.b64decode(fact["entry_b64"]) == base64.b64decode(line["entry_b64"]) == record.entry
        assert base64.b64decode(row["entry_b64"]) == record.entry
        assert (fact["leaf_index"], line["leaf_index"], row["leaf_index"]) == (
            record.seq - 1,
            str(record.seq - 1),
            record.seq - 1,
        )
        assert {name: str(value) for name, value in row.items() if value is not None} == {
            name: str(value) for name, value in fact.items()
        }
        assert {name: value.removeprefix("'") for name, value in line.items() if value} == {
            name: str(value) for name, value in fact.items() if value != ""
        }
    denied = next(row for row in table if row["outcome"] == "DENIED")
    described = describe_entry(written[denied["leaf_index"]].entry, flags=0)
    assert (denied["code"], denied["side"], denied["measured"]) == (described["code"], "SELL", -(2**62))
    assert denied["failed_checks"].split() == described["failed_checks"]
    halted = next(row for row in table if row["kind"] == "HaltSet")
    assert json.loads(halted["document"])["reason"] == EVIL
    assert halted["child_id"] == "00000000000000ff"
    assert list(table[0]) == [column.name for column in COLUMNS]


@pytest.mark.case("EVIDENCE-43")
@pytest.mark.parametrize(
    "start", ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(1)", "\tx", "\rx", "\nx", "  =1", "\uff1d1"]
)
def test_cell_that_a_spreadsheet_would_run_is_neutralised(start: str) -> None:
    assert csv_cell(start) == "'" + start


@pytest.mark.parametrize("cell", ["plain", "a=b", "", "'x", "{}"])
def test_cell_that_no_spreadsheet_runs_is_left_as_it_is(cell: str) -> None:
    assert csv_cell(cell) == cell
    assert csv_cell(-5) == "-5"
    assert csv_cell(None) == ""


@pytest.mark.case("EVIDENCE-43")
def test_neutralised_cell_has_its_exact_bytes_beside_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "controlplane.journal.exports.rows.canonical_json",
        lambda facts: str(facts["reason"]).encode() if "reason" in facts else b"{}",
    )
    place.export(ExportFormat.CSV)

    with (place.folder / "out" / "gate-0.csv").open(encoding="utf-8", newline="") as file:
        halted = [row for row in csv.DictReader(file) if row["kind"] == "HaltSet"]

    assert {row["document"] for row in halted} == {"'" + EVIL}
    assert all(json.loads(base64.b64decode(row["entry_b64"]))["reason"] == EVIL for row in halted)


@pytest.mark.case("EVIDENCE-42")
def test_export_during_appends_holds_signed_rows_only_and_its_manifest_is_on_record(place: Place) -> None:
    stop = threading.Event()

    def append() -> None:
        with open_writer(place.log) as writer:
            while not stop.is_set():
                for _ in range(50):
                    writer.append_binary(decided(writer.next_seq))
                writer.commit()
                stop.wait(0.001)

    thread = threading.Thread(target=append)
    thread.start()
    try:
        done = [place.export(target=f"out-{number}") for number in range(5)]
    finally:
        stop.set()
        thread.join()

    assert find(place.log, RECORDS + 50) is not None
    assert [one.rows for one in done] == [RECORDS] * 5
    assert [row["leaf_index"] for row in place.rows("out-4")] == list(range(RECORDS))
    manifests = [(one.directory / "manifest.json").read_bytes() for one in done]
    assert [one.manifest_sha256 for one in done] == [hashlib.sha256(content).hexdigest() for content in manifests]
    assert [deed["manifest_sha256"] for deed in place.deeds()] == [one.manifest_sha256 for one in done]
    assert {deed["kind"] for deed in place.deeds()} == {"RecordsExported"}
    assert done[0].place == "evidence-0.2"


def test_manifest_states_every_file_every_column_and_the_signed_tree(place: Place) -> None:
    done = place.export(ExportFormat.PARQUET)

    manifest = json.loads((done.directory / "manifest.json").read_bytes())

    files = {path.name: path.read_bytes() for path in done.directory.iterdir() if path.name != "manifest.json"}
    assert {one["name"]: one["sha256"] for one in manifest["files"]} == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()
    }
    assert sorted(files) == ["gate-0.checkpoint", "gate-0.parquet"]
    assert files["gate-0.checkpoint"] == (place.log / "tree" / "checkpoint").read_bytes()
    assert [one["name"] for one in manifest["columns"]] == [column.name for column in COLUMNS]
    (log,) = manifest["logs"]
    assert (log["size"], log["rows"], log["first_leaf_index"]) == (RECORDS, RECORDS, 0)
    assert (manifest["by"], manifest["environment"]) == ("auditor", "SIMULATION")


def test_rows_of_an_export_lead_to_the_signed_root(place: Place) -> None:
    """What an auditor does with nothing but the export: hash the exact bytes, and compare with the tree."""
    place.export()

    leaves = b"".join(leaf_hash(base64.b64decode(row["entry_b64"])) for row in place.rows())

    tree = place.log / "tree"
    assert leaves == b"".join(
        (tree / tile_path(0, number, width)).read_bytes() for number, width in ((0, 256), (1, 256), (2, RECORDS - 512))
    )


def test_range_of_sequences_is_exported_with_both_ends(place: Place) -> None:
    done = place.export(from_seq=250, until_seq=260)
    late = place.export(target="late", from_seq=RECORDS + 5)

    assert [row["leaf_index"] for row in place.rows()] == list(range(249, 260))
    assert (done.rows, late.rows) == (11, 0)


@pytest.mark.case("EVIDENCE-26")
@pytest.mark.parametrize("seq", [2, 300, RECORDS])
def test_altered_record_ends_the_export_with_its_index_and_leaves_nothing(place: Place, seq: int) -> None:
    record = find(place.log, seq)
    other = (
        record.entry[:-1] + bytes([record.entry[-1] ^ 1]) if not record.is_json else record.entry.replace(b"0", b"1")
    )
    damage(place.log, record.segment, record.offset, build_frame(other, seq=seq, epoch=1, flags=record.flags))
    path = place.log / "tree" / tile_path(0, 0)
    if seq == 2:
        # Whoever alters the tile too meets the tile above it.
        path.write_bytes(path.read_bytes()[:32] + leaf_hash(other) + path.read_bytes()[64:])

    with pytest.raises(EvidenceError, match="tile 0 of level 0" if seq == 2 else f"record {seq} of gate-0"):
        place.export()

    assert not (place.folder / "out").exists()
    assert [path.name for path in place.folder.iterdir() if "out" in path.name] == []
    assert not (place.journal / "evidence-0").exists()


def test_log_shorter_than_its_checkpoint_and_a_log_without_one_are_not_exported(place: Place) -> None:
    tree = place.folder / "tree"
    shutil.move(place.log / "tree", tree)
    shutil.rmtree(place.log)
    write_log(place.log, 100)

    with pytest.raises(UnknownReference, match="let the drain run"):
        place.export()
    shutil.move(tree, place.log / "tree")
    with pytest.raises(EvidenceError, match="record 2 of gate-0"):
        place.export()


def test_export_that_cant_be_put_on_record_is_not_made(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.journal.evidence_log.TURN_SECONDS_MAX", 0.2)
    with open_writer(place.journal / "evidence-0", log="evidence-0"), pytest.raises(JournalUnavailable):
        place.export()

    assert not (place.folder / "out").exists()


def test_export_replaces_nothing_and_needs_a_log(place: Place) -> None:
    place.export()

    with pytest.raises(StateConflict, match="replaces nothing"):
        place.export()
    with pytest.raises(InvalidRequest, match="at least one log"):
        export(Wanted((), ExportFormat.CSV), place.folder / "x", journal_directory=place.journal, clock=place.clock)


def rules(years: int = 7, *holds: str) -> RetentionRules:
    return RetentionRules(years, frozenset(holds))


def ns(year: int, month: int = 3, day: int = 1) -> int:
    return int(dt.datetime(year, month, day, tzinfo=dt.UTC).timestamp()) * 10**9


@pytest.mark.case("EVIDENCE-44")
@pytest.mark.parametrize(
    ("asked", "holds", "words"),
    [
        (Retirement("gate-0", 513, 600, ns(2019)), (), ""),
        (Retirement("gate-0", 513, 600, ns(2019, 3, 2)), (), "older than 7 years, found one of 2019-03-02"),
        (Retirement("gate-0", 513, 600, ns(2025)), (), "older than 7 years"),
        (Retirement("gate-0", 513, 600, ns(2010)), ("gate-0",), "free of legal holds"),
        (Retirement("gate-0", 513, 600, ns(2010)), ("executor-0",), ""),
        (Retirement("gate-0", 512, 600, ns(2010)), (), "multiple of 256"),
        (Retirement("gate-0", 769, 600, ns(2010)), (), "at most the 600 records that are signed"),
    ],
)
def test_records_are_retired_by_age_and_never_under_a_legal_hold(
    asked: Retirement, holds: tuple[str, ...], words: str
) -> None:
    found = refusal(rules(7, *holds), asked, now_ns=ns(2026, 3, 1) + 10**9)

    assert words in found
    assert bool(found) is bool(words)


def test_records_are_never_kept_for_less_than_five_years_and_leap_days_round_towards_keeping() -> None:
    with pytest.raises(InvalidRequest, match="at least 5 years, found 4"):
        rules(4)

    assert kept_since_ns(rules(5), now_ns=ns(2028, 2, 29)) == ns(2023, 2, 28)
    assert load_policies(SHIPPED_POLICIES).retention.years == 7


@pytest.mark.case("EVIDENCE-44")
def test_retirement_is_on_record_first_and_every_later_proof_holds(place: Place) -> None:
    key = public_key(place.sign())
    before = entry_proof(place.log, 100)
    with pytest.raises(StateConflict, match="older than 7 years"):
        retire(place.log, before_seq=257, rules=rules(), by="operator", clock=place.clock)
    assert not (place.journal / "evidence-0").exists()
    place.clock.advance_to(NOW_NS + 8 * YEAR_NS)

    seq = retire(place.log, before_seq=257, rules=rules(), by="operator", clock=place.clock)

    (deed,) = place.deeds()
    assert (deed["kind"], deed["log"], deed["least_index"], deed["years"]) == ("RecordsRetired", "gate-0", 256, 7)
    assert (seq, read_minimum(place.log)) == (2, 256)
    # Out of reach: neither proof nor row.
    with pytest.raises(UnknownReference, match="that 256 was retired"):
        entry_proof(place.log, 256)
    place.export()
    assert place.rows()[0]["leaf_index"] == 256
    # Proofs of later records, and the one that was given away before, go on to hold, also as the log grows.
    write_log(place.log, 300, clock=place.clock)
    place.sign()
    assert [judge_proof(entry_proof(place.log, one), keys=[key]) for one in (257, 600, 900)] == ["", "", ""]
    assert judge_proof(before, keys=[key]) == ""
    assert judge(place.log, keys=[key]).problems == []
    with pytest.raises(StateConflict, match="more than the 256 records that are retired already"):
        retire(place.log, before_seq=257, rules=rules(), by="operator", clock=place.clock)


@pytest.mark.case("EVIDENCE-44")
def test_legal_hold_beats_age_and_nothing_is_recorded(place: Place) -> None:
    place.clock.advance_to(NOW_NS + 20 * YEAR_NS)

    with pytest.raises(StateConflict, match="legal holds"):
        retire(place.log, before_seq=257, rules=rules(7, LOG), by="operator", clock=place.clock)

    assert read_minimum(place.log) == 0
    assert not (place.journal / "evidence-0").exists()


def test_damaged_least_index_is_said_and_nothing_is_handed_out(place: Place) -> None:
    (place.log / "tree" / "least-index").write_text("many\n")

    with pytest.raises(ChainBroken, match="Expected a number"):
        place.export()


def test_what_cant_be_retired_is_said(place: Place) -> None:
    with pytest.raises(InvalidRequest, match="above 1"):
        retire(place.log, before_seq=1, rules=rules(), by="operator", clock=place.clock)
    shutil.rmtree(place.log / "tree")
    with pytest.raises(UnknownReference, match="signed checkpoint"):
        retire(place.log, before_seq=257, rules=rules(), by="operator", clock=place.clock)
