"""What breakers and dynamic limits let an order do, beside the states that people set and the limits they approved."""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.quantities import BPS
from controlplane.domain.scopes import ScopeKind
from controlplane.domain.states import TradingState
from controlplane.gate.plain.book import Place
from controlplane.gate.plain.breakers import Guard
from controlplane.gate.plain.case import Case
from controlplane.gate.plain.checks import hold_to_reduction
from controlplane.gate.plain.findings import Bound
from controlplane.gate.plain.opening import FIRM_WIDE
from controlplane.gate.snapshot import NO_LIMIT


def check_guards(case: Case) -> None:
    """GT43: hold the order to what the breakers of each of its scopes say."""
    for kind, place in case.findings.path.items():
        guard = place.node.guard
        if guard is None:
            continue
        _check_causes(case, kind, place, guard)
        if guard.size_bps < BPS:
            _check_probation(case, kind, guard.size_bps)


def _check_causes(case: Case, kind: ScopeKind, place: Place, guard: Guard) -> None:
    """Name every breaker that pauses or halts, and every one that is reduce-only unless the order reduces."""
    is_adding: bool | None = None
    for breaker in guard.breakers:
        if breaker.stops == TradingState.REDUCE_ONLY and is_adding is None:
            is_adding = hold_to_reduction(case, kind, place)
        if breaker.stops > TradingState.REDUCE_ONLY:
            case.findings.deny(breaker.code, kind, breaker.value, breaker.rule.trip_at)
        elif breaker.stops == TradingState.REDUCE_ONLY and is_adding:
            case.findings.deny_size(breaker.code, kind, breaker.value, breaker.rule.trip_at)


def _check_probation(case: Case, kind: ScopeKind, size_bps: int) -> None:
    """Let a share of the largest order that any scope allows pass, and always the smallest that the venue takes."""
    instrument = case.market.terms.instrument
    cells = [place.cell for place in case.findings.path.values() if place.cell is not None]
    usual = min(instrument.quantity_max_lots, *(cell.limits.order_quantity_lots_max for cell in cells))
    _hold_order(case, Code.PROBATION_SIZE_EXCEEDED, kind, max(instrument.quantity_min_lots, usual * size_bps // BPS))


def _hold_order(case: Case, code: Code, kind: ScopeKind, most: int) -> None:
    """Hold the whole order to a quantity; what an amend has already isn't taken back."""
    findings, total = case.findings, case.request.total_lots
    found = findings.finding(code, kind, total, most)
    findings.lots.append(Bound(max(case.old_lots, most - case.filled_lots), found))
    if total > most and (case.lots_change > 0 or case.amended is None):
        findings.deny_size(code, kind, total, most)


def check_contracted(case: Case) -> None:
    """GT25: every limit of the order, smaller by the largest cut over its scopes."""
    guards = [place.node.guard for place in case.findings.path.values() if place.node.guard is not None]
    cut = max((guard.limit_cut for guard in guards), default=0)
    if cut == 0:
        return
    for kind, place in case.findings.path.items():
        if place.cell is None:
            continue
        if kind not in FIRM_WIDE:
            _check_lots(case, kind, place, cut)
        _check_money(case, kind, place, cut)


def _less(limit: int, cut: int) -> int:
    return limit if limit == NO_LIMIT else limit * (BPS - cut) // BPS


def _check_lots(case: Case, kind: ScopeKind, place: Place, cut: int) -> None:
    cell, findings, code = place.cell, case.findings, Code.CONTRACTED_LIMIT_EXCEEDED
    if cell is None:
        return
    _hold_order(case, code, kind, _less(cell.limits.order_quantity_lots_max, cut))
    if case.request.side > 0:
        worst, limit = cell.position_lots + cell.buy_lots, cell.limits.position_long_lots_max
    else:
        worst, limit = cell.sell_lots - cell.position_lots, cell.limits.position_short_lots_max
    limit, after = _less(limit, cut), worst + case.lots_change
    findings.lots.append(
        Bound(case.old_lots + max(0, limit - worst), findings.finding(code, kind, after, limit))
    )
    if case.lots_change > 0 and after > limit:
        findings.deny_size(code, kind, after, limit)


def _check_money(case: Case, kind: ScopeKind, place: Place, cut: int) -> None:
    findings, change, node, code = case.findings, case.micro_change, place.node, Code.CONTRACTED_NOTIONAL_EXCEEDED
    is_buy = case.request.side > 0
    used = node.buy_micro if is_buy else node.sell_micro
    limit = _less(node.limits.open_notional_micro_max, cut)
    found = findings.finding(code, kind, used + change, limit)
    findings.live_micro.append(Bound(case.old_micro + max(0, limit - used), found))
    if change > 0 and used + change > limit:
        findings.deny_size(code, kind, used + change, limit)
    hidden = _hidden_micro(case, place)
    gross, limit = node.gross_micro, _less(node.limits.gross_notional_micro_max, cut)
    after = gross + max(0, change - hidden)
    found = findings.finding(code, kind, after, limit)
    findings.waived_micro.append(Bound(case.old_micro + hidden + max(0, limit - gross), found))
    if change > hidden and after > limit and not case.is_reducing:
        findings.deny_size(code, kind, after, limit)


def _hidden_micro(case: Case, place: Place) -> int:
    """Return how much of an order disappears behind the other side's worst case."""
    if place.cell is None:
        return 0
    own, other = place.cell.long_micro, place.cell.short_micro
    return max(0, other - own if case.request.side > 0 else own - other)
