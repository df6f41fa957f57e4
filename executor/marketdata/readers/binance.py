"""Raw Binance websocket recordings: `<receive time> <json>` a line; book diffs with one snapshot, quotes and trades.

What the files hold in store: nanoseconds in some and microseconds in others; a receive clock behind the venue's by a
constant; a snapshot that comes after the first diffs; a chain `pu` on futures and none on spot; no times on spot
quotes; a second day's file that carries on from the first without a snapshot.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median_low
from typing import Any, Never

from controlplane.domain.clock import NS_PER_MS, NS_PER_US
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.instruments import Instrument
from controlplane.domain.orders import Side
from controlplane.domain.quantities import NANO, PRICE_TICKS_CAP, QUANTITY_LOTS_CAP, parse_decimal
from executor.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Fault,
    FaultKind,
    Levels,
    Mark,
    MarketEvent,
    Quote,
    Remedy,
    Trade,
    TradeCondition,
)
from executor.marketdata.readers.lines import BAD_LINES_MAX, UnitTable, Unreadable, numbered_lines
from executor.marketdata.readers.load_report import LoadReport

# Diffs kept so that a snapshot can be joined to those received before it; at 20 diffs a second more than a minute.
RECENT_DELTAS_MAX = 2_000
# A receive time in nanoseconds has 19 digits between 2001 and 2286, in microseconds 16, in milliseconds 13.
UNIT_NS_BY_DIGITS = {19: 1, 16: NS_PER_US, 13: NS_PER_MS}
UNIT_NAMES = {1: "nanoseconds", NS_PER_US: "microseconds", NS_PER_MS: "milliseconds"}


@dataclass(frozen=True, slots=True)
class RecordedClock:
    """The receive clock of a recording.

    Fields
        unit_ns     nanoseconds in one unit, by file
        offset_ns   to add, so that no message arrives before the venue sent it; >= 0
        latency_ns  median of the corrected one-way latency
    """

    unit_ns: Mapping[Path, int]
    offset_ns: int
    latency_ns: int


class BinanceReader:
    """Events of one instrument from the files of one recording, in the order of receipt.

    Arguments
        files            in order of time; each carries on where the one before ends
        instrument       definition that prices and quantities are converted with
        feed             name of the recording
        symbol           the venue's name of the instrument, upper case
        has_finer_sizes  the venue still shows sizes from before its lot grew; they are rounded down, never up
    """

    def __init__(
        self, files: Sequence[Path], *, instrument: Instrument, feed: str, symbol: str, has_finer_sizes: bool = False
    ) -> None:
        self.files = tuple(files)
        self.instrument = instrument
        self.feed = feed
        self.symbol = symbol
        self.has_finer_sizes = has_finer_sizes
        self.report = LoadReport(feed)
        self._recent: deque[BookDelta] = deque(maxlen=RECENT_DELTAS_MAX)
        self._has_snapshot = False
        self._last_ns = 0
        self._handlers: dict[str, Callable[[Mapping[str, Any], int], MarketEvent]] = {
            "bookTicker": self._quote,
            "trade": self._trade,
            "markPrice": self._mark,
        }

    @property
    def instrument_name(self) -> str:
        """Name of the instrument that the events carry."""
        return self.instrument.name

    def events(self) -> Iterator[MarketEvent | Fault]:
        """Yield every event and every fault from the beginning; `report` is complete when the last one was taken."""
        self.report = LoadReport(self.feed)
        self._recent.clear()
        self._has_snapshot = False
        self._last_ns = 0
        # A price or a size occurs many times, and looking its text up is much faster than parsing it again.
        self._ticks = UnitTable(self.instrument.tick_size, field="price", cap=PRICE_TICKS_CAP)
        self._lots = UnitTable(
            self.instrument.lot_size, field="quantity", cap=QUANTITY_LOTS_CAP, is_floored=self.has_finer_sizes
        )
        clock = measure_clock(self.files)
        self._describe(clock)
        for path in self.files:
            yield from self._file_events(path, clock)
        if finer := self._lots.floored_count:
            self.report.notes.append(f"{finer} displayed sizes finer than a lot were rounded down to whole lots.")
        if not self._has_snapshot:
            yield self._fault(
                FaultKind.GAP, f"{self.files[-1].name}: expected one book snapshot in the recording, found none"
            )

    def _file_events(self, path: Path, clock: RecordedClock) -> Iterator[MarketEvent | Fault]:
        unit_ns, bad_lines = clock.unit_ns.get(path, 1), 0
        lines = numbered_lines(path)
        while bad_lines < BAD_LINES_MAX:
            try:
                number, line = next(lines)
            except StopIteration:
                return
            except Unreadable as broken:
                yield self._fault(broken.kind, f"{path.name} {broken}")
                return
            self.report.lines += 1
            try:
                made = self._line_events(line, unit_ns, clock.offset_ns)
            except Unreadable as bad:
                bad_lines += 1
                yield self._fault(bad.kind, f"{path.name} line {number}: {bad}")
            else:
                yield from made
        yield self._fault(
            FaultKind.MALFORMED,
            f"{path.name}: expected messages, found {bad_lines} unreadable lines and read no further",
        )

    def _line_events(self, line: bytes, unit_ns: int, offset_ns: int) -> Sequence[MarketEvent]:
        stamp, _, body = line.partition(b" ")
        if not (stamp.isdigit() and len(stamp) <= 19):
            raise Unreadable(
                FaultKind.MALFORMED, f"expected a receive time and a space before the message, found {_shown(line)}"
            )
        receive_ns = int(stamp) * unit_ns + offset_ns
        if receive_ns < self._last_ns:
            raise Unreadable(
                FaultKind.CLOCK,
                f"expected a receive time not before the line above, found {self._last_ns - receive_ns} ns back",
            )
        message = _message(body)
        try:
            if "stream" in message:
                made = self._stream_events(message["stream"], message["data"], receive_ns)
            else:
                made = self._joined(self._snapshot(message, receive_ns))
        except (LookupError, TypeError, ValueError, AttributeError, InvalidRequest) as odd:
            raise Unreadable(
                FaultKind.MALFORMED, f"expected the fields of a Binance message, found {_shown(body)} ({odd!r})"
            ) from None
        self._last_ns = receive_ns
        for event in made:
            self.report.count(type(event).__name__, receive_ns)
        return made

    def _stream_events(self, stream: str, data: Mapping[str, Any], receive_ns: int) -> Sequence[MarketEvent]:
        kind = stream.split("@")[1]
        if data["s"] != self.symbol:
            raise Unreadable(
                FaultKind.MALFORMED, f"expected messages of {self.symbol} only, found {_shown(str(data['s']).encode())}"
            )
        if kind == "depth":
            delta = self._delta(data, receive_ns)
            self._recent.append(delta)
            if self._has_snapshot:
                return (delta,)
            self.report.skipped["delta before the snapshot"] += 1
            return ()
        handler = self._handlers.get(kind)
        if handler is None:
            self.report.skipped[f"stream {kind}"[:40]] += 1
            return ()
        return (handler(data, receive_ns),)

    def _joined(self, snapshot: BookSnapshot) -> Sequence[MarketEvent]:
        """Return the snapshot and the deltas received earlier that reach it, stamped with its time of receipt."""
        self._has_snapshot = True
        late = [delta for delta in self._recent if delta.sequence_last >= snapshot.sequence]
        return (snapshot, *(replace(delta, receive_ns=snapshot.receive_ns) for delta in late))

    def _snapshot(self, message: Mapping[str, Any], receive_ns: int) -> BookSnapshot:
        sequence = _whole(message, "lastUpdateId")
        exchange_ns = _whole(message, "T") * NS_PER_MS if "T" in message else receive_ns
        bids, asks = self._levels(message["bids"]), self._levels(message["asks"])
        return BookSnapshot(self.instrument.name, self.feed, exchange_ns, receive_ns, sequence, bids, asks)

    def _delta(self, data: Mapping[str, Any], receive_ns: int) -> BookDelta:
        first, last = _whole(data, "U"), _whole(data, "u")
        # Futures name the delta before; on spot the ids have no holes, so the one before ended just below `U`.
        before = _whole(data, "pu") if "pu" in data else first - 1
        exchange_ns = _whole(data, "T" if "T" in data else "E") * NS_PER_MS
        return BookDelta(
            self.instrument.name,
            self.feed,
            exchange_ns,
            receive_ns,
            before,
            first,
            last,
            self._levels(data["b"]),
            self._levels(data["a"]),
        )

    def _levels(self, pairs: Sequence[Sequence[str]]) -> Levels:
        ticks, lots = self._ticks, self._lots
        return tuple([(ticks[price], lots[quantity]) for price, quantity in pairs])

    def _quote(self, data: Mapping[str, Any], receive_ns: int) -> Quote:
        exchange_ns = _whole(data, "T") * NS_PER_MS if "T" in data else receive_ns
        ticks, lots = self._ticks, self._lots
        return Quote(
            self.instrument.name,
            self.feed,
            exchange_ns,
            receive_ns,
            _whole(data, "u"),
            ticks[data["b"]],
            lots[data["B"]],
            ticks[data["a"]],
            lots[data["A"]],
        )

    def _trade(self, data: Mapping[str, Any], receive_ns: int) -> Trade:
        is_buyer_maker = data["m"]
        if type(is_buyer_maker) is not bool:
            raise Unreadable(
                FaultKind.MALFORMED, f"expected m to be true or false, found {_shown(repr(is_buyer_maker).encode())}"
            )
        condition = TradeCondition.REGULAR if data.get("X", "MARKET") == "MARKET" else TradeCondition.OFF_BOOK
        return Trade(
            self.instrument.name,
            self.feed,
            _whole(data, "T") * NS_PER_MS,
            receive_ns,
            _whole(data, "t"),
            self._ticks[data["p"]],
            self._lots[data["q"]],
            Side.SELL if is_buyer_maker else Side.BUY,
            condition,
        )

    def _mark(self, data: Mapping[str, Any], receive_ns: int) -> Mark:
        event_ms = _whole(data, "E")
        return Mark(
            self.instrument.name,
            self.feed,
            event_ms * NS_PER_MS,
            receive_ns,
            event_ms,
            _nano(data, "p"),
            _nano(data, "i"),
            _nano(data, "r"),
            _whole(data, "T") * NS_PER_MS,
        )

    def _fault(self, kind: FaultKind, finding: str) -> Fault:
        self.report.faults[kind] += 1
        sentence = f"{finding}; the feed is cut off until its next snapshot."
        return Fault(kind, Remedy.SNAPSHOT, self.feed, self.instrument.name, self._last_ns, sentence)

    def _describe(self, clock: RecordedClock) -> None:
        report = self.report
        report.clock_offset_ns, report.feed_latency_ns = clock.offset_ns, clock.latency_ns
        units = sorted({UNIT_NAMES[unit] for unit in clock.unit_ns.values()})
        report.notes.append(f"Receive times are in {' and '.join(units) or 'no unit that could be told'}.")
        if clock.offset_ns:
            report.notes.append(
                f"The receive clock ran behind the venue's: {clock.offset_ns / NS_PER_MS:.3f} ms were added to every "
                "receive time, so that the fastest message takes no time; latencies are relative to it."
            )
        if len(self.files) > 1:
            report.notes.append(
                f"{len(self.files)} files were read as one recording, since the later ones carry no snapshot."
            )


def measure_clock(files: Sequence[Path]) -> RecordedClock:
    """Return unit, offset and median latency of a recording's receive clock, from one quick pass over its lines.

    The unit is told by the number of digits of each file's first receive time. The offset is what makes the smallest
    difference between receipt and the venue's event time `E` zero, when it is negative. Reading stops quietly at
    damage: the pass that makes the events names it.
    """
    unit_ns: dict[Path, int] = {}
    differences: list[int] = []
    for path in files:
        try:
            for _, line in numbered_lines(path):
                stamp, _, body = line.partition(b" ")
                if not stamp.isdigit() or len(stamp) > 19:
                    continue
                unit = unit_ns.setdefault(path, UNIT_NS_BY_DIGITS.get(len(stamp), 1))
                event_ms = _event_ms(body)
                if event_ms:
                    differences.append(int(stamp) * unit - event_ms * NS_PER_MS)
        except Unreadable:
            continue
    if not differences:
        return RecordedClock(unit_ns, 0, 0)
    offset_ns = max(0, -min(differences))
    return RecordedClock(unit_ns, offset_ns, median_low(differences) + offset_ns)


def _event_ms(body: bytes) -> int:
    """Return `E` of a stream message, 0 when it has none; a snapshot's `E` is long before its receipt."""
    if not body.startswith(b'{"stream"'):
        return 0
    start = body.find(b'"E":', 0, 200)
    digits = body[start + 4 : start + 17]
    return int(digits) if start >= 0 and digits.isdigit() else 0


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not a number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _message(body: bytes) -> Mapping[str, Any]:
    try:
        message = _DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise Unreadable(FaultKind.MALFORMED, f"expected one JSON object after the receive time, found {_shown(body)}")
    return message


def _whole(data: Mapping[str, Any], name: str) -> int:
    value = data[name]
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise Unreadable(
            FaultKind.MALFORMED, f"expected {name} to be a whole number, found {_shown(repr(value).encode())}"
        )
    return value


def _nano(data: Mapping[str, Any], name: str) -> int:
    return int(parse_decimal(data[name], field=name) * NANO)


def _shown(text: bytes) -> str:
    return repr(text[:60].decode(errors="replace"))
