"""Every figure of the gate on this machine: times of its shapes and parts, the disk's own time, sizes and memory."""

import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controlplane.domain.clock import SystemClock
from controlplane.domain.scopes import SCOPE_KINDS
from controlplane.gate.bench.desk import LIVE, WARM_UP, Desk, percentiles, quiet, without_counting
from controlplane.gate.bench.embedded import GROUP, time_batches, time_one_by_one, time_parts, time_reports
from controlplane.gate.bench.shapes import time_process, time_reference
from controlplane.gate.bench.sizes import time_sizes
from controlplane.gate.gate import Gate
from controlplane.gate.kernel.frames import FRAME_BYTES
from controlplane.gate.snapshot import Snapshot
from controlplane.runtime.settings import Durability

REFERENCE_SHARE = 20  # one order in so many is also timed in plain Python
SOCKET_ORDERS_MAX = 10_000
SIZE_ORDERS_MAX = 20_000
REPEATS = 3  # of the embedded figures; the quietest counts, since others use the machine too
DISK_WRITES = 400


def measure(snapshot: Snapshot, *, orders: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return percentiles in nanoseconds per order of every shape, parts, ratios, sizes, memory and the machine's load.

    Errors
        InvalidRequest when the limits let no order of the benchmark pass
    """
    limits = without_counting(snapshot)
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="controlplane-bench-") as folder:
        found = measure_embedded(limits, Path(folder) / "embedded", orders, progress)
        timings = found["timings"]
        progress("plain-Python reference")
        timings["plain Python"] = percentiles(time_reference(limits, max(orders // REFERENCE_SHARE, WARM_UP)))
        for durability in Durability:
            progress(f"over the socket, durability {durability.value}")
            taken = time_process(limits, Path(folder) / durability.value, durability, min(orders, SOCKET_ORDERS_MAX))
            timings[f"process, {durability.value}"] = percentiles(taken)
        timings["fdatasync of the disk alone"] = percentiles(time_disk(Path(folder)))
        progress("a small and a large state")
        found["states"] = time_sizes(snapshot, Path(folder), min(orders, SIZE_ORDERS_MAX))
    embedded, plain = timings["embedded, journal"], timings["plain Python"]
    parts = found["parts"]
    spared = parts["record_copy_and_crc"] - parts["record_copy_alone"] + parts["permit"]
    return found | {
        "without_crc_and_permit_p50_ns": embedded["p50_ns"] - spared,
        "ratio_p50": round(plain["p50_ns"] / embedded["p50_ns"], 2),
        "ratio_p99": round(plain["p99_ns"] / embedded["p99_ns"], 2),
        "machine": {
            "python": platform.python_version(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load_before": round(load_before, 2),
            "load_after": round(os.getloadavg()[0], 2),
        },
    }


def measure_embedded(limits: Snapshot, directory: Path, orders: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return times, parts and sizes of a gate in this process."""
    progress("compiling and warming up")
    clock = SystemClock()
    gate = Gate.open(limits, directory=directory, clock=clock, durability=Durability.PROCESS)
    try:
        desk = Desk(gate, limits, clock)
        progress(f"embedded, {orders:,} orders one by one")
        timings = {
            "embedded, journal": quietest(lambda: time_one_by_one(gate, desk, orders // REPEATS)),
            f"embedded, batches of {GROUP}": quietest(lambda: time_batches(gate, desk, orders // GROUP // REPEATS)),
            "embedded, report": percentiles(time_reports(gate, desk, orders // REPEATS)),
        }
        progress("parts of a decision")
        parts = time_parts(gate, desk)
        return {"timings": timings, "parts": parts, "sizes": sizes_of(gate, limits), "memory": memory()}
    finally:
        gate.close()


def quietest(measured: Callable[[], list[int]]) -> dict[str, int]:
    """Return the percentiles of the repetition with the smallest median."""
    return min((percentiles(measured()) for _ in range(REPEATS)), key=lambda found: found["p50_ns"])


def time_disk(directory: Path) -> list[int]:
    """Nanoseconds of writing one record's bytes and making them durable, with nothing of ours around it."""
    taken = []
    sync = getattr(os, "fdatasync", os.fsync)
    descriptor = os.open(directory / "one-record-after-another", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.ftruncate(descriptor, DISK_WRITES * FRAME_BYTES)
        os.fsync(descriptor)
        with quiet():
            for number in range(DISK_WRITES):
                os.pwrite(descriptor, b"\1" * FRAME_BYTES, number * FRAME_BYTES)
                started = time.perf_counter_ns()
                sync(descriptor)
                taken.append(time.perf_counter_ns() - started)
    finally:
        os.close(descriptor)
    return taken


def memory() -> dict[str, int]:
    """Return what this process holds and the most that it has held, in bytes; empty where the system doesn't say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return {}
    lines = dict(line.partition(":")[::2] for line in status.read_text(encoding="utf-8").splitlines())
    return {
        "held_bytes": int(lines["VmRSS"].split()[0]) * 1024,
        "most_bytes": int(lines["VmHWM"].split()[0]) * 1024,
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
        "record_bytes": FRAME_BYTES,
    }
