"""Orders as a simulated venue knows them, and what it takes: readable numbers on the instrument's grid."""

from dataclasses import dataclass, field

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.instruments import Instrument
from controlplane.domain.orders import OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.quantities import PRICE_TICKS_CAP, QUANTITY_LOTS_CAP
from controlplane.domain.reports import ReportKind, VenueReport
from executor.simulation.matching import RestingOrder


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """A new order as the venue gets it; a market order carries its protection limit in `price_ticks`."""

    child_id: int
    instrument: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity_lots: int
    price_ticks: int
    route: int = 0

    @classmethod
    def from_command(cls, command: OrderCommand, instrument: str) -> "VenueOrder":
        """Return the order that a command of the executor asks for."""
        return cls(
            child_id=command.child_id,
            instrument=instrument,
            side=command.side,
            order_type=command.order_type,
            time_in_force=command.time_in_force,
            quantity_lots=command.quantity_lots,
            price_ticks=command.price_ticks,
            route=command.route,
        )


@dataclass(frozen=True, slots=True)
class OrderState:
    """What the venue knows of an order.

    Fields
        ended_by    report kind that ended it, FILLED when nothing remains, None while it works
        reason      sentence beside a rejection or an expiry, empty otherwise
        executions  its fills so far, as reported
        exchange_ns time of its last change
    """

    child_id: int
    instrument: str
    side: Side
    price_ticks: int
    quantity_lots: int
    filled_lots: int
    ended_by: ReportKind | None
    reason: str
    executions: tuple[VenueReport, ...]
    exchange_ns: int

    @property
    def remaining_lots(self) -> int:
        """Lots that may still trade."""
        return 0 if self.ended_by is not None else self.quantity_lots - self.filled_lots


@dataclass(slots=True)
class OrderRecord:
    """One order at the venue; `resting` is its place in the book while it has one."""

    order: VenueOrder
    exchange_ns: int
    filled_lots: int = 0
    ended_by: ReportKind | None = None
    reason: str = ""
    resting: RestingOrder | None = None
    executions: list[VenueReport] = field(default_factory=list)

    def state(self) -> "OrderState":
        """Return what the venue answers when it is asked about the order."""
        order = self.order
        return OrderState(
            child_id=order.child_id,
            instrument=order.instrument,
            side=order.side,
            price_ticks=order.price_ticks,
            quantity_lots=order.quantity_lots,
            filled_lots=self.filled_lots,
            ended_by=self.ended_by,
            reason=self.reason,
            executions=tuple(self.executions),
            exchange_ns=self.exchange_ns,
        )


def require_readable(quantity_lots: int, price_ticks: int) -> None:
    """Return when both numbers lie within what any venue could read; InvalidRequest names the one that doesn't."""
    if not 0 < quantity_lots <= QUANTITY_LOTS_CAP:
        raise InvalidRequest(
            f"quantity_lots must lie within 1 and {QUANTITY_LOTS_CAP}, found {quantity_lots}.", field="quantity_lots"
        )
    if not 0 < price_ticks <= PRICE_TICKS_CAP:
        raise InvalidRequest(
            f"price_ticks must lie within 1 and {PRICE_TICKS_CAP}, found {price_ticks}.", field="price_ticks"
        )


def why_off_grid(instrument: Instrument, order: VenueOrder) -> str:
    """Return the sentence of a rejection when price or quantity break the instrument's grid or bounds, else empty."""
    if not instrument.price_min_ticks <= order.price_ticks <= instrument.price_max_ticks:
        return f"The price must lie within {instrument.price_min_ticks} and {instrument.price_max_ticks} ticks."
    step_ticks = 1
    for first_ticks, step in instrument.tick_bands:
        if order.price_ticks >= first_ticks:
            step_ticks = step
    if order.price_ticks % step_ticks:
        return f"The price must be a multiple of {step_ticks} ticks."
    if not instrument.quantity_min_lots <= order.quantity_lots <= instrument.quantity_max_lots:
        return f"The quantity must lie within {instrument.quantity_min_lots} and {instrument.quantity_max_lots} lots."
    if order.quantity_lots % instrument.lot_step:
        return f"The quantity must be a multiple of {instrument.lot_step} lots."
    return ""
