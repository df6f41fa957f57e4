"""What the trading part of a shortfall is made of: spread paid and price drift, markouts, and shares of each venue.

The split needs the mid just before each fill. Where none was seen the fill's cost is kept apart as `unsplit`, so the
parts still add up to the trading cost exactly and nothing is guessed.

Source: A. Perold (1988) for the total; effective, realised spread and price impact after J. Bessembinder and
H. Kaufman (1997), "A comparison of trade execution costs for NYSE and NASDAQ-listed stocks", JFQA 32(3), in one-way
form.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.invariants import require
from controlplane.domain.quantities import BPS
from executor.tca.shortfall import FillFacts, ParentOutcome, Shortfall, shortfall

MARKOUT_HORIZONS_NS = (1 * NS_PER_S, 10 * NS_PER_S, 60 * NS_PER_S, 300 * NS_PER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class FillCost:
    """Cost of one fill in exact units; spread and drift are None without a mid before the fill."""

    trading: int
    spread: int | None
    drift: int | None
    fees: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Markout:
    """Where the mid went after the fills, at one horizon, over the fills for which it was seen.

    Fields
        effective   spread paid at the fill; realised plus impact
        realised    what the other side kept once the mid had moved
        impact      move of the mid in our direction after the fill
    """

    horizon_ns: int
    filled_lots: int
    effective: int
    realised: int
    impact: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCost:
    """Trading cost of some of the fills; its bps are a ratio of sums, never a mean of ratios.

    Fields
        notional   arrival price times filled lots, in exact units
    """

    name: str
    filled_lots: int
    notional: int
    trading: int
    spread: int
    drift: int
    unsplit: int
    fees: int

    @property
    def trading_bps(self) -> Fraction:
        """Slippage against arrival in basis points, exact."""
        return Fraction(self.trading * BPS, self.notional)


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """A shortfall with its trading part taken apart; spread + drift + unsplit = trading, exactly.

    The times of the first and last fill are None without fills.
    """

    shortfall: Shortfall
    first_fill_ns: int | None
    last_fill_ns: int | None
    all_fills: GroupCost
    venues: tuple[GroupCost, ...]
    markouts: tuple[Markout, ...]


def decompose(outcome: ParentOutcome) -> Components:
    """Return the shortfall of a parent with the parts of its trading cost, by venue and by markout horizon."""
    total = shortfall(outcome)
    everything = _group("all", outcome, outcome.fills)
    venues = costs_by(outcome, lambda fill: fill.venue)
    require(
        everything.trading == total.trading == sum(venue.trading for venue in venues),
        f"Trading cost must be {total.trading} by fills and venues, found {everything.trading} and {venues}.",
    )
    markouts = tuple(_markout(outcome, position) for position in range(len(MARKOUT_HORIZONS_NS)))
    return Components(
        shortfall=total,
        first_fill_ns=min((fill.at_ns for fill in outcome.fills), default=None),
        last_fill_ns=max((fill.at_ns for fill in outcome.fills), default=None),
        all_fills=everything,
        venues=venues,
        markouts=markouts,
    )


def costs_by(outcome: ParentOutcome, key: Callable[[FillFacts], str]) -> tuple[GroupCost, ...]:
    """Return the cost of each group of fills, in order of the group's name.

    Arguments
        key   the group of a fill: its venue, its child
    """
    groups: dict[str, list[FillFacts]] = {}
    for fill in outcome.fills:
        groups.setdefault(key(fill), []).append(fill)
    return tuple(_group(name, outcome, tuple(groups[name])) for name in sorted(groups))


def cost_of_fill(outcome: ParentOutcome, fill: FillFacts) -> FillCost:
    """Return what one fill cost against arrival, and how much of it was spread and drift.

    Source
        trading side q (p - P_arrival) = spread side q (p - m) + drift side q (m - P_arrival)
    """
    side, scale, lots = outcome.side, outcome.scale, fill.quantity_lots
    price, mid, arrival = 2 * fill.price_ticks, fill.mid_half_ticks, outcome.arrival_half_ticks
    return FillCost(
        trading=scale.of_price_cost(side * lots * (price - arrival)),
        spread=None if mid is None else scale.of_price_cost(side * lots * (price - mid)),
        drift=None if mid is None else scale.of_price_cost(side * lots * (mid - arrival)),
        fees=scale.of_micro(fill.fee_micro),
    )


def _group(name: str, outcome: ParentOutcome, fills: tuple[FillFacts, ...]) -> GroupCost:
    """Return the sums over some fills."""
    costs = [cost_of_fill(outcome, fill) for fill in fills]
    filled_lots = sum(fill.quantity_lots for fill in fills)
    group = GroupCost(
        name=name,
        filled_lots=filled_lots,
        notional=outcome.scale.of_price_cost(filled_lots * outcome.arrival_half_ticks),
        trading=sum(cost.trading for cost in costs),
        spread=sum(cost.spread for cost in costs if cost.spread is not None),
        drift=sum(cost.drift for cost in costs if cost.drift is not None),
        unsplit=sum(cost.trading for cost in costs if cost.spread is None),
        fees=sum(cost.fees for cost in costs),
    )
    parts = group.spread + group.drift + group.unsplit
    require(parts == group.trading, f"Trading parts of {name} must add up to {group.trading}, found {parts}.")
    return group


def _markout(outcome: ParentOutcome, position: int) -> Markout:
    """Return the markout at one horizon.

    Source
        effective side q (p - m) = realised side q (p - m_later) + impact side q (m_later - m)
    """
    filled_lots = effective = realised = impact = 0
    for fill in outcome.fills:
        if fill.markout_mids_half_ticks and len(fill.markout_mids_half_ticks) != len(MARKOUT_HORIZONS_NS):
            raise InvalidRequest(
                f"markout_mids_half_ticks must hold {len(MARKOUT_HORIZONS_NS)} horizons or none, found "
                f"{len(fill.markout_mids_half_ticks)}; give None where no mid was seen.",
                field="markout_mids_half_ticks",
            )
        later = fill.markout_mids_half_ticks[position] if fill.markout_mids_half_ticks else None
        if fill.mid_half_ticks is None or later is None:
            continue
        signed_lots = outcome.side * fill.quantity_lots
        filled_lots += fill.quantity_lots
        effective += signed_lots * (2 * fill.price_ticks - fill.mid_half_ticks)
        realised += signed_lots * (2 * fill.price_ticks - later)
        impact += signed_lots * (later - fill.mid_half_ticks)
    require(realised + impact == effective, f"Markout parts must add up to {effective}, found {realised + impact}.")
    return Markout(
        horizon_ns=MARKOUT_HORIZONS_NS[position],
        filled_lots=filled_lots,
        effective=outcome.scale.of_price_cost(effective),
        realised=outcome.scale.of_price_cost(realised),
        impact=outcome.scale.of_price_cost(impact),
    )
