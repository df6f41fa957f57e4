"""Byte layout and JSON form of records: frozen numbers, one form per value, refusals that name the field."""

import struct
from pathlib import Path

import pytest

from controlplane.domain.decisions import DenialCode, Outcome, codes_of
from controlplane.domain.errors import InvalidRequest
from controlplane.journal import record
from controlplane.journal.canonical import canonical_json, parse_canonical
from controlplane.journal.layout import layout_markdown
from controlplane.journal.record import (
    FLAG_JSON,
    RECORD_DTYPE,
    WORDS,
    RecordKind,
    decode_json,
    describe_entry,
    encode_json,
    entry_words,
    failed_codes,
    pack_entry,
    pack_head,
    unpack_head,
)

FROZEN_KINDS = {
    "OrderDecided": 1, "ReportApplied": 2, "ReferenceApplied": 3, "VolumeApplied": 4, "PhaseApplied": 5,
    "RateApplied": 6, "ParentOpened": 7, "ParentClosed": 8, "ScopeStateSet": 9, "TimePassed": 10, "DayRolled": 11,
    "RepeatsCleared": 12, "ScopeEnabled": 71,
    "LogOpened": 64, "LogClosed": 65, "RecordsRecovered": 66, "SnapshotLoaded": 67, "HaltSet": 68, "HaltLifted": 69,
    "MachineKilled": 70, "ParentAccepted": 96, "ChildRequested": 97, "ChildDenied": 98, "ChildSent": 99,
    "ChildRefused": 100, "ReportReceived": 101, "ParentCommanded": 102, "ParentFinished": 103, "FeedQuarantined": 104,
    "TcaComputed": 105,
}  # fmt: skip


def test_kind_numbers_never_change() -> None:
    assert {name: int(record.KIND_OF_TEXT[name]) for name in FROZEN_KINDS} == FROZEN_KINDS


def test_entry_is_32_words_named_like_the_index_constants() -> None:
    constants = {
        name: value for name, value in vars(record).items() if name.startswith("WORD_") and name != "WORD_COUNT"
    }

    assert RECORD_DTYPE.itemsize == 256
    assert sorted(constants.values()) == list(range(32))
    assert constants["WORD_LARGEST_PASSING_LOTS"] == [word.name for word in WORDS].index("largest_passing_lots") == 23
    assert constants["WORD_DIGEST_AFTER"] == [word.name for word in WORDS].index("digest_after") == 31


def test_head_is_packed_where_the_contract_says() -> None:
    head = pack_head(RecordKind.REPORT_APPLIED, subkind=5, outcome=2, code=34)

    assert head == 2 | 5 << 8 | 2 << 16 | 34 << 32 | 2 << 56
    assert (unpack_head(head).kind, unpack_head(head).subkind, unpack_head(head).code) == (2, 5, 34)
    assert unpack_head(head).schema == 2


def test_a_stranger_decodes_the_entry_with_struct_alone() -> None:
    entry = pack_entry(RecordKind.ORDER_DECIDED, subkind=1, outcome=2, code=33, child_id=77, failed_checks_more=-5)

    words = struct.unpack("<32q", entry)

    assert words == entry_words(entry)
    assert (words[4], words[22]) == (77, -5)


def test_decision_is_described_with_names_and_hexadecimal_identifiers() -> None:
    entry = pack_entry(
        RecordKind.ORDER_DECIDED,
        subkind=1,
        outcome=Outcome.DENIED,
        code=DenialCode.ORDER_QUANTITY_ABOVE_LIMIT,
        child_id=255,
        side=-1,
        order_type=1 | 2 << 8,
        failed_checks=1 << 32 | 1 << 33,
        failed_scopes=1 << 0 | 1 << 5,
        binding_scope=5 | 9 << 8,
        notional_micro=2**60,
        digest_after=-1,
    )

    described = describe_entry(entry, flags=0)

    assert described["kind"] == "OrderDecided"
    assert (described["subkind"], described["outcome"]) == ("NEW", "DENIED")
    assert described["code"] == "ORDER_QUANTITY_ABOVE_LIMIT"
    assert described["child_id"] == "00000000000000ff"
    assert described["failed_checks"] == ["ORDER_QUANTITY_ABOVE_LIMIT", "ORDER_NOTIONAL_ABOVE_LIMIT"]
    assert described["failed_scopes"] == ["FIRM", "INSTRUMENT"]
    assert described["binding_scope"] == {"kind": "INSTRUMENT", "node": "9"}
    assert (described["side"], described["order_type"], described["time_in_force"]) == (
        "SELL",
        "LIMIT",
        "IMMEDIATE_OR_CANCEL",
    )
    assert (described["notional_micro"], described["digest_after"]) == (str(2**60), "f" * 16)


def test_unknown_numbers_of_a_malformed_request_are_described_as_recorded() -> None:
    entry = pack_entry(RecordKind.ORDER_DECIDED, subkind=99, outcome=2, code=1, side=5, order_type=77, child_id=-1)

    described = describe_entry(entry, flags=0)

    assert (described["subkind"], described["side"], described["order_type"]) == ("99", "5", "77")
    assert described["child_id"] == "f" * 16


def test_canonical_form_sorts_by_utf16_and_escapes_like_rfc_8785() -> None:
    payload = {"\U0001f600": 1, "\ufb33": 2, "a": {"z": None, "b": [True, -1]}, "t": "\u20ac$\x0f\nA'B\"\\\\/"}

    found = canonical_json(payload)

    # U+1F600 is written with surrogates from U+D800 in UTF-16 and so comes before U+FB33.
    assert found.decode() == (
        '{"a":{"b":[true,-1],"z":null},"t":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\/","\U0001f600":1,"\ufb33":2}'
    )
    assert parse_canonical(found) == payload


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (1.5, "found float"),
        (float("nan"), "found float"),
        (2**53, "below 2^53"),
        (-(2**53), "below 2^53"),
        ({1: 2}, "keys that are text"),
        (b"x", "found bytes"),
        ("\ud800", "surrogate"),
    ],
)
@pytest.mark.case("EVIDENCE-20")
def test_value_without_one_form_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence.replace("^", r"\^")):
        canonical_json({"a": [value]})


def test_deep_nesting_is_refused() -> None:
    value: object = 1
    for _ in range(40):
        value = [value]

    with pytest.raises(InvalidRequest, match="levels of nesting"):
        canonical_json({"a": value})


@pytest.mark.parametrize(
    "entry",
    [
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":NaN}',
        b'{"a":"\\u0041"}',
        b"[1]",
        b"\xff",
        b"",
        b"[" * 40_000,
        b'{"a":9007199254740992}',
    ],
)
def test_bytes_in_another_form_are_not_a_record(entry: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_canonical(entry)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"wall_ns": "1"}, "kind"),
        ({"kind": "OrderDecided", "wall_ns": "1"}, "kind"),
        ({"kind": "Invented", "wall_ns": "1"}, "kind"),
        ({"kind": "HaltSet"}, "wall_ns"),
        ({"kind": "HaltSet", "wall_ns": 1}, "wall_ns"),
        ({"kind": "HaltSet", "wall_ns": "-1"}, "wall_ns"),
        ({"kind": "HaltSet", "wall_ns": str(2**63)}, "wall_ns"),
        ({"kind": "HaltSet", "wall_ns": "1", "child_id": 5}, "child_id"),
        ({"kind": "HaltSet", "wall_ns": "1", "parent_id": "f" * 16}, "parent_id"),
    ],
)
def test_json_record_that_could_not_be_found_again_is_refused(payload: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        encode_json(payload)

    assert caught.value.field == field


def test_kind_of_a_newer_program_is_read_and_not_written() -> None:
    entry = b'{"kind":"OfTheFuture","wall_ns":"5"}'

    assert decode_json(entry)["kind"] == "OfTheFuture"
    assert describe_entry(entry, flags=FLAG_JSON)["wall_ns"] == "5"


def test_layout_document_is_up_to_date(repository: Path) -> None:
    written = (repository / "docs" / "reference" / "journal.md").read_text(encoding="utf-8")

    assert written == layout_markdown()


def test_codes_from_64_on_are_read_from_the_second_mask_and_headroom_is_worked_out() -> None:
    words = [0] * 32
    words[0], words[17], words[20], words[21] = pack_head(RecordKind.ORDER_DECIDED), 1 << 32, 120, 100

    described = describe_entry(struct.pack("<32q", *words), flags=0)

    assert codes_of(1 << 32 | 1 << 62, 1 << 62) == tuple(code for code in DenialCode if code in (33, 63, 126))
    assert described["headroom"] == "-20"
    assert (described["failed_checks"], "failed_checks_more" in described) == (["ORDER_QUANTITY_ABOVE_LIMIT"], False)


def test_word_22_of_schema_1_is_no_mask() -> None:
    words = [0] * 32
    words[0] = int(RecordKind.ORDER_DECIDED) | 1 << 56
    words[17], words[20], words[21], words[22] = 1 << 32, 7, 12, 5

    assert failed_codes(words) == (DenialCode.ORDER_QUANTITY_ABOVE_LIMIT,)
    assert describe_entry(struct.pack("<32q", *words), flags=0)["headroom"] == "5"
