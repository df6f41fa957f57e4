"""Records as rows of PostgreSQL's binary COPY format: fixed entries by numpy, thousands at a time; JSON ones singly."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from controlplane.domain.ids import from_text
from controlplane.journal.canonical import JsonValue
from controlplane.journal.record import (
    ENTRY_BYTES,
    ID_FIELDS,
    KIND_OF_TEXT,
    WORD_CHILD_ID,
    WORD_HEAD,
    WORD_PARENT_ID,
    WORD_REQUEST_ID,
    WORD_ROUTE,
    WORD_WALL_NS,
    decode_json,
)

if TYPE_CHECKING:
    # Brings the compiled scan with it, which a program that only searches doesn't need.
    from controlplane.journal.files.frames import Int64s
    from controlplane.journal.reader import Batch, Record

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = struct.pack(">h", -1)
COLUMNS = (
    "log", "seq", "epoch", "flags", "kind", "subkind", "outcome", "code", "wall_ns", "request_id", "child_id",
    "parent_id", "route", "entry", "document",
)  # fmt: skip
JSONB_VERSION = b"\x01"
PART_ROWS = 1_024

# Kind 0 stands for a JSON kind that this program doesn't know; its name is in the document.
UNKNOWN_KIND = 0
# Kind, outcome and binding code inside the first word of a fixed entry.
COUNTED_BITS = 0x0000_FFFF_FFFF_00FF

CountKey: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Rows:
    """Part of a log in the form in which it is copied.

    Fields
        parts   bytes of complete rows, made while they are taken: the server works on one part while we make the next
        counts  rows by kind, outcome and binding code
    """

    parts: Iterator[bytes]
    counts: Counter[CountKey]


def rows_of(log: str, batch: Batch, *, without: frozenset[int] = frozenset()) -> Rows:
    """Return the rows of a batch, in no particular order.

    Arguments
        without  sequences to leave out

    Errors
        InvalidRequest when a JSON entry isn't a record
    """
    seqs, words = batch.binary()
    if without:
        is_wanted = ~np.isin(seqs, list(without))
        seqs, words = seqs[is_wanted], words[is_wanted]
    counts: Counter[CountKey] = Counter()
    heads, numbers = np.unique(words[:, WORD_HEAD] & COUNTED_BITS, return_counts=True)
    for head, number in zip(heads.tolist(), numbers.tolist(), strict=True):
        counts[head & 0xFF, head >> 16 & 0xFFFF, head >> 32 & 0xFFFF] += number
    json_rows: list[bytes] = []
    for record in batch.json_records():
        if record.seq not in without:
            payload = decode_json(record.entry)
            json_rows.append(_json_row(log.encode(), record, payload))
            counts[_kind_number(payload), 0, 0] += 1
    return Rows(_parts(log.encode(), batch.epoch, seqs, words, json_rows), counts)


def _parts(log: bytes, epoch: int, seqs: Int64s, words: Int64s, json_rows: list[bytes]) -> Iterator[bytes]:
    for start in range(0, seqs.size, PART_ROWS):
        part = slice(start, start + PART_ROWS)
        yield _fixed_rows(log, epoch, seqs[part], words[part])
    yield b"".join(json_rows)


def _fixed_rows(log: bytes, epoch: int, seqs: Int64s, words: Int64s) -> bytes:
    heads = words[:, WORD_HEAD]
    values: dict[str, object] = {
        "log": log,
        "seq": seqs,
        "epoch": epoch,
        "flags": 0,
        "kind": heads & 0xFF,
        "subkind": heads >> 8 & 0xFF,
        "outcome": heads >> 16 & 0xFFFF,
        "code": heads >> 32 & 0xFFFF,
        "wall_ns": words[:, WORD_WALL_NS],
        "request_id": words[:, WORD_REQUEST_ID],
        "child_id": words[:, WORD_CHILD_ID],
        "parent_id": words[:, WORD_PARENT_ID],
        "route": words[:, WORD_ROUTE],
        "entry": np.ascontiguousarray(words).view(np.uint8),
    }
    layout = _layout(len(log))
    rows = np.zeros(seqs.size, layout)
    rows["fields"] = len(COLUMNS)
    for name, value in values.items():
        rows[name] = value
        rows[f"{name}_length"] = layout[name].itemsize
    rows["document_length"] = -1
    return rows.tobytes()


def _layout(log_length: int) -> np.dtype[np.void]:
    """One row as PostgreSQL reads it: how many fields, then length and big-endian value of each; -1 is NULL."""
    forms: dict[str, object] = {
        "log": f"S{log_length}",
        "seq": ">i8",
        "epoch": ">i4",
        "flags": ">i2",
        "kind": ">i2",
        "subkind": ">i2",
        "outcome": ">i4",
        "code": ">i4",
        "wall_ns": ">i8",
        "request_id": ">i8",
        "child_id": ">i8",
        "parent_id": ">i8",
        "route": ">i8",
        "entry": (np.uint8, (ENTRY_BYTES,)),
    }
    fields: list[tuple[str, object]] = [("fields", ">i2")]
    for name, form in forms.items():
        fields += [(f"{name}_length", ">i4"), (name, form)]
    return np.dtype([*fields, ("document_length", ">i4")])


_JSON_HEAD = struct.Struct(">i q i i i h i h i h i i i i i q i q i q i q i q".replace(" ", ""))


def _json_row(log: bytes, record: Record, payload: dict[str, JsonValue]) -> bytes:
    identifiers = [_identifier(payload, name) for name in ID_FIELDS]
    wall_ns = int(str(payload["wall_ns"]))
    numbers = _JSON_HEAD.pack(
        8, record.seq, 4, record.epoch, 2, record.flags, 2, _kind_number(payload), 2, 0, 4, 0, 4, 0, 8, wall_ns,
        8, identifiers[0], 8, identifiers[1], 8, identifiers[2], 8, 0,
    )  # fmt: skip
    document = JSONB_VERSION + _storable(record.entry, payload)
    return b"".join(
        (
            struct.pack(">hi", len(COLUMNS), len(log)),
            log,
            numbers,
            struct.pack(">i", len(record.entry)),
            record.entry,
            struct.pack(">i", len(document)),
            document,
        )
    )


def _kind_number(payload: dict[str, JsonValue]) -> int:
    return int(KIND_OF_TEXT.get(str(payload["kind"]), UNKNOWN_KIND))


def _identifier(payload: dict[str, JsonValue], name: str) -> int:
    value = payload.get(name)
    return from_text(value) if isinstance(value, str) else 0


def _storable(entry: bytes, payload: dict[str, JsonValue]) -> bytes:
    """The document for searching; jsonb has no zero character and shows a replacement, while the entry keeps it."""
    if b"\\u0000" not in entry:
        return entry
    return json.dumps(_without_zero(payload), ensure_ascii=False).encode()


def _without_zero(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_without_zero(item) for item in value]
    if isinstance(value, dict):
        return {name.replace("\0", "\ufffd"): _without_zero(item) for name, item in value.items()}
    return value
