"""GT29, GT30, GT36: what a scope does over time: its turnover of the day, the share of its orders that it cancels, how
many it needs for a trade, and how often it goes on after a fill without a person.
"""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.decisions import Outcome
from controlplane.domain.quantities import BPS, ceil_div
from controlplane.domain.scopes import Level, ScopeKind
from controlplane.gate.plain.book import Behaviour, Book, Node, Path
from controlplane.gate.plain.case import Case
from controlplane.gate.plain.findings import Bound
from controlplane.gate.plain.money import MONEY_MAX, Refusal, exposure_micro
from controlplane.gate.plain.terms import RouteTerms
from controlplane.gate.snapshot import NO_LIMIT, NodeLimits


def check_behaviour(case: Case) -> None:
    """Look at every level above the parent order."""
    for kind, place in case.findings.path.items():
        own = place.node.behaviour
        if own is None or not isinstance(kind, Level):
            continue
        _check_turnover(case, kind, place.node, own)
        _check_repeats(case, kind, place.node.limits, own)
        _check_ratios(case, kind, place.node.limits, own)


def _check_turnover(case: Case, kind: ScopeKind, node: Node, own: Behaviour) -> None:
    """GT36: filled today, what may still fill on both sides, and this order; reductions are turnover too."""
    limit = node.limits.turnover_micro_max
    if limit == NO_LIMIT:
        return
    used = own.turnover_micro + node.buy_micro + node.sell_micro
    found = case.findings.finding(Code.TURNOVER_ABOVE_LIMIT, kind, used + case.micro_change, limit)
    case.findings.live_micro.append(Bound(case.old_micro + max(0, limit - used), found))
    if case.micro_change > 0 and found.measured > limit:
        case.findings.deny_size(found.code, kind, found.measured, limit)


def _check_repeats(case: Case, kind: ScopeKind, limits: NodeLimits, own: Behaviour) -> None:
    """GT30: going on after a fill once more; from the limit on only a person lets it."""
    limit, repeats = limits.repeated_executions_max, own.repeats + own.is_filled
    if limit != NO_LIMIT and repeats > limit:
        _deny_growth(case, Code.REPEATED_EXECUTION, kind, repeats, limit)


def _check_ratios(case: Case, kind: ScopeKind, limits: NodeLimits, own: Behaviour) -> None:
    """GT29: cancels and trades against the orders of the window, once there are enough of them to tell."""
    share, per_trade, now = limits.cancel_ratio_bps_max, limits.orders_per_trade_max, case.request.monotonic_ns
    # The window is asked, and so moved on, only where it may hold enough.
    if (share == NO_LIMIT and per_trade == NO_LIMIT) or own.orders.held < own.orders_min:
        return
    orders = own.orders.total(now)
    if orders < max(1, own.orders_min):
        return
    if share != NO_LIMIT:
        cancels = own.cancels.total(now)
        if cancels * BPS > share * orders:
            _deny_growth(case, Code.CANCEL_RATIO_ABOVE_LIMIT, kind, ceil_div(cancels * BPS, orders), share)
    if per_trade != NO_LIMIT:
        fills = max(1, own.fills.total(now))
        if orders > per_trade * fills:
            _deny_growth(case, Code.ORDERS_PER_TRADE_ABOVE_LIMIT, kind, ceil_div(orders, fills), per_trade)


def _deny_growth(case: Case, code: Code, kind: ScopeKind, measured: int, limit: int) -> None:
    """Deny a new order, and an amend that makes one larger: what lives may keep its size, or lose some."""
    case.findings.lots.append(Bound(case.old_lots, case.findings.finding(code, kind, measured, limit)))
    if case.lots_change > 0:
        case.findings.deny_size(code, kind, measured, limit)


# --- what is counted --------------------------------------------------------------------------------------------------


def count_entry(case: Case) -> None:
    """Count an order that was allowed; the first one after a fill is a repetition."""
    for node, own in _own(case.findings.path):
        own.repeats += own.is_filled
        own.is_filled = False
        if _has_ratio(node):
            own.orders.count(case.request.monotonic_ns, 1)


def count_cancel(path: Path, monotonic_ns: int) -> None:
    """Count the first cancel of a live order."""
    for node, own in _own(path):
        if _has_ratio(node):
            own.cancels.count(monotonic_ns, 1)


def count_fill(
    book: Book, path: Path, route: RouteTerms, side: int, lots: int, price_ticks: int, monotonic_ns: int
) -> None:
    """Count a fill at its price; one whose worth can't be formed is worth the most there is."""
    terms = book.markets[route.route.instrument].terms
    found = exposure_micro(
        terms, side, lots, price_ticks, rate_micro=book.rate_micro(terms), underlying_ticks=book.underlying_ticks(terms)
    )
    worth = MONEY_MAX if isinstance(found, Refusal) else found
    for node, own in _own(path):
        own.turnover_micro = min(MONEY_MAX, own.turnover_micro + worth)
        own.is_filled = True
        if _has_ratio(node):
            own.fills.count(monotonic_ns, 1)


def forget_turnover(book: Book) -> None:
    """Begin a new day."""
    for node in book.nodes.values():
        if node.behaviour is not None:
            node.behaviour.turnover_micro = 0


def clear_repeats(book: Book, number: int) -> Outcome:
    """GT30: let a scope go on after its fills; who may do so was settled before."""
    nodes = list(book.nodes.values())
    own = nodes[number].behaviour if 0 <= number < len(nodes) else None
    if own is None:
        return Outcome.DENIED
    own.repeats, own.is_filled = 0, False
    return Outcome.ALLOWED


def _own(path: Path) -> list[tuple[Node, Behaviour]]:
    places = [place for kind, place in path.items() if isinstance(kind, Level)]
    return [(place.node, place.node.behaviour) for place in places if place.node.behaviour is not None]


def _has_ratio(node: Node) -> bool:
    return node.limits.cancel_ratio_bps_max != NO_LIMIT or node.limits.orders_per_trade_max != NO_LIMIT
