"""A real gate behind a real socket inside the test's own process, and what it takes to let a first order pass."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controlplane.domain.clock import NS_PER_S, SystemClock
from controlplane.domain.ids import IdMint
from controlplane.domain.observations import (
    Phase,
    PhaseObserved,
    RateObserved,
    ReferenceObserved,
    ReferenceSource,
    VolumeObserved,
)
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.scopes import Route
from controlplane.gate.client import GateClient, GatePort, ParentOpening
from controlplane.gate.gate import Gate
from controlplane.gate.process import listening, only_one
from controlplane.gate.server import GateServer
from controlplane.gate.snapshot import Snapshot
from controlplane.runtime.settings import Durability
from controlplane.runtime.sockets import socket_directory
from tests.support.policies import small_snapshot

INSTRUMENT = "BTC-PERP"
ROUTE = Route("crypto", "crypto/twap", "crypto/twap/schedule", INSTRUMENT, "SIM", "SIM-CLEARING")
PRICE_TICKS = 600_000
PARENT_LOTS = 1_000
SEGMENT_BYTES = 1 << 20
CLOCK = SystemClock()


@dataclass(slots=True)
class CountingMeter:
    """A meter that remembers what it was told."""

    decisions: list[tuple[int, int]] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def decided(self, outcome: int, code: int, elapsed_ns: int) -> None:
        self.decisions.append((outcome, code))

    def committed(self, records: int, elapsed_ns: int) -> None:
        self.groups.append(records)

    def happened(self, event: str, **facts: object) -> None:
        self.events.append(event)

    def render(self) -> dict[str, Any]:
        return {"text": f"decisions {len(self.decisions)}\n", "content_type": "text/plain"}


@dataclass(slots=True)
class RunningGate:
    """A gate that serves from a thread; ask it through `socket_path` only."""

    gate: Gate
    server: GateServer
    socket_path: Path
    directory: Path
    meter: CountingMeter
    thread: threading.Thread
    exit_status: list[int]

    def stop(self) -> int:
        """Return the exit status after a clean end."""
        self.server.stop()
        self.thread.join(timeout=10)
        return self.exit_status[0]


def current_snapshot(**changes: object) -> Snapshot:
    """Return small limits that are valid now."""
    return small_snapshot(as_of_ns=time.time_ns(), **changes)  # type: ignore[arg-type]


@contextmanager
def running_gate(
    state_directory: Path, *, snapshot: Snapshot | None = None, durability: Durability = Durability.PROCESS
) -> Iterator[RunningGate]:
    """A gate over a state directory, serving until the end of the block or until it was stopped."""
    socket_path = socket_directory(state_directory) / "gate.sock"
    (state_directory / "gate").mkdir(parents=True, exist_ok=True)
    gate = Gate.open(
        snapshot or current_snapshot(),
        directory=state_directory,
        clock=CLOCK,
        durability=durability,
        segment_bytes=SEGMENT_BYTES,
    )
    gate.pass_time()
    with only_one(state_directory / "gate"), listening(socket_path) as listener:
        meter = CountingMeter()
        server = GateServer(gate, listener, state_directory / "gate", meter)
        exit_status: list[int] = []
        thread = threading.Thread(target=lambda: exit_status.append(server.run()), daemon=True)
        thread.start()
        running = RunningGate(gate, server, socket_path, state_directory, meter, thread, exit_status)
        try:
            yield running
        finally:
            server.stop()
            thread.join(timeout=10)
            gate.close()


def feed_market(gate: GatePort, *, instrument: str = INSTRUMENT, price_ticks: int = PRICE_TICKS) -> None:
    """Tell a gate everything it wants to know before an order of the instrument can pass."""
    now = CLOCK.wall_ns()
    gate.observe(PhaseObserved(instrument, Phase.CONTINUOUS, now))
    gate.observe(VolumeObserved(instrument, "SIM", 1_000_000, now, now))
    gate.observe(RateObserved("USDT", 1_000_000, now))
    gate.observe(
        ReferenceObserved(instrument, ReferenceSource.BOOK, price_ticks - 1, price_ticks + 1, 1_000, 1_000, now, now)
    )


@dataclass(slots=True)
class Trader:
    """A program that trades one parent order through a gate."""

    client: GateClient
    mint: IdMint
    route: int
    parent_id: int

    @classmethod
    def start(cls, client: GateClient, *, program: int = 1, quantity_lots: int = PARENT_LOTS) -> "Trader":
        """Return a trader with an open parent order and a fresh market."""
        mint = IdMint(CLOCK, program=program)
        trader = cls(client, mint, client.handle(ROUTE), mint.next())
        client.open_parent(ParentOpening(trader.parent_id, trader.route, Side.BUY, quantity_lots))
        feed_market(client)
        return trader

    def order(self, *, quantity_lots: int = 1, price_ticks: int = PRICE_TICKS) -> OrderCommand:
        """Return a new limit order to buy."""
        child_id = self.mint.next()
        return OrderCommand(
            kind=CommandKind.NEW,
            request_id=child_id,
            child_id=child_id,
            parent_id=self.parent_id,
            route=self.route,
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GOOD_TILL_CANCEL,
            quantity_lots=quantity_lots,
            price_ticks=price_ticks,
        )


def eventually(holds: Any, *, seconds_max: float = 5.0, pause_seconds: float = 0.005) -> None:
    """Return once a condition holds; fails when it doesn't within the time."""
    deadline = time.monotonic() + seconds_max
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"the condition didn't come to hold within {seconds_max} s")
        time.sleep(pause_seconds)


SECOND_NS = NS_PER_S
