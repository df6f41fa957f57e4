"""What time does to breakers and dynamic limits: windows run out, holds are over, measures grow old, beats stay away.

Everything here happens at records of passed time, so that a replay finds it at the same places.
"""

from controlplane.domain.measures import FIRST_OBSERVED, LAST_OBSERVED, Beat, Measure
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled, seldom
from controlplane.gate.kernel.families import places as p
from controlplane.gate.kernel.families.breakers import judge, move, read, set_unknown, steady
from controlplane.gate.kernel.families.factors import observe_factor, recover_factor
from controlplane.gate.kernel.families.measuring import (
    DENIED_COUNT,
    FILLED_LOTS,
    FILLED_NOTIONAL,
    LOSS_IN_WINDOW,
    PARTICIPATION,
    REJECTED_COUNT,
    WORTH_MIN,
    fallen,
    share_bps,
)
from controlplane.gate.kernel.windows import advance
from controlplane.journal.record import RecordKind

ALLOWED, DENIED = 1, 2
TIME_PASSED = int(RecordKind.TIME_PASSED)
FIRST, LAST = int(FIRST_OBSERVED), int(LAST_OBSERVED)
CLOCK_STEP, FIRST_SILENCE = int(Measure.CLOCK_STEP), int(Measure.SUPERVISOR_SILENCE)
CLOCK, MARKET_DATA = int(Beat.CLOCK), int(Beat.MARKET_DATA)
OBSERVED_MAX = 1 << 55


@compiled
def pass_guards(s: Words) -> None:
    """Let time pass for every breaker and factor (GT25, GT43, GT50)."""
    if s[a.GUARD_ROWS] == 0:
        return
    seldom()
    block, now = s[a.GUARDS_AT], steady(s)
    step = 0
    if s[block + p.LAST_STEADY_NS] != 0:
        step = abs((s[a.E_WALL] - s[block + p.LAST_WALL_NS]) - (now - s[block + p.LAST_STEADY_NS]))
    s[block + p.LAST_WALL_NS], s[block + p.LAST_STEADY_NS] = s[a.E_WALL], now
    mask = s[a.E_QUANTITY] if s[a.E_HEAD] & 0xFF == TIME_PASSED else 0
    if mask & p.RUN_STARTED != 0:
        start_run(s, block, now)
        step = 0
    for beat in range(p.BEAT_COUNT):
        if mask >> beat & 1 != 0 or (s[block + p.BEATS + beat] == 0 and beat != MARKET_DATA):
            s[block + p.BEATS + beat] = now
    for breaker in range(s[block + p.BREAKERS_AT], s[block + p.BREAKERS_END], p.BREAKER_WORDS):
        _pass_breaker(s, breaker, step, now)
    s[block + p.BEATS + CLOCK] = now
    for factor in range(s[block + p.FACTORS_AT], s[block + p.FACTORS_END], p.FACTOR_WORDS):
        recover_factor(s, factor, now)


@compiled
def start_run(s: Words, block: int, now: int) -> None:
    """GATE case 88: what was half-open comes up open. How long the gate was away is no silence of others, and no step
    of a clock.
    """
    for beat in range(p.BEAT_COUNT):
        if s[block + p.BEATS + beat] != 0:
            s[block + p.BEATS + beat] = now
    for breaker in range(s[block + p.BREAKERS_AT], s[block + p.BREAKERS_END], p.BREAKER_WORDS):
        if s[breaker + p.STATE] == p.HALF_OPEN:
            move(s, breaker, p.OPEN)


@compiled
def _pass_breaker(s: Words, breaker: int, step: int, now: int) -> None:
    measure = s[breaker + p.INPUT]
    if measure in (FILLED_NOTIONAL, FILLED_LOTS, DENIED_COUNT, REJECTED_COUNT):
        read(s, breaker, advance(s, breaker + p.WINDOW, s[a.E_MONOTONIC] // s[breaker + p.PART_NS]))
    elif measure == LOSS_IN_WINDOW:
        node = s[s[breaker + p.GUARD] + p.GUARD_NODE]
        if s[node + a.NODE_IS_LOSS_UNKNOWN] == 0 and s[node + a.NODE_VALUE] > WORTH_MIN:
            read(s, breaker, fallen(s, breaker, s[node + a.NODE_VALUE]))
    elif measure == PARTICIPATION:
        read(s, breaker, share_bps(s, s[breaker + p.SUBJECT]))
    elif measure == CLOCK_STEP:
        read(s, breaker, step)
    elif FIRST_SILENCE <= measure < FIRST_SILENCE + p.BEAT_COUNT:
        last = s[s[a.GUARDS_AT] + p.BEATS + measure - FIRST_SILENCE]
        read(s, breaker, now - last if last != 0 else 0)
    else:
        if measure >= FIRST:
            _look_at_age(s, breaker, now)
        judge(s, breaker, False)


@compiled
def _look_at_age(s: Words, breaker: int, now: int) -> None:
    """A measure that was never told, or is too old, is unknown, and an unknown one is neither over nor clean."""
    if s[breaker + p.READ] == 0:
        set_unknown(s, breaker, s[breaker + p.MISSING])
    elif is_old(s, s[breaker + p.AS_OF], s[breaker + p.READ], s[breaker + p.AGE_MAX], now):
        s[breaker + p.OVER] = s[breaker + p.COUNT] = s[breaker + p.CLEAN] = 0
        set_unknown(s, breaker, s[breaker + p.STALE])


@compiled
def is_old(s: Words, as_of: int, received: int, age_max: int, now: int) -> bool:
    """Return whether a value is too old, by the time as of which it held or by the time when it came."""
    return abs(s[a.E_WALL] - as_of) > age_max or now - received > age_max


@compiled
def observe_measure(s: Words) -> int:
    """Take a number that another program measured; refused when nothing looks at it, or a newer one is known."""
    measure, number, value, as_of = s[a.E_HEAD] >> 8 & 0xFF, s[a.E_PARENT], s[a.E_QUANTITY], s[a.E_EXCHANGE]
    if not (FIRST <= measure <= LAST and 0 <= number < s[a.NODE_COUNT] and as_of > 0):
        return DENIED
    if not -OBSERVED_MAX <= value <= OBSERVED_MAX:
        return DENIED
    guard = s[s[a.NODES_AT] + number * a.NODE_WORDS + a.NODE_GUARD]
    if guard == 0:
        return DENIED
    outcome = DENIED
    breaker = s[guard + p.GUARD_BREAKER]
    while breaker != 0:
        if s[breaker + p.INPUT] == measure and _is_news(s, as_of, s[breaker + p.AS_OF], s[breaker + p.AGE_MAX]):
            s[breaker + p.AS_OF] = as_of
            read(s, breaker, value)
            set_unknown(s, breaker, 0)
            outcome = ALLOWED
        breaker = s[breaker + p.NEXT]
    factor = s[guard + p.GUARD_FACTOR]
    while factor != 0:
        if s[factor + p.F_INPUT] == measure and _is_news(s, as_of, s[factor + p.F_AS_OF], s[factor + p.F_AGE_MAX]):
            s[factor + p.F_AS_OF], s[factor + p.F_VALUE] = as_of, value
            observe_factor(s, factor, value, steady(s))
            outcome = ALLOWED
        factor = s[factor + p.F_NEXT]
    return outcome


@compiled
def _is_news(s: Words, as_of: int, held: int, age_max: int) -> bool:
    """Return whether a value is neither older than the one held nor too old, or too far ahead, to be used at all."""
    return as_of >= held and abs(s[a.E_WALL] - as_of) <= age_max


@compiled
def reset_guards(s: Words, node: int) -> None:
    """People freed a scope: its open breakers start afresh, half-open where they have a probation."""
    guard = s[node + a.NODE_GUARD]
    breaker = s[guard + p.GUARD_BREAKER] if guard != 0 else 0
    while breaker != 0:
        if s[breaker + p.STATE] == p.OPEN:
            _start_afresh(s, breaker, s[node + a.NODE_VALUE])
            move(s, breaker, p.HALF_OPEN if s[breaker + p.PROBATION_NS] > 0 else p.CLOSED)
        breaker = s[breaker + p.NEXT]


@compiled
def _start_afresh(s: Words, breaker: int, worth: int) -> None:
    window = breaker + p.WINDOW
    for part in range(a.WINDOW_BUCKETS):
        s[window + a.WINDOW_FIRST + part] = worth if s[breaker + p.INPUT] == LOSS_IN_WINDOW else 0
    s[window + a.WINDOW_TOTAL] = 0
    s[breaker + p.OVER] = s[breaker + p.COUNT] = s[breaker + p.STREAK] = 0
    s[breaker + p.CLEAN] = steady(s)
    s[breaker + p.MARK] = s[breaker + p.PREVIOUS] = worth


@compiled
def roll_guards(s: Words) -> None:
    """Breakers of the day start their high-water mark and their streak afresh; what is open stays open (M11)."""
    if s[a.GUARD_ROWS] == 0:
        return
    block = s[a.GUARDS_AT]
    for breaker in range(s[block + p.BREAKERS_AT], s[block + p.BREAKERS_END], p.BREAKER_WORDS):
        if s[breaker + p.IS_DAILY] != 0:
            node = s[s[breaker + p.GUARD] + p.GUARD_NODE]
            s[breaker + p.MARK] = s[breaker + p.PREVIOUS] = s[node + a.NODE_VALUE]
            s[breaker + p.STREAK] = 0
