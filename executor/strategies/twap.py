"""TWAP: the same quantity in every slice of the horizon."""

from dataclasses import dataclass
from functools import lru_cache

from executor.strategies.base import Assignment
from executor.strategies.parameters import check_bounds, parameter
from executor.strategies.schedule import SLICES_MAX, SliceGrid, twap_lots
from executor.strategies.slices import Rhythm, ScheduledStrategy


@dataclass(frozen=True, slots=True, kw_only=True)
class TwapParameters:
    slices: int = parameter(20, kind="integer", low=1, high=SLICES_MAX, meaning="the number of equal time slices")
    patience_bps: int = parameter(
        6_000, kind="integer", low=0, high=10_000, meaning="the share of a slice that is spent passive"
    )
    cross_bps: int = parameter(
        9_000, kind="integer", low=0, high=10_000, meaning="the share of a slice after which the other side is paid"
    )

    def __post_init__(self) -> None:
        check_bounds(self)


def twap(parameters: TwapParameters, assignment: Assignment) -> ScheduledStrategy:
    """Return the strategy; lots that do not divide go to the earliest slices."""

    def plan(steps: int, first_slice: int) -> tuple[int, ...]:
        return _equal(steps, parameters.slices - first_slice)

    return ScheduledStrategy(
        name="twap",
        grid=SliceGrid(assignment.start_ns, assignment.end_ns, parameters.slices),
        rhythm=Rhythm(patience_bps=parameters.patience_bps, cross_bps=parameters.cross_bps),
        plan=plan,
    )


@lru_cache(maxsize=4_096)
def _equal(steps: int, slices: int) -> tuple[int, ...]:
    return twap_lots(steps, slices)
