"""Whether an order may be asked for at all: states, instrument, model, hours, grid, references, rate, collar, value.

The first half of the checks, in the order of precedence; `sizes.py` holds the limits. A measured value equal to its
limit passes. The control of docs/models/controls.md that a check stands for is named beside it.
"""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.observations import Phase
from controlplane.domain.orders import OrderType
from controlplane.domain.quantities import BPS
from controlplane.domain.scopes import CrossDimension, Level, ScopeKind
from controlplane.domain.states import TradingState
from controlplane.gate.plain.book import Place
from controlplane.gate.plain.case import Case
from controlplane.gate.plain.findings import Bound
from controlplane.gate.plain.money import Refusal, exposure_micro
from controlplane.gate.plain.terms import Payoff

INSTRUMENT, UNDERLYING = CrossDimension.INSTRUMENT, CrossDimension.UNDERLYING


def prove_reduction(case: Case) -> None:
    """M7: an order is a reduction when its live part is, at firm, desk, strategy and model; a size-down always is."""
    case.reducible_lots = min(case.reducible_in(cell) for cell in case.levels())
    case.is_reducing = case.is_size_down or case.counted_lots <= case.reducible_lots


def check_states(case: Case) -> None:
    """GT41, GT42: every scope on the path has its say; reduce-only asks for the proof at its own scope."""
    findings = case.findings
    for kind, place in findings.path.items():
        state = place.node.state
        if state == TradingState.HALTED:
            findings.deny(Code.SCOPE_HALTED, kind, state, TradingState.PAUSED)
        elif state == TradingState.PAUSED:
            findings.deny(Code.SCOPE_PAUSED, kind, state, TradingState.REDUCE_ONLY)
        elif state == TradingState.REDUCE_ONLY:
            hold_to_reduction(case, kind, place)


def hold_to_reduction(case: Case, kind: ScopeKind, place: Place) -> bool:
    """Return whether the order was denied for not being proved to shrink the position of a scope."""
    findings = case.findings
    if place.cell is None:
        return False
    reducible = case.reducible_in(place.cell)
    found = findings.finding(Code.REDUCE_ONLY_EXCEEDED, kind, case.counted_lots, reducible)
    findings.lots.append(Bound(reducible, found))
    if case.counted_lots <= reducible or case.is_size_down:
        return False
    findings.deny_size(Code.REDUCE_ONLY_EXCEEDED, kind, case.counted_lots, reducible)
    # The venue answers later: until then the old size counts, so at a new price no size would reduce.
    findings.is_hard |= case.is_repriced and case.old_lots > reducible
    return True


def check_instrument(case: Case) -> None:
    """GT03, GT04: unexpired, unrestricted; the model approved and made of the pinned bytes."""
    findings, now_ns, instrument = case.findings, case.request.now_ns, case.market.terms.instrument
    if instrument.expiry_ns is not None and now_ns >= instrument.expiry_ns:
        findings.deny(Code.INSTRUMENT_EXPIRED, INSTRUMENT, now_ns, instrument.expiry_ns)
    if instrument.is_restricted:
        findings.deny(Code.INSTRUMENT_RESTRICTED, INSTRUMENT, 1, 0)
    if not case.known_route.is_model_approved(now_ns):
        findings.deny(Code.MODEL_NOT_APPROVED, Level.MODEL, 0, 1)
    if case.request.model_digest != case.known_route.model_digest:
        findings.deny(Code.MODEL_DIGEST_MISMATCH, Level.MODEL)


def check_hours(case: Case, *, is_phase_required: bool, phase_age_ns_max: int) -> None:
    """GT05: in a session of the calendar, and in continuous trading as the venue said not long ago."""
    findings, market, now_ns = case.findings, case.market, case.request.now_ns
    if not market.terms.is_trading(now_ns):
        findings.deny(Code.OUTSIDE_TRADING_HOURS, INSTRUMENT)
    if not is_phase_required:
        return
    age_ns = abs(now_ns - market.phase_ns)
    if market.phase == Phase.UNKNOWN or age_ns > phase_age_ns_max:
        findings.deny_unless(case.is_reducing, Code.PHASE_UNKNOWN, INSTRUMENT, age_ns, phase_age_ns_max)
    elif market.phase != Phase.CONTINUOUS:
        findings.deny(Code.PHASE_NOT_TRADING, INSTRUMENT, market.phase, Phase.CONTINUOUS)


def check_grid(case: Case) -> None:
    """GT03, GT13: prices on the tick grid and in range, quantity on the lot grid and in range, protection present."""
    findings, request, instrument = case.findings, case.request, case.market.terms.instrument
    if request.order_type in (OrderType.MARKET, OrderType.STOP) and request.price_ticks == 0:
        findings.deny(Code.PROTECTION_LIMIT_MISSING, None, 0, 1)
    else:
        _check_price(case, request.price_ticks, Code.PRICE_OFF_TICK, Code.PRICE_OUT_OF_RANGE)
    if request.order_type == OrderType.STOP:
        _check_price(case, request.trigger_ticks, Code.TRIGGER_PRICE_INVALID, Code.TRIGGER_PRICE_INVALID)
    off_grid = request.total_lots % instrument.lot_step
    if off_grid:
        findings.deny_size(Code.QUANTITY_OFF_LOT, INSTRUMENT, off_grid, 0)
    least, most = instrument.quantity_min_lots, instrument.quantity_max_lots
    if request.total_lots < least:
        findings.deny_size(Code.QUANTITY_BELOW_VENUE_MINIMUM, INSTRUMENT, request.total_lots, least)
    found = findings.finding(Code.QUANTITY_ABOVE_VENUE_MAXIMUM, INSTRUMENT, request.total_lots, most)
    findings.lots.append(Bound(most - case.filled_lots, found))
    if request.total_lots > most:
        findings.deny_size(Code.QUANTITY_ABOVE_VENUE_MAXIMUM, INSTRUMENT, request.total_lots, most)


def _check_price(case: Case, price_ticks: int, off_tick: Code, out_of_range: Code) -> None:
    instrument = case.market.terms.instrument
    for bound, is_beyond in (
        (instrument.price_min_ticks, price_ticks < instrument.price_min_ticks),
        (instrument.price_max_ticks, price_ticks > instrument.price_max_ticks),
    ):
        if is_beyond:
            case.findings.deny(out_of_range, INSTRUMENT, price_ticks, bound)
    off_grid = price_ticks % case.market.terms.tick_step(price_ticks)
    if off_grid:
        case.findings.deny(off_tick, INSTRUMENT, off_grid, 0)


def choose_reference(case: Case) -> None:
    """GT12: the first source, in the order book, mark, last trade, that is healthy and fresh by both clocks."""
    now_ns, age_ns_max = case.request.now_ns, case.market.terms.rules.reference_age_ns_max
    fresh = case.market.fresh_references(now_ns)
    healthy = case.market.healthy_references()
    if fresh:
        reference, case.age_ns = fresh[0]
        case.bid_ticks, case.ask_ticks = reference.bid_ticks, reference.ask_ticks
    elif healthy:
        case.age_ns = min(reference.age_ns(now_ns) for reference in healthy)
        case.findings.deny_unless(case.is_reducing, Code.REFERENCE_STALE, INSTRUMENT, case.age_ns, age_ns_max)
    else:
        case.findings.deny_unless(case.is_reducing, Code.REFERENCE_MISSING, INSTRUMENT, 0, 1)


def check_rate(case: Case, *, rate_age_ns_max: int) -> None:
    """M7: the currency has a rate that is positive and, unless fixed, not too old."""
    rate = case.book.rates[case.market.terms.currency]
    age_ns = abs(case.request.now_ns - rate.observed_ns)
    if rate.micro <= 0 or (not rate.is_fixed and age_ns > rate_age_ns_max):
        case.findings.deny_unless(case.is_reducing, Code.RATE_MISSING, None, age_ns, rate_age_ns_max)


def check_collar(case: Case) -> None:
    """GT10: limit and trigger within a share of the static reference, its bounds rounded towards the reference."""
    static, rules = case.market.static_ticks, case.market.terms.rules
    if static == 0:
        case.findings.deny_unless(case.is_reducing, Code.REFERENCE_MISSING, INSTRUMENT, 0, 1)
        return
    if case.request.order_type != OrderType.LIMIT and case.request.price_ticks == 0:
        return  # the protection limit is missing, which a check of its own says: what isn't there lies nowhere
    # Around a negative price a percentage says nothing: no price is inside.
    width = static * rules.collar_bps // BPS if static > 0 else -1
    prices = [case.request.price_ticks]
    if case.request.order_type == OrderType.STOP:
        prices.append(case.request.trigger_ticks)
    paying = static + case.request.side * width
    giving = static - case.request.side * width
    for price in prices:
        excess = case.request.side * (price - static)
        if excess > width:
            case.findings.deny(Code.PRICE_OUTSIDE_COLLAR, INSTRUMENT, price, paying)
        elif -excess > width and not rules.is_collar_one_sided:
            case.findings.deny(Code.PRICE_OUTSIDE_COLLAR, INSTRUMENT, price, giving)


def value_order(case: Case) -> bool:
    """M5, M4: value the whole order and its live part where the exposure is largest; False when that can't be done.

    Until an amend is answered the larger of both exposures counts. One that only makes the order smaller keeps the
    exposure it has: the market moving since is no reason to hold it back.
    """
    case.value_ticks = _value_ticks(case)
    total, wanted = (_exposure(case, lots) for lots in (case.request.total_lots, case.wanted_lots))
    for found in (total, wanted):
        if found is Refusal.NO_RATE:
            case.findings.deny(Code.RATE_MISSING, None, 0, 1)
        elif found is Refusal.NO_PRICE:
            case.findings.deny(Code.REFERENCE_MISSING, UNDERLYING, 0, 1)
        elif found is Refusal.OVERFLOW:
            lots_safe = case.market.terms.lots_safe
            case.findings.deny(Code.ARITHMETIC_OVERFLOW, None, case.request.total_lots, lots_safe)
    if isinstance(total, Refusal) or isinstance(wanted, Refusal):
        return False
    case.total_micro = total
    case.counted_micro = case.old_micro if case.is_size_down else max(wanted, case.old_micro)
    return True


def _value_ticks(case: Case) -> int:
    """Return the price at which the exposure is largest: highest for linear payoffs, lowest for inverse ones."""
    request, market = case.request, case.market
    prices = [request.price_ticks] + ([request.trigger_ticks] if request.trigger_ticks else [])
    if market.terms.payoff is Payoff.INVERSE:
        low = case.bid_ticks or market.low_ticks
        return min([*prices, low] if low > 0 else prices)
    high = case.ask_ticks or market.high_ticks
    return max(abs(price) for price in (*prices, high))


def _exposure(case: Case, lots: int) -> int | Refusal:
    terms = case.market.terms
    return exposure_micro(
        terms,
        case.request.side,
        lots,
        case.value_ticks,
        rate_micro=case.book.rate_micro(terms),
        underlying_ticks=case.book.underlying_ticks(terms),
    )
