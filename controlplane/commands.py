"""Every command of `controlplane` but the fast path of `kill`: each says what it did in sentences, or as JSON.

Those that read the record stand in `record_commands.py`, those that prove it in `evidence_commands.py`; `terminal.py`
holds what all of them share.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane import cli
from controlplane.domain.clock import SystemClock
from controlplane.domain.errors import InvalidRequest
from controlplane.evidence_commands import register as register_evidence_commands
from controlplane.policy_commands import register as register_policy_commands
from controlplane.record_commands import register as register_record_commands
from controlplane.runtime.settings import Durability, Settings, load_settings
from controlplane.terminal import (
    Json,
    State,
    dsn_of,
    faults_as_sentences,
    say,
    settings_of,
    stop_on_signals,
    version_of,
)

application = typer.Typer(
    name="controlplane",
    help="Decides whether orders may leave, keeps the record, and lets people steer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bench_application = typer.Typer(help="Measure on this machine.", no_args_is_help=True)
application.add_typer(bench_application, name="bench")
register_record_commands(application)
register_evidence_commands(application)
register_policy_commands(application)


def run() -> int:
    """The exit status of the command that the arguments name."""
    with faults_as_sentences():
        application(prog_name="controlplane")
    return 0


@application.command()
def serve(
    port: Annotated[
        int | None, typer.Option(help="Port of the console; 0 takes any free one.", min=0, max=65535)
    ] = None,
    state: State = None,
) -> None:
    """Run the web service: console, REST, live pages and metrics."""
    from controlplane.app import serve as serve_web

    settings = settings_of(state)
    if port is not None:
        settings = settings.model_copy(update={"http_port": port})
    # The HTTP server ends on these signals and then raises them again; unheeded then, everything is closed in order.
    stop_on_signals()
    raise typer.Exit(serve_web(settings, show=say))


@application.command()
def gate(
    state: State = None,
    number: Annotated[int, typer.Option("--gate-id", help="Number of this gate.", min=0, max=255)] = 0,
) -> None:
    """Run the gate of this machine: decides every order and keeps the record."""
    from controlplane.gate.process import run_gate
    from controlplane.limits.compile import compile_snapshot
    from controlplane.policy.load import load_policies
    from controlplane.runtime.logs import configure_logs

    settings = settings_of(state)
    configure_logs(level=settings.log_level, form=settings.log_format)
    now_ns = SystemClock().wall_ns()
    policies = load_policies(settings.policy_directory)
    snapshot = compile_snapshot(
        policies, as_of_ns=now_ns, version=version_of(now_ns), has_supervisor=settings.gate_supervised
    )
    say(f"Gate {number}: limits {snapshot.version} compiled from {settings.policy_directory}.")
    status = run_gate(
        snapshot,
        state_directory=settings.state_directory,
        socket_path=settings.gate_socket,
        durability=settings.durability,
        gate_id=number,
        on_ready=lambda opened: say(
            f"Gate {number} answers at {settings.gate_socket}; run {opened.epoch}, fence {opened.fence()}, "
            f"{'KILLED: two people lift it' if opened.is_killed() else 'armed'}."
        ),
    )
    raise typer.Exit(status)


@application.command("compile")
def compile_ahead(state: State = None) -> None:
    """Compile the gate ahead of its first order: half a minute once for each version, nothing afterwards."""
    from controlplane.gate.gate import Gate
    from controlplane.limits.compile import compile_snapshot
    from controlplane.policy.load import load_policies

    clock, started = SystemClock(), time.monotonic()
    policies = load_policies(settings_of(state).policy_directory)
    snapshot = compile_snapshot(policies, as_of_ns=clock.wall_ns(), version=1)
    with tempfile.TemporaryDirectory(prefix="controlplane-compile-") as folder:
        # The second start runs the record of the first again, which is compiled code of its own.
        for _ in range(2):
            gate = Gate.open(snapshot, directory=Path(folder) / "gate", clock=clock, durability=Durability.PROCESS)
            gate.pass_time()
            gate.close()
    say(f"The gate is compiled ({time.monotonic() - started:.0f} s).")


@application.command(add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def kill(context: typer.Context) -> None:
    """Stop this machine at once; works with everything else down (see `controlplane kill --help`)."""
    raise typer.Exit(cli.kill(context.args))


@application.command()
def lift(
    reason: Annotated[str, typer.Option(help="Why it is safe now; kept in the record.")],
    by: Annotated[str, typer.Option(help="Account that asks.")],
    second: Annotated[str, typer.Option(help="Account that confirms: another person; empty to end a pause.")] = "",
    scope: Annotated[
        str, typer.Option(help="What to lift, written desk:crypto; the machine's kill when left out.")
    ] = "machine",
    passwords_from_input: Annotated[
        bool, typer.Option("--passwords-stdin", help="Read the passwords from standard input, a line each.")
    ] = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """End a kill or a halt: two different people, each with a password, and a reason."""
    from controlplane.gate.link import GateControl

    settings = settings_of(state)
    control = GateControl(settings.gate_socket)
    fence = control.control("status")["fence"]
    names = [name.strip().lower() for name in (by, second) if name.strip()]
    if len(names) == 2 and names[0] == names[1]:
        raise InvalidRequest(
            f"Expected two different people, found {by} twice; ask somebody else to confirm.", field="second"
        )
    people = confirmed_people(settings, names, ask=password_from_input if passwords_from_input else ask_password)
    answer = control.control(
        "lift",
        scope=scope,
        reason=reason,
        by=people[0],
        second=people[1] if len(people) > 1 else "",
        fence=fence,
        idempotency_key=str(time.time_ns()),
    )
    say(json.dumps(answer) if as_json else f"Lifted {scope}: {' and '.join(people)}; the gate is {answer['state']}.")


@application.command()
def status(state: State = None, as_json: Json = False) -> None:
    """Say how the gate of this machine is."""
    from controlplane.gate.link import GateControl

    found = GateControl(settings_of(state).gate_socket).control("status")
    if as_json:
        say(json.dumps(found, sort_keys=True))
        return
    expires = datetime.fromtimestamp(int(found["snapshot_expires_ns"]) / 1e9, UTC)
    decisions = ", ".join(f"{count} {name.lower()}" for name, count in found["decisions"].items()) or "none yet"
    latency = found["latency_ns"]
    say(f"Gate {found['gate_id']}: {found['state']}, run {found['epoch']}, fence {found['fence']}.")
    say(f"Limits {found['snapshot_version']}, valid until {expires:%Y-%m-%d %H:%M} UTC.")
    say(f"Decisions in this run: {decisions}; p50 {latency['p50'] / 1e3:.1f} us, p99 {latency['p99'] / 1e3:.1f} us.")
    say(f"Records: {found['records']}, durability {found['durability']}; live orders: {found['live_orders']}.")
    for stop in found["states"]:
        say(f"  {stop['scope']} is {stop['state']}: {stop['reason']} ({stop['by'] or 'gate'})")


@application.command()
def breakers(state: State = None, as_json: Json = False) -> None:
    """Say which breakers are open or half-open, which measures are unknown, and which limits are contracted."""
    from controlplane.gate.link import GateControl

    found = GateControl(settings_of(state).gate_socket).control("breakers")
    if as_json:
        say(json.dumps(found, sort_keys=True))
        return
    moved = [one for one in found["breakers"] if one["state"] != "CLOSED" or one["acts"] != "ACTIVE"]
    contracted = [one for one in found["factors"] if one["share_bps"] < 10_000]
    say(f"{len(found['breakers'])} breakers, {len(moved)} of them not closed; {len(contracted)} limits contracted.")
    for one in moved:
        unknown = ", measure unknown" if one["is_unknown"] else ""
        numbers = f"{one['measure'].lower()} {one['value']:,} against {one['limit']:,}"
        say(f"  {one['scope']} {one['breaker']} is {one['state']}, acts {one['acts']}: {numbers}{unknown}")
    for one in contracted:
        say(f"  {one['scope']} {one['factor']} leaves {one['share_bps'] / 100:.0f} % of the limits")


@bench_application.command("gate")
def bench_gate(
    orders: Annotated[int, typer.Option(help="Orders timed one by one.", min=1_000, max=2_000_000)] = 100_000,
    as_json: Json = False,
) -> None:
    """Time decisions: embedded with journal, the plain-Python reference, batches, and over the socket."""
    from controlplane.gate.bench.measure import measure
    from controlplane.limits.compile import compile_snapshot
    from controlplane.policy.load import load_policies

    settings = load_settings()
    now_ns = SystemClock().wall_ns()
    snapshot = compile_snapshot(load_policies(settings.policy_directory), as_of_ns=now_ns, version=version_of(now_ns))
    progress = (lambda _line: None) if as_json else say
    found = measure(snapshot, orders=orders, progress=progress)
    say(json.dumps(found, sort_keys=True) if as_json else "\n".join(bench_lines(found)))


@application.command()
def docs(as_json: Json = False) -> None:
    """Write the generated pages of docs/reference anew."""
    from controlplane.reference import rebuild

    written = [str(path) for path in rebuild(Path(__file__).resolve().parents[1])]
    say(json.dumps({"written": written}) if as_json else "\n".join(written) or "Every generated page was up to date.")


@application.command()
def demo(
    headless: Annotated[bool, typer.Option(help="Open no browser and end by itself.")] = False,
    seconds: Annotated[float | None, typer.Option(help="How long the orders may take.", min=10, max=3_600)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the generated market.", min=0)] = 7,
    as_json: Json = False,
) -> None:
    """Run everything on a generated market: a block of options beside a perpetual, with the console open."""
    from controlplane.demo import run_demo

    raise typer.Exit(run_demo(is_headless=headless, seconds_max=seconds, seed=seed, as_json=as_json))


def confirmed_people(settings: Settings, names: list[str], ask: Callable[[str], str]) -> list[str]:
    """The names, each confirmed by the password of its account.

    Errors
        NotPermitted for a wrong password or an unknown account; DatabaseUnavailable where the accounts can't be reached
    """
    from controlplane.identity.passwords import Passwords
    from controlplane.identity.service import Identity
    from controlplane.runtime import postgres
    from controlplane.runtime.database import Database

    with (
        postgres.start(settings.postgres_directory, dsn=dsn_of(settings)) as cluster,
        Database(cluster.dsn) as database,
    ):
        database.migrate()
        identity = Identity(
            database,
            # Who lifted, and why, is in the gate's own record; the web service's log has another writer.
            record=lambda _facts: None,
            clock=SystemClock(),
            passwords=Passwords(),
        )
        for name in names:
            identity.sign_out(identity.sign_in(name, ask(name), address="shell").secret)
    return names


def bench_lines(found: dict[str, Any]) -> list[str]:
    """The measurements for a terminal."""
    lines = [
        f"{name:<28} p50 {row['p50_ns']:>9,} ns   p99 {row['p99_ns']:>9,} ns" for name, row in found["timings"].items()
    ]
    parts = ", ".join(f"{name} {ns:,}" for name, ns in found["parts"].items())
    lines.append(f"{'parts of embedded, p50':<28} {parts}")
    lines.append(f"{'without CRC and permit':<28} p50 {found['without_crc_and_permit_p50_ns']:>9,} ns")
    small, large = found["states"]["small"], found["states"]["large"]
    lines.append(
        f"{large['instruments']:,} instruments, {large['working_orders']:,} working orders: p50 {large['p50_ns']:,} "
        f"ns; {small['instruments']:,} and {small['working_orders']:,}: {small['p50_ns']:,} ns"
    )
    lines.append(f"reference / embedded (p50): {found['ratio_p50']:.1f}")
    lines.append(f"sizes: {', '.join(f'{name} {count:,}' for name, count in found['sizes'].items())}")
    return lines


def ask_password(name: str) -> str:
    """What somebody typed, unseen."""
    return str(typer.prompt(f"Password of {name}", hide_input=True, err=True))


def password_from_input(name: str) -> str:
    """The next line of standard input.

    Errors
        InvalidRequest when there is none
    """
    line = sys.stdin.readline().rstrip("\n")
    if not line:
        raise InvalidRequest(
            f"Expected the password of {name} as a line of standard input, found none.", field="password"
        )
    return line
