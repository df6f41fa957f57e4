"""Commands that make the record provable: sign and copy it, and be the witness of another machine's."""

import json
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.domain.clock import SystemClock
from controlplane.domain.errors import DependencyError, InvalidRequest
from controlplane.runtime.settings import Settings
from controlplane.terminal import EXIT_NO, Json, State, dsn_of, say, settings_of, stop_on_signals

if TYPE_CHECKING:
    # Imported where they run: a command that needs neither loads neither.
    from controlplane.journal.drain import Drain, DrainProgress
    from controlplane.journal.tree.keeper import TreeKeeper
    from controlplane.journal.tree.notes import VerifierKey
    from controlplane.journal.tree.status import TreeProgress

DATABASE_RETRY_SECONDS = 5.0


def register(application: typer.Typer) -> None:
    """Give the program these commands."""
    for command in (drain, witness):
        application.command()(command)


def drain(
    state: State = None,
    once: Annotated[bool, typer.Option("--once", help="Sign and copy what is there, then end.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say where the running drain stands, then end.")] = False,
    as_json: Json = False,
) -> None:
    """Sign every log of this machine as a tree, and copy it into PostgreSQL in order and exactly once."""
    from controlplane.runtime.logs import configure_logs

    settings = settings_of(state)
    if status:
        raise typer.Exit(say_status(settings, as_json=as_json))
    configure_logs(level=settings.log_level, form=settings.log_format)
    keeper = keeper_of(settings)
    try:
        if once:
            raise typer.Exit(drain_once(settings, keeper, as_json=as_json))
        drain_until(stop_on_signals(), settings, keeper, as_json=as_json)
    finally:
        keeper.close()


def witness(
    name: Annotated[str, typer.Option(help="Name that the signatures carry, such as witness.example/desk.")],
    logs: Annotated[list[str], typer.Option("--log", help="Public key of a log to watch, or a file of them; repeat.")],
    directory: Annotated[
        Path | None,
        typer.Option("--directory", help="Keeps key and memory; `witness` in the state directory if unset."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.", min=0, max=65535)] = 8710,
    state: State = None,
) -> None:
    """Sign checkpoints of other machines' logs as a second owner; refuse those that forget or rewrite the past."""
    from controlplane.journal.files.segment import SystemDisk
    from controlplane.journal.witness import Witness, WitnessServer
    from controlplane.runtime.logs import configure_logs

    settings = settings_of(state)
    configure_logs(level=settings.log_level, form=settings.log_format)
    stop = stop_on_signals()
    watching = Witness(
        directory or settings.state_directory / "witness",
        name=name,
        logs=keys_of(logs),
        clock=SystemClock(),
        disk=SystemDisk(),
    )
    try:
        server = WitnessServer(watching, host=host, port=port)
        say(f"Witness {name} listens at {server.address}; its public key is {watching.verifier_key.text}")
        server.run(stop)
    finally:
        watching.close()


def keeper_of(settings: Settings) -> "TreeKeeper":
    """The trees of this machine, with the witness that the settings name.

    Errors
        InvalidRequest when only half of a witness is named, or a part of it can't be one
    """
    from controlplane.journal.tree.cosigner import Cosigner
    from controlplane.journal.tree.keeper import TreeKeeper
    from controlplane.journal.tree.notes import parse_key

    if bool(settings.witness_address) != bool(settings.witness_key):
        raise InvalidRequest(
            "Expected CONTROLPLANE_WITNESS_ADDRESS and CONTROLPLANE_WITNESS_KEY together, found one of them; a "
            "signature that can't be judged is worth nothing."
        )
    cosigner = None
    if settings.witness_address:
        cosigner = Cosigner(settings.witness_address, parse_key(settings.witness_key))
    return TreeKeeper(settings.state_directory, origin=settings.log_origin, cosigner=cosigner)


def drain_once(settings: Settings, keeper: "TreeKeeper", *, as_json: bool) -> int:
    """Sign what is there, copy what is there; the exit status."""
    while keeper.grow_all(is_due=True):
        pass
    keeper.cosign_all()
    keeper.leave_status()
    with ExitStack() as stack:
        copying = open_drain(settings, stack)
        progress = copying.run_once()
        while progress.copied:
            show(progress, as_json=as_json)
            progress = copying.run_once()
        say(json.dumps({"copied": 0, "lag": progress.lag_records}) if as_json else progress.line())
    problems = [*progress.problems, *problems_of(keeper.progress)]
    if not as_json:
        for problem in problems:
            say(problem)
    return EXIT_NO if problems or progress.lag_records else 0


def drain_until(stop: threading.Event, settings: Settings, keeper: "TreeKeeper", *, as_json: bool) -> None:
    """Sign and copy until the event is set; signing needs no database and doesn't wait for one."""
    growing = threading.Thread(target=keeper.run, args=(stop,), name="trees")
    growing.start()
    told = ""
    try:
        while not stop.is_set():
            try:
                with ExitStack() as stack:
                    open_drain(settings, stack).run(stop, lambda progress: show(progress, as_json=as_json))
            except DependencyError as error:
                if str(error) != told:
                    told = str(error)
                    say(json.dumps({"problem": told}) if as_json else f"{told} Logs are signed meanwhile.")
                stop.wait(DATABASE_RETRY_SECONDS)
    finally:
        stop.set()
        growing.join()


def open_drain(settings: Settings, stack: ExitStack) -> "Drain":
    """The copying into PostgreSQL, which is started where it is ours to start; ends with the stack.

    Errors
        DatabaseUnavailable when there is none
    """
    from controlplane.journal.drain import Drain
    from controlplane.runtime import postgres
    from controlplane.runtime.database import Database

    cluster = stack.enter_context(postgres.start(settings.postgres_directory, dsn=dsn_of(settings)))
    database = stack.enter_context(Database(cluster.dsn))
    database.migrate()
    copying = Drain(settings.state_directory, database)
    stack.callback(copying.close)
    return copying


def show(progress: "DrainProgress", *, as_json: bool) -> None:
    """Say what a round did, where it did something or could not."""
    if progress.copied or not progress.is_database_reachable:
        say(json.dumps({"copied": progress.copied, "lag": progress.lag_records}) if as_json else progress.line())


def say_status(settings: Settings, *, as_json: bool) -> int:
    """Where the trees of this machine stand as their drain wrote it; the exit status."""
    from dataclasses import asdict

    from controlplane.journal.tree.status import read_status

    written_ns, progress = read_status(settings.state_directory)
    if as_json:
        say(json.dumps({"written_ns": str(written_ns), "logs": [asdict(one) for one in progress]}, sort_keys=True))
    elif not written_ns:
        say(f"No drain has run on {settings.state_directory} yet.")
    for one in () if as_json else progress:
        cosigned = f", {one.cosigned_size} witnessed" if one.cosigned_size else ""
        say(f"{one.log}: {one.size} records signed{cosigned}; key {one.key}")
    problems = problems_of(progress)
    for problem in () if as_json else problems:
        say(problem)
    return EXIT_NO if problems else 0


def problems_of(progress: "tuple[TreeProgress, ...]") -> list[str]:
    """Everything that keeps a log from being signed or witnessed."""
    return [text for one in progress for text in (one.problem, one.cosign_problem) if text]


def keys_of(texts: list[str]) -> "list[VerifierKey]":
    """The keys that texts hold, or files of them, one a line; lines that begin with # are remarks.

    Errors
        InvalidRequest for what is neither a key nor a file of keys
    """
    from controlplane.journal.tree.notes import parse_key

    keys = []
    for text in texts:
        lines = Path(text).read_text("utf-8").splitlines() if Path(text).is_file() else [text]
        keys += [parse_key(line) for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise InvalidRequest("Expected at least one public key, found none; `controlplane drain --status` shows them.")
    return keys
