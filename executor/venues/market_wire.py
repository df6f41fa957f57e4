"""Market data from the simulated venue's process to its listeners: books, trades, trading phases, one JSON line each.

A book travels whole, a few levels a side, whenever it changed and at a steady pace besides; whoever comes late needs
nothing from before. The receiver adds its own receive time and never shows a venue's time ahead of it.
"""

from collections.abc import Mapping

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.observations import Phase
from controlplane.domain.orders import Side
from executor.marketdata.events import BookSnapshot, Levels, MarketEvent, Status, Trade, TradeCondition
from executor.venues.wire import text, whole


def event_message(event: MarketEvent) -> dict[str, object]:
    """Return a book, trade or status as it travels; InvalidRequest for any other event."""
    base: dict[str, object] = {
        "instrument": event.instrument,
        "feed": event.feed,
        "exchange_ns": event.exchange_ns,
        "sequence": event.sequence_last if not hasattr(event, "sequence") else event.sequence,
    }
    if isinstance(event, BookSnapshot):
        return base | {"type": "book", "bids": event.bids, "asks": event.asks}
    if isinstance(event, Trade):
        return base | {
            "type": "trade",
            "price_ticks": event.price_ticks,
            "quantity_lots": event.quantity_lots,
            "aggressor": int(event.aggressor),
            "condition": event.condition.value,
        }
    if isinstance(event, Status):
        return base | {"type": "phase", "phase": int(event.phase)}
    raise InvalidRequest(f"Only books, trades and phases travel on the venue link, found {type(event).__name__}.")


def event_from(message: Mapping[str, object], *, receive_ns: int) -> MarketEvent:
    """Return the event that `event_message` wrote, with our own receive time."""
    kind, instrument, feed = text(message, "type"), text(message, "instrument"), text(message, "feed")
    exchange_ns, sequence = whole(message, "exchange_ns"), whole(message, "sequence")
    if kind == "book":
        return BookSnapshot(
            instrument=instrument,
            feed=feed,
            exchange_ns=exchange_ns,
            receive_ns=receive_ns,
            sequence=sequence,
            bids=_levels(message, "bids"),
            asks=_levels(message, "asks"),
        )
    if kind == "trade":
        return Trade(
            instrument=instrument,
            feed=feed,
            exchange_ns=exchange_ns,
            receive_ns=receive_ns,
            sequence=sequence,
            price_ticks=whole(message, "price_ticks"),
            quantity_lots=whole(message, "quantity_lots"),
            aggressor=Side(whole(message, "aggressor")),
            condition=TradeCondition(text(message, "condition")),
        )
    if kind == "phase":
        return Status(
            instrument=instrument,
            feed=feed,
            exchange_ns=exchange_ns,
            receive_ns=receive_ns,
            sequence=sequence,
            phase=Phase(whole(message, "phase")),
        )
    raise InvalidRequest(
        f"{kind[:40]!r} is no message of the venue link; the venue process is of another version.", field="type"
    )


def _levels(message: Mapping[str, object], name: str) -> Levels:
    pairs = message.get(name)
    if not isinstance(pairs, list):
        raise InvalidRequest(f"{name} must be a list of [price, lots] pairs on the venue link.", field=name)
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(number) is int for number in pair):
            raise InvalidRequest(f"{name} must be a list of [price, lots] pairs, found {str(pair)[:40]}.", field=name)
    return tuple((pair[0], pair[1]) for pair in pairs)
