"""One instrument's book with our own orders in it: who trades with whom, at what price, and how much.

The market's book comes from a feed and doesn't react to us; our orders are beside it. An incoming order of ours walks
the displayed levels. What it took stays taken as long as the feed still displays those lots: they count as the front of
their level and leave with its trades and its cancels. A resting order of ours stands behind what its level shows and is
filled when trades reach it, when they go through its price, or when the other side comes to its price; always at its
own price, and never for more than was traded or shown. Among our own orders the better price goes first, then the
earlier.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from controlplane.domain.invariants import require
from controlplane.domain.observations import Phase
from controlplane.domain.orders import Side
from executor.marketdata.book import Book
from executor.marketdata.events import (
    BookDelta,
    BookSnapshot,
    MarketEvent,
    OrderAction,
    OrderMessage,
    Quote,
    Status,
    Trade,
    TradeCondition,
)
from executor.simulation.queue import CancelModel, QueuePlace

# Trades remembered a level until the next refresh of the level explains them.
UNEXPLAINED_MAX = 10_000

Level = tuple[Side, int]


@dataclass(slots=True)
class RestingOrder:
    """One order of ours in the book.

    Fields
        priority  smaller is earlier
        place     where it stands at its level; None while the level lies outside the part of the book that is shown
        behind    market orders known to have come after it (feeds of single orders only)
    """

    child_id: int
    side: Side
    price_ticks: int
    remaining_lots: int
    priority: int
    place: QueuePlace | None
    behind: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Fill:
    """Lots of one of our orders that traded."""

    child_id: int
    quantity_lots: int
    price_ticks: int
    is_maker: bool


class Matcher:
    """Matches our orders in one instrument against its feed.

    Arguments
        instrument  name of the instrument
        cancels     which orders of a level are assumed to be cancelled
    """

    def __init__(self, instrument: str, *, cancels: CancelModel = CancelModel.PROPORTIONAL) -> None:
        self.book = Book(instrument)
        self.phase = Phase.CONTINUOUS
        self._cancels = cancels
        self._quote: Quote | None = None
        self._has_level_feed = True
        self._resting: dict[Side, list[RestingOrder]] = {Side.BUY: [], Side.SELL: []}
        # What we took, by the side that displays it and the price.
        self._taken: dict[Side, dict[int, QueuePlace]] = {Side.BUY: {}, Side.SELL: {}}
        # Trades at watched levels that the book doesn't show yet: (exchange_ns, lots).
        self._unexplained: dict[Level, deque[tuple[int, int]]] = {}

    @property
    def is_open(self) -> bool:
        """There is a book, and the venue trades continuously."""
        return self.book.is_ready and self.phase is Phase.CONTINUOUS

    def on_event(self, event: MarketEvent) -> list[Fill]:
        """Return the fills of our resting orders that a market event brings about."""
        if isinstance(event, Trade):
            return self._on_trade(event) if self.is_open else []
        if isinstance(event, Quote):
            self._quote = event
        elif isinstance(event, BookDelta):
            self._on_delta(event)
        elif isinstance(event, OrderMessage):
            self._on_message(event)
        elif isinstance(event, BookSnapshot):
            self._on_snapshot(event)
        else:
            if isinstance(event, Status):
                self.phase = event.phase
            return []
        return self._match_crossed()

    def suspend(self) -> None:
        """Stand still without a book until the next snapshot; our orders stay where they are."""
        self.book.clear()
        self._quote = None
        self._unexplained.clear()

    def take(self, taker: Side, quantity_lots: int, limit_ticks: int) -> list[tuple[int, int]]:
        """Return (price, lots) of what an incoming order gets at once, best price first; those lots are then taken."""
        taken, left_lots = [], quantity_lots
        for price, lots in self._available(taker, limit_ticks):
            part_lots = min(lots, left_lots)
            places = self._taken[_other(taker)]
            places.setdefault(price, QueuePlace(0)).ahead_lots += part_lots
            taken.append((price, part_lots))
            left_lots -= part_lots
            if not left_lots:
                break
        return taken

    def takeable_lots(self, taker: Side, quantity_lots: int, limit_ticks: int) -> int:
        """Return how much of the quantity could be had at once, without taking it."""
        found_lots = 0
        for _, lots in self._available(taker, limit_ticks):
            found_lots += lots
            if found_lots >= quantity_lots:
                return quantity_lots
        return found_lots

    def would_cross(self, side: Side, price_ticks: int) -> bool:
        """Whether an order at this price would trade at once."""
        return next(self._available(side, price_ticks), None) is not None

    def best_own_ticks(self, side: Side) -> int | None:
        """Return the best price of our resting orders on a side, None when there are none."""
        orders = self._resting[side]
        return orders[0].price_ticks if orders else None

    def rest(self, order: RestingOrder) -> None:
        """Put an order into the book, behind what its level shows."""
        require(order.remaining_lots > 0, f"Child {order.child_id:016x} rests with {order.remaining_lots} lots.")
        order.place = self._joined(order.side, order.price_ticks)
        insort(self._resting[order.side], order, key=_price_time)

    def withdraw(self, order: RestingOrder) -> None:
        """Take an order out of the book."""
        self._resting[order.side].remove(order)

    # --- market events ----------------------------------------------------------------------------------------------

    def _on_trade(self, trade: Trade) -> list[Fill]:
        if trade.condition is TradeCondition.OFF_BOOK:
            return []
        side = _other(trade.aggressor)
        is_hidden = trade.condition is TradeCondition.HIDDEN
        # A diff of levels can overtake the print of a trade that it already contains.
        is_late = self._has_level_feed and trade.exchange_ns < self.book.exchange_ns
        fills, filled_lots = [], 0
        for order in list(self._resting[side]):
            distance = (order.price_ticks - trade.price_ticks) * side
            if distance < 0:
                break
            beyond_lots = _beyond(
                order, trade.quantity_lots, is_through=distance > 0, is_late=is_late, is_hidden=is_hidden
            )
            part_lots = min(order.remaining_lots, max(0, beyond_lots - filled_lots))
            if part_lots:
                filled_lots += part_lots
                fills.append(self._fill(order, part_lots))
        if not is_hidden:
            self._note_trade(side, trade, is_late=is_late)
        return fills

    def _note_trade(self, side: Side, trade: Trade, *, is_late: bool) -> None:
        """Use up what we took at the level, and remember the trade until the level is refreshed."""
        place = self._taken[side].get(trade.price_ticks)
        if place is not None:
            place.on_trade(trade.quantity_lots, is_late=is_late)
        if not is_late and trade.price_ticks in self._watched(side):
            pending = self._unexplained.setdefault((side, trade.price_ticks), deque(maxlen=UNEXPLAINED_MAX))
            pending.append((trade.exchange_ns, trade.quantity_lots))

    def _on_delta(self, delta: BookDelta) -> None:
        self._has_level_feed = not delta.is_window
        touched: list[tuple[Side, int, int]] = []
        for side, levels in ((Side.BUY, delta.bids), (Side.SELL, delta.asks)):
            watched = self._watched(side)
            if watched:
                touched += [
                    (side, price, self.book.side(side).lots_at(price)) for price, _ in levels if price in watched
                ]
        self.book.apply(delta)
        for side, price, before_lots in touched:
            shown_lots = self.book.side(side).lots_at(price)
            if delta.is_window:
                # Out of view nothing is known, so places keep still; back in view no more can be ahead than is shown.
                before_lots = 0
                if not shown_lots:
                    continue
            traded_lots = self._explained(side, price, delta.exchange_ns)
            self._refresh(side, price, level_lots=max(0, before_lots - traded_lots), shown_lots=shown_lots)
        self._tidy()

    def _on_message(self, message: OrderMessage) -> None:
        self._has_level_feed = False
        side, price = message.side, message.price_ticks
        before_lots = self.book.side(side).lots_at(price)
        self.book.apply(message)
        if price not in self._watched(side):
            return
        shown_lots = self.book.side(side).lots_at(price)
        if message.action is OrderAction.EXECUTE:
            self._unexplained.pop((side, price), None)
            before_lots = shown_lots
        for order in self._at(side, price):
            if message.action is OrderAction.ADD:
                order.behind.add(message.order_id)
            elif message.action is not OrderAction.EXECUTE and order.place is not None:
                if message.order_id not in order.behind:
                    order.place.on_cancel_ahead(message.quantity_lots)
                elif message.action is OrderAction.DELETE:
                    order.behind.discard(message.order_id)
                order.place.ahead_lots = min(order.place.ahead_lots, shown_lots)
        taken = self._taken[side].get(price)
        if taken is not None:
            taken.on_refresh(level_lots=before_lots, shown_lots=shown_lots, cancels=self._cancels)
        self._tidy()

    def _on_snapshot(self, snapshot: BookSnapshot) -> None:
        """Start from a new book: what happened meanwhile isn't known, so places only shrink to what is shown."""
        self.book.apply(snapshot)
        self._quote = None
        self._unexplained.clear()
        for side in Side:
            for price in self._watched(side):
                self._refresh(side, price, level_lots=0, shown_lots=self.book.side(side).lots_at(price))
        self._tidy()

    def _explained(self, side: Side, price: int, exchange_ns: int) -> int:
        """Return the lots traded at a level up to a moment of the venue, which its refresh explains; forgets them."""
        pending, lots = self._unexplained.get((side, price)), 0
        while pending and pending[0][0] <= exchange_ns:
            lots += pending.popleft()[1]
        return lots

    def _refresh(self, side: Side, price: int, *, level_lots: int, shown_lots: int) -> None:
        for order in self._at(side, price):
            if order.place is not None:
                order.place.on_refresh(level_lots=level_lots, shown_lots=shown_lots, cancels=self._cancels)
        taken = self._taken[side].get(price)
        if taken is not None:
            taken.on_refresh(level_lots=level_lots, shown_lots=shown_lots, cancels=self._cancels)

    def _tidy(self) -> None:
        """Find the place of orders whose level came into view, and forget what is watched no longer."""
        for side in Side:
            for order in self._resting[side]:
                if order.place is None:
                    order.place = self._joined(side, order.price_ticks)
            places = self._taken[side]
            for price, place in list(places.items()):
                is_gone = self._is_in_view(side, price) and not self._shown_lots(side, price)
                if is_gone or not place.ahead_lots:
                    del places[price]
        if self._unexplained:
            for side, price in list(self._unexplained):
                if price not in self._watched(side):
                    del self._unexplained[side, price]

    def _match_crossed(self) -> list[Fill]:
        """Return the fills of our orders that the other side of the market has come to."""
        fills: list[Fill] = []
        if not self.is_open:
            return fills
        for side in Side:
            for order in list(self._resting[side]):
                lots = sum(lots for _, lots in self.take(side, order.remaining_lots, order.price_ticks))
                if not lots:
                    break
                fills.append(self._fill(order, lots))
        return fills

    def _fill(self, order: RestingOrder, lots: int) -> Fill:
        require(
            0 < lots <= order.remaining_lots, f"Child {order.child_id:016x} filled {lots} of {order.remaining_lots}."
        )
        order.remaining_lots -= lots
        if not order.remaining_lots:
            self.withdraw(order)
        return Fill(order.child_id, lots, order.price_ticks, is_maker=True)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def _available(self, taker: Side, limit_ticks: int) -> Iterator[tuple[int, int]]:
        """Yield (price, lots) a taker can have up to a limit, best first: what is shown, less what we took already."""
        shown_side = _other(taker)
        places = self._taken[shown_side]
        for price, shown_lots in self._shown(shown_side):
            if (limit_ticks - price) * taker < 0:
                return
            place = places.get(price)
            lots = shown_lots - place.ahead_lots if place is not None else shown_lots
            if lots > 0:
                yield price, lots

    def _shown(self, side: Side) -> Iterator[tuple[int, int]]:
        """Yield the levels of a side; a quote that is newer than the book replaces what lies at or before its price."""
        quote = self._fresh_quote()
        if quote is None:
            yield from self.book.side(side).best_first()
            return
        best, lots = (quote.bid_ticks, quote.bid_lots) if side is Side.BUY else (quote.ask_ticks, quote.ask_lots)
        if not best:
            return
        yield best, lots
        for price, lots in self.book.side(side).best_first():
            if (best - price) * side > 0:
                yield price, lots

    def _shown_lots(self, side: Side, price: int) -> int:
        """Return the lots shown at a price by the book or by a newer quote, whichever are more."""
        shown_lots, quote = self.book.side(side).lots_at(price), self._fresh_quote()
        if quote is None:
            return shown_lots
        best, lots = (quote.bid_ticks, quote.bid_lots) if side is Side.BUY else (quote.ask_ticks, quote.ask_lots)
        return max(shown_lots, lots) if price == best else shown_lots

    def _fresh_quote(self) -> Quote | None:
        return self._quote if self._quote is not None and self._quote.sequence > self.book.sequence else None

    def _is_in_view(self, side: Side, price: int) -> bool:
        """Whether a price lies within the levels that the feed shows; deeper ones exist but are not known."""
        shown = self.book.side(side)
        return bool(shown) and (price - shown.worst_ticks) * side >= 0

    def _joined(self, side: Side, price: int) -> QueuePlace | None:
        return QueuePlace(self._shown_lots(side, price)) if self._is_in_view(side, price) else None

    def _at(self, side: Side, price: int) -> list[RestingOrder]:
        return [order for order in self._resting[side] if order.price_ticks == price]

    def _watched(self, side: Side) -> set[int]:
        """Return the prices of a side at which a place of ours depends on what happens."""
        resting, taken = self._resting[side], self._taken[side]
        if not resting and not taken:
            return set()
        return {order.price_ticks for order in resting}.union(taken)


def _beyond(order: RestingOrder, traded_lots: int, *, is_through: bool, is_late: bool, is_hidden: bool) -> int:
    """Return how many of the traded lots reach an order: all that go through its price, else those beyond its queue."""
    if is_through:
        # The market traded at a worse price, so everything at ours is gone.
        if order.place is not None:
            order.place.ahead_lots = 0
        return traded_lots
    if order.place is None:
        return 0
    if is_hidden:
        # Displayed orders go before hidden ones at their price, and a hidden execution doesn't shorten their queue.
        return max(0, traded_lots - order.place.ahead_lots)
    return order.place.on_trade(traded_lots, is_late=is_late)


def _other(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY


def _price_time(order: RestingOrder) -> tuple[int, int]:
    return -order.price_ticks * order.side, order.priority
