"""What breakers and dynamic limits look at: numbers that the gate works out itself, and numbers that it is told.

A number keeps its meaning for ever, since records name measures by it. Up to 31 the gate measures; from 32 on another
program does and states, with the value, the time as of which it holds.
"""

from dataclasses import dataclass
from enum import IntEnum


class Measure(IntEnum):
    """Every measure, with its unit.

    FILLED_NOTIONAL       worth of our fills in a window, millionths of the reporting currency
    FILLED_LOTS           lots of our fills in a window; of one instrument
    LOSS_IN_WINDOW        fall of the worth below the highest in a window, millionths
    DRAWDOWN              fall of the worth below its highest ever, or of the day, millionths
    LOSING_STREAK         parent orders in a row that ended with a loss
    SLIPPAGE              fills of a parent order against its arrival price, millionths of that price; positive is cost
    IMPACT                mid price at the fills of a parent order against its arrival price, millionths, our side
    PARTICIPATION         our fills over the market's volume in the participation window, bps
    DENIED_COUNT          denied requests in a window, without those that a stop denied
    REJECTED_COUNT        orders that the venue rejected, in a window
    CLOCK_STEP            how far the wall clock moved beside the steady one since the last tick, nanoseconds
    ..._SILENCE           time since the last beat, nanoseconds
    VOLATILITY            realised over usual volatility, bps (10000 is as usual)
    SPREAD                spread over mid price, millionths
    DEPTH                 visible over usual depth, bps (10000 is as usual); small is bad
    MODEL_UNCERTAINTY     width of a model's predictive interval over its usual one, bps
    LEAKAGE               association of our orders with the following quotes, 0 to 10000
    PRICE_DEVIATION       standard deviation of the price over its historical one, bps (20000 is twice)
    BAND_DISTANCE         distance of the price from a damped rolling reference, bps
    LOOK_BACK_RANGE       highest less lowest price of a look-back window over its middle, bps
    TWO_WINDOW_DEVIATION  price beyond the extremes of a short and of a long look-back window, bps
    PRICE_GAP             move of the price within a short interval, bps
    FEED_ANOMALY          1 while a feed is cut off or disagrees with another, else 0
    MARKET_HEALTH         verdict of the market monitor: 0 sound, 1 watch, 2 unsound
    MODEL_HEALTH          verdict on a model: 0 ok, 1 degraded, 2 breach
    """

    FILLED_NOTIONAL = 1
    FILLED_LOTS = 2
    LOSS_IN_WINDOW = 3
    DRAWDOWN = 4
    LOSING_STREAK = 5
    SLIPPAGE = 6
    IMPACT = 7
    PARTICIPATION = 8
    DENIED_COUNT = 9
    REJECTED_COUNT = 10
    CLOCK_STEP = 11
    SUPERVISOR_SILENCE = 12
    MARKET_DATA_SILENCE = 13
    CLOCK_SILENCE = 14
    JOURNAL_SILENCE = 15

    VOLATILITY = 32
    SPREAD = 33
    DEPTH = 34
    MODEL_UNCERTAINTY = 35
    LEAKAGE = 36
    PRICE_DEVIATION = 37
    BAND_DISTANCE = 38
    LOOK_BACK_RANGE = 39
    TWO_WINDOW_DEVIATION = 40
    PRICE_GAP = 41
    FEED_ANOMALY = 42
    MARKET_HEALTH = 43
    MODEL_HEALTH = 44


FIRST_OBSERVED = Measure.VOLATILITY
LAST_OBSERVED = Measure.MODEL_HEALTH

# Counted in a rolling window of the breaker's own.
WINDOWED = frozenset(
    {Measure.FILLED_NOTIONAL, Measure.FILLED_LOTS, Measure.LOSS_IN_WINDOW, Measure.DENIED_COUNT, Measure.REJECTED_COUNT}
)
# Something that happened once: no later reading says that it is over, only time does.
EVENTS = frozenset({Measure.LOSING_STREAK, Measure.SLIPPAGE, Measure.IMPACT, Measure.CLOCK_STEP})


class Beat(IntEnum):
    """Who must show a sign of life; the number is the bit of the mask in which a record of passed time tells it."""

    SUPERVISOR = 0
    MARKET_DATA = 1
    CLOCK = 2
    JOURNAL = 3


class BreakerState(IntEnum):
    """Closed lets pass, open acts, half-open lets small orders pass to see."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


@dataclass(frozen=True, slots=True)
class MeasureObserved:
    """One measured number about a scope.

    Fields
        scope       written `instrument:BTC-PERP`
        value       in the unit of the measure
        as_of_ns    moment for which the value holds; its age counts from there
        receive_ns  our time when it arrived
    """

    measure: Measure
    scope: str
    value: int
    as_of_ns: int
    receive_ns: int
