"""The gate's own answers, read about once a second and kept with their time, so that no page waits for a gate."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from controlplane.domain.clock import NS_PER_S, Clock
from controlplane.domain.errors import ControlPlaneError

INTERVAL_NS = NS_PER_S
SUBJECTS = ("status", "utilisation", "working")


class GateControl(Protocol):
    """The control requests of a gate; `controlplane/gate/client.py` speaks them over its socket."""

    def control(self, name: str, **fields: object) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer with its time.

    Fields
        value        the last answer, None before the first one
        as_of_ns     when it was asked for, wall time; 0 before the first one
        error        why the latest attempt failed; empty when it succeeded
        failing_ns   since when attempts fail; 0 when the latest succeeded
    """

    value: Mapping[str, object] | None = None
    as_of_ns: int = 0
    error: str = ""
    failing_ns: int = 0


class GateReadings:
    """The last answer of one gate on each subject.

    Arguments
        gate   where to ask
        clock  wall time
    """

    def __init__(self, gate: GateControl, clock: Clock) -> None:
        self._gate = gate
        self._clock = clock
        self._lock = threading.Lock()
        self._readings = {subject: Reading() for subject in SUBJECTS}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def get(self, subject: str) -> Reading:
        """The reading of `status`, `utilisation` or `working`."""
        with self._lock:
            return self._readings[subject]

    def rows(self, subject: str) -> list[Mapping[str, object]]:
        """The rows of the last answer; empty before the first one."""
        return rows_of(self.get(subject).value)

    def refresh(self, *subjects: str) -> None:
        """Ask again now, about everything unless subjects are named; a gate that doesn't answer is noted, not
        raised."""
        for subject in subjects or SUBJECTS:
            asked_ns = self._clock.wall_ns()
            try:
                value = self._gate.control(subject)
            except (ControlPlaneError, OSError) as error:
                self._note_failure(subject, str(error), asked_ns)
            else:
                with self._lock:
                    self._readings[subject] = Reading(value, asked_ns)

    def start(self) -> None:
        """Keep reading in the background until `stop`."""
        self._thread = threading.Thread(target=self._run, name="gate-readings", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return once no more is read."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._give_sign_of_life()
            self.refresh()
            self._stopping.wait(INTERVAL_NS / NS_PER_S / 2)

    def _give_sign_of_life(self) -> None:
        """Tell the gate that its supervisor lives (GT50); whether the gate hears it, the next reading shows."""
        with suppress(ControlPlaneError, OSError):
            self._gate.control("beat", source="supervisor")

    def _note_failure(self, subject: str, error: str, now_ns: int) -> None:
        with self._lock:
            reading = self._readings[subject]
            self._readings[subject] = replace(reading, error=error, failing_ns=reading.failing_ns or now_ns)


def rows_of(value: Mapping[str, object] | None) -> list[Mapping[str, object]]:
    """The rows of an answer, as far as they are rows."""
    rows = value.get("rows") if value is not None else None
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
