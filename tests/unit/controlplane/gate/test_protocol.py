"""Frames: the same messages however the bytes arrive, and one sentence for anything that isn't a message."""

import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain import errors
from controlplane.domain.errors import GateUnavailable, InvalidRequest, NotPermitted
from controlplane.gate import protocol, words
from controlplane.gate.protocol import (
    ANSWER_BYTES_MAX,
    COMMAND_BODY,
    HEADER,
    REQUEST_BYTES_MAX,
    VERDICT_BODY,
    WANTS_ANSWER,
    FrameBuffer,
    MessageType,
)

COMMAND = words.time_words()
FAULTS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ControlPlaneError)
]


def requests() -> FrameBuffer:
    return FrameBuffer(REQUEST_BYTES_MAX)


def test_layout_of_a_command_frame_is_the_published_one() -> None:
    sent = protocol.command_frame(tuple(range(16)), wants_answer=True)

    assert sent[:8] == struct.pack("<II", 128, 2 | 256)
    assert sent[8:] == struct.pack("<16q", *range(16))


def test_layout_of_a_verdict_is_the_published_one() -> None:
    body = protocol.verdict_body(range(32), sequence=77, permit_code=b"p" * 16, epoch=3)

    assert len(body) == 32 * 8 + 8 + 16 + 8
    assert body[256:] == struct.pack("<q", 77) + b"p" * 16 + struct.pack("<q", 3)


@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_frames_are_the_same_however_the_bytes_arrive(cuts: list[int]) -> None:
    stream = (
        protocol.json_frame(MessageType.HELLO, {"program": 1})
        + protocol.command_frame(tuple(range(16)), wants_answer=True)
        + protocol.json_frame(MessageType.CONTROL, {"name": "status"})
        + protocol.command_frame(tuple(range(16, 32)), wants_answer=False)
    )
    buffer, found, at = requests(), [], 0
    while at < len(stream):
        step = cuts[len(found) % len(cuts)]
        found += buffer.feed(stream[at : at + step])
        at += step

    assert [(frame.type, frame.wants_answer) for frame in found] == [
        (MessageType.HELLO, False),
        (MessageType.COMMAND, True),
        (MessageType.CONTROL, False),
        (MessageType.COMMAND, False),
    ]
    assert found[1].body == COMMAND_BODY.pack(*range(16))
    assert buffer.fault is None


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (HEADER.pack(128, 0), "type 0"),
        (HEADER.pack(128, 3), "type 3"),
        (HEADER.pack(128, 8), "type 8"),
        (HEADER.pack(128, 2 | 512), "type 514"),
        (HEADER.pack(128, 0xFFFF_FFFF), "type 4294967295"),
        (HEADER.pack(127, 2), "128 bytes, found 127"),
        (HEADER.pack(129, 2 | WANTS_ANSWER), "128 bytes, found 129"),
        (HEADER.pack(0, 2), "128 bytes, found 0"),
        (HEADER.pack(65_537, 4), "at most 65536 bytes, found 65537"),
        (HEADER.pack(0xFFFF_FFFF, 1), "found 4294967295"),
        (b"GET / HTTP/1.1\r\n\r\n", "type"),
    ],
)
def test_anything_that_is_not_a_message_is_refused_before_its_body_arrives(header: bytes, sentence: str) -> None:
    buffer = requests()

    assert buffer.feed(header) == []

    assert buffer.fault is not None
    assert sentence in str(buffer.fault)


def test_messages_before_a_malformed_one_are_kept_and_nothing_after_it() -> None:
    good = protocol.command_frame(COMMAND, wants_answer=False)
    buffer = requests()

    found = buffer.feed(good + HEADER.pack(5, 99) + good)

    assert len(found) == 1
    assert buffer.fault is not None
    assert buffer.feed(good) == []


@given(noise=st.binary(max_size=4_000))
def test_noise_never_raises_and_never_makes_the_buffer_grow_beyond_one_frame(noise: bytes) -> None:
    buffer = requests()

    for frame in buffer.feed(noise):
        assert len(frame.body) <= REQUEST_BYTES_MAX[frame.type]

    assert buffer.fault is not None or len(buffer._held) <= HEADER.size + protocol.JSON_REQUEST_BYTES_MAX


def test_answers_are_read_with_their_own_bounds() -> None:
    stream = protocol.frame(MessageType.VERDICT, bytes(VERDICT_BODY.size)) + protocol.json_frame(
        MessageType.NOTICE, {"notices": []}
    )
    buffer = FrameBuffer(ANSWER_BYTES_MAX)

    assert [frame.type for frame in buffer.feed(stream)] == [MessageType.VERDICT, MessageType.NOTICE]
    assert buffer.feed(protocol.command_frame(COMMAND, wants_answer=False)) == []
    assert buffer.fault is not None


@pytest.mark.parametrize("kind", [0, 9, 10, 11, 12, 64, 255])
def test_states_time_and_unknown_kinds_are_refused_as_commands(kind: int) -> None:
    body = COMMAND_BODY.pack(kind, *[0] * 15)

    with pytest.raises(InvalidRequest, match=f"found {kind}"):
        protocol.command_words_of(body)


def test_order_with_a_number_beyond_64_bits_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidRequest, match="2\\^63"):
        protocol.command_frame((1, *[0] * 14, 1 << 63), wants_answer=True)


@pytest.mark.case("EVIDENCE-20")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b'"text"',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b"\xff\xfe{}",
        b'{"a": "\xc3\x28"}',
        b'{"a":' + b"[" * 60_000,
        b'{"a": ' + b"9" * 5_000 + b"}",
        b"{} {}",
    ],
    ids=lambda body: repr(body[:16]),
)
def test_body_that_is_not_one_plain_object_is_refused_in_one_sentence(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        protocol.parse_object(body)

    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


def test_answer_that_json_cannot_hold_or_that_is_too_long_is_refused_on_this_side() -> None:
    with pytest.raises(InvalidRequest):
        protocol.json_frame(MessageType.CONTROL_ANSWER, {"value": math.nan})
    with pytest.raises(InvalidRequest):
        protocol.json_frame(MessageType.CONTROL_ANSWER, {"value": object()})
    with pytest.raises(InvalidRequest, match="at most 65536"):
        protocol.json_frame(MessageType.CONTROL, {"name": "x" * 70_000})


@pytest.mark.parametrize("kind", FAULTS)
def test_fault_arrives_as_the_class_that_left(kind: type[errors.ControlPlaneError]) -> None:
    payload = json.loads(json.dumps(protocol.error_payload(kind("what was found"))))

    returned = protocol.error_of(payload)

    assert type(returned) is kind
    assert str(returned) == "what was found"


def test_answer_without_a_fault_carries_none_and_a_malformed_fault_is_still_one() -> None:
    assert protocol.error_of({"state": "ACTIVE"}) is None
    assert isinstance(protocol.error_of({"error": "text"}), GateUnavailable)
    assert isinstance(protocol.error_of({"error": {"type": "SystemExit", "message": "m"}}), GateUnavailable)
    assert isinstance(protocol.error_of({"error": {"type": "__name__", "message": "m"}}), GateUnavailable)
    assert isinstance(protocol.error_of({"error": {"type": "NotPermitted", "message": "m"}}), NotPermitted)
