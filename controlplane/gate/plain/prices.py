"""GT11: a price compared with every fresh reference, with how well those agree, and with where the market was."""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.observations import ReferenceSource
from controlplane.domain.orders import OrderType
from controlplane.domain.quantities import BPS, ceil_div
from controlplane.domain.scopes import CrossDimension
from controlplane.gate.plain.book import Market
from controlplane.gate.plain.case import Case
from controlplane.gate.snapshot import NO_LIMIT

INSTRUMENT = CrossDimension.INSTRUMENT
# A side of a book that shows more lots than these weighs no more.
WEIGHT_MAX = 1 << 20


def see_price(
    market: Market, source: ReferenceSource, bid: int, ask: int, bid_lots: int, ask_lots: int, *,
    now_ns: int, monotonic_ns: int, walk_part_ns: int,
) -> None:  # fmt: skip
    """Take the middle of a healthy reference, of a book the microprice, and see whether those that are fresh agree."""
    rules = market.terms.rules
    if not rules.has_price_rules:
        return
    middle = (bid, bid)
    if ask > bid:
        weight, other = min(bid_lots, WEIGHT_MAX), min(ask_lots, WEIGHT_MAX)
        moved = (ask - bid) * weight
        middle = (bid + moved // (weight + other), bid + ceil_div(moved, weight + other))
    market.middles[source] = middle
    if source is ReferenceSource.BOOK or not market.walk.seen:
        market.walk.see(monotonic_ns // walk_part_ns, middle[0])
    fresh = _fresh_middles(market, now_ns)
    if not fresh or rules.disagreement_bps_max == NO_LIMIT:
        return
    least, most = min(low for low, _ in fresh), max(high for _, high in fresh)
    if (most - least) * BPS > rules.disagreement_bps_max * least:
        newest = market.disagreed[0] if market.disagreed else monotonic_ns
        market.disagreed = (max(newest, monotonic_ns), ceil_div((most - least) * BPS, least))


def _fresh_middles(market: Market, now_ns: int) -> list[tuple[int, int]]:
    fresh = [reference for reference, _ in market.fresh_references(now_ns)]
    return [
        market.middles[source]
        for source in ReferenceSource
        if any(market.references.get(source) is reference for reference in fresh)
    ]


def check_prices(case: Case, *, walk_part_ns: int, hold_ns: int) -> None:
    """Look for enough references, that agree, and a price near every one of them and near where the window began."""
    request, market, rules = case.request, case.market, case.market.terms.rules
    if not rules.has_price_rules:
        return
    has_price = request.order_type == OrderType.LIMIT or request.price_ticks != 0
    fresh = _fresh_middles(market, request.now_ns)
    if has_price and rules.dynamic_collar_bps != NO_LIMIT:
        for middle in fresh:
            _check_collar(case, middle, request.price_ticks)
            if request.order_type == OrderType.STOP:
                _check_collar(case, middle, request.trigger_ticks)
    if len(fresh) < rules.references_min:
        case.findings.deny_unless(
            case.is_reducing, Code.REFERENCES_TOO_FEW, INSTRUMENT, len(fresh), rules.references_min
        )
    if market.disagreed is not None and request.monotonic_ns - market.disagreed[0] < hold_ns:
        measured, limit = market.disagreed[1], rules.disagreement_bps_max
        case.findings.deny_unless(case.is_reducing, Code.REFERENCES_DISAGREE, INSTRUMENT, measured, limit)
    if has_price and rules.walk_bps_max != NO_LIMIT and market.walk.seen:
        start = market.walk.start(request.monotonic_ns // walk_part_ns)
        width = start * rules.walk_bps_max // BPS
        if request.side * (request.price_ticks - start) > width:
            edge = start + request.side * width
            case.findings.deny(Code.PRICE_WALKED_TOO_FAR, INSTRUMENT, request.price_ticks, edge)


def _check_collar(case: Case, middle: tuple[int, int], price: int) -> None:
    rules, side = case.market.terms.rules, case.request.side
    low, high = middle
    most, least = low + low * rules.dynamic_collar_bps // BPS, high - high * rules.dynamic_collar_bps // BPS
    if price > most and (side > 0 or not rules.is_collar_one_sided):
        case.findings.deny(Code.PRICE_OUTSIDE_DYNAMIC_COLLAR, INSTRUMENT, price, most)
    elif price < least and (side < 0 or not rules.is_collar_one_sided):
        case.findings.deny(Code.PRICE_OUTSIDE_DYNAMIC_COLLAR, INSTRUMENT, price, least)
