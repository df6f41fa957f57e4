"""The gate as a process: its lock, its private socket, its signals, and what it tells Prometheus and the logs.

`server.py` is the loop. A second gate on the same directory is refused in one sentence; a gate whose record can't be
kept any more ends with status 3 and answers nobody.
"""

import fcntl
import gc
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from controlplane.domain.clock import NS_PER_S, Clock, SystemClock
from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.errors import JournalUnavailable, StateConflict
from controlplane.gate.gate import Gate
from controlplane.gate.kill import LOCK_FILE
from controlplane.gate.server import CONNECTIONS_MAX, GateServer
from controlplane.gate.snapshot import Snapshot
from controlplane.journal.writer import SEGMENT_BYTES
from controlplane.runtime import metrics
from controlplane.runtime.logs import get_logger
from controlplane.runtime.settings import Durability
from controlplane.runtime.sockets import make_private

log = get_logger("gate.process")


def run_gate(
    snapshot: Snapshot,
    *,
    state_directory: Path,
    socket_path: Path,
    durability: Durability,
    gate_id: int = 0,
    clock: Clock | None = None,
    segment_bytes: int = SEGMENT_BYTES,
    on_ready: Callable[[Gate], None] = lambda _gate: None,
) -> int:
    """Return the exit status of a gate that served until a signal ended it.

    Arguments
        snapshot       compiled limits
        segment_bytes  size of the journal's files
        on_ready       told once the gate answers
    Errors
        StateConflict  another gate has this directory
        whatever `Gate.open` raises; nothing was decided then
    """
    directory = state_directory / "gate"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_one(directory):
        gate = Gate.open(
            snapshot,
            directory=state_directory,
            clock=clock or SystemClock(),
            durability=durability,
            gate_id=gate_id,
            segment_bytes=segment_bytes,
        )
        try:
            # The first command loads the compiled machine, which takes long when it has to be compiled first.
            gate.pass_time()
            gate.commit()
            with listening(socket_path) as listener:
                server = GateServer(gate, listener, directory, ProcessMeter())
                # What is made by now stays; the collector needn't look at it again in the midst of orders.
                gc.collect()
                gc.freeze()
                with signals_to(server):
                    log.info("gate_started", epoch=gate.epoch, socket=str(socket_path), fence=gate.fence())
                    on_ready(gate)
                    return server.run()
        finally:
            with suppress(JournalUnavailable):
                gate.close()


@contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Hold the gate's lock, whose file names the process for `controlplane kill`.

    Errors
        StateConflict when another gate holds it
    """
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            raise StateConflict(
                f"Expected no gate on {directory}, found one running as process {holder}; stop it, or choose another "
                "CONTROLPLANE_STATE_DIRECTORY."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """The listening socket of the gate, for this user alone; its file is gone afterwards."""
    make_private(path.parent)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(CONNECTIONS_MAX)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def signals_to(server: GateServer) -> Iterator[None]:
    """SIGTERM and SIGINT end the gate cleanly, SIGUSR1 kills."""
    handlers = {
        signal.SIGTERM: lambda *_details: server.stop(),
        signal.SIGINT: lambda *_details: server.stop(),
        signal.SIGUSR1: lambda *_details: server.ask_kill(),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ProcessMeter:
    """Prometheus and the logs of this process."""

    def __init__(self) -> None:
        self._counters: dict[tuple[int, int], Any] = {}

    def decided(self, outcome: int, code: int, elapsed_ns: int) -> None:
        counter = self._counters.get((outcome, code))
        if counter is None:
            name = DenialCode(code).name if outcome == Outcome.DENIED and code else "NONE"
            counter = metrics.GATE_DECISIONS.labels(outcome=Outcome(outcome).name.lower(), code=name)
            self._counters[(outcome, code)] = counter
        counter.inc()
        metrics.GATE_DECISION_SECONDS.observe(elapsed_ns / NS_PER_S)

    def committed(self, records: int, elapsed_ns: int) -> None:
        metrics.JOURNAL_RECORDS.inc(records)
        metrics.JOURNAL_APPEND_SECONDS.observe(elapsed_ns / NS_PER_S)

    def happened(self, event: str, **facts: object) -> None:
        log.warning(event, **facts)

    def render(self) -> dict[str, Any]:
        return {"text": metrics.render().decode(), "content_type": metrics.CONTENT_TYPE}
