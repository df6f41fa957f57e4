"""Speed of the gate against the figures written down in baseline.json, as ratios that hold on a machine of any speed.

Every ratio compares two figures of one run: how much faster than the plain judge, how much a part is of the whole, how
much a large state costs. The figures themselves stand beside them for people, with the load they were taken under.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.domain.clock import SystemClock
from controlplane.gate.bench.measure import measure
from controlplane.limits.compile import compile_snapshot
from controlplane.policy.load import load_policies

pytestmark = pytest.mark.bench

BASELINE = Path(__file__).with_name("baseline.json")
ORDERS = 30_000


def ratios_of(found: dict[str, Any]) -> dict[str, float]:
    """Return what is compared: every ratio is better the smaller it is."""
    timings = {name: row["p50_ns"] for name, row in found["timings"].items()}
    one, plain = timings["embedded, journal"], timings["plain Python"]
    return {
        "embedded_of_plain": one / plain,
        "batch_of_embedded": timings["embedded, batches of 64"] / one,
        "process_of_embedded": timings["process, process"] / one,
        "large_of_small": found["states"]["ratio_p50"],
        "crc_and_permit_of_embedded": 1 - found["without_crc_and_permit_p50_ns"] / one,
    }


def test_the_gate_is_as_fast_beside_its_judge_as_it_was(repository: Path) -> None:
    baseline = json.loads(BASELINE.read_text(encoding="utf-8"))
    snapshot = compile_snapshot(load_policies(repository / "policies"), as_of_ns=SystemClock().wall_ns(), version=1)

    found = measure(snapshot, orders=ORDERS, progress=lambda _line: None)

    ratios = ratios_of(found)
    print(json.dumps({"ratios": ratios, "found": found}, indent=2))
    slower = {name: ratio for name, ratio in ratios.items() if ratio > baseline["ratios_max"][name]}
    assert slower == {}
    assert found["timings"]["embedded, journal"]["p50_ns"] < found["timings"]["process, process"]["p50_ns"]
