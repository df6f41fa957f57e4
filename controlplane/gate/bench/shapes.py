"""Times of the gate beside the embedded one: the plain-Python judge, and the process behind its socket."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controlplane.domain.clock import NS_PER_S, ManualClock, SystemClock
from controlplane.domain.errors import GateUnavailable, InvalidRequest
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.gate import words
from controlplane.gate.bench.desk import LIVE, Desk, check_allowed, quiet
from controlplane.gate.client import GateClient
from controlplane.gate.kernel.arrays import Capacity
from controlplane.gate.process import run_gate
from controlplane.gate.reference import ReferenceGate
from controlplane.gate.replay import snapshot_from_json
from controlplane.gate.snapshot import Snapshot
from controlplane.runtime.logs import configure_logs
from controlplane.runtime.settings import Durability, LogLevel
from controlplane.runtime.sockets import socket_directory

START_SECONDS_MAX = 300.0


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
        [sys.executable, "-m", "controlplane.gate.bench.shapes", str(directory), durability.value],
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
