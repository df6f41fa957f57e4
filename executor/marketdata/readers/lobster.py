"""LOBSTER samples: a message file (single orders, level 3) and an order book file with the book after each message.

The book is rebuilt from the messages alone and held against the order book file at every row. Only what the messages
can't tell is taken from that file: a level that slides into view when one above it goes. What slides out is dropped,
since nobody tells what happens to it there. Times are New York seconds after midnight; there is no receive time.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import zip_longest
from pathlib import Path

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.instruments import Instrument
from controlplane.domain.observations import Phase
from controlplane.domain.orders import Side
from executor.marketdata.book import Book
from executor.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Fault,
    FaultKind,
    Levels,
    MarketEvent,
    OrderAction,
    OrderMessage,
    Remedy,
    Status,
    Trade,
    TradeCondition,
)
from executor.marketdata.readers.lines import BAD_LINES_MAX, Unreadable, numbered_lines
from executor.marketdata.readers.load_report import LoadReport

# Prices are stated in ten-thousandths of a dollar.
PRICE_SCALE = 10_000
ACTIONS = {1: OrderAction.ADD, 2: OrderAction.REDUCE, 3: OrderAction.DELETE, 4: OrderAction.EXECUTE}
HIDDEN_EXECUTION = 5
HALT = 7
HALT_PHASES = {-1: Phase.VENUE_HALT, 0: Phase.AUCTION, 1: Phase.CONTINUOUS}


class LobsterReader:
    """Events of one ticker on one day.

    Arguments
        message_file    what happened
        orderbook_file  the book after each row of it
        instrument      definition whose tick prices are converted to; its lot is one share
        day             trading day, which the files state in their names only
    """

    def __init__(
        self, message_file: Path, orderbook_file: Path, *, instrument: Instrument, feed: str, day: date
    ) -> None:
        self.message_file = message_file
        self.orderbook_file = orderbook_file
        self.instrument = instrument
        self.feed = feed
        self.midnight_ns = new_york_midnight_ns(day)
        self.report = LoadReport(feed)
        self._tick = int(instrument.tick_size * PRICE_SCALE)
        self._last_ns = 0
        self._between_ticks = 0

    @property
    def instrument_name(self) -> str:
        """Name of the instrument that the events carry."""
        return self.instrument.name

    def events(self) -> Iterator[MarketEvent | Fault]:
        """Yield every event and every fault from the beginning; `report` is complete when the last one was taken.

        A row gives a trade when something was executed, then the message, then the levels that slid into or out of
        view. A row that can't be read or contradicts the book file gives a fault, and the next good row starts anew
        from a snapshot of the book file.
        """
        self.report = LoadReport(self.feed)
        self.report.notes.append("The recording holds no receive times: they are taken to be the venue's own.")
        self._last_ns, self._between_ticks = self.midnight_ns, 0
        book: Book | None = None
        bad_rows = 0
        for row, message_line, book_line in self._rows():
            if isinstance(message_line, Fault):
                yield message_line
                return
            try:
                made, book = self._row_events(row, message_line, book_line, book)
            except Unreadable as bad:
                book, bad_rows = None, bad_rows + 1
                yield self._fault(bad.kind, f"{self.message_file.name} line {row}: {bad}")
                if bad_rows >= BAD_LINES_MAX:
                    yield self._fault(
                        FaultKind.MALFORMED,
                        f"{self.message_file.name}: found {bad_rows} unusable rows and read no further",
                    )
                    return
            else:
                yield from made
        if self._between_ticks:
            self.report.notes.append(
                f"{self._between_ticks} executions of hidden orders lay between two ticks; they are stated at the tick "
                "nearer to their aggressor's side, where they help a resting order of ours least."
            )

    def _rows(self) -> Iterator[tuple[int, bytes | Fault, bytes]]:
        """Yield (row, message line, book line); last, a fault when one file is broken or shorter than the other."""
        row = 0
        try:
            for message, book in zip_longest(numbered_lines(self.message_file), numbered_lines(self.orderbook_file)):
                row += 1
                if message is None or book is None:
                    short = self.message_file if message is None else self.orderbook_file
                    raise Unreadable(
                        FaultKind.TRUNCATED,
                        f"expected as many rows in both files, found that {short.name} ends before row {row}",
                    )
                self.report.lines += 1
                yield row, message[1], book[1]
        except Unreadable as broken:
            yield (
                row,
                self._fault(broken.kind, f"{self.message_file.name} and {self.orderbook_file.name}, {broken}"),
                b"",
            )

    def _row_events(
        self, row: int, message_line: bytes, book_line: bytes, book: Book | None
    ) -> tuple[Sequence[MarketEvent], Book]:
        time_ns, kind, order_id, size, price, direction = self._message(message_line)
        if time_ns < self._last_ns:
            raise Unreadable(
                FaultKind.CLOCK, f"expected a time not before the row above, found {self._last_ns - time_ns} ns back"
            )
        self._last_ns = time_ns
        trades = self._trades(row, time_ns, kind, size, price, direction)
        if kind == HALT:
            # A halt's row shows dummy or opening prices; the book starts anew when continuous trading does.
            status = Status(
                self.instrument.name, self.feed, time_ns, time_ns, row, HALT_PHASES.get(price, Phase.UNKNOWN)
            )
            return self._counted([status]), Book(self.instrument.name)
        shown = self._shown(book_line)
        if book is None or not book.is_ready:
            snapshot = BookSnapshot(self.instrument.name, self.feed, time_ns, time_ns, row, *shown)
            book = Book(self.instrument.name)
            book.apply(snapshot)
            return self._counted([*trades, snapshot]), book
        made: list[MarketEvent] = trades
        if kind in ACTIONS:
            side = Side.BUY if direction == 1 else Side.SELL
            message = OrderMessage(
                self.instrument.name,
                self.feed,
                time_ns,
                time_ns,
                row,
                ACTIONS[kind],
                order_id,
                side,
                self._ticks(price),
                size,
            )
            self._apply(book, message)
            made.append(message)
        window = self._window(row, time_ns, book, shown)
        if window is not None:
            book.apply(window)
            made.append(window)
        self.report.crossed_rows += book.is_crossed or book.is_locked
        return self._counted(made), book

    def _message(self, line: bytes) -> tuple[int, int, int, int, int, int]:
        fields = line.split(b",")
        try:
            time, (kind, order_id, size, price, direction) = fields[0], map(int, fields[1:])
            seconds, _, fraction = time.partition(b".")
            # One time of the AMZN sample was printed with twelve decimals; beyond the ninth they mean nothing.
            time_ns = self.midnight_ns + int(seconds) * NS_PER_S + int(fraction[:9].ljust(9, b"0"))
        except ValueError:
            raise Unreadable(
                FaultKind.MALFORMED, f"expected six numbers, found {line[:60].decode(errors='replace')!r}"
            ) from None
        if not seconds.isdigit() or int(seconds) >= 2 * 86_400:
            raise Unreadable(
                FaultKind.MALFORMED, f"expected seconds after midnight, found {time.decode(errors='replace')[:40]!r}"
            )
        if kind not in ACTIONS and kind not in (HIDDEN_EXECUTION, HALT):
            raise Unreadable(FaultKind.MALFORMED, f"expected a message type of 1 to 5 or 7, found {kind}")
        if kind != HALT and (size <= 0 or price <= 0 or direction not in (1, -1)):
            raise Unreadable(
                FaultKind.SIZE,
                f"expected a positive size and price and a direction of 1 or -1, found {size}, {price} and {direction}",
            )
        return time_ns, kind, order_id, size, price, direction

    def _trades(self, row: int, time_ns: int, kind: int, size: int, price: int, direction: int) -> list[MarketEvent]:
        if kind not in (4, HIDDEN_EXECUTION):
            return []
        aggressor = Side.SELL if direction == 1 else Side.BUY
        is_hidden = kind == HIDDEN_EXECUTION
        ticks, rest = divmod(price, self._tick)
        if rest and not is_hidden:
            self._ticks(price)
        if rest:
            self._between_ticks += 1
            # A seller at 100.5 ticks reached down to 101 but not to 100; a buyer reached up to 100 but not to 101.
            ticks += aggressor is Side.SELL
        condition = TradeCondition.HIDDEN if is_hidden else TradeCondition.REGULAR
        return [Trade(self.instrument.name, self.feed, time_ns, time_ns, row, ticks, size, aggressor, condition)]

    def _apply(self, book: Book, message: OrderMessage) -> None:
        shown_lots = book.side(message.side).lots_at(message.price_ticks)
        if message.action is not OrderAction.ADD and shown_lots < message.quantity_lots:
            raise Unreadable(
                FaultKind.DISAGREEMENT,
                f"expected the message to take at most the {shown_lots} shares shown at {message.price_ticks} ticks, "
                f"found {message.quantity_lots}",
            )
        book.apply(message)

    def _window(self, row: int, time_ns: int, book: Book, shown: tuple[Levels, Levels]) -> BookDelta | None:
        """Return the levels that slid into or out of view, after comparing all others with the order book file."""
        bids = self._slid(book, Side.BUY, shown[0])
        asks = self._slid(book, Side.SELL, shown[1])
        if not bids and not asks:
            return None
        return BookDelta(self.instrument.name, self.feed, time_ns, time_ns, row, row, row, bids, asks, True)

    def _slid(self, book: Book, side: Side, shown: Levels) -> Levels:
        rebuilt = book.side(side).levels()
        both = min(len(rebuilt), len(shown))
        self.report.levels_compared += both
        if rebuilt[:both] != shown[:both]:
            differing = sum(ours != theirs for ours, theirs in zip(rebuilt, shown, strict=False))
            self.report.levels_differing += differing
            raise Unreadable(
                FaultKind.DISAGREEMENT,
                f"expected the rebuilt {'bids' if side is Side.BUY else 'asks'} on every level that both show, "
                f"found {differing} of {both} differing",
            )
        if len(shown) > both:
            self.report.levels_revealed += len(shown) - both
            return shown[both:]
        return tuple([(price, 0) for price, _ in rebuilt[both:]])

    def _shown(self, line: bytes) -> tuple[Levels, Levels]:
        try:
            numbers = list(map(int, line.split(b",")))
        except ValueError:
            numbers = []
        if not numbers or len(numbers) % 4:
            raise Unreadable(
                FaultKind.MALFORMED,
                f"expected four whole numbers a level in {self.orderbook_file.name}, "
                f"found {line[:60].decode(errors='replace')!r}",
            )
        asks = tuple(
            [(self._ticks(price), size) for price, size in zip(numbers[0::4], numbers[1::4], strict=True) if size]
        )
        bids = tuple(
            [(self._ticks(price), size) for price, size in zip(numbers[2::4], numbers[3::4], strict=True) if size]
        )
        return bids, asks

    def _ticks(self, price: int) -> int:
        ticks, rest = divmod(price, self._tick)
        if rest or ticks <= 0:
            raise Unreadable(FaultKind.OFF_GRID, f"expected positive prices in steps of {self._tick}, found {price}")
        return ticks

    def _counted(self, made: Sequence[MarketEvent]) -> Sequence[MarketEvent]:
        for event in made:
            self.report.count(type(event).__name__, event.receive_ns)
        return made

    def _fault(self, kind: FaultKind, finding: str) -> Fault:
        self.report.faults[kind] += 1
        sentence = f"{finding}; the feed is cut off until its next snapshot."
        return Fault(kind, Remedy.SNAPSHOT, self.feed, self.instrument.name, self._last_ns, sentence)


def new_york_midnight_ns(day: date) -> int:
    """Return midnight in New York as nanoseconds since the epoch in UTC, by the daylight saving rules since 1987.

    Written out because a bare machine may hold no time zone files.

    Source
        Energy Policy Act of 2005: second Sunday of March to first Sunday of November, from 2007; before that, first
        Sunday of April to last Sunday of October. At midnight of the day it begins, standard time still holds.
    """
    if day.year >= 2007:
        begins, ends = _sunday(day.year, 3, 8), _sunday(day.year, 11, 1)
    else:
        begins, ends = _sunday(day.year, 4, 1), _sunday(day.year, 10, 25)
    behind = timedelta(hours=4 if begins < day <= ends else 5)
    return int((datetime(day.year, day.month, day.day, tzinfo=UTC) + behind).timestamp()) * NS_PER_S


def _sunday(year: int, month: int, first_day: int) -> date:
    """Return the first Sunday on or after a day of the month."""
    day = date(year, month, first_day)
    return day + timedelta(days=(6 - day.weekday()) % 7)
