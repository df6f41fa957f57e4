"""How the gate remembers over time, on clocks that never go back: rolling counts, recent events, where a market was."""

from collections import deque
from dataclasses import dataclass, field

WINDOW_PARTS = 16
RECENT_EVENTS = 512


@dataclass(slots=True)
class Window:
    """A rolling count on the monotonic clock: sixteen whole parts of the window and the part that is filling.

    It moves on when it is asked or counted, and never back: what happens under an earlier reading counts as newest.
    """

    part_ns: int
    newest: int = 0
    counted: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def held(self) -> int:
        """What was counted when the window last moved on: never less than its total."""
        return sum(amount for _, amount in self.counted)

    def total(self, monotonic_ns: int) -> int:
        """Return what was counted in the last seventeen parts."""
        self.newest = max(self.newest, monotonic_ns // self.part_ns)
        while self.counted and self.counted[0][0] < self.newest - WINDOW_PARTS:
            self.counted.popleft()
        return self.held

    def count(self, monotonic_ns: int, amount: int) -> None:
        """Add an amount to the part that is filling."""
        self.total(monotonic_ns)
        if self.counted and self.counted[-1][0] == self.newest:
            amount += self.counted.pop()[1]
        self.counted.append((self.newest, amount))


@dataclass(slots=True)
class Recents:
    """The last few hundred events with their times and reasons; its clock never goes back."""

    window_ns: int
    newest_ns: int = 0
    events: deque[tuple[tuple[object, ...], int, int]] = field(default_factory=lambda: deque(maxlen=RECENT_EVENTS))

    def reasons(self, key: tuple[object, ...], now_ns: int) -> list[int]:
        """Return the reasons of the events with a key that are younger than the window, oldest first."""
        since = max(now_ns, self.newest_ns) - self.window_ns
        return [reason for known, at, reason in self.events if known == key and at > since]

    def note(self, key: tuple[object, ...], now_ns: int, reason: int = 0) -> None:
        """Remember an event; of too many the oldest is forgotten."""
        self.newest_ns = max(now_ns, self.newest_ns)
        self.events.append((key, self.newest_ns, reason))


@dataclass(slots=True)
class Walk:
    """Where a market was: each price with the part of the window in which it was seen; the clock never goes back."""

    seen: list[tuple[int, int]] = field(default_factory=list)

    def see(self, part: int, ticks: int) -> None:
        newest = self.seen[-1][0] if self.seen else part
        self.seen.append((max(part, newest), ticks))

    def start(self, part: int) -> int:
        """Return the price that stood when the oldest part of the window began; the first one when none stood yet."""
        oldest = max(part, self.seen[-1][0]) - WINDOW_PARTS
        before = [ticks for seen, ticks in self.seen if seen < oldest]
        return before[-1] if before else self.seen[0][1]
