"""How long messages take: market data to us, orders to the venue, reports back.

The simulation runs on our clock, on which a market event happens when it reaches us. An order sent at t reaches the
venue at t + entry; the market it meets there is the one that reaches us `feed` later. So, on our clock, it acts at
t + entry + feed and its report is here at t + entry + response, or at once when the response is faster than the feed.
"""

import math
from dataclasses import dataclass, field

from controlplane.domain.errors import InvalidRequest
from executor.simulation.chance import Chance

# However long a tail, nothing takes longer than this many medians.
MEDIANS_MAX = 50


@dataclass(frozen=True, slots=True)
class Delay:
    """A constant delay, or a lognormal one.

    Fields
        median_ns  half of the messages take less
        sigma      standard deviation of the logarithm; 0 makes the delay constant
    """

    median_ns: int
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if self.median_ns < 0 or not 0.0 <= self.sigma <= 3.0:
            raise InvalidRequest(
                f"A delay needs a median of 0 ns or more and a sigma in 0..3, found {self.median_ns} and {self.sigma}.",
                field="latency",
            )

    def draw(self, chance: Chance) -> int:
        """Return one delay in nanoseconds; a constant one draws nothing from the stream."""
        if self.sigma == 0.0:
            return self.median_ns
        factor = min(math.exp(self.sigma * chance.normal()), MEDIANS_MAX)
        return int(self.median_ns * factor)


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """The three delays between us and a venue; none by default.

    Fields
        feed_ns   from a market event to us, constant, since it places our orders in the stream of events
        entry     from us to the venue, for orders, amends and cancels
        response  from the venue to us, for reports
    """

    feed_ns: int = 0
    entry: Delay = field(default_factory=lambda: Delay(0))
    response: Delay = field(default_factory=lambda: Delay(0))

    def __post_init__(self) -> None:
        if self.feed_ns < 0:
            raise InvalidRequest(f"A feed delay is 0 ns or more, found {self.feed_ns}.", field="latency")
