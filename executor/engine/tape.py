"""How much had been counted by when: running totals over time, for volume windows and slice starts.

A view asks "how many lots traded since then", for several thens; a running total and one bisection answer all of
them. Old entries go when there are too many, from the front, and a question that reaches further back is answered
from the oldest that is left.
"""

from bisect import bisect_left
from dataclasses import dataclass, field

ENTRIES_MAX = 1 << 18


@dataclass(slots=True)
class RunningTotal:
    """A quantity that only grows, with the moments at which it grew."""

    times_ns: list[int] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.totals[-1] if self.totals else 0

    def add(self, now_ns: int, quantity: int) -> None:
        """Add a quantity; a moment before the latest counts as the latest, since totals are kept in order of time."""
        if not self.times_ns:
            self.times_ns.append(now_ns)
            self.totals.append(quantity)
        elif now_ns <= self.times_ns[-1]:
            self.totals[-1] += quantity
        else:
            self.times_ns.append(now_ns)
            self.totals.append(self.totals[-1] + quantity)
        if len(self.times_ns) > ENTRIES_MAX:
            half = ENTRIES_MAX // 2
            del self.times_ns[:half], self.totals[:half]

    def before(self, moment_ns: int) -> int:
        """Return the total of everything strictly before a moment."""
        index = bisect_left(self.times_ns, moment_ns)
        return self.totals[index - 1] if index else 0

    def since(self, moment_ns: int) -> int:
        """Return what was added at a moment or later."""
        return self.total - self.before(moment_ns)


@dataclass(slots=True)
class MidHistory:
    """Mid prices in half ticks as they changed, for markouts and time-weighted averages."""

    times_ns: list[int] = field(default_factory=list)
    mids: list[int] = field(default_factory=list)

    def note(self, now_ns: int, mid_half_ticks: int) -> None:
        """Remember a mid when it differs from the last one."""
        if self.mids and self.mids[-1] == mid_half_ticks:
            return
        if self.times_ns and now_ns <= self.times_ns[-1]:
            self.mids[-1] = mid_half_ticks
            return
        self.times_ns.append(now_ns)
        self.mids.append(mid_half_ticks)
        if len(self.times_ns) > ENTRIES_MAX:
            half = ENTRIES_MAX // 2
            del self.times_ns[:half], self.mids[:half]

    def at(self, moment_ns: int) -> int | None:
        """Return the mid that stood at a moment; None when none was seen by then."""
        index = bisect_left(self.times_ns, moment_ns + 1)
        return self.mids[index - 1] if index else None

    def time_weighted(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Return the sum of mid times nanoseconds between two moments, and how many nanoseconds a mid was there."""
        first = max(bisect_left(self.times_ns, start_ns + 1) - 1, 0)
        weighted = duration_ns = 0
        for index in range(first, len(self.times_ns)):
            from_ns = max(self.times_ns[index], start_ns)
            until_ns = min(self.times_ns[index + 1] if index + 1 < len(self.times_ns) else end_ns, end_ns)
            if until_ns <= from_ns:
                continue
            weighted += self.mids[index] * (until_ns - from_ns)
            duration_ns += until_ns - from_ns
        return weighted, duration_ns
