"""Binance recordings: clocks, units, the snapshot in the middle, both chains, and every way a file can be broken."""

import gzip
from pathlib import Path

import pytest

from controlplane.domain.orders import Side
from executor.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Fault,
    FaultKind,
    Mark,
    MarketEvent,
    Quote,
    Remedy,
    Trade,
    TradeCondition,
)
from executor.marketdata.quarantine import FeedGuard, FeedState
from executor.marketdata.readers.agreement import check_binance
from executor.marketdata.readers.binance import BinanceReader
from tests.support.market import (
    BASE_MS,
    BEHIND_MS,
    FEED,
    an_instrument,
    binance_reader,
    depth_line,
    quote_line,
    snapshot_line,
    trade_line,
    write_lines,
)

BIDS, ASKS = [("10.0", "1.000"), ("9.9", "2.000")], [("10.2", "1.500")]
GOOD = [
    depth_line(1, 5, 0, bids=[("9.8", "1.000")], at_ms=0),
    depth_line(6, 12, 5, bids=[("9.9", "3.000")], at_ms=10),
    snapshot_line(10, BIDS, ASKS, at_ms=20),
    depth_line(13, 20, 12, asks=[("10.1", "0.400")], at_ms=30),
    quote_line(20, ("10.0", "1.000"), ("10.1", "0.400"), at_ms=31),
    trade_line(7, "10.1", "0.100", at_ms=40),
]


def events_of(folder: Path, lines: list[str]) -> list[MarketEvent | Fault]:
    return list(binance_reader(write_lines(folder / "usdm_btcusdt_20240808.jsonl.gz", lines)).events())


def the_fault(folder: Path, lines: list[str]) -> Fault:
    (fault,) = [event for event in events_of(folder, lines) if isinstance(event, Fault)]
    return fault


def test_snapshot_comes_first_and_buffered_diffs_that_reach_it_follow(tmp_path: Path) -> None:
    snapshot, late, delta, quote, trade = events_of(tmp_path, GOOD)

    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.sequence, snapshot.bids, snapshot.asks) == (10, ((100, 1000), (99, 2000)), ((102, 1500),))
    assert isinstance(late, BookDelta)
    assert (late.sequence_first, late.sequence_last, late.bids) == (6, 12, ((99, 3000),))
    assert late.receive_ns == snapshot.receive_ns
    assert isinstance(delta, BookDelta)
    assert isinstance(quote, Quote)
    assert (quote.bid_ticks, quote.bid_lots, quote.ask_ticks, quote.ask_lots) == (100, 1000, 101, 400)
    assert isinstance(trade, Trade)
    assert (trade.price_ticks, trade.quantity_lots, trade.aggressor, trade.sequence) == (101, 100, Side.BUY, 7)


def test_whole_recording_passes_the_guard_and_agrees_with_its_quotes(tmp_path: Path) -> None:
    lines = [
        *GOOD,
        depth_line(21, 22, 20, bids=[("10.0", "0.500")], at_ms=50),
        quote_line(30, ("10.0", "9.000"), ("10.1", "0.400"), at_ms=60),
    ]
    reader = binance_reader(write_lines(tmp_path / "a.jsonl.gz", lines))

    agreement = check_binance(reader)

    # The diff that ends with update 20 agrees; the one that ends with 22 does not, since no quote told of it.
    assert (agreement.compared, agreement.mismatching, agreement.compared_same_id) == (2, 1, 1)
    assert (agreement.undecided, agreement.crossed, agreement.faults) == (1, 0, 0)
    assert agreement.mismatch_frac == 0.5


def test_quote_of_the_very_same_update_is_the_one_that_counts(tmp_path: Path) -> None:
    older = quote_line(19, ("9.0", "1.000"), ("9.1", "0.100"), at_ms=30)
    newer = quote_line(21, ("9.0", "1.000"), ("9.1", "0.100"), at_ms=50)
    reader = binance_reader(write_lines(tmp_path / "a.jsonl.gz", [*GOOD[:4], older, GOOD[4], newer]))

    agreement = check_binance(reader)

    assert (agreement.compared, agreement.mismatching, agreement.compared_same_id) == (1, 0, 1)


def test_quotes_that_overtake_their_diff_are_remembered_until_it_comes(tmp_path: Path) -> None:
    ahead = [
        quote_line(20, ("10.0", "1.000"), ("10.1", "0.400"), at_ms=24),
        quote_line(25, ("10.0", "7.000"), ("10.1", "0.400"), at_ms=26),
    ]
    reader = binance_reader(write_lines(tmp_path / "a.jsonl.gz", [*GOOD[:3], *ahead, GOOD[3]]))

    agreement = check_binance(reader)

    assert (agreement.compared, agreement.mismatching, agreement.undecided) == (1, 0, 1)


def test_constant_clock_offset_is_corrected_and_said(tmp_path: Path) -> None:
    reader = binance_reader(write_lines(tmp_path / "a.jsonl.gz", GOOD))

    events = list(reader.events())

    assert reader.report.clock_offset_ns == (BEHIND_MS - 5) * 1_000_000
    assert events[-1].receive_ns == (BASE_MS + 40) * 1_000_000
    assert any("995.000 ms were added to every receive time" in note for note in reader.report.notes)


def test_clock_that_is_ahead_is_left_alone(tmp_path: Path) -> None:
    line = trade_line(1, "10.0", "1.000", at_ms=0)
    stamp, _, body = line.partition(" ")
    path = write_lines(
        tmp_path / "a.jsonl.gz", [f"{int(stamp) + 2_000_000_000} {body}", snapshot_line(1, BIDS, ASKS, at_ms=3_000)]
    )
    reader = binance_reader(path)

    (trade, *_) = reader.events()

    assert reader.report.clock_offset_ns == 0
    assert trade.receive_ns == int(stamp) + 2_000_000_000


@pytest.mark.parametrize(
    ("divisor", "unit"), [(1, "nanoseconds"), (1_000, "microseconds"), (1_000_000, "milliseconds")]
)
def test_unit_of_receive_times_is_told_by_their_digits(tmp_path: Path, divisor: int, unit: str) -> None:
    lines = []
    for line in GOOD:
        stamp, _, body = line.partition(" ")
        lines.append(f"{int(stamp) // divisor} {body}")
    reader = binance_reader(write_lines(tmp_path / "a.jsonl.gz", lines))

    events = list(reader.events())

    assert events[-1].receive_ns == (BASE_MS + 40) * 1_000_000
    assert f"Receive times are in {unit}." in reader.report.notes


def test_second_file_carries_on_without_a_snapshot(tmp_path: Path) -> None:
    first = write_lines(tmp_path / "a.jsonl.gz", GOOD)
    second = write_lines(tmp_path / "b.jsonl.gz", [depth_line(21, 25, 20, bids=[("10.0", "0.250")], at_ms=90)])
    guard = FeedGuard(FEED, an_instrument().name)

    admitted = [guard.admit(event) for event in binance_reader(first, second).events()]

    assert None not in admitted
    assert not any(isinstance(event, Fault) for event in admitted)
    assert guard.book.bid_lots == 250


def test_spot_diffs_follow_by_their_first_id(tmp_path: Path) -> None:
    lines = [
        snapshot_line(10, BIDS, ASKS),
        depth_line(9, 12, None, bids=[("10.0", "3.000")], at_ms=10),
        depth_line(13, 15, None, bids=[("10.0", "4.000")], at_ms=20),
        depth_line(17, 18, None, bids=[("10.0", "5.000")], at_ms=30),
    ]
    guard = FeedGuard(FEED, an_instrument().name)

    admitted = [guard.admit(event) for event in binance_reader(write_lines(tmp_path / "a.jsonl.gz", lines)).events()]

    assert [isinstance(event, Fault) for event in admitted] == [False, False, False, True]
    assert guard.fault is not None
    assert guard.fault.kind is FaultKind.GAP


def test_later_snapshot_mends_a_gap(tmp_path: Path) -> None:
    lines = [
        *GOOD,
        depth_line(40, 45, 39, at_ms=50),
        depth_line(46, 50, 45, bids=[("10.0", "0.700")], at_ms=60),
        snapshot_line(47, BIDS, ASKS, at_ms=70),
        depth_line(51, 52, 50, asks=[("10.2", "0.800")], at_ms=80),
    ]
    guard = FeedGuard(FEED, an_instrument().name)

    for event in binance_reader(write_lines(tmp_path / "a.jsonl.gz", lines)).events():
        guard.admit(event)

    assert guard.state is FeedState.HEALTHY
    assert (guard.resync_count, guard.book.sequence) == (1, 52)
    assert (guard.book.bid_lots, guard.book.ask_lots) == (700, 800)


def test_fill_taken_by_the_insurance_fund_is_off_the_book(tmp_path: Path) -> None:
    (trade,) = [
        event
        for event in events_of(
            tmp_path, [*GOOD[:3], trade_line(8, "10.5", "0.001", kind="INSURANCE_FUND", is_buyer_maker=True, at_ms=40)]
        )
        if isinstance(event, Trade)
    ]

    assert (trade.condition, trade.aggressor) == (TradeCondition.OFF_BOOK, Side.SELL)


def test_mark_price_and_funding_are_read_in_billionths(tmp_path: Path) -> None:
    data = '{"e":"markPriceUpdate","E":%d,"s":"BTCUSDT","p":"10.12345678","P":"1","i":"10.1","r":"0.00002760","T":%d}'
    line = (
        f'{(BASE_MS - 995) * 1_000_000} {{"stream":"btcusdt@markPrice@1s","data":{data % (BASE_MS, BASE_MS + 60_000)}}}'
    )

    mark = events_of(tmp_path, [line, snapshot_line(1, BIDS, ASKS, at_ms=1)])[0]

    assert isinstance(mark, Mark)
    assert (mark.mark_nano, mark.funding_rate_nano) == (10_123_456_780, 27_600)
    assert mark.funding_ns == (BASE_MS + 60_000) * 1_000_000


def test_streams_we_do_not_use_are_counted(tmp_path: Path) -> None:
    line = f'{BASE_MS * 1_000_000} {{"stream":"btcusdt@kline_1m","data":{{"s":"BTCUSDT"}}}}'
    reader = binance_reader(write_lines(tmp_path / "a.jsonl.gz", [*GOOD, line]))

    events = list(reader.events())

    assert not any(isinstance(event, Fault) for event in events)
    assert reader.report.skipped["stream kline_1m"] == 1
    assert reader.report.counts["BookDelta"] == 2


def test_sizes_finer_than_a_lot_are_refused_or_rounded_down_where_the_venue_shows_them(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl.gz", [snapshot_line(10, [("10.0", "1.0009")], ASKS)])
    tolerant = BinanceReader([path], instrument=an_instrument(), feed=FEED, symbol="BTCUSDT", has_finer_sizes=True)

    refused = [event for event in binance_reader(path).events() if isinstance(event, Fault)]
    (snapshot,) = tolerant.events()

    assert refused[0].kind is FaultKind.OFF_GRID
    assert isinstance(snapshot, BookSnapshot)
    assert snapshot.bids == ((100, 1000),)
    assert any("1 displayed sizes finer than a lot were rounded down" in note for note in tolerant.report.notes)


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("not a line", FaultKind.MALFORMED, "expected a receive time"),
        ("-5 {}", FaultKind.MALFORMED, "expected a receive time"),
        (f'{BASE_MS * 1_000_000} {{"stream":', FaultKind.MALFORMED, "expected one JSON object"),
        (f"{BASE_MS * 1_000_000} [1, 2]", FaultKind.MALFORMED, "expected one JSON object"),
        (f"{BASE_MS * 1_000_000} {'[' * 100_000}", FaultKind.MALFORMED, "expected one JSON object"),
        (
            f'{BASE_MS * 1_000_000} {{"stream":5,"data":{{}}}}',
            FaultKind.MALFORMED,
            "expected the fields of a Binance message",
        ),
        (
            f'{BASE_MS * 1_000_000} {{"stream":"btcusdt","data":{{"s":"BTCUSDT"}}}}',
            FaultKind.MALFORMED,
            "fields of a Binance message",
        ),
        (f"{BASE_MS * 1_000_000} {{}}", FaultKind.MALFORMED, "lastUpdateId"),
        (depth_line(13, 20, 12, at_ms=50, symbol="ETHUSDT"), FaultKind.MALFORMED, "expected messages of BTCUSDT only"),
        (
            depth_line(13, 20, 12, bids=[("NaN", "1.000")], at_ms=50),
            FaultKind.MALFORMED,
            "price must be plain decimal digits",
        ),
        (
            depth_line(13, 20, 12, bids=[("1e3", "1.000")], at_ms=50),
            FaultKind.MALFORMED,
            "price must be plain decimal digits",
        ),
        (
            depth_line(13, 20, 12, bids=[("10.05", "1.000")], at_ms=50),
            FaultKind.OFF_GRID,
            "price 10.05 is off the grid of 0.1",
        ),
        (
            depth_line(13, 20, 12, bids=[("10.0", "-1.000")], at_ms=50),
            FaultKind.SIZE,
            "expected a quantity of zero or more",
        ),
        (
            depth_line(13, 20, 12, bids=[("99999999999999999", "1.000")], at_ms=50),
            FaultKind.OFF_GRID,
            "beyond the largest value",
        ),
        (
            depth_line(13, 20, 12, at_ms=50).replace('"u":20', '"u":NaN'),
            FaultKind.MALFORMED,
            "expected one JSON object",
        ),
        (
            depth_line(13, 20, 12, at_ms=50).replace('"u":20', '"u":"20"'),
            FaultKind.MALFORMED,
            "expected u to be a whole number",
        ),
        (
            depth_line(13, 20, 12, at_ms=50).replace('"u":20', '"u":true'),
            FaultKind.MALFORMED,
            "expected u to be a whole number",
        ),
        (
            depth_line(13, 20, 12, at_ms=50).replace('"u":20', '"u":99999999999999999999'),
            FaultKind.MALFORMED,
            "expected u to be a whole number",
        ),
        (
            f'{BASE_MS * 1_000_000} {{"stream":"btcusdt@markPrice","data":{{"s":"BTCUSDT","E":1,"p":"NaN"}}}}',
            FaultKind.MALFORMED,
            "p must be plain decimal digits",
        ),
        (
            trade_line(8, "10.0", "0.1", at_ms=50).replace("false", "0"),
            FaultKind.MALFORMED,
            "expected m to be true or false",
        ),
        (trade_line(8, "10.0", "0.1", at_ms=1), FaultKind.CLOCK, "expected a receive time not before the line above"),
    ],
)
def test_unusable_line_is_a_fault_that_names_file_line_and_finding(
    tmp_path: Path, line: str, kind: FaultKind, words: str
) -> None:
    fault = the_fault(tmp_path, [*GOOD[:3], line])

    assert (fault.kind, fault.remedy) == (kind, Remedy.SNAPSHOT)
    assert fault.sentence.startswith("usdm_btcusdt_20240808.jsonl.gz line 4: ")
    assert words in fault.sentence
    assert fault.sentence.endswith("; the feed is cut off until its next snapshot.")


def test_reading_goes_on_after_a_bad_line(tmp_path: Path) -> None:
    events = events_of(tmp_path, [*GOOD[:3], "rubbish", *GOOD[3:]])

    assert [type(event).__name__ for event in events] == [
        "BookSnapshot",
        "BookDelta",
        "Fault",
        "BookDelta",
        "Quote",
        "Trade",
    ]


def test_file_of_rubbish_is_given_up(tmp_path: Path) -> None:
    events = events_of(tmp_path, ["rubbish"] * 500)

    assert len(events) == 102
    assert isinstance(events[-2], Fault)
    assert "read no further" in events[-2].sentence


def test_recording_without_a_snapshot_is_a_gap(tmp_path: Path) -> None:
    fault = the_fault(tmp_path, GOOD[:2])

    assert fault.kind is FaultKind.GAP
    assert "expected one book snapshot in the recording" in fault.sentence


@pytest.mark.parametrize("kept", [0.4, 0.8])
def test_file_cut_short_is_a_fault_after_what_could_be_read(tmp_path: Path, kept: float) -> None:
    many = GOOD + [trade_line(10 + number, "10.1", f"0.{number:03}", at_ms=50 + number) for number in range(1, 900)]
    whole = write_lines(tmp_path / "whole.gz", many).read_bytes()
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(whole[: int(len(whole) * kept)])

    *read, fault = binance_reader(cut).events()

    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.TRUNCATED
    assert len(read) > 100
    assert not any(isinstance(event, Fault) for event in read)


def test_damaged_compression_and_other_formats_are_faults(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress("\n".join(GOOD).encode()))
    packed[len(packed) // 2] ^= 0xFF
    (tmp_path / "damaged.jsonl.gz").write_bytes(bytes(packed))
    (tmp_path / "plain.jsonl.gz").write_bytes(b"hello\n")

    damaged = [event for event in binance_reader(tmp_path / "damaged.jsonl.gz").events() if isinstance(event, Fault)]
    plain = [event for event in binance_reader(tmp_path / "plain.jsonl.gz").events() if isinstance(event, Fault)]

    assert FaultKind.TRUNCATED in {fault.kind for fault in damaged}
    assert plain[0].kind is FaultKind.TRUNCATED
    assert "expected intact gzip data" in plain[0].sentence


def test_last_line_without_an_end_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(GOOD))

    *_, fault = binance_reader(path).events()

    assert isinstance(fault, Fault)
    assert (fault.kind, "line 6: expected a line end" in fault.sentence) == (FaultKind.TRUNCATED, True)


def test_missing_file_is_a_fault(tmp_path: Path) -> None:
    (fault, _) = binance_reader(tmp_path / "gone.jsonl.gz").events()

    assert isinstance(fault, Fault)
    assert "No such file" in fault.sentence


def test_same_events_come_each_time(tmp_path: Path) -> None:
    reader = binance_reader(write_lines(tmp_path / "a.jsonl.gz", GOOD))

    assert list(reader.events()) == list(reader.events())
    assert reader.report.lines == len(GOOD)
