"""The stop from a shell: throws the machine's switch first, wakes the gate second, and counts what ended third.

Standard library only, so that it works with database, service and everything else down, and when the gate itself hangs.
"""

import fcntl
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.domain.errors import ControlPlaneError, GateUnavailable
from controlplane.gate.link import GateControl
from controlplane.gate.switch import Switch, SwitchChange

LOCK_FILE = "gate.lock"
POLL_SECONDS = 0.05
CONTROL_SECONDS_MAX = 2.0


@dataclass(slots=True)
class Stop:
    """What a kill did.

    Fields
        change         the switch as it is now
        gate_process   process that was woken, None when no gate runs
        is_answering   whether the gate answered afterwards
        records        gate's sequence when it first answered
        working        orders that counted as live then, by identifier
        still_working  those that count as live at the end of the wait
        problem        why orders could not be counted; empty when they were
    """

    change: SwitchChange
    gate_process: int | None = None
    is_answering: bool = False
    records: int = 0
    working: list[str] = field(default_factory=list)
    still_working: list[str] = field(default_factory=list)
    problem: str = ""


def throw_switch(directory: Path, *, reason: str, by: str) -> Stop:
    """Return once nothing passes any more: the switch of a gate directory is thrown, and its gate was woken.

    Errors
        OSError when the switch could not be written; a gate that finds no switch stops by itself
    """
    with Switch.open(directory) as switch:
        change = switch.kill(reason=reason, by=by)
    stop = Stop(change, gate_process=gate_process(directory))
    if stop.gate_process is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(stop.gate_process, signal.SIGUSR1)
    return stop


def count_orders(stop: Stop, socket_path: Path, *, seconds_max: float) -> None:
    """Fill in which orders were live and which still are; returns when none is, or when the time is over."""
    control = GateControl(socket_path, seconds_max=min(CONTROL_SECONDS_MAX, max(seconds_max, POLL_SECONDS)))
    deadline = time.monotonic() + seconds_max
    try:
        stop.records = int(control.control("status")["records"])
        stop.working = stop.still_working = _working(control)
        stop.is_answering = True
        while stop.still_working and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            stop.still_working = _working(control)
    except GateUnavailable as error:
        # Without a gate nothing new can leave; what is working at venues is for the executor to cancel and report.
        stop.problem = str(error)
    except ControlPlaneError as error:
        stop.problem = f"The gate answered, but not about its orders: {error}"


def gate_process(directory: Path) -> int | None:
    """Return the process that holds the gate's lock; a number left in the file by a gate that ended names nobody."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        number = os.read(descriptor, 20).split(b"\n")[0]
        return int(number) if number.isdigit() and int(number) > 1 else None
    finally:
        os.close(descriptor)
    return None


def _working(control: GateControl) -> list[str]:
    return [row["child_id"] for row in control.control("live_orders")["rows"]]
