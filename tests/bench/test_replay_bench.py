"""Speed and memory of deciding a record again, printed as JSON: to prove it, and under other limits.

One process on one core; the log holds 100,000 records of a working desk. The rate is of the processor time, so what
else the machine does hardly counts; the floor is what any machine must reach.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.domain.orders import Side
from controlplane.domain.reports import ReportKind
from controlplane.gate.replay import Replay
from controlplane.journal.reader import read_parts
from controlplane.limits.whatif import run_under
from tests.support.builders import tightened
from tests.support.rig import Rig

RECORDS = 100_000
AIM, FLOOR = 500_000, 250_000
MEMORY_BYTES_MAX = 32 * 1024 * 1024

pytestmark = pytest.mark.bench


def recorded(directory: Path) -> Path:
    """Return the log of a desk that works, fills and cancels small orders on both sides."""
    rig = Rig.open(directory)
    while rig.gate.sequence < RECORDS:
        rig.clock.advance(1_000_000)
        rig.open_market()
        for side in (Side.BUY, Side.SELL):
            rig.hold(side * 10)
            rig.tell(ReportKind.CANCELLED, rig.work(side, 20))
    rig.close()
    return directory / "journal" / "gate-0"


def rate(function: Callable[[], int]) -> int:
    """Records per second of processor time of a function that says how many it handled."""
    start = time.process_time()
    count = function()
    return round(count / (time.process_time() - start))


def memory_bytes(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def test_record_is_decided_again_at_its_speed_and_in_flat_memory(tmp_path: Path) -> None:
    log = recorded(tmp_path)
    Replay(log).run()  # compiles, and fills the page cache
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = memory_bytes("VmRSS")

    proved = rate(lambda: Replay(log).run().records)
    growth_bytes = memory_bytes("VmHWM") - before
    other = rate(
        lambda: run_under(
            lambda recorded: tightened(recorded, "desk:crypto", order_quantity_lots_max=19), read_parts(log)
        ).records
    )

    found = {
        "records": RECORDS,
        "records_per_second": {"replay": proved, "whatif": other},
        "share_of_aim": round(proved / AIM, 2),
        "peak_memory_growth_bytes": growth_bytes,
    }
    print(json.dumps(found, indent=2))
    assert proved >= FLOOR
    assert growth_bytes < MEMORY_BYTES_MAX
