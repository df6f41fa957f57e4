"""Almgren-Chriss: more early when risk weighs more than impact, within a cap on every slice.

The shape depends on one number, the urgency: kappa times the horizon, or how often the risk horizon of the trade-off
fits into the time there is. It can be given directly, which needs no calibrated model, or as a risk aversion with the
volatility and temporary impact it is weighed against.
"""

from dataclasses import dataclass
from functools import lru_cache

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.quantities import BPS, ceil_div
from executor.strategies.almgren_chriss import ratio_of_kappa_tau
from executor.strategies.base import Assignment
from executor.strategies.lot_schedule import PERIODS_MAX, cheapest_lots
from executor.strategies.parameters import check_bounds, parameter
from executor.strategies.schedule import SliceGrid
from executor.strategies.slices import Rhythm, ScheduledStrategy

URGENCY_MAX = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlmgrenChrissParameters:
    slices: int = parameter(20, kind="integer", low=1, high=PERIODS_MAX, meaning="the number of equal time slices")
    urgency: float = parameter(
        2.0, kind="number", low=0.0, high=URGENCY_MAX, meaning="kappa times the horizon; 0 gives equal slices"
    )
    risk_aversion: float | None = parameter(
        None, kind="number", low=0.0, high=1e12, meaning="lambda per tick and lot, in place of urgency"
    )
    volatility_ticks: float | None = parameter(
        None, kind="number", low=0.0, high=1e12, meaning="ticks per square root of a second, with risk_aversion"
    )
    temporary_impact_ticks: float | None = parameter(
        None, kind="number", low=1e-12, high=1e12, meaning="ticks per lot a second, with risk_aversion"
    )
    slice_share_bps_max: int = parameter(
        10_000, kind="integer", low=1, high=10_000, meaning="the largest share of the parent in one slice"
    )
    patience_bps: int = parameter(
        6_000, kind="integer", low=0, high=10_000, meaning="the share of a slice that is spent passive"
    )
    cross_bps: int = parameter(
        9_000, kind="integer", low=0, high=10_000, meaning="the share of a slice after which the other side is paid"
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        model = (self.risk_aversion, self.volatility_ticks, self.temporary_impact_ticks)
        if any(part is None for part in model) and any(part is not None for part in model):
            raise InvalidRequest(
                "risk_aversion, volatility_ticks and temporary_impact_ticks must be given together, found "
                f"{model}; give all three or use urgency.",
                field="risk_aversion",
            )
        if self.slice_share_bps_max * self.slices < BPS:
            raise InvalidRequest(
                f"slice_share_bps_max must let {self.slices} slices hold the whole parent, found "
                f"{self.slice_share_bps_max}; use at least {ceil_div(BPS, self.slices)}.",
                field="slice_share_bps_max",
            )


def almgren_chriss(parameters: AlmgrenChrissParameters, assignment: Assignment) -> ScheduledStrategy:
    """Return the strategy for one parent; its plan is the cheapest whole-lot schedule within the cap.

    Rounding
        the cap of a slice is rounded up to a whole step, so that slices can always hold the parent
    """
    ratio = urgency_ratio_of(parameters, assignment)
    cap_steps = ceil_div(assignment.steps * parameters.slice_share_bps_max, BPS)

    def plan(steps: int, first_slice: int) -> tuple[int, ...]:
        return _cheapest(steps, parameters.slices - first_slice, ratio, cap_steps)

    return ScheduledStrategy(
        name="almgren-chriss",
        grid=SliceGrid(assignment.start_ns, assignment.end_ns, parameters.slices),
        rhythm=Rhythm(patience_bps=parameters.patience_bps, cross_bps=parameters.cross_bps),
        plan=plan,
    )


def urgency_ratio_of(parameters: AlmgrenChrissParameters, assignment: Assignment) -> float:
    """Return the weight of a lot held for one slice against a lot traded in it.

    With a risk aversion the permanent impact is left out: it costs every schedule nearly the same.
    """
    if (
        parameters.risk_aversion is None
        or parameters.volatility_ticks is None
        or parameters.temporary_impact_ticks is None
    ):
        return ratio_of_kappa_tau(parameters.urgency / parameters.slices)
    slice_seconds = (assignment.end_ns - assignment.start_ns) / NS_PER_S / parameters.slices
    risk = parameters.risk_aversion * (parameters.volatility_ticks * slice_seconds) ** 2
    # Beyond this everything belongs into the first slice anyway, and the search stays in float range.
    return min(risk / parameters.temporary_impact_ticks, ratio_of_kappa_tau(URGENCY_MAX))


@lru_cache(maxsize=4_096)
def _cheapest(steps: int, slices: int, ratio: float, cap_steps: int) -> tuple[int, ...]:
    """Return the rest of the schedule; what the caps of the slices left cannot hold stays unplaced."""
    held_steps = min(steps, cap_steps * slices)
    return cheapest_lots(held_steps, periods=slices, urgency_ratio=ratio, lots_max=(cap_steps,) * slices)
