"""What the fills cost against average prices of the market: VWAP with and without our own prints, and TWAP.

An average price is a fraction, so these costs are exact fractions; they are benchmarks beside the shortfall and not
parts of it.
"""

from dataclasses import dataclass
from fractions import Fraction

from controlplane.domain.errors import InvalidRequest
from executor.tca.shortfall import ParentOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketInterval:
    """What the market did between start and end of a parent, for the benchmarks people ask about.

    Fields
        volume_lots              traded in the interval
        turnover_half_tick_lots  sum of price times lots of the same trades
        includes_own             our own fills are among those trades
        mid_time_half_tick_ns    sum of mid times how long it stood
        duration_ns              how long mids were seen
    """

    volume_lots: int
    turnover_half_tick_lots: int
    includes_own: bool
    mid_time_half_tick_ns: int
    duration_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkCost:
    """Cost of the fills against one average price, in currency and exact; None where the market gave no such price."""

    vwap: Fraction | None
    vwap_without_own: Fraction | None
    twap: Fraction | None


def benchmark_cost(outcome: ParentOutcome, market: MarketInterval) -> BenchmarkCost:
    """Return the cost of the fills against the market's VWAP, with and without our own prints, and its TWAP.

    A VWAP that contains us makes a cost look smaller: it is (1 - our share of the volume) times the cost against the
    others' VWAP. Both are given, so that a large share cannot hide a cost.

    Errors
        InvalidRequest   the interval claims to include our fills and is smaller than they are
    """
    own_lots, paid = outcome.filled_lots, outcome.paid_half_tick_lots
    others_lots = market.volume_lots - (own_lots if market.includes_own else 0)
    others_turnover = market.turnover_half_tick_lots - (paid if market.includes_own else 0)
    if others_lots < 0 or others_turnover < 0:
        raise InvalidRequest(
            f"volume_lots must contain our own {own_lots} lots, found {market.volume_lots}; measure the interval again "
            "or say that it does not include them.",
            field="volume_lots",
        )
    return BenchmarkCost(
        vwap=_cost_against(outcome, others_turnover + paid, others_lots + own_lots),
        vwap_without_own=_cost_against(outcome, others_turnover, others_lots),
        twap=_cost_against(outcome, market.mid_time_half_tick_ns, market.duration_ns),
    )


def _cost_against(outcome: ParentOutcome, weighted_half_ticks: int, weight: int) -> Fraction | None:
    """Return the cost in currency against a weighted average price, None without any weight."""
    if weight <= 0:
        return None
    cost = outcome.side * (outcome.paid_half_tick_lots - outcome.filled_lots * Fraction(weighted_half_ticks, weight))
    return cost * outcome.scale.in_currency(outcome.scale.numerator)
