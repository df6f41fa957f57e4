"""Frames: the compiled scan against an independent decoder, every way in which a frame can be wrong, stray frames."""

import struct

import crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.journal.files.frames import (
    BINARY_FRAME_BYTES,
    FrameScanner,
    Stop,
    binary_words,
    build_frame,
    stray_frame_offset,
)
from controlplane.journal.record import FLAG_JSON
from tests.support.journal import decided


def scan(content: bytes, *, next_seq: int = 1, epoch: int = 3, length: int | None = None):
    chunk = np.frombuffer(bytearray(content + bytes(-len(content) % 8)), np.uint8)
    return FrameScanner(chunk.size + 64).scan(
        chunk, len(content) if length is None else length, next_seq=next_seq, epoch=epoch
    )


def resealed(frame: bytes, **changes: int) -> bytes:
    """A frame with other header fields and a CRC that fits them."""
    names = ("length", "crc", "seq", "epoch", "flags")
    fields = dict(zip(names, struct.unpack_from("<IIQII", frame), strict=True)) | changes
    header = struct.pack("<IIQII", *(fields[name] for name in names))
    covered = header[:4] + header[8:] + frame[24 : 24 + fields["length"]]
    return header[:4] + struct.pack("<I", crc32c.crc32c(covered)) + header[8:] + frame[24:]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.binary(min_size=1, max_size=600)), max_size=12), st.integers(1, 2**31 - 1))
def test_scan_finds_exactly_the_frames_that_were_built(entries: list[bytes | None], epoch: int) -> None:
    built = [(decided(5), 0) if entry is None else (entry, FLAG_JSON) for entry in entries]
    frames = [build_frame(entry, seq=9 + i, epoch=epoch, flags=flags) for i, (entry, flags) in enumerate(built)]

    found = scan(b"".join(frames) + bytes(16), next_seq=9, epoch=epoch)

    assert found.stop is Stop.END
    assert found.end == sum(len(frame) for frame in frames)
    assert found.lengths.tolist() == [len(entry) for entry, _ in built]
    assert found.flags.tolist() == [flags for _, flags in built]


def test_binary_frame_has_280_bytes_in_the_order_of_the_contract() -> None:
    entry = decided(5)

    frame = build_frame(entry, seq=2**40, epoch=7, flags=0)

    length, crc, seq, epoch, flags = struct.unpack_from("<IIQII", frame)
    assert (len(frame), length, seq, epoch, flags) == (BINARY_FRAME_BYTES, 256, 2**40, 7, 0)
    assert crc == crc32c.crc32c(frame[:4] + frame[8:24] + entry)
    assert frame[24:] == entry


GOOD = build_frame(b'{"a":1}', seq=1, epoch=3, flags=FLAG_JSON)


@pytest.mark.parametrize(
    ("content", "stop"),
    [
        (bytes(64), Stop.END),
        (b"", Stop.MORE_NEEDED),
        (GOOD[:-1], Stop.MORE_NEEDED),
        (GOOD[:4], Stop.MORE_NEEDED),
        (struct.pack("<I", 49153) + GOOD[4:] + bytes(64), Stop.BAD_LENGTH),
        (GOOD[:8] + b"\x02" + GOOD[9:], Stop.BAD_CRC),
        (resealed(GOOD, seq=2), Stop.BAD_SEQUENCE),
        (resealed(GOOD, epoch=4), Stop.BAD_EPOCH),
        (resealed(GOOD, flags=3), Stop.BAD_FLAGS),
        (resealed(GOOD, flags=0), Stop.BAD_FLAGS),
        (GOOD[:-1] + b"\x01", Stop.BAD_PADDING),
    ],
)
def test_scan_says_why_it_stops(content: bytes, stop: Stop) -> None:
    found = scan(content)

    assert (found.stop, found.offsets.size, found.end) == (stop, 0, 0)


@pytest.mark.parametrize("bit", range(8 * len(GOOD)))
def test_every_single_bit_flip_ends_the_scan(bit: int) -> None:
    content = bytearray(GOOD + bytes(8))
    content[bit // 8] ^= 1 << bit % 8

    assert scan(bytes(content)).offsets.size == 0


def test_binary_words_are_gathered_around_json_entries() -> None:
    entries = [(decided(1), 0), (b'{"a":1}', 1), (decided(2), 0), (decided(3), 0)]
    content = b"".join(build_frame(entry, seq=1 + i, epoch=3, flags=flag) for i, (entry, flag) in enumerate(entries))
    chunk = np.frombuffer(bytearray(content), np.uint8)
    found = scan(content)

    words = binary_words(chunk, found.offsets[found.flags == 0])

    assert words[:, 4].tolist() == [1, 2, 3]


def test_binary_words_of_adjacent_frames_are_not_copied() -> None:
    content = b"".join(build_frame(decided(child), seq=child, epoch=3, flags=0) for child in (1, 2, 3))
    chunk = np.frombuffer(bytearray(content), np.uint8)

    words = binary_words(chunk, scan(content).offsets)

    assert words.base is not None
    assert np.shares_memory(words, chunk)
    assert words[:, 4].tolist() == [1, 2, 3]


def test_stray_frame_with_a_higher_sequence_is_found_behind_garbage() -> None:
    frame = build_frame(decided(1), seq=12, epoch=3, flags=0)
    content = np.frombuffer(bytearray(b"\xff" * 40 + frame + bytes(8)), np.uint8)

    assert stray_frame_offset(content, seq_above=10, epoch=3) == 40


@pytest.mark.parametrize(
    "content",
    [
        bytes(4096),
        b"\xff" * 4096,
        build_frame(decided(1), seq=9, epoch=3, flags=0) + bytes(64),
        build_frame(decided(1), seq=12, epoch=2, flags=0) + bytes(64),
        build_frame(decided(1), seq=12, epoch=3, flags=0)[:-8],
    ],
    ids=["zeros", "ones", "lower sequence", "another epoch", "cut off"],
)
def test_bytes_that_are_no_later_frame_are_not_stray(content: bytes) -> None:
    assert stray_frame_offset(np.frombuffer(bytearray(content), np.uint8), seq_above=10, epoch=3) == -1
