"""What a strategy sees and what it answers: one frozen view in, child intents out.

The view is everything a decision may depend on, so a decision can be repeated from it. The engine builds a view from
its state; a strategy keeps nothing between two calls and therefore re-plans from what really happened after every
fill, denial, rejection or restart.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.orders import Side
from executor.orders.intent import ChildIntent, TopOfBook
from executor.strategies.volume_curve import VolumeCurve


class EndOfHorizon(StrEnum):
    """What a strategy does with what is unplaced as its horizon runs out; nothing is placed after the end."""

    FINISH_AGGRESSIVELY = "finish aggressively"
    LEAVE_REMAINDER = "leave remainder"


class OnDenial(StrEnum):
    """What a strategy does after the gate said no."""

    ASK_SMALLER = "ask smaller"
    WAIT = "wait"


class SetbackKind(StrEnum):
    """Why the latest child came back without having worked."""

    DENIED = "denied"
    REJECTED = "rejected"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a strategy is built for: one parent's quantity, lot step and horizon, and the usual volume of its market.

    Fields
        volume_curve      of the instrument by the rule book; None where it names none
        expected_volumes  by slice, as recorded when the parent was accepted; empty for a new one. They come before the
                          curve, so that a parent keeps its plan through a restart under another rule book
    """

    quantity_lots: int
    lot_step: int
    start_ns: int
    end_ns: int
    volume_curve: VolumeCurve | None = None
    expected_volumes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.lot_step < 1 or self.quantity_lots < self.lot_step or self.quantity_lots % self.lot_step:
            raise InvalidRequest(
                f"quantity_lots must be a positive multiple of lot step {self.lot_step}, found {self.quantity_lots}; "
                "round the quantity.",
                field="quantity_lots",
            )
        if self.end_ns <= self.start_ns:
            raise InvalidRequest(
                f"end_ns must lie after start_ns {self.start_ns}, found {self.end_ns}; give the parent time to work.",
                field="end_ns",
            )

    @property
    def steps(self) -> int:
        """Quantity in lot steps."""
        return self.quantity_lots // self.lot_step


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketVolume:
    """What traded, apart from us and by us, in the strategy's window and since the parent's start.

    The window reaches `Strategy.market_window_ns` back from now, and no further than the parent's start.
    """

    others_lots_window: int
    own_lots_window: int
    others_lots_since_start: int
    own_lots_since_start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentView:
    """The parent order as its strategy sees it.

    Fields
        quantity_lots                 ordered
        filled_lots .. unplaced_lots  where it is now; unplaced may be wanted again, cancelled never
        filled_lots_at_slice_start    filled when `Strategy.slice_start_ns` was
        limit_price_ticks             worst price a child may ask for, None for none
        lot_step                      children are multiples of it
        quantity_lots_min             smallest child a venue takes
        participation_bps_max         largest share of the market volume, ours included; None for no cap
    """

    side: Side
    quantity_lots: int
    filled_lots: int
    working_lots: int
    in_flight_lots: int
    unplaced_lots: int
    filled_lots_at_slice_start: int
    start_ns: int
    end_ns: int
    limit_price_ticks: int | None
    lot_step: int
    quantity_lots_min: int
    participation_bps_max: int | None

    @property
    def live_lots(self) -> int:
        """Working and in flight: what may still be filled without another decision."""
        return self.working_lots + self.in_flight_lots


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """The latest child that came back without having worked, until a later child is acknowledged or filled.

    Fields
        quantity_lots          what was asked
        largest_passing_lots   what the gate said would have passed; 0 for rejected and refused
        count                  setbacks in a row, >= 1
    """

    kind: SetbackKind
    at_ns: int
    quantity_lots: int
    largest_passing_lots: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything a decision may depend on."""

    now_ns: int
    parent: ParentView
    book: TopOfBook
    market: MarketVolume
    arrival_mid_half_ticks: int | None
    setback: Setback | None


class Strategy(Protocol):
    """One way of working a parent.

    `market_window_ns` and `slice_start_ns` tell the engine what to measure for the next view; `at_end` and
    `on_denial` name the behaviour people ask about first.
    """

    @property
    def name(self) -> str: ...

    @property
    def at_end(self) -> EndOfHorizon: ...

    @property
    def on_denial(self) -> OnDenial: ...

    @property
    def market_window_ns(self) -> int: ...

    def slice_start_ns(self, now_ns: int) -> int:
        """Return the moment whose filled quantity the view must carry."""

    def decide(self, view: View) -> list[ChildIntent]:
        """Return the children wanted now; together never more than unplaced, empty to wait."""
