"""Rolling counters in fixed memory: a window is sixteen whole parts and the part that is filling.

A total therefore covers the window and at most one sixteenth more: it may count an event a little longer than asked,
never shorter. A clock that stands still or goes back releases nothing.
"""

from controlplane.gate.kernel.arrays import WINDOW_BUCKETS, WINDOW_FIRST, WINDOW_LAST, WINDOW_TOTAL
from controlplane.gate.kernel.compiled import Words, compiled, seldom

PARTS = WINDOW_BUCKETS - 1


@compiled
def advance(s: Words, window: int, index: int) -> int:
    """Return the total of a window after it has moved on to the part `index` (monotonic time over part length)."""
    if index > s[window + WINDOW_LAST]:
        _move_on(s, window, index)
    return s[window + WINDOW_TOTAL]


@compiled
def _move_on(s: Words, window: int, index: int) -> None:
    """Release the parts that the window leaves behind on its way to the part `index`: once in a part's length."""
    seldom()
    last, total = s[window + WINDOW_LAST], s[window + WINDOW_TOTAL]
    for step in range(1, min(index - last, WINDOW_BUCKETS) + 1):
        bucket = window + WINDOW_FIRST + (last + step) % WINDOW_BUCKETS
        total -= s[bucket]
        s[bucket] = 0
    s[window + WINDOW_TOTAL] = total
    s[window + WINDOW_LAST] = index


@compiled
def count(s: Words, window: int, index: int, amount: int) -> None:
    """Add an amount at the part `index`; an index from before the newest part counts in the newest."""
    advance(s, window, index)
    s[window + WINDOW_FIRST + s[window + WINDOW_LAST] % WINDOW_BUCKETS] += amount
    s[window + WINDOW_TOTAL] += amount
