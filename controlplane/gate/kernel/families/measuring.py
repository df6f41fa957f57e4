"""What the gate measures for its breakers by itself: fills, losses, cost against arrival, shares, denials, silence.

Each function is one line in the file where its event happens, and does nothing where no breaker looks. Products stay
within 64 bits: what can't be counted exactly is left out of a measure of cost and counts as much in a measure of size.
"""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.measures import Beat, Measure
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled, inlined, seldom
from controlplane.gate.kernel.families import places as p
from controlplane.gate.kernel.families.breakers import count_at, read, read_at, steady
from controlplane.gate.kernel.valuation import BPS, CASH_MAX, is_possible, notional_micro
from controlplane.gate.kernel.windows import PARTS, advance

MILLION = 1_000_000
SMALL_COST_MAX = 1 << 40
FILL_MICRO_MAX = 1 << 48  # a worth beyond, or none, counts as this much
OWN_LOTS_MAX = 1 << 48
WORTH_MIN = -(1 << 54)  # below it some position has no worth: no reading
PARENT_SCOPE = 4

FILLED_NOTIONAL, FILLED_LOTS = int(Measure.FILLED_NOTIONAL), int(Measure.FILLED_LOTS)
LOSS_IN_WINDOW, DRAWDOWN, LOSING_STREAK = (
    int(Measure.LOSS_IN_WINDOW), int(Measure.DRAWDOWN), int(Measure.LOSING_STREAK),
)  # fmt: skip
SLIPPAGE, IMPACT, PARTICIPATION = int(Measure.SLIPPAGE), int(Measure.IMPACT), int(Measure.PARTICIPATION)
DENIED_COUNT, REJECTED_COUNT = int(Measure.DENIED_COUNT), int(Measure.REJECTED_COUNT)
MARKET_DATA = int(Beat.MARKET_DATA)


# --- fills and their cost ---------------------------------------------------------------------------------------------


@compiled
def note_fill(s: Words, instrument: int, side: int) -> None:
    """GT35: count a fill that was booked in the windows of its scopes, and look at our share of the volume again."""
    if s[a.GUARD_ROWS] == 0:
        return
    lots = s[a.E_QUANTITY]
    micro = notional_micro(s, instrument, side, lots, s[a.E_PRICE])
    micro = FILL_MICRO_MAX if micro < 0 else min(micro, FILL_MICRO_MAX)
    for scope in range(a.SCOPES):
        count_at(s, s[a.PATH_NODES + scope], FILLED_NOTIONAL, micro)
        count_at(s, s[a.PATH_NODES + scope], FILLED_LOTS, lots)
    note_share(s, instrument)


@compiled
def note_share(s: Words, instrument: int) -> None:
    """D5: read our share of an instrument's volume over all venues; a volume that isn't known yet is the floor."""
    if s[a.GUARD_ROWS] != 0 and s[s[instrument + a.INSTRUMENT_NODE] + a.NODE_GUARD] != 0:
        read_at(s, s[instrument + a.INSTRUMENT_NODE], PARTICIPATION, share_bps(s, instrument))


@compiled
def share_bps(s: Words, instrument: int) -> int:
    """Return our fills over the market's volume in the participation window, rounded up."""
    volume, index = s[instrument + a.INSTRUMENT_VOLUME], s[a.E_MONOTONIC] // s[a.PARTICIPATION_BUCKET_NS]
    market = advance(s, volume + a.VOLUME_MARKET, index)
    own = min(advance(s, volume + a.VOLUME_OWN, index), OWN_LOTS_MAX)
    first = s[volume + a.VOLUME_FIRST_NS]
    if first == 0 or s[a.E_MONOTONIC] - first < PARTS * s[a.PARTICIPATION_BUCKET_NS]:
        market = max(market, s[volume + a.VOLUME_FLOOR])
    if own == 0 or market == 0:
        return 0 if own == 0 else BPS
    return (own * BPS + market - 1) // market


@compiled
def note_arrival(s: Words, parent: int, instrument: int) -> None:
    """Keep bid and ask of a parent order's arrival, added; 0 until there is a price."""
    s[parent + a.PARENT_ARRIVAL] = s[instrument + a.INSTRUMENT_HIGH] + s[instrument + a.INSTRUMENT_LOW]
    s[parent + a.PARENT_COST] = s[parent + a.PARENT_DRIFT] = s[parent + a.PARENT_COUNTED] = 0


@compiled
def note_cost(s: Words, parent: int, instrument: int, side: int) -> None:
    """GT40: fills of a parent order against its arrival, and the mid price at them, both as shares of the arrival."""
    if s[a.GUARD_ROWS] == 0 or s[instrument + a.INSTRUMENT_KIND] == a.OPTION:
        return  # a premium moves by more than any share that is a cost
    both = s[instrument + a.INSTRUMENT_HIGH] + s[instrument + a.INSTRUMENT_LOW]
    if s[parent + a.PARENT_ARRIVAL] <= 0:
        s[parent + a.PARENT_ARRIVAL] = both
    arrival, price, lots = s[parent + a.PARENT_ARRIVAL], s[a.E_PRICE], s[a.E_QUANTITY]
    counted = s[parent + a.PARENT_COUNTED] + lots
    widest = max(arrival, abs(both), 2 * abs(price))
    if arrival <= 0 or not is_possible(s, instrument, price) or counted > a.PRODUCT_MAX // widest:
        return
    s[parent + a.PARENT_COUNTED] = counted
    cost = s[parent + a.PARENT_COST] + side * lots * (2 * price - arrival)
    drift = s[parent + a.PARENT_DRIFT] + side * lots * (both - arrival)
    s[parent + a.PARENT_COST], s[parent + a.PARENT_DRIFT] = _within_cash(cost), _within_cash(drift)
    for scope in range(a.SCOPES):
        read_at(s, s[a.PATH_NODES + scope], SLIPPAGE, millionths(s[parent + a.PARENT_COST], counted * arrival))
        read_at(s, s[a.PATH_NODES + scope], IMPACT, millionths(s[parent + a.PARENT_DRIFT], counted * arrival))


@inlined
def _within_cash(amount: int) -> int:
    return max(-CASH_MAX, min(CASH_MAX, amount))


@compiled
def millionths(cost: int, base: int) -> int:
    """Return a cost as a share of a positive base, rounded down towards a smaller base."""
    if base >= MILLION:
        return cost // (base // MILLION)
    return max(-SMALL_COST_MAX, min(SMALL_COST_MAX, cost)) * MILLION // base


# --- losses -----------------------------------------------------------------------------------------------------------


@compiled
def read_worth(s: Words, node: int) -> None:
    """GT38, GT39: take the worth of a scope as a reading of drawdown and loss, unless it isn't known."""
    guard = s[node + a.NODE_GUARD]
    worth = s[node + a.NODE_VALUE]
    if guard == 0 or s[node + a.NODE_IS_LOSS_UNKNOWN] != 0 or worth <= WORTH_MIN:
        return
    breaker = s[guard + p.GUARD_BREAKER]
    while breaker != 0:
        if s[breaker + p.INPUT] == DRAWDOWN:
            # One reading alone, which may be a bad tick, never lifts the high-water mark.
            s[breaker + p.MARK] = max(s[breaker + p.MARK], min(s[breaker + p.PREVIOUS], worth))
            s[breaker + p.PREVIOUS] = worth
            read(s, breaker, max(0, s[breaker + p.MARK] - worth))
        elif s[breaker + p.INPUT] == LOSS_IN_WINDOW:
            read(s, breaker, fallen(s, breaker, worth))
        breaker = s[breaker + p.NEXT]


@compiled
def fallen(s: Words, breaker: int, worth: int) -> int:
    """Return how far the worth is below its highest in the window; a part without a reading kept the one before."""
    window, index = breaker + p.WINDOW, s[a.E_MONOTONIC] // s[breaker + p.PART_NS]
    last = s[window + a.WINDOW_LAST]
    if index > last:
        for step in range(1, min(index - last, a.WINDOW_BUCKETS) + 1):
            s[window + a.WINDOW_FIRST + (last + step) % a.WINDOW_BUCKETS] = s[breaker + p.PREVIOUS]
        s[window + a.WINDOW_LAST] = index
    newest = window + a.WINDOW_FIRST + s[window + a.WINDOW_LAST] % a.WINDOW_BUCKETS
    s[newest], s[breaker + p.PREVIOUS] = max(s[newest], worth), worth
    highest = worth
    for part in range(a.WINDOW_BUCKETS):
        highest = max(highest, s[window + a.WINDOW_FIRST + part])
    return highest - worth


@compiled
def note_end(s: Words, parent: int, node: int) -> None:
    """GT39: a parent order that has filled ends; count the losing ones in a row at each scope above it."""
    if s[a.GUARD_ROWS] == 0 or s[parent + a.PARENT_FILLED] == 0:
        return
    is_lost = s[node + a.NODE_VALUE] < 0
    for scope in range(a.SCOPES):
        if scope != PARENT_SCOPE:
            _note_streak(s, s[s[s[parent + a.PARENT_ROUTE] + a.ROUTE_NODES + scope] + a.NODE_GUARD], is_lost)


@compiled
def _note_streak(s: Words, guard: int, is_lost: bool) -> None:
    breaker = s[guard + p.GUARD_BREAKER] if guard != 0 else 0
    while breaker != 0:
        if s[breaker + p.INPUT] == LOSING_STREAK:
            s[breaker + p.STREAK] = s[breaker + p.STREAK] + 1 if is_lost else 0
            read(s, breaker, s[breaker + p.STREAK])
        breaker = s[breaker + p.NEXT]


# --- denials, rejections, beats ---------------------------------------------------------------------------------------


@compiled
def note_denial(s: Words) -> None:
    """GATE case 35: count a denied request at its scopes, unless nothing but a stop denied it: asking on does no harm
    to a stop.
    """
    if s[a.GUARD_ROWS] == 0:
        return
    seldom()
    code = s[a.FAILED_RANK]
    if code in (Code.SCOPE_HALTED, Code.SCOPE_PAUSED, Code.REDUCE_ONLY_EXCEEDED, Code.FILL_VELOCITY_ABOVE_LIMIT):
        return
    if Code.DRAWDOWN_ABOVE_LIMIT <= code <= Code.SUPERVISION_MISSING and code != Code.PROBATION_SIZE_EXCEEDED:
        return
    for scope in range(a.SCOPES):
        if s[a.PATH_NODES + scope] != 0:
            count_at(s, s[a.PATH_NODES + scope], DENIED_COUNT, 1)


@compiled
def note_rejection(s: Words) -> None:
    """Count an order that its venue rejected at each scope of the path."""
    if s[a.GUARD_ROWS] != 0:
        for scope in range(a.SCOPES):
            count_at(s, s[a.PATH_NODES + scope], REJECTED_COUNT, 1)


@inlined
def note_market_data(s: Words) -> None:
    """A price that was taken is a beat of market data."""
    if s[a.GUARD_ROWS] != 0:
        s[s[a.GUARDS_AT] + p.BEATS + MARKET_DATA] = steady(s)
