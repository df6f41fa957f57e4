"""A venue for generated streams: it answers for child orders in any order, twice, late, too much, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from controlplane.domain.quantities import PRICE_TICKS_CAP
from controlplane.domain.reports import ReportKind
from controlplane.gate import words as w
from tests.support.gate_market import SmallMarket, Words

FILL = w.REPORT_APPLIED | ReportKind.FILLED << 8
REFUSALS = (ReportKind.REJECTED, ReportKind.AMEND_REJECTED)
ENDS = (ReportKind.CANCELLED, ReportKind.REJECTED, ReportKind.EXPIRED, ReportKind.NOT_SENT)


@dataclass(slots=True)
class Block:
    """A parent order that a stream opened."""

    parent_id: int
    route: int
    side: int
    quantity_lots: int


@dataclass(slots=True)
class Sent:
    """A child order that was allowed, as the venue sees it."""

    child_id: int
    block: Block
    route: int
    total_lots: int
    price_ticks: int
    trigger_ticks: int
    filled_lots: int = 0
    asked_lots: int = 0
    asked_request: int = 0


@dataclass(slots=True)
class SmallVenue:
    """The orders that a stream has at its venue.

    Fields
        sent   orders it trades on; ended those it has done with, whose end is told some time later
        is_crowded  ends are few, so that orders pile up
    """

    chance: Random
    market: SmallMarket
    sent: dict[int, Sent] = field(default_factory=dict)
    ended: dict[int, Sent] = field(default_factory=dict)
    is_crowded: bool = False
    _executions: int = 0

    def report(self, recent: Sequence[Words], stranger_id: int) -> Words | None:
        """Return what the venue says next, None when it has nothing to say.

        Arguments
            recent       words of the last commands, some of which it says again
            stranger_id  identifier of a child order that nobody asked for
        """
        roll = self.chance.random()
        if roll < 0.06:
            reports = [words for words in recent if words[0] & 0xFF == w.REPORT_APPLIED]
            if reports:
                return self.chance.choice(reports)
        if roll < 0.063:
            return self._about_stranger(stranger_id)
        if self.ended and ((roll < 0.20 and not self.is_crowded) or len(self.ended) > 100):
            kind = self.chance.choices((ReportKind.EXPIRED, ReportKind.FILLED), (85, 15))[0]
            return self._about(kind, self.chance.choice(list(self.ended.values())))
        if not self.sent:
            return None
        weights = {
            ReportKind.ACKNOWLEDGED: 26, ReportKind.SENT: 8, ReportKind.SEND_UNKNOWN: 2, ReportKind.NOT_SENT: 1,
            ReportKind.FILLED: 30, ReportKind.CANCELLED: 0.5 if self.is_crowded else 10, ReportKind.REJECTED: 2,
            ReportKind.EXPIRED: 1, ReportKind.CANCEL_REQUESTED: 1, ReportKind.CANCEL_REJECTED: 3,
            ReportKind.AMENDED: 9, ReportKind.AMEND_REJECTED: 6,
        }  # fmt: skip
        kind = self.chance.choices(list(weights), list(weights.values()))[0]
        return self._about(kind, self.chance.choice(list(self.sent.values())))

    def end(self, child_id: int) -> None:
        """Use a child order no more; what is left of it ends some time later."""
        if child_id in self.sent:
            self.ended[child_id] = self.sent.pop(child_id)

    def _about(self, kind: ReportKind, sent: Sent) -> Words:
        lots, price, cumulative, execution, fee = 0, 0, 0, 0, 0
        remaining = max(1, sent.total_lots - sent.filled_lots)
        if kind is ReportKind.FILLED:
            lots = self.chance.choice((1, remaining, remaining, (remaining + 1) // 2, remaining + 3))
            price, execution, fee = (
                self._fill_price(sent),
                self._next_execution(),
                self.chance.randint(-50_000, 400_000),
            )
            sent.filled_lots += lots
            if sent.filled_lots >= sent.total_lots and self.chance.random() < 0.9:
                self.end(sent.child_id)
        elif kind in ENDS:
            cumulative = self.chance.choice((0, sent.filled_lots, sent.filled_lots, sent.filled_lots + 2))
            if self.chance.random() < 0.85:
                self.end(sent.child_id)
        elif kind is ReportKind.AMENDED:
            sent.total_lots = sent.asked_lots or sent.total_lots
            lots = self.chance.choice((0, sent.total_lots, sent.total_lots, sent.total_lots + 1))
            price = sent.price_ticks
        if kind in (ReportKind.AMENDED, ReportKind.AMEND_REJECTED):
            execution = self.chance.choice((0, sent.asked_request, sent.asked_request, sent.asked_request + 1))
            cumulative = self.chance.choice((0, sent.filled_lots, sent.filled_lots, sent.filled_lots + 2))
        return (
            w.REPORT_APPLIED | kind << 8 | w.SCHEMA, 0, 0, 0, sent.child_id, 0, sent.route, sent.block.side, 0, lots,
            price, cumulative, self.chance.choice((0, 7, 7)) if kind in REFUSALS else 0, execution, fee, 0,
        )  # fmt: skip

    def _about_stranger(self, child_id: int) -> Words:
        """Return a report about an order that nobody asked for."""
        kind = self.chance.choice((ReportKind.FILLED, ReportKind.FILLED, ReportKind.CANCELLED, ReportKind.ACKNOWLEDGED))
        route = self.market.any_route()
        side = self.chance.choice((1, 1, -1, -1, 0))
        lots = self.chance.choice((0, 1, self.market.listing(route).usual_lots))
        return (
            w.REPORT_APPLIED | kind << 8 | w.SCHEMA, 0, 0, 0, child_id, 0, route, side, 0, lots,
            self.market.last(route), 0, 0, self._next_execution(), 1_000, 0,
        )  # fmt: skip

    def _fill_price(self, sent: Sent) -> int:
        if self.chance.random() < 0.002:
            return self.chance.choice((0, 1, -1, -sent.price_ticks, PRICE_TICKS_CAP, 3 * abs(sent.price_ticks)))
        return self.market.last(sent.route)

    def _next_execution(self) -> int:
        self._executions += 1
        return self._executions
