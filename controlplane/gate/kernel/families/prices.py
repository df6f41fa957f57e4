"""GT11: a price compared with every fresh reference, with how well those agree, and with where the market was when the
walk window began.

A reference has a middle: of a book the microprice, which leans to the side with less size; of a mark or a trade the
price itself. It is kept rounded down and rounded up, so that a collar is never wider for the rounding.
"""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.orders import OrderType
from controlplane.domain.quantities import BPS
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled
from controlplane.gate.kernel.denials import INSTRUMENT, deny, deny_unless_reducing

LIMIT, STOP = int(OrderType.LIMIT), int(OrderType.STOP)
WEIGHT_MAX = 1 << 20  # a side that shows more lots weighs no more, so that no product passes 64 bits


# --- what is seen -----------------------------------------------------------------------------------------------------


@compiled
def see_price(s: Words, instrument: int, source: int, bid: int, ask: int, bid_lots: int, ask_lots: int) -> None:
    """Take the middle of a healthy reference, and see whether those that are fresh still agree."""
    row = s[instrument + a.INSTRUMENT_PRICES]
    if row == 0:
        return
    low = high = bid
    if ask > bid:
        weight, other = min(bid_lots, WEIGHT_MAX), min(ask_lots, WEIGHT_MAX)
        moved = (ask - bid) * weight
        low, high = bid + moved // (weight + other), bid - (-moved // (weight + other))
    s[row + a.PRICES_LOW + source], s[row + a.PRICES_HIGH + source] = low, high
    if source == 0 or s[row + a.PRICES_LATEST] == 0:
        _walk(s, row, low)
    _compare(s, instrument, row)


@compiled
def _walk(s: Words, row: int, middle: int) -> None:
    """Note at which price each part of the walk window began; a clock that goes back begins none."""
    part, last = s[a.E_MONOTONIC] // s[a.WALK_PART_NS], s[row + a.PRICES_PART]
    if s[row + a.PRICES_LATEST] == 0:
        for place in range(a.WINDOW_BUCKETS):
            s[row + a.PRICES_STARTS + place] = middle
        s[row + a.PRICES_PART] = part
    elif part > last:
        for step in range(1, min(part - last, a.WINDOW_BUCKETS) + 1):
            s[row + a.PRICES_STARTS + (part - step + 1) % a.WINDOW_BUCKETS] = s[row + a.PRICES_LATEST]
        s[row + a.PRICES_PART] = part
    s[row + a.PRICES_LATEST] = middle


@compiled
def _compare(s: Words, instrument: int, row: int) -> None:
    """Note the moment at which two fresh references lie too far apart."""
    least, most = a.NO_LIMIT, 0
    for source in range(a.SOURCES):
        if is_fresh(s, instrument, source, s[a.E_WALL]):
            least = min(least, s[row + a.PRICES_LOW + source])
            most = max(most, s[row + a.PRICES_HIGH + source])
    apart = s[row + a.PRICES_APART_BPS]
    if apart != a.NO_LIMIT and most > least and (most - least) * BPS > apart * least:
        s[row + a.PRICES_DISAGREED_NS] = max(s[row + a.PRICES_DISAGREED_NS], s[a.E_MONOTONIC])
        s[row + a.PRICES_DISAGREED_BPS] = -(-(most - least) * BPS // least)


@compiled
def is_fresh(s: Words, instrument: int, source: int, now_ns: int) -> bool:
    """Return whether a source is a healthy reference, fresh by both clocks."""
    place = instrument + a.INSTRUMENT_REFERENCES + source * a.REFERENCE_WORDS
    age = max(abs(now_ns - s[place + 2]), abs(now_ns - s[place + 3]))
    return s[place + 4] != 0 and age <= s[instrument + a.INSTRUMENT_REFERENCE_AGE_MAX]


# --- what is asked ----------------------------------------------------------------------------------------------------


@compiled
def check_prices(s: Words) -> None:
    """GT11: enough references, that agree, and a price near every one of them and near where the window began."""
    instrument = s[a.INSTRUMENT]
    row = s[instrument + a.INSTRUMENT_PRICES]
    if row == 0:
        return
    has_price = s[a.TYPE] == LIMIT or s[a.PRICE] != 0
    fresh = 0
    for source in range(a.SOURCES):
        if is_fresh(s, instrument, source, s[a.NOW_NS]):
            fresh += 1
            if has_price and s[row + a.PRICES_COLLAR_BPS] != a.NO_LIMIT:
                _check_collar(s, instrument, row, source, s[a.PRICE])
                if s[a.TYPE] == STOP:
                    _check_collar(s, instrument, row, source, s[a.TRIGGER])
    if fresh < s[row + a.PRICES_FRESH_MIN]:
        deny_unless_reducing(s, Code.REFERENCES_TOO_FEW, INSTRUMENT, fresh, s[row + a.PRICES_FRESH_MIN])
    disagreed = s[row + a.PRICES_DISAGREED_NS]
    if disagreed >= 0 and s[a.MONOTONIC_NS] - disagreed < s[a.DISAGREEMENT_HOLD_NS]:
        deny_unless_reducing(
            s, Code.REFERENCES_DISAGREE, INSTRUMENT, s[row + a.PRICES_DISAGREED_BPS], s[row + a.PRICES_APART_BPS]
        )
    if has_price and s[row + a.PRICES_WALK_BPS] != a.NO_LIMIT and s[row + a.PRICES_LATEST] != 0:
        start, side = _start_of_window(s, row), s[a.SIDE]
        width = start * s[row + a.PRICES_WALK_BPS] // BPS
        if side * (s[a.PRICE] - start) > width:
            deny(s, Code.PRICE_WALKED_TOO_FAR, INSTRUMENT, s[a.PRICE], start + side * width)


@compiled
def _check_collar(s: Words, instrument: int, row: int, source: int, price: int) -> None:
    """Bound a price by one reference, on the paying side and, unless the collar is one-sided, on the other."""
    side, bps = s[a.SIDE], s[row + a.PRICES_COLLAR_BPS]
    low, high = s[row + a.PRICES_LOW + source], s[row + a.PRICES_HIGH + source]
    most, least = low + low * bps // BPS, high - high * bps // BPS
    is_bounded_beyond = s[instrument + a.INSTRUMENT_IS_ONE_SIDED] == 0
    if price > most and (side > 0 or is_bounded_beyond):
        deny(s, Code.PRICE_OUTSIDE_DYNAMIC_COLLAR, INSTRUMENT, price, most)
    elif price < least and (side < 0 or is_bounded_beyond):
        deny(s, Code.PRICE_OUTSIDE_DYNAMIC_COLLAR, INSTRUMENT, price, least)


@compiled
def _start_of_window(s: Words, row: int) -> int:
    """Return the price at which the oldest part of the walk window began."""
    last = s[row + a.PRICES_PART]
    oldest = max(last, s[a.MONOTONIC_NS] // s[a.WALK_PART_NS]) - a.WINDOW_BUCKETS + 1
    if oldest > last:
        return s[row + a.PRICES_LATEST]
    return s[row + a.PRICES_STARTS + oldest % a.WINDOW_BUCKETS]
