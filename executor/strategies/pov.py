"""POV: a share of what the market trades, ours included, and never more than that share."""

from dataclasses import dataclass

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.quantities import BPS, ceil_div
from executor.orders.intent import ChildIntent, IntentReason, Urgency
from executor.orders.pricing import limit_price_ticks
from executor.strategies.base import Assignment, EndOfHorizon, OnDenial, View
from executor.strategies.parameters import check_bounds, parameter
from executor.strategies.sizing import askable_lots, own_lots_allowed

CLIPS_BEHIND_TO_CROSS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PovParameters:
    participation_bps: int = parameter(
        1_000, kind="integer", low=1, high=9_999, meaning="the share of the market volume to be, ours included"
    )
    window_ns: int = parameter(
        60 * NS_PER_S,
        kind="integer",
        low=NS_PER_S,
        high=86_400 * NS_PER_S,
        meaning="the trailing window the share is held in",
    )
    clip_bps: int = parameter(
        100, kind="integer", low=1, high=10_000, meaning="the share of the parent that is worth a child of its own"
    )
    rest_ns: int = parameter(
        5 * NS_PER_S,
        kind="integer",
        low=1_000_000,
        high=3_600 * NS_PER_S,
        meaning="how long a child works before it is priced again",
    )

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PovStrategy:
    """Follows the volume of others, in the trailing window and since the start, whichever allows less.

    Since volume only grows, the share since the start holds at every moment and not only when a child is placed.
    Joins its own side of the book and pays the other side when two clips behind. Leaves what the volume did not allow
    when the horizon ends. When denied it waits: the next volume brings the next child anyway.
    """

    parameters: PovParameters
    clip_lots: int
    name: str = "pov"
    at_end: EndOfHorizon = EndOfHorizon.LEAVE_REMAINDER
    on_denial: OnDenial = OnDenial.WAIT

    @property
    def market_window_ns(self) -> int:
        """Trailing window the engine measures volume in."""
        return self.parameters.window_ns

    def slice_start_ns(self, now_ns: int) -> int:
        """Return now: volume is followed without slices."""
        return now_ns

    def decide(self, view: View) -> list[ChildIntent]:
        """Return the child that brings us up to our share, or nothing."""
        parent = view.parent
        if not parent.start_ns <= view.now_ns < parent.end_ns or parent.unplaced_lots <= 0:
            return []
        due_lots = min(self._due_since_start(view), self._due_in_window(view), parent.unplaced_lots)
        if due_lots < min(self.clip_lots, parent.unplaced_lots):
            return []
        lots = askable_lots(view, due_lots, self.on_denial)
        is_behind = self._due_since_start(view) + parent.live_lots >= CLIPS_BEHIND_TO_CROSS * self.clip_lots
        urgency = Urgency.AGGRESSIVE if is_behind else Urgency.PASSIVE
        price_ticks = limit_price_ticks(
            side=parent.side, urgency=urgency, book=view.book, worst_price_ticks=parent.limit_price_ticks
        )
        if lots <= 0 or price_ticks is None:
            return []
        return [
            ChildIntent(
                side=parent.side,
                quantity_lots=lots,
                urgency=urgency,
                limit_price_ticks=price_ticks,
                working_until_ns=min(view.now_ns + self.parameters.rest_ns, parent.end_ns),
                reason=IntentReason.BEHIND_VOLUME if is_behind else IntentReason.FOLLOWING_VOLUME,
            )
        ]

    def _due_since_start(self, view: View) -> int:
        """Return what our share since the start still allows beside what we filled and what is live."""
        others_lots = view.market.others_lots_since_start
        allowed_lots = own_lots_allowed(others_lots, self.parameters.participation_bps, view.parent.quantity_lots)
        return allowed_lots - view.market.own_lots_since_start - view.parent.live_lots

    def _due_in_window(self, view: View) -> int:
        """Return the same for the trailing window."""
        others_lots = view.market.others_lots_window
        allowed_lots = own_lots_allowed(others_lots, self.parameters.participation_bps, view.parent.quantity_lots)
        return allowed_lots - view.market.own_lots_window - view.parent.live_lots


def pov(parameters: PovParameters, assignment: Assignment) -> PovStrategy:
    """Return the strategy; a clip is rounded up to a whole lot step."""
    clip_steps = max(ceil_div(assignment.steps * parameters.clip_bps, BPS), 1)
    return PovStrategy(parameters=parameters, clip_lots=clip_steps * assignment.lot_step)
