"""Orders that pass, for any shape of the gate, and limits that let as many of them pass as a benchmark asks."""

import dataclasses
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from controlplane.domain.clock import Clock
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.ids import IdMint
from controlplane.domain.instruments import Contract
from controlplane.domain.observations import (
    Phase,
    PhaseObserved,
    RateObserved,
    ReferenceObserved,
    ReferenceSource,
    VolumeObserved,
)
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.gate.client import GatePort, ParentOpening
from controlplane.gate.gate import Gate
from controlplane.gate.snapshot import NodeLimits, Snapshot
from controlplane.gate.words import Observation

WARM_UP = 500
# Orders live at the same time, as many as a busy desk has; each beyond is reported as not sent, outside the timing.
LIVE = 256
PRICES = 64  # neighbouring orders differ in price, as those of a strategy do
PARENT_LOTS = 1 << 30
PLENTY = 1 << 40
MONEY_MAX = 1 << 55


def without_counting(snapshot: Snapshot) -> Snapshot:
    """Return the limits without those that only count."""

    def loosened(limits: NodeLimits) -> NodeLimits:
        over_time = (
            {"turnover_micro_max": MONEY_MAX, "orders_per_trade_max": PLENTY, "repeated_executions_max": PLENTY}
            if limits.has_behaviour
            else {}
        )
        return dataclasses.replace(
            limits,
            message_count_max=PLENTY,
            denied_count_max=PLENTY,
            live_orders_max=PLENTY,
            message_reserve_bps=0,
            **over_time,
        )

    return dataclasses.replace(
        snapshot,
        nodes=tuple(dataclasses.replace(node, limits=loosened(node.limits)) for node in snapshot.nodes),
        parent_limits=tuple(
            (
                name,
                dataclasses.replace(
                    parent, limits=loosened(parent.limits), children_max=PLENTY, duplicate_orders_max=PLENTY
                ),
            )
            for name, parent in snapshot.parent_limits
        ),
    )


class Desk:
    """Makes orders that pass, for any shape of the gate: one small buy of a linear perpetual after the other."""

    def __init__(self, port: GatePort | None, snapshot: Snapshot, clock: Clock) -> None:
        rules = {rules.instrument.name: rules for rules in snapshot.instruments}
        self.route_index, route = next(
            (number, route)
            for number, route in enumerate(snapshot.routes)
            if rules[route.instrument].instrument.contract is Contract.PERPETUAL
            and not rules[route.instrument].instrument.is_inverse
            and next(model for model in snapshot.models if model.name == route.model).is_approved
        )
        self._rules, self._route, self._clock = rules[route.instrument], route, clock
        self._rates = [rate.currency for rate in snapshot.rates if not rate.is_fixed]
        self._mint = IdMint(clock, program=7)
        instrument = self._rules.instrument
        self.price_ticks = (
            self._rules.static_reference_ticks or (instrument.price_min_ticks + instrument.price_max_ticks) // 20
        )
        self.lots = max(instrument.quantity_min_lots, instrument.lot_step)
        self._step_ticks = max([step for price, step in instrument.tick_bands if self.price_ticks >= price], default=1)
        self.price_ticks -= self.price_ticks % self._step_ticks
        self._number = 0
        self.parent_id = self._mint.next()
        self.opening = ParentOpening(self.parent_id, self.route_index, Side.BUY, PARENT_LOTS)
        if port is not None:
            self._start(port)

    def _start(self, port: GatePort) -> None:
        port.open_parent(self.opening)
        self.refresh(port)
        for _ in range(WARM_UP):
            self.refresh(port)
            verdict = port.decide(command := self.order())
            if not verdict.is_allowed:
                raise InvalidRequest(f"Expected limits under which a small order passes, found: {verdict.explanation}")
            port.report(VenueReport(ReportKind.NOT_SENT, command.child_id))

    def refresh(self, port: GatePort) -> None:
        """Tell the gate the market again, so that nothing grows too old."""
        for observation in self.market():
            port.observe(observation)

    def market(self) -> Iterator[Observation]:
        """What the gate must know of the market before the order passes."""
        now, name = self._clock.wall_ns(), self._route.instrument
        yield PhaseObserved(name, Phase.CONTINUOUS, now)
        yield VolumeObserved(name, self._route.venue, 1 << 30, now, now)
        for currency in self._rates:
            yield RateObserved(currency, 1_000_000, now)
        yield ReferenceObserved(
            name, ReferenceSource.BOOK, self.price_ticks - 1, self.price_ticks + 1, 1 << 20, 1 << 20, now, now
        )

    def order(self) -> OrderCommand:
        """Return the next order."""
        child_id = self._mint.next()
        self._number = (self._number + 1) % PRICES
        return OrderCommand(
            CommandKind.NEW,
            child_id,
            child_id,
            self.parent_id,
            self.route_index,
            Side.BUY,
            OrderType.LIMIT,
            TimeInForce.GOOD_TILL_CANCEL,
            self.lots,
            self.price_ticks - self._number * self._step_ticks,
        )


def settle(gate: Gate, desk: Desk, live: list[int]) -> None:
    """Give back what the timed orders reserved, and let the market be fresh again."""
    for child_id in live:
        gate.report(VenueReport(ReportKind.NOT_SENT, child_id))
    desk.refresh(gate)
    gate.commit()
    live.clear()


def arguments_of(order: OrderCommand) -> tuple[int, ...]:
    """Return the order as the fastest way in takes it."""
    return (
        int(order.kind), order.request_id, order.child_id, order.parent_id, order.route, int(order.side),
        order.order_type | order.time_in_force << 8, order.quantity_lots, order.price_ticks, 0, 0,
    )  # fmt: skip


def check_allowed(head: int) -> None:
    """Return when an order passed; a benchmark of denials would be another one."""
    if head >> 16 & 0xFFFF != 1:
        raise InvalidRequest(f"Expected every timed order to pass, found one denied with code {head >> 32 & 0xFFFF}.")


def percentiles(taken: list[int]) -> dict[str, int]:
    """Return count, median, 99th percentile and largest."""
    ordered = np.sort(np.array(taken, np.int64))
    return {
        "orders": len(taken),
        "p50_ns": int(ordered[len(ordered) // 2]),
        "p99_ns": int(ordered[len(ordered) * 99 // 100]),
        "max_ns": int(ordered[-1]),
    }


@contextmanager
def quiet() -> Iterator[None]:
    """The collector of garbage waits until the timing is over."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
