"""Breakers and dynamic limits for generated streams: every measure somewhere, thresholds near what streams bring about.

Times are short, so that a stream of a few seconds sees breakers open, go half-open, trip again and close.
"""

import dataclasses
from random import Random

from controlplane.domain.measures import FIRST_OBSERVED, WINDOWED, Measure
from controlplane.domain.scopes import CrossDimension, Level, Scope, parse_scope
from controlplane.domain.states import TradingState
from controlplane.gate import words as w
from controlplane.gate.breakers.rules import NONE, BreakerRule, FactorRule
from controlplane.gate.snapshot import Snapshot

SECOND_NS = 1_000_000_000
# About the size of what a stream brings about, by measure.
USUAL_VALUES = {
    Measure.FILLED_NOTIONAL: 8_000_000_000, Measure.FILLED_LOTS: 300, Measure.LOSS_IN_WINDOW: 20_000_000,
    Measure.DRAWDOWN: 40_000_000, Measure.LOSING_STREAK: 2, Measure.SLIPPAGE: 1_500, Measure.IMPACT: 900,
    Measure.PARTICIPATION: 800, Measure.DENIED_COUNT: 12, Measure.REJECTED_COUNT: 2,
    Measure.CLOCK_STEP: 40_000_000, Measure.SUPERVISOR_SILENCE: 2 * SECOND_NS,
    Measure.MARKET_DATA_SILENCE: SECOND_NS // 2, Measure.CLOCK_SILENCE: 2 * SECOND_NS,
    Measure.JOURNAL_SILENCE: 2 * SECOND_NS,
}  # fmt: skip
FIRM_ONLY = {
    Measure.CLOCK_STEP, Measure.SUPERVISOR_SILENCE, Measure.MARKET_DATA_SILENCE, Measure.CLOCK_SILENCE,
    Measure.JOURNAL_SILENCE,
}  # fmt: skip
MS = 1_000_000
Words = tuple[int, ...]


def breaker(measure: Measure, scope: str, **changes: object) -> BreakerRule:
    """Return a breaker that opens at the first reading above 0, pauses its scope and closes by itself at once."""
    fields: dict[str, object] = {
        "name": measure.name.lower(), "scope": parse_scope(scope), "measure": int(measure), "trip_at": 0, "clear_at": 0,
        "action": int(TradingState.PAUSED), "top": int(TradingState.HALTED),
    }  # fmt: skip
    return BreakerRule(**(fields | changes))  # type: ignore[arg-type]


def factor(measure: Measure, scope: str, **changes: object) -> FactorRule:
    """Return a dynamic limit: whole as far as usual, a tenth from four times that on, back at a tenth a minute."""
    fields: dict[str, object] = {
        "name": measure.name.lower(), "scope": parse_scope(scope), "measure": int(measure), "full_at": 10_000,
        "floor_at": 40_000, "floor_bps": 1_000, "quiet_ns": 60 * SECOND_NS, "recover_bps_per_minute": 1_000,
        "age_ns_max": 5 * SECOND_NS,
    }  # fmt: skip
    return FactorRule(**(fields | changes))  # type: ignore[arg-type]


def with_breakers(snapshot: Snapshot, seed: int) -> Snapshot:
    """Return the limits with breakers and factors; the same seed gives the same ones."""
    chance = Random(f"breakers {seed}")
    scopes = [node.scope for node in snapshot.nodes]
    breakers = tuple(_rule(chance, measure, number, scopes) for measure in Measure for number in range(1 + seed % 2))
    factors = tuple(_factor(chance, number, scopes) for number in range(3))
    return dataclasses.replace(snapshot, breakers=breakers, factors=factors)


def _scope_for(chance: Random, measure: Measure, scopes: list[Scope]) -> Scope:
    if measure in FIRM_ONLY:
        return scopes[0]
    if measure is Measure.PARTICIPATION:
        return chance.choice([scope for scope in scopes if scope.kind == CrossDimension.INSTRUMENT])
    if chance.random() < 0.4:
        return chance.choice([scope for scope in scopes if scope.kind in (Level.STRATEGY, Level.DESK)])
    return chance.choice(scopes)


def _rule(chance: Random, measure: Measure, number: int, scopes: list[Scope]) -> BreakerRule:
    is_observed = measure >= FIRST_OBSERVED
    is_below = measure is Measure.DEPTH
    usual = USUAL_VALUES.get(measure, 10_000)
    trip = int(usual * chance.uniform(0.5, 3)) or 1
    clear = trip if chance.random() < 0.3 else int(trip * (1.3 if is_below else 0.7))
    action = chance.choice((0, 0, 1, 1, 1, 2, 3, 4))
    states = (0,) * 12 + (1, 2)
    return BreakerRule(
        name=f"{measure.name.lower()}-{number}",
        scope=_scope_for(chance, measure, scopes),
        measure=int(measure),
        trip_at=trip,
        clear_at=clear,
        action=action,
        top=max(action, chance.choice((action, 3, 4))) if action else 0,
        is_below=is_below,
        hard_at=int(trip * (0.2 if is_below else 4)) if chance.random() < 0.5 else NONE,
        readings_min=chance.choice((1, 1, 3)),
        hold_ns=chance.choice((0, 0, 300 * MS)),
        window_ns=chance.choice((500 * MS, 3 * SECOND_NS)) if measure in WINDOWED else 0,
        age_ns_max=chance.choice((SECOND_NS, 5 * SECOND_NS)) if is_observed else 0,
        missing_state=chance.choice(states) if is_observed else 0,
        stale_state=chance.choice(states) if is_observed else 0,
        size_bps=chance.choice((1_000, 5_000)),
        probation_bps=chance.choice((500, 2_500)),
        open_ns_min=chance.choice((0, 200 * MS, SECOND_NS)),
        clean_ns=chance.choice((0, 100 * MS)),
        probation_ns=chance.choice((0, 200 * MS, SECOND_NS)),
        retrip_ns=chance.choice((0, 3 * SECOND_NS)),
        is_latched=chance.random() < 0.06,
        is_daily=chance.random() < 0.5,
    )


def _factor(chance: Random, number: int, scopes: list[Scope]) -> FactorRule:
    measure = chance.choice((Measure.VOLATILITY, Measure.SPREAD, Measure.DEPTH, Measure.MODEL_UNCERTAINTY))
    full, floor = (10_000, 40_000) if measure is not Measure.DEPTH else (8_000, 1_000)
    return FactorRule(
        name=f"factor-{number}",
        scope=chance.choice(scopes),
        measure=int(measure),
        full_at=full,
        floor_at=floor,
        floor_bps=chance.choice((100, 3_000)),
        quiet_ns=chance.choice((0, 200 * MS)),
        recover_bps_per_minute=chance.choice((7, 60_000, 600_000)),
        age_ns_max=chance.choice((SECOND_NS, 5 * SECOND_NS)),
        is_floor_when_missing=chance.random() < 0.1,
    )


def measure_words(chance: Random, snapshot: Snapshot, wall_ns: int) -> Words:
    """Return a measure that another program tells: mostly one that something looks at, seldom late or of nothing."""
    both: tuple[BreakerRule | FactorRule, ...] = (*snapshot.breakers, *snapshot.factors)
    rules = [rule for rule in both if rule.measure >= FIRST_OBSERVED]
    rule = chance.choice(rules)
    scopes = [node.scope for node in snapshot.nodes]
    number = scopes.index(rule.scope) if chance.random() < 0.97 else chance.randrange(-1, len(scopes) + 1)
    spot = rule.trip_at if isinstance(rule, BreakerRule) else rule.floor_at
    value = int(spot * chance.choice((0, 0.1, 0.5, 0.6, 0.9, 1, 1, 1.1, 2, 5)))
    late = chance.choices((0, 20 * MS, 900 * MS, 6 * SECOND_NS, -6 * SECOND_NS), (70, 20, 8, 1, 1))[0]
    return measure_applied(rule.measure, number, value, as_of_ns=wall_ns - late, receive_ns=wall_ns)


def measure_applied(measure: int, scope: int, value: int, *, as_of_ns: int, receive_ns: int = 0) -> Words:
    """Return the input words of a measure."""
    head = w.MEASURE_APPLIED | int(measure) << 8 | w.SCHEMA
    return (head, 0, 0, 0, 0, scope, 0, 0, 0, value, 0, 0, 0, receive_ns, 0, as_of_ns)


def beats_told(chance: Random) -> int:
    """Return the mask of a record of passed time: usually everybody is alive, seldom a run begins."""
    return chance.choices((0b1011, 0b1001, 0b1000, 0, 0b1011 | 1 << 8), (85, 5, 5, 4, 1))[0]
