"""The venue of a world of faults, which alone knows the truth, and the wire to it, which loses orders."""

from dataclasses import dataclass, field
from random import Random

from controlplane.domain.orders import CommandKind, OrderCommand, Side
from controlplane.domain.reports import ReportKind, VenueReport
from executor.venues.port import SENT, Delivery, SendResult
from tests.support.builders import PRICE


@dataclass(slots=True)
class AtVenue:
    """One order as its venue knows it."""

    command: OrderCommand
    total_lots: int
    fills: list[VenueReport] = field(default_factory=list)
    ended: ReportKind | None = None
    last_amend: int = 0
    times_received: int = 1

    @property
    def filled_lots(self) -> int:
        return sum(fill.quantity_lots for fill in self.fills)

    @property
    def open_lots(self) -> int:
        return 0 if self.ended else max(0, self.total_lots - self.filled_lots)


class Venue:
    """The truth: orders, fills, positions. Its messages go into `said`, from where the wire takes them."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.orders: dict[int, AtVenue] = {}
        self.said: list[VenueReport] = []
        self.executions = 0

    def receive(self, command: OrderCommand) -> None:
        """Take a new order, an amend or a cancel that arrived."""
        known = self.orders.get(command.child_id)
        if command.kind is CommandKind.NEW:
            if known is not None:
                known.times_received += 1
                return
            self.orders[command.child_id] = AtVenue(command, command.quantity_lots)
            self.say(ReportKind.ACKNOWLEDGED, command.child_id)
        elif known is None or known.ended:
            kind = ReportKind.AMEND_REJECTED if command.kind is CommandKind.AMEND else ReportKind.CANCEL_REJECTED
            self.say(kind, command.child_id, execution_id=command.request_id)
        elif command.kind is CommandKind.AMEND:
            self._amend(known, command)
        elif self.chance.random() < 0.8:
            self.end(command.child_id, ReportKind.CANCELLED)
        else:
            self.say(ReportKind.CANCEL_REJECTED, command.child_id, execution_id=command.request_id)

    def _amend(self, order: AtVenue, command: OrderCommand) -> None:
        if self.chance.random() < 0.25:
            self.say(ReportKind.AMEND_REJECTED, command.child_id, execution_id=command.request_id)
            return
        order.total_lots, order.last_amend = command.quantity_lots, command.request_id
        self.say(
            ReportKind.AMENDED, command.child_id, execution_id=command.request_id,
            quantity_lots=command.quantity_lots, price_ticks=command.price_ticks, cumulative_lots=order.filled_lots,
        )  # fmt: skip
        if order.open_lots == 0:
            self.end(command.child_id, ReportKind.CANCELLED)

    def fill(self, child_id: int) -> None:
        """Fill some of what an order has open."""
        order = self.orders[child_id]
        lots = self.chance.randint(1, order.open_lots)
        self.executions += 1
        filled = VenueReport(
            ReportKind.FILLED, child_id, execution_id=self.executions, quantity_lots=lots, price_ticks=PRICE,
            route=order.command.route, side=int(order.command.side), cumulative_lots=order.filled_lots + lots,
        )  # fmt: skip
        order.fills.append(filled)
        self.said.append(filled)

    def end(self, child_id: int, kind: ReportKind) -> None:
        """End an order, for whatever reason of its own."""
        order = self.orders[child_id]
        order.ended = kind
        self.say(kind, child_id, cumulative_lots=order.filled_lots)

    def say(self, kind: ReportKind, child_id: int, **facts: int) -> None:
        self.said.append(VenueReport(kind, child_id, **facts))

    def position(self) -> int:
        """What the firm holds in truth, in lots, long positive."""
        return sum(int(order.command.side) * order.filled_lots for order in self.orders.values())

    def open_lots(self, side: Side) -> int:
        return sum(order.open_lots for order in self.orders.values() if order.command.side is side)


class Wire:
    """Carries orders to the venue, or loses them and may not know that it did."""

    def __init__(self, venue: Venue, chance: Random) -> None:
        self.venue, self.chance = venue, chance

    def transmit(self, command: OrderCommand, _instrument: str) -> SendResult:
        roll = self.chance.random()
        if roll < 0.08:
            return SendResult(Delivery.NOT_SENT, "the line is down")
        if roll < 0.16:
            return SendResult(Delivery.UNKNOWN, "timed out")
        self.venue.receive(command)
        return SendResult(Delivery.UNKNOWN, "timed out") if roll < 0.24 else SENT
