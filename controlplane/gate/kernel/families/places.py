"""Where breakers and dynamic limits stand in the state: one block behind GUARDS_AT, with tables of its own.

A guard is what all breakers and factors of one scope come to; its node points to it (NODE_GUARD, 0 when the scope has
none). Times are steady nanoseconds, 0 stands for never.
"""

from controlplane.gate.kernel.arrays import WINDOW_WORDS

# --- head of the block
(
    BREAKERS_AT, BREAKERS_END, FACTORS_AT, FACTORS_END, ROWS_AT, ROWS_END, LAST_WALL_NS, LAST_STEADY_NS, BEATS,
) = range(9)  # fmt: skip
BEAT_COUNT = 4
HEAD_WORDS = 16

# --- guards: the strictest state, the cut of order quantity and of limits in bps (0 is none), and whose they are
(
    GUARD_STATE, GUARD_SIZE_CUT, GUARD_LIMIT_CUT, GUARD_BREAKER, GUARD_FACTOR, GUARD_NODE,
) = range(6)  # fmt: skip
GUARD_WORDS = 8

# --- breakers: the rule, then what happened
(
    GUARD, INPUT, NEXT, NUMBER, SIGN, TRIP, CLEAR, HARD, HOLD_NS, READINGS_MIN, PART_NS, AGE_MAX, MISSING, STALE,
    ACTION, TOP, SIZE_CUT, PROBATION_CUT, OPEN_NS_MIN, CLEAN_NS_MIN, PROBATION_NS, RETRIP_NS, IS_LATCHED, IS_DAILY,
    IS_EVENT, CODE, SUBJECT, LIMIT_SHOWN,
) = range(28)  # fmt: skip
(
    STATE, SINCE, OVER, CLEAN, COUNT, TRIPPED, RUNG, TRIPS, VALUE, READ, AS_OF, UNKNOWN, MARK, PREVIOUS, STREAK,
) = range(28, 43)  # fmt: skip
WINDOW = 43
BREAKER_WORDS = 64
BREAKER_KEPT = range(STATE, WINDOW + WINDOW_WORDS)

# --- factors
(
    F_GUARD, F_INPUT, F_NEXT, F_NUMBER, F_SIGN, F_FULL, F_FLOOR, F_FLOOR_CUT, F_MISSING_CUT, F_QUIET_NS, F_RECOVER,
    F_AGE_MAX,
) = range(12)  # fmt: skip
F_CUT, F_WANTED, F_FELL, F_RECOVERED, F_READ, F_AS_OF, F_VALUE = range(12, 19)
FACTOR_WORDS = 24
FACTOR_KEPT = range(F_CUT, F_VALUE + 1)

CLOSED, OPEN, HALF_OPEN = 0, 1, 2
RUN_STARTED = 1 << 8  # in the mask of a record of passed time, beside the bits of the beats
