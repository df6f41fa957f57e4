"""What a scheduled strategy wants at this moment of its slice; shared by every schedule.

A slice has three parts. It begins passive, turns neutral when patience is over, and pays the other side of the book
towards its end, so that each slice is done before the next one starts. A parent that entered the slice behind its
schedule by more than a slice starts one step more urgent. The quantity of a slice is planned again from what was
filled when the slice began: a shortfall is spread over the slices that are left, never made up in one burst.
"""

from collections.abc import Callable
from dataclasses import dataclass

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.quantities import BPS
from executor.orders.intent import ChildIntent, IntentReason, Urgency
from executor.orders.pricing import limit_price_ticks
from executor.strategies.base import EndOfHorizon, OnDenial, View
from executor.strategies.schedule import SliceGrid
from executor.strategies.sizing import askable_lots

CROSS_WAIT_NS = NS_PER_S
"""How long an aggressive child may work before it is withdrawn and priced again."""

MARKET_WINDOW_NS = 60 * NS_PER_S
"""Trailing window in which the parent's participation cap is measured."""

Plan = Callable[[int, int], tuple[int, ...]]
"""(steps left to trade, first slice) -> steps of that slice and of every later one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When a slice loses its patience, as shares of its length in basis points.

    `patience_bps` ends the passive part, `cross_bps` the neutral one.
    """

    patience_bps: int = 6_000
    cross_bps: int = 9_000

    def __post_init__(self) -> None:
        if not 0 <= self.patience_bps <= self.cross_bps <= BPS:
            raise InvalidRequest(
                f"patience_bps and cross_bps must be ordered within 0 to {BPS}, found {self.patience_bps} and "
                f"{self.cross_bps}; let patience end before crossing begins.",
                field="patience_bps",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledStrategy:
    """A strategy that works through slices by a plan; TWAP, VWAP and Almgren-Chriss differ in the plan alone.

    Pays the other side towards the end of every slice and so of the horizon, within the parent's limit price. When
    denied it asks at once for the quantity that would pass, and waits when there is none.

    `expected_volumes` are the market volumes by slice that the plan follows, empty for a plan that follows none.
    """

    name: str
    grid: SliceGrid
    rhythm: Rhythm
    plan: Plan
    expected_volumes: tuple[int, ...] = ()
    at_end: EndOfHorizon = EndOfHorizon.FINISH_AGGRESSIVELY
    on_denial: OnDenial = OnDenial.ASK_SMALLER
    market_window_ns: int = MARKET_WINDOW_NS

    def slice_start_ns(self, now_ns: int) -> int:
        """Return the start of the slice that `now_ns` falls into."""
        return self.grid.start_of(self.grid.index_at(now_ns))

    def decide(self, view: View) -> list[ChildIntent]:
        """Return the child wanted at this moment of the slice, or nothing."""
        parent = view.parent
        if not self.grid.start_ns <= view.now_ns < self.grid.end_ns or parent.unplaced_lots <= 0:
            return []
        index = self.grid.index_at(view.now_ns)
        lots = askable_lots(view, due_lots(view, index, self.plan), self.on_denial)
        if lots <= 0:
            return []
        moment = _moment(view, self.grid, index, self.rhythm, is_behind=_is_behind(view, index, self.plan))
        price_ticks = limit_price_ticks(
            side=parent.side, urgency=moment.urgency, book=view.book, worst_price_ticks=parent.limit_price_ticks
        )
        if price_ticks is None:
            return []
        return [
            ChildIntent(
                side=parent.side,
                quantity_lots=lots,
                urgency=moment.urgency,
                limit_price_ticks=price_ticks,
                working_until_ns=moment.until_ns,
                reason=moment.reason,
            )
        ]


@dataclass(frozen=True, slots=True)
class _Moment:
    """Where a decision stands in its slice: how urgent, until when, and why."""

    urgency: Urgency
    until_ns: int
    reason: IntentReason


def due_lots(view: View, index: int, plan: Plan) -> int:
    """Return what this slice still wants: its share of what was left when it began, less filled since and live."""
    parent = view.parent
    left_lots = max(parent.quantity_lots - parent.filled_lots_at_slice_start, 0)
    wanted_lots = plan(left_lots // parent.lot_step, index)[0] * parent.lot_step
    return wanted_lots - (parent.filled_lots - parent.filled_lots_at_slice_start) - parent.live_lots


def _is_behind(view: View, index: int, plan: Plan) -> bool:
    """Return whether the parent entered this slice short of its first plan by more than the slice itself."""
    parent = view.parent
    first_plan = plan(parent.quantity_lots // parent.lot_step, 0)
    short_lots = sum(first_plan[:index]) * parent.lot_step - parent.filled_lots_at_slice_start
    return short_lots > first_plan[index] * parent.lot_step


def _moment(view: View, grid: SliceGrid, index: int, rhythm: Rhythm, *, is_behind: bool) -> _Moment:
    """Return urgency, end and reason of a child placed now."""
    start_ns, next_ns = grid.start_of(index), grid.start_of(index + 1)
    patience_ns = start_ns + (next_ns - start_ns) * rhythm.patience_bps // BPS
    cross_ns = start_ns + (next_ns - start_ns) * rhythm.cross_bps // BPS
    reason = IntentReason.CATCHING_UP if is_behind else IntentReason.ON_SCHEDULE
    is_patient = view.now_ns < patience_ns
    if view.now_ns >= cross_ns or (is_behind and not is_patient):
        return _Moment(Urgency.AGGRESSIVE, min(view.now_ns + CROSS_WAIT_NS, next_ns), reason)
    if is_patient:
        return _Moment(Urgency.NEUTRAL if is_behind else Urgency.PASSIVE, patience_ns, reason)
    return _Moment(Urgency.NEUTRAL, cross_ns, reason)
