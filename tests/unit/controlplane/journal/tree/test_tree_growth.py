"""The tree over a log: the published layout byte for byte, resumption at any size, a crash between any two steps."""

import errno
import itertools
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from controlplane.domain.clock import ManualClock
from controlplane.domain.errors import ChainBroken, EvidenceError, JournalUnavailable, StateConflict
from controlplane.journal.files.frames import build_frame
from controlplane.journal.files.segment import Disk
from controlplane.journal.reader import Batch, Tail, scan
from controlplane.journal.tree.growth import WAIT_NS_DUE, Edge, LogTree, split_bundle
from controlplane.journal.tree.hashing import leaf_hash
from controlplane.journal.tree.keys import is_signature
from controlplane.journal.tree.notes import parse_checkpoint, parse_note, signers_of
from controlplane.journal.tree.proofs import root_of
from controlplane.journal.tree.signer import Signer
from controlplane.journal.tree.tiles import TileReader, tile_path, write_files
from controlplane.journal.writer import JournalWriter
from tests.support.journal import (
    LOG,
    NOW_NS,
    FailingDisk,
    QuietDisk,
    content_of,
    decided,
    flip,
    open_writer,
    write_log,
)
from tests.support.transparency import VECTOR_ENTRIES, slow_root, vectors_folder


class Rig:
    """A log, its tree and the signer of its machine on disks that a test chooses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / LOG
        self.clock = ManualClock(NOW_NS)
        self._signers: list[Signer] = []

    def tree(self, disk: Disk | None = None, **changes: int) -> LogTree:
        """The tree as a process that has just started sees it."""
        for signer in self._signers:
            signer.close()
        self._signers = [Signer(self.folder / "drain", origin="example.com/m1", disk=disk or QuietDisk())]
        return LogTree(self.log, self._signers[0], clock=self.clock, disk=disk or QuietDisk(), **changes)

    def entries(self) -> list[bytes]:
        return [record.entry for record in scan(self.log)]

    def signed_size(self) -> int:
        """Size of the checkpoint on disk after reading everything that it promises."""
        path = self.log / "tree" / "checkpoint"
        if not path.exists():
            return 0
        note = parse_note(path.read_bytes())
        signers_of(note, [self._signers[0].verifier_key(LOG)], is_signature)
        checkpoint = parse_checkpoint(note.text)
        tiles = TileReader(self.log / "tree", checkpoint.size)
        entries = [
            entry[2:]
            for number in range((checkpoint.size + 255) // 256)
            for entry in split_bundle(tiles.bundle(number), min(256, checkpoint.size - number * 256))
        ]
        hashes = b"".join(tiles.tile(0, number) for number in range((checkpoint.size + 255) // 256))
        assert root_of(checkpoint.size, tiles.node_at) == checkpoint.root == slow_root(entries)
        assert hashes == b"".join(map(leaf_hash, entries))
        assert entries == self.entries()[: checkpoint.size]
        return checkpoint.size


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def append(writer: JournalWriter, count: int) -> None:
    for number in range(count):
        if number % 7 == 3:
            writer.append_json({"kind": "HaltSet", "reason": "x" * number})
        else:
            writer.append_binary(decided(number))
    writer.commit()


def batch_of(entries: Sequence[bytes]) -> Batch:
    """Entries of a stranger's log in frames of ours."""
    frames = [build_frame(entry, seq=number, epoch=1, flags=1) for number, entry in enumerate(entries, start=1)]
    ends = list(itertools.accumulate(map(len, frames)))
    return Batch(
        segment=0,
        epoch=1,
        first_seq=1,
        base=0,
        chunk=np.frombuffer(b"".join(frames), np.uint8),
        offsets=np.array([0, *ends[:-1]], np.int64),
        lengths=np.array([len(entry) for entry in entries], np.int64),
        flags=np.ones(len(entries), np.int64),
        end=ends[-1],
    )


def test_published_log_of_fifteen_entries_is_laid_out_byte_for_byte(recorded_data: Path, tmp_path: Path) -> None:
    folder = vectors_folder(recorded_data) / "tlog_tiles"
    edge = Edge()

    for size in range(1, 16):
        edge.take_in(batch_of(VECTOR_ENTRIES[size - 1 : size]))
        files = edge.files()
        assert files == {name: (folder / name).read_bytes() for name in files}
        write_files(tmp_path, files, disk=QuietDisk())
        checkpoint = parse_checkpoint(parse_note((folder / f"checkpoint.{size}").read_bytes()).text)
        assert root_of(size, TileReader(tmp_path, size).node_at) == checkpoint.root

    assert sorted(files) == ["tile/0/000.p/15", "tile/entries/000.p/15"]


@pytest.mark.parametrize(
    ("level", "number", "width", "path"),
    [
        (0, 1234067, 256, "tile/0/x001/x234/067"),
        (3, 0, 17, "tile/3/000.p/17"),
        ("entries", 273, 112, "tile/entries/273.p/112"),
        (0, 1000, 256, "tile/0/x001/000"),
    ],
)
def test_paths_are_those_of_the_public_layout(level: int | str, number: int, width: int, path: str) -> None:
    assert tile_path(level, number, width) == path


def test_tree_of_many_sizes_resumed_at_each_is_the_tree_of_its_entries(rig: Rig) -> None:
    with open_writer(rig.log) as writer:
        for count in (0, 1, 3, 250, 1, 1, 255, 256, 257, 700):
            append(writer, count)
            grown = rig.tree().grow(is_due=True)
            assert rig.signed_size() == writer.next_seq - 1
            assert grown == count + (1 if writer.next_seq == 2 else 0)

    names = {name for name in content_of(rig.log / "tree") if name.startswith("tile/")}
    assert "tile/0/005" in names
    assert "tile/1/000.p/6" in names
    # Once a tile is full, its unfinished forms are no longer kept.
    assert {name for name in names if ".p/" in name and not name.startswith(("tile/0/006", "tile/entries/006"))} == {
        name for name in names if name.startswith("tile/1/000.p/")
    }


def test_tree_above_one_tile_of_tiles_has_a_third_level(rig: Rig) -> None:
    with open_writer(rig.log, segment_bytes=64 * 1024 * 1024) as writer:
        for number in range(66_000):
            writer.append_binary(decided(number))
        writer.commit()
        tree = rig.tree(entries_max=70_000)
        assert tree.grow(is_due=True) == 66_001

    assert (rig.log / "tree" / tile_path(1, 0)).stat().st_size == 8192
    assert (rig.log / "tree" / tile_path(2, 0, 1)).stat().st_size == 32
    assert rig.signed_size() == 66_001
    assert rig.tree().grow(is_due=True) == 1


def test_checkpoint_is_due_after_256_entries_or_one_second(rig: Rig) -> None:
    tree = rig.tree()
    with open_writer(rig.log) as writer:
        append(writer, 254)
        assert tree.grow() == 0
        append(writer, 1)
        assert tree.grow() == 256
        append(writer, 5)
        assert tree.grow() == 0
        rig.clock.advance_to(NOW_NS + WAIT_NS_DUE - 1)
        assert tree.grow() == 0
        rig.clock.advance_to(NOW_NS + WAIT_NS_DUE)
        assert tree.grow() == 5


def test_entries_of_one_checkpoint_are_bounded(rig: Rig) -> None:
    write_log(rig.log, 1_000)
    tree = rig.tree(entries_max=300)

    grown = [tree.grow(is_due=True) for _ in range(5)]

    assert grown == [300, 300, 300, 102, 0]
    assert rig.signed_size() == 1_002


def crashes(rig: Rig) -> Iterator[tuple[str, int]]:
    """Every call of every disk operation in turn, as long as it is met."""
    for operation in ("write", "sync"):
        for after in itertools.count():
            disk = FailingDisk(operation, errno.EIO, after=10_000)
            tree = rig.tree(disk)
            disk.arm(after)
            try:
                if tree.grow(is_due=True):
                    break
            except (OSError, JournalUnavailable):
                pass
            yield operation, after


@pytest.mark.case("EVIDENCE-30")
def test_crash_between_any_two_steps_leaves_every_signed_size_readable_and_is_grown_over(rig: Rig) -> None:
    with open_writer(rig.log) as writer:
        append(writer, 300)
        rig.tree().grow(is_due=True)
        met, sizes = [], set()
        append(writer, 300)
        for place in crashes(rig):
            met.append(place)
            # Whatever the crash left, a reader finds all that the checkpoint on disk promises.
            sizes.add(rig.signed_size())
            append(writer, 1)
        assert sizes <= {301, *range(601, writer.next_seq)}
        assert 301 in sizes

    rig.tree().grow(is_due=True)
    assert rig.signed_size() == len(rig.entries())
    assert {operation for operation, _ in met} == {"write", "sync"}
    assert len(met) >= 12


def test_crash_after_the_signers_note_and_before_the_checkpoint_signs_the_same_tree_or_a_longer_one(rig: Rig) -> None:
    with open_writer(rig.log) as writer:
        append(writer, 300)
        rig.tree().grow(is_due=True)
        before = (rig.log / "tree" / "checkpoint").read_bytes()
        append(writer, 5)
        rig.tree().grow(is_due=True)
        (rig.log / "tree" / "checkpoint").write_bytes(before)
        append(writer, 5)

        assert rig.tree().grow(is_due=True) == 10

    assert rig.signed_size() == 311


@pytest.mark.case("EVIDENCE-28")
def test_log_cut_back_behind_its_checkpoint_is_never_signed_again(rig: Rig, tmp_path: Path) -> None:
    write_log(rig.log, 300)
    rig.tree().grow(is_due=True)
    shutil.rmtree(rig.log)
    write_log(rig.log, 200)

    with pytest.raises(ChainBroken, match="to hold the 302 records that were signed, found 202"):
        rig.tree().grow(is_due=True)

    assert not (rig.log / "tree" / "checkpoint").exists()


@pytest.mark.case("EVIDENCE-28")
def test_log_with_another_past_is_never_signed_again(rig: Rig) -> None:
    write_log(rig.log, 300)
    rig.tree().grow(is_due=True)
    shutil.rmtree(rig.log)
    write_log(rig.log, 400, clock=ManualClock(NOW_NS + 1))

    with pytest.raises(ChainBroken, match="to extend the one of 302 entries that was signed"):
        rig.tree().grow(is_due=True)

    assert not (rig.log / "tree" / "checkpoint").exists()


def test_signer_that_forgot_a_checkpoint_is_refused(rig: Rig) -> None:
    write_log(rig.log, 10)
    rig.tree().grow(is_due=True)
    (rig.folder / "drain" / f"{LOG}.signed").unlink()

    with pytest.raises(ChainBroken, match="signer to remember the checkpoint of 12 entries"):
        rig.tree().grow(is_due=True)


@pytest.mark.case("EVIDENCE-31")
def test_checkpoint_of_another_key_stops_the_tree(rig: Rig) -> None:
    write_log(rig.log, 10)
    rig.tree().grow(is_due=True)
    (rig.folder / "drain" / "key").unlink()

    with pytest.raises(EvidenceError, match="signature of a known key, found none"):
        rig.tree().grow(is_due=True)


def test_altered_tile_under_the_checkpoint_stops_the_tree(rig: Rig) -> None:
    write_log(rig.log, 10)
    rig.tree().grow(is_due=True)
    path = rig.log / "tree" / tile_path(0, 0, 12)
    path.write_bytes(bytes(32) + path.read_bytes()[32:])

    with pytest.raises(EvidenceError, match="to have the root that"):
        rig.tree().grow(is_due=True)


def test_damaged_note_of_the_signer_stops_the_tree(rig: Rig) -> None:
    write_log(rig.log, 10)
    rig.tree().grow(is_due=True)
    (rig.folder / "drain" / f"{LOG}.signed").write_text("{")

    with pytest.raises(EvidenceError, match="to say what was signed last, found it damaged"):
        rig.tree().grow(is_due=True)


def test_log_signed_under_one_name_isnt_signed_under_another(rig: Rig) -> None:
    write_log(rig.log, 10)
    rig.tree().grow(is_due=True)
    rig._signers[0].close()
    renamed = Signer(rig.folder / "drain", origin="example.com/m2", disk=QuietDisk())

    with pytest.raises(EvidenceError, match=r"to be signed as example\.com/m1/gate-0"):
        renamed.signed(LOG)


def test_second_signer_of_a_machine_is_refused(rig: Rig) -> None:
    rig.tree()

    with pytest.raises(StateConflict, match="only signer"):
        Signer(rig.folder / "drain", disk=QuietDisk())


def test_damaged_segment_is_not_grown_over(rig: Rig) -> None:
    write_log(rig.log, 300)
    flip(rig.log, 0, 40_000)

    with pytest.raises(ChainBroken, match="then whole records"):
        rig.tree().grow(is_due=True)

    assert not (rig.log / "tree").exists()


def test_records_are_durable_before_they_are_signed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    disk = QuietDisk()
    monkeypatch.setattr(Tail, "make_durable", lambda self: steps.append("records"))
    disk.sync = lambda descriptor: steps.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)
    write_log(rig.log, 10)

    rig.tree(disk).grow(is_due=True)

    assert steps.index("records") < steps.index("12.tmp") < steps.index(f"{LOG}.signed.tmp")
    assert steps.index(f"{LOG}.signed.tmp") < steps.index("drain", steps.index(f"{LOG}.signed.tmp"))
    assert steps[-2:] == ["checkpoint.tmp", "tree"]
