"""Speed of the journal in records per second, printed as JSON: append, recovery, verification, tree, judge, copy.

One process on one core beside a PostgreSQL on the same machine. The log holds 600,000 fixed records of a gate, half of
them reference prices, a quarter decisions, a quarter reports. Aims are for a quiet machine; the floors below them are
what a busy one must still reach.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.domain.clock import SystemClock
from controlplane.journal import service
from controlplane.journal.drain import Drain
from controlplane.journal.files.segment import SystemDisk
from controlplane.journal.reader import scan
from controlplane.journal.record import RecordKind, pack_entry
from controlplane.journal.recovery import recover
from controlplane.journal.tree.growth import LogTree
from controlplane.journal.tree.signer import Signer
from controlplane.journal.verify import verify
from controlplane.journal.walk import walk
from controlplane.journal.writer import JournalWriter
from controlplane.runtime.database import Database
from controlplane.runtime.settings import Durability
from controlplane.verifier.judging import judge
from tests.support.journal import LOG, NOW_NS, QuietDisk

RECORDS = 600_000
AIMS = {"recover": 400_000, "verify": 400_000, "judge": 400_000, "drain": 300_000}
FLOORS = {"append": 50_000, "recover": 400_000, "verify": 400_000, "scan": 150_000, "drain": 60_000} | {
    # Signing waits for the disk: two files for every 256 entries.
    "tree": 20_000, "judge": 150_000,
}  # fmt: skip
MEMORY_BYTES_MAX = 48 * 1024 * 1024

pytestmark = pytest.mark.bench


def entries() -> list[bytes]:
    """A thousand entries that a gate may write, to be repeated."""
    made = []
    for number in range(1_000):
        words = {"wall_ns": NOW_NS + number * 1_000, "child_id": (NOW_NS // 1_000 + number) << 8, "route": number % 7}
        if number % 4 == 0:
            is_denied = number % 40 == 0
            outcome = {"outcome": 2, "code": 34} if is_denied else {"outcome": 1}
            made.append(pack_entry(RecordKind.ORDER_DECIDED, subkind=1, parent_id=1_000, **outcome, **words))
        elif number % 4 == 1:
            made.append(pack_entry(RecordKind.REPORT_APPLIED, subkind=5, **words))
        else:
            made.append(pack_entry(RecordKind.REFERENCE_APPLIED, wall_ns=NOW_NS + number))
    return made


def timed(function: Callable[[], int]) -> float:
    """Records per second of a function that says how many it handled."""
    start = time.perf_counter()
    count = function()
    return count / (time.perf_counter() - start)


def append_all(directory: Path) -> int:
    made = entries()
    with JournalWriter.open(
        directory, log=LOG, durability=Durability.PROCESS, clock=SystemClock(), ballast_bytes=0
    ) as writer:
        for number in range(RECORDS):
            writer.append_binary(made[number % 1_000])
            if number % 256 == 255:
                writer.commit()
    return RECORDS


def commit_latencies_us(directory: Path, group: int) -> dict[str, float]:
    """Percentiles of one durable commit of a group of records."""
    made, took = entries(), []
    with JournalWriter.open(
        directory, log=LOG, durability=Durability.DISK, clock=SystemClock(), ballast_bytes=0
    ) as writer:
        for number in range(400):
            for index in range(group):
                writer.append_binary(made[(number + index) % 1_000])
            start = time.perf_counter()
            writer.commit()
            took.append((time.perf_counter() - start) * 1e6)
    took.sort()
    return {"p50": round(took[200], 1), "p99": round(took[396], 1)}


def drain_all(state: Path, database: Database) -> int:
    drain = Drain(state, database)
    copied = 0
    while batch := drain.run_once().copied:
        copied += batch
    drain.close()
    return copied


def sign_all(directory: Path) -> int:
    """Make the whole tree on a real disk, every checkpoint flushed."""
    signer = Signer(directory.parent.parent / "drain", disk=SystemDisk())
    tree = LogTree(directory, signer, clock=SystemClock(), disk=SystemDisk())
    grown = 0
    while entries := tree.grow(is_due=True):
        grown += entries
    tree.close()
    signer.close()
    return grown


def judged(directory: Path) -> int:
    """CRC, chain, tree, tiles, bundles and signature of every record."""
    verdict = judge(directory)
    assert (verdict.problems, verdict.signed_size) == ([], verdict.records)
    return verdict.records


def memory_bytes(name: str) -> int:
    """A line of the process's status: VmRSS is what it holds now, VmHWM the most since it was last reset."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def test_journal_keeps_its_speed_and_its_memory(tmp_path: Path, database: Database) -> None:
    directory = tmp_path / "journal" / LOG
    rates = {"append": timed(lambda: append_all(directory))}
    walk(directory)  # compiles, and fills the page cache
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = memory_bytes("VmRSS")

    rates["recover"] = timed(lambda: recover(directory, log=LOG, disk=QuietDisk()).state.records)
    rates["verify"] = timed(lambda: verify(directory).records)
    rates["scan"] = timed(lambda: sum(1 for _ in scan(directory)))
    rates["tree"] = timed(lambda: sign_all(directory))
    rates["judge"] = timed(lambda: judged(directory))
    rates["drain"] = timed(lambda: drain_all(tmp_path, database))
    growth_bytes = memory_bytes("VmHWM") - before
    commits = {str(group): commit_latencies_us(tmp_path / f"commit-{group}", group) for group in (1, 64, 256)}

    with database.transaction() as connection:
        (answer,) = service.completeness(connection, tmp_path / "journal")
    found = {
        "records": RECORDS,
        "records_per_second": {name: round(rate) for name, rate in rates.items()},
        "share_of_aim": {name: round(rates[name] / aim, 2) for name, aim in AIMS.items()},
        "durable_commit_us_by_group": commits,
        "peak_memory_growth_bytes": growth_bytes,
    }
    print(json.dumps(found, indent=2))
    assert answer.is_complete
    assert {name: rates[name] for name, floor in FLOORS.items() if rates[name] < floor} == {}
    assert growth_bytes < MEMORY_BYTES_MAX
