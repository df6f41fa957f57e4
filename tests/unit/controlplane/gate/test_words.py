"""Input words: one form for orders, reports and observations, in the order of the record."""

import pytest

from controlplane.domain.errors import UnknownReference
from controlplane.domain.observations import (
    Phase,
    PhaseObserved,
    RateObserved,
    ReferenceObserved,
    ReferenceSource,
    VolumeObserved,
)
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.domain.scopes import Route
from controlplane.gate import words
from controlplane.gate.words import Handles
from controlplane.journal import record
from controlplane.journal.record import RecordKind

ROUTES = (
    Route("crypto", "pov", "none", "BTCUSDT", "sim", "clearer"),
    Route("crypto", "twap", "none", "ETHUSDT", "sim", "clearer"),
)
HANDLES = Handles(
    routes=ROUTES,
    instruments=("BTCUSDT", "ETHUSDT"),
    venues=("sim", "dark"),
    currencies=("USD", "EUR"),
    scopes=("firm:firm",),
    reporting_currency="USD",
)
ORDER = OrderCommand(
    CommandKind.AMEND, 11, 12, 13, 14, Side.SELL, OrderType.STOP, TimeInForce.FILL_OR_KILL, 15, 16, 17, 18
)
REPORT = VenueReport(
    ReportKind.FILLED,
    child_id=12,
    execution_id=3,
    quantity_lots=4,
    price_ticks=5,
    fee_micro=-6,
    exchange_ns=7,
    route=14,
    side=-1,
    cumulative_lots=9,
)


def as_entry(found: words.Words) -> dict[str, object]:
    padded = (*found, *[0] * (record.WORD_COUNT - len(found)))
    return record.describe_entry(b"".join(word.to_bytes(8, "little", signed=True) for word in padded), flags=0)


def test_order_reads_back_from_the_record_word_by_word() -> None:
    found = as_entry(words.command_words(ORDER))

    assert (found["kind"], found["subkind"], found["schema"]) == ("OrderDecided", "AMEND", record.SCHEMA)
    assert (found["request_id"], found["child_id"], found["parent_id"]) == (
        "0" * 15 + "b",
        "0" * 15 + "c",
        "0" * 15 + "d",
    )
    assert (found["route"], found["side"], found["order_type"], found["time_in_force"]) == (
        "14",
        "SELL",
        "STOP",
        "FILL_OR_KILL",
    )
    assert (found["quantity_lots"], found["price_ticks"], found["trigger_ticks"]) == ("15", "16", "17")


def test_order_and_report_survive_the_way_there_and_back() -> None:
    assert words.command_from(words.command_words(ORDER)) == ORDER
    assert words.report_from(words.report_words(REPORT)) == REPORT


def test_report_stands_in_the_words_that_the_record_names() -> None:
    found = as_entry(words.report_words(REPORT))

    assert (found["kind"], found["subkind"]) == ("ReportApplied", "FILLED")
    assert (found["quantity_lots"], found["price_ticks"], found["fee_micro"]) == ("4", "5", "-6")
    assert (found["execution_id"], found["exchange_ns"], found["route"], found["side"]) == ("3", "7", "14", "SELL")


def test_kinds_are_those_of_the_journal() -> None:
    assert [words.ORDER_DECIDED, words.REPORT_APPLIED, words.REFERENCE_APPLIED] == [
        RecordKind.ORDER_DECIDED,
        RecordKind.REPORT_APPLIED,
        RecordKind.REFERENCE_APPLIED,
    ]
    assert [words.VOLUME_APPLIED, words.PHASE_APPLIED, words.RATE_APPLIED] == [
        RecordKind.VOLUME_APPLIED,
        RecordKind.PHASE_APPLIED,
        RecordKind.RATE_APPLIED,
    ]
    assert [words.PARENT_OPENED, words.PARENT_CLOSED, words.SCOPE_STATE_SET, words.TIME_PASSED, words.DAY_ROLLED] == [
        RecordKind.PARENT_OPENED,
        RecordKind.PARENT_CLOSED,
        RecordKind.SCOPE_STATE_SET,
        RecordKind.TIME_PASSED,
        RecordKind.DAY_ROLLED,
    ]
    assert words.SCHEMA >> 56 == record.SCHEMA


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (
            ReferenceObserved("ETHUSDT", ReferenceSource.MARK, 100, 102, 7, 8, 900, 901),
            {0: words.REFERENCE_APPLIED | 1 << 8, 6: 1, 9: 7, 10: 100, 11: 102, 12: 8, 13: 901, 15: 900},
        ),
        (
            VolumeObserved("BTCUSDT", "dark", 40, 900, 901),
            {0: words.VOLUME_APPLIED, 6: 0, 7: 1, 9: 40, 13: 901, 15: 900},
        ),
        (PhaseObserved("ETHUSDT", Phase.CONTINUOUS, 901), {0: words.PHASE_APPLIED, 6: 1, 9: 3, 13: 901}),
        (RateObserved("EUR", 1_080_000, 901), {0: words.RATE_APPLIED, 6: 1, 10: 1_080_000, 13: 901}),
    ],
    ids=["reference", "volume", "phase", "rate"],
)
def test_observation_stands_in_its_words(observation: words.Observation, expected: dict[int, int]) -> None:
    found = words.observation_words(observation, HANDLES)

    assert found[0] == expected[0] | words.SCHEMA
    assert {place: value for place, value in enumerate(found) if place and value} == {
        place: value for place, value in expected.items() if place and value
    }


def test_openings_and_endings_of_a_parent_order_name_it() -> None:
    opened = words.opening_words(parent_id=13, route=1, side=Side.BUY, quantity_lots=500)

    assert (opened[0] & 0xFF, opened[5], opened[6], opened[7], opened[9]) == (words.PARENT_OPENED, 13, 1, 1, 500)
    assert words.closing_words(13)[5] == 13
    assert [word for word in words.time_words() if word] == [words.TIME_PASSED | words.SCHEMA]


def test_names_become_numbers_and_unknown_names_are_refused_with_the_file_to_look_at() -> None:
    assert (
        HANDLES.route(ROUTES[1]),
        HANDLES.instrument("ETHUSDT"),
        HANDLES.venue("dark"),
        HANDLES.currency("EUR"),
    ) == (
        1,
        1,
        1,
        1,
    )
    with pytest.raises(UnknownReference, match=r"DOGE.*instruments\.toml"):
        HANDLES.instrument("DOGE")
    with pytest.raises(UnknownReference, match="venue"):
        HANDLES.venue("lit")
    with pytest.raises(UnknownReference, match="currency"):
        HANDLES.currency("GBP")
    with pytest.raises(UnknownReference, match="route"):
        HANDLES.route(Route("rates", "pov", "none", "BTCUSDT", "sim", "clearer"))


def test_names_survive_json() -> None:
    assert words.handles_from_json(words.handles_to_json(HANDLES)) == HANDLES
