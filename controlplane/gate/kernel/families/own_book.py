"""GT33: our own live orders by instrument, book and beneficial owner, so that none can ever meet another.

Buys and sells of one owner hang in two chains, each with its best price. An order counts from its reservation until
the venue has confirmed its end, an amend in flight with the price that reaches further. When the best leaves, the best
is looked for again only when somebody asks.
"""

from typing import Any

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.orders import OrderType
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled, inlined
from controlplane.gate.kernel.denials import NO_SCOPE, deny

NOTHING = a.NO_LIMIT
LIMIT = int(OrderType.LIMIT)


def empty_own_book(words: Any, book: int) -> None:
    """Make a row one without orders."""
    for side in (1, -1):
        chain = book + (0 if side > 0 else a.OWN_SELLS)
        words[chain + a.OWN_FIRST], words[chain + a.OWN_BEST], words[chain + a.OWN_IS_STALE] = 0, -side * NOTHING, 0


@compiled
def check_self_trade(s: Words) -> None:
    """GT33: the order may not be able to meet a live order of its owner; a size-down at its price adds nothing."""
    book = s[s[a.ROUTE_ROW] + a.ROUTE_OWN_BOOK]
    if book == 0 or s[a.IS_SIZE_DOWN] != 0 or (s[a.TYPE] != LIMIT and s[a.PRICE] == 0):
        return  # without its protection limit, of which a check of its own speaks, an order has no price
    side, price = s[a.SIDE], s[a.PRICE]
    best = best_of(s, chain_of(book, -side), -side)
    if side * (price - best) >= 0:
        deny(s, Code.SELF_TRADE_POSSIBLE, NO_SCOPE, price, best)


@inlined
def chain_of(book: int, side: int) -> int:
    """Return the chain of a side."""
    return book if side > 0 else book + a.OWN_SELLS


@compiled
def best_of(s: Words, chain: int, side: int) -> int:
    """Return the best price of a chain: the highest buy, the lowest sell; out of everybody's reach without one."""
    if s[chain + a.OWN_IS_STALE] != 0:
        best, order = -side * NOTHING, s[chain + a.OWN_FIRST]
        while order != 0:
            price = reach_of(s, order, side)
            if side * (price - best) > 0:
                best = price
            order = s[order + a.ORDER_NEXT_OWN]
        s[chain + a.OWN_BEST], s[chain + a.OWN_IS_STALE] = best, 0
    return s[chain + a.OWN_BEST]


@inlined
def reach_of(s: Words, order: int, side: int) -> int:
    """Return the price up to which an order may trade; with an amend in flight the further one."""
    price = s[order + a.ORDER_PRICE]
    if s[order + a.ORDER_STATE] == a.AMENDING and side * (s[order + a.ORDER_OLD_PRICE] - price) > 0:
        return s[order + a.ORDER_OLD_PRICE]
    return price


@compiled
def own_book_of(s: Words, order: int) -> int:
    """Return the row of an order's owner in its instrument and book, 0 when it is compared with none."""
    return s[s[a.ROUTES_AT] + s[order + a.ORDER_ROUTE] * a.ROUTE_WORDS + a.ROUTE_OWN_BOOK]


@compiled
def enter_own_book(s: Words, order: int) -> None:
    """Hang an order into the chain of its side."""
    book, side = own_book_of(s, order), s[order + a.ORDER_SIDE]
    if book == 0:
        return
    chain = chain_of(book, side)
    first = s[chain + a.OWN_FIRST]
    s[order + a.ORDER_NEXT_OWN], s[order + a.ORDER_PREVIOUS_OWN] = first, 0
    if first != 0:
        s[first + a.ORDER_PREVIOUS_OWN] = order
    s[chain + a.OWN_FIRST] = order
    price = reach_of(s, order, side)
    if side * (price - s[chain + a.OWN_BEST]) > 0:
        s[chain + a.OWN_BEST] = price


@compiled
def reprice_own_book(s: Words, order: int) -> None:
    """Have the best price of an order's chain looked for again, since its own has changed."""
    book = own_book_of(s, order)
    if book != 0:
        s[chain_of(book, s[order + a.ORDER_SIDE]) + a.OWN_IS_STALE] = 1


@compiled
def leave_own_book(s: Words, order: int) -> None:
    """Take an order that has ended out of its chain."""
    book, side = own_book_of(s, order), s[order + a.ORDER_SIDE]
    if book == 0:
        return
    chain = chain_of(book, side)
    following, previous = s[order + a.ORDER_NEXT_OWN], s[order + a.ORDER_PREVIOUS_OWN]
    if previous != 0:
        s[previous + a.ORDER_NEXT_OWN] = following
    else:
        s[chain + a.OWN_FIRST] = following
    if following != 0:
        s[following + a.ORDER_PREVIOUS_OWN] = previous
    s[order + a.ORDER_NEXT_OWN] = s[order + a.ORDER_PREVIOUS_OWN] = 0
    if reach_of(s, order, side) == s[chain + a.OWN_BEST]:
        s[chain + a.OWN_IS_STALE] = 1
