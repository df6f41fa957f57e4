"""A supervised run on a generated market: starts every program as a process, works two blocks, and adds everything up.

The programs are started as they are started in earnest, by their command lines; none is imported. Whatever happens,
every process started here is ended by its own number, and what they kept stays in a folder of its own to look at.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from controlplane.demo_summary import Block, text_of, totals_of
from controlplane.domain.errors import ControlPlaneError, DependencyError, GateUnavailable, InvalidRequest
from controlplane.gate.link import GateControl
from controlplane.journal import service
from controlplane.journal.reader import Tail
from controlplane.journal.record import FLAG_JSON, decode_json
from controlplane.runtime import postgres
from controlplane.runtime.database import Database
from controlplane.runtime.directories import STATE_VARIABLE
from controlplane.runtime.settings import PREFIX, Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
VENUE = "DEMO-SIM"
SECONDS_USUAL = 60.0
# Beyond the time of the orders: their last cancels, the last reports.
SECONDS_AFTER = 30.0
GATE_SECONDS_MAX = 300.0
START_SECONDS_MAX = 60.0
END_SECONDS_MAX = 15.0
COPY_SECONDS_MAX = 30.0
EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130

# The block of options is cut into eight slices, each larger than one order may be: the gate denies them, says what
# would pass, and the strategy asks again for that.
OPTION_BLOCK = {
    "--instrument": "ETH-25DEC37-4000-C", "--side": "buy", "--quantity": "500", "--strategy": "twap",
    "--parameter": "slices=8",
}  # fmt: skip
PERPETUAL_BLOCK = {
    "--instrument": "ETH-PERP", "--side": "sell", "--quantity": "200", "--strategy": "almgren-chriss",
}  # fmt: skip


class DemoFailed(DependencyError):
    """A program of the demo didn't do its part."""


@dataclass(slots=True)
class Program:
    """One started program with the file that its output goes to."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path

    def said(self) -> str:
        """Everything it has printed."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def last_words(self) -> str:
        """Its last line, for a sentence about its end."""
        lines = [line.strip() for line in self.said().splitlines() if line.strip()]
        return lines[-1] if lines else "nothing"


@dataclass(slots=True)
class Stage:
    """The folder, the settings and the programs of one run."""

    folder: Path
    environment: dict[str, str]
    say: Callable[[str], None]
    programs: list[Program] = field(default_factory=list)

    def start(self, name: str, module: str, *arguments: str) -> Program:
        """Return a program just started; a terminal's Ctrl-C reaches this process alone, which ends the others."""
        output = self.folder / "logs" / f"{name}.log"
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=ROOT,
                start_new_session=True,
            )
        program = Program(name, process, output)
        self.programs.append(program)
        return program

    def wait(self, program: Program, is_ready: Callable[[], bool], *, seconds_max: float) -> None:
        """Return once a program is ready.

        Errors
            DemoFailed when it ended, or isn't ready in time
        """
        deadline = time.monotonic() + seconds_max
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"Expected {program.name} to be ready within {seconds_max:.0f} s, found its last words: "
                    f"{program.last_words()}; see {program.output}."
                )
            time.sleep(0.05)

    def check(self) -> None:
        """Return while every program lives.

        Errors
            DemoFailed names the first that ended
        """
        for program in self.programs:
            if program.process.poll() is not None:
                raise DemoFailed(
                    f"Expected {program.name} to go on, found that it ended with status {program.process.returncode}: "
                    f"{program.last_words()}; see {program.output}."
                )

    def end(self, *names: str) -> None:
        """End programs by their own numbers, in the order given; one that doesn't heed it is killed."""
        for name in names:
            for program in [program for program in self.programs if program.name == name]:
                if program.process.poll() is None:
                    program.process.send_signal(signal.SIGTERM)
                    try:
                        program.process.wait(timeout=END_SECONDS_MAX)
                    except subprocess.TimeoutExpired:
                        program.process.kill()
                        program.process.wait()
                self.programs.remove(program)

    def run(self, module: str, *arguments: str) -> dict[str, Any]:
        """Return the JSON answer of a command that ends by itself.

        Errors
            DemoFailed with the sentence that the command gave
        """
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments, "--json"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self.environment, cwd=ROOT, check=False,
            timeout=START_SECONDS_MAX,
        )  # fmt: skip
        if done.returncode != 0:
            raise DemoFailed(f"Expected `{' '.join(arguments[:1])}` to be taken, found: {done.stderr.strip()[-400:]}")
        return dict(json.loads(done.stdout))


def run_demo(*, is_headless: bool, seconds_max: float | None, seed: int, as_json: bool) -> int:
    """The exit status: 0 when everything added up, 1 with the sentence of what did not."""
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    settings = load_settings()
    folder = settings.state_directory / "demo" / datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    folder.mkdir(mode=0o700, parents=True)
    say = console.print
    stage = Stage(folder, environment_of(folder, free_port(settings, say)), say)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Set even where a shell that put us into the background had it ignored.
        signal.signal(number, signal.default_int_handler)
    try:
        with ExitStack() as ending:
            found = perform(stage, settings, ending, console=console, seconds=seconds_max or SECONDS_USUAL, seed=seed,
                            is_headless=is_headless)  # fmt: skip
    except KeyboardInterrupt:
        say("Interrupted; every program was ended.")
        return EXIT_INTERRUPTED
    except ControlPlaneError as error:
        say(f"The demo failed: {error}")
        say(f"What it kept is in {folder}.")
        return EXIT_FAILED
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        say(text_of(found))
    return EXIT_DONE if not found["faults"] else EXIT_FAILED


def perform(
    stage: Stage,
    settings: Settings,
    ending: ExitStack,
    *,
    console: Console,
    seconds: float,
    seed: int,
    is_headless: bool,
) -> dict[str, Any]:
    """Return the summary of a whole run; what was started is ended when `ending` closes.

    Errors
        DemoFailed when a program didn't do its part
    """
    started = time.monotonic()
    dsn = settings.dsn.get_secret_value() if settings.dsn is not None else None
    stage.say(f"State of this run: {stage.folder}")
    cluster = ending.enter_context(postgres.start(stage.folder / "postgres", dsn=dsn))
    database = ending.enter_context(Database(cluster.dsn))
    ending.callback(stage.end, "executor", "venue", "gate", "service", "drain")
    address = start_programs(stage, seed)
    stage.say(f"Console: {address}")
    for line in passwords_of(stage.folder):
        stage.say(f"  {line}")
    if not is_headless and has_screen():
        with suppress(webbrowser.Error):
            webbrowser.open(address)
    blocks = hand_in(stage, seconds)
    follow(stage, blocks, console, seconds_max=seconds + SECONDS_AFTER)
    control = GateControl(socket_of(stage))
    latency = control.control("status")["latency_ns"]
    if not is_headless:
        wait_for_interrupt(stage)
    stage.say("Ending the programs and adding up.")
    stage.end("executor", "venue", "gate", "service")
    copies = wait_for_copy(stage, database)
    stage.end("drain")
    found = totals_of(stage.folder / "journal", blocks, copies)
    return found | {
        "latency_ns": latency,
        "console": address,
        "state_directory": str(stage.folder),
        "seconds": round(time.monotonic() - started, 1),
    }


def start_programs(stage: Stage, seed: int) -> str:
    """Return the console's address once gate, service, drain, venue and executor are ready."""
    gate = stage.start("gate", "controlplane.cli", "gate")
    drain = stage.start("drain", "controlplane.cli", "drain")
    service_program = stage.start("service", "controlplane.cli", "serve")
    venue = stage.start("venue", "executor.cli", "venue", "--name", VENUE, "--seed", str(seed))
    stage.say("Starting PostgreSQL, gate, drain, service, venue and executor; the very first start compiles the gate.")
    stage.wait(service_program, lambda: "Console: " in service_program.said(), seconds_max=START_SECONDS_MAX)
    stage.wait(venue, lambda: "venue_ready" in venue.said(), seconds_max=START_SECONDS_MAX)
    stage.wait(gate, lambda: is_answering(stage), seconds_max=GATE_SECONDS_MAX)
    executor = stage.start("executor", "executor.cli", "run", "--venue", VENUE)
    stage.wait(executor, lambda: "executor_ready" in executor.said(), seconds_max=START_SECONDS_MAX)
    stage.wait(drain, lambda: drain.process.poll() is None, seconds_max=START_SECONDS_MAX)
    return service_program.said().split("Console: ", 1)[1].split()[0]


def hand_in(stage: Stage, seconds: float) -> list[Block]:
    """Return the blocks after the executor took them."""
    blocks = []
    for options in (OPTION_BLOCK, PERPETUAL_BLOCK):
        words = [word for pair in options.items() for word in pair]
        answer = stage.run(
            "executor.cli",
            "submit",
            *words,
            "--minutes",
            f"{seconds / 60:.3f}",
            "--entered-by",
            "demo",
            "--venue",
            VENUE,
        )
        blocks.append(
            Block(parent_id=str(answer["parent_id"]), instrument=options["--instrument"], side=options["--side"])
        )
        wanted = f"{options['--side']} {options['--quantity']} {options['--instrument']} by {options['--strategy']}"
        stage.say(f"Block {blocks[-1].parent_id}: {wanted} within {seconds:.0f} s")
    return blocks


def follow(stage: Stage, blocks: Sequence[Block], console: Console, *, seconds_max: float) -> None:
    """Show how far the blocks are until both have ended; the first denial is told with its reason.

    Errors
        DemoFailed when a program ends or a block doesn't
    """
    tail = Tail(stage.folder / "journal" / "executor-0")
    ordered: dict[str, int] = {}
    filled: Counter[str] = Counter()
    finished: set[str] = set()
    told: set[str] = set()
    columns = (TextColumn("{task.description:<20}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    deadline = time.monotonic() + seconds_max
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {block.parent_id: progress.add_task(block.instrument, total=None) for block in blocks}
        while len(finished) < len(blocks):
            for record in tail.poll():
                if not record.flags & FLAG_JSON:
                    continue
                facts = decode_json(record.entry)
                parent_id = str(facts.get("parent_id", ""))
                if facts["kind"] == "ParentAccepted":
                    ordered[parent_id] = int(str(facts["quantity_lots"]))
                elif facts["kind"] == "ReportReceived" and facts["report"] == "FILLED":
                    filled[parent_id] += int(str(facts["quantity_lots"]))
                elif facts["kind"] == "ParentFinished":
                    finished.add(parent_id)
                    share = f"{facts['filled_lots']} of {facts['ordered_lots']} lots"
                    stage.say(f"Block {parent_id} ended: {facts['state']}, {share}.")
                elif facts["kind"] == "ChildDenied" and parent_id not in told:
                    told.add(parent_id)
                    stage.say(f"Denied on the way, and asked again: {facts['explanation']}")
                if parent_id in tasks and parent_id in ordered:
                    progress.update(tasks[parent_id], total=ordered[parent_id], completed=filled[parent_id])
            stage.check()
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"Expected both blocks to end within {seconds_max:.0f} s, found {len(finished)} ended."
                )
            time.sleep(0.1)
    tail.close()


def wait_for_interrupt(stage: Stage) -> None:
    """Leave everything running for whoever looks at the console, until Ctrl-C."""
    stage.say("Both blocks have ended. The console stays open; Ctrl-C ends the demo and adds everything up.")
    try:
        while True:
            stage.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        stage.say("")


def wait_for_copy(stage: Stage, database: Database) -> list[dict[str, Any]]:
    """Return for every log its records and its rows in PostgreSQL, once both agree or the time is over."""
    deadline = time.monotonic() + COPY_SECONDS_MAX
    while True:
        with database.transaction() as connection:
            logs = service.completeness(connection, stage.folder / "journal")
        if all(log.is_complete for log in logs) or time.monotonic() > deadline:
            return [
                {"log": log.log, "records": log.records, "rows": log.rows, "is_complete": log.is_complete}
                for log in logs
            ]
        stage.check()
        time.sleep(0.3)


def free_port(settings: Settings, say: Callable[[str], None]) -> int:
    """Return the port of the settings, or another free one where that is taken."""
    host = settings.http_host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in (settings.http_port, 0):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, wanted))
            except OSError:
                continue
            port = int(probe.getsockname()[1])
        if wanted != settings.http_port:
            say(f"Port {settings.http_port} is in use; this demo takes {port}.")
        return port
    raise InvalidRequest(
        f"Expected a free port on {host}, found none; correct CONTROLPLANE_HTTP_HOST.", field="http_host"
    )


def environment_of(folder: Path, port: int) -> dict[str, str]:
    """Return the settings of the programs: this process's own, with the folder and the port of this run."""
    return os.environ | {STATE_VARIABLE: str(folder), f"{PREFIX}HTTP_PORT": str(port)}


def passwords_of(folder: Path) -> list[str]:
    """Return the lines with names and passwords that the service wrote at its first start."""
    with suppress(FileNotFoundError):
        lines = (folder / "first-passwords.txt").read_text(encoding="utf-8").splitlines()
        return [line for line in lines[1:] if line.strip()]
    return []


def has_screen() -> bool:
    """Whether a browser would get a window; one for text terminals would take this one over."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def is_answering(stage: Stage) -> bool:
    """Whether the gate answers."""
    try:
        GateControl(socket_of(stage)).control("status")
    except GateUnavailable:
        return False
    return True


def socket_of(stage: Stage) -> Path:
    """Where the gate of this run listens."""
    return load_settings().model_copy(update={"state_directory": stage.folder}).gate_socket
