"""The command `executor`: replay, run, venue, submit, command, tca.

Bad input ends with one sentence on standard error and status 2, a failure of our own with one sentence and status 1.
What people read comes out as text, what programs read as JSON with `--json`; progress goes to standard error.
"""

import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.domain.errors import (
    ControlPlaneError,
    FeedUnavailable,
    InvalidRequest,
    RequestError,
    UnknownReference,
)
from controlplane.domain.ids import from_text, to_text
from controlplane.domain.quantities import parse_decimal
from controlplane.runtime.settings import SHIPPED_POLICIES, Settings, load_settings

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130
SEED_MAX = (1 << 63) - 1

program = typer.Typer(
    help="Works parent orders: every child order through the gate.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
State = Annotated[Path | None, typer.Option("--state", help="State folder; CONTROLPLANE_STATE_DIRECTORY otherwise.")]
PoliciesFolder = Annotated[Path | None, typer.Option("--policies", help="Policy folder; the shipped one otherwise.")]
Instrument = Annotated[str | None, typer.Option("--instrument", help="Name of the instrument.")]
Side = Annotated[str | None, typer.Option("--side", help="buy or sell.")]
Quantity = Annotated[str | None, typer.Option("--quantity", help="In units of the instrument, such as 40.")]
Strategy = Annotated[str | None, typer.Option("--strategy", help="pov, twap, vwap or almgren-chriss.")]
Minutes = Annotated[str | None, typer.Option("--minutes", help="How long the order may take.")]
LimitPrice = Annotated[str | None, typer.Option("--limit-price", help="Worst price of any child.")]
ShareMax = Annotated[
    str | None, typer.Option("--participation-bps-max", help="Largest share of the market volume, in 1/100 per cent.")
]
Parameter = Annotated[
    list[str] | None, typer.Option("--parameter", help="Parameter of the strategy as name=value; may be repeated.")
]


@program.command()
def replay(
    data: Annotated[Path, typer.Option("--data", help="Folder of recordings.")],
    instrument: Instrument = None,
    side: Side = None,
    quantity: Quantity = None,
    strategy: Strategy = None,
    recording: Annotated[str | None, typer.Option("--recording", help="Name of one recording of the folder.")] = None,
    minutes: Minutes = None,
    limit_price: LimitPrice = None,
    participation_bps_max: ShareMax = None,
    parameter: Parameter = None,
    seed: Annotated[str, typer.Option("--seed", help="Of the venue's delays.")] = "0",
    state: Annotated[
        Path | None, typer.Option("--state", help="Keep journals here; a temporary folder otherwise.")
    ] = None,
    policies: PoliciesFolder = None,
    as_json: Json = False,
) -> None:
    """Work one parent order against a recorded market, through an embedded gate, and check everything afterwards."""
    from executor.scenarios.replay import ReplayOrder, run_replay
    from executor.scenarios.rule_book import open_rule_book

    fields = _fields(side=side, quantity=quantity, strategy=strategy, limit_price=limit_price,
                     participation_bps_max=participation_bps_max, minutes=minutes, parameter=parameter)  # fmt: skip
    order = ReplayOrder(
        data_directory=data,
        instrument=_given(instrument, "--instrument"),
        fields=fields,
        recording=recording,
        minutes=None if minutes is None else parse_decimal(minutes, field="minutes"),
        seed=_whole(seed, "--seed", low=0, high=SEED_MAX),
    )
    rule_book = open_rule_book(policies or SHIPPED_POLICIES)
    with _state_folder(state) as folder, _progress("replay") as progress:
        result = run_replay(order, rule_book, folder, progress)
    _show(result.document, as_json=as_json, as_text=_replay_text)
    for notice in result.notices:
        _complain(notice)
    if result.faults:
        _complain(result.faults[0])
        raise typer.Exit(FAILED)


@program.command()
def run(
    venue: Annotated[
        list[str] | None, typer.Option("--venue", help="Venue to trade at; NAME, or NAME=SOCKET; may be repeated.")
    ] = None,
    parents: Annotated[str, typer.Option("--parents", help="End after so many parent orders; 0 for never.")] = "0",
    http_port: Annotated[
        str | None, typer.Option("--http-port", help="Take orders at this loopback port too; 0 for any free one.")
    ] = None,
    state: State = None,
    policies: PoliciesFolder = None,
) -> None:
    """Run the executor: gate and venues over their sockets, orders from the inbox, until told to stop."""
    from controlplane.runtime.logs import configure_logs
    from executor.app import Executor, RunOptions, serving
    from executor.scenarios.rule_book import open_rule_book

    settings = _settings(state)
    configure_logs(level=settings.log_level, form=settings.log_format)
    rule_book = open_rule_book(policies or settings.policy_directory)
    options = RunOptions(
        state_directory=settings.state_directory,
        gate_socket=settings.gate_socket,
        venue_sockets=_venue_sockets(venue or ["DEMO-SIM"], settings, {route.venue for route in rule_book.routes}),
        durability=settings.durability,
        parents_max=_whole(parents, "--parents", low=0, high=1_000_000),
    )
    executor = Executor.open(options, rule_book.intake_rules())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: executor.stopping.set())
    if http_port is None:
        executor.run()
        return
    with serving(settings.state_directory / "executor", _whole(http_port, "--http-port", low=0, high=65_535)):
        executor.run()


@program.command()
def venue(
    name: Annotated[str, typer.Option("--name", help="Venue of the rule book; for a generated market.")] = "DEMO-SIM",
    data: Annotated[Path | None, typer.Option("--data", help="Play a recording of this folder instead.")] = None,
    instrument: Instrument = None,
    recording: Annotated[str | None, typer.Option("--recording", help="Name of one recording of the folder.")] = None,
    speed: Annotated[str, typer.Option("--speed", help="Pace of the recording; 2 plays it twice as fast.")] = "1",
    seed: Annotated[str, typer.Option("--seed", help="Of the generated market and the delays.")] = "1",
    cancel_on_hangup: Annotated[
        bool, typer.Option("--cancel-on-hangup", help="Cancel what works when the executor's connection ends.")
    ] = False,
    state: State = None,
    policies: PoliciesFolder = None,
) -> None:
    """Serve a simulated venue: a recorded or generated market that takes orders over a local socket."""
    from controlplane.domain.clock import SystemClock
    from controlplane.runtime.logs import configure_logs, get_logger
    from executor.scenarios.markets import made_market, open_venue, recorded_market, venue_socket
    from executor.scenarios.rule_book import open_rule_book

    settings = _settings(state)
    configure_logs(level=settings.log_level, form=settings.log_format)
    rule_book = open_rule_book(policies or settings.policy_directory)
    clock, number = SystemClock(), _whole(seed, "--seed", low=0, high=SEED_MAX)
    if data is None:
        market = made_market(rule_book, name, seed=number, clock=clock)
    else:
        pace = float(parse_decimal(speed, field="speed"))
        market = recorded_market(
            rule_book, data, _given(instrument, "--instrument"), recording, speed=pace, clock=clock
        )
    path = venue_socket(settings.gate_socket.parent, market.venue)
    server = open_venue(market, rule_book, path, clock=clock, seed=number, cancels_on_hangup=cancel_on_hangup)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: setattr(server, "is_stopping", True))
    get_logger("venue").info("venue_ready", venue=market.venue, socket=str(path), market=market.description)
    server.serve()


@program.command()
def submit(
    instrument: Instrument = None,
    side: Side = None,
    quantity: Quantity = None,
    strategy: Strategy = None,
    minutes: Minutes = None,
    limit_price: LimitPrice = None,
    participation_bps_max: ShareMax = None,
    parameter: Parameter = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="Your own key; the same key is one order.")
    ] = None,
    desk: Annotated[str | None, typer.Option("--desk", help="Desk that the order is for.")] = None,
    venue: Annotated[str | None, typer.Option("--venue", help="Venue to trade at.")] = None,
    entered_by: Annotated[str | None, typer.Option("--entered-by", help="Who hands it in.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", help="Take the order from a JSON file; - for standard input.")
    ] = None,
    wait: Annotated[str, typer.Option("--wait", help="Seconds to wait for the executor.")] = "10",
    state: State = None,
    policies: PoliciesFolder = None,
    as_json: Json = False,
) -> None:
    """Hand a parent order to the running executor and print its identifier."""
    from executor.intake.command_line import Inbox, read_order
    from executor.intake.rest import accept_parent
    from executor.scenarios.rule_book import open_rule_book

    settings = _settings(state)
    fields = _fields(
        instrument=instrument, side=side, quantity=quantity, strategy=strategy, minutes=minutes,
        limit_price=limit_price, participation_bps_max=participation_bps_max, parameter=parameter,
        reference=reference, desk=desk, venue=venue, entered_by=entered_by,
    )  # fmt: skip
    if file is not None:
        if fields:
            raise InvalidRequest(
                f"An order comes from --file or from options, found both --file and {', '.join(fields)}; drop one."
            )
        fields = read_order(file, sys.stdin.buffer.read(1 << 20) if file == "-" else None)
    accept_parent(fields, open_rule_book(policies or settings.policy_directory).intake_rules())
    seconds = float(parse_decimal(wait, field="wait"))
    inbox = Inbox(settings.state_directory / "executor")
    answer = inbox.wait(inbox.put(fields), seconds)
    _show(answer, as_json=as_json, as_text=lambda found: f"parent order {found['parent_id']} accepted\n")


@program.command()
def command(
    parent_id: Annotated[str, typer.Argument(help="Identifier of the parent order.")],
    operation: Annotated[str, typer.Argument(help="pause, resume or cancel.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "",
    by: Annotated[str, typer.Option("--by", help="Who; it is recorded.")] = "",
    wait: Annotated[str, typer.Option("--wait", help="Seconds to wait for the executor.")] = "10",
    state: State = None,
    as_json: Json = False,
) -> None:
    """Pause, resume or cancel one parent order of the running executor."""
    from executor.app import operator_word
    from executor.intake.command_line import Inbox

    fields = {"parent_id": parent_id, "operation": operation, "reason": reason, "by": by}
    operator_word(fields)
    inbox = Inbox(_settings(state).state_directory / "executor")
    answer = inbox.wait(inbox.put(fields), float(parse_decimal(wait, field="wait")))
    _show(
        answer,
        as_json=as_json,
        as_text=lambda found: f"{found['operation']} of parent order {found['parent_id']} recorded\n",
    )


@program.command()
def tca(
    parent_id: Annotated[str | None, typer.Argument(help="Identifier of a finished parent order.")] = None,
    state: State = None,
    policies: PoliciesFolder = None,
    as_json: Json = False,
) -> None:
    """Print what a finished parent order cost, reckoned from the journal alone."""
    from executor.scenarios.aftermath import cost_of, finished_parents
    from executor.scenarios.rule_book import open_rule_book

    settings = _settings(state)
    log = settings.journal_directory / "executor-0"
    finished = finished_parents(log)
    if parent_id is None and len(finished) != 1:
        raise UnknownReference(
            f"Expected the identifier of one parent order, found {len(finished)} finished in {log}: "
            f"{', '.join(to_text(one) for one in finished[:20]) or 'none'}; name one."
        )
    wanted = finished[0] if parent_id is None else from_text(parent_id)
    figures, text = cost_of(log, wanted, open_rule_book(policies or settings.policy_directory))
    _show(figures, as_json=as_json, as_text=lambda _: text)


def main(arguments: list[str] | None = None) -> None:
    """Run the command and end the process with its status."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        status = program(args=given or ["--help"], standalone_mode=False)
    except typer.Abort:
        _complain("Interrupted.")
        sys.exit(INTERRUPTED)
    except (RequestError, FeedUnavailable) as error:
        _complain(str(error))
        sys.exit(BAD_INPUT)
    except ControlPlaneError as error:
        _complain(str(error))
        sys.exit(FAILED)
    except BrokenPipeError:
        sys.exit(FAILED)
    except Exception as error:  # noqa: BLE001 - the outer edge of the process: one sentence, never a traceback
        # What the parser of options raises has no public class; it is known by being able to say what is wrong.
        usage = getattr(error, "format_message", None)
        if usage is not None:
            _complain(f"{usage().rstrip('.')}; see --help.")
            sys.exit(BAD_INPUT)
        _complain(f"The command failed on {type(error).__name__}: {error}; keep the state folder and report this.")
        sys.exit(FAILED)
    sys.exit(status if isinstance(status, int) else 0)


def _venue_sockets(wanted: list[str], settings: Settings, known: set[str]) -> dict[str, Path]:
    from executor.scenarios.markets import venue_socket

    sockets = {}
    for entry in wanted:
        name, separator, path = entry.partition("=")
        if name not in known:
            raise UnknownReference(
                f"Venue {name[:40]!r} is unknown to the rule book; known are {', '.join(sorted(known))}."
            )
        sockets[name] = Path(path) if separator else venue_socket(settings.gate_socket.parent, name)
    return sockets


def _settings(state: Path | None) -> Settings:
    settings = load_settings()
    return settings if state is None else settings.model_copy(update={"state_directory": state.expanduser().absolute()})


def _fields(*, parameter: list[str] | None, **given: str | None) -> dict[str, object]:
    """Return the fields of an order that were given as options."""
    fields: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    for entry in parameter or []:
        name, separator, value = entry.partition("=")
        if not separator or not name:
            raise InvalidRequest(f"--parameter must be written name=value, found {entry[:40]!r}.", field="parameter")
        parameters = fields.setdefault("parameters", {})
        if isinstance(parameters, dict) and name in parameters:
            raise InvalidRequest(f"The parameter {name[:40]!r} was given twice; give it once.", field="parameter")
        if isinstance(parameters, dict):
            parameters[name] = value
    return fields


def _given(value: str | None, option: str) -> str:
    if not value:
        raise InvalidRequest(f"The option {option} is needed; see --help.", field=option.lstrip("-"))
    return value


def _whole(text: str, option: str, *, low: int, high: int) -> int:
    value = parse_decimal(text, field=option.lstrip("-"))
    if value != int(value) or not low <= value <= high:
        raise InvalidRequest(
            f"{option} must be a whole number from {low} to {high}, found {text[:40]}.", field=option.lstrip("-")
        )
    return int(value)


@contextmanager
def _state_folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        folder = kept.expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="executor-replay-") as folder_name:
        yield Path(folder_name)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[float], None]]:
    """Yield a function that shows how far long work is, on standard error when somebody sits there."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _show(document: Mapping[str, Any], *, as_json: bool, as_text: Callable[[Mapping[str, Any]], str]) -> None:
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n" if as_json else as_text(document))


def _complain(sentence: str) -> None:
    sys.stderr.write(" ".join(sentence.split()) + "\n")


def _replay_text(document: Mapping[str, Any]) -> str:
    from executor.scenarios.aftermath import replay_text

    return replay_text(document)


if __name__ == "__main__":
    main()
