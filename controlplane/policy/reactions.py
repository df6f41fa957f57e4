"""The shape of the files that react by themselves: breakers, thresholds of telemetry, dynamic limits, signs of life.

A threshold is decimal text in the unit of its measure: money in the reporting currency, quantities in units of the
instrument, costs, spreads and moves in bps, ratios as a number (`"2"` is twice the usual), silences in seconds.
"""

from collections.abc import Collection, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.measures import EVENTS, FIRST_OBSERVED, WINDOWED, Measure
from controlplane.domain.quantities import BPS
from controlplane.domain.scopes import CrossDimension, Level, parse_scope
from controlplane.domain.states import TradingState
from controlplane.policy.fields import Bps, Milliseconds, Name, Names, Quantity, Sentence, Table

EVERY = "*"
# How many units of the gate one unit of the file is; quantities are divided by the lot of the instrument.
MONEY, BPS_OF, RATIO, SECONDS, ONE = Decimal(10**6), Decimal(100), Decimal(BPS), Decimal(10**9), Decimal(1)
SCALES: Mapping[Measure, Decimal] = {
    Measure.FILLED_NOTIONAL: MONEY, Measure.FILLED_LOTS: ONE, Measure.LOSS_IN_WINDOW: MONEY, Measure.DRAWDOWN: MONEY,
    Measure.LOSING_STREAK: ONE, Measure.SLIPPAGE: BPS_OF, Measure.IMPACT: BPS_OF, Measure.PARTICIPATION: ONE,
    Measure.DENIED_COUNT: ONE, Measure.REJECTED_COUNT: ONE, Measure.CLOCK_STEP: SECONDS,
    Measure.SUPERVISOR_SILENCE: SECONDS, Measure.MARKET_DATA_SILENCE: SECONDS, Measure.CLOCK_SILENCE: SECONDS,
    Measure.JOURNAL_SILENCE: SECONDS, Measure.VOLATILITY: RATIO, Measure.SPREAD: BPS_OF, Measure.DEPTH: RATIO,
    Measure.MODEL_UNCERTAINTY: RATIO, Measure.LEAKAGE: RATIO, Measure.PRICE_DEVIATION: RATIO,
    Measure.BAND_DISTANCE: ONE, Measure.LOOK_BACK_RANGE: ONE, Measure.TWO_WINDOW_DEVIATION: ONE, Measure.PRICE_GAP: ONE,
    Measure.FEED_ANOMALY: ONE, Measure.MARKET_HEALTH: ONE, Measure.MODEL_HEALTH: ONE,
}  # fmt: skip
MEASURES = {measure.name.lower().replace("_", "-"): measure for measure in Measure}
OF_THE_FIRM = {measure for measure in Measure if "SILENCE" in measure.name} | {Measure.CLOCK_STEP}
THRESHOLD_CAP = Decimal(10**12)
COUNT_MAX = 1_000


class Action(StrEnum):
    """What a breaker does, from the mildest."""

    ALERT = "alert"
    REDUCE_SIZE = "reduce-size"
    REDUCE_ONLY = "reduce-only"
    PAUSE = "pause"
    HALT = "halt"

    @property
    def state(self) -> TradingState:
        """The state into which it puts its scope."""
        return _STATES[self]


_STATES = {
    Action.ALERT: TradingState.ACTIVE,
    Action.REDUCE_SIZE: TradingState.PROBATION,
    Action.REDUCE_ONLY: TradingState.REDUCE_ONLY,
    Action.PAUSE: TradingState.PAUSED,
    Action.HALT: TradingState.HALTED,
}


def _measure(value: str) -> str:
    if value not in MEASURES:
        raise ValueError(f"one of {', '.join(MEASURES)}")
    return value


def is_meant(pattern: str, scope: str) -> bool:
    """Return whether a pattern means a scope: its own text, or all that begin as it does before a star at its end."""
    return scope.startswith(pattern[:-1]) if pattern.endswith(EVERY) else scope == pattern


def _pattern(value: str) -> str:
    try:
        scope = parse_scope(f"{value[:-1]}any" if value.endswith(EVERY) else value)
    except InvalidRequest as error:
        raise ValueError(f'a scope such as "desk:crypto", or "strategy:*" for every one ({error})') from None
    if scope.kind == Level.PARENT:
        raise ValueError("a scope that stands in the rule book; a parent order has its strategy's breakers")
    return value


def _within_cap(value: Decimal) -> Decimal:
    if value > THRESHOLD_CAP:
        raise ValueError(f"at most {THRESHOLD_CAP}")
    return value


MeasureName = Annotated[str, AfterValidator(_measure)]
ScopePattern = Annotated[str, AfterValidator(_pattern)]
Threshold = Annotated[Quantity, AfterValidator(_within_cap)]
Span = Annotated[int, Field(ge=0, le=86_400_000)]


class MeasurePolicy(Table):
    """How old an observed measure may be, and what its absence does, before it was ever told and once it is too old."""

    age_ms_max: Milliseconds
    when_missing: Annotated[Action, Field(strict=False)]
    when_stale: Annotated[Action, Field(strict=False)]


class RecoveryPolicy(Table):
    """How a breaker comes back, and how strict it gets when it trips again."""

    open_ms_min: Span
    clean_ms: Span
    probation_ms: Span
    probation_bps: Bps
    retrip_ms: Span
    top: Annotated[Action, Field(strict=False)]
    is_latched: bool


class BreakerPolicy(Table):
    """One trigger for each scope that its pattern means."""

    description: Sentence
    measure: MeasureName
    scope: ScopePattern
    trip_at: Threshold
    clear_at: Threshold
    hard_at: Threshold | Literal["none"]
    is_below: bool
    readings_min: Annotated[int, Field(ge=1, le=COUNT_MAX)]
    hold_ms: Span
    window_ms: Span
    is_daily: bool
    action: Annotated[Action, Field(strict=False)]
    size_bps: Bps
    recovery: Name

    @model_validator(mode="after")
    def _consistent(self) -> "BreakerPolicy":
        """Return the breaker; ValueError with the first thing that contradicts itself."""
        measure, kind = MEASURES[self.measure], self.scope.partition(":")[0].upper()
        sign = -1 if self.is_below else 1
        if sign * self.clear_at > sign * self.trip_at:
            raise ValueError("a clear_at on the good side of trip_at, or at it")
        if not isinstance(self.hard_at, str) and sign * self.hard_at < sign * self.trip_at:
            raise ValueError("a hard_at beyond trip_at")
        if (measure in WINDOWED) != (self.window_ms > 0):
            raise ValueError("a window_ms exactly for what is counted in a window")
        if measure in EVENTS and self.hold_ms > 0:
            raise ValueError("a hold_ms of 0 for what happens once")
        if measure in (Measure.PARTICIPATION, Measure.FILLED_LOTS) and kind != CrossDimension.INSTRUMENT.name:
            raise ValueError("a scope instrument:... for a share of the volume and for lots")
        if measure in OF_THE_FIRM and kind != Level.FIRM.name:
            raise ValueError("the scope firm:firm for clocks and signs of life")
        return self


class FactorPolicy(Table):
    """One dynamic limit for each scope that its pattern means."""

    description: Sentence
    measure: MeasureName
    scope: ScopePattern
    full_at: Threshold
    floor_at: Threshold
    floor_bps: Bps
    quiet_ms: Span
    recover_bps_per_minute: Annotated[int, Field(ge=1, le=BPS)]
    is_floor_when_missing: bool

    @model_validator(mode="after")
    def _consistent(self) -> "FactorPolicy":
        if self.full_at == self.floor_at:
            raise ValueError("a floor_at apart from full_at")
        if MEASURES[self.measure] < FIRST_OBSERVED:
            raise ValueError("a measure that the gate is told")
        return self


class BeatPolicy(Table):
    """When a silence counts (`beat_ms` and `grace_ms` together), and when it makes the gate stop further."""

    beat_ms: Milliseconds
    grace_ms: Milliseconds
    paused_after_ms: Milliseconds | Literal["never"]
    halted_after_ms: Milliseconds | Literal["never"]
    clean_ms: Milliseconds

    @model_validator(mode="after")
    def _rising(self) -> "BeatPolicy":
        steps = [self.beat_ms + self.grace_ms, self.paused_after_ms, self.halted_after_ms]
        numbers = [step for step in steps if isinstance(step, int)]
        if numbers != sorted(set(numbers)):
            raise ValueError("silences that rise from reduce-only to paused to halted")
        return self


class BeatsPolicy(Table):
    """The four signs of life that the gate needs (GT50)."""

    supervisor: BeatPolicy
    market_data: BeatPolicy
    clock: BeatPolicy
    journal: BeatPolicy


def _all_in_force(names: tuple[str, ...], tables: Collection[str]) -> None:
    """Return when the list names every table and no other; ValueError names the first that is on one side alone."""
    alone = sorted(set(names) ^ set(tables))
    if alone:
        raise ValueError(f'each name of in_force with a table and each table with its name in in_force ("{alone[0]}")')


class BreakersFile(Table):
    in_force: Names
    recoveries: dict[Name, RecoveryPolicy]
    breakers: dict[Name, BreakerPolicy]

    @model_validator(mode="after")
    def _whole(self) -> "BreakersFile":
        _all_in_force(self.in_force, self.breakers)
        return self


class TelemetryFile(Table):
    in_force: Names
    measures: dict[MeasureName, MeasurePolicy]
    thresholds: dict[Name, BreakerPolicy]

    @model_validator(mode="after")
    def _whole(self) -> "TelemetryFile":
        _all_in_force(self.in_force, self.thresholds)
        return self


class DynamicFile(Table):
    in_force: Names
    factors: dict[Name, FactorPolicy]

    @model_validator(mode="after")
    def _whole(self) -> "DynamicFile":
        _all_in_force(self.in_force, self.factors)
        return self
