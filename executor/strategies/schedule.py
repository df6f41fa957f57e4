"""How a quantity is spread over time in whole lots: equal slices, a volume profile, and the grid of the slices.

Every schedule adds up to its quantity exactly; no rounding is ever left for the last slice to repair. The cheapest
whole-lot schedule under caps is in `lot_schedule.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from controlplane.domain.errors import InvalidRequest

SLICES_MAX = 1_000
"""Most slices of one schedule; keeps every table a schedule needs small."""


@dataclass(frozen=True, slots=True)
class SliceGrid:
    """Boundaries of equal slices between two moments, in whole nanoseconds.

    Slice k covers `start_of(k)` up to but without `start_of(k + 1)`; the last one ends at `end_ns`.
    """

    start_ns: int
    end_ns: int
    slices: int

    def __post_init__(self) -> None:
        _check_slices(self.slices)
        if self.end_ns - self.start_ns < self.slices:
            raise InvalidRequest(
                f"end_ns must lie at least {self.slices} ns after start_ns for {self.slices} slices, found "
                f"{self.end_ns - self.start_ns} ns; use a longer horizon or fewer slices.",
                field="end_ns",
            )

    def start_of(self, index: int) -> int:
        """Return the moment slice `index` begins; `index` = slices gives the end of the horizon."""
        return self.start_ns + (self.end_ns - self.start_ns) * index // self.slices

    def index_at(self, now_ns: int) -> int:
        """Return the slice that `now_ns` falls into; moments outside the horizon fall into the first or last."""
        span_ns = self.end_ns - self.start_ns
        elapsed_ns = min(max(now_ns - self.start_ns, 0), span_ns - 1)
        # Largest k with span * k // slices <= elapsed, which is the exact inverse of start_of.
        return ((elapsed_ns + 1) * self.slices - 1) // span_ns


def twap_lots(total_lots: int, slices: int) -> tuple[int, ...]:
    """Return equal lots for each slice; the lots that do not divide go one each to the earliest slices."""
    _check_slices(slices)
    return largest_remainder(total_lots, (1,) * slices)


def vwap_lots(total_lots: int, profile: Sequence[int]) -> tuple[int, ...]:
    """Return lots in proportion to an expected volume profile; a flat profile gives the equal schedule.

    Arguments
        profile   expected market volume of each slice in any common unit, >= 0, at least one > 0
    """
    _check_slices(len(profile))
    return largest_remainder(total_lots, profile)


def largest_remainder(total_lots: int, weights: Sequence[int | float]) -> tuple[int, ...]:
    """Return whole lots in proportion to the weights, adding up to the total exactly.

    Rounding
        every share is rounded down, then the lots left over go to the largest remainders; equal remainders are
        served from the front, so the result never depends on the order of a sort
    Errors
        InvalidRequest   a negative total or weight, or no weight above zero
    Source
        Hamilton's method of apportionment, computed in exact fractions
    """
    if total_lots < 0:
        raise InvalidRequest(f"total_lots must not be negative, found {total_lots}.", field="total_lots")
    exact = [Fraction(weight) for weight in weights]
    whole = sum(exact)
    if whole <= 0 or any(weight < 0 for weight in exact):
        raise InvalidRequest(
            f"weights must not be negative, one above zero, found {list(weights)[:20]}; correct the profile.",
            field="profile",
        )
    shares = [total_lots * weight / whole for weight in exact]
    lots = [int(share) for share in shares]
    by_remainder = sorted(range(len(lots)), key=lambda index: (lots[index] - shares[index], index))
    for index in by_remainder[: total_lots - sum(lots)]:
        lots[index] += 1
    return tuple(lots)


def _check_slices(slices: int) -> None:
    if not 1 <= slices <= SLICES_MAX:
        raise InvalidRequest(
            f"slices must lie between 1 and {SLICES_MAX}, found {slices}; choose a number in that range.",
            field="slices",
        )
