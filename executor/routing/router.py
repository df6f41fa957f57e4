"""Turns what a strategy wants into one order for one venue: which venue, at what price, of which type.

One venue for now, the parent's own. Urgency decides the type: a passive order may only rest, a neutral one rests or
meets what comes, an aggressive one takes what is there at its price and returns the rest at once.
"""

from dataclasses import dataclass

from controlplane.domain.instruments import Instrument
from controlplane.domain.orders import OrderType, Side, TimeInForce
from executor.orders.intent import ChildIntent, TopOfBook, Urgency
from executor.orders.pricing import limit_price_ticks

TIME_IN_FORCE = {
    Urgency.PASSIVE: TimeInForce.POST_ONLY,
    Urgency.NEUTRAL: TimeInForce.GOOD_TILL_CANCEL,
    Urgency.AGGRESSIVE: TimeInForce.IMMEDIATE_OR_CANCEL,
}


@dataclass(frozen=True, slots=True)
class RoutedOrder:
    """One order for one venue, before it has an identifier."""

    venue: str
    side: Side
    quantity_lots: int
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    working_until_ns: int


def route(
    intent: ChildIntent, *, venue: str, book: TopOfBook, instrument: Instrument, worst_price_ticks: int | None
) -> RoutedOrder | None:
    """Return the order for an intent; None when the book gives no price to go by.

    Rounding
        a price between two steps of a banded tick grid moves away from the other side of the book, so that an order
        never pays more than its intent allows
    """
    price_ticks = intent.limit_price_ticks
    if price_ticks is None:
        price_ticks = limit_price_ticks(
            side=intent.side, urgency=intent.urgency, book=book, worst_price_ticks=worst_price_ticks
        )
    if price_ticks is None:
        return None
    return RoutedOrder(
        venue=venue,
        side=intent.side,
        quantity_lots=intent.quantity_lots,
        order_type=OrderType.LIMIT,
        time_in_force=TIME_IN_FORCE[intent.urgency],
        price_ticks=on_grid(price_ticks, intent.side, instrument),
        working_until_ns=intent.working_until_ns,
    )


def on_grid(price_ticks: int, side: Side, instrument: Instrument) -> int:
    """Return the nearest price of the instrument's grid that is no worse for us than the one given."""
    step = 1
    for first_ticks, band_step in instrument.tick_bands:
        if price_ticks >= first_ticks:
            step = band_step
    beyond = price_ticks % step
    if beyond == 0:
        return price_ticks
    return price_ticks - beyond if side is Side.BUY else price_ticks - beyond + step
