"""The shipped volume curves are what the recorded data give by the recipe that stands beside them in the file."""

import csv
import gzip
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import pytest

from tests.support.policies import SHIPPED

WHOLE = 1_000_000
OPEN_MS, CLOSE_MS, MINUTE_MS = 34_200_000, 57_600_000, 60_000


def shipped_curve(name: str) -> dict[str, object]:
    curves = tomllib.loads((SHIPPED / "volume_curves.toml").read_text())["volume_curves"]
    found: dict[str, object] = curves[name]
    return found


def folder_of(recorded_data: Path, name: str) -> Path:
    if not (recorded_data / name).is_dir():
        pytest.skip(f"the recordings of ../shared/data/{name} are not beside this checkout")
    return recorded_data / name


def usual_weights(sessions: Iterable[Mapping[int, Fraction]], bins: int) -> list[int]:
    """Return the mean share of each bin over sessions that count alike, in whole millionths that add up to one.

    What rounding down leaves over goes to the largest remainders, the earlier bin first.
    """
    counted = list(sessions)
    shares = [
        sum((session.get(index, Fraction(0)) / sum(session.values()) for session in counted), Fraction(0))
        * WHOLE
        / len(counted)
        for index in range(bins)
    ]
    weights = [int(share) for share in shares]
    by_remainder = sorted(range(bins), key=lambda index: (weights[index] - shares[index], index))
    for index in by_remainder[: WHOLE - sum(weights)]:
        weights[index] += 1
    return weights


def stock_sessions(folder: Path, bin_minutes: int) -> Iterator[Mapping[int, Fraction]]:
    """Yield the shares traded in each bin of the regular session, for every file of trades."""
    for path in sorted(folder.glob("*/*_trade.csv.gz")):
        volumes: dict[int, Fraction] = defaultdict(Fraction)
        with gzip.open(path, "rt") as opened:
            for row in csv.reader(opened):
                if OPEN_MS <= int(row[0]) < CLOSE_MS:
                    volumes[(int(row[0]) - OPEN_MS) // (bin_minutes * MINUTE_MS)] += int(row[5])
        yield volumes


def perpetual_days(folder: Path, bin_minutes: int) -> Iterator[Mapping[int, Fraction]]:
    """Yield the worth traded in each bin of every UTC day of which no minute is missing."""
    days: dict[str, dict[int, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    minutes: dict[str, int] = defaultdict(int)
    with gzip.open(folder / "btc_perp_1m_20211231_20220119.csv.gz", "rt") as opened:
        for row in csv.DictReader(opened):
            day, time = row["timestamp"].split(" ")
            days[day][(int(time[:2]) * 60 + int(time[3:5])) // bin_minutes] += Fraction(row["volume"])
            minutes[day] += 1
    yield from (volumes for day, volumes in sorted(days.items()) if minutes[day] == 1_440)


def test_stock_curve_is_the_mean_share_of_the_recorded_sessions(recorded_data: Path) -> None:
    curve = shipped_curve("us-equities")
    sessions = list(stock_sessions(folder_of(recorded_data, "us_equity_minute_bars_2013-10"), 10))

    assert curve["bin_minutes"] == 10
    assert len(sessions) == 12
    assert curve["weights"] == usual_weights(sessions, 39)


def test_perpetual_curve_is_the_mean_share_of_the_recorded_days(recorded_data: Path) -> None:
    curve = shipped_curve("crypto-perpetuals")
    days = list(perpetual_days(folder_of(recorded_data, "btc_perp_1m_2022-01"), 30))

    assert curve["bin_minutes"] == 30
    assert len(days) == 19
    assert curve["weights"] == usual_weights(days, 48)


def test_mean_counts_a_quiet_session_like_a_busy_one_and_adds_up_exactly() -> None:
    quiet, busy = {0: Fraction(1), 1: Fraction(1), 2: Fraction(1)}, {0: Fraction(900), 2: Fraction(100)}

    weights = usual_weights([quiet, busy], 3)

    # (1/3 + 9/10) / 2, (1/3 + 0) / 2, (1/3 + 1/10) / 2
    assert weights == [616_667, 166_667, 216_666]
    assert sum(weights) == WHOLE
