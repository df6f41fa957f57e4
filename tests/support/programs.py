"""The programs of the product as processes of a test: started, waited for, ended by their own number."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.domain.errors import GateUnavailable
from controlplane.gate.link import GateControl
from controlplane.runtime.sockets import socket_directory

REPOSITORY = Path(__file__).resolve().parents[2]
# The first start after a change compiles the gate, which takes most of a minute on a busy machine.
START_SECONDS_MAX = 180.0
END_SECONDS_MAX = 20.0


@dataclass(slots=True)
class Program:
    """One running program; its output is in a file, so that no pipe can fill up."""

    name: str
    process: subprocess.Popen[bytes]
    output_path: Path

    def output(self) -> str:
        """Return what it has printed so far, on either stream."""
        return self.output_path.read_text(encoding="utf-8", errors="replace")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Return the exit status after a signal; not to heed it in time is a failure."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout=END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end after {number.name}: {self.output()[-2_000:]}") from None

    def wait_until(self, words: str, *, seconds_max: float = START_SECONDS_MAX) -> None:
        """Return once the program has printed these words; fails when it ends or the time does."""
        deadline = time.monotonic() + seconds_max
        while words not in self.output():
            if self.process.poll() is not None and words not in self.output():
                raise AssertionError(f"{self.name} ended with {self.process.returncode}: {self.output()[-2_000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} didn't say {words!r} in {seconds_max} s: {self.output()[-2_000:]}")
            time.sleep(0.02)


@dataclass(slots=True)
class Machine:
    """A state directory with the programs that run on it.

    Fields
        environment  settings of every program, by their variable
    """

    state_directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)

    @property
    def socket_path(self) -> Path:
        return socket_directory(self.state_directory) / "gate.sock"

    @property
    def gate_directory(self) -> Path:
        return self.state_directory / "gate"

    @property
    def gate_journal(self) -> Path:
        return self.state_directory / "journal" / "gate-0"

    def settings(self) -> dict[str, str]:
        """Return the environment of the programs: this process's, without any setting of ours but the given ones."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CONTROLPLANE_")}
        # Many of these gates run without a service, and a slow machine may keep them waiting for a minute.
        own = {"CONTROLPLANE_STATE_DIRECTORY": str(self.state_directory), "CONTROLPLANE_GATE_SUPERVISED": "false"}
        return clean | own | self.environment

    def start(self, name: str, *arguments: str, module: str = "controlplane.cli") -> Program:
        """Return a program that was started and not waited for."""
        output_path = self.state_directory.parent / f"{self.state_directory.name}-{len(self.programs)}-{name}.out"
        with output_path.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.settings(),
                cwd=REPOSITORY,
            )
        program = Program(name, process, output_path)
        self.programs.append(program)
        return program

    def start_gate(self) -> Program:
        """Return a gate that answers."""
        program = self.start("gate", "gate")
        program.wait_until("answers at")
        return program

    def run(
        self, *arguments: str, module: str = "controlplane.cli", seconds_max: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Return a command that has ended."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.settings(),
            cwd=REPOSITORY,
            timeout=seconds_max,
            check=False,
        )

    def control(self) -> GateControl:
        """Return the control requests of the machine's gate."""
        return GateControl(self.socket_path)

    def is_gate_answering(self) -> bool:
        """Return whether the gate answers now."""
        try:
            self.control().control("status")
        except GateUnavailable:
            return False
        return True


@contextmanager
def machine(state_directory: Path, environment: dict[str, str] | None = None) -> Iterator[Machine]:
    """A machine whose programs are ended with the block, the latest first."""
    state_directory.mkdir(parents=True, exist_ok=True)
    running = Machine(state_directory, environment or {})
    try:
        yield running
    finally:
        for program in reversed(running.programs):
            if program.process.poll() is None:
                program.process.terminate()
                try:
                    program.process.wait(timeout=END_SECONDS_MAX)
                except subprocess.TimeoutExpired:
                    program.process.kill()
                    program.process.wait()


def one_sentence(text: str) -> bool:
    """Return whether a fault was told as sentences on one line, without a traceback."""
    lines: Sequence[str] = [line for line in text.strip().splitlines() if line.strip()]
    return len(lines) == 1 and "Traceback" not in text and lines[0].rstrip().endswith((".", ")", "?"))
