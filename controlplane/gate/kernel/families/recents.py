"""The last few hundred of something in fixed memory, found by key: how many equal ones there were since a moment.

Rows are written round and round; those with one hash are chained from the newest back, so that a count looks at little
more than what it counts. The clock of a table never goes back: an event under an earlier reading counts as newest.
"""

from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled, inlined
from controlplane.gate.kernel.hashing import index_hash

MASK = a.RECENT_ROWS - 1


@inlined
def row_of(table: int, number: int) -> int:
    """Return the row of the event with this number, counted from 1."""
    return table + a.RECENT_FIRST + (number & MASK) * a.RECENT_ROW_WORDS


@compiled
def count_since(s: Words, table: int, key: int, now_ns: int, window_ns: int, most: int) -> int:
    """Return how many events with a key are younger than the window, at most `most`."""
    since = max(now_ns, s[table + a.RECENT_NEWEST_NS]) - window_ns
    number = s[table + a.RECENT_HEADS + (index_hash(key) & MASK)]
    oldest = max(0, s[table + a.RECENT_COUNT] - a.RECENT_ROWS)
    found = 0
    while number > oldest and found < most:
        row = row_of(table, number)
        if s[row + a.RECENT_NS] <= since:
            break
        if s[row + a.RECENT_KEY] == key:
            found += 1
        number = s[row + a.RECENT_PREVIOUS]
    return found


@compiled
def count_same_reason(s: Words, table: int, key: int, now_ns: int, window_ns: int) -> int:
    """Return how many events with a key, of the reason that its newest one had, are younger than the window."""
    since = max(now_ns, s[table + a.RECENT_NEWEST_NS]) - window_ns
    number = s[table + a.RECENT_HEADS + (index_hash(key) & MASK)]
    oldest = max(0, s[table + a.RECENT_COUNT] - a.RECENT_ROWS)
    found, reason = 0, 0
    while number > oldest:
        row = row_of(table, number)
        if s[row + a.RECENT_NS] <= since:
            break
        if s[row + a.RECENT_KEY] == key:
            if found == 0:
                reason = s[row + a.RECENT_REASON]
            if s[row + a.RECENT_REASON] == reason:
                found += 1
        number = s[row + a.RECENT_PREVIOUS]
    return found


@compiled
def note(s: Words, table: int, key: int, now_ns: int, reason: int) -> None:
    """Write an event in the place of the oldest."""
    number = s[table + a.RECENT_COUNT] + 1
    at = max(now_ns, s[table + a.RECENT_NEWEST_NS])
    head, row = table + a.RECENT_HEADS + (index_hash(key) & MASK), row_of(table, number)
    s[row + a.RECENT_KEY], s[row + a.RECENT_NS], s[row + a.RECENT_REASON] = key, at, reason
    s[row + a.RECENT_PREVIOUS] = s[head]
    s[head] = s[table + a.RECENT_COUNT] = number
    s[table + a.RECENT_NEWEST_NS] = at
