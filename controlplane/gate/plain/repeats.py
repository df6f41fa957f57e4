"""GT31, GT32, GT33: the same order again and again, what a venue rejects again and again, and our own other side."""

from collections.abc import Iterator

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.orders import OrderType
from controlplane.domain.scopes import Level
from controlplane.gate.plain.book import Book, LiveOrder
from controlplane.gate.plain.case import Case
from controlplane.gate.snapshot import NO_LIMIT


def check_self_trade(case: Case) -> None:
    """GT33: the order may not be able to meet a live order of its owner; a size-down at its price adds nothing.

    An order is live until the venue has confirmed its end, with an amend in flight at the price that reaches further.
    """
    request, side = case.request, case.request.side
    has_price = request.order_type == OrderType.LIMIT or request.price_ticks != 0
    if case.known_route.own_book is None or case.is_size_down or not has_price:
        return
    opposite = list(_reaches(case))
    if not opposite:
        return
    best = max(opposite) if side < 0 else min(opposite)
    if side * (request.price_ticks - best) >= 0:
        case.findings.deny(Code.SELF_TRADE_POSSIBLE, None, request.price_ticks, best)


def _reaches(case: Case) -> Iterator[int]:
    """Yield how far every live order of the owner on the other side reaches."""
    for order in case.book.orders.values():
        if order.route.own_book == case.known_route.own_book and order.side != case.request.side:
            prices = [terms.price_ticks for terms in (order.asked, order.before) if terms is not None]
            yield max(prices) if order.side > 0 else min(prices)


def check_repeats(case: Case) -> None:
    """GT31, GT32: not as often as its parent may ask for equal orders, nor what its venue rejects time and again."""
    limits, now_ns = case.known_route.parent_limits, case.request.monotonic_ns
    most = limits.duplicate_orders_max
    if most != NO_LIMIT and case.amended is None:
        # Further ones than the limit tell nothing new.
        equal = min(most, len(case.book.duplicates.reasons(_order_key(case), now_ns)))
        if equal + 1 > most:
            case.findings.deny(Code.DUPLICATE_ORDER, Level.PARENT, equal + 1, most)
    most = limits.same_rejects_max
    if most != NO_LIMIT and case.book.rejects.events:
        reasons = case.book.rejects.reasons(_request_key(case), now_ns)
        same = reasons.count(reasons[-1]) if reasons else 0
        if same >= most:
            case.findings.deny(Code.REJECT_LOOP, Level.PARENT, same, most)


def note_order(case: Case) -> None:
    """Remember an order that was allowed; one that is denied holds nobody longer."""
    if case.known_route.parent_limits.duplicate_orders_max != NO_LIMIT:
        case.book.duplicates.note(_order_key(case), case.request.monotonic_ns)


def note_reject(book: Book, order: LiveOrder, monotonic_ns: int, reason: int, *, is_amend: bool) -> None:
    """Remember a request that the venue has rejected, with its reason; the order still has the terms asked for."""
    if order.route.parent_limits.same_rejects_max == NO_LIMIT:
        return
    terms = (order.asked.total_lots, order.asked.price_ticks, order.asked.trigger_ticks)
    if is_amend:
        key: tuple[object, ...] = ("amend", order.child_id, *terms)
    else:
        key = ("new", order.route.route, order.parent.parent_id, order.type_word, *terms)
    book.rejects.note(key, monotonic_ns, reason)


def _order_key(case: Case) -> tuple[object, ...]:
    """Return what makes two orders equal; the parent stands for instrument and side too."""
    return (case.request.parent_id, case.request.price_ticks, case.request.total_lots)


def _request_key(case: Case) -> tuple[object, ...]:
    request = case.request
    terms = (request.total_lots, request.price_ticks, request.trigger_ticks)
    if case.amended is not None:
        return ("amend", request.child_id, *terms)
    return ("new", case.known_route.route, request.parent_id, request.type_word, *terms)
