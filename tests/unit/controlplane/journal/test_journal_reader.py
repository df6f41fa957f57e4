"""Reading: ranges, batches, single records, and a tail that is never misled by a writer at work or a killed one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from controlplane.domain.errors import ChainBroken
from controlplane.journal.files.frames import build_frame
from controlplane.journal.files.segment import list_segments, segment_path
from controlplane.journal.reader import Record, Tail, batches, find, scan
from controlplane.journal.walk import walk
from tests.support.journal import abandon, copy_of, damage, decided, open_writer, write_log


def read_all(tail: Tail) -> list[Record]:
    """Everything up to the first poll that brings nothing."""
    seen: list[Record] = []
    while records := tail.poll():
        seen.extend(records)
    return seen


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments with 1000 fixed entries in sequences 2 to 1001."""
    return write_log(tmp_path_factory.mktemp("log"), 1000)


@pytest.mark.parametrize("from_seq", [1, 2, 350, 364, 365, 366, 1001, 1002])
def test_scan_begins_where_it_is_told(log: Path, from_seq: int) -> None:
    assert [record.seq for record in scan(log, from_seq=from_seq)] == list(range(from_seq, 1003))


def test_scan_beyond_the_end_finds_nothing(log: Path) -> None:
    assert list(scan(log, from_seq=2000)) == []


@pytest.mark.parametrize("seq", [1, 2, 700, 1002])
def test_record_is_found_by_sequence(log: Path, seq: int) -> None:
    found = find(log, seq)

    assert found is not None
    assert found == next(record for record in scan(log) if record.seq == seq)


@pytest.mark.parametrize("seq", [0, -5, 1003, 10**12])
def test_sequence_that_the_log_does_not_hold_is_not_found(log: Path, seq: int) -> None:
    assert find(log, seq) is None


def test_batches_give_words_and_sequences_for_numpy(log: Path) -> None:
    parts = [(seqs.copy(), words[:, 4].copy()) for seqs, words in (batch.binary() for batch in batches(log))]

    assert np.concatenate([seqs for seqs, _ in parts]).tolist() == list(range(2, 1002))
    assert np.concatenate([children for _, children in parts]).tolist() == list(range(1, 1001))


def test_absent_directory_is_an_empty_log(tmp_path: Path) -> None:
    assert list(scan(tmp_path / "none")) == []
    assert find(tmp_path / "none", 1) is None
    assert Tail(tmp_path / "none").poll() == []


def test_missing_segment_is_named(log: Path, tmp_path: Path) -> None:
    for number in (0, 2):
        (tmp_path / f"{number:08d}.seg").write_bytes(segment_path(log, number).read_bytes())

    with pytest.raises(ChainBroken, match=r"00000001\.seg, found none"):
        list(scan(tmp_path))


def test_tail_follows_over_segments_and_epochs(tmp_path: Path) -> None:
    tail = Tail(tmp_path)
    seen: list[int] = []
    for _ in range(3):
        with open_writer(tmp_path) as writer:
            for _ in range(400):
                writer.append_binary(decided())
                seen.extend(record.seq for record in tail.poll())
    seen.extend(record.seq for record in read_all(tail))

    assert seen == list(range(1, 1207))


def test_tail_from_the_next_sequence_waits_for_it(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    tail = Tail(tmp_path, from_seq=2)

    assert tail.poll() == []
    writer.append_binary(decided(8))
    assert [record.entry for record in tail.poll()] == [decided(8)]
    writer.close()


def test_tail_takes_no_more_than_it_is_asked_for(tmp_path: Path) -> None:
    write_log(tmp_path, 10)
    tail = Tail(tmp_path)
    sizes = []
    while (batch := tail.poll_batch(count_max=5)) is not None:
        sizes.append((batch.first_seq, batch.count))

    assert sizes == [(1, 5), (6, 5), (11, 2)]


def test_tail_never_shows_a_record_that_is_being_written(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    tail = Tail(tmp_path)
    tail.poll()
    frame = build_frame(decided(9), seq=2, epoch=1, flags=0)
    offset = int(writer.cursor[1])

    damage(tmp_path, 0, offset + 4, frame[4:])
    assert tail.poll() == []
    damage(tmp_path, 0, offset, frame[:4])
    assert [record.entry for record in tail.poll()] == [decided(9)]
    abandon(writer)


@pytest.mark.parametrize("length", range(2, 280, 13))
def test_tail_shows_nothing_of_a_killed_writers_record_and_goes_on_after_recovery(tmp_path: Path, length: int) -> None:
    writer = open_writer(tmp_path)
    tail = Tail(tmp_path)
    tail.poll()
    frame = build_frame(decided(9), seq=2, epoch=1, flags=0)
    damage(tmp_path, 0, int(writer.cursor[1]), frame[:length])
    abandon(writer)

    assert tail.poll() == []
    with open_writer(tmp_path) as second:
        second.append_binary(decided(10))
        seen = tail.poll()

    assert [(record.seq, record.epoch) for record in seen] == [(2, 2), (3, 2), (4, 2)]
    assert seen[-1].entry == decided(10)


@pytest.mark.parametrize("target", ["zeros", "bit"])
def test_damage_in_the_last_segment_ends_scan_and_tail_with_its_place(tmp_path: Path, target: str) -> None:
    write_log(tmp_path, 20)
    damage(tmp_path, 0, 4096 + 5 * 280, bytes(280) if target == "zeros" else b"\xff")

    with pytest.raises(ChainBroken, match=r"00000000\.seg at offset \d+, found .* then whole records"):
        list(scan(tmp_path))
    tail = Tail(tmp_path)
    with pytest.raises(ChainBroken, match=r"00000000\.seg at offset"):
        read_all(tail)


def test_damage_in_a_finished_segment_ends_scan_and_tail_with_its_place(tmp_path: Path) -> None:
    write_log(tmp_path, 500)
    damage(tmp_path, 0, 4096 + 50 * 280, b"\xff")

    with pytest.raises(ChainBroken, match=r"00000000\.seg at offset 1[78]\d+"):
        list(scan(tmp_path))
    tail = Tail(tmp_path)
    with pytest.raises(ChainBroken, match=r"00000000\.seg at offset 1[78]\d+"):
        read_all(tail)


def test_tail_beyond_the_end_says_that_the_log_was_shortened(tmp_path: Path) -> None:
    write_log(tmp_path, 3)

    with pytest.raises(ChainBroken, match="ends at 5"):
        Tail(tmp_path, from_seq=50).poll()


def test_chained_tail_tells_the_same_chain_value_wherever_it_begins(log: Path) -> None:
    values = []
    for from_seq in (1, 200, 500, 1003):
        tail = Tail(log, from_seq, is_chained=True)
        read_all(tail)
        assert tail.open()
        values.append(tail.chain_value())

    assert set(values) == {walk(log).chain}


def test_chain_value_stands_for_every_record_before_it(log: Path) -> None:
    tail = Tail(log, 300, is_chained=True)
    tail.open()
    before = tail.chain_value()
    batch = tail.poll_batch(count_max=1)
    assert batch is not None

    assert tail.chain_value() != before
    assert Tail(log, 300).chain_value() == b""


def test_chained_tail_finds_a_record_rewritten_with_a_fitting_crc_at_the_next_seal(log: Path, tmp_path: Path) -> None:
    copy = copy_of(log, tmp_path / "log")
    record = find(copy, 100)
    assert record is not None
    damage(copy, record.segment, record.offset, build_frame(decided(1, price_ticks=1), seq=100, epoch=1, flags=0))

    with pytest.raises(ChainBroken, match=r"00000001\.seg to carry the seal of the segment before it"):
        read_all(Tail(copy, is_chained=True))
    assert len(read_all(Tail(copy))) == 1002


class RacedTail(Tail):
    """A tail whose writer fills the segment and starts the next one right after a look that found nothing."""

    race = staticmethod(lambda: None)

    def _read(self, reader, count_max):
        batch = super()._read(reader, count_max)
        if batch is None:
            self.race()
        return batch


def test_tail_misses_nothing_when_a_segment_is_finished_between_two_looks(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        tail = RacedTail(tmp_path)
        tail.poll()

        def race() -> None:
            tail.race = lambda: None
            writer.append_binary(decided(8))
            writer.roll()
            writer.append_binary(decided(9))

        tail.race = race
        seen = read_all(tail)

    assert [record.entry for record in seen] == [decided(8), decided(9)]


def test_segments_that_get_their_name_during_a_listing_are_not_missed(tmp_path: Path) -> None:
    """A listing is not a moment: it may show a file and miss an older one that was renamed while it ran."""
    made = (
        "import os, sys\nfor number in range(1200):\n    path = f'{sys.argv[1]}/{number:08d}.seg'\n"
        "    open(path + '.tmp', 'w').close()\n    os.rename(path + '.tmp', path)"
    )
    gaps = []

    with subprocess.Popen([sys.executable, "-c", made, str(tmp_path)]) as program:
        while program.poll() is None:
            numbers = list_segments(tmp_path)
            gaps += [numbers] if numbers != tuple(range(len(numbers))) else []

    assert gaps == []
    assert len(list_segments(tmp_path)) == 1_200


def test_segment_of_an_absurd_number_is_a_missing_file_and_no_long_search(tmp_path: Path) -> None:
    write_log(tmp_path, 3)
    (tmp_path / "99999999.seg").write_bytes(b"")

    assert list_segments(tmp_path) == (0, 99_999_999)
    with pytest.raises(ChainBroken, match=r"00000001\.seg, found none"):
        list(scan(tmp_path))
