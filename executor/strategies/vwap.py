"""VWAP: quantity in proportion to the market volume expected in each slice.

The expectation is the rule book's volume curve of the instrument, or a profile that comes with the order. Without
either there is no VWAP: even slices under its name would hide that nobody knows the volume of this market.
"""

from dataclasses import dataclass
from functools import lru_cache

from controlplane.domain.errors import InvalidRequest
from executor.strategies.base import Assignment
from executor.strategies.parameters import check_bounds, parameter
from executor.strategies.schedule import SLICES_MAX, SliceGrid, twap_lots, vwap_lots
from executor.strategies.slices import Rhythm, ScheduledStrategy

VOLUME_MAX = 1 << 40
SLICES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class VwapParameters:
    slices: int | None = parameter(
        None,
        kind="integer",
        low=1,
        high=SLICES_MAX,
        meaning=f"the number of equal time slices over the volume curve, {SLICES} when left out",
    )
    profile: tuple[int, ...] | None = parameter(
        None,
        kind="integers",
        low=0,
        high=VOLUME_MAX,
        meaning="the market volume expected in each slice, in any unit, in place of the instrument's volume curve",
    )
    patience_bps: int = parameter(
        6_000, kind="integer", low=0, high=10_000, meaning="the share of a slice that is spent passive"
    )
    cross_bps: int = parameter(
        9_000, kind="integer", low=0, high=10_000, meaning="the share of a slice after which the other side is paid"
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.profile is None:
            return
        if not 1 <= len(self.profile) <= SLICES_MAX or sum(self.profile) == 0:
            raise InvalidRequest(
                f"profile must hold 1 to {SLICES_MAX} slices with volume in at least one, found {len(self.profile)} "
                f"slices with {sum(self.profile)} in all; give the expected volumes.",
                field="profile",
            )
        if self.slices not in (None, len(self.profile)):
            raise InvalidRequest(
                f"slices must be left out beside a profile, which has {len(self.profile)} of its own, found "
                f"{self.slices}; give one of the two.",
                field="slices",
            )


def vwap(parameters: VwapParameters, assignment: Assignment) -> ScheduledStrategy:
    """Return the strategy; its slices follow the profile, then what was recorded, then the instrument's curve.

    Errors
        InvalidRequest   there is none of these, or the curve expects no volume within the horizon
    """
    volumes = parameters.profile or assignment.expected_volumes or _from_curve(parameters, assignment)

    def plan(steps: int, first_slice: int) -> tuple[int, ...]:
        return _in_proportion(steps, volumes, first_slice)

    return ScheduledStrategy(
        name="vwap",
        grid=SliceGrid(assignment.start_ns, assignment.end_ns, len(volumes)),
        rhythm=Rhythm(patience_bps=parameters.patience_bps, cross_bps=parameters.cross_bps),
        plan=plan,
        expected_volumes=volumes,
    )


def check_vwap(parameters: VwapParameters, instrument: str, *, has_curve: bool) -> None:
    """Return when the expected volume of an instrument is known, by the order or by the rule book.

    Errors
        InvalidRequest   neither says anything
    """
    if parameters.profile is None and not has_curve:
        raise _unknown_volume(instrument)


def _from_curve(parameters: VwapParameters, assignment: Assignment) -> tuple[int, ...]:
    """Return the volume of each slice by the curve of the instrument."""
    if assignment.volume_curve is None:
        raise _unknown_volume("its instrument")
    slices = parameters.slices or SLICES
    return assignment.volume_curve.expected_volumes(assignment.start_ns, assignment.end_ns, slices)


def _unknown_volume(instrument: str) -> InvalidRequest:
    return InvalidRequest(
        f"vwap needs the expected volume of {instrument}, found no volume_curve of it in the rule book; give a profile "
        "such as 3,2,1 (1,1,1 for even slices), use twap, or add a measured curve to policies/volume_curves.toml.",
        field="profile",
    )


@lru_cache(maxsize=4_096)
def _in_proportion(steps: int, profile: tuple[int, ...], first_slice: int) -> tuple[int, ...]:
    """Return the plan for the rest of the profile; where no more volume is expected, what is late is spread evenly."""
    rest = profile[first_slice:]
    return vwap_lots(steps, rest) if any(rest) else twap_lots(steps, len(rest))
