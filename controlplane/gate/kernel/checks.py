"""The checks of the gate, one short function each, in the order of precedence of their codes.

A check writes what it finds into the record being made and never stops the others (`denials.py`). The ones about size
stand in `exposure.py`. Measured equal to the limit passes; there is no tolerance.
"""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.observations import Phase
from controlplane.domain.orders import CommandKind, OrderType, TimeInForce
from controlplane.domain.states import TradingState
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled
from controlplane.gate.kernel.denials import (
    INSTRUMENT,
    MODEL,
    NO_SCOPE,
    UNDERLYING,
    bound_lots,
    deny,
    deny_size,
    deny_unless_reducing,
)
from controlplane.gate.kernel.valuation import BPS, NO_RATE, NO_REFERENCE, OUT_OF_RANGE, notional_micro

HALTED, PAUSED, REDUCE_ONLY = int(TradingState.HALTED), int(TradingState.PAUSED), int(TradingState.REDUCE_ONLY)
CONTINUOUS, PHASE_UNKNOWN = int(Phase.CONTINUOUS), int(Phase.UNKNOWN)
LIMIT, MARKET, STOP = int(OrderType.LIMIT), int(OrderType.MARKET), int(OrderType.STOP)
POST_ONLY, IMMEDIATE, FILL_OR_KILL = (
    int(TimeInForce.POST_ONLY), int(TimeInForce.IMMEDIATE_OR_CANCEL), int(TimeInForce.FILL_OR_KILL),
)  # fmt: skip
QUOTE = int(CommandKind.QUOTE_ACCEPTANCE)


# --- states, calendar, instrument -------------------------------------------------------------------------------------


@compiled
def check_states(s: Words) -> None:
    """GT41, GT42: the most restrictive state over all scopes decides; reduce-only asks for a proof at its own scope."""
    for scope in range(a.SCOPES):
        state = s[s[a.PATH_NODES + scope] + a.NODE_STATE]
        if state == HALTED:
            deny(s, Code.SCOPE_HALTED, scope, state, PAUSED)
        elif state == PAUSED:
            deny(s, Code.SCOPE_PAUSED, scope, state, REDUCE_ONLY)
        elif state == REDUCE_ONLY:
            hold_to_reduction(s, scope)


@compiled
def hold_to_reduction(s: Words, scope: int) -> bool:
    """Return whether an order was denied since it isn't proved to shrink the position of a scope."""
    reducible = reducible_lots(s, s[a.PATH_CELLS + scope])
    bound_lots(s, Code.REDUCE_ONLY_EXCEEDED, scope, reducible, s[a.NEW_LOTS], reducible)
    if s[a.NEW_LOTS] <= reducible or s[a.IS_SIZE_DOWN] != 0:
        return False
    deny_size(s, Code.REDUCE_ONLY_EXCEEDED, scope, s[a.NEW_LOTS], reducible)
    if s[a.IS_REPRICED] != 0 and s[a.OLD_LOTS] > reducible:
        s[a.IS_HARD] = 1  # the old size counts until the venue answers: at a new price none would reduce
    return True


@compiled
def reducible_lots(s: Words, cell: int) -> int:
    """Return what this order may have live without leaving the reducing side: the opposite position less other live
    reducers.
    """
    if s[a.SIDE] > 0:
        return max(0, s[a.OLD_LOTS] - s[cell + a.CELL_POSITION] - s[cell + a.CELL_BUY])
    return max(0, s[a.OLD_LOTS] + s[cell + a.CELL_POSITION] - s[cell + a.CELL_SELL])


@compiled
def prove_reduction(s: Words) -> None:
    """M7: note whether the whole order is a reduction at firm, desk, strategy and model, and how much would be."""
    least = a.NO_LIMIT
    for scope in range(MODEL + 1):
        least = min(least, reducible_lots(s, s[a.PATH_CELLS + scope]))
    s[a.REDUCIBLE] = least
    s[a.IS_REDUCING] = 1 if s[a.IS_SIZE_DOWN] != 0 or s[a.NEW_LOTS] <= least else 0


@compiled
def check_instrument(s: Words) -> None:
    """GT03, GT04: known, unexpired, unrestricted; the model approved, unexpired and made of the pinned bytes."""
    instrument, route = s[a.INSTRUMENT], s[a.ROUTE_ROW]
    if s[a.NOW_NS] >= s[instrument + a.INSTRUMENT_EXPIRES]:
        deny(s, Code.INSTRUMENT_EXPIRED, INSTRUMENT, s[a.NOW_NS], s[instrument + a.INSTRUMENT_EXPIRES])
    if s[instrument + a.INSTRUMENT_IS_RESTRICTED] != 0:
        deny(s, Code.INSTRUMENT_RESTRICTED, INSTRUMENT, 1, 0)
    if s[route + a.ROUTE_IS_MODEL_APPROVED] == 0 or s[a.NOW_NS] >= s[route + a.ROUTE_MODEL_EXPIRES]:
        deny(s, Code.MODEL_NOT_APPROVED, MODEL, 0, 1)
    if s[a.E_MODEL] != s[route + a.ROUTE_MODEL_DIGEST]:
        deny(s, Code.MODEL_DIGEST_MISMATCH, MODEL, 0, 0)


@compiled
def check_phase(s: Words) -> None:
    """GT05: inside a session of the calendar, and the venue says that it trades; an old or unknown phase denies new
    risk.
    """
    instrument, now = s[a.INSTRUMENT], s[a.NOW_NS]
    if not is_in_session(s, instrument, now):
        deny(s, Code.OUTSIDE_TRADING_HOURS, INSTRUMENT, 0, 0)
    if s[a.IS_PHASE_REQUIRED] == 0:
        return
    phase, age = s[instrument + a.INSTRUMENT_PHASE], abs(now - s[instrument + a.INSTRUMENT_PHASE_NS])
    if phase == PHASE_UNKNOWN or age > s[a.PHASE_AGE_NS_MAX]:
        deny_unless_reducing(s, Code.PHASE_UNKNOWN, INSTRUMENT, age, s[a.PHASE_AGE_NS_MAX])
    elif phase != CONTINUOUS:
        deny(s, Code.PHASE_NOT_TRADING, INSTRUMENT, phase, CONTINUOUS)


@compiled
def is_in_session(s: Words, instrument: int, now_ns: int) -> bool:
    """Return whether a moment lies in a session of the instrument's calendar; sessions are ascending and half-open."""
    first = s[instrument + a.INSTRUMENT_SESSION_FIRST]
    low, high = 0, s[instrument + a.INSTRUMENT_SESSION_COUNT]
    while low < high:
        middle = (low + high) // 2
        if s[first + 2 * middle] <= now_ns:
            low = middle + 1
        else:
            high = middle
    return low > 0 and now_ns < s[first + 2 * (low - 1) + 1]


@compiled
def check_grid(s: Words) -> None:
    """GT03, GT13: price on the tick grid and in range, quantity on the lot grid and in range, protection present."""
    instrument, total, price = s[a.INSTRUMENT], s[a.TOTAL_LOTS], s[a.PRICE]
    order_type = s[a.TYPE]
    if (order_type in (MARKET, STOP)) and price == 0:
        deny(s, Code.PROTECTION_LIMIT_MISSING, NO_SCOPE, 0, 1)
    else:
        _check_price(s, instrument, price, Code.PRICE_OFF_TICK, Code.PRICE_OUT_OF_RANGE)
    if order_type == STOP:
        _check_price(s, instrument, s[a.TRIGGER], Code.TRIGGER_PRICE_INVALID, Code.TRIGGER_PRICE_INVALID)
    step = s[instrument + a.INSTRUMENT_LOT_STEP]
    if total % step != 0:
        deny_size(s, Code.QUANTITY_OFF_LOT, INSTRUMENT, total % step, 0)
    if total < s[instrument + a.INSTRUMENT_LOTS_MIN]:
        deny_size(s, Code.QUANTITY_BELOW_VENUE_MINIMUM, INSTRUMENT, total, s[instrument + a.INSTRUMENT_LOTS_MIN])
    most = s[instrument + a.INSTRUMENT_LOTS_MAX]
    bound_lots(s, Code.QUANTITY_ABOVE_VENUE_MAXIMUM, INSTRUMENT, most - s[a.FILLED], total, most)
    if total > most:
        deny_size(s, Code.QUANTITY_ABOVE_VENUE_MAXIMUM, INSTRUMENT, total, most)


@compiled
def _check_price(s: Words, instrument: int, price: int, off_tick: int, out_of_range: int) -> None:
    low, high = s[instrument + a.INSTRUMENT_PRICE_MIN], s[instrument + a.INSTRUMENT_PRICE_MAX]
    if price < low:
        deny(s, out_of_range, INSTRUMENT, price, low)
    if price > high:
        deny(s, out_of_range, INSTRUMENT, price, high)
    step = 1
    for band in range(a.BANDS):
        row = instrument + a.INSTRUMENT_BANDS + 2 * band
        if s[row + 1] > 0 and abs(price) >= s[row]:
            step = s[row + 1]
    if price % step != 0:
        deny(s, off_tick, INSTRUMENT, price % step, 0)


# --- references and price
# ------------------------------------------------------------------------------------------------


@compiled
def choose_reference(s: Words) -> None:
    """GT12: take the first source that is healthy and fresh by both clocks; note bid, ask and age, or what is wrong."""
    instrument, now = s[a.INSTRUMENT], s[a.NOW_NS]
    age_max = s[instrument + a.INSTRUMENT_REFERENCE_AGE_MAX]
    youngest = a.NO_LIMIT
    for source in range(a.SOURCES):
        row = instrument + a.INSTRUMENT_REFERENCES + source * a.REFERENCE_WORDS
        if s[row + 4] == 0:
            continue
        age = max(abs(now - s[row + 2]), abs(now - s[row + 3]))
        youngest = min(youngest, age)
        if age <= age_max:
            s[a.BID], s[a.ASK], s[a.AGE] = s[row], s[row + 1], age
            return
    if youngest == a.NO_LIMIT:
        deny_unless_reducing(s, Code.REFERENCE_MISSING, INSTRUMENT, 0, 1)
    else:
        s[a.AGE] = youngest
        deny_unless_reducing(s, Code.REFERENCE_STALE, INSTRUMENT, youngest, age_max)


@compiled
def check_rate(s: Words) -> None:
    """M7: the settlement currency has a rate that is positive and not too old."""
    rate = s[s[a.INSTRUMENT] + a.INSTRUMENT_RATE]
    age = abs(s[a.NOW_NS] - s[rate + a.RATE_NS])
    is_usable = s[rate + a.RATE_MICRO] > 0 and (s[rate + a.RATE_IS_FIXED] != 0 or age <= s[a.RATE_AGE_NS_MAX])
    if not is_usable:
        deny_unless_reducing(s, Code.RATE_MISSING, NO_SCOPE, age, s[a.RATE_AGE_NS_MAX])


@compiled
def check_collar(s: Words) -> None:
    """GT10: limit and trigger inside the static collar; its bounds are rounded towards the reference."""
    instrument = s[a.INSTRUMENT]
    static = s[instrument + a.INSTRUMENT_STATIC_TICKS]
    if static == 0:
        deny_unless_reducing(s, Code.REFERENCE_MISSING, INSTRUMENT, 0, 1)
        return
    if s[a.TYPE] != LIMIT and s[a.PRICE] == 0:
        return  # no protection limit: a check of its own says so, and a price that isn't there lies nowhere
    width = static * s[instrument + a.INSTRUMENT_COLLAR_BPS] // BPS if static > 0 else -1
    _check_collar_price(s, static, width, s[a.PRICE])
    if s[a.TYPE] == STOP:
        _check_collar_price(s, static, width, s[a.TRIGGER])


@compiled
def _check_collar_price(s: Words, static: int, width: int, price: int) -> None:
    side = s[a.SIDE]
    paying = side * (price - static)
    is_bounded_below = s[s[a.INSTRUMENT] + a.INSTRUMENT_IS_ONE_SIDED] == 0
    if paying > width:
        deny(s, Code.PRICE_OUTSIDE_COLLAR, INSTRUMENT, price, static + side * width)
    elif is_bounded_below and -paying > width:
        deny(s, Code.PRICE_OUTSIDE_COLLAR, INSTRUMENT, price, static - side * width)


@compiled
def value_order(s: Words) -> bool:
    """M5: write the exposure of the whole order and of its live part; False (and a failed check) when they can't be
    formed.

    An amend counts the larger of old and new terms (M4). One that only makes the order smaller keeps the exposure it
    has: the market moving since then is no reason to hold it back.
    """
    instrument, side = s[a.INSTRUMENT], s[a.SIDE]
    high = s[a.ASK] if s[a.ASK] > 0 else s[instrument + a.INSTRUMENT_HIGH]
    low = s[a.BID] if s[a.BID] > 0 else s[instrument + a.INSTRUMENT_LOW]
    if s[instrument + a.INSTRUMENT_KIND] == a.INVERSE:
        price = min(s[a.PRICE], s[a.TRIGGER]) if s[a.TRIGGER] != 0 else s[a.PRICE]
        price = min(price, low) if low > 0 else price
    else:
        price = max(abs(s[a.PRICE]), abs(s[a.TRIGGER]), abs(high))
    s[a.VALUE_PRICE] = price
    total = notional_micro(s, instrument, side, s[a.TOTAL_LOTS], price)
    wanted = max(0, s[a.TOTAL_LOTS] - s[a.FILLED])
    live = total if s[a.FILLED] == 0 else notional_micro(s, instrument, side, wanted, price)
    if total < 0 or live < 0:
        if total == NO_RATE:
            deny(s, Code.RATE_MISSING, NO_SCOPE, 0, 1)
        elif total == NO_REFERENCE:
            deny(s, Code.REFERENCE_MISSING, UNDERLYING, 0, 1)
        elif total != OUT_OF_RANGE:  # the range has a check of its own
            deny(s, Code.ARITHMETIC_OVERFLOW, NO_SCOPE, s[a.TOTAL_LOTS], s[instrument + a.INSTRUMENT_LOTS_SAFE])
        return False
    s[a.TOTAL_MICRO] = total
    s[a.NEW_MICRO] = s[a.OLD_MICRO] if s[a.IS_SIZE_DOWN] != 0 else max(live, s[a.OLD_MICRO])
    s[a.E_NOTIONAL] = total
    return True


@compiled
def is_aggressive(s: Words) -> int:
    """Return 1 when the order may take liquidity on arrival; without a reference it is assumed to."""
    if s[a.FORCE] == POST_ONLY:
        return 0
    if s[a.TYPE] != LIMIT or s[a.FORCE] == IMMEDIATE or s[a.FORCE] == FILL_OR_KILL or s[a.COMMAND] == QUOTE:
        return 1
    opposite = s[a.ASK] if s[a.SIDE] > 0 else s[a.BID]
    return 1 if opposite == 0 or s[a.SIDE] * (s[a.PRICE] - opposite) >= 0 else 0


@compiled
def is_becoming_aggressive(s: Words) -> bool:
    """Return whether an amend lets an order take liquidity that could not before; a mere size-down never does."""
    if s[a.IS_AMEND] == 0 or s[a.IS_SIZE_DOWN] != 0 or s[s[a.ORDER_ROW] + a.ORDER_IS_AGGRESSIVE] != 0:
        return False
    return is_aggressive(s) != 0
