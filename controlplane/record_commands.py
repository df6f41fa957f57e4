"""Commands that read the record: whether it is sound, and whether every decision in it follows from what was asked."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.terminal import EXIT_NO, Json, say, settings_of

PROGRESS_SECONDS = 5.0

Record = Annotated[
    Path | None,
    typer.Argument(help="A journal, one log of it, or a state directory; this machine's when left out."),
]


def register(application: typer.Typer) -> None:
    """Give the program these commands."""
    for command in (replay, whatif):
        application.command()(command)


def replay(
    directory: Record = None,
    limits: Annotated[
        Path | None,
        typer.Option(help="Rule book that is said to have been in force; the recorded limits when left out."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide everything again: every word of every record of a gate must come out the same."""
    from controlplane.gate.replay import Replay, gate_logs
    from controlplane.limits.compile import compile_again
    from controlplane.policy.load import load_policies

    logs = gate_logs(journal_of(directory))
    policies = None if limits is None else load_policies(limits)
    documents = []
    for log in logs:
        started = time.perf_counter()
        pass_over = Replay(
            log,
            limits_of=None
            if policies is None
            else lambda recorded: compile_again(policies, recorded),
        )
        found = pass_over.run(None if as_json else progress_of(log.name)).document()
        documents.append({"log": log.name, **found, "speed": speed_of(found["records"], started)})
    is_identical = all(document["is_identical"] for document in documents)
    if as_json:
        say(json.dumps({"is_identical": is_identical, "logs": documents}, sort_keys=True))
    else:
        for document in documents:
            say(replay_line(document))
    raise typer.Exit(0 if is_identical else EXIT_NO)


def whatif(
    limits: Annotated[Path, typer.Option(help="Folder with the rule book to decide under.")],
    directory: Record = None,
    as_json: Json = False,
) -> None:
    """Decide the recorded requests under other limits: which orders would be denied or allowed, and by which limit."""
    from controlplane.gate.replay import gate_logs
    from controlplane.journal.reader import read_parts
    from controlplane.limits.compile import compile_again
    from controlplane.limits.whatif import lines, run_under
    from controlplane.policy.load import load_policies

    policies = load_policies(limits)
    documents = []
    for log in gate_logs(journal_of(directory)):
        started = time.perf_counter()
        found = run_under(
            lambda recorded: compile_again(policies, recorded),
            read_parts(log),
        )
        named = {"log": log.name, "limits": {"folder": str(limits), "digest": policies.digest}}
        documents.append({**named, **found.document(), "speed": speed_of(found.records, started)})
    if as_json:
        say(json.dumps({"logs": documents}, sort_keys=True))
        return
    for document in documents:
        for line in lines(document):
            say(line)


def replay_line(found: dict[str, Any]) -> str:
    """What the replay of one log found, in one sentence."""
    log, records = found["log"], found["records"]
    if not found["is_identical"]:
        return f"{log}: {found['problem']} {records:,} records before it recompute."
    decisions = ", ".join(f"{count:,} {name.lower()}" for name, count in found["decisions"].items())
    versions = ", ".join(str(version) for version in found["versions"]) or "none"
    return (
        f"{log}: every word of {records:,} records recomputes (decisions: {decisions}; limits {versions}; state digest "
        f"{found['digest']}; {found['speed']['records_per_second']:,} records a second)."
    )


def progress_of(log: str) -> Callable[[int], None]:
    """What says on a long run how far it has got."""
    started = told = time.perf_counter()

    def tell(records: int) -> None:
        nonlocal told
        now = time.perf_counter()
        if now - told >= PROGRESS_SECONDS:
            told = now
            say(f"{log}: {records:,} records so far, {records / (now - started):,.0f} a second")

    return tell


def speed_of(records: int, started: float) -> dict[str, float | int]:
    """How long a pass took, in seconds, and how many records that is in one."""
    seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 3), "records_per_second": round(records / seconds)}


def journal_of(directory: Path | None) -> Path:
    """The journal, or the one log, that a command was given; a state directory stands for its journal."""
    named = directory if directory is not None else settings_of(None).state_directory
    return named / "journal" if (named / "journal").is_dir() else named
