"""How reservations, fills and prices move the book: taken at every scope of a path or at none, valued at once."""

from controlplane.domain.states import TradingState
from controlplane.gate.plain.book import Book, Cell, LiveOrder, Node, Path
from controlplane.gate.plain.guarding import read_worth
from controlplane.gate.plain.money import (
    CASH_MAX,
    MONEY_MAX,
    Refusal,
    cash_of_fill,
    exposure_micro,
    worth_micro,
)
from controlplane.gate.plain.opening import FIRM_WIDE
from controlplane.gate.plain.terms import Payoff, RouteTerms
from controlplane.gate.snapshot import NO_LIMIT


def reserve(path: Path, side: int, lots: int, micro: int, *, orders: int = 0) -> None:
    """Move what is live on a path by signed amounts; `orders` changes the number of live orders."""
    for kind, place in path.items():
        place.node.live_orders += orders
        if kind in FIRM_WIDE or place.cell is None:
            continue  # their cell is the firm's, which has been moved
        if side > 0:
            place.cell.buy_lots += lots
            place.cell.buy_micro += micro
        else:
            place.cell.sell_lots += lots
            place.cell.sell_micro += micro


def resize(book: Book, order: LiveOrder, lots: int) -> None:
    """Set the live part of an order, with its money, on its path, at its parent and in the live aggressive volume.

    A smaller part is never worth more than the larger one was: neither a rate nor a price that has moved since makes a
    reservation grow, only more lots do.
    """
    micro = _micro_of(book, order, lots)
    if micro is None or (lots <= order.reserved_lots and micro > order.reserved_micro):
        micro = order.reserved_micro
    reserve(book.path_of(order), order.side, lots - order.reserved_lots, micro - order.reserved_micro)
    order.parent.live_lots += lots - order.reserved_lots
    count_aggressive(book, order, lots - order.reserved_lots)
    order.reserved_lots, order.reserved_micro = lots, micro


def _micro_of(book: Book, order: LiveOrder, lots: int) -> int | None:
    """Return the exposure of a live part, None where it can't be formed; with an amend in flight at the worse price."""
    if lots == 0:
        return 0
    terms = book.markets[order.route.route.instrument].terms
    prices = [terms_.value_ticks for terms_ in (order.asked, order.before) if terms_ is not None]
    micro = exposure_micro(
        terms,
        order.side,
        lots,
        min(prices) if terms.payoff is Payoff.INVERSE else max(prices),
        rate_micro=book.rate_micro(terms),
        underlying_ticks=book.underlying_ticks(terms),
    )
    return None if isinstance(micro, Refusal) else micro


def count_aggressive(book: Book, order: LiveOrder, lots: int) -> None:
    """Change what live aggressive orders still have to fill, over all venues and on the order's venue."""
    if order.is_aggressive:
        for volume in book.volumes_of(order.route):
            volume.live_lots += lots


def settle(book: Book, path: Path, route: RouteTerms, side: int, lots: int, price_ticks: int, fee_micro: int) -> None:
    """Turn a fill into position, cash and fees at every scope of a path; a breached loss limit halts its scope."""
    market = book.markets[route.route.instrument]
    if market.high_ticks == 0 and market.terms.is_price_possible(price_ticks):
        market.high_ticks = market.low_ticks = price_ticks
    cash = cash_of_fill(market.terms, side, lots, price_ticks)
    own = [place.cell for kind, place in path.items() if kind not in FIRM_WIDE and place.cell is not None]
    for cell in own:
        cell.position_lots += side * lots
        cell.cash_raw = _clamped(cell.cash_raw + cash, CASH_MAX)
        cell.fees_micro = _clamped(cell.fees_micro + fee_micro, MONEY_MAX)
        revalue(book, cell)
    for place in path.values():
        if place.cell is not None:
            halt_on_loss(place.node)


def revalue(book: Book, cell: Cell) -> None:
    """Value the position of a cell at the present prices; an exposure that can't be formed is the largest there is."""
    market, position = book.markets[cell.terms.name], cell.position_lots
    rate_micro = book.rate_micro(cell.terms)
    held = 0
    if position != 0:
        found = exposure_micro(
            cell.terms,
            1 if position > 0 else -1,
            abs(position),
            market.low_ticks if cell.terms.payoff is Payoff.INVERSE else market.high_ticks,
            rate_micro=rate_micro,
            underlying_ticks=book.underlying_ticks(cell.terms),
        )
        held = MONEY_MAX if isinstance(found, Refusal) else found
    cell.held_long_micro = held if position > 0 else 0
    cell.held_short_micro = held if position < 0 else 0
    worth = worth_micro(
        cell.terms,
        position,
        cell.cash_raw,
        low_ticks=market.low_ticks,
        high_ticks=market.high_ticks,
        rate_micro=rate_micro,
    )
    cell.worth_micro = max(-MONEY_MAX, worth - cell.fees_micro)


def revalue_instruments(book: Book, names: list[str]) -> None:
    """Value every position in some instruments again, then let every loss limit that is breached halt its scope."""
    valued = [holding for name in names for holding in book.held(name) if holding.cell.is_in_use]
    for holding in valued:
        revalue(book, holding.cell)
    for holding in valued:
        for node in holding.nodes:
            halt_on_loss(node)


def halt_on_loss(node: Node) -> None:
    """Latch a scope as halted when its loss of the day is above its limit (GT37); its breakers read its worth."""
    limit = node.limits.daily_loss_micro_max
    if limit != NO_LIMIT and node.loss_micro > limit:
        node.state = TradingState.HALTED
    read_worth(node)


def _clamped(amount: int, most: int) -> int:
    return max(-most, min(most, amount))
