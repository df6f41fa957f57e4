"""Time as an argument: the clock protocol, the machine's clock and one that a test or a replay moves by hand."""

import time
from dataclasses import dataclass
from typing import Protocol

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """Two readings: `wall_ns` since the epoch in UTC, and `monotonic_ns`, which never steps."""

    def wall_ns(self) -> int: ...

    def monotonic_ns(self) -> int: ...


class SystemClock:
    """The clocks of this machine."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


@dataclass(slots=True)
class ManualClock:
    """A clock that stands still until it is moved; the same reading serves as wall and monotonic time.

    Arguments
        now_ns  first reading, nanoseconds since the epoch in UTC
    """

    now_ns: int

    def wall_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    def advance_to(self, now_ns: int) -> None:
        """Move forward; a reading in the past leaves the clock where it is."""
        self.now_ns = max(self.now_ns, now_ns)
