"""A rolling count on the monotonic clock."""

from collections import deque
from dataclasses import dataclass, field

WINDOW_PARTS = 16


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
