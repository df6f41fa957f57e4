"""Compiles breakers, dynamic limits and the dead-man for the gate: patterns become scopes, units become the gate's."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from controlplane.domain.instruments import Instrument
from controlplane.domain.measures import FIRST_OBSERVED, Measure
from controlplane.domain.scopes import FIRM, Scope
from controlplane.domain.states import TradingState
from controlplane.gate.breakers.rules import NONE, BreakerRule, FactorRule
from controlplane.gate.snapshot import Snapshot
from controlplane.policy.reactions import MEASURES, SCALES, BeatPolicy, BreakerPolicy, FactorPolicy, is_meant
from controlplane.policy.schema import Policies

MS_NS = 1_000_000
SILENCES = {
    "supervisor": Measure.SUPERVISOR_SILENCE,
    "market_data": Measure.MARKET_DATA_SILENCE,
    "clock": Measure.CLOCK_SILENCE,
    "journal": Measure.JOURNAL_SILENCE,
}


def compile_breakers(
    policies: Policies, scopes: Sequence[Scope], instruments: Mapping[str, Instrument], *, is_supervised: bool
) -> tuple[BreakerRule, ...]:
    """Return every breaker of the rule book, one for each scope that its pattern means, and those of the dead-man.

    Arguments
        scopes         of the snapshot
        is_supervised  whether somebody is there to give signs of life; without, nobody is missed
    Rounding
        thresholds so that a breaker trips earlier and clears later
    """
    rules = [
        _breaker(name, policy, scope, policies, instruments)
        for name, policy in sorted({**policies.breakers, **policies.thresholds}.items())
        for scope in matching(policy.scope, scopes)
    ]
    if is_supervised:
        rules += _dead_man(policies)
    return tuple(rules)


def compile_factors(policies: Policies, scopes: Sequence[Scope]) -> tuple[FactorRule, ...]:
    """Return every dynamic limit, one for each scope that its pattern means."""
    return tuple(
        _factor(name, policy, scope, policies)
        for name, policy in sorted(policies.factors.items())
        for scope in matching(policy.scope, scopes)
    )


def is_supervised(snapshot: Snapshot) -> bool:
    """Return whether a snapshot was compiled for a gate that misses its supervisor."""
    return any(rule.measure == Measure.SUPERVISOR_SILENCE for rule in snapshot.breakers)


def matching(pattern: str, scopes: Sequence[Scope]) -> Iterator[Scope]:
    """Yield the scopes that a pattern means: `strategy:*` every strategy, `strategy:crypto/*` those of a desk."""
    return (scope for scope in scopes if is_meant(pattern, str(scope)))


def _breaker(
    name: str, policy: BreakerPolicy, scope: Scope, policies: Policies, instruments: Mapping[str, Instrument]
) -> BreakerRule:
    measure, back = MEASURES[policy.measure], policies.recoveries[policy.recovery]
    observed = policies.measures.get(policy.measure) if measure >= FIRST_OBSERVED else None
    scale = SCALES[measure]
    if measure is Measure.FILLED_LOTS:
        scale /= instruments[scope.name].lot_size

    def threshold(value: Decimal) -> int:
        rounding = ROUND_CEILING if policy.is_below else ROUND_FLOOR
        return int((value * scale).to_integral_value(rounding=rounding))

    return BreakerRule(
        name=name,
        scope=scope,
        measure=int(measure),
        trip_at=threshold(policy.trip_at),
        clear_at=threshold(policy.clear_at),
        hard_at=NONE if isinstance(policy.hard_at, str) else threshold(policy.hard_at),
        action=int(policy.action.state),
        top=int(max(policy.action.state, back.top.state)),
        is_below=policy.is_below,
        readings_min=policy.readings_min,
        hold_ns=policy.hold_ms * MS_NS,
        window_ns=policy.window_ms * MS_NS,
        age_ns_max=observed.age_ms_max * MS_NS if observed else 0,
        missing_state=int(observed.when_missing.state) if observed else 0,
        stale_state=int(observed.when_stale.state) if observed else 0,
        size_bps=policy.size_bps,
        probation_bps=back.probation_bps,
        open_ns_min=back.open_ms_min * MS_NS,
        clean_ns=back.clean_ms * MS_NS,
        probation_ns=back.probation_ms * MS_NS,
        retrip_ns=back.retrip_ms * MS_NS,
        is_latched=back.is_latched,
        is_daily=policy.is_daily,
    )


def _factor(name: str, policy: FactorPolicy, scope: Scope, policies: Policies) -> FactorRule:
    scale = SCALES[MEASURES[policy.measure]]
    rounding = ROUND_FLOOR if policy.floor_at > policy.full_at else ROUND_CEILING
    full, floor = (int((value * scale).to_integral_value(rounding=rounding))
                   for value in (policy.full_at, policy.floor_at))  # fmt: skip
    return FactorRule(
        name=name,
        scope=scope,
        measure=int(MEASURES[policy.measure]),
        full_at=full,
        floor_at=floor,
        floor_bps=policy.floor_bps,
        quiet_ns=policy.quiet_ms * MS_NS,
        recover_bps_per_minute=policy.recover_bps_per_minute,
        age_ns_max=policies.measures[policy.measure].age_ms_max * MS_NS,
        is_floor_when_missing=policy.is_floor_when_missing,
    )


def _dead_man(policies: Policies) -> Iterator[BreakerRule]:
    """Yield, for each sign of life, a breaker a step: reduce-only and paused end after a clean time, halted never."""
    for source, measure in SILENCES.items():
        beat: BeatPolicy = getattr(policies.watch.beats, source)
        steps = (
            (TradingState.REDUCE_ONLY, beat.beat_ms + beat.grace_ms),
            (TradingState.PAUSED, beat.paused_after_ms),
            (TradingState.HALTED, beat.halted_after_ms),
        )
        for state, silence_ms in steps:
            if isinstance(silence_ms, int):
                yield BreakerRule(
                    name=f"{source.replace('_', '-')}-silent-{state.name.lower().replace('_', '-')}",
                    scope=FIRM,
                    measure=int(measure),
                    trip_at=silence_ms * MS_NS,
                    clear_at=(beat.beat_ms + beat.grace_ms) * MS_NS,
                    action=int(state),
                    top=int(state),
                    clean_ns=beat.clean_ms * MS_NS,
                )
