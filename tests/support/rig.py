"""A gate with a fresh market and a parent order, on clocks that stand still until they are moved.

`Rig.open(folder).buy(10)` is an allowed order. Every order is remembered under its child, so that it can be amended,
cancelled, acknowledged and filled by naming it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.decisions import Verdict
from controlplane.domain.orders import OrderCommand, Side
from controlplane.domain.reports import ReportKind
from controlplane.domain.scopes import Route
from controlplane.gate.client import LiveOrder, ParentOpening
from controlplane.gate.embedded import EmbeddedGate
from controlplane.gate.kernel.arrays import Capacity
from controlplane.gate.snapshot import Snapshot
from controlplane.gate.words import DAY_ROLLED
from controlplane.journal.files.blobs import document
from controlplane.journal.reader import batches
from controlplane.journal.record import FRAME_HEADER_BYTES
from controlplane.runtime.settings import Durability
from tests.support.builders import (
    PRICE,
    ROUTE,
    amend_command,
    book,
    cancel_command,
    order_command,
    phase,
    roomy_snapshot,
    venue_report,
    volume,
)
from tests.support.policies import AS_OF_NS

PARENT_LOTS = 1_000_000
SMALL_CAPACITY = Capacity(orders=16, parents=8, requests=64, executions=64)
SEGMENT_BYTES = 1 << 18


@dataclass(slots=True)
class TwoClocks:
    """A wall clock and a steady clock, moved together by `advance` and apart by `step_wall`."""

    wall: int = AS_OF_NS
    steady: int = 1_000 * NS_PER_S

    def wall_ns(self) -> int:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.steady

    def advance(self, span_ns: int) -> None:
        """Let time pass."""
        self.wall += span_ns
        self.steady += span_ns

    def step_wall(self, span_ns: int) -> None:
        """Set the wall clock, forward or back; no time passes."""
        self.wall += span_ns


@dataclass(slots=True)
class Rig:
    """A gate over a folder; parents are opened when an order first needs one."""

    gate: EmbeddedGate
    clock: TwoClocks
    directory: Path
    capacity: Capacity
    orders: dict[int, OrderCommand] = field(default_factory=dict)
    parents: dict[tuple[Route, Side], int] = field(default_factory=dict)
    last_id: int = 0x1000
    last_execution: int = 0

    @classmethod
    def open(
        cls,
        directory: Path,
        snapshot: Snapshot | None = None,
        *,
        capacity: Capacity = SMALL_CAPACITY,
        durability: Durability = Durability.PROCESS,
        is_market_open: bool = True,
    ) -> Self:
        """Return a gate on a first start, its market as `open_market` states it."""
        clock = TwoClocks()
        gate = EmbeddedGate.open(
            snapshot or roomy_snapshot(),
            directory=directory,
            clock=clock,
            capacity=capacity,
            durability=durability,
            segment_bytes=SEGMENT_BYTES,
        )
        rig = cls(gate, clock, directory, capacity)
        if is_market_open:
            rig.open_market()
        return rig

    def restart(self, snapshot: Snapshot | None = None, *, down_ns: int = 0) -> None:
        """End this run and begin the next one, under other limits if they are given."""
        snapshot = snapshot or self.gate.state.snapshot
        self.gate.close()
        self.clock.advance(down_ns)
        self.gate = EmbeddedGate.open(
            snapshot,
            directory=self.directory,
            clock=self.clock,
            capacity=self.capacity,
            segment_bytes=SEGMENT_BYTES,
        )

    def close(self) -> None:
        self.gate.close()

    # --- the market

    def open_market(self, *, instrument: str = "BTC-PERP", price: int = PRICE, lots: int = 1 << 30) -> None:
        """State price, phase and volume of an instrument as of now, on every venue that lists it."""
        self.quote(price - 1, price + 1, instrument=instrument)
        self.gate.observe(phase(instrument=instrument, at_ns=self.clock.wall))
        for venue in sorted({route.venue for route in self.gate.state.handles.routes}):
            self.gate.observe(volume(lots, venue=venue, at_ns=self.clock.wall, instrument=instrument))

    def quote(self, bid: int, ask: int, **changes: Any) -> None:
        """State a book as of now."""
        self.gate.observe(book(bid, ask, at_ns=self.clock.wall, **changes))

    def roll_day(self) -> None:
        """Let the day of the policy's calendar end."""
        self.gate.apply([DAY_ROLLED, *[0] * 15])

    # --- orders

    def next_id(self) -> int:
        """Return an identifier above every earlier one."""
        self.last_id += 0x100
        return self.last_id

    def parent(self, side: Side = Side.BUY, route: Route = ROUTE, *, lots: int = PARENT_LOTS) -> int:
        """Return the parent of a route and side, opened when there is none yet."""
        if (route, side) not in self.parents:
            self.parents[route, side] = self.next_id()
            self.gate.open_parent(
                ParentOpening(self.parents[route, side], self.gate.handle(route), side, quantity_lots=lots)
            )
        return self.parents[route, side]

    def order(self, side: Side = Side.BUY, *, on: Route = ROUTE, **changes: Any) -> OrderCommand:
        """Return a new order of a route, not asked for yet."""
        defaults = {"child_id": self.next_id(), "side": side, "route": self.gate.handle(on)}
        if "parent_id" not in changes:
            defaults["parent_id"] = self.parent(side, on)
        command = order_command(**defaults | changes)
        self.orders[command.child_id] = command
        return command

    def ask(self, side: Side = Side.BUY, *, on: Route = ROUTE, **changes: Any) -> Verdict:
        """Return the verdict on a new order."""
        return self.gate.decide(self.order(side, on=on, **changes))

    def buy(self, lots: int = 10, price: int = PRICE, **changes: Any) -> Verdict:
        """Return the verdict on an order to buy."""
        return self.ask(Side.BUY, quantity_lots=lots, price_ticks=price, **changes)

    def sell(self, lots: int = 10, price: int = PRICE, **changes: Any) -> Verdict:
        """Return the verdict on an order to sell."""
        return self.ask(Side.SELL, quantity_lots=lots, price_ticks=price, **changes)

    @property
    def last(self) -> int:
        """The child order made last."""
        return max(self.orders)

    def amend(self, child_id: int, **changes: Any) -> Verdict:
        """Return the verdict on an amend that asks for the order's first terms, less what is changed."""
        request_id = changes.pop("request_id", None) or self.next_id()
        return self.gate.decide(amend_command(self.orders[child_id], request_id=request_id, **changes))

    def cancel(self, child_id: int, **changes: Any) -> Verdict:
        """Return the verdict on a cancel; of an order that was never asked for it names what is given alone."""
        known = self.orders.get(child_id) or order_command(child_id=child_id, **changes)
        return self.gate.decide(cancel_command(known, request_id=self.next_id()))

    def tell(self, kind: ReportKind, child_id: int, **changes: Any) -> None:
        """Report what became of an order."""
        self.gate.report(venue_report(kind, child_id, **changes))

    def fill(self, child_id: int, lots: int, price: int = PRICE, **changes: Any) -> None:
        """Report a fill under an execution of its own."""
        self.last_execution += 1
        fields = {"execution_id": self.last_execution, "quantity_lots": lots, "price_ticks": price} | changes
        self.tell(ReportKind.FILLED, child_id, **fields)

    def work(self, side: Side = Side.BUY, lots: int = 10, price: int = PRICE, **changes: Any) -> int:
        """Return a child order that its venue has acknowledged."""
        verdict = self.ask(side, quantity_lots=lots, price_ticks=price, **changes)
        assert verdict.is_allowed, verdict.explanation
        child_id = self.last
        self.tell(ReportKind.ACKNOWLEDGED, child_id)
        return child_id

    def hold(self, lots: int, price: int = PRICE, *, on: Route = ROUTE, fee_micro: int = 0) -> None:
        """Take a position, long or short, through one order that fills whole."""
        side = Side.BUY if lots > 0 else Side.SELL
        self.fill(self.work(side, abs(lots), price, on=on), abs(lots), price, fee_micro=fee_micro)

    # --- what the gate counts

    def live(self, child_id: int) -> LiveOrder | None:
        """Return what the gate counts of one order, None when nothing is live."""
        return next((order for order in self.gate.working() if order.child_id == child_id), None)

    def reserved(self, child_id: int) -> int:
        """Return the lots that are reserved for one order."""
        order = self.live(child_id)
        return 0 if order is None else order.reserved_lots

    def position(self, route: Route = ROUTE, scope: str = "firm:firm") -> int:
        """Return the confirmed position of a scope in an instrument."""
        long = self.used("position_long", scope, route.instrument)
        return long - self.used("position_short", scope, route.instrument)

    def used(self, limit: str, scope: str = "firm:firm", instrument: str | None = None) -> int:
        """Return what is used of a limit, reservations left out."""
        return int(self.row(limit, scope, instrument)["used"])

    def row(self, limit: str, scope: str = "firm:firm", instrument: str | None = None) -> dict[str, Any]:
        """Return one row of the utilisation."""
        rows: list[dict[str, Any]] = self.gate.control("utilisation", {})["rows"]
        return next(
            row for row in rows if (row["limit"], row["scope"], row["instrument"]) == (limit, scope, instrument)
        )

    def exposure(self) -> list[dict[str, Any]]:
        """Return the utilisation of every limit but the counts of messages and denials, which every request moves."""
        rows: list[dict[str, Any]] = self.gate.control("utilisation", {})["rows"]
        return [row for row in rows if row["limit"] not in ("message_count", "denied_count")]

    def stop(self, scope: str, state: str, **changes: Any) -> dict[str, Any]:
        """Put a scope into a stop state, as a risk officer does."""
        fields = {"scope": scope, "state": state, "reason": "drill", "by": "olga"} | changes
        return self.gate.control("set_state", fields)

    def lift(self, scope: str, **changes: Any) -> dict[str, Any]:
        """Free a scope, as two people do."""
        return self.gate.control(
            "lift", {"scope": scope, "reason": "drill over", "by": "olga", "second": "rui"} | changes
        )


# What the fixture `open_rig` gives: opens a gate as `Rig.open` does, in a folder of its own.
OpenRig = Callable[..., Rig]


def recorded(rig: Rig, *kinds: str) -> list[dict[str, Any]]:
    """Return the JSON records of these kinds in the gate's journal, without their times."""
    found: list[dict[str, Any]] = []
    directory = rig.directory / "journal" / "gate-0"
    for batch in batches(directory):
        for index in range(len(batch.flags)):
            if batch.flags[index]:
                start = int(batch.offsets[index]) + FRAME_HEADER_BYTES
                entry = document(directory, batch.chunk[start : start + int(batch.lengths[index])].tobytes())
                if entry["kind"] in kinds:
                    found.append({name: value for name, value in entry.items() if name != "wall_ns"})
    return found
