"""The breaker machine (GT43), compiled: readings in, states of scopes out. `measuring.py` brings the readings.

Two breakers never clear each other: each keeps its own state, and a scope is in the strictest of all (`refresh`). What
people set stands in the node and isn't touched here.
"""

from controlplane.domain.states import TradingState
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.arrays import GUARD_DIGEST, IS_GUARDED, NODE_GUARD, NOTICE_COUNT, WINDOW_TOTAL
from controlplane.gate.kernel.compiled import Words, compiled, inlined
from controlplane.gate.kernel.families import places as p
from controlplane.gate.kernel.hashing import fold
from controlplane.gate.kernel.windows import count

PROBATION, HALTED = int(TradingState.PROBATION), int(TradingState.HALTED)


@inlined
def steady(s: Words) -> int:
    """Return the steady time of the record being made; never 0, which stands for never."""
    return max(1, s[a.E_MONOTONIC])


@compiled
def read(s: Words, breaker: int, value: int) -> None:
    """Take one reading of a breaker's measure in."""
    now, measured = steady(s), value * s[breaker + p.SIGN]
    is_over, is_event = measured > s[breaker + p.TRIP], s[breaker + p.IS_EVENT] != 0
    s[breaker + p.VALUE], s[breaker + p.READ] = value, now
    if is_over:
        s[breaker + p.COUNT] += 1
        s[breaker + p.CLEAN] = 0
        if s[breaker + p.OVER] == 0:
            s[breaker + p.OVER] = now
    else:
        s[breaker + p.COUNT] = s[breaker + p.OVER] = 0
        if not is_event and measured > s[breaker + p.CLEAR]:
            s[breaker + p.CLEAN] = 0
        elif not is_event and s[breaker + p.CLEAN] == 0:
            s[breaker + p.CLEAN] = now
    judge(s, breaker, measured > s[breaker + p.HARD])
    if is_event and is_over:  # it has happened and is over: what counts from here is the time without another
        s[breaker + p.OVER], s[breaker + p.CLEAN] = 0, now


@compiled
def judge(s: Words, breaker: int, is_hard: bool) -> None:
    """Move a breaker on by its last reading and the time."""
    now, state = steady(s), s[breaker + p.STATE]
    over = s[breaker + p.OVER]
    is_enough = s[breaker + p.COUNT] >= s[breaker + p.READINGS_MIN] and now - over >= s[breaker + p.HOLD_NS]
    if is_hard or (over != 0 and is_enough):
        if state != p.OPEN:
            trip(s, breaker, now)
        return
    clean = s[breaker + p.CLEAN]
    if state == p.CLOSED or clean == 0 or now - clean < s[breaker + p.CLEAN_NS_MIN]:
        return
    passed = now - s[breaker + p.SINCE]
    if state == p.OPEN:
        if passed >= s[breaker + p.OPEN_NS_MIN] and not is_held(s, breaker):
            move(s, breaker, p.HALF_OPEN if s[breaker + p.PROBATION_NS] > 0 else p.CLOSED)
    elif passed >= s[breaker + p.PROBATION_NS]:
        move(s, breaker, p.CLOSED)


@compiled
def trip(s: Words, breaker: int, now: int) -> None:
    """Open; one state stricter than the last time when that isn't long ago."""
    tripped = s[breaker + p.TRIPPED]
    is_again = s[breaker + p.STATE] == p.HALF_OPEN or (tripped != 0 and now - tripped <= s[breaker + p.RETRIP_NS])
    s[breaker + p.RUNG] = min(HALTED, s[breaker + p.RUNG] + 1) if is_again else 0
    s[breaker + p.TRIPPED] = now
    s[breaker + p.TRIPS] += 1
    move(s, breaker, p.OPEN)


@inlined
def open_state(s: Words, breaker: int) -> int:
    """Return the state that an open breaker puts its scope into; an alert none."""
    action = s[breaker + p.ACTION]
    return min(s[breaker + p.TOP], action + s[breaker + p.RUNG]) if action > 0 else 0


@inlined
def is_held(s: Words, breaker: int) -> bool:
    """Return whether people alone let an open breaker go: it is latched, or it halts."""
    return s[breaker + p.IS_LATCHED] != 0 or open_state(s, breaker) == HALTED


@compiled
def move(s: Words, breaker: int, state: int) -> None:
    """Put a breaker into a state."""
    s[breaker + p.STATE], s[breaker + p.SINCE] = state, steady(s)
    tell(s, breaker)


@compiled
def set_unknown(s: Words, breaker: int, state: int) -> None:
    """Let a measure that isn't known put its scope into a state, or, for 0, be known again."""
    if s[breaker + p.UNKNOWN] != state:
        s[breaker + p.UNKNOWN] = state
        tell(s, breaker)


@compiled
def tell(s: Words, breaker: int) -> None:
    """Carry a change of a breaker to its scope, to the digest of the state, and to whoever announces changes."""
    word = s[breaker + p.STATE] + 8 * s[breaker + p.RUNG] + 64 * s[breaker + p.UNKNOWN]
    s[GUARD_DIGEST] += fold(fold(s[breaker + p.NUMBER] + 1, word), s[breaker + p.VALUE])
    s[NOTICE_COUNT] += 1
    refresh(s, s[breaker + p.GUARD])


@compiled
def refresh(s: Words, guard: int) -> None:
    """Work out again what all breakers and factors of a scope come to."""
    state, size_cut, limit_cut = 0, 0, 0
    breaker = s[guard + p.GUARD_BREAKER]
    while breaker != 0:
        own, unknown = 0, s[breaker + p.UNKNOWN]
        if s[breaker + p.STATE] == p.OPEN:
            own = open_state(s, breaker)
            size_cut = max(size_cut, s[breaker + p.SIZE_CUT] if own == PROBATION else 0)
        elif s[breaker + p.STATE] == p.HALF_OPEN:
            own = PROBATION
            size_cut = max(size_cut, s[breaker + p.PROBATION_CUT])
        if unknown == PROBATION:
            size_cut = max(size_cut, s[breaker + p.PROBATION_CUT])
        state = max(state, own, unknown)
        breaker = s[breaker + p.NEXT]
    factor = s[guard + p.GUARD_FACTOR]
    while factor != 0:
        limit_cut = max(limit_cut, s[factor + p.F_CUT])
        factor = s[factor + p.F_NEXT]
    before = s[guard + p.GUARD_STATE] + s[guard + p.GUARD_SIZE_CUT] + s[guard + p.GUARD_LIMIT_CUT] > 0
    after = state + size_cut + limit_cut > 0
    s[IS_GUARDED] += (1 if after else 0) - (1 if before else 0)
    s[guard + p.GUARD_STATE], s[guard + p.GUARD_SIZE_CUT], s[guard + p.GUARD_LIMIT_CUT] = state, size_cut, limit_cut


# --- readings that come from somewhere else ---------------------------------------------------------------------------


@compiled
def read_at(s: Words, node: int, measure: int, value: int) -> None:
    """Give a reading to every breaker of a scope that looks at this measure."""
    guard = s[node + NODE_GUARD]
    breaker = s[guard + p.GUARD_BREAKER] if guard != 0 else 0
    while breaker != 0:
        if s[breaker + p.INPUT] == measure:
            read(s, breaker, value)
        breaker = s[breaker + p.NEXT]


@compiled
def count_at(s: Words, node: int, measure: int, amount: int) -> None:
    """Count an amount in the windows of a scope's breakers that look at this measure, and read them."""
    guard = s[node + NODE_GUARD]
    breaker = s[guard + p.GUARD_BREAKER] if guard != 0 else 0
    while breaker != 0:
        if s[breaker + p.INPUT] == measure:
            window = breaker + p.WINDOW
            count(s, window, s[a.E_MONOTONIC] // s[breaker + p.PART_NS], amount)
            read(s, breaker, s[window + WINDOW_TOTAL])
        breaker = s[breaker + p.NEXT]
