"""VWAP: quantity in proportion to the market volume expected in each slice."""

from dataclasses import dataclass
from functools import lru_cache

from controlplane.domain.errors import InvalidRequest
from executor.strategies.base import Assignment
from executor.strategies.parameters import check_bounds, parameter
from executor.strategies.schedule import SLICES_MAX, SliceGrid, twap_lots, vwap_lots
from executor.strategies.slices import Rhythm, ScheduledStrategy

VOLUME_MAX = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class VwapParameters:
    profile: tuple[int, ...] = parameter(
        (1,) * 20,
        kind="integers",
        low=0,
        high=VOLUME_MAX,
        meaning="the market volume expected in each slice, in any unit; flat gives equal slices",
    )
    patience_bps: int = parameter(
        6_000, kind="integer", low=0, high=10_000, meaning="the share of a slice that is spent passive"
    )
    cross_bps: int = parameter(
        9_000, kind="integer", low=0, high=10_000, meaning="the share of a slice after which the other side is paid"
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        if not 1 <= len(self.profile) <= SLICES_MAX or sum(self.profile) == 0:
            raise InvalidRequest(
                f"profile must hold 1 to {SLICES_MAX} slices with volume in at least one, found {len(self.profile)} "
                f"slices with {sum(self.profile)} in all; give the expected volumes.",
                field="profile",
            )


def vwap(parameters: VwapParameters, assignment: Assignment) -> ScheduledStrategy:
    """Return the strategy; it has as many slices as its profile."""

    def plan(steps: int, first_slice: int) -> tuple[int, ...]:
        return _in_proportion(steps, parameters.profile, first_slice)

    return ScheduledStrategy(
        name="vwap",
        grid=SliceGrid(assignment.start_ns, assignment.end_ns, len(parameters.profile)),
        rhythm=Rhythm(patience_bps=parameters.patience_bps, cross_bps=parameters.cross_bps),
        plan=plan,
    )


@lru_cache(maxsize=4_096)
def _in_proportion(steps: int, profile: tuple[int, ...], first_slice: int) -> tuple[int, ...]:
    """Return the plan for the rest of the profile; where no more volume is expected, what is late is spread evenly."""
    rest = profile[first_slice:]
    return vwap_lots(steps, rest) if any(rest) else twap_lots(steps, len(rest))
