"""Every denial reads as one sentence with its numbers, and the verdict says the same as the record it was made from."""

import string

import pytest

from controlplane.domain.decisions import FIRST_MORE_CODE, DenialCode, Outcome
from controlplane.domain.scopes import Route
from controlplane.gate import verdict as verdicts
from controlplane.gate.denials.sentences import SENTENCES
from controlplane.gate.verdict import amount, explain, unavailable, verdict_of
from controlplane.gate.words import Handles
from controlplane.journal import record

HANDLES = Handles(
    routes=(Route("crypto", "pov", "none", "BTCUSDT", "sim", "clearer"),),
    instruments=("BTCUSDT",),
    venues=("sim",),
    currencies=("USD",),
    scopes=("firm:firm", "desk:crypto"),
    reporting_currency="USD",
)
DESK = 1 | 1 << 8
MIXED = (1 << DenialCode.ORDER_QUANTITY_ABOVE_LIMIT - 1) | (1 << DenialCode.POSITION_ABOVE_LIMIT - 1)


def entry(
    *, outcome: int = Outcome.DENIED, code: int = DenialCode.POSITION_ABOVE_LIMIT, failed: int = 0, **words: int
) -> tuple[int, ...]:
    packed = record.pack_entry(
        record.RecordKind.ORDER_DECIDED, subkind=1, outcome=outcome, code=code, failed_checks=failed, **words
    )
    return record.entry_words(packed)


def test_words_stand_where_the_record_has_them() -> None:
    places = {
        "HEAD": record.WORD_HEAD,
        "REQUEST": record.WORD_REQUEST_ID,
        "PARENT": record.WORD_PARENT_ID,
        "ROUTE": record.WORD_ROUTE,
        "QUANTITY": record.WORD_QUANTITY_LOTS,
        "PRICE": record.WORD_PRICE_TICKS,
        "TRIGGER": record.WORD_TRIGGER_TICKS,
        "VERSION": record.WORD_SNAPSHOT_VERSION,
        "FAILED": record.WORD_FAILED_CHECKS,
        "BINDING": record.WORD_BINDING_SCOPE,
        "MEASURED": record.WORD_MEASURED,
        "LIMIT": record.WORD_LIMIT,
        "MORE": record.WORD_FAILED_CHECKS_MORE,
        "PASSING": record.WORD_LARGEST_PASSING_LOTS,
        "EXPIRY": record.WORD_PERMIT_EXPIRY_NS,
        "FENCE": record.WORD_FENCE,
        "HEADROOM_SCHEMA": record.HEADROOM_SCHEMA,
    }

    assert {name: getattr(verdicts, name) for name in places} == places


def test_denial_carries_every_failed_check_the_binding_limit_and_what_would_pass() -> None:
    words = entry(
        failed=MIXED,
        code=DenialCode.ORDER_QUANTITY_ABOVE_LIMIT,
        binding_scope=DESK,
        measured=120,
        limit=100,
        largest_passing_lots=80,
        snapshot_version=6,
        quantity_lots=120,
    )

    verdict = verdict_of(words, sequence=31, gate_id=0, epoch=2, permit_code=bytes(16), handles=HANDLES)

    assert not verdict.is_allowed
    assert verdict.codes == (DenialCode.ORDER_QUANTITY_ABOVE_LIMIT, DenialCode.POSITION_ABOVE_LIMIT)
    assert verdict.binding is not None
    assert (verdict.binding.scope, verdict.binding.measured, verdict.binding.limit) == ("desk:crypto", 120, 100)
    assert (verdict.binding.headroom, verdict.binding.unit) == (-20, "lots")
    assert (verdict.largest_passing_lots, verdict.permit, verdict.sequence, verdict.snapshot_version) == (
        80,
        None,
        31,
        6,
    )
    assert verdict.explanation == (
        "The quantity 120 lots of BTCUSDT is above the order limit of 100 lots for desk:crypto; "
        "at most 80 lots would pass now."
    )


def test_allowed_order_carries_its_permit_and_no_sentence() -> None:
    words = entry(outcome=Outcome.ALLOWED, code=0, permit_expiry_ns=900, fence=4, largest_passing_lots=7)

    verdict = verdict_of(words, sequence=32, gate_id=5, epoch=2, permit_code=b"c" * 16, handles=HANDLES)

    assert verdict.is_allowed
    assert verdict.permit is not None
    assert (verdict.permit.gate_id, verdict.permit.epoch, verdict.permit.sequence) == (5, 2, 32)
    assert (verdict.permit.expiry_ns, verdict.permit.fence, verdict.permit.code) == (900, 4, b"c" * 16)
    assert (verdict.codes, verdict.explanation, verdict.largest_passing_lots) == ((), "", 0)


def test_allowed_cancel_has_no_permit() -> None:
    words = entry(outcome=Outcome.ALLOWED, code=0, fence=4)

    verdict = verdict_of(words, sequence=33, gate_id=5, epoch=2, permit_code=bytes(16), handles=HANDLES)

    assert verdict.is_allowed
    assert verdict.permit is None


def test_anything_that_is_not_marked_allowed_is_denied() -> None:
    for outcome in (0, 3, 0xFFFF):
        words = entry(outcome=outcome, code=0, permit_expiry_ns=900)

        verdict = verdict_of(words, sequence=1, gate_id=0, epoch=1, permit_code=b"c" * 16, handles=HANDLES)

        assert not verdict.is_allowed
        assert verdict.permit is None


def test_every_denial_code_has_a_sentence_and_a_unit() -> None:
    assert set(SENTENCES) == set(DenialCode)
    assert {unit for unit, _sentence in SENTENCES.values()} == {"lots", "micro", "ticks", "ns", "count", "bps"}


@pytest.mark.parametrize("code", list(DenialCode))
def test_sentence_of_every_code_is_one_sentence_with_all_its_names_filled(code: DenialCode) -> None:
    masks = {"failed": 1 << code - 1} if code < FIRST_MORE_CODE else {"failed_checks_more": 1 << code - FIRST_MORE_CODE}
    words = entry(code=code, binding_scope=DESK, measured=3_000_000, limit=1_000_000, route=0, **masks)
    assert verdict_of(words, sequence=1, gate_id=0, epoch=1, permit_code=bytes(16), handles=HANDLES).codes == (code,)

    text = explain(words, HANDLES)

    assert text[0].isupper()
    assert text.endswith(".")
    assert "{" not in text
    assert "unknown to" in text or "unknown" not in text
    named = {name for _text, name, _format, _conversion in string.Formatter().parse(SENTENCES[code][1]) if name}
    if {"measured", "limit"} <= named:
        assert "3" in text.replace(",", "")
        assert "1" in text


@pytest.mark.parametrize("code", list(DenialCode))
def test_sentence_survives_numbers_that_name_nothing(code: DenialCode) -> None:
    """A malformed request is recorded as it came: its route, its identifiers and its scope may be anything."""
    words = entry(
        code=code,
        request_id=-(1 << 63),
        parent_id=-1,
        route=-5,
        measured=(1 << 63) - 1,
        limit=-(1 << 63),
        binding_scope=0xFF | 999 << 8,
        quantity_lots=-(1 << 63),
    )

    verdict = verdict_of(words, sequence=1, gate_id=0, epoch=1, permit_code=bytes(16), handles=HANDLES)

    assert not verdict.is_allowed
    assert verdict.explanation.endswith(".")


def test_code_from_a_newer_gate_is_a_denial_all_the_same() -> None:
    verdict = verdict_of(
        entry(code=126, failed_checks_more=1 << 62),
        sequence=1,
        gate_id=0,
        epoch=1,
        permit_code=bytes(16),
        handles=HANDLES,
    )

    assert not verdict.is_allowed
    assert "too old to name" in verdict.explanation


def test_parent_order_is_named_by_its_identifier() -> None:
    words = entry(
        code=DenialCode.PARENT_QUANTITY_EXCEEDED, binding_scope=4 | 77 << 8, parent_id=0xABC, measured=11, limit=10
    )

    assert "parent order 0000000000000abc would be 11 lots, it has 10 lots; no quantity" in explain(words, HANDLES)
    verdict = verdict_of(words, sequence=1, gate_id=0, epoch=1, permit_code=bytes(16), handles=HANDLES)
    assert verdict.binding is not None
    assert verdict.binding.scope == "parent:0000000000000abc"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1, "lots", "1 lot"),
        (-40_000, "lots", "-40,000 lots"),
        (1, "ticks", "1 tick"),
        (1_250_004_999, "micro", "1,250.00 USD"),
        (-5_000_000, "micro", "-5.00 USD"),
        (2_500_000_000, "ns", "2.500 s"),
        (1_500_000, "ns", "1.500 ms"),
        (1_234, "count", "1,234"),
        (1 << 62, "micro", "no limit"),
    ],
)
def test_numbers_are_written_with_their_unit(value: int, unit: str, text: str) -> None:
    assert amount(value, unit, HANDLES) == text


def test_phase_that_was_never_stated_is_not_given_an_age() -> None:
    words = entry(code=DenialCode.PHASE_UNKNOWN, measured=1_700_000_000_000_000_000, limit=60_000_000_000)

    assert "was last stated never, at most 60.000 s is trusted" in explain(words, HANDLES)


def test_denial_made_without_the_gate_has_sequence_zero_and_says_what_to_do() -> None:
    verdict = unavailable()

    assert (verdict.outcome, verdict.codes, verdict.sequence) == (Outcome.DENIED, (DenialCode.GATE_UNAVAILABLE,), 0)
    assert "controlplane gate" in verdict.explanation
    assert unavailable(explanation="why").explanation == "why"
