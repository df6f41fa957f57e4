"""A recorded session decided again, as an auditor does it: on another machine, in other surroundings, word for word."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from controlplane.domain.orders import CommandKind
from controlplane.journal import record
from controlplane.journal.reader import scan
from controlplane.journal.record import RecordKind
from tests.support.journal import content_of, copy_of, rewrite_word
from tests.support.policies import shipped_files, write_files
from tests.support.programs import REPOSITORY

pytestmark = pytest.mark.xdist_group("replay")

BINANCE = "../shared/data/binance_l2_trades_raw_ws"
SECONDS_MAX = 300
# Everything of a process that could leak into a decision: the order of sets, the language, the time zone.
SURROUNDINGS = (
    {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "UTC"},
    {"PYTHONHASHSEED": "4711", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"},
    {"PYTHONHASHSEED": "1", "LC_ALL": "de_DE.UTF-8", "TZ": "America/St_Johns"},
)


def run(module: str, *arguments: str, surroundings: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CONTROLPLANE_")}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY,
        env=clean | (surroundings or {}),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def trade(state: Path, surroundings: dict[str, str] | None = None) -> Path:
    """Return the log of the gate after a whole recorded session was traded."""
    done = run(
        "executor.cli", "replay", "--data", BINANCE, "--instrument", "BTCUSDT", "--side", "sell", "--quantity", "40",
        "--strategy", "pov", "--state", str(state), "--json", surroundings=surroundings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return state / "journal" / "gate-0"


@pytest.fixture(scope="module")
def session(recorded_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of one traded session."""
    return trade(tmp_path_factory.mktemp("session") / "state", SURROUNDINGS[0])


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The answer of `replay --json` without what only says how fast it was."""
    found: dict[str, Any] = json.loads(done.stdout)
    for log in found["logs"]:
        assert log.pop("speed")["records_per_second"] > 0
    return found


@pytest.mark.case("GATE-130")
def test_session_recomputes_to_identical_bytes_in_other_surroundings(session: Path) -> None:
    done = [run("controlplane.cli", "replay", str(session), "--json", surroundings=one) for one in SURROUNDINGS]

    assert [one.returncode for one in done] == [0] * len(SURROUNDINGS), done[0].stderr
    answers = [document(one) for one in done]
    assert answers[1:] == answers[:1] * (len(SURROUNDINGS) - 1)
    assert answers[0]["is_identical"]
    log = answers[0]["logs"][0]
    assert log["records"] == sum(1 for _ in scan(session))
    assert log["decisions"]["ALLOWED"] > 50


@pytest.mark.case("GATE-130")
def test_session_traded_again_in_other_surroundings_leaves_the_same_record(session: Path, tmp_path: Path) -> None:
    again = trade(tmp_path / "state", SURROUNDINGS[1])

    assert content_of(again) == content_of(session)


def test_first_difference_is_one_sentence_and_ends_the_command(session: Path, tmp_path: Path) -> None:
    altered = copy_of(session, tmp_path / "gate-0")
    seqs = [one.seq for one in scan(altered) if not one.is_json and one.entry[0] == RecordKind.ORDER_DECIDED]
    for seq in seqs[10:12]:
        rewrite_word(altered, seq, record.WORD_MEASURED, 1)

    told = run("controlplane.cli", "replay", str(altered))
    as_json = run("controlplane.cli", "replay", str(altered), "--json")

    assert (told.returncode, as_json.returncode) == (1, 1)
    assert f"Record {seqs[10]} doesn't recompute: measured is recorded as 1 and recomputed as" in told.stdout
    assert len(told.stdout.strip().splitlines()) == 1
    assert json.loads(as_json.stdout)["logs"][0]["difference"]["seq"] == seqs[10]


@pytest.mark.case("EVIDENCE-40")
def test_rule_book_that_was_in_force_recomputes_and_another_is_named(session: Path, tmp_path: Path) -> None:
    files = shipped_files()
    desks = files["limits/desks.toml"].replace(b"live_orders_max = 250", b"live_orders_max = 251", 1)
    other = write_files(tmp_path / "other", files | {"limits/desks.toml": desks})

    same = run("controlplane.cli", "replay", str(session), "--limits", "policies")
    wrong = run("controlplane.cli", "replay", str(session), "--limits", str(other))

    assert (same.returncode, wrong.returncode) == (0, 1), same.stdout + same.stderr
    assert "live_orders_max is recorded as 250 and recomputed as 251" in wrong.stdout


def test_session_under_other_limits_is_told_for_people_and_for_programs(session: Path, tmp_path: Path) -> None:
    files = shipped_files()
    tighter = files["limits/strategies.toml"].replace(b'order_quantity_max = "10"', b'order_quantity_max = "1"')
    other = write_files(tmp_path / "other", files | {"limits/strategies.toml": tighter})
    lots = [
        record.entry_words(one.entry)[record.WORD_QUANTITY_LOTS]
        for one in scan(session)
        if not one.is_json and one.entry[0] == RecordKind.ORDER_DECIDED and one.entry[1] == CommandKind.NEW
    ]

    told = run("controlplane.cli", "whatif", str(session), "--limits", str(other))
    as_json = run("controlplane.cli", "whatif", str(session), "--limits", str(other), "--json")
    same = run("controlplane.cli", "whatif", str(session), "--limits", "policies", "--json")

    assert (told.returncode, as_json.returncode, same.returncode) == (0, 0, 0), told.stderr + same.stderr
    larger = sum(one > 1_000 for one in lots)
    assert 0 < larger < len(lots)
    found = json.loads(as_json.stdout)["logs"][0]
    assert found["would_be_denied"]["by_code"] == {"ORDER_QUANTITY_ABOVE_LIMIT": larger}
    assert found["would_be_denied"]["by_level"] == {"strategy": larger}
    assert found["left_out"]["fills"] > 0
    assert f"Allowed then, would be denied: {larger} of" in told.stdout
    assert all(sentence in told.stdout for sentence in found["treatment"])
    assert json.loads(same.stdout)["logs"][0]["would_be_denied"]["count"] == 0


def test_folder_without_a_gates_log_is_refused_in_one_sentence(session: Path, tmp_path: Path) -> None:
    executor = run("controlplane.cli", "replay", str(session.parent / "executor-0"))
    empty = run("controlplane.cli", "replay", str(tmp_path))

    assert (executor.returncode, empty.returncode) == (1, 1)
    assert "found executor-0" in executor.stderr
    assert "found no segment" in empty.stderr
