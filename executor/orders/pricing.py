"""Which limit price an urgency means against the book of the moment."""

from controlplane.domain.orders import Side
from executor.orders.intent import TopOfBook, Urgency


def limit_price_ticks(*, side: Side, urgency: Urgency, book: TopOfBook, worst_price_ticks: int | None) -> int | None:
    """Return the limit price for a child, None when the book gives nothing to go by.

    Arguments
        worst_price_ticks   the parent's own limit; a child asks for that price when the urgency would pass it
    Rounding
        the mid is rounded away from the other side, so that a neutral child never crosses
    """
    bid_ticks, ask_ticks = book.bid_ticks, book.ask_ticks
    if bid_ticks is None or ask_ticks is None or not book.is_usable:
        return None
    near_ticks, far_ticks = (bid_ticks, ask_ticks) if side is Side.BUY else (ask_ticks, bid_ticks)
    price_ticks = {
        Urgency.PASSIVE: near_ticks,
        Urgency.NEUTRAL: near_ticks + side * ((ask_ticks - bid_ticks) // 2),
        Urgency.AGGRESSIVE: far_ticks,
    }[urgency]
    if worst_price_ticks is None:
        return price_ticks
    return min(price_ticks, worst_price_ticks) if side is Side.BUY else max(price_ticks, worst_price_ticks)
