"""Every recording of ../shared/data read to its end: nothing distrusted, never crossed, agreeing with its own quotes.

The counts are those that the README beside the recordings states, where it states them.
"""

from pathlib import Path

import pytest

from executor.marketdata.events import Fault
from executor.marketdata.quarantine import FeedGuard, FeedState
from executor.marketdata.readers.agreement import QuoteAgreement
from executor.marketdata.readers.lobster import LobsterReader
from executor.marketdata.readers.recordings import find, list_recordings

BINANCE, LOBSTER = "binance_l2_trades_raw_ws", "lobster_nasdaq_2012-06-21"


@pytest.fixture(scope="session")
def binance(recorded_data: Path) -> Path:
    return folder_of(recorded_data, BINANCE)


@pytest.fixture(scope="session")
def lobster(recorded_data: Path) -> Path:
    return folder_of(recorded_data, LOBSTER)


def folder_of(recorded_data: Path, name: str) -> Path:
    if not (recorded_data / name).is_dir():
        pytest.skip(f"the recordings of ../shared/data/{name} are not beside this checkout")
    return recorded_data / name


@pytest.mark.parametrize(
    ("name", "quotes", "trades", "deltas", "mismatching", "offset_ms"),
    [
        ("usdm_btcusdt_20240808", 66_089, 21_313, 6_547, 0, 1_272),
        ("usdm_ethusdt_20240808", 53_992, 14_076, 6_581, 0, 1_272),
        ("coinm_btcusd_perp_20240808", 48_355, 5_235, 44_772, 0, 1_274),
        ("spot_btcusdt_20240808", 73_174, 19_904, 6_493, 2, 1_276),
        ("usdm_btcusdt_20230404", 44_205, 12_935, 16_110, 0, 31),
    ],
)
def test_binance_book_agrees_with_its_recorded_quotes(
    binance: Path, name: str, quotes: int, trades: int, deltas: int, mismatching: int, offset_ms: int
) -> None:
    recording = next(one for one in list_recordings(binance) if one.name == name)
    reader, agreement = recording.open(), QuoteAgreement(name)
    guard = FeedGuard(reader.feed, reader.instrument_name)

    last_ns = 0
    for item in reader.events():
        admitted = guard.admit(item)
        assert admitted is item, admitted
        assert not isinstance(item, Fault)
        assert item.receive_ns >= max(last_ns, item.exchange_ns)
        last_ns = item.receive_ns
        agreement.on_event(item, guard.book)
    result, counts = agreement.result(), reader.report.counts

    assert (counts["Quote"], counts["Trade"], counts["BookDelta"]) == (quotes, trades, deltas)
    assert (result.crossed, result.undecided <= 2) == (0, True)
    assert result.compared >= deltas - 2
    # The two of the spot pair are diffs that the venue closed a few updates after it had quoted a change.
    assert (result.mismatching, result.passing, result.mismatching_same_id) == (mismatching, mismatching, 0)
    assert guard.state is FeedState.HEALTHY
    assert reader.report.clock_offset_ns // 1_000_000 == offset_ms
    assert 0 < reader.report.feed_latency_ns < 50_000_000


@pytest.mark.parametrize(
    ("ticker", "rows", "levels", "executions", "between_ticks", "last_row"),
    [
        ("AMZN", 155_935, 1_525_500, 8_974 + 2_445, 63, ((22051, 249), (22064, 100))),
        ("AAPL", 118_497, 206_921, 23_658 + 11_332, 372, ((57754, 410), (57767, 300))),
    ],
)
def test_lobster_rows_follow_from_their_messages(
    lobster: Path,
    ticker: str,
    rows: int,
    levels: int,
    executions: int,
    between_ticks: int,
    last_row: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    reader = find(lobster, ticker).open()
    assert isinstance(reader, LobsterReader)
    guard = FeedGuard(reader.feed, reader.instrument_name)

    distrusted = [item for item in reader.events() if guard.admit(item) is not item]
    report = reader.report

    assert distrusted == []
    assert (report.levels_compared, report.levels_differing, report.crossed_rows) == (levels, 0, 0)
    assert (report.lines, report.counts["Trade"]) == (rows, executions)
    assert any(f"{between_ticks} executions of hidden orders" in note for note in report.notes)
    assert (guard.book.bids.levels(1)[0], guard.book.asks.levels(1)[0]) == last_row


def test_choice_among_the_recordings_of_bitcoin(binance: Path) -> None:
    recording = find(binance, "BTCUSDT")

    assert recording.name == "usdm_btcusdt_20240808"
    assert "spot_btcusdt_20240808, usdm_btcusdt_20230404" in recording.choice
    assert [len(one.files) for one in list_recordings(binance)] == [2, 2, 2, 1, 1]
