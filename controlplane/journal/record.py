"""What a record looks like: its kinds, its byte layout down to the bit, and its form for people.

Every number here is part of a format that must be readable for many years: kinds, words and fields are added at the
end, never renumbered and never reused. `docs/reference/journal.md` is generated from this file.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from controlplane.domain.decisions import DenialCode, Outcome, codes_of
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.ids import from_text
from controlplane.domain.measures import Measure
from controlplane.domain.observations import ReferenceSource
from controlplane.domain.orders import CommandKind, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind
from controlplane.domain.scopes import SCOPE_KINDS, ScopeKind
from controlplane.domain.states import TradingState
from controlplane.journal.canonical import JsonValue, canonical_json, parse_canonical


class RecordKind(IntEnum):
    """Every kind of record: below 64 binary entries of a gate, from 64 JSON of any program, from 96 of executors, from
    128 of the web service, from 160 of what is done to the record itself."""

    ORDER_DECIDED = 1
    REPORT_APPLIED = 2
    REFERENCE_APPLIED = 3
    VOLUME_APPLIED = 4
    PHASE_APPLIED = 5
    RATE_APPLIED = 6
    PARENT_OPENED = 7
    PARENT_CLOSED = 8
    SCOPE_STATE_SET = 9
    TIME_PASSED = 10
    DAY_ROLLED = 11
    REPEATS_CLEARED = 12
    MEASURE_APPLIED = 13

    LOG_OPENED = 64
    LOG_CLOSED = 65
    RECORDS_RECOVERED = 66
    SNAPSHOT_LOADED = 67
    HALT_SET = 68
    HALT_LIFTED = 69
    MACHINE_KILLED = 70
    SCOPE_ENABLED = 71
    BREAKER_CHANGED = 72

    PARENT_ACCEPTED = 96
    CHILD_REQUESTED = 97
    CHILD_DENIED = 98
    CHILD_SENT = 99
    CHILD_REFUSED = 100
    REPORT_RECEIVED = 101
    PARENT_COMMANDED = 102
    PARENT_FINISHED = 103
    FEED_QUARANTINED = 104
    TCA_COMPUTED = 105

    ACCOUNTS_MADE = 128
    SIGNED_IN = 129
    SIGN_IN_REFUSED = 130
    SIGNED_OUT = 131
    STOP_PRESSED = 132
    STOP_REASON_GIVEN = 133
    LIFT_REQUESTED = 134
    LIFT_CONFIRMED = 135
    LIFT_WITHDRAWN = 136

    RECORDS_EXPORTED = 160
    RECORDS_RETIRED = 161

    @property
    def text(self) -> str:
        """Name in JSON, in exports and on pages: past tense, `OrderDecided`."""
        return "".join(word.capitalize() for word in self.name.split("_"))

    @property
    def is_binary(self) -> bool:
        return self < FIRST_JSON_KIND


FIRST_JSON_KIND: Final = 64
KIND_OF_TEXT: Final[dict[str, RecordKind]] = {kind.text: kind for kind in RecordKind}

MAGIC: Final = b"CPJOURNL"
FORMAT_VERSION: Final = 1
HEADER_BYTES: Final = 4096
HEADER_CRC_OFFSET: Final = HEADER_BYTES - 4


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a header or frame, for readers of the format."""

    offset: int
    form: str
    name: str
    meaning: str


HEADER_STRUCT: Final = struct.Struct("<8sIIIIQq32s32s")
HEADER_FIELDS: Final[tuple[Field, ...]] = (
    Field(0, "8 bytes", "mark", "says that this is a segment"),
    Field(8, "u32", "version", "of the format"),
    Field(12, "u32", "durability", "1 process, 2 disk: what a committed record has survived"),
    Field(16, "u32", "epoch", "run of the writer, from 1; never goes back"),
    Field(20, "u32", "reserved", "0"),
    Field(24, "u64", "first_seq", "sequence of the first record"),
    Field(32, "i64", "created_ns", "wall time of creation, nanoseconds since the epoch in UTC"),
    Field(40, "32 bytes", "log", "name of the log in ASCII, padded with zeros"),
    Field(72, "32 bytes", "previous_chain", "chain value of the segment before, zeros for the first"),
    Field(104, "3988 bytes", "unused", "0"),
    Field(HEADER_CRC_OFFSET, "u32", "crc", "CRC32C over the 4092 bytes before it"),
)

FRAME_STRUCT: Final = struct.Struct("<IIQII")
FRAME_HEADER_BYTES: Final = 24
FRAME_ALIGNMENT: Final = 8
FLAG_JSON: Final = 1
FRAME_FIELDS: Final[tuple[Field, ...]] = (
    Field(0, "u32", "length", "of the entry in bytes; 0 means that no frame was written here; written last"),
    Field(4, "u32", "crc", "see below"),
    Field(8, "u64", "sequence", "number of the record in its log"),
    Field(16, "u32", "epoch", "the same as its segment's"),
    Field(20, "u32", "flags", "bit 0: 0 fixed entry, 1 JSON entry; the others are 0"),
    Field(24, "bytes", "entry", "as long as the length says, then padding"),
)

ENTRY_BYTES: Final = 256
WORD_COUNT: Final = 32
JSON_BYTES_MAX: Final = 48 * 1024
SCHEMA: Final = 2
HEADROOM_SCHEMA: Final = 1  # its word 22 repeated limit minus measured, where schema 2 keeps the second mask

(
    WORD_HEAD, WORD_WALL_NS, WORD_MONOTONIC_NS, WORD_REQUEST_ID, WORD_CHILD_ID, WORD_PARENT_ID, WORD_ROUTE, WORD_SIDE,
    WORD_TYPE_AND_TIME_IN_FORCE, WORD_QUANTITY_LOTS, WORD_PRICE_TICKS, WORD_TRIGGER_TICKS, WORD_MODEL_DIGEST,
    WORD_EXECUTION_ID, WORD_FEE_MICRO, WORD_EXCHANGE_NS, WORD_SNAPSHOT_VERSION, WORD_FAILED_CHECKS, WORD_FAILED_SCOPES,
    WORD_BINDING_SCOPE, WORD_MEASURED, WORD_LIMIT, WORD_FAILED_CHECKS_MORE, WORD_LARGEST_PASSING_LOTS,
    WORD_REFERENCE_BID_TICKS, WORD_REFERENCE_ASK_TICKS, WORD_REFERENCE_AGE_NS, WORD_PERMIT_EXPIRY_NS,
    WORD_NOTIONAL_MICRO, WORD_FENCE, WORD_DIGEST_BEFORE, WORD_DIGEST_AFTER,
) = range(WORD_COUNT)  # fmt: skip


class Form(IntEnum):
    """How a word is written for people."""

    NUMBER = 1  # a JSON integer; small by nature
    TEXT = 2  # decimal text, since it may pass 2^53
    HEX = 3  # 16 hexadecimal digits: identifiers and digests
    PACKED = 4  # several fields or a mask; `describe_entry` takes it apart


@dataclass(frozen=True, slots=True)
class Word:
    """One 8-byte little-endian signed word of the fixed entry."""

    name: str
    form: Form
    meaning: str


# A record of another kind than a decision uses the same words where they apply and leaves the others zero.
WORDS: Final[tuple[Word, ...]] = (
    Word("head", Form.PACKED, "kind, bits 0-7; subkind, 8-15; outcome, 16-31; binding code, 32-47; schema, 56-63"),
    Word("wall_ns", Form.TEXT, "wall time, nanoseconds since the epoch in UTC"),
    Word("monotonic_ns", Form.TEXT, "time of this machine that never steps, nanoseconds"),
    Word("request_id", Form.HEX, "identifier of the request"),
    Word("child_id", Form.HEX, "child order"),
    Word("parent_id", Form.HEX, "parent order"),
    Word("route", Form.TEXT, "handle of desk, strategy, model, instrument, venue and counterparty in the snapshot"),
    Word("side", Form.TEXT, "+1 buy, -1 sell"),
    Word("order_type", Form.PACKED, "order type, bits 0-7; time in force, bits 8-15"),
    Word("quantity_lots", Form.TEXT, "total quantity of a command, or quantity of this report"),
    Word("price_ticks", Form.TEXT, "limit price, or price of this report"),
    Word("trigger_ticks", Form.TEXT, "stop trigger, 0 when there is none"),
    Word("model_digest", Form.HEX, "first 63 bits of the SHA-256 of the model's bytes; of a rejection, of its words"),
    Word("execution_id", Form.TEXT, "venue's number of a fill"),
    Word("fee_micro", Form.TEXT, "fee of this fill, millionths of the reporting currency"),
    Word("exchange_ns", Form.TEXT, "venue's time, nanoseconds since the epoch in UTC"),
    Word("snapshot_version", Form.TEXT, "version of the limits used"),
    Word("failed_checks", Form.PACKED, "mask of failed checks with codes 1 to 63; bit = denial code - 1"),
    Word("failed_scopes", Form.PACKED, "mask of the scope kinds at which a check failed; bit = scope kind"),
    Word("binding_scope", Form.PACKED, "scope kind that decided, bits 0-7; its node, from bit 8"),
    Word("measured", Form.TEXT, "value that the binding check compared, in the unit of the check"),
    Word("limit", Form.TEXT, "its limit, same unit"),
    Word("failed_checks_more", Form.PACKED, "mask of failed checks with codes from 64 on; bit = denial code - 64"),
    Word("largest_passing_lots", Form.TEXT, "largest total quantity that would have passed"),
    Word("reference_bid_ticks", Form.TEXT, "best bid used as reference"),
    Word("reference_ask_ticks", Form.TEXT, "best ask used as reference"),
    Word("reference_age_ns", Form.TEXT, "age of the reference at the decision, nanoseconds"),
    Word("permit_expiry_ns", Form.TEXT, "wall time after which the permit is void; 0 when none was issued"),
    Word("notional_micro", Form.TEXT, "notional of the order, millionths of the reporting currency"),
    Word("fence", Form.TEXT, "fence number of the machine at the decision"),
    Word("digest_before", Form.HEX, "64-bit digest of the gate's state before this record"),
    Word("digest_after", Form.HEX, "64-bit digest of the gate's state after it"),
)

RECORD_DTYPE: Final = np.dtype([(word.name, "<i8") for word in WORDS])
ID_FIELDS: Final = ("request_id", "child_id", "parent_id")

_SUBKINDS: Final[dict[RecordKind, type[IntEnum]]] = {
    RecordKind.ORDER_DECIDED: CommandKind,
    RecordKind.REPORT_APPLIED: ReportKind,
    RecordKind.REFERENCE_APPLIED: ReferenceSource,
    RecordKind.SCOPE_STATE_SET: TradingState,
    RecordKind.MEASURE_APPLIED: Measure,
}


@dataclass(frozen=True, slots=True)
class Head:
    """The fields packed into the first word; plain numbers, since a journal may hold newer ones than we know.

    `code` is the denial code of the check that decided: the first failed one of a denial, the tightest limit of an
    allowed order.
    """

    kind: int
    subkind: int
    outcome: int
    code: int
    schema: int


def pack_head(kind: RecordKind, *, subkind: int = 0, outcome: int = 0, code: int = 0) -> int:
    """Return the first word of a fixed entry."""
    return int(kind) | subkind << 8 | outcome << 16 | code << 32 | SCHEMA << 56


def unpack_head(word: int) -> Head:
    """Return the fields of the first word."""
    return Head(word & 0xFF, word >> 8 & 0xFF, word >> 16 & 0xFFFF, word >> 32 & 0xFFFF, word >> 56 & 0xFF)


def entry_words(entry: bytes) -> tuple[int, ...]:
    """Return the 32 signed words of a fixed entry."""
    if len(entry) != ENTRY_BYTES:
        raise InvalidRequest(f"Expected a fixed entry of {ENTRY_BYTES} bytes, found {len(entry)}.")
    return _ENTRY_STRUCT.unpack(entry)


def pack_entry(kind: RecordKind, *, subkind: int = 0, outcome: int = 0, code: int = 0, **words: int) -> bytes:
    """Return the 256 bytes of a fixed entry from its words by name; words that are not named are zero."""
    values = [0] * WORD_COUNT
    values[WORD_HEAD] = pack_head(kind, subkind=subkind, outcome=outcome, code=code)
    for name, value in words.items():
        values[_INDEX_OF_WORD[name]] = value
    return _ENTRY_STRUCT.pack(*values)


def encode_json(payload: Mapping[str, object]) -> bytes:
    """Return the canonical bytes of a JSON record.

    Errors
        InvalidRequest when the kind isn't a JSON kind, `wall_ns` isn't decimal text, an identifier isn't 16 hexadecimal
        digits, or the payload has no canonical form; names the field
    """
    kind = KIND_OF_TEXT.get(str(payload.get("kind")))
    if kind is None or kind.is_binary:
        raise InvalidRequest(
            f"Expected 'kind' to name a JSON record kind, found {payload.get('kind')!r}; RecordKind lists them.",
            field="kind",
        )
    wall_ns = payload.get("wall_ns")
    if not isinstance(wall_ns, str) or not wall_ns.isascii() or not wall_ns.isdigit() or int(wall_ns) >= 2**63:
        raise InvalidRequest(f"Expected 'wall_ns' as decimal text, found {wall_ns!r}.", field="wall_ns")
    for name in ID_FIELDS:
        if name in payload:
            _check_identifier(name, payload[name])
    return canonical_json(payload)


def decode_json(entry: bytes) -> dict[str, JsonValue]:
    """Return the payload of a JSON record.

    Errors
        InvalidRequest when the bytes aren't the canonical form of a record as `encode_json` writes it; a kind this code
        doesn't know is kept, since a newer program may have written it
    """
    payload = parse_canonical(entry)
    kind = payload.get("kind")
    if not isinstance(kind, str):
        raise InvalidRequest("Expected a record with 'kind' as text, found none.", field="kind")
    known = KIND_OF_TEXT.get(kind, RecordKind.LOG_OPENED)
    encode_json({**payload, "kind": known.text})
    return payload


def describe_entry(entry: bytes, *, flags: int) -> dict[str, JsonValue]:
    """Return a record for people and exports: identifiers as hexadecimal text, enumerations by name.

    Every word has one type whatever its value: numbers that may pass 2^53 are decimal text. Values that no enumeration
    knows are written as decimal text, so that a malformed request is shown as it was recorded.
    """
    if flags & FLAG_JSON:
        return decode_json(entry)
    words = entry_words(entry)
    head = unpack_head(words[WORD_HEAD])
    subkinds = _SUBKINDS.get(RecordKind(head.kind)) if head.kind in _KNOWN_KINDS else None
    described: dict[str, JsonValue] = {
        "kind": kind_text(head.kind),
        "subkind": _name(subkinds, head.subkind),
        "outcome": _name(Outcome, head.outcome) if head.outcome else None,
        "code": _name(DenialCode, head.code) if head.code else None,
        "schema": head.schema,
    }
    for word, value in zip(WORDS, words, strict=True):
        if word.form is Form.HEX:
            described[word.name] = f"{value & 0xFFFF_FFFF_FFFF_FFFF:016x}"
        elif word.form is Form.TEXT:
            described[word.name] = str(value)
    order_word, scope_word = words[WORD_TYPE_AND_TIME_IN_FORCE], words[WORD_BINDING_SCOPE]
    described["side"] = _name(Side, words[WORD_SIDE])
    described["order_type"] = _name(OrderType, order_word & 0xFF)
    described["time_in_force"] = _name(TimeInForce, order_word >> 8 & 0xFF)
    described["failed_checks"] = [code.name for code in failed_codes(words)]
    described["failed_scopes"] = [kind.name for kind in scope_kinds_of(words[WORD_FAILED_SCOPES])]
    described["headroom"] = str(words[WORD_LIMIT] - words[WORD_MEASURED])
    described["binding_scope"] = {"kind": _scope_name(scope_word & 0xFF), "node": str(scope_word >> 8)}
    return described


def failed_codes(words: Sequence[int]) -> tuple[DenialCode, ...]:
    """Return every failed check of a decision, in order of precedence, from both masks of its 32 words."""
    is_masked = words[WORD_HEAD] >> 56 & 0xFF > HEADROOM_SCHEMA
    return codes_of(words[WORD_FAILED_CHECKS], words[WORD_FAILED_CHECKS_MORE] if is_masked else 0)


def kind_text(number: int) -> str:
    """Return the name of a record kind; its number as text when this code doesn't know it."""
    return RecordKind(number).text if number in _KNOWN_KINDS else str(number)


def scope_kinds_of(mask: int) -> tuple[ScopeKind, ...]:
    """Return the scope kinds whose bits are set, highest level first."""
    return tuple(kind for kind in SCOPE_KINDS if mask >> kind & 1)


def _check_identifier(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidRequest(f"Expected {name!r} as 16 hexadecimal digits, found {value!r}.", field=name)
    if from_text(value) >= 2**63:
        raise InvalidRequest(f"Expected {name!r} below 2^63, found {value}.", field=name)


def _name(names: type[IntEnum] | None, number: int) -> str:
    if names is None:
        return str(number)
    try:
        return names(number).name
    except ValueError:
        return str(number)


def _scope_name(number: int) -> str:
    return SCOPE_KINDS[number].name if number < len(SCOPE_KINDS) else str(number)


_ENTRY_STRUCT = struct.Struct(f"<{WORD_COUNT}q")
_INDEX_OF_WORD = {word.name: index for index, word in enumerate(WORDS)}
_KNOWN_KINDS = frozenset(int(kind) for kind in RecordKind)
