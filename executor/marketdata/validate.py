"""Rules that every market event passes before anything uses it; each answers with a fault or with nothing.

They judge one event against what the feed said before: sequence, clocks, sizes, crossed or locked prices, silence, and
prices far from the recent ones. What a fault means for the feed is decided in `quarantine.py`.
"""

from collections import deque
from dataclasses import dataclass, field
from statistics import median_low

from controlplane.domain.clock import NS_PER_MS, NS_PER_S
from executor.marketdata.book import Book
from executor.marketdata.events import (
    BookDelta,
    BookEvent,
    BookSnapshot,
    Fault,
    FaultKind,
    Levels,
    MarketEvent,
    OrderAction,
    OrderMessage,
    Quote,
    Remedy,
    Trade,
    TradeCondition,
)

BPS = 10_000
# The median absolute deviation of a normal law, times this, is its standard deviation: 1.4826, in ten-thousandths.
MAD_TO_DEVIATION = 14_826


@dataclass(frozen=True, slots=True)
class ValidationLimits:
    """How much a feed may deviate before it is distrusted.

    Fields
        silence_ns_max        longest silence of a feed before it is stale
        clock_back_ns_max     how far the venue's time may step back within one kind of event
        clock_ahead_ns_max    how far the venue's time may lie ahead of ours
        outlier_score_max     robust standard deviations from the median of the recent prices
        outlier_floor_bps     smallest deviation that is assumed, so that a quiet minute doesn't make a tick an outlier
        outlier_window        how many recent prices the median is taken over
        outlier_repeats_max   so many far prices in a row are a market that moved, not an error
    """

    silence_ns_max: int = 30 * NS_PER_S
    clock_back_ns_max: int = 100 * NS_PER_MS
    clock_ahead_ns_max: int = 5 * NS_PER_S
    outlier_score_max: int = 10
    outlier_floor_bps: int = 10
    outlier_window: int = 101
    outlier_repeats_max: int = 5


@dataclass(slots=True)
class PriceWindow:
    """Recent prices of one kind of event with their median and deviation, which are taken anew every 16 prices."""

    prices: deque[int]
    center: int = 0
    deviation: int = 0
    until_refresh: int = 0
    repeats: int = 0

    def is_outlier(self, price: int, limits: ValidationLimits) -> bool:
        """Whether the price lies too far from the recent ones; remembers it only when it doesn't."""
        if self.prices and self._is_far(price, limits):
            self.repeats += 1
            if self.repeats < limits.outlier_repeats_max:
                return True
            # The market went there and stays: what was before is no measure any more.
            self.prices.clear()
            self.until_refresh = 0
        self.repeats = 0
        self.prices.append(price)
        if self.until_refresh <= 0:
            self._refresh()
        self.until_refresh -= 1
        return False

    def _is_far(self, price: int, limits: ValidationLimits) -> bool:
        floor = max(1, self.center * limits.outlier_floor_bps // BPS)
        deviation = max(self.deviation * MAD_TO_DEVIATION // BPS, floor)
        return abs(price - self.center) > limits.outlier_score_max * deviation

    def _refresh(self) -> None:
        self.center = median_low(self.prices)
        self.deviation = median_low([abs(price - self.center) for price in self.prices])
        self.until_refresh = min(16, len(self.prices))


@dataclass(slots=True)
class FeedHistory:
    """What a feed said so far, as far as a rule needs it."""

    trade_prices: PriceWindow
    quote_prices: PriceWindow
    receive_ns: int = 0
    trade_sequence: int = 0
    quote_sequence: int = 0
    is_after_snapshot: bool = False
    exchange_ns: dict[type, int] = field(default_factory=dict)

    @classmethod
    def empty(cls, limits: ValidationLimits) -> "FeedHistory":
        """Return the history of a feed that has not spoken yet."""
        return cls(PriceWindow(deque(maxlen=limits.outlier_window)), PriceWindow(deque(maxlen=limits.outlier_window)))

    def note(self, event: MarketEvent) -> None:
        """Remember an event that was trusted."""
        self.receive_ns = event.receive_ns
        kind = type(event)
        if event.exchange_ns > self.exchange_ns.get(kind, 0):
            self.exchange_ns[kind] = event.exchange_ns
        if isinstance(event, Trade):
            self.trade_sequence = event.sequence
        elif isinstance(event, Quote):
            self.quote_sequence = event.sequence
        elif isinstance(event, BookSnapshot):
            self.is_after_snapshot = True
        elif isinstance(event, BookDelta):
            self.is_after_snapshot = False


def check_event(event: MarketEvent, book: Book, history: FeedHistory, limits: ValidationLimits) -> Fault | None:
    """Return why the event can't be trusted, or None; the book is the one before the event."""
    fault = _clock_fault(event, history, limits)
    if fault is not None:
        return fault
    if isinstance(event, Quote):
        return _quote_fault(event, history, limits)
    if isinstance(event, Trade):
        return _trade_fault(event, history, limits)
    if isinstance(event, BookDelta):
        return (
            _delta_fault(event, book, history)
            or _level_fault(event, event.bids, 0)
            or _level_fault(event, event.asks, 0)
        )
    if isinstance(event, OrderMessage):
        return _message_fault(event, book)
    if isinstance(event, BookSnapshot):
        return _level_fault(event, event.bids, 1) or _level_fault(event, event.asks, 1)
    return None


def check_book(book: Book, event: BookEvent) -> Fault | None:
    """Return why the book after the event can't be right: crossed or locked; None otherwise."""
    if book.is_crossed:
        return fault_of(
            event,
            FaultKind.CROSSED,
            Remedy.SNAPSHOT,
            f"expected the best bid below the best ask, found {book.bid_ticks} above {book.ask_ticks}",
        )
    if book.is_locked:
        return fault_of(
            event,
            FaultKind.LOCKED,
            Remedy.SNAPSHOT,
            f"expected the best bid below the best ask, found both at {book.bid_ticks}",
        )
    return None


def check_age(
    history: FeedHistory, *, feed: str, instrument: str, now_ns: int, limits: ValidationLimits
) -> Fault | None:
    """Return a fault when the feed has been silent for too long at `now_ns`; None before its first event."""
    silence_ns = now_ns - history.receive_ns
    if history.receive_ns == 0 or silence_ns <= limits.silence_ns_max:
        return None
    return Fault(
        FaultKind.STALE,
        Remedy.NEXT_EVENT,
        feed,
        instrument,
        history.receive_ns + limits.silence_ns_max,
        f"{feed}: expected an event of {instrument} at least every {limits.silence_ns_max / NS_PER_S:g} s, "
        f"found {silence_ns / NS_PER_S:.1f} s of silence; it is used again with its next event.",
    )


def fault_of(event: MarketEvent, kind: FaultKind, remedy: Remedy, finding: str) -> Fault:
    """Return the fault with its sentence: feed, what was expected and found, and what happens next."""
    ending = "this event is withheld" if remedy is Remedy.WITHHOLD else "the feed is cut off until its next snapshot"
    return Fault(kind, remedy, event.feed, event.instrument, event.receive_ns, f"{event.feed}: {finding}; {ending}.")


def _clock_fault(event: MarketEvent, history: FeedHistory, limits: ValidationLimits) -> Fault | None:
    if event.receive_ns < history.receive_ns:
        back_ns = history.receive_ns - event.receive_ns
        return fault_of(
            event,
            FaultKind.CLOCK,
            Remedy.SNAPSHOT,
            f"expected receive times that never go back, found a step back of {back_ns} ns",
        )
    back_ns = history.exchange_ns.get(type(event), 0) - event.exchange_ns
    if back_ns > limits.clock_back_ns_max:
        return fault_of(
            event,
            FaultKind.CLOCK,
            Remedy.SNAPSHOT,
            f"expected the venue's clock to step back at most {limits.clock_back_ns_max} ns, found {back_ns} ns",
        )
    ahead_ns = event.exchange_ns - event.receive_ns
    if ahead_ns > limits.clock_ahead_ns_max:
        return fault_of(
            event,
            FaultKind.CLOCK,
            Remedy.SNAPSHOT,
            f"expected the venue's time at most {limits.clock_ahead_ns_max} ns ahead of ours, found {ahead_ns} ns",
        )
    return None


def _delta_fault(delta: BookDelta, book: Book, history: FeedHistory) -> Fault | None:
    if not book.is_ready:
        return fault_of(
            delta, FaultKind.GAP, Remedy.SNAPSHOT, "expected a book snapshot before the first delta, found none"
        )
    if delta.is_window:
        if delta.sequence_last < book.sequence:
            return _order_fault(delta, delta.sequence_last, book.sequence)
        return None
    if history.is_after_snapshot:
        # The first delta may reach back over the snapshot, but must reach it and must leave no hole behind it.
        if delta.sequence_last < book.sequence:
            return _order_fault(delta, delta.sequence_last, book.sequence)
        is_joined = delta.sequence_before <= book.sequence
    else:
        if delta.sequence_last <= book.sequence:
            return _order_fault(delta, delta.sequence_last, book.sequence)
        is_joined = delta.sequence_before == book.sequence
    if is_joined:
        return None
    return fault_of(
        delta,
        FaultKind.GAP,
        Remedy.SNAPSHOT,
        f"expected the delta that follows update {book.sequence}, found one that follows {delta.sequence_before}",
    )


def _order_fault(event: BookEvent, found: int, last: int) -> Fault:
    return fault_of(
        event,
        FaultKind.OUT_OF_ORDER,
        Remedy.SNAPSHOT,
        f"expected a sequence number above {last}, found {found} again or late",
    )


def _level_fault(event: BookEvent, levels: Levels, lots_min: int) -> Fault | None:
    for price, lots in levels:
        if price <= 0 or lots < lots_min:
            return fault_of(
                event,
                FaultKind.SIZE,
                Remedy.SNAPSHOT,
                f"expected a positive price and at least {lots_min} lots a level, found {lots} lots at {price} ticks",
            )
    return None


def _message_fault(message: OrderMessage, book: Book) -> Fault | None:
    if not book.is_ready:
        return fault_of(
            message,
            FaultKind.GAP,
            Remedy.SNAPSHOT,
            "expected a book snapshot before the first order message, found none",
        )
    if message.sequence <= book.sequence:
        return _order_fault(message, message.sequence, book.sequence)
    if message.quantity_lots <= 0 or message.price_ticks <= 0:
        return fault_of(
            message,
            FaultKind.SIZE,
            Remedy.SNAPSHOT,
            f"expected a positive size and price, found {message.quantity_lots} lots at {message.price_ticks} ticks",
        )
    shown_lots = book.side(message.side).lots_at(message.price_ticks)
    if message.action is not OrderAction.ADD and shown_lots < message.quantity_lots:
        return fault_of(
            message,
            FaultKind.DISAGREEMENT,
            Remedy.SNAPSHOT,
            f"expected message {message.sequence} to take at most the {shown_lots} lots shown at "
            f"{message.price_ticks} ticks, found {message.quantity_lots}",
        )
    return None


def _trade_fault(trade: Trade, history: FeedHistory, limits: ValidationLimits) -> Fault | None:
    if trade.quantity_lots <= 0 or trade.price_ticks <= 0:
        return fault_of(
            trade,
            FaultKind.SIZE,
            Remedy.WITHHOLD,
            f"expected a trade of positive size and price, found {trade.quantity_lots} lots at {trade.price_ticks}",
        )
    if trade.sequence <= history.trade_sequence:
        return fault_of(
            trade,
            FaultKind.OUT_OF_ORDER,
            Remedy.WITHHOLD,
            f"expected a trade number above {history.trade_sequence}, found {trade.sequence}",
        )
    if trade.condition is TradeCondition.OFF_BOOK:
        # Printed at an agreed or a bankruptcy price, which says nothing about the market's and must not move a median.
        return None
    return _outlier_fault(trade, trade.price_ticks, history.trade_prices, limits)


def _quote_fault(quote: Quote, history: FeedHistory, limits: ValidationLimits) -> Fault | None:
    if min(quote.bid_ticks, quote.bid_lots, quote.ask_ticks, quote.ask_lots) < 0 or (
        bool(quote.bid_ticks) != bool(quote.bid_lots) or bool(quote.ask_ticks) != bool(quote.ask_lots)
    ):
        return fault_of(
            quote,
            FaultKind.SIZE,
            Remedy.WITHHOLD,
            "expected price and size of a side both positive or both zero, found "
            f"{quote.bid_lots} at {quote.bid_ticks} and {quote.ask_lots} at {quote.ask_ticks}",
        )
    if quote.sequence <= history.quote_sequence:
        return fault_of(
            quote,
            FaultKind.OUT_OF_ORDER,
            Remedy.WITHHOLD,
            f"expected a quote of an update above {history.quote_sequence}, found {quote.sequence}",
        )
    if not quote.bid_ticks or not quote.ask_ticks:
        return None
    if quote.bid_ticks >= quote.ask_ticks:
        kind = FaultKind.LOCKED if quote.bid_ticks == quote.ask_ticks else FaultKind.CROSSED
        return fault_of(
            quote,
            kind,
            Remedy.WITHHOLD,
            f"expected a bid below the ask, found bid {quote.bid_ticks} and ask {quote.ask_ticks} ticks",
        )
    return _outlier_fault(quote, (quote.bid_ticks + quote.ask_ticks) // 2, history.quote_prices, limits)


def _outlier_fault(
    event: Trade | Quote, price_ticks: int, window: PriceWindow, limits: ValidationLimits
) -> Fault | None:
    if not window.is_outlier(price_ticks, limits):
        return None
    return fault_of(
        event,
        FaultKind.OUTLIER,
        Remedy.WITHHOLD,
        f"expected a price within {limits.outlier_score_max} robust deviations of {window.center}, found {price_ticks}",
    )
