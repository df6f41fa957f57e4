"""Valid market events and instruments with a default for every field, and feeds made of them."""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from controlplane.domain.instruments import Contract, Instrument
from controlplane.domain.orders import Side
from executor.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Fault,
    Levels,
    MarketEvent,
    OrderAction,
    OrderMessage,
    Quote,
    Trade,
    TradeCondition,
)
from executor.marketdata.readers.binance import BinanceReader
from executor.marketdata.readers.lobster import LobsterReader

NAME, FEED = "BTCUSDT-PERP", "a-feed"
DAY = date(2012, 6, 21)


def an_instrument(name: str = NAME, *, tick: str = "0.1", lot: str = "0.001", is_inverse: bool = False) -> Instrument:
    """A perpetual with wide bounds."""
    return Instrument(
        name=name,
        underlying="BTC",
        contract=Contract.PERPETUAL,
        currency="USD" if is_inverse else "USDT",
        settlement_currency="BTC" if is_inverse else "USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        multiplier=Decimal(100) if is_inverse else Decimal(1),
        price_min_ticks=1,
        price_max_ticks=1_000_000,
        quantity_min_lots=1,
        quantity_max_lots=100_000,
        lot_step=1,
        tick_bands=(),
        calendar="always",
        is_inverse=is_inverse,
    )


def a_snapshot(
    bids: Levels = ((99, 10), (98, 20), (97, 30)),
    asks: Levels = ((101, 10), (102, 20), (103, 30)),
    *,
    at_ns: int = 1_000,
    sequence: int = 10,
    receive_ns: int | None = None,
) -> BookSnapshot:
    """A book around 100."""
    return BookSnapshot(NAME, FEED, at_ns, at_ns if receive_ns is None else receive_ns, sequence, bids, asks)


def a_delta(
    bids: Levels = (),
    asks: Levels = (),
    *,
    at_ns: int = 2_000,
    sequence: int = 11,
    before: int | None = None,
    receive_ns: int | None = None,
    is_window: bool = False,
) -> BookDelta:
    """A delta of one update that follows the one before it."""
    follows = sequence - 1 if before is None else before
    received_ns = at_ns if receive_ns is None else receive_ns
    return BookDelta(NAME, FEED, at_ns, received_ns, follows, sequence, sequence, bids, asks, is_window)


def a_trade(
    price_ticks: int = 101,
    quantity_lots: int = 1,
    *,
    aggressor: Side = Side.BUY,
    at_ns: int = 2_000,
    sequence: int = 1,
    condition: TradeCondition = TradeCondition.REGULAR,
    receive_ns: int | None = None,
) -> Trade:
    """A print against the best ask."""
    received_ns = at_ns if receive_ns is None else receive_ns
    return Trade(NAME, FEED, at_ns, received_ns, sequence, price_ticks, quantity_lots, aggressor, condition)


def a_quote(
    bid: tuple[int, int] = (99, 10), ask: tuple[int, int] = (101, 10), *, at_ns: int = 2_000, sequence: int = 11
) -> Quote:
    """A quote of the default book."""
    return Quote(NAME, FEED, at_ns, at_ns, sequence, *bid, *ask)


def a_message(
    action: OrderAction,
    price_ticks: int = 99,
    quantity_lots: int = 5,
    *,
    side: Side = Side.BUY,
    order_id: int = 1,
    at_ns: int = 2_000,
    sequence: int = 11,
) -> OrderMessage:
    """A message about one order at the best bid."""
    return OrderMessage(NAME, FEED, at_ns, at_ns, sequence, action, order_id, side, price_ticks, quantity_lots)


@dataclass(frozen=True, slots=True)
class ListFeed:
    """A feed that says what it was given."""

    items: Sequence[MarketEvent | Fault]
    feed: str = FEED
    instrument_name: str = NAME

    def events(self) -> Iterator[MarketEvent | Fault]:
        return iter(self.items)


# --- Binance recordings -----------------------------------------------------------------------------------------------

# Receive times in nanoseconds and the venue's in milliseconds, the venue's clock 1,000 ms ahead as in the 2024 files.
BASE_MS = 1_723_161_256_000
BEHIND_MS = 1_000


def depth_line(
    first: int,
    last: int,
    before: int | None,
    bids: Sequence[tuple[str, str]] = (),
    asks: Sequence[tuple[str, str]] = (),
    *,
    at_ms: int = 0,
    symbol: str = "BTCUSDT",
) -> str:
    """A book diff received 5 ms after the venue sent it, by the true clock; without `before` it is a spot diff."""
    data: dict[str, object] = {"e": "depthUpdate", "E": BASE_MS + at_ms, "s": symbol, "U": first, "u": last}
    if before is not None:
        data |= {"T": BASE_MS + at_ms, "pu": before}
    data |= {"b": [list(level) for level in bids], "a": [list(level) for level in asks]}
    return _line(f"{symbol.lower()}@depth@0ms", data, at_ms)


def snapshot_line(
    last: int, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]], *, at_ms: int = 0
) -> str:
    """A REST snapshot."""
    body = {"lastUpdateId": last, "E": BASE_MS + at_ms, "T": BASE_MS + at_ms}
    levels = {"bids": [list(level) for level in bids], "asks": [list(level) for level in asks]}
    return f"{_received_ns(at_ms)} {json.dumps(body | levels, separators=(',', ':'))}"


def quote_line(update: int, bid: tuple[str, str], ask: tuple[str, str], *, at_ms: int = 0) -> str:
    """A best quote of futures."""
    data = {"e": "bookTicker", "u": update, "s": "BTCUSDT", "b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1]}
    return _line("btcusdt@bookTicker", data | {"T": BASE_MS + at_ms, "E": BASE_MS + at_ms}, at_ms)


def trade_line(
    number: int, price: str, quantity: str, *, is_buyer_maker: bool = False, kind: str = "MARKET", at_ms: int = 0
) -> str:
    """One fill of futures."""
    data = {
        "e": "trade",
        "E": BASE_MS + at_ms,
        "T": BASE_MS + at_ms,
        "s": "BTCUSDT",
        "t": number,
        "p": price,
        "q": quantity,
    }
    return _line("btcusdt@trade", data | {"X": kind, "m": is_buyer_maker}, at_ms)


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    """Write a gzip file of lines and return where it is."""
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return path


def binance_reader(*files: Path, symbol: str = "BTCUSDT") -> BinanceReader:
    """A reader of such files."""
    return BinanceReader(files, instrument=an_instrument(), feed=FEED, symbol=symbol)


def _line(stream: str, data: dict[str, object], at_ms: int) -> str:
    return f"{_received_ns(at_ms)} {json.dumps({'stream': stream, 'data': data}, separators=(',', ':'))}"


def _received_ns(at_ms: int) -> int:
    return (BASE_MS + at_ms + 5 - BEHIND_MS) * 1_000_000


# --- LOBSTER recordings -----------------------------------------------------------------------------------------------


def lobster_reader(folder: Path, messages: Sequence[str], books: Sequence[str]) -> LobsterReader:
    """A reader of a message and an order book file made of these lines."""
    message_file = write_lines(folder / "XYZ_2012-06-21_34200000_57600000_message_2.csv.gz", messages)
    book_file = write_lines(folder / "XYZ_2012-06-21_34200000_57600000_orderbook_2.csv.gz", books)
    instrument = an_instrument("XYZ", tick="0.01", lot="1")
    return LobsterReader(message_file, book_file, instrument=instrument, feed="XYZ_2012-06-21", day=DAY)
