"""What a market feed says, in one form for every source: book, orders, trades, quotes, marks and trading status.

Every event carries the instrument, the feed, the venue's time (`exchange_ns`) and ours (`receive_ns`), both nanoseconds
since the epoch in UTC, and a sequence number of its own stream. Prices are ticks and quantities lots of the instrument.
`receive_ns` never goes back within a feed; `exchange_ns` equals it where the venue states no time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from controlplane.domain.observations import Phase
from controlplane.domain.orders import Side

# (price in ticks, quantity in lots), one pair a level.
Levels = tuple[tuple[int, int], ...]


class OrderAction(StrEnum):
    """What happened to one displayed order of the market."""

    ADD = "add"
    REDUCE = "reduce"
    DELETE = "delete"
    EXECUTE = "execute"


class TradeCondition(StrEnum):
    """Whether a trade consumed displayed orders; only a regular one did."""

    REGULAR = "regular"
    HIDDEN = "hidden"
    OFF_BOOK = "off book"


@dataclass(frozen=True, slots=True)
class BookSnapshot:
    """The whole displayed book, best level first; whatever was known before is void.

    Fields
        sequence  update id as of which the book is stated
    """

    instrument: str
    feed: str
    exchange_ns: int
    receive_ns: int
    sequence: int
    bids: Levels
    asks: Levels


@dataclass(frozen=True, slots=True)
class BookDelta:
    """New quantities of some levels; zero lots remove a level.

    Fields
        sequence_before  last update id of the delta before this one, which proves that nothing is missing
        sequence_first   first and
        sequence_last    last update id folded into this delta
        is_window        levels slid into or out of the part of the book that the source shows; nothing was traded
                         or cancelled
    """

    instrument: str
    feed: str
    exchange_ns: int
    receive_ns: int
    sequence_before: int
    sequence_first: int
    sequence_last: int
    bids: Levels
    asks: Levels
    is_window: bool = False


@dataclass(frozen=True, slots=True)
class OrderMessage:
    """One displayed order of the market was added, reduced, deleted or executed (level 3).

    Fields
        sequence       number of the message in its stream
        side           side of the displayed order, not of who traded with it
        quantity_lots  lots added, taken away or executed by this message
    """

    instrument: str
    feed: str
    exchange_ns: int
    receive_ns: int
    sequence: int
    action: OrderAction
    order_id: int
    side: Side
    price_ticks: int
    quantity_lots: int


@dataclass(frozen=True, slots=True)
class Trade:
    """One print.

    Fields
        sequence   venue's trade id, or the message number where it has none
        aggressor  side of the incoming order; the displayed order was on the other one
        condition  regular, against a hidden order, or outside the book
    """

    instrument: str
    feed: str
    exchange_ns: int
    receive_ns: int
    sequence: int
    price_ticks: int
    quantity_lots: int
    aggressor: Side
    condition: TradeCondition = TradeCondition.REGULAR


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask as the venue publishes them beside the book; zero ticks stand for an empty side.

    Fields
        sequence  update id of the book that the quote belongs to, comparable with `BookDelta.sequence_last`
    """

    instrument: str
    feed: str
    exchange_ns: int
    receive_ns: int
    sequence: int
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Mark and index price in billionths of the quote currency (they keep no tick grid), and the funding to come.

    Fields
        funding_rate_nano  rate of the next funding in billionths
        funding_ns         when it falls due
    """

    instrument: str
    feed: str
    exchange_ns: int
    receive_ns: int
    sequence: int
    mark_nano: int
    index_nano: int
    funding_rate_nano: int
    funding_ns: int


@dataclass(frozen=True, slots=True)
class Status:
    """Trading phase of the instrument as the venue states it."""

    instrument: str
    feed: str
    exchange_ns: int
    receive_ns: int
    sequence: int
    phase: Phase


MarketEvent = BookSnapshot | BookDelta | OrderMessage | Trade | Quote | Mark | Status
BookEvent = BookSnapshot | BookDelta | OrderMessage


class FaultKind(StrEnum):
    """What is wrong with a feed."""

    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    GAP = "gap"
    OUT_OF_ORDER = "out of order"
    CLOCK = "clock"
    CROSSED = "crossed"
    LOCKED = "locked"
    STALE = "stale"
    OUTLIER = "outlier"
    SIZE = "size"
    OFF_GRID = "off grid"
    DISAGREEMENT = "disagreement"


class Remedy(StrEnum):
    """What ends the mistrust: nothing to end (one event is withheld), the feed speaking again, or a fresh snapshot."""

    WITHHOLD = "withhold this event"
    NEXT_EVENT = "next event"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Fault:
    """A reason not to trust a feed: one sentence with what was expected and what was found.

    Fields
        receive_ns  when it showed
    """

    kind: FaultKind
    remedy: Remedy
    feed: str
    instrument: str
    receive_ns: int
    sentence: str


class Feed(Protocol):
    """A source of events of one instrument in receive order; what it can't read it says as a fault."""

    @property
    def feed(self) -> str: ...

    @property
    def instrument_name(self) -> str: ...

    def events(self) -> Iterator[MarketEvent | Fault]: ...
