"""Messages between the gate and the programs beside it, over a Unix stream socket of one machine and one user.

    frame    u32 length of the body | u32 type, plus 256 when an answer is asked for | body, little endian
    HELLO    JSON {"program", "wants_permit_key"}      answered by HELLO JSON: gate, run, names, permit key
    COMMAND  16 int64 words (`words.py`)               answered by VERDICT when asked
    VERDICT  32 int64 words of the record | i64 sequence | 16 bytes permit code | i64 epoch
    CONTROL  JSON {"name", ...}                        answered by CONTROL_ANSWER JSON
    NOTICE   JSON {"notices": [...]}, pushed by the gate between answers
    ERROR    JSON {"error": {"type", "message"}}; the gate closes the connection after it

Answers come in the order of the questions on the same connection. Whatever breaks this form is refused with one
sentence; nothing here raises anything but InvalidRequest.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from controlplane.domain import errors
from controlplane.domain.errors import ControlPlaneError, GateUnavailable, InvalidRequest
from controlplane.domain.ids import PROGRAM_MAX
from controlplane.gate import words

VERSION = 1
HEADER = struct.Struct("<II")
WANTS_ANSWER = 0x100
COMMAND_BODY = struct.Struct(f"<{words.WORD_COUNT}q")
COMMAND_FRAME = struct.Struct(f"<II{words.WORD_COUNT}q")
ENTRY_BYTES = 256
VERDICT_BODY = struct.Struct("<32qq16sq")
# Headers of the two messages of fixed size, as one little-endian word each: the length, and the type from bit 32 on.
COMMAND_TAG, VERDICT_HEADER = COMMAND_BODY.size | 2 << 32, VERDICT_BODY.size | 3 << 32
COMMAND_BYTES, VERDICT_BYTES = HEADER.size + COMMAND_BODY.size, HEADER.size + VERDICT_BODY.size
JSON_REQUEST_BYTES_MAX = 64 * 1024
JSON_ANSWER_BYTES_MAX = 8 * 1024 * 1024
# Kinds that a program may send. States, time and the day's roll are the gate's own to write.
KINDS_FROM_OUTSIDE = frozenset({*range(words.ORDER_DECIDED, words.PARENT_CLOSED + 1), words.MEASURE_APPLIED})


TEXT_LETTERS_MAX = 1_000
NUMBER_FIELDS = frozenset({"fence"})
# Of each control request: the fields it must have and those it may have; all but those above are text.
CONTROL_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "status": ((), ()),
    "utilisation": ((), ()),
    "working": ((), ()),
    "live_orders": ((), ()),
    "breakers": ((), ()),
    "beat": (("source",), ()),
    "metrics": ((), ()),
    "set_state": (("scope", "state", "reason", "by"), ("idempotency_key",)),
    "lift": (("scope", "reason", "by"), ("second", "fence", "idempotency_key")),
    "kill": (("scope", "reason", "by"), ("idempotency_key",)),
}


class MessageType(IntEnum):
    HELLO = 1
    COMMAND = 2
    VERDICT = 3
    CONTROL = 4
    CONTROL_ANSWER = 5
    NOTICE = 6
    ERROR = 7


VERDICT = MessageType.VERDICT
REQUEST_BYTES_MAX = {
    MessageType.HELLO: JSON_REQUEST_BYTES_MAX,
    MessageType.COMMAND: COMMAND_BODY.size,
    MessageType.CONTROL: JSON_REQUEST_BYTES_MAX,
}
ANSWER_BYTES_MAX = {
    MessageType.HELLO: JSON_ANSWER_BYTES_MAX,
    MessageType.VERDICT: VERDICT_BODY.size,
    MessageType.CONTROL_ANSWER: JSON_ANSWER_BYTES_MAX,
    MessageType.NOTICE: JSON_ANSWER_BYTES_MAX,
    MessageType.ERROR: JSON_REQUEST_BYTES_MAX,
}


class Frame(NamedTuple):
    """One message: its type, whether an answer is asked for, and its body."""

    type: MessageType
    wants_answer: bool
    body: bytes


class FrameBuffer:
    """Cuts a stream into frames, however the bytes arrive; holds at most one incomplete frame.

    Arguments
        bytes_max  the types that may arrive here, with the longest body of each

    `fault` says what was wrong with the frame that could not be read; nothing after it is.
    """

    def __init__(self, bytes_max: Mapping[MessageType, int]) -> None:
        self.fault: InvalidRequest | None = None
        self._bytes_max = bytes_max
        self._held = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether the stream stands between two frames, none of which was at fault."""
        return not self._held and self.fault is None

    def feed(self, chunk: bytes | memoryview) -> list[Frame]:
        """Return the frames that this chunk completed, oldest first, up to the first that has another form."""
        held = self._held
        if not held and len(chunk) == VERDICT_BYTES and self.fault is None and VERDICT in self._bytes_max:
            # Nearly everything that a program gets is one verdict.
            length, tag = HEADER.unpack_from(chunk)
            if length == VERDICT_BODY.size and tag == VERDICT:
                return [Frame(VERDICT, False, bytes(chunk[HEADER.size :]))]
        held += chunk
        frames: list[Frame] = []
        at = 0
        while self.fault is None and len(held) - at >= HEADER.size:
            length, tag = HEADER.unpack_from(held, at)
            self.fault = self._fault_of(tag, length)
            if self.fault is not None or len(held) - at - HEADER.size < length:
                break
            at += HEADER.size
            frames.append(
                Frame(MessageType(tag & ~WANTS_ANSWER), bool(tag & WANTS_ANSWER), bytes(held[at : at + length]))
            )
            at += length
        del held[:at]
        return frames

    def _fault_of(self, tag: int, length: int) -> InvalidRequest | None:
        number = tag & ~WANTS_ANSWER
        kind = MessageType(number) if number in _TYPES else None
        if kind is None or kind not in self._bytes_max:
            names = ", ".join(known.name for known in self._bytes_max)
            return InvalidRequest(
                f"Expected a message of type {names}, found type {tag}; both ends must speak protocol {VERSION}.",
                field="type",
            )
        bound = self._bytes_max[kind]
        if length > bound or (kind in _FIXED_TYPES and length != bound):
            what = f"{bound} bytes" if kind in _FIXED_TYPES else f"at most {bound} bytes"
            return InvalidRequest(
                f"Expected a {kind.name} body of {what}, found {length}; both ends must speak protocol {VERSION}.",
                field="length",
            )
        return None


def frame(kind: MessageType, body: bytes, *, wants_answer: bool = False) -> bytes:
    """Return the bytes of one message."""
    return HEADER.pack(len(body), kind | (WANTS_ANSWER if wants_answer else 0)) + body


def json_frame(kind: MessageType, payload: Mapping[str, object]) -> bytes:
    """Return the bytes of one JSON message; InvalidRequest when it holds what JSON can't or is too long."""
    bound = JSON_REQUEST_BYTES_MAX if kind is MessageType.CONTROL else JSON_ANSWER_BYTES_MAX
    try:
        body = json.dumps(payload, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"Expected values that JSON can hold, found {error}; send whole numbers and text."
        ) from None
    if len(body) > bound:
        raise InvalidRequest(
            f"Expected a {kind.name} message of at most {bound} bytes, found {len(body)}; ask for less."
        )
    return frame(kind, body)


def command_frame(command: words.Words, *, wants_answer: bool) -> bytes:
    """Return the bytes of a COMMAND; InvalidRequest when a word doesn't fit 64 bits."""
    tag = MessageType.COMMAND | WANTS_ANSWER if wants_answer else MessageType.COMMAND
    try:
        return COMMAND_FRAME.pack(COMMAND_BODY.size, tag, *command)
    except struct.error:
        raise InvalidRequest(
            "Expected whole numbers below 2^63 in every field, found one beyond; no gate accepts it, correct the order."
        ) from None


def command_words_of(body: bytes) -> words.Words:
    """Return the 16 words of a COMMAND body.

    Errors
        InvalidRequest when its kind isn't one that a program may send; anything else about it is the gate's to decide
    """
    found = COMMAND_BODY.unpack(body)
    kind = found[0] & 0xFF
    if kind not in KINDS_FROM_OUTSIDE:
        raise InvalidRequest(
            f"Expected a command of kind 1 to {words.PARENT_CLOSED} or {words.MEASURE_APPLIED}, found {kind}; "
            "states are for control requests.",
            field="kind",
        )
    return found


def verdict_body(entry: Sequence[int], *, sequence: int, permit_code: bytes, epoch: int) -> bytes:
    """Return the body of a VERDICT from the record that the gate just wrote."""
    return VERDICT_BODY.pack(*entry, sequence, permit_code, epoch)


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Errors
        InvalidRequest for anything that isn't one JSON object in UTF-8: duplicate keys, NaN, infinity, too deep
    """
    try:
        found = json.loads(body, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        # The decoders' errors are ValueErrors; their text may quote the body, so only its start is kept.
        raise InvalidRequest(
            f"Expected one JSON object in UTF-8, found {str(error)[:120]}; correct the message."
        ) from None
    if not isinstance(found, dict):
        raise InvalidRequest(f"Expected one JSON object, found {type(found).__name__}; correct the message.")
    return found


def hello_of(body: bytes) -> tuple[int, bool]:
    """Return the program's number and whether it wants the permit key.

    Errors
        InvalidRequest for another protocol or a number that no program has
    """
    found = parse_object(body)
    program, wants_key = found.get("program"), found.get("wants_permit_key", False)
    if found.get("protocol") != VERSION:
        raise InvalidRequest(
            f"Expected protocol {VERSION}, found {str(found.get('protocol'))[:40]}; run both ends from one version.",
            field="protocol",
        )
    if type(program) is not int or not 0 <= program <= PROGRAM_MAX or not isinstance(wants_key, bool):
        raise InvalidRequest(
            f"Expected program as a number from 0 to {PROGRAM_MAX}, found {str(program)[:40]}; correct the program.",
            field="program",
        )
    return program, wants_key


def control_request_of(body: bytes) -> tuple[str, dict[str, Any]]:
    """Return name and fields of a CONTROL body.

    Errors
        InvalidRequest for an unknown name, a missing or unknown field, and a field that isn't of its kind
    """
    found = parse_object(body)
    name = found.pop("name", None)
    if not isinstance(name, str) or name not in CONTROL_FIELDS:
        raise InvalidRequest(
            f"Expected a control request named {', '.join(CONTROL_FIELDS)}, found {str(name)[:40]!r}.", field="name"
        )
    required, optional = CONTROL_FIELDS[name]
    for field in (*required, *found):
        if field not in (*required, *optional):
            raise InvalidRequest(f"The control request {name} has no field {field[:40]!r}; leave it out.", field=field)
        if not _is_of_its_kind(field, found.get(field)):
            kind = "a whole number" if field in NUMBER_FIELDS else f"text of at most {TEXT_LETTERS_MAX} letters"
            raise InvalidRequest(
                f"Expected {field} of {name} as {kind}, found {str(found.get(field))[:40]!r}.", field=field
            )
    return name, found


def _is_of_its_kind(field: str, value: object) -> bool:
    if field in NUMBER_FIELDS:
        return type(value) is int and 0 <= value < 1 << 63
    return isinstance(value, str) and len(value) <= TEXT_LETTERS_MAX


def error_payload(error: ControlPlaneError) -> dict[str, object]:
    """Return a fault as it travels: the name of its class and its sentence."""
    return {"error": {"type": type(error).__name__, "message": str(error)}}


def error_of(payload: Mapping[str, Any]) -> ControlPlaneError | None:
    """Return the fault that a payload carries, of the class of the same name, or None when it carries none."""
    found = payload.get("error")
    if found is None:
        return None
    fields = found if isinstance(found, dict) else {}
    message = str(fields.get("message", "no sentence"))
    kind = getattr(errors, str(fields.get("type")), None)
    if not (isinstance(kind, type) and issubclass(kind, ControlPlaneError)):
        kind = GateUnavailable
    return kind(message)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the same key twice")
    return found


def _refuse_constant(name: str) -> object:
    raise ValueError(f"the number {name}")


_TYPES = frozenset(int(kind) for kind in MessageType)
_FIXED_TYPES = frozenset({MessageType.COMMAND, MessageType.VERDICT})
