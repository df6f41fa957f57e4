"""Records as rows for people: which columns there are, and what stands in them."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from controlplane.journal.canonical import JsonValue, canonical_json
from controlplane.journal.files.segment_reader import Record
from controlplane.journal.record import WORDS, Form, describe_entry, entry_words

# A cell that begins with one of these is a formula to spreadsheet programs, also in their full-width forms.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
NEUTRAL = "'"

Cell = str | int | None


class ColumnKind(StrEnum):
    """What a column holds: whole numbers of at most 64 signed bits, or text."""

    NUMBER = "number"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an export."""

    name: str
    kind: ColumnKind
    meaning: str


_LISTS = ("failed_checks", "failed_scopes")
# Stated by the first columns, or shown by name there.
_ELSEWHERE = ("head", "wall_ns")
_PACKED = {
    "order_type": "order type",
    "failed_checks": "codes of all failed checks, separated by spaces",
    "failed_scopes": "kinds of the scopes at which a check failed, separated by spaces",
    "binding_scope": "kind and node of the scope that decided",
}

COLUMNS: tuple[Column, ...] = (
    Column("log", ColumnKind.TEXT, "name of the log"),
    Column("leaf_index", ColumnKind.NUMBER, "index in the signed tree, from 0; the sequence is one more"),
    Column("epoch", ColumnKind.NUMBER, "run of the writer"),
    Column("kind", ColumnKind.TEXT, "kind of record"),
    Column("wall_ns", ColumnKind.NUMBER, "wall time, nanoseconds since the epoch in UTC"),
    Column("subkind", ColumnKind.TEXT, "command, report, source or state that the kind goes with"),
    Column("outcome", ColumnKind.TEXT, "ALLOWED or DENIED, of a decision"),
    Column("code", ColumnKind.TEXT, "check that decided: first failed of a denial, tightest limit of an allowed order"),
    Column("time_in_force", ColumnKind.TEXT, "time in force"),
    *(
        Column(
            word.name,
            ColumnKind.NUMBER if word.form is Form.TEXT and word.name != "side" else ColumnKind.TEXT,
            _PACKED.get(word.name, word.meaning),
        )
        for word in WORDS
        if word.name not in _ELSEWHERE
    ),
    Column("document", ColumnKind.TEXT, "all of a JSON record; empty for a fixed one"),
    Column("entry_b64", ColumnKind.TEXT, "exact bytes of the record in base64: what the tree is made of"),
)
_NUMBERS = {word.name: index for index, word in enumerate(WORDS) if word.form is Form.TEXT}


def row_of(log: str, record: Record) -> tuple[Cell, ...]:
    """Return the cells of a record in the order of COLUMNS; None where a column doesn't apply.

    Errors
        InvalidRequest when the entry isn't a record
    """
    described = describe_entry(record.entry, flags=record.flags)
    facts: dict[str, Cell] = {
        "log": log,
        "leaf_index": record.seq - 1,
        "epoch": record.epoch,
        "kind": str(described["kind"]),
        "wall_ns": int(str(described["wall_ns"])),
        "entry_b64": base64.b64encode(record.entry).decode(),
    }
    if record.is_json:
        facts["document"] = canonical_json(described).decode()
        facts |= {name: _text(value) for name, value in described.items() if name in _IDENTIFIERS}
    else:
        facts |= {name: _text(value) for name, value in described.items() if name not in facts}
        words = entry_words(record.entry)
        facts |= {name: words[index] for name, index in _NUMBERS.items() if name not in ("side", "wall_ns")}
    return tuple(facts.get(column.name) for column in COLUMNS)


def csv_cell(cell: Cell) -> str:
    """Return a cell as CSV carries it; text that a spreadsheet would run begins with an apostrophe there."""
    if cell is None:
        return ""
    if isinstance(cell, int):
        return str(cell)
    return NEUTRAL + cell if cell.lstrip(" ").startswith(FORMULA_STARTS) else cell


def json_row(row: tuple[Cell, ...]) -> dict[str, Cell]:
    """Return a row as an object; numbers that may pass 2^53 are decimal text, as in every JSON of ours."""
    return {
        column.name: str(cell) if isinstance(cell, int) and column.name not in _SMALL else cell
        for column, cell in zip(COLUMNS, row, strict=True)
        if cell is not None
    }


_IDENTIFIERS = ("request_id", "child_id", "parent_id")
_SMALL = ("leaf_index", "epoch")


def _text(value: JsonValue) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(str(one) for one in value)
    if isinstance(value, Mapping):
        return " ".join(str(one) for one in value.values())
    return str(value)
