"""Volume curves of the rule book as the executor gets them: sessions by the calendar, in every kind of day."""

import datetime as dt
from pathlib import Path

import pytest

from controlplane.domain.errors import InvalidRequest, PolicyInvalid
from controlplane.policy.load import parse_policies
from executor.scenarios.rule_book import RuleBook, compile_curve, open_rule_book
from executor.strategies.volume_curve import DAY_NS, VolumeCurve
from tests.support.policies import SHIPPED, small_files_with, small_policies, write_files

MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS


@pytest.fixture(scope="module")
def shipped() -> RuleBook:
    return open_rule_book(SHIPPED)


def at(text: str) -> int:
    """Return a moment in UTC in nanoseconds."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 10**9


def sunday_curve() -> VolumeCurve:
    """Return the small rule book's session curve over whole days of New York, Sundays too, in 24 bins that rise."""
    calendars = small_files_with("calendars.toml", 'open = "09:30", close = "16:00"', 'open = "00:00", close = "24:00"')
    calendars["calendars.toml"] = calendars["calendars.toml"].replace(b'"friday"]', b'"friday", "sunday"]')
    weights = ", ".join(str(hour + 1) for hour in range(24))
    curves = small_files_with(
        "volume_curves.toml", "bin_minutes = 130\nweights = [3, 1, 2]", f"bin_minutes = 60\nweights = [{weights}]"
    )
    return compile_curve("session", parse_policies(calendars | {"volume_curves.toml": curves["volume_curves.toml"]}))


@pytest.mark.parametrize("open_utc", ["2013-01-08T14:30", "2013-07-09T13:30"])
def test_curve_begins_at_the_local_opening_in_winter_and_in_summer(shipped: RuleBook, open_utc: str) -> None:
    curve, opened_ns = shipped.volume_curves["AMZN"], at(open_utc)

    volumes = curve.expected_volumes(opened_ns - 10 * MINUTE_NS, opened_ns + 390 * MINUTE_NS, 40)

    assert volumes == (0, *shipped.policies.volume_curves["us-equities"].weights)


def test_day_that_closes_early_expects_the_morning_of_the_curve_and_nothing_after(shipped: RuleBook) -> None:
    curve, opened_ns = shipped.volume_curves["AMZN"], at("2012-07-03T13:30")

    volumes = curve.expected_volumes(opened_ns, opened_ns + 390 * MINUTE_NS, 39)

    assert volumes == (*shipped.policies.volume_curves["us-equities"].weights[:21], *(0,) * 18)


@pytest.mark.parametrize("day", ["2012-07-04", "2012-07-07", "2020-07-07"])
def test_holiday_weekend_and_year_that_nobody_checked_expect_nothing(shipped: RuleBook, day: str) -> None:
    with pytest.raises(InvalidRequest, match="The volume curve us-equities expects volume in the order's horizon"):
        shipped.volume_curves["AMZN"].expected_volumes(at(f"{day}T13:30"), at(f"{day}T20:00"), 20)


def test_perpetual_follows_its_day_in_utc_over_midnight(shipped: RuleBook) -> None:
    weights = shipped.policies.volume_curves["crypto-perpetuals"].weights

    volumes = shipped.volume_curves["BTCUSDT-PERP"].expected_volumes(at("2024-08-08T23:00"), at("2024-08-09T01:00"), 4)

    assert volumes == (*weights[-2:], *weights[:2])


def test_instruments_without_a_curve_have_none_and_a_shared_one_is_shared(shipped: RuleBook) -> None:
    curves = shipped.volume_curves

    assert "BTCUSDT-SPOT" not in curves
    assert curves["AMZN"] is curves["AAPL"]
    assert shipped.intake_rules().volume_curves == curves
    assert set(curves) == set(shipped.instruments) - {"BTCUSDT-SPOT"}


def test_generated_market_is_expected_to_trade_evenly(shipped: RuleBook) -> None:
    volumes = shipped.volume_curves["ETH-PERP"].expected_volumes(
        at("2026-01-01T23:57:11"), at("2026-01-02T00:07:11"), 7
    )

    assert volumes == (1,) * 7


def test_bin_in_which_a_day_closes_early_counts_up_to_the_close() -> None:
    curve, opened_ns = compile_curve("session", small_policies()), at("2024-08-13T13:30")

    # 13:00 local time is 80 minutes into the second bin of 130, whose weight is a third of the first one's.
    assert curve.expected_volumes(opened_ns, opened_ns + 390 * MINUTE_NS, 3) == (39, 8, 0)


def test_two_sessions_of_a_day_share_one_curve_one_after_the_other() -> None:
    hours = '{ open = "09:30", close = "12:00" }, { open = "13:00", close = "17:00" }'
    files = small_files_with("calendars.toml", '{ open = "09:30", close = "16:00" }', hours)
    weights = "bin_minutes = 30\nweights = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]"
    curves = small_files_with("volume_curves.toml", "bin_minutes = 130\nweights = [3, 1, 2]", weights)
    curve = compile_curve("session", parse_policies(files | {"volume_curves.toml": curves["volume_curves.toml"]}))

    volumes = curve.expected_volumes(at("2024-08-09T13:30"), at("2024-08-09T21:00"), 15)

    assert volumes == (1, 2, 3, 4, 5, 0, 0, 6, 7, 8, 9, 10, 11, 12, 13)


@pytest.mark.parametrize(("day", "hours"), [("2024-03-10", 23), ("2024-08-11", 24), ("2024-11-03", 24)])
def test_day_on_which_clocks_change_never_reaches_beyond_its_bins(day: str, hours: int) -> None:
    curve = sunday_curve()
    assert curve.sessions is not None
    session = next(one for one in curve.sessions if one.open_ns // DAY_NS == at(day) // DAY_NS)

    volumes = curve.expected_volumes(session.open_ns, session.open_ns + hours * HOUR_NS, hours)

    assert session.close_ns - session.open_ns == hours * HOUR_NS
    assert volumes == tuple(range(1, hours + 1))


def test_opening_a_folder_with_a_broken_curve_is_refused_in_one_sentence(tmp_path: Path) -> None:
    write_files(tmp_path, small_files_with("volume_curves.toml", "[3, 1, 2]", "[3, 1]"))

    with pytest.raises(PolicyInvalid, match="weights must cover the 390 minutes of a day of weekdays") as refused:
        open_rule_book(tmp_path)

    assert len(str(refused.value).splitlines()) == 1
