"""The displayed book of one instrument, rebuilt from snapshots, deltas and single-order messages.

Level 1 is the best price a side, level 2 the quantity at every price, level 3 the messages of single orders, which move
level 2 here; which of them stand before us in the queue is kept by `executor/simulation/queue.py`, where it matters.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

from controlplane.domain.invariants import require
from controlplane.domain.orders import Side
from executor.marketdata.events import (
    BookDelta,
    BookEvent,
    BookSnapshot,
    Levels,
    MarketEvent,
    OrderAction,
    OrderMessage,
)


class Book:
    """Prices and quantities of both sides.

    Arguments
        instrument  name of the instrument; events of another one are a bug of the caller
    """

    __slots__ = ("asks", "bids", "exchange_ns", "instrument", "is_ready", "receive_ns", "sequence")

    def __init__(self, instrument: str) -> None:
        self.instrument = instrument
        self.bids = BookSide(Side.BUY)
        self.asks = BookSide(Side.SELL)
        self.sequence = 0
        self.exchange_ns = 0
        self.receive_ns = 0
        self.is_ready = False

    def apply(self, event: MarketEvent) -> None:
        """Take in one event; trades, quotes, marks and status leave the book as it is."""
        if isinstance(event, BookDelta):
            self.bids.set_levels(event.bids)
            self.asks.set_levels(event.asks)
            self._stamp(event, event.sequence_last)
        elif isinstance(event, OrderMessage):
            self._apply_message(event)
            self._stamp(event, event.sequence)
        elif isinstance(event, BookSnapshot):
            self.bids.replace(event.bids)
            self.asks.replace(event.asks)
            self._stamp(event, event.sequence)
            self.is_ready = True

    def clear(self) -> None:
        """Forget every level; the book is ready again after the next snapshot."""
        self.bids.replace(())
        self.asks.replace(())
        self.is_ready = False

    def side(self, side: Side) -> "BookSide":
        """Return the bids for a buy and the asks for a sell: the side on which such an order rests."""
        return self.bids if side is Side.BUY else self.asks

    @property
    def bid_ticks(self) -> int:
        """Best bid, 0 when there is none."""
        return self.bids.best_ticks

    @property
    def bid_lots(self) -> int:
        """Lots at the best bid, 0 when there is none."""
        return self.bids.lots_at(self.bids.best_ticks)

    @property
    def ask_ticks(self) -> int:
        """Best ask, 0 when there is none."""
        return self.asks.best_ticks

    @property
    def ask_lots(self) -> int:
        """Lots at the best ask, 0 when there is none."""
        return self.asks.lots_at(self.asks.best_ticks)

    @property
    def is_two_sided(self) -> bool:
        """Both sides hold at least one level."""
        return bool(self.bids) and bool(self.asks)

    @property
    def is_crossed(self) -> bool:
        """The best bid is above the best ask, which no venue displays in continuous trading."""
        return self.is_two_sided and self.bids.best_ticks > self.asks.best_ticks

    @property
    def is_locked(self) -> bool:
        """The best bid equals the best ask."""
        return self.is_two_sided and self.bids.best_ticks == self.asks.best_ticks

    @property
    def mid_half_ticks(self) -> int:
        """Mid price in half ticks, exact; 0 unless both sides are there."""
        return self.bids.best_ticks + self.asks.best_ticks if self.is_two_sided else 0

    def snapshot(self, *, feed: str, exchange_ns: int, receive_ns: int) -> BookSnapshot:
        """Return the book as an event, so that a reader who comes late can start from it."""
        return BookSnapshot(
            instrument=self.instrument,
            feed=feed,
            exchange_ns=exchange_ns,
            receive_ns=receive_ns,
            sequence=self.sequence,
            bids=self.bids.levels(),
            asks=self.asks.levels(),
        )

    def _stamp(self, event: BookEvent, sequence: int) -> None:
        self.sequence = sequence
        self.exchange_ns = event.exchange_ns
        self.receive_ns = event.receive_ns

    def _apply_message(self, message: OrderMessage) -> None:
        side = self.side(message.side)
        shown_lots = side.lots_at(message.price_ticks)
        change_lots = message.quantity_lots if message.action is OrderAction.ADD else -message.quantity_lots
        require(
            shown_lots + change_lots >= 0,
            f"Message {message.sequence} takes {message.quantity_lots} of {shown_lots} lots at {message.price_ticks}; "
            "validate.check_event must run first.",
        )
        side.set_levels(((message.price_ticks, shown_lots + change_lots),))


class BookSide:
    """One side: quantity by price, and the prices in order with the best one last.

    Changes come mostly near the best price, so the list moves few elements when a level comes or goes.
    """

    __slots__ = ("_keys", "_lots", "_sign")

    def __init__(self, side: Side) -> None:
        self._sign = int(side)
        self._lots: dict[int, int] = {}
        # Prices times the sign, ascending: for asks the key of the best (lowest) price is the largest.
        self._keys: list[int] = []

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def best_ticks(self) -> int:
        """Best price, 0 when the side is empty."""
        return self._keys[-1] * self._sign if self._keys else 0

    @property
    def worst_ticks(self) -> int:
        """Deepest price that is shown, 0 when the side is empty."""
        return self._keys[0] * self._sign if self._keys else 0

    def lots_at(self, price_ticks: int) -> int:
        """Return the lots shown at a price, 0 when there is no such level."""
        return self._lots.get(price_ticks, 0)

    def levels(self, count: int | None = None) -> Levels:
        """Return up to `count` levels, best first; all of them without a count."""
        keys = self._keys if count is None else self._keys[max(0, len(self._keys) - count) :]
        return tuple([(key * self._sign, self._lots[key * self._sign]) for key in reversed(keys)])

    def best_first(self) -> Iterator[tuple[int, int]]:
        """Yield (price, lots) from the best level on; the side must not change meanwhile."""
        for key in reversed(self._keys):
            yield key * self._sign, self._lots[key * self._sign]

    def depth_lots(self, count: int) -> int:
        """Return the lots of the best `count` levels together."""
        return sum(lots for _, lots in self.levels(count))

    def replace(self, levels: Levels) -> None:
        """Hold exactly these levels."""
        self._lots = {price: lots for price, lots in levels if lots > 0}
        self._keys = sorted([price * self._sign for price in self._lots])

    def set_levels(self, levels: Levels) -> None:
        """Set the quantity of each level; zero removes it, and removing what isn't there changes nothing."""
        shown, keys, sign = self._lots, self._keys, self._sign
        for price, lots in levels:
            if lots:
                if price not in shown:
                    insort(keys, price * sign)
                shown[price] = lots
            elif shown.pop(price, 0):
                del keys[bisect_left(keys, price * sign)]
