"""`executor replay` as a person types it, on the recorded data beside the checkout."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from controlplane.domain.clock import NS_PER_S
from controlplane.policy.load import load_policies
from controlplane.runtime.settings import SHIPPED_POLICIES
from executor.cli import main
from executor.engine.recovery import records_of
from tests.support.programs import REPOSITORY, one_sentence

pytestmark = pytest.mark.xdist_group("replay")

BINANCE, LOBSTER = "../shared/data/binance_l2_trades_raw_ws", "../shared/data/lobster_nasdaq_2012-06-21"
SECONDS_MAX = 300
HOUR_NS = 3_600 * NS_PER_S
OPEN_NS = 1_340_285_400 * NS_PER_S
"""The recorded stock session opens at 13:30 UTC on 2012-06-21."""


def executor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "executor.cli", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )  # fmt: skip


def replayed(*arguments: str) -> dict[str, Any]:
    ended = executor("replay", *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def proven(found: dict[str, Any], quantity: str) -> None:
    """Check what a replay must show, whatever it traded."""
    lots = found["parent"]["lots"]
    places = ("filled", "working", "in_flight", "unplaced", "cancelled")
    assert found["order"]["quantity"].partition(".")[0] == quantity
    assert lots["ordered"] == sum(lots[place] for place in places) > 0
    assert lots["working"] == lots["in_flight"] == lots["unplaced"] == 0
    assert lots["filled"] > 0
    children = found["children"]
    assert children["requested"] == children["denied"] + children["refused"] + children["sent"]
    assert children["sent"] == children["allowed_decisions"] == children["spent_permits"] > 0
    assert [log["is_sound"] for log in children["journals"]] == [True, True]
    assert found["book"]["crossed"] == 0
    assert found["book"]["compared"] > 0
    assert found["faults"] == []


@pytest.mark.parametrize("strategy", ["pov", "twap", "vwap", "almgren-chriss"])
def test_perpetual_block_reconciles_under_every_strategy(recorded_data: Path, strategy: str) -> None:
    found = replayed(
        "--data", BINANCE, "--instrument", "BTCUSDT", "--side", "sell", "--quantity", "40", "--strategy",
        strategy,
    )  # fmt: skip

    proven(found, "40")
    assert found["recording"]["name"] == "usdm_btcusdt_20240808"
    assert "USD-margined perpetual of the latest day; --recording names another" in found["recording"]["choice"]
    assert found["book"]["mismatch_share"] == "0.000000"
    assert all(found["tca"]["sums"].values())
    assert found["cpu_seconds"] < 60


def test_stock_block_reconciles_and_its_book_is_the_recorded_one(recorded_data: Path) -> None:
    found = replayed(
        "--data", LOBSTER, "--instrument", "AMZN", "--side", "sell", "--quantity", "5000", "--strategy",
        "twap",
    )  # fmt: skip

    proven(found, "5000")
    assert found["book"]["mismatching"] == 0
    assert found["parent"]["state"] == "filled"


@pytest.mark.case("T8")
def test_stock_block_under_vwap_follows_the_curve_of_other_sessions_hour_by_hour(
    recorded_data: Path, tmp_path: Path
) -> None:
    """Six hours in slices of ten minutes: what is filled by each full hour is the curve's share, up to rounding."""
    found = replayed(
        "--data", LOBSTER, "--instrument", "AMZN", "--side", "sell", "--quantity", "5000", "--strategy",
        "vwap", "--minutes", "360", "--parameter", "slices=36", "--state", str(tmp_path / "kept"),
    )  # fmt: skip
    records = list(records_of(tmp_path / "kept" / "journal" / "executor-0"))
    start_ns, end_ns = int(found["order"]["start_ns"]), int(found["order"]["end_ns"])
    fills = [
        (int(str(record["exchange_ns"])) - start_ns, int(str(record["quantity_lots"])))
        for record in records
        if record["kind"] == "ReportReceived" and record["report"] == "FILLED"
    ]

    proven(found, "5000")
    weights = load_policies(SHIPPED_POLICIES).volume_curves["us-equities"].weights
    late_ns = start_ns - OPEN_NS
    whole = curve_until(weights, end_ns - OPEN_NS) - curve_until(weights, late_ns)
    for hour in range(1, 7):
        share = (curve_until(weights, late_ns + hour * HOUR_NS) - curve_until(weights, late_ns)) / whole
        filled_lots = sum(lots for at_ns, lots in fills if at_ns < hour * HOUR_NS)
        assert abs(filled_lots - share * 5_000) < 6, hour
        # Even slices would have done a sixth of it an hour; here the first hour alone is a third ahead of that.
        assert hour > 1 or filled_lots > 5_000 / 6 * 4 / 3
    (accepted,) = (record for record in records if record["kind"] == "ParentAccepted")
    assert isinstance(accepted["expected_volumes"], list)
    assert len(accepted["expected_volumes"]) == 36


def curve_until(weights: Sequence[int], after_open_ns: int) -> Fraction:
    """Return the weight of a curve of ten-minute bins up to a moment after the opening, by simple addition."""
    bins, part_ns = divmod(after_open_ns, 600 * NS_PER_S)
    return sum(weights[:bins]) + Fraction(weights[bins] * part_ns, 600 * NS_PER_S)


def test_vwap_inside_one_bin_of_the_curve_is_twap_fill_by_fill(recorded_data: Path) -> None:
    """The recording lies between 23:54 and midnight UTC, all of it in the curve's last half hour."""
    shaped, even = (
        replayed("--data", BINANCE, "--instrument", "BTCUSDT", "--side", "sell", "--quantity", "40",
                 "--strategy", strategy, "--minutes", "2")
        for strategy in ("vwap", "twap")
    )  # fmt: skip

    assert shaped["fingerprint"] == even["fingerprint"]
    assert shaped["tca"] == even["tca"]


def test_named_recording_and_minutes_are_taken_and_journals_are_kept(recorded_data: Path, tmp_path: Path) -> None:
    found = replayed(
        "--data", BINANCE, "--instrument", "BTCUSDT", "--side", "buy", "--quantity", "5", "--strategy",
        "twap", "--minutes", "1", "--recording", "usdm_btcusdt_20230404", "--parameter", "slices=4",
        "--state", str(tmp_path / "kept"),
    )  # fmt: skip

    proven(found, "5")
    assert found["recording"]["name"] == "usdm_btcusdt_20230404"
    assert int(found["order"]["end_ns"]) - int(found["order"]["start_ns"]) == 60_000_000_000
    assert (tmp_path / "kept" / "journal" / "gate-0" / "00000000.seg").exists()

    cost = executor("tca", "--state", str(tmp_path / "kept"), "--json")
    assert cost.returncode == 0, cost.stderr
    assert json.loads(cost.stdout)["total"] == found["tca"]["total"]


def test_report_for_people_shows_the_sum_and_the_parts(recorded_data: Path) -> None:
    ended = executor(
        "replay", "--data", BINANCE, "--instrument", "BTCUSDT", "--side", "sell", "--quantity", "2",
        "--strategy", "pov", "--minutes", "0.5",
    )  # fmt: skip

    assert ended.returncode == 0
    assert "parent     2.000 = filled" in ended.stdout
    assert "journal    gate-0: sound" in ended.stdout
    assert "shortfall " in ended.stdout


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"--quantity": "nan"}, "quantity must be plain decimal digits"),
        ({"--quantity": "-1"}, "quantity must be positive"),
        ({"--quantity": "40.00001"}, "off the grid of 0.001"),
        ({"--quantity": "1" + "0" * 30}, "plain decimal digits"),
        ({"--side": "up"}, "side must be buy or sell"),
        ({"--strategy": "magic"}, "Strategy 'magic' is unknown"),
        ({"--instrument": "DOGE"}, "Expected a recording of 'DOGE'"),
        ({"--data": "/nowhere"}, "Expected a folder of recordings at /nowhere"),
        ({"--recording": "none"}, "Expected a recording named 'none'"),
        ({"--minutes": "1e9"}, "minutes must be plain decimal digits"),
        ({"--seed": "x"}, "seed must be plain decimal digits"),
        ({"--parameter": "slices"}, "--parameter must be written name=value"),
        ({"--policies": "/nowhere"}, "/nowhere"),
        ({"--nonsense": "1"}, "No such option"),
        (
            {"--strategy": "vwap", "--recording": "spot_btcusdt_20240808"},
            "vwap needs the expected volume of BTCUSDT-SPOT, found no volume_curve of it in the rule book",
        ),
    ],
)
def test_bad_input_gets_one_sentence_and_status_two(
    recorded_data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    says: str,
) -> None:
    monkeypatch.chdir(REPOSITORY)
    usual = {"--data": BINANCE, "--instrument": "BTCUSDT", "--side": "sell", "--quantity": "40", "--strategy": "pov"}

    with pytest.raises(SystemExit) as ended:
        main(["replay", *(word for pair in (usual | changes).items() for word in pair)])

    output = capsys.readouterr()
    assert ended.value.code == 2
    assert says in output.err
    assert one_sentence(output.err)
    assert output.out == ""


def test_bad_input_of_a_program_is_no_traceback(recorded_data: Path) -> None:
    ended = executor("replay", "--data", BINANCE, "--instrument", "BTCUSDT", "--side", "sell", "--quantity", "NaN")

    assert ended.returncode == 2
    assert one_sentence(ended.stderr)


def without_a_diff(lines: list[bytes], diffs: list[int]) -> list[bytes]:
    return lines[: diffs[2_000]] + lines[diffs[2_000] + 1 :]


def with_two_diffs_swapped(lines: list[bytes], diffs: list[int]) -> list[bytes]:
    lines[diffs[2_000]], lines[diffs[2_001]] = lines[diffs[2_001]], lines[diffs[2_000]]
    return lines


def with_a_crossing_bid(lines: list[bytes], diffs: list[int]) -> list[bytes]:
    lines[diffs[2_000]] = lines[diffs[2_000]].replace(b'"b":[[', b'"b":[["999999.90","5"],[', 1)
    return lines


def cut_in_a_line(lines: list[bytes], diffs: list[int]) -> list[bytes]:
    return [*lines[: diffs[2_000]], lines[diffs[2_000]][:60]]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (without_a_diff, "expected the delta that follows update"),
        (with_two_diffs_swapped, "expected the delta that follows update"),
        (with_a_crossing_bid, "expected the best bid below the best ask"),
        (cut_in_a_line, "cut off until its next snapshot"),
    ],
)
def test_damaged_recording_ends_the_block_in_order_and_says_what_happened_to_the_feed(
    recorded_data: Path, tmp_path: Path, damage: Callable[[list[bytes], list[int]], list[bytes]], says: str
) -> None:
    name = "usdm_btcusdt_20240808.jsonl.gz"
    lines = gzip.decompress((recorded_data / "binance_l2_trades_raw_ws" / name).read_bytes()).splitlines(keepends=True)
    diffs = [number for number, line in enumerate(lines) if b"depthUpdate" in line]
    (tmp_path / name).write_bytes(gzip.compress(b"".join(damage(lines, diffs)), compresslevel=1))

    ended = executor(
        "replay", "--data", str(tmp_path), "--instrument", "BTCUSDT", "--side", "sell", "--quantity", "40",
        "--strategy", "twap", "--json",
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    assert "The feed was cut off" in ended.stderr
    assert says in ended.stderr
    found = json.loads(ended.stdout)
    lots = found["parent"]["lots"]
    assert found["faults"] == []
    assert found["feed"]["state"] == "quarantined"
    assert found["book"]["crossed"] == 0
    assert lots["ordered"] == lots["filled"] + lots["cancelled"]
    assert lots["filled"] > 0


def test_folder_with_an_earlier_run_is_refused(recorded_data: Path, tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()

    ended = executor(
        "replay", "--data", BINANCE, "--instrument", "BTCUSDT", "--side", "sell", "--quantity", "40",
        "--strategy", "pov", "--state", str(tmp_path),
    )  # fmt: skip

    assert ended.returncode == 2
    assert "found an earlier run" in ended.stderr
