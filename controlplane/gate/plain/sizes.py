"""How much and how often: quantity, position, money, loss, messages and share of the market's volume.

The second half of the checks: those that a smaller order can pass, at every level and cross dimension, and the largest
quantity that all of them would pass. A measured value equal to its limit passes.
"""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.quantities import BPS
from controlplane.domain.scopes import CrossDimension, Level, ScopeKind
from controlplane.gate.plain.behaviour import check_behaviour
from controlplane.gate.plain.book import Cell, Node, Volume
from controlplane.gate.plain.case import Case
from controlplane.gate.plain.findings import Bound
from controlplane.gate.plain.money import lots_within
from controlplane.gate.plain.opening import FIRM_WIDE
from controlplane.gate.plain.windows import WINDOW_PARTS
from controlplane.gate.snapshot import NO_LIMIT


def check_limits(case: Case, *, volume_age_ns_max: int) -> None:
    """Look at every limit at every scope of the path; all are looked at, the tightest answer wins (M9)."""
    check_parent(case)
    for kind, place in case.findings.path.items():
        if place.cell is None:
            continue
        if kind not in FIRM_WIDE:
            check_lots(case, kind, place.cell)
        check_money(case, kind, place.node, place.cell)
        check_loss(case, kind, place.node)
        check_messages(case, kind, place.node)
    check_participation(case, volume_age_ns_max=volume_age_ns_max)
    check_behaviour(case)


def check_parent(case: Case) -> None:
    """GT15: filled and live children never exceed the parent, by the venue's fills; children and amends are counted."""
    findings, parent = case.findings, case.known_parent
    used = parent.filled_lots + parent.live_lots
    after, quantity = used + case.lots_change, parent.quantity_lots
    found = findings.finding(Code.PARENT_QUANTITY_EXCEEDED, Level.PARENT, after, quantity)
    findings.lots.append(Bound(case.old_lots + max(0, quantity - used), found))
    if case.lots_change > 0 and after > quantity:
        findings.deny_size(Code.PARENT_QUANTITY_EXCEEDED, Level.PARENT, after, quantity)
    if case.amended is None and parent.children >= parent.limits.children_max:
        most = parent.limits.children_max
        findings.deny(Code.PARENT_CHILDREN_ABOVE_LIMIT, Level.PARENT, parent.children + 1, most)
    if case.amended is not None and parent.amends >= parent.limits.amends_max:
        findings.deny(Code.PARENT_AMENDS_ABOVE_LIMIT, Level.PARENT, parent.amends + 1, parent.limits.amends_max)


def check_lots(case: Case, kind: ScopeKind, cell: Cell) -> None:
    """GT08, GT17: quantity of the order, and the worst position it can lead to on its side (M3)."""
    findings, change, total = case.findings, case.lots_change, case.request.total_lots
    most = cell.limits.order_quantity_lots_max
    found = findings.finding(Code.ORDER_QUANTITY_ABOVE_LIMIT, kind, total, most)
    findings.lots.append(Bound(max(case.old_lots, most - case.filled_lots), found))
    if total > most and (change > 0 or case.amended is None):
        findings.deny_size(Code.ORDER_QUANTITY_ABOVE_LIMIT, kind, total, most)
    if case.request.side > 0:
        worst, most = cell.position_lots + cell.buy_lots, cell.limits.position_long_lots_max
    else:
        worst, most = cell.sell_lots - cell.position_lots, cell.limits.position_short_lots_max
    found = findings.finding(Code.POSITION_ABOVE_LIMIT, kind, worst + change, most)
    findings.lots.append(Bound(case.old_lots + max(0, most - worst), found))
    if change > 0 and worst + change > most:
        findings.deny_size(Code.POSITION_ABOVE_LIMIT, kind, worst + change, most)


def check_money(case: Case, kind: ScopeKind, node: Node, cell: Cell) -> None:
    """GT09, GT18, GT19, GT20: notional of the order, live notional of its side, gross, net, number of live orders."""
    findings, limits, change = case.findings, node.limits, case.micro_change
    is_buy = case.request.side > 0

    found = findings.finding(Code.ORDER_NOTIONAL_ABOVE_LIMIT, kind, case.total_micro, limits.order_notional_micro_max)
    findings.whole_micro.append(Bound(found.limit, found))
    if case.total_micro > found.limit and (change > 0 or case.amended is None):
        findings.deny_size(found.code, kind, found.measured, found.limit)

    used = node.buy_micro if is_buy else node.sell_micro
    found = findings.finding(Code.OPEN_NOTIONAL_ABOVE_LIMIT, kind, used + change, limits.open_notional_micro_max)
    findings.live_micro.append(Bound(case.old_micro + max(0, found.limit - used), found))
    if change > 0 and found.measured > found.limit:
        findings.deny_size(found.code, kind, found.measured, found.limit)

    # Only what passes the other side's worst case makes the gross of this instrument larger.
    own, other = (cell.long_micro, cell.short_micro) if is_buy else (cell.short_micro, cell.long_micro)
    hidden, gross = max(0, other - own), node.gross_micro
    after = gross + max(0, change - hidden)
    found = findings.finding(Code.GROSS_NOTIONAL_ABOVE_LIMIT, kind, after, limits.gross_notional_micro_max)
    findings.waived_micro.append(Bound(case.old_micro + hidden + max(0, found.limit - gross), found))
    if change > hidden and after > found.limit and not case.is_reducing:
        findings.deny_size(found.code, kind, found.measured, found.limit)

    net = node.long_micro if is_buy else node.short_micro
    found = findings.finding(Code.NET_NOTIONAL_ABOVE_LIMIT, kind, net + change, limits.net_notional_micro_max)
    findings.waived_micro.append(Bound(case.old_micro + max(0, found.limit - net), found))
    if change > 0 and found.measured > found.limit and not case.is_reducing:
        findings.deny_size(found.code, kind, found.measured, found.limit)

    if case.amended is None and node.live_orders >= limits.live_orders_max:
        findings.deny(Code.LIVE_ORDERS_ABOVE_LIMIT, kind, node.live_orders + 1, limits.live_orders_max)


def check_loss(case: Case, kind: ScopeKind, node: Node) -> None:
    """GT37: the day's loss of the scope is known and not above its limit."""
    limit = node.limits.daily_loss_micro_max
    if limit == NO_LIMIT:
        return
    if node.is_loss_unknown:
        case.findings.deny_unless(case.is_reducing, Code.LOSS_UNKNOWN, kind, 0, limit)
    if node.loss_micro > limit:
        case.findings.deny_unless(case.is_reducing, Code.DAILY_LOSS_ABOVE_LIMIT, kind, node.loss_micro, limit)


def check_messages(case: Case, kind: ScopeKind, node: Node) -> None:
    """GT28: orders stop before the share of the budget that belongs to cancels; so does whoever is denied too often."""
    limit, now = node.order_messages_max, case.request.monotonic_ns
    if limit != NO_LIMIT:
        sent = node.messages.total(now)
        if sent + 1 > limit:
            case.findings.deny(Code.MESSAGE_RATE_ABOVE_LIMIT, kind, sent + 1, limit)
    limit = node.limits.denied_count_max
    if limit != NO_LIMIT:
        denied = node.denials.total(now)
        if denied > limit:
            case.findings.deny(Code.DENIED_RATE_ABOVE_LIMIT, kind, denied, limit)


def check_participation(case: Case, *, volume_age_ns_max: int) -> None:
    """GT34: own fills, live aggressive orders and this order against the market's volume, everywhere and per venue."""
    limit, scope = NO_LIMIT, Level.FIRM
    for kind, cell in zip(Level, case.levels(), strict=False):
        if cell.limits.participation_bps_max < limit:
            limit, scope = cell.limits.participation_bps_max, kind
    everywhere, on_venue = case.book.volumes_of(case.known_route)
    _check_volume(case, scope, everywhere, limit, volume_age_ns_max)
    venue = case.findings.path[CrossDimension.VENUE].cell
    venue_limit = limit if venue is None else min(limit, venue.limits.participation_bps_max)
    _check_volume(case, CrossDimension.VENUE, on_venue, venue_limit, volume_age_ns_max)


def _check_volume(case: Case, kind: ScopeKind, volume: Volume, limit_bps: int, age_ns_max: int) -> None:
    if limit_bps == NO_LIMIT:
        return
    findings, request = case.findings, case.request
    age_ns = abs(request.now_ns - volume.observed_ns)
    if volume.first_ns is None or age_ns > age_ns_max:
        findings.deny_unless(case.is_reducing, Code.PARTICIPATION_UNKNOWN, kind, age_ns, age_ns_max)
        return
    market, own = volume.market.total(request.monotonic_ns), volume.own.total(request.monotonic_ns)
    if request.monotonic_ns - volume.first_ns < WINDOW_PARTS * volume.market.part_ns:
        market = max(market, volume.floor_lots)  # a window that isn't full yet says too little
    most = market * limit_bps // BPS
    others = own + volume.live_lots
    if case.amended is not None and case.amended.is_aggressive:
        others -= case.old_lots
    after = others + case.counted_lots
    found = findings.finding(Code.PARTICIPATION_ABOVE_LIMIT, kind, after, most)
    least = 0 if case.is_new_taker else case.old_lots
    findings.lots.append(Bound(max(least, most - others), found))
    if after > most and (case.lots_change > 0 or case.is_new_taker):
        findings.deny_size(Code.PARTICIPATION_ABOVE_LIMIT, kind, after, most)
        findings.is_hard |= case.is_repriced and case.is_new_taker and case.old_lots > most - others


# --- what would pass --------------------------------------------------------------------------------------------------


def tightest(case: Case) -> Bound:
    """Return the bound in lots of the live part that comes nearest to the order, from whichever limit."""
    return min((*_strict_bounds(case), _in_lots(case, case.findings.waived_micro)), key=lambda bound: bound.most)


def largest_passing(case: Case) -> int:
    """Return the largest total quantity that every check would let through, on the lot grid; 0 when none would.

    Without a failed check that only a reduction passes: as much as every limit allows, or as much as is a proved
    reduction and passes those limits that reductions must pass too. An amend at the old price may always keep its size;
    at a new price a reduction has to hold for the old size as well, which counts until the venue answers.
    """
    if case.findings.is_hard:
        return 0
    strict = min(bound.most for bound in _strict_bounds(case))
    reducing: int | None = min(strict, case.reducible_lots)
    if case.is_repriced and case.reducible_lots < case.old_lots:
        reducing = None
    free = None if case.findings.is_waivable else tightest(case).most
    live = max((lots for lots in (reducing, free) if lots is not None), default=None)
    if case.amended is not None and not case.is_repriced:
        live = case.old_lots if live is None else max(live, case.old_lots)
    if live is None:
        return 0
    instrument = case.market.terms.instrument
    total = min(live + case.filled_lots, instrument.quantity_max_lots)
    total -= total % instrument.lot_step
    return total if total >= max(1, instrument.quantity_min_lots) else 0


def _strict_bounds(case: Case) -> list[Bound]:
    """Return the tightest bound of each kind that a reduction has to pass too, in lots of the live part."""
    whole = _in_lots(case, case.findings.whole_micro)
    most = whole.most - case.filled_lots
    if case.amended is not None:
        most = max(most, _lots_worth(case, case.old_micro))  # what adds no exposure is measured against no limit
    return [
        min(case.findings.lots, key=lambda bound: bound.most),
        Bound(most, whole.finding),
        _in_lots(case, case.findings.live_micro),
    ]


def _in_lots(case: Case, bounds: list[Bound]) -> Bound:
    """Return the tightest of some bounds in money as a bound in lots at the price of the order."""
    bound = min(bounds, key=lambda one: one.most)
    return Bound(_lots_worth(case, bound.most), bound.finding)


def _lots_worth(case: Case, amount_micro: int) -> int:
    terms = case.market.terms
    return lots_within(
        terms,
        case.request.side,
        amount_micro,
        case.value_ticks,
        rate_micro=case.book.rate_micro(terms),
        underlying_ticks=case.book.underlying_ticks(terms),
    )
