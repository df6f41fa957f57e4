"""The writer: sequence, epochs, segments, commit, the shared cursor, and failures that are final."""

import ctypes
import errno
import fcntl
import os
from pathlib import Path

import pytest

from controlplane.domain.errors import InvalidRequest, InvariantBroken, JournalUnavailable
from controlplane.journal import writer as writer_module
from controlplane.journal.files.blobs import BLOB_BYTES_MAX, document, read_blob
from controlplane.journal.files.frames import build_frame
from controlplane.journal.files.segment import list_segments, read_header, segment_path
from controlplane.journal.reader import find, scan
from controlplane.journal.record import decode_json
from controlplane.journal.walk import walk
from controlplane.runtime.settings import Durability
from tests.support.journal import (
    LOG,
    NOW_NS,
    FailingDisk,
    QuietDisk,
    abandon,
    content_of,
    decided,
    open_writer,
    write_log,
)

HALT = {"kind": "HaltSet", "scope": "firm:firm", "reason": "test"}


def test_first_record_of_every_epoch_is_log_opened_and_the_last_is_log_closed(tmp_path: Path) -> None:
    write_log(tmp_path, 2)
    write_log(tmp_path, 1, durability=Durability.DISK)

    records = list(scan(tmp_path))

    documents = {record.seq: decode_json(record.entry) for record in records if record.is_json}
    assert [(seq, found["kind"]) for seq, found in documents.items()] == [
        (1, "LogOpened"), (4, "LogClosed"), (5, "LogOpened"), (7, "LogClosed"),
    ]  # fmt: skip
    assert (documents[1]["durability"], documents[5]["durability"]) == ("process", "disk")
    assert [record.epoch for record in records] == [1, 1, 1, 1, 2, 2, 2]
    assert documents[1]["wall_ns"] == str(NOW_NS)


def test_sequence_has_no_gap_over_segments_and_epochs(tmp_path: Path) -> None:
    write_log(tmp_path, 900)
    write_log(tmp_path, 400)

    assert [record.seq for record in scan(tmp_path)] == list(range(1, 1305))
    assert len(list_segments(tmp_path)) == 5


def test_appended_entry_is_read_back_byte_for_byte(tmp_path: Path) -> None:
    entry = decided(5, price_ticks=-(2**63), limit=2**63 - 1)

    with open_writer(tmp_path) as writer:
        seq = writer.append_binary(entry)

    found = find(tmp_path, seq)
    assert found is not None
    assert (found.entry, found.flags) == (entry, 0)


def test_finished_segment_gives_its_unused_space_back(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        reserved = segment_path(tmp_path, 0).stat().st_size
        writer.roll()
        used = segment_path(tmp_path, 0).stat().st_size

    assert reserved == writer_module.SEGMENT_BYTES_MIN
    assert used == 4096 + len(build_frame(next(scan(tmp_path)).entry, seq=1, epoch=1, flags=1))


def test_compiled_code_may_write_through_the_cursor(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        cursor = writer.cursor
        frame = build_frame(decided(9), seq=int(cursor[3]), epoch=int(cursor[4]), flags=0)
        ctypes.memmove(int(cursor[0] + cursor[1]), frame, len(frame))
        cursor[1] += len(frame)
        cursor[3] += 1
        writer.commit()
        assert (writer.committed_seq, writer.next_seq) == (2, 3)
        assert writer.append_binary(decided(10)) == 3

    assert [record.entry for record in scan(tmp_path)][1:3] == [decided(9), decided(10)]
    assert walk(tmp_path).fault is None


def test_room_ends_with_the_segment_and_rolling_moves_the_cursor(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        while writer.has_room(280):
            writer.append_binary(decided())
        last, before = writer.next_seq, writer.cursor.copy()
        writer.roll()

        assert before[1] + 280 > before[2]
        assert (writer.cursor[1], writer.cursor[3]) == (4096, last)
        assert writer.has_room(280)
        assert read_header(tmp_path, 1).first_seq == last


def test_full_segment_is_rolled_by_append(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        for _ in range(1000):
            writer.append_binary(decided())

    assert len(list_segments(tmp_path)) == 3


def test_commit_reaches_the_disk_only_under_the_policy_disk(tmp_path: Path) -> None:
    disks = {policy: QuietDisk() for policy in Durability}
    for policy, disk in disks.items():
        with open_writer(tmp_path / policy, durability=policy, disk=disk) as writer:
            writer.append_binary(decided())
            writer.commit()
            writer.commit()
            assert writer.committed_seq == 2
            assert disk.content_syncs == (1 if policy is Durability.DISK else 0)


def test_uncommitted_record_is_not_counted_as_committed(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        writer.append_binary(decided())

        assert (writer.committed_seq, writer.next_seq) == (1, 3)


@pytest.mark.case("EVIDENCE-16")
def test_second_writer_of_a_log_fails_with_one_sentence(tmp_path: Path) -> None:
    with open_writer(tmp_path), pytest.raises(JournalUnavailable, match=r"only writer of .* found another at work"):
        open_writer(tmp_path)

    open_writer(tmp_path).close()


def test_lock_is_free_after_a_failed_opening(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable):
        open_writer(tmp_path, disk=FailingDisk("sync", errno.EIO))

    descriptor = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS])
@pytest.mark.case("EVIDENCE-12", "EVIDENCE-14")
def test_failed_flush_is_final_and_never_tried_again(tmp_path: Path, error: int) -> None:
    disk = FailingDisk("sync_content", error)
    writer = open_writer(tmp_path, durability=Durability.DISK, disk=disk)
    writer.append_binary(decided())

    with pytest.raises(JournalUnavailable, match=os.strerror(error)):
        writer.commit()
    for call in (writer.commit, writer.roll, writer.advance_chain, lambda: writer.append_binary(decided())):
        with pytest.raises(JournalUnavailable, match="nothing more is written"):
            call()
    with pytest.raises(JournalUnavailable):
        writer.append_final(HALT)

    assert not writer.has_room(0 + 8)
    assert (disk.calls_after_failure, writer.committed_seq) == (0, 1)
    writer.close()
    open_writer(tmp_path).close()


@pytest.mark.parametrize(
    ("operation", "error"), [("allocate", errno.ENOSPC), ("write", None), ("write", errno.EIO), ("sync", errno.EIO)]
)
@pytest.mark.case("EVIDENCE-13")
def test_failed_start_of_a_segment_is_final_and_leaves_a_sound_log(
    tmp_path: Path, operation: str, error: int | None
) -> None:
    disk = FailingDisk(operation, error, after=1_000)
    writer = open_writer(tmp_path, disk=disk)
    seq = writer.append_binary(decided())
    disk.arm()

    with pytest.raises(JournalUnavailable, match="to start a segment"):
        writer.roll()
    with pytest.raises(JournalUnavailable):
        writer.append_json(HALT)

    assert walk(tmp_path).fault is None
    assert walk(tmp_path).last_seq == seq
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.case("EVIDENCE-11")
def test_halt_is_written_from_the_ballast_when_no_segment_can_be_started(tmp_path: Path) -> None:
    disk = FailingDisk("allocate", errno.ENOSPC, after=1_000)
    writer = open_writer(tmp_path, disk=disk, ballast_bytes=256 * 1024)
    while writer.has_room(280):
        writer.append_binary(decided())
    last = writer.next_seq - 1
    disk.arm()
    with pytest.raises(JournalUnavailable, match="No space left"):
        writer.append_binary(decided())

    disk.arm(1_000)  # the room that the ballast gave back
    seq = writer.append_final({**HALT, "detail": "x" * 300})
    with pytest.raises(JournalUnavailable):
        writer.append_binary(decided())
    writer.close()

    documents = [decode_json(record.entry)["kind"] for record in scan(tmp_path, from_seq=last + 1)]
    assert (seq, documents) == (last + 1, ["HaltSet", "LogClosed"])
    assert not (tmp_path / "ballast").exists()
    assert walk(tmp_path).fault is None


def test_final_record_needs_no_failure_before_it_meets_the_full_disk(tmp_path: Path) -> None:
    disk = FailingDisk("allocate", errno.ENOSPC, after=1_000)
    writer = open_writer(tmp_path, disk=disk, ballast_bytes=256 * 1024)
    while writer.has_room(280):
        writer.append_binary(decided())
    disk.arm()

    def allocate_again(descriptor: int, length: int) -> None:
        if (tmp_path / "ballast").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.posix_fallocate(descriptor, 0, length)

    disk.allocate = allocate_again
    seq = writer.append_final({**HALT, "detail": "x" * 300})

    assert find(tmp_path, seq) is not None
    assert not writer.has_room(8)


def test_closed_writer_refuses_and_closing_again_is_harmless(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    writer.close()
    writer.close()

    with pytest.raises(JournalUnavailable, match="closed; open it again"):
        writer.append_binary(decided())
    assert not writer.has_room(8)
    assert writer.cursor[0] == 0


@pytest.mark.case("EVIDENCE-19")
def test_payload_over_48_kib_goes_into_a_blob_that_the_record_names(tmp_path: Path) -> None:
    payload = {"kind": "SnapshotLoaded", "wall_ns": "5", "parent_id": "0" * 15 + "a", "limits": ["x" * 1000] * 60}

    with open_writer(tmp_path) as writer:
        first, second = writer.append_json(payload), writer.append_json(payload)

    record = find(tmp_path, first)
    assert record is not None
    short = decode_json(record.entry)
    assert (short["kind"], short["parent_id"]) == ("SnapshotLoaded", "0" * 15 + "a")
    assert document(tmp_path, record.entry) == payload
    assert len(read_blob(tmp_path, str(short["blob_sha256"]))) == short["blob_bytes"]
    assert find(tmp_path, second).entry == record.entry
    assert len(list((tmp_path / "blobs").iterdir())) == 1


def test_payload_over_the_largest_blob_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        with pytest.raises(InvalidRequest, match="split it"):
            writer.append_json({"kind": "SnapshotLoaded", "limits": "x" * (BLOB_BYTES_MAX + 1)})

        assert writer.next_seq == 2


def test_failed_blob_is_final(tmp_path: Path) -> None:
    disk = FailingDisk("write", None, after=1_000)
    writer = open_writer(tmp_path, disk=disk)
    disk.arm()

    with pytest.raises(JournalUnavailable, match="to store a blob"):
        writer.append_json({"kind": "SnapshotLoaded", "limits": "x" * 60_000})
    with pytest.raises(JournalUnavailable):
        writer.append_binary(decided())

    assert list((tmp_path / "blobs").iterdir()) == []


def test_unusable_payload_writes_nothing_and_the_writer_goes_on(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        with pytest.raises(InvalidRequest):
            writer.append_json({"kind": "HaltSet", "price": 1.5})
        with pytest.raises(InvariantBroken):
            writer.append_binary(b"x")

        assert writer.append_binary(decided()) == 2


@pytest.mark.parametrize("log", ["", "Gate", "gate 0", "../x", "g" * 33])
def test_log_name_that_is_no_name_is_refused(tmp_path: Path, log: str) -> None:
    with pytest.raises(InvalidRequest, match="log name"):
        open_writer(tmp_path / "x", log=log)

    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("length", [0, 4096, writer_module.SEGMENT_BYTES_MIN + 1])
def test_segment_size_out_of_range_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(InvalidRequest, match="segment size"):
        open_writer(tmp_path, segment_bytes=length)


def test_directory_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x")

    with pytest.raises(JournalUnavailable, match="to open the journal in"):
        open_writer(tmp_path / "log")


def test_left_over_temporary_segment_is_removed_and_the_ballast_kept(tmp_path: Path) -> None:
    write_log(tmp_path, 1, ballast_bytes=8192)
    (tmp_path / "00000001.seg.tmp").write_bytes(b"half")

    write_log(tmp_path, 1, ballast_bytes=8192)

    assert "00000001.seg.tmp" not in content_of(tmp_path)
    assert (tmp_path / "ballast").stat().st_size == 8192


def test_log_of_another_name_is_refused(tmp_path: Path) -> None:
    write_log(tmp_path, 1)

    with pytest.raises(Exception, match=f"found {LOG}; choose the directory"):
        open_writer(tmp_path, log="gate-9")


class WatchedMap(bytearray):
    """Memory that notes in which order its parts are written."""

    written: list[tuple[int, int]]

    def __setitem__(self, key, value) -> None:
        self.written.append((key.start, key.stop))
        super().__setitem__(key, value)


def test_length_word_of_a_record_is_written_last(tmp_path: Path) -> None:
    """Until it stands there, the record doesn't exist for any reader."""
    writer = open_writer(tmp_path)
    segment = writer._segment
    watched = WatchedMap(segment.length)
    watched.written = []
    segment._map.close()
    segment._map = watched
    offset = int(writer.cursor[1])

    writer.append_binary(decided())

    assert watched.written == [(offset + 4, offset + 280), (offset, offset + 4)]
    abandon(writer)


def test_digest_is_carried_along_with_commits(tmp_path: Path) -> None:
    with open_writer(tmp_path, segment_bytes=1 << 20) as writer:
        for _ in range(2_500):
            writer.append_binary(decided())
            writer.commit()

        assert writer.cursor[1] - writer._segment.chained_offset < writer_module.CHAIN_STEP_BYTES
        writer.roll()

    assert walk(tmp_path).fault is None
