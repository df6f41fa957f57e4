"""Opening after a crash: a torn tail is put aside, anything else that contradicts itself is refused and left alone."""

import hashlib
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.domain.errors import ChainBroken
from controlplane.journal.files.directory import write_copied_mark
from controlplane.journal.files.frames import build_frame
from controlplane.journal.files.segment import SegmentHeader, list_segments, pack_header, read_header, segment_path
from controlplane.journal.reader import find, scan
from controlplane.journal.record import decode_json
from controlplane.journal.verify import verify
from controlplane.journal.walk import walk
from tests.support.journal import (
    QuietDisk,
    abandon,
    content_of,
    copy_of,
    damage,
    decided,
    flip,
    open_writer,
    write_log,
)

FRAME = 280


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A log whose writer was killed after its record 6, and the offset of that record's frame in the last segment."""
    directory = tmp_path_factory.mktemp("killed")
    write_log(directory, 1)
    writer = open_writer(directory)
    for child_id in (50, 51):
        writer.append_binary(decided(child_id))
    offset = int(writer.cursor[1]) - FRAME
    abandon(writer)
    return directory, offset


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three closed segments in two epochs."""
    directory = tmp_path_factory.mktemp("finished")
    write_log(directory, 400)
    return write_log(directory, 10)


def recovered(directory: Path) -> list[dict[str, object]]:
    """The payloads of all RecordsRecovered records."""
    payloads = [decode_json(record.entry) for record in scan(directory) if record.is_json]
    return [payload for payload in payloads if payload["kind"] == "RecordsRecovered"]


def test_killed_writer_without_a_torn_record_loses_nothing(killed: tuple[Path, int], tmp_path: Path) -> None:
    log = copy_of(killed[0], tmp_path / "log")

    with open_writer(log) as writer:
        assert (writer.epoch, writer.next_seq) == (3, 8)

    assert find(log, 6).entry == decided(51)
    assert recovered(log) == []
    assert verify(log).is_sound


@pytest.mark.parametrize("length", range(1, FRAME))
@pytest.mark.case("EVIDENCE-5")
def test_file_cut_anywhere_in_the_last_record_is_recovered(
    killed: tuple[Path, int], tmp_path: Path, length: int
) -> None:
    log, offset = copy_of(killed[0], tmp_path / "log"), killed[1]
    path = segment_path(log, 1)
    left = path.read_bytes()[: offset + length]
    path.write_bytes(left)
    torn = left[offset:].rstrip(b"\0")

    with open_writer(log) as writer:
        assert (writer.epoch, writer.next_seq) == (3, 7 + bool(torn))

    assert path.read_bytes().rstrip(b"\0") == left.rstrip(b"\0")
    assert find(log, 5).entry == decided(50)
    if torn:
        (stated,) = recovered(log)
        assert (stated["segment"], stated["offset"], stated["bytes"]) == ("00000001", offset, len(torn))
        assert stated["sha256"] == hashlib.sha256(torn).hexdigest()
        assert (log / "quarantine" / str(stated["quarantine"])).read_bytes() == torn
    report = verify(log)
    assert (report.is_sound, report.problem, report.torn_bytes) == (True, "", 0)


@pytest.mark.parametrize("length", [*range(4, FRAME, 25), FRAME - 1])
def test_record_of_which_only_the_first_bytes_reached_the_disk_is_recovered(
    killed: tuple[Path, int], tmp_path: Path, length: int
) -> None:
    log, offset = copy_of(killed[0], tmp_path / "log"), killed[1]
    damage(log, 1, offset + length, bytes(FRAME - length))

    assert verify(log).torn_bytes > 0
    assert verify(log).is_sound
    open_writer(log).close()

    assert len(recovered(log)) == 1
    assert verify(log).is_sound


@pytest.mark.parametrize("garbage", [b"\x01", b"\xff" * 4096, b"\0\0\0\0\x07" + b"x" * 60, struct.pack("<I", 300)])
def test_garbage_after_the_last_record_is_put_aside(killed: tuple[Path, int], tmp_path: Path, garbage: bytes) -> None:
    log, offset = copy_of(killed[0], tmp_path / "log"), killed[1] + FRAME
    damage(log, 1, offset, garbage)

    open_writer(log).close()

    (stated,) = recovered(log)
    assert (stated["offset"], stated["sha256"]) == (offset, hashlib.sha256(garbage.rstrip(b"\0")).hexdigest())
    assert find(log, 6).entry == decided(51)
    assert verify(log).is_sound


def test_recovery_that_was_killed_itself_is_repeated(killed: tuple[Path, int], tmp_path: Path) -> None:
    log, offset = copy_of(killed[0], tmp_path / "log"), killed[1]
    damage(log, 1, offset + 100, bytes(180))
    (log / "quarantine").mkdir()
    (log / "quarantine" / f"00000001-{offset:010d}.torn").write_bytes(b"half")
    (log / "00000002.seg.tmp").write_bytes(b"half")

    open_writer(log).close()
    for _ in range(3):
        abandon(open_writer(log))
    open_writer(log).close()

    assert len(recovered(log)) == 1
    assert verify(log).is_sound
    assert read_header(log, 6).epoch == 7


def test_recovery_makes_the_quarantine_durable_before_the_segment_that_states_it(
    killed: tuple[Path, int], tmp_path: Path
) -> None:
    log, offset = copy_of(killed[0], tmp_path / "log"), killed[1]
    damage(log, 1, offset + 100, bytes(180))

    class Watching(QuietDisk):
        """Notes at each flush which files exist: half a quarantine, the whole one, the next segment."""

        def __init__(self) -> None:
            super().__init__()
            self.seen: list[tuple[bool, bool, bool]] = []

        def sync(self, descriptor: int) -> None:
            names = {path.name.rpartition(".")[2] for path in (log / "quarantine").glob("*")}
            self.seen.append(("tmp" in names, "torn" in names, segment_path(log, 2).exists()))

    disk = Watching()
    open_writer(log, disk=disk).close()

    content, name, segment = (
        disk.seen.index(facts) for facts in ((True, False, False), (False, True, False), (False, True, True))
    )
    assert content < name < segment


def broken(log: Path) -> str:
    """What opening says, after checking that it changed nothing."""
    before = content_of(log)
    with pytest.raises(ChainBroken) as caught:
        open_writer(log)
    assert content_of(log) == before
    report = verify(log)
    assert not report.is_sound
    assert report.segment >= 0
    return str(caught.value)


@pytest.mark.case("EVIDENCE-6")
def test_bit_flip_in_a_middle_record_refuses_to_open_and_names_the_place(finished: Path, tmp_path: Path) -> None:
    log = copy_of(finished, tmp_path / "log")
    offset = 4096 + 200 * FRAME
    flip(log, 0, offset)

    sentence = broken(log)

    assert "00000000.seg at offset " in sentence
    assert abs(verify(log).offset - offset) < FRAME
    assert "restore the file from the copy in PostgreSQL or a backup" in sentence


@pytest.mark.case("EVIDENCE-7")
def test_zeroed_sector_in_the_last_segment_refuses_to_open(killed: tuple[Path, int], tmp_path: Path) -> None:
    log = copy_of(killed[0], tmp_path / "log")
    with open_writer(log) as writer:
        for _ in range(40):
            writer.append_binary(decided())
    damage(log, 2, 8192, bytes(4096))

    sentence = broken(log)

    assert "00000002.seg at offset" in sentence
    assert "whole records from offset" in sentence


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.case("EVIDENCE-9")
def test_missing_segment_refuses_to_open(finished: Path, tmp_path: Path, number: int) -> None:
    log = copy_of(finished, tmp_path / "log")
    segment_path(log, number).unlink()

    sentence = broken(log)

    assert f"{number:08d}.seg" in sentence
    assert "missing" in sentence


def test_record_rewritten_with_a_fitting_crc_is_found_by_the_chain(finished: Path, tmp_path: Path) -> None:
    log = copy_of(finished, tmp_path / "log")
    record = find(log, 100)
    damage(log, record.segment, record.offset, build_frame(decided(1, price_ticks=1), seq=100, epoch=1, flags=0))

    sentence = broken(log)

    assert "00000001.seg at offset 0" in sentence
    assert "records before it were altered" in sentence


def with_header(directory: Path, number: int, **changes: object) -> None:
    """Rewrite a header with other values and a CRC that fits."""
    header = read_header(directory, number)
    fields = {name: getattr(header, name) for name in SegmentHeader.__slots__}
    damage(directory, number, 0, pack_header(SegmentHeader(**{**fields, **changes})))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epoch": 1}, "an epoch other than its segment's"),
        ({"first_seq": 500}, "begins with 500"),
        ({"first_seq": 2}, "found 2"),
        ({"previous_chain": bytes(32)}, "chain value"),
        ({"log": "gate-1"}, "found one of gate-1"),
    ],
)
def test_header_that_does_not_follow_refuses_to_open(
    finished: Path, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    log = copy_of(finished, tmp_path / "log")
    with_header(log, 2, **changes)

    sentence = broken(log)

    assert words in sentence


def test_epoch_that_goes_back_refuses_to_open(finished: Path, tmp_path: Path) -> None:
    log = copy_of(finished, tmp_path / "log")
    with_header(log, 1, epoch=9)
    path = segment_path(log, 1)
    content = path.read_bytes()
    frames, offset, seq = b"", 4096, read_header(log, 1).first_seq
    while offset < len(content):
        length, _, _, _, flags = struct.unpack_from("<IIQII", content, offset)
        frames += build_frame(content[offset + 24 : offset + 24 + length], seq=seq, epoch=9, flags=flags)
        offset, seq = offset + (24 + length + 7) // 8 * 8, seq + 1
    damage(log, 1, 4096, frames)

    sentence = broken(log)

    assert "expected epoch 9 or later, found 2" in sentence


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("offset", [0, 9, 17, 30, 2000, 4095])
def test_damaged_header_refuses_to_open(finished: Path, tmp_path: Path, number: int, offset: int) -> None:
    log = copy_of(finished, tmp_path / "log")
    flip(log, number, offset)

    sentence = broken(log)

    assert f"{number:08d}.seg at offset 0" in sentence


def test_bytes_appended_to_a_finished_segment_refuse_to_open(finished: Path, tmp_path: Path) -> None:
    log = copy_of(finished, tmp_path / "log")
    with segment_path(log, 0).open("ab") as file:
        file.write(b"extra")

    sentence = broken(log)

    assert "5 bytes that no recovery states" in sentence


def test_quarantined_bytes_that_were_altered_afterwards_are_found(killed: tuple[Path, int], tmp_path: Path) -> None:
    log, offset = copy_of(killed[0], tmp_path / "log"), killed[1]
    damage(log, 1, offset + 100, bytes(180))
    open_writer(log).close()
    flip(log, 1, offset + 50)

    sentence = broken(log)

    assert "that no recovery states" in sentence


def test_whole_record_out_of_sequence_at_the_end_is_damage_and_not_a_torn_tail(
    killed: tuple[Path, int], tmp_path: Path
) -> None:
    log, offset = copy_of(killed[0], tmp_path / "log"), killed[1]
    damage(log, 1, offset, build_frame(decided(51), seq=3, epoch=2, flags=0))

    sentence = broken(log)

    assert "a sequence that doesn't follow in a frame that is otherwise whole" in sentence


@pytest.mark.case("EVIDENCE-17")
def test_log_that_ends_before_what_was_copied_refuses_to_open(finished: Path, tmp_path: Path) -> None:
    log = copy_of(finished, tmp_path / "log")
    last = walk(log).last_seq
    write_copied_mark(log, last, disk=QuietDisk())
    assert verify(log).is_sound
    assert verify(log).copied_seq == last
    content = segment_path(log, 2).read_bytes()
    closing = find(log, last).offset
    segment_path(log, 2).write_bytes(content[:closing])

    sentence = broken(log)

    assert f"to reach sequence {last}, which PostgreSQL has a copy of, found that it ends at {last - 1}" in sentence


def test_unreadable_mark_refuses_to_open(finished: Path, tmp_path: Path) -> None:
    log = copy_of(finished, tmp_path / "log")
    (log / "copied.mark").write_text("many")

    with pytest.raises(ChainBroken, match=r"Expected a number in .*copied\.mark"):
        open_writer(log)
    assert not verify(log).is_sound


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_flipped_bit_goes_unseen(finished: Path, tmp_path: Path, data: st.DataObject) -> None:
    log = copy_of(finished, tmp_path / "log")
    number = data.draw(st.sampled_from(list_segments(log)))
    size = segment_path(log, number).stat().st_size
    offset = data.draw(st.integers(0, size - 1))
    last = walk(log).last_seq
    last_offset = find(log, last).offset

    flip(log, number, offset, data.draw(st.integers(0, 7)))

    report = verify(log)
    if number == list_segments(log)[-1] and offset >= last_offset:
        # The last record alone can be torn as well as damaged; its bytes are never taken for a record.
        assert report.records == last - 1
        assert report.torn_bytes > 0 or not report.is_sound
    else:
        assert not report.is_sound
        assert report.problem


def test_writer_killed_right_after_starting_a_segment_leaves_an_empty_one_that_is_kept(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    writer.append_binary(decided(5))
    writer.roll()
    abandon(writer)

    with open_writer(tmp_path) as after:
        assert (after.epoch, after.next_seq) == (2, 4)

    assert [read_header(tmp_path, number).first_seq for number in (0, 1, 2)] == [1, 3, 3]
    assert verify(tmp_path).is_sound
