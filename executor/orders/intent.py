"""What a strategy wants next and the book it was wanted against: the values that strategies, routing and engine share.

An intent is not an order yet: it has no venue and no identifier, and nothing has been decided about it.
"""

from dataclasses import dataclass
from enum import StrEnum

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.orders import Side


class Urgency(StrEnum):
    """How much an intent is willing to pay for being done.

    Passive joins our own side of the book, neutral goes as far as the mid without crossing it, aggressive pays the
    other side of the book.
    """

    PASSIVE = "passive"
    NEUTRAL = "neutral"
    AGGRESSIVE = "aggressive"


class IntentReason(StrEnum):
    """Why a child is wanted now."""

    ON_SCHEDULE = "due under the schedule"
    CATCHING_UP = "behind schedule"
    FOLLOWING_VOLUME = "keeping its share of the market volume"
    BEHIND_VOLUME = "behind its share of the market volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopOfBook:
    """Best prices and sizes; a side without orders holds None twice."""

    bid_ticks: int | None
    bid_lots: int | None
    ask_ticks: int | None
    ask_lots: int | None

    @property
    def is_usable(self) -> bool:
        """Both sides are there and the bid is below the ask."""
        return self.bid_ticks is not None and self.ask_ticks is not None and self.bid_ticks < self.ask_ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildIntent:
    """A child order that is wanted, before it has a venue.

    Fields
        limit_price_ticks   worst price it may trade at; None leaves the price to the router
        working_until_ns    when it is to be withdrawn if it is not filled; never after the parent's end
    """

    side: Side
    quantity_lots: int
    urgency: Urgency
    limit_price_ticks: int | None
    working_until_ns: int
    reason: IntentReason

    def __post_init__(self) -> None:
        if self.quantity_lots <= 0:
            raise InvalidRequest(f"quantity_lots must be positive, found {self.quantity_lots}.", field="quantity_lots")
