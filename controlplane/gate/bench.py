"""Decision times on this machine: embedded with journal, in plain Python, in groups of 64, and over the local socket.

All are measured in one run over the same limits, so that their ratios hold even on a machine that does other work. The
plain-Python decision is the one that judges the compiled one: written to be read, and it keeps no journal.

The limits are the given ones, with the counting limits (messages, denials, children, live orders) taken away: otherwise
a benchmark would soon measure nothing but orders denied for being too many. Every timed order passes every check.
"""

import dataclasses
import gc
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from controlplane.domain.clock import NS_PER_S, Clock, ManualClock, SystemClock
from controlplane.domain.errors import GateUnavailable, InvalidRequest
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
from controlplane.domain.scopes import SCOPE_KINDS
from controlplane.gate import words
from controlplane.gate.client import GateClient, GatePort, ParentOpening
from controlplane.gate.gate import Gate
from controlplane.gate.kernel.arrays import Capacity
from controlplane.gate.process import run_gate
from controlplane.gate.reference import ReferenceGate
from controlplane.gate.replay import snapshot_from_json
from controlplane.gate.snapshot import NodeLimits, Snapshot
from controlplane.gate.words import Observation
from controlplane.runtime.logs import configure_logs
from controlplane.runtime.settings import Durability, LogLevel
from controlplane.runtime.sockets import socket_directory

GROUP = 64
WARM_UP = 500
REFERENCE_SHARE = 20  # one order in so many is also timed in plain Python
SOCKET_ORDERS_MAX = 10_000
# Orders live at the same time, as many as a busy desk has; each beyond is reported as not sent, outside the timing.
LIVE = 256
PARENT_LOTS = 1 << 30
PLENTY = 1 << 40
START_SECONDS_MAX = 300.0

Timings = dict[str, dict[str, int]]


def measure(snapshot: Snapshot, *, orders: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return percentiles in nanoseconds per order of every shape, the ratio aimed at, and the sizes of the state.

    Errors
        InvalidRequest when the limits let no order of the benchmark pass
    """
    limits = without_counting(snapshot)
    timings: Timings = {}
    with tempfile.TemporaryDirectory(prefix="controlplane-bench-") as folder:
        progress("compiling and warming up")
        clock = SystemClock()
        gate = Gate.open(limits, directory=Path(folder) / "embedded", clock=clock, durability=Durability.PROCESS)
        try:
            desk = Desk(gate, limits, clock)
            progress(f"embedded, {orders:,} orders one by one")
            timings["embedded, journal"] = percentiles(time_one_by_one(gate, desk, orders))
            progress(f"embedded, in groups of {GROUP}")
            timings[f"embedded, groups of {GROUP}"] = percentiles(time_groups(gate, desk, orders // GROUP))
            sizes = sizes_of(gate, limits)
        finally:
            gate.close()
        progress("plain-Python reference")
        timings["plain Python"] = percentiles(time_reference(limits, max(orders // REFERENCE_SHARE, WARM_UP)))
        for durability in Durability:
            progress(f"over the socket, durability {durability.value}")
            taken = time_process(limits, Path(folder) / durability.value, durability, min(orders, SOCKET_ORDERS_MAX))
            timings[f"process, {durability.value}"] = percentiles(taken)
    embedded, plain = timings["embedded, journal"], timings["plain Python"]
    return {
        "timings": timings,
        "ratio_p50": round(plain["p50_ns"] / embedded["p50_ns"], 2),
        "ratio_p99": round(plain["p99_ns"] / embedded["p99_ns"], 2),
        "sizes": sizes,
        "machine": {"python": platform.python_version(), "processor": platform.machine(), "cores": os.cpu_count()},
    }


def without_counting(snapshot: Snapshot) -> Snapshot:
    """Return the limits without those that only count."""

    def loosened(limits: NodeLimits) -> NodeLimits:
        return dataclasses.replace(
            limits, message_count_max=PLENTY, denied_count_max=PLENTY, live_orders_max=PLENTY, message_reserve_bps=0
        )

    return dataclasses.replace(
        snapshot,
        nodes=tuple(dataclasses.replace(node, limits=loosened(node.limits)) for node in snapshot.nodes),
        parent_limits=tuple(
            (name, dataclasses.replace(parent, limits=loosened(parent.limits), children_max=PLENTY))
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
            self.price_ticks,
        )


def time_one_by_one(gate: Gate, desk: Desk, orders: int) -> list[int]:
    """Nanoseconds of each decision with its record and its commit."""
    taken, live = [], []
    with quiet():
        for _ in range(orders):
            order = arguments_of(desk.order())
            started = time.perf_counter_ns()
            head = gate.one_call.decide_order(*order)
            taken.append(time.perf_counter_ns() - started)
            check_allowed(head)
            live.append(order[2])
            if len(live) == LIVE:
                settle(gate, desk, live)
    settle(gate, desk, live)
    return taken


def time_groups(gate: Gate, desk: Desk, groups: int) -> list[int]:
    """Nanoseconds an order where 64 decisions share one commit."""
    taken = []
    with quiet():
        for _ in range(groups):
            orders = [arguments_of(desk.order()) for _ in range(GROUP)]
            started = time.perf_counter_ns()
            heads = [gate.one_call.decide_order(*order) for order in orders]
            gate.commit()
            taken.append((time.perf_counter_ns() - started) // GROUP)
            for head in heads:
                check_allowed(head)
            settle(gate, desk, [order[2] for order in orders])
    return taken


def time_reference(limits: Snapshot, orders: int) -> list[int]:
    """Nanoseconds of each decision of the plain-Python reference, which writes no journal."""
    clock = ManualClock(limits.created_ns + NS_PER_S)
    desk, reference, taken = Desk(None, limits, clock), ReferenceGate(limits, Capacity()), []
    handles = words.Handles(
        limits.routes,
        tuple(rules.instrument.name for rules in limits.instruments),
        tuple(sorted({route.venue for route in limits.routes})),
        tuple(rate.currency for rate in limits.rates),
        (),
        limits.reporting_currency,
    )
    sequence = 0

    def apply(asked: words.Words) -> list[int]:
        nonlocal sequence
        sequence += 1
        return reference.apply(
            asked, wall_ns=clock.wall_ns(), monotonic_ns=clock.monotonic_ns(), fence=1, is_armed=True, sequence=sequence
        )

    opening = desk.opening
    apply(
        words.opening_words(
            parent_id=opening.parent_id, route=opening.route, side=opening.side, quantity_lots=opening.quantity_lots
        )
    )
    live: list[int] = []
    with quiet():
        for number in range(orders):
            if number % LIVE == 0:
                for child_id in live:
                    apply(words.report_words(VenueReport(ReportKind.NOT_SENT, child_id)))
                live.clear()
                clock.advance_to(clock.now_ns + 1_000_000)
                for observation in desk.market():
                    apply(words.observation_words(observation, handles))
            asked = words.command_words(desk.order())
            started = time.perf_counter_ns()
            entry = apply(asked)
            taken.append(time.perf_counter_ns() - started)
            check_allowed(entry[0])
            live.append(asked[4])
    return taken


def time_process(limits: Snapshot, directory: Path, durability: Durability, orders: int) -> list[int]:
    """Nanoseconds of each round trip to a gate process: question, decision, record, commit, verdict with permit."""
    with gate_process(limits, directory, durability) as socket_path:
        client = GateClient.connect(socket_path, program=7, seconds_max=30)
        desk, taken, live = Desk(client, limits, SystemClock()), [], []
        with quiet():
            for _ in range(orders):
                order = desk.order()
                started = time.perf_counter_ns()
                verdict = client.decide(order)
                taken.append(time.perf_counter_ns() - started)
                if not verdict.is_allowed:
                    raise InvalidRequest(f"Expected an order that passes, found: {verdict.explanation}")
                live.append(order.child_id)
                if len(live) == LIVE:
                    for child_id in live:
                        client.report(VenueReport(ReportKind.NOT_SENT, child_id))
                    client.flush(30)
                    desk.refresh(client)
                    live.clear()
        client.close()
    return taken


@contextmanager
def gate_process(limits: Snapshot, directory: Path, durability: Durability) -> Iterator[Path]:
    """A gate in a process of its own; the path of its socket once it answers."""
    directory.mkdir(parents=True)
    document = directory / "limits.json"
    document.write_bytes(limits.canonical_bytes())
    process = subprocess.Popen(
        [sys.executable, "-m", "controlplane.gate.bench", str(directory), durability.value],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    socket_path = socket_directory(directory) / "gate.sock"
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not socket_path.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise GateUnavailable("Expected the gate of the benchmark to start, found that it ended; run it again.")
            time.sleep(0.05)
        yield socket_path
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


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


def sizes_of(gate: Gate, limits: Snapshot) -> dict[str, int]:
    """Return how large the state is that every decision looks at."""
    return {
        "state_bytes": int(gate.state.words.nbytes),
        "scopes": len(limits.nodes),
        "scopes_of_an_order": len(SCOPE_KINDS),
        "instruments": len(limits.instruments),
        "routes": len(limits.routes),
        "orders_max": gate.state.capacity.orders,
        "live_orders": LIVE,
        "record_bytes": 280,
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


def main(arguments: list[str]) -> int:
    """Run the gate that `gate_process` starts: state directory and durability."""
    configure_logs(level=LogLevel.ERROR)
    directory, durability = Path(arguments[0]), Durability(arguments[1])
    limits = snapshot_from_json(json.dumps(json.loads((directory / "limits.json").read_bytes())))
    return run_gate(
        limits,
        state_directory=directory,
        socket_path=socket_directory(directory) / "gate.sock",
        durability=durability,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
