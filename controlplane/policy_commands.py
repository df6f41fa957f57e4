"""Commands about the rule book, before a gate has it: what is wrong with it, and what another one would change."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from controlplane.domain.clock import SystemClock
from controlplane.terminal import EXIT_NO, Json, say, settings_of

Folder = Annotated[Path | None, typer.Argument(help="Folder with a rule book; the one in force when left out.")]


def register(application: typer.Typer) -> None:
    """Give the program these commands."""
    policies = typer.Typer(help="Judge a rule book before a gate has it.", no_args_is_help=True)
    for command in (lint, diff):
        policies.command()(command)
    policies.command("test")(run_cases)
    application.add_typer(policies, name="policy")


def lint(folder: Folder = None, as_json: Json = False) -> None:
    """Prove that every route meets every limit, and name limits that are dead or shadowed."""
    from controlplane.limits.lint import Fault, Finding, findings, prove
    from controlplane.policy.load import every_problem, parse_policies, read_files

    files = read_files(folder_of(folder))
    problems = every_problem(files)
    proof = None
    if problems:
        found = [Finding(Fault.REFUSED, one.partition(":")[0], "", one) for one in problems]
    else:
        policies = parse_policies(files)
        proof, found = prove(policies, as_of_ns=SystemClock().wall_ns())
        found += findings(policies)
    if as_json:
        document = {
            "is_clean": not found,
            "proof": None if proof is None else asdict(proof),
            "findings": [asdict(one) for one in found],
        }
        say(json.dumps(document, sort_keys=True))
    else:
        for one in found:
            say(f"{one.fault}: {one.sentence}")
        if proof is not None:
            places = f"{proof.routes} routes of {proof.instruments} instruments at {proof.scopes} scopes"
            limits = f"{proof.limits} limits, counted in {proof.currencies} currencies"
            say(f"{places} meet {limits}; {len(found)} findings.")
    raise typer.Exit(EXIT_NO if found else 0)


def diff(
    old: Annotated[Path, typer.Argument(help="Folder with the rule book in force.")],
    new: Annotated[Path, typer.Argument(help="Folder with the one proposed.")],
    as_json: Json = False,
) -> None:
    """Class every changed line as tightening, loosening or neutral; exit status 1 when one loosens."""
    from controlplane.limits.change import Effect, changes, effect_of
    from controlplane.policy.load import contents_of, policies_of, read_files

    before, after = (contents_of(read_files(folder)) for folder in (old, new))
    for contents in (before, after):
        policies_of(contents)
    found = changes(before, after)
    effect = effect_of(found)
    if as_json:
        say(json.dumps({"effect": effect, "changes": [asdict(one) for one in found]}, sort_keys=True))
    else:
        for one in found:
            say(f"{one.effect:<10} {one.sentence()}")
        counts = ", ".join(f"{sum(one.effect is kind for one in found)} {kind}" for kind in Effect)
        say(f"{len(found)} changed lines: {counts}; as a whole {effect}.")
    raise typer.Exit(EXIT_NO if effect is Effect.LOOSENING else 0)


def run_cases(folder: Folder = None, as_json: Json = False) -> None:
    """Run the cases beside a rule book: orders that must pass do, and orders that must not get their denial."""
    from controlplane.limits import cases
    from controlplane.limits.compile import compile_snapshot
    from controlplane.policy.load import load_cases, load_policies

    named = folder_of(folder)
    policies = load_policies(named)
    results: list[cases.Result] = []
    for file, found in load_cases(named).items():
        snapshot = compile_snapshot(policies, as_of_ns=int(found.at.timestamp()) * 1_000_000_000, version=1)
        results += cases.run_cases(snapshot, file, found.route, found.cases)
    failing = [result.problem for result in results if result.problem]
    missing = cases.uncovered(results)
    if as_json:
        rows = [asdict(one) | {"holds": not one.problem} for one in results]
        say(json.dumps({"is_clean": not failing and not missing, "cases": rows, "missing": missing}, sort_keys=True))
    else:
        for sentence in (*failing, *missing):
            say(sentence)
        kinds = len({result.limit for result in results})
        say(f"{len(results)} cases of {kinds} kinds of limit: {len(results) - len(failing)} hold, {len(failing)} fail.")
    raise typer.Exit(EXIT_NO if failing or missing else 0)


def folder_of(folder: Path | None) -> Path:
    """The folder that a command was given; the one of the settings when none was."""
    return folder if folder is not None else settings_of(None).policy_directory
