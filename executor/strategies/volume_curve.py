"""How much of the market's volume is expected in a span of time, from the curve of a usual session.

A curve has one weight for each bin of a session, counted from the opening on; within a bin volume is expected evenly,
outside of sessions none. Every integral is a whole number: times are multiplied by the number of slices, so that no
boundary of a slice is rounded, and two slices with the same part of the curve get the very same number.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import gcd

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.invariants import require

DAY_NS = 86_400 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Session:
    """One span in which volume is expected, and the bin of the curve that its opening falls on.

    A session that closes early is cut there: what the curve expects later doesn't come. One that would outlast its
    bins, on a day when clocks are set back, is cut at the end of the last.
    """

    open_ns: int
    close_ns: int
    first_bin: int


@dataclass(frozen=True, slots=True)
class VolumeCurve:
    """The expected volume of an instrument over time; InvariantBroken when a session outlasts its bins.

    Fields
        name      of the curve in the rule book
        bin_ns    length of every bin
        weights   expected volume of each bin in any common unit, >= 0, at least one > 0
        sessions  in order and without overlap; None for a market that never closes, whose bins begin at midnight UTC
    """

    name: str
    bin_ns: int
    weights: tuple[int, ...]
    sessions: tuple[Session, ...] | None
    _before: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_before", (0, *accumulate(self.weights)))
        sessions = (Session(0, DAY_NS, 0),) if self.sessions is None else self.sessions
        for session in sessions:
            bins = len(self.weights) - session.first_bin
            require(
                session.close_ns - session.open_ns <= bins * self.bin_ns,
                f"A session of the volume curve {self.name} lasts no longer than its {bins} bins of {self.bin_ns} ns, "
                f"found {session.close_ns - session.open_ns} ns.",
            )

    def expected_volumes(self, start_ns: int, end_ns: int, slices: int) -> tuple[int, ...]:
        """Return the volume expected in each of so many equal slices between two moments, in smallest whole numbers.

        Rounding
            none: slice k ends at start + span (k + 1) / slices exactly, not at a whole nanosecond
        Errors
            InvalidRequest when no volume is expected at all, since the market is closed all the time
        """
        span_ns = end_ns - start_ns
        spans = list(self._sessions_between(start_ns, end_ns))
        reached = [
            sum(self._until(session, start_ns * slices + span_ns * index, slices) for session in spans)
            for index in range(slices + 1)
        ]
        volumes = [after - before for before, after in pairwise(reached)]
        common = gcd(*volumes)
        if common == 0:
            raise InvalidRequest(
                f"The volume curve {self.name} expects volume in the order's horizon of {span_ns // NS_PER_S} s, found "
                "none: its calendar has no session then; give a horizon that reaches into one.",
                field="minutes",
            )
        return tuple(volume // common for volume in volumes)

    def _sessions_between(self, start_ns: int, end_ns: int) -> Iterator[Session]:
        """Yield every session that shares time with a span."""
        if self.sessions is None:
            for day in range(start_ns // DAY_NS, (end_ns - 1) // DAY_NS + 1):
                yield Session(day * DAY_NS, (day + 1) * DAY_NS, 0)
            return
        first = bisect_right(self.sessions, start_ns, key=lambda session: session.close_ns)
        for session in self.sessions[first:]:
            if session.open_ns >= end_ns:
                return
            yield session

    def _until(self, session: Session, moment: int, scale: int) -> int:
        """Return the volume of a session up to a moment, in weights times scaled nanoseconds.

        Arguments
            moment  nanoseconds times `scale`
        """
        moment = min(max(moment, session.open_ns * scale), session.close_ns * scale)
        bins, part = divmod(moment - session.open_ns * scale, self.bin_ns * scale)
        last = session.first_bin + bins
        whole = (self._before[last] - self._before[session.first_bin]) * self.bin_ns * scale
        return whole + (self.weights[last] * part if part else 0)
