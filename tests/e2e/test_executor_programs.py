"""Gate, venue and executor as programs: orders from the shell and the web, bad ones refused, an orderly end."""

import json
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx2
import pytest

from executor import app
from executor.cli import main
from executor.engine.recovery import records_of
from executor.scenarios.proof import prove
from tests.support.gate_process import eventually
from tests.support.programs import Machine, Program, machine, one_sentence

pytestmark = pytest.mark.xdist_group("executor-programs")

EXECUTOR = "executor.cli"
ORDER = ("--instrument", "ETH-PERP", "--side", "buy", "--quantity", "8", "--strategy", "twap", "--minutes", "0.2",
         "--parameter", "slices=3", "--wait", "30")  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with a gate and a venue, without database and service."""
    with machine(tmp_path_factory.mktemp("programs") / "state") as made:
        made.start_gate()
        made.start("venue", "venue", module=EXECUTOR).wait_until("venue_ready")
        yield made


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Return a function from a command's arguments to its status and what it said on standard error."""

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return int(str(ended.value.code)), capsys.readouterr().err

    return run


def running(place: Machine, *arguments: str) -> Program:
    program = place.start("executor", "run", *arguments, module=EXECUTOR)
    program.wait_until("intake_ready" if "--http-port" in arguments else "executor_ready")
    return program


def log_of(place: Machine) -> Path:
    return place.state_directory / "journal" / "executor-0"


def finished(place: Machine, parent_id: str) -> list[Mapping[str, object]]:
    """Return the records of a parent's end, one at most."""
    return [
        one for one in records_of(log_of(place)) if one["kind"] == "ParentFinished" and one["parent_id"] == parent_id
    ]


def requested(place: Machine) -> int:
    """Return how many children were asked for so far."""
    return sum(record["kind"] == "ChildRequested" for record in records_of(log_of(place)))


@pytest.mark.parametrize(("strategy", "volumes"), [("twap", []), ("vwap", ["1", "1", "1"])])
def test_order_from_the_shell_is_worked_to_its_end_and_its_cost_is_told(
    place: Machine, strategy: str, volumes: list[str]
) -> None:
    program = running(place, "--parents", "1")

    submitted = place.run("submit", *ORDER, "--strategy", strategy, "--json", module=EXECUTOR)
    assert submitted.returncode == 0, submitted.stderr
    assert submitted.returncode == 0, submitted.stderr + program.output()
    parent_id = json.loads(submitted.stdout)["parent_id"]
    assert program.process.wait(timeout=60) == 0

    (accepted,) = (
        one for one in records_of(log_of(place)) if one["kind"] == "ParentAccepted" and one["parent_id"] == parent_id
    )
    (end,) = finished(place, parent_id)
    assert accepted["expected_volumes"] == volumes
    assert (end["ordered_lots"], end["filled_lots"]) == (8_000, 8_000)
    cost = place.run("tca", parent_id, "--json", module=EXECUTOR)
    assert all(json.loads(cost.stdout)["sums"].values())
    assert prove(log_of(place), place.gate_journal).faults == ()


def test_order_from_the_web_is_taken_and_the_same_reference_is_the_same_order(place: Machine) -> None:
    program = running(place, "--http-port", "0")
    address = re.findall(r"http://[0-9.:]+", program.output())[-1]
    body = {
        "instrument": "ETH-PERP",
        "side": "sell",
        "quantity": "2",
        "strategy": "pov",
        "minutes": "0.1",
        "reference": "w-1",
    }

    eventually(lambda: httpx2.post(f"{address}/parents", json=body).status_code == 202, seconds_max=20)
    again = httpx2.post(f"{address}/parents", json=body)
    twice = httpx2.post(
        f"{address}/parents", content=b'{"side":"buy","side":"sell"}', headers={"content-type": "application/json"}
    )
    unknown = httpx2.post(f"{address}/parents", json=body | {"instrument": "NOPE", "reference": "w-2"})
    other = httpx2.post(f"{address}/parents", json=body | {"quantity": "3"})
    untyped = httpx2.post(f"{address}/parents", content=b"{}", headers={"content-type": "text/plain"})

    assert again.status_code == 202
    accepted = [record for record in records_of(log_of(place)) if record.get("reference") == "w-1"]
    assert [record["parent_id"] for record in accepted] == [again.json()["parent_id"]]
    assert (twice.status_code, unknown.status_code, other.status_code, untyped.status_code) == (400, 404, 409, 415)
    assert "found another quantity_lots; give a new order a reference of its own" in other.json()["detail"]
    # The next program would end this block first, and with it itself.
    eventually(lambda: finished(place, again.json()["parent_id"]) != [], seconds_max=30)
    assert program.end() == 0


def test_second_executor_ends_with_one_sentence_and_the_first_keeps_its_gate(place: Machine) -> None:
    program = running(place)

    second = place.run("run", module=EXECUTOR)

    assert second.returncode != 0
    assert "only writer" in second.stderr
    assert one_sentence(second.stderr)
    assert "connected again" not in place.programs[0].output()  # the gate
    assert program.end() == 0


def test_operator_cancels_a_parent_and_its_children_leave_the_venue(place: Machine) -> None:
    program = running(place, "--parents", "1")
    submitted = place.run(
        "submit", "--instrument", "ETH-PERP", "--side", "buy", "--quantity", "50", "--strategy", "twap",
        "--minutes", "5", "--parameter", "slices=1", "--parameter", "patience_bps=10000", "--parameter",
        "cross_bps=10000", "--limit-price", "2900", "--wait", "30", "--json", module=EXECUTOR,
    )  # fmt: skip
    assert submitted.returncode == 0, submitted.stderr + program.output()
    parent_id = json.loads(submitted.stdout)["parent_id"]

    spoken = place.run("command", parent_id, "cancel", "--reason", "client left", "--by", "olga", module=EXECUTOR)

    assert spoken.returncode == 0, spoken.stderr
    assert program.process.wait(timeout=30) == 0
    (end,) = finished(place, parent_id)
    assert (end["state"], end["reason"], end["working_lots"]) == ("cancelled", "client left", 0)


def test_executor_told_to_stop_cancels_what_works_and_goes_on_at_the_next_start(place: Machine) -> None:
    program = running(place)
    submitted = place.run(
        "submit", "--instrument", "ETH-PERP", "--side", "buy", "--quantity", "30", "--strategy", "twap",
        "--minutes", "0.4", "--parameter", "slices=2", "--parameter", "patience_bps=9000", "--limit-price",
        "2900", "--wait", "30", "--json", module=EXECUTOR,
    )  # fmt: skip
    assert submitted.returncode == 0, submitted.stderr + program.output()
    parent_id = json.loads(submitted.stdout)["parent_id"]
    time.sleep(1.0)

    assert program.end(signal.SIGTERM) == 0
    assert "left_working=0" in program.output()
    again = running(place, "--parents", "1")

    assert again.process.wait(timeout=60) == 0
    (end,) = finished(place, parent_id)
    assert (end["state"], end["cancelled_lots"], end["working_lots"]) == ("expired", 30_000, 0)
    assert prove(log_of(place), place.gate_journal).faults == ()


def test_kill_from_the_shell_cancels_what_works(place: Machine) -> None:
    program = running(place)
    submitted = place.run(
        "submit", "--instrument", "ETH-PERP", "--side", "sell", "--quantity", "40", "--strategy", "twap",
        "--minutes", "5", "--parameter", "slices=1", "--parameter", "patience_bps=10000", "--parameter",
        "cross_bps=10000", "--limit-price", "3100", "--wait", "30", module=EXECUTOR,
    )  # fmt: skip
    assert submitted.returncode == 0, submitted.stderr
    eventually(lambda: len(place.control().control("working")["rows"]) == 1, seconds_max=20)
    before = requested(place)

    killed = place.run("kill", "--reason", "drill", "--by", "olga")

    assert killed.returncode == 0, killed.stderr
    eventually(lambda: place.control().control("working")["rows"] == [], seconds_max=10)
    time.sleep(0.5)
    assert requested(place) == before
    assert program.end() == 0
    assert prove(log_of(place), place.gate_journal).faults == ()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("submit", *ORDER[:5], "NaN", *ORDER[6:]), 2, "quantity must be plain decimal digits"),
        (("submit", *ORDER, "--venue", "NOPE"), 2, "No route of the limits"),
        (("submit", "--file", "/nowhere.json"), 2, "can't be read"),
        (("submit", *ORDER[:-1], "0.2"), 1, "No executor took the order"),
        (("run", "--venue", "NOPE"), 2, "Venue 'NOPE' is unknown"),
        (("run", "--parents", "many"), 2, "parents must be plain decimal digits"),
        (("command", "12", "pause", "--reason", "x", "--by", "y"), 2, "16 lower-case hexadecimal digits"),
        (("command", "0" * 16, "explode", "--reason", "x", "--by", "y"), 2, "operation must be one of"),
        (("tca", "0" * 15 + "1"), 2, "is not in"),
        (("venue", "--name", "BINANCE-SIM"), 2, "needs a venue with one perpetual and one option"),
        (("venue",), 1, "found a venue that listens there"),
        (("tca", "--nonsense"), 2, "No such option"),
    ],
)
def test_bad_input_gets_one_sentence_and_its_status(
    place: Machine, told: Callable[..., tuple[int, str]], arguments: tuple[str, ...], status: int, says: str
) -> None:
    ended, sentence = told(*arguments, "--state", str(place.state_directory))

    assert ended == status, sentence
    assert says in sentence
    assert one_sentence(sentence)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"instrument":"ETH-PERP","side":"buy","side":"sell"}', "'side' occurs twice"),
        (b'{"instrument":"ETH-PERP","side":"buy","quantity":NaN,"strategy":"twap"}', "finite, found NaN"),
        (
            b'{"instrument":"ETH-PERP","side":"buy","quantity":"1","strategy":"twap","colour":"red"}',
            "'colour' is no field",
        ),
        (b"x" * 20_000, "at most 16384 bytes"),
        (b"{", "one JSON object"),
        (b"\xff", "UTF-8"),
        (b"[" * 9_000, "JSON object"),
        (b'{"instrument":"ETH-PERP","side":"buy","quantity":"1e400","strategy":"twap"}', "plain decimal digits"),
    ],
)
def test_bad_order_file_gets_one_sentence_and_status_two(
    place: Machine, told: Callable[..., tuple[int, str]], tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "order.json").write_bytes(content)

    ended, sentence = told("submit", "--file", str(tmp_path / "order.json"), "--state", str(place.state_directory))

    assert ended == 2
    assert says in sentence
    assert one_sentence(sentence)


def test_executor_without_a_gate_says_so(
    told: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "CONNECT_SECONDS_MAX", 0.2)

    ended, sentence = told("run", "--state", str(tmp_path / "state"))

    assert ended == 1
    assert "controlplane gate" in sentence
    assert one_sentence(sentence)
