"""LOBSTER samples: rows rebuilt from messages, levels that slide into view, hidden executions, halts, broken files."""

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from controlplane.domain.observations import Phase
from controlplane.domain.orders import Side
from executor.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Fault,
    FaultKind,
    OrderAction,
    OrderMessage,
    Status,
    Trade,
    TradeCondition,
)
from executor.marketdata.quarantine import FeedGuard, FeedState
from executor.marketdata.readers.agreement import check_lobster
from executor.marketdata.readers.lobster import new_york_midnight_ns
from tests.support.market import lobster_reader

# ask price, ask size, bid price, bid size; best level first.
START = "1010000,100,1000000,50,1020000,200,990000,60"
MESSAGES = [
    "34200.1,1,11,50,1000000,1",
    "34200.2,4,12,30,1010000,-1",  # a buyer takes 30 at the ask
    "34200.25,5,0,7,1000050,1",  # a hidden buy order between two ticks is hit
    "34200.3,3,11,50,1000000,1",  # the best bid goes, and 98.00 slides into view
    "34200.4,1,13,10,1005000,-1",  # a better ask comes, and 102.00 slides out
]
BOOKS = [
    START,
    "1010000,70,1000000,50,1020000,200,990000,60",
    "1010000,70,1000000,50,1020000,200,990000,60",
    "1010000,70,990000,60,1020000,200,980000,40",
    "1005000,10,990000,60,1010000,70,980000,40",
]
MIDNIGHT_NS = 1_340_251_200_000_000_000


def test_rows_become_trades_messages_and_levels_that_slide(tmp_path: Path) -> None:
    events = list(lobster_reader(tmp_path, MESSAGES, BOOKS).events())

    snapshot, trade, execution, hidden, deletion, slid_in, addition, slid_out = events
    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.bids, snapshot.asks) == (((10000, 50), (9900, 60)), ((10100, 100), (10200, 200)))
    assert isinstance(trade, Trade)
    assert (trade.price_ticks, trade.quantity_lots, trade.aggressor) == (10100, 30, Side.BUY)
    assert isinstance(execution, OrderMessage)
    assert (execution.action, execution.side, execution.order_id) == (OrderAction.EXECUTE, Side.SELL, 12)
    assert isinstance(hidden, Trade)
    assert isinstance(deletion, OrderMessage)
    assert isinstance(slid_in, BookDelta)
    assert (slid_in.is_window, slid_in.bids, slid_in.asks) == (True, ((9800, 40),), ())
    assert isinstance(addition, OrderMessage)
    assert isinstance(slid_out, BookDelta)
    assert (slid_out.is_window, slid_out.asks) == (True, ((10200, 0),))


def test_guard_rebuilds_the_last_row(tmp_path: Path) -> None:
    guard = FeedGuard("XYZ_2012-06-21", "XYZ")

    for event in lobster_reader(tmp_path, MESSAGES, BOOKS).events():
        assert guard.admit(event) is event

    assert guard.book.bids.levels() == ((9900, 60), (9800, 40))
    assert guard.book.asks.levels() == ((10050, 10), (10100, 70))


def test_times_are_new_york_seconds_with_nanoseconds(tmp_path: Path) -> None:
    messages = ["34200.017459617,1,11,50,1000000,1", "43002.632812672004,5,0,7,1000000,1"]

    first, second = lobster_reader(tmp_path, messages, [START, START]).events()

    assert first.exchange_ns == MIDNIGHT_NS + 34_200_017_459_617
    assert first.receive_ns == first.exchange_ns
    assert second.exchange_ns == MIDNIGHT_NS + 43_002_632_812_672


@pytest.mark.parametrize(("direction", "aggressor", "ticks"), [(1, Side.SELL, 10001), (-1, Side.BUY, 10000)])
def test_hidden_execution_between_ticks_is_stated_where_it_helps_our_orders_least(
    tmp_path: Path, direction: int, aggressor: Side, ticks: int
) -> None:
    reader = lobster_reader(tmp_path, ["34200.1,1,1,1,1000000,1", f"34200.2,5,0,7,1000050,{direction}"], [START, START])

    _, hidden = reader.events()

    assert isinstance(hidden, Trade)
    assert (hidden.price_ticks, hidden.aggressor, hidden.condition) == (ticks, aggressor, TradeCondition.HIDDEN)
    assert any("1 executions of hidden orders lay between two ticks" in note for note in reader.report.notes)


def test_every_level_both_show_is_compared(tmp_path: Path) -> None:
    agreement = check_lobster(lobster_reader(tmp_path, MESSAGES, BOOKS))

    # Four rows of four levels, less the one that only the file shows.
    assert (agreement.compared, agreement.mismatching, agreement.crossed, agreement.faults) == (15, 0, 0, 0)


def test_row_that_contradicts_its_message_is_a_fault_and_the_next_row_starts_anew(tmp_path: Path) -> None:
    wrong = [BOOKS[0], BOOKS[1].replace("1010000,70", "1010000,71"), *BOOKS[2:]]
    reader = lobster_reader(tmp_path, MESSAGES, wrong)
    guard = FeedGuard("XYZ_2012-06-21", "XYZ")

    events = list(reader.events())
    admitted = [guard.admit(event) for event in events]

    assert isinstance(events[1], Fault)
    assert events[1].kind is FaultKind.DISAGREEMENT
    assert events[1].sentence == (
        "XYZ_2012-06-21_34200000_57600000_message_2.csv.gz line 2: expected the rebuilt asks on every level that both "
        "show, found 1 of 2 differing; the feed is cut off until its next snapshot."
    )
    assert isinstance(events[3], BookSnapshot)
    assert reader.report.levels_differing == 1
    assert isinstance(admitted[1], Fault)
    assert (guard.state, guard.resync_count) == (FeedState.HEALTHY, 1)


@pytest.mark.parametrize(
    ("message", "book", "kind", "words"),
    [
        ("34200.2,4,12,30,1010000", BOOKS[1], FaultKind.MALFORMED, "expected six numbers"),
        ("34200.2,4,12,30,1010000,x", BOOKS[1], FaultKind.MALFORMED, "expected six numbers"),
        ("nan,4,12,30,1010000,-1", BOOKS[1], FaultKind.MALFORMED, "expected six numbers"),
        ("-1.5,4,12,30,1010000,-1", BOOKS[1], FaultKind.MALFORMED, "expected seconds after midnight"),
        ("999999.5,4,12,30,1010000,-1", BOOKS[1], FaultKind.MALFORMED, "expected seconds after midnight"),
        ("34200.2,6,12,30,1010000,-1", BOOKS[1], FaultKind.MALFORMED, "expected a message type"),
        ("34200.2,4,12,0,1010000,-1", BOOKS[1], FaultKind.SIZE, "expected a positive size"),
        ("34200.2,4,12,30,-5,-1", BOOKS[1], FaultKind.SIZE, "expected a positive size"),
        ("34200.2,4,12,30,1010000,0", BOOKS[1], FaultKind.SIZE, "direction of 1 or -1"),
        ("34200.0,4,12,30,1010000,-1", BOOKS[1], FaultKind.CLOCK, "expected a time not before"),
        ("34200.2,4,12,30,1010050,-1", BOOKS[1], FaultKind.OFF_GRID, "in steps of 100"),
        ("34200.2,4,12,300,1010000,-1", BOOKS[1], FaultKind.DISAGREEMENT, "to take at most the 100 shares shown"),
        ("34200.2,4,12,30,1010000,-1", "1010000,70,1000000", FaultKind.MALFORMED, "four whole numbers a level"),
        ("34200.2,4,12,30,1010000,-1", BOOKS[1].replace("70", "7O"), FaultKind.MALFORMED, "four whole numbers a level"),
        ("34200.2,4,12,30,1010000,-1", BOOKS[1].replace("1010000", "1010050"), FaultKind.OFF_GRID, "in steps of 100"),
    ],
)
def test_unusable_row_is_a_fault_that_names_file_line_and_finding(
    tmp_path: Path, message: str, book: str, kind: FaultKind, words: str
) -> None:
    _, fault = lobster_reader(tmp_path, [MESSAGES[0], message], [BOOKS[0], book]).events()

    assert isinstance(fault, Fault)
    assert fault.kind is kind
    assert fault.sentence.startswith("XYZ_2012-06-21_34200000_57600000_message_2.csv.gz line 2: ")
    assert words in fault.sentence


def test_levels_that_nobody_holds_are_left_out(tmp_path: Path) -> None:
    book = "1010000,100,1000000,50,9999999999,0,-9999999999,0"

    (snapshot,) = lobster_reader(tmp_path, MESSAGES[:1], [book]).events()

    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.bids, snapshot.asks) == (((10000, 50),), ((10100, 100),))


def test_halt_stops_trading_and_the_book_starts_anew(tmp_path: Path) -> None:
    messages = [
        MESSAGES[0],
        "34300.0,7,0,0,-1,-1",
        "34400.0,7,0,0,0,-1",
        "34500.0,7,0,0,1,-1",
        "34500.1,1,9,10,1000000,1",
    ]
    empty = "9999999999,0,-9999999999,0,9999999999,0,-9999999999,0"
    books = [START, empty, empty, empty, START.replace("1000000,50", "1000000,10")]

    _, halted, quoting, trading, fresh = lobster_reader(tmp_path, messages, books).events()

    phases = [event.phase for event in (halted, quoting, trading) if isinstance(event, Status)]
    assert phases == [Phase.VENUE_HALT, Phase.AUCTION, Phase.CONTINUOUS]
    assert isinstance(fresh, BookSnapshot)
    assert fresh.bids[0] == (10000, 10)


def test_files_of_different_length_are_truncated(tmp_path: Path) -> None:
    *_, fault = lobster_reader(tmp_path, MESSAGES, BOOKS[:3]).events()

    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.TRUNCATED
    assert "orderbook_2.csv.gz ends before row 4" in fault.sentence


def test_file_cut_short_is_truncated(tmp_path: Path) -> None:
    hidden = [f"34200.2,5,0,{shares},1000000,1" for shares in range(1, 3_000)]
    reader = lobster_reader(tmp_path, hidden, [START] * len(hidden))
    reader.message_file.write_bytes(reader.message_file.read_bytes()[:-20])

    *_, fault = reader.events()

    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.TRUNCATED


def test_file_of_rubbish_is_given_up(tmp_path: Path) -> None:
    events = list(lobster_reader(tmp_path, ["x"] * 300, BOOKS[:1] * 300).events())

    assert len(events) == 101
    assert isinstance(events[-1], Fault)
    assert "read no further" in events[-1].sentence


DAYS_AROUND_CHANGES = [
    *(date(1990, 4, 1), date(1990, 4, 2), date(1990, 10, 28), date(1990, 10, 29), date(2006, 10, 30)),
    *(date(2012, 3, 11), date(2012, 3, 12), date(2012, 6, 21), date(2012, 11, 4), date(2012, 11, 5), date(2024, 1, 15)),
]


@pytest.mark.parametrize("day", DAYS_AROUND_CHANGES)
def test_midnight_in_new_york_equals_the_time_zone_database(day: date) -> None:
    try:
        zone = ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError:
        pytest.skip("no time zone files on this machine")

    expected = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)

    assert new_york_midnight_ns(day) == int(expected.timestamp()) * 1_000_000_000
