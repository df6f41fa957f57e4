"""Commands that make the record provable and judge it: sign and copy it, witness another machine's, verify, prove."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane import cli
from controlplane.domain.clock import SystemClock
from controlplane.domain.errors import DependencyError, InvalidRequest
from controlplane.runtime.settings import Settings
from controlplane.terminal import EXIT_NO, EXIT_UNWELL, Json, State, dsn_of, say, settings_of, stop_on_signals

if TYPE_CHECKING:
    # Imported where they run: a command that needs neither loads neither.
    from controlplane.journal.drain import Drain, DrainProgress
    from controlplane.journal.tree.keeper import TreeKeeper
    from controlplane.journal.tree.notes import VerifierKey
    from controlplane.journal.tree.status import TreeProgress
    from controlplane.journal.verify import VerifyReport
    from controlplane.verifier.judging import Verdict

DATABASE_RETRY_SECONDS = 5.0


def register(application: typer.Typer) -> None:
    """Give the program these commands."""
    for command in (drain, witness, verify, prove, export, prune):
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


def verify(
    directory: Annotated[
        Path | None,
        typer.Argument(help="A journal, a log, a state directory or a .tlog-proof; this machine's when left out."),
    ] = None,
    public_key: Annotated[
        list[str] | None, typer.Option(help="Key of the log or of a witness, or a file of keys; repeat.")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="An older checkpoint that you kept.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop then, and say how far it came.", min=0)] = None,
    as_json: Json = False,
) -> None:
    """Judge the record without the database: checksums, chain, signed tree, witness, contents; name the first bad."""
    from controlplane.journal.verify import verify_journal
    from controlplane.verifier.journals import logs_in, old_of, read_keys
    from controlplane.verifier.judging import judge, judge_proof
    from controlplane.verifier.keys import NoKey
    from controlplane.verifier.notes import NoteWrong

    named = directory if directory is not None else settings_of(None).state_directory
    deadline = None if seconds is None else time.monotonic() + seconds
    try:
        keys = read_keys(public_key or [])
        if named.is_file():
            problem = judge_proof(named.read_bytes(), keys=keys)
            say(json.dumps({"is_sound": not problem, "problem": problem}) if as_json else problem or "Proved.")
            raise typer.Exit(EXIT_NO if problem else 0)
        logs = logs_in(named)
        olds = old_of(logs, None if checkpoint is None else checkpoint.read_bytes())
    except (NoKey, NoteWrong) as error:
        raise InvalidRequest(str(error)) from None
    if not logs:
        raise InvalidRequest(f"Expected a journal in {named}, found no segment; name the directory of a log.")
    found = []
    for log, old in zip(logs, olds, strict=True):
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        proof = judge(log, keys=keys, old=old, seconds_max=left)
        # A log whose segments are gone has a proof to fail and no contents to report.
        reports = verify_journal(log, is_time_over=is_over(deadline)) if has_segments(log) else ()
        found.append((proof, reports))
    raise typer.Exit(say_verdicts(found, as_json=as_json))


def prove(
    place: Annotated[str, typer.Argument(help="The record, written gate-0.512: its log and its sequence.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; <place>.tlog-proof when left out.")] = None,
    state: State = None,
) -> None:
    """Write a file that proves one record by itself, for whoever has the public keys and nothing else."""
    from controlplane.journal.service import parse_place
    from controlplane.journal.tree.entry_proof import PROOF_SUFFIX, entry_proof

    wanted = parse_place(place)
    target = out or Path(place + PROOF_SUFFIX)
    target.write_bytes(entry_proof(settings_of(state).journal_directory / wanted.log, wanted.seq))
    say(f"{target}: judge it with `controlplane verify {target} --public-key ...`.")


def export(
    directory: Annotated[
        Path | None, typer.Argument(help="A journal, a log or a state directory; this machine's when left out.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="csv, parquet or json.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="Folder to be made; named after the moment when left out.")] = None,
    from_seq: Annotated[int, typer.Option("--from", help="First sequence.", min=1)] = 1,
    until_seq: Annotated[int | None, typer.Option("--to", help="Last sequence; all that is signed.", min=1)] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Write signed records as rows with a manifest of digests; the manifest's own digest goes on record."""
    from controlplane.journal.export import Wanted
    from controlplane.journal.export import export as export_rows
    from controlplane.journal.exports.forms import ExportFormat
    from controlplane.verifier.journals import logs_in

    if form not in list(ExportFormat):
        raise InvalidRequest(f"Expected the format csv, parquet or json, found {form[:20]!r}.", field="format")
    settings = settings_of(state)
    done = export_rows(
        Wanted(
            logs=tuple(logs_in(directory or settings.state_directory)),
            form=ExportFormat(form),
            from_seq=from_seq,
            until_seq=until_seq,
            by=cli.person(),
            environment=settings.environment.value,
        ),
        out or Path(time.strftime("export-%Y%m%dT%H%M%SZ", time.gmtime())),
        journal_directory=settings.journal_directory,
        clock=SystemClock(),
    )
    facts = {
        "directory": str(done.directory),
        "rows": done.rows,
        "manifest_sha256": done.manifest_sha256,
        "place": done.place,
    }
    say(
        json.dumps(facts, sort_keys=True)
        if as_json
        else f"{done.rows} rows in {done.directory}; manifest {done.manifest_sha256}, on record as {done.place}."
    )


def prune(
    log: Annotated[str, typer.Argument(help="Name of the log, such as gate-0.")],
    before: Annotated[int, typer.Option(help="Sequence of the first record that stays in reach.", min=2)],
    state: State = None,
) -> None:
    """Take old records out of reach, as the rule book allows; nothing is deleted, and every later proof holds."""
    from controlplane.journal.files.segment import check_log_name
    from controlplane.journal.retention import RetentionRules, retire
    from controlplane.policy.load import load_policies

    settings = settings_of(state)
    check_log_name(log)
    book = load_policies(settings.policy_directory).retention
    seq = retire(
        settings.journal_directory / log,
        before_seq=before,
        rules=RetentionRules(book.years, frozenset(book.legal_holds)),
        by=cli.person(),
        clock=SystemClock(),
    )
    say(f"Records 1 to {before - 1} of {log} are out of reach; on record as evidence-0.{seq}.")


def say_verdicts(found: "list[tuple[Verdict, tuple[VerifyReport, ...]]]", *, as_json: bool) -> int:
    """Say what was found about each log; the exit status."""
    is_sound = all(proof.is_sound and all(report.is_sound for report in reports) for proof, reports in found)
    is_complete = all(proof.is_complete and all(report.is_complete for report in reports) for proof, reports in found)
    if as_json:
        logs = [
            {**(reports[0].document() if reports else {"log": proof.log}), "proof": proof.document()}
            for proof, reports in found
        ]
        say(json.dumps({"is_sound": is_sound, "is_complete": is_complete, "logs": logs}, sort_keys=True))
    else:
        for proof, reports in found:
            for line in (*(line for report in reports for line in report.lines()), *proof.lines()):
                say(line)
    return EXIT_NO if not is_sound else 0 if is_complete else EXIT_UNWELL


def is_over(deadline: float | None) -> Callable[[], bool] | None:
    """What says whether a moment of the machine's clock has passed."""
    return None if deadline is None else lambda: time.monotonic() > deadline


def has_segments(log: Path) -> bool:
    """Whether a log's directory holds anything to report on."""
    return next(log.glob("*.seg"), None) is not None


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
