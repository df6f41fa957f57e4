"""The demo as a newcomer starts it: everything as processes, two blocks, and a summary in which everything adds up."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import REPOSITORY

pytestmark = pytest.mark.xdist_group("demo")

# The first start on a machine compiles the gate; the orders themselves take SECONDS.
DEMO_SECONDS_MAX = 400
SECONDS = 12


def environment(home: Path, **settings: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CONTROLPLANE_")}
    return clean | {"XDG_STATE_HOME": str(home)} | settings


def processes_of(home: Path) -> list[str]:
    """Every living process that was started with this folder in its command line or its environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            known = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            is_dead = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if os.fsencode(home) in known and not is_dead:
            found.append(f"{entry.name} {known[:80]!r}")
    return found


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "controlplane.cli", "demo", *options]


def test_headless_demo_ends_by_itself_and_everything_adds_up(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = subprocess.run(
            command("--headless", "--seconds", str(SECONDS), "--seed", "7", "--json"),
            env=environment(tmp_path, CONTROLPLANE_HTTP_PORT=str(port)),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=DEMO_SECONDS_MAX,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["faults"] == []
    assert f"Port {port} is in use" in done.stderr
    option, perpetual = found["blocks"]
    assert (option["instrument"], option["ordered_lots"]) == ("ETH-25DEC37-4000-C", 500)
    for block in (option, perpetual):
        places = ("filled_lots", "working_lots", "in_flight_lots", "unplaced_lots", "cancelled_lots")
        assert sum(block[place] for place in places) == block["ordered_lots"]
        assert block["gate_filled_lots"] == block["filled_lots"] > 0
        assert (block["working_lots"], block["in_flight_lots"]) == (0, 0)
    assert option["denied"]["ORDER_QUANTITY_ABOVE_LIMIT"] >= 1
    assert perpetual["shortfall"]["sums"]["parts_equal_total"]
    assert found["decisions"]["outcomes"]["ALLOWED"] >= found["children_sent"] > 0
    assert sum(found["decisions"]["codes"].values()) == found["decisions"]["outcomes"]["DENIED"]
    assert 0 < found["latency_ns"]["p50"] <= found["latency_ns"]["p99"]
    assert {log["log"] for log in found["journal"]} >= {"gate-0", "executor-0"}
    assert all(log["is_sound"] for log in found["journal"])
    assert all(copy["rows"] == copy["records"] > 0 for copy in found["copy"])
    assert processes_of(tmp_path) == []


def test_interrupted_demo_ends_every_process_that_it_started(tmp_path: Path) -> None:
    output = tmp_path / "demo.out"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command("--headless", "--seconds", "300"),
            env=environment(tmp_path, CONTROLPLANE_HTTP_PORT="0"),
            cwd=REPOSITORY,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + DEMO_SECONDS_MAX
    while "Block " not in output.read_text() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(processes_of(tmp_path)) > 5

    process.send_signal(signal.SIGINT)
    status = process.wait(timeout=90)

    assert status == 130, output.read_text()
    assert "Traceback" not in output.read_text()
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("options", [["--seconds", "1"], ["--seed", "-4"], ["--speed", "9"]])
def test_options_that_make_no_sense_are_refused_before_anything_starts(tmp_path: Path, options: list[str]) -> None:
    done = subprocess.run(
        command("--headless", *options),
        env=environment(tmp_path),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
