"""The simulated exchange reached by calls instead of a wire; the adapter in front of it is the same as for the wire."""

from controlplane.domain.clock import ManualClock
from controlplane.domain.errors import InvalidRequest, StateConflict, VenueUnavailable
from controlplane.domain.orders import CommandKind, OrderCommand
from executor.simulation.exchange import Exchange
from executor.simulation.venue_orders import OrderState, VenueOrder
from executor.venues.port import SENT, Delivery, OrderStatus, SendResult, VenueMessage, WorkingList


class InProcessLink:
    """A `VenueLink` to an exchange in this process, on the clock of the run."""

    def __init__(self, exchange: Exchange, clock: ManualClock) -> None:
        self._exchange = exchange
        self._clock = clock
        self._answers: list[VenueMessage] = []

    def transmit(self, command: OrderCommand, instrument: str) -> SendResult:
        try:
            carry_out(self._exchange, command, instrument, self._clock.now_ns)
        except StateConflict:
            # The order is there already; it isn't taken twice, and what became of it is the answer.
            return self.request_status(command.child_id)
        except (InvalidRequest, VenueUnavailable) as error:
            return SendResult(Delivery.NOT_SENT, str(error))
        return SENT

    def request_status(self, child_id: int) -> SendResult:
        self._answers.append(status_of(child_id, self._exchange.status(child_id), self._clock.now_ns))
        return SENT

    def request_working(self) -> SendResult:
        self._answers.append(working_of(self._exchange, self._clock.now_ns))
        return SENT

    def receive(self) -> list[VenueMessage]:
        answers, self._answers = self._answers, []
        return [*self._exchange.advance(self._clock.now_ns), *answers]


def carry_out(exchange: Exchange, command: OrderCommand, instrument: str, now_ns: int) -> None:
    """Give the exchange one new order, amend or cancel; it raises what it can't take."""
    if command.kind is CommandKind.CANCEL:
        exchange.cancel(command.child_id, now_ns)
    elif command.kind is CommandKind.AMEND:
        exchange.amend(
            command.child_id, quantity_lots=command.quantity_lots, price_ticks=command.price_ticks, now_ns=now_ns,
            request_id=command.request_id,
        )  # fmt: skip
    else:
        exchange.submit(VenueOrder.from_command(command, instrument), now_ns)


def status_of(child_id: int, found: OrderState | None, now_ns: int) -> OrderStatus:
    """Return the exchange's knowledge of an order as an adapter passes it on."""
    if found is None:
        return OrderStatus(child_id=child_id, is_found=False, exchange_ns=now_ns)
    return OrderStatus(
        child_id=child_id,
        is_found=True,
        executions=found.executions,
        ended_by=found.ended_by,
        quantity_lots=found.quantity_lots,
        price_ticks=found.price_ticks,
        exchange_ns=found.exchange_ns,
    )


def working_of(exchange: Exchange, now_ns: int) -> WorkingList:
    """Return the exchange's list of our working orders."""
    return WorkingList(frozenset(state.child_id for state in exchange.working()), now_ns)
