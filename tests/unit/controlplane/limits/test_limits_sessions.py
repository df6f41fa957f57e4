"""Opening hours in UTC: holidays, early closes, daylight saving in both directions."""

import datetime as dt
import itertools
import tomllib

import pytest

from controlplane.gate.snapshot import ALWAYS_OPEN
from controlplane.limits.sessions import covered_sessions, sessions
from controlplane.policy.market import AlwaysCalendar, CalendarsFile, WeeklyCalendar
from tests.support.policies import shipped_policies

HOUR_NS = 3_600 * 10**9
EVERY_DAY = '["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]'


def weekly(hours: str, *, weekdays: str = EVERY_DAY, holidays: str = "[]", early_closes: str = "[]") -> WeeklyCalendar:
    text = f"""
        kind = "weekly"
        time_zone = "America/New_York"
        covered_years = [2026]
        weekdays = {weekdays}
        sessions = {hours}
        holidays = {holidays}
        early_closes = {early_closes}
    """
    calendar = CalendarsFile.model_validate({"calendars": {"x": tomllib.loads(text)}}).calendars["x"]
    assert isinstance(calendar, WeeklyCalendar)
    return calendar


def on(calendar: WeeklyCalendar, day: dt.date) -> list[tuple[str, str]]:
    """Return the sessions of one local day, as text in UTC."""
    noon = dt.datetime(day.year, day.month, day.day, 17, tzinfo=dt.UTC)
    found = sessions(calendar, as_of_ns=int(noon.timestamp()) * 10**9, days_back=0, days_ahead=0)
    return [(utc(open_ns), utc(close_ns)) for open_ns, close_ns in found]


def utc(moment_ns: int) -> str:
    return dt.datetime.fromtimestamp(moment_ns // 10**9, tz=dt.UTC).strftime("%m-%d %H:%M")


REGULAR = '[{ open = "09:30", close = "16:00" }]'
WHOLE_DAY = '[{ open = "00:00", close = "24:00" }]'


def test_an_always_open_market_has_one_endless_session() -> None:
    assert sessions(AlwaysCalendar(kind="always"), as_of_ns=0, days_back=2, days_ahead=30) == ALWAYS_OPEN


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (dt.date(2026, 3, 6), [("03-06 14:30", "03-06 21:00")]),
        (dt.date(2026, 3, 9), [("03-09 13:30", "03-09 20:00")]),
        (dt.date(2026, 10, 30), [("10-30 13:30", "10-30 20:00")]),
        (dt.date(2026, 11, 2), [("11-02 14:30", "11-02 21:00")]),
    ],
)
def test_regular_session_moves_by_an_hour_with_daylight_saving(day: dt.date, expected: list[tuple[str, str]]) -> None:
    assert on(weekly(REGULAR), day) == expected


@pytest.mark.parametrize(
    ("day", "hours", "expected"),
    [
        (dt.date(2026, 3, 7), 24, ("03-07 05:00", "03-08 05:00")),
        (dt.date(2026, 3, 8), 23, ("03-08 05:00", "03-09 04:00")),
        (dt.date(2026, 11, 1), 25, ("11-01 04:00", "11-02 05:00")),
        (dt.date(2026, 11, 2), 24, ("11-02 05:00", "11-03 05:00")),
    ],
)
def test_a_whole_local_day_has_23_24_or_25_hours(day: dt.date, hours: int, expected: tuple[str, str]) -> None:
    noon_ns = int(dt.datetime(day.year, day.month, day.day, 17, tzinfo=dt.UTC).timestamp()) * 10**9

    found = sessions(weekly(WHOLE_DAY), as_of_ns=noon_ns, days_back=0, days_ahead=0)

    assert [close_ns - open_ns for open_ns, close_ns in found] == [hours * HOUR_NS]
    assert on(weekly(WHOLE_DAY), day) == [expected]


@pytest.mark.parametrize(
    ("day", "hours", "expected"),
    [
        # 02:30 doesn't exist on the day that clocks go forward; 01:30 exists twice on the day that they go back
        (dt.date(2026, 3, 8), '[{ open = "02:30", close = "12:00" }]', [("03-08 07:30", "03-08 16:00")]),
        (dt.date(2026, 3, 8), '[{ open = "00:00", close = "02:30" }]', [("03-08 05:00", "03-08 06:30")]),
        (dt.date(2026, 11, 1), '[{ open = "01:30", close = "12:00" }]', [("11-01 06:30", "11-01 17:00")]),
        (dt.date(2026, 11, 1), '[{ open = "00:00", close = "01:30" }]', [("11-01 04:00", "11-01 05:30")]),
        (dt.date(2026, 11, 1), '[{ open = "01:10", close = "01:30" }]', []),
    ],
)
def test_an_ambiguous_or_skipped_local_time_never_lengthens_a_session(
    day: dt.date, hours: str, expected: list[tuple[str, str]]
) -> None:
    assert on(weekly(hours), day) == expected


def test_holidays_weekends_and_uncovered_years_have_no_session() -> None:
    calendar = weekly(REGULAR, weekdays='["monday", "friday"]', holidays="[2026-07-03]")

    assert on(calendar, dt.date(2026, 7, 3)) == []
    assert on(calendar, dt.date(2026, 7, 4)) == []
    assert on(calendar, dt.date(2026, 7, 6)) == [("07-06 13:30", "07-06 20:00")]
    assert on(calendar, dt.date(2027, 1, 1)) == []


@pytest.mark.parametrize(
    ("close", "expected"),
    [
        ("13:00", [("11-27 14:30", "11-27 17:00"), ("11-27 17:30", "11-27 18:00")]),
        ("12:15", [("11-27 14:30", "11-27 17:00")]),
        ("09:00", []),
    ],
)
def test_an_early_close_cuts_the_sessions_of_its_day(close: str, expected: list[tuple[str, str]]) -> None:
    hours = '[{ open = "09:30", close = "12:00" }, { open = "12:30", close = "16:00" }]'
    calendar = weekly(hours, early_closes=f'[{{ date = 2026-11-27, close = "{close}" }}]')

    assert on(calendar, dt.date(2026, 11, 27)) == expected


def test_sessions_cover_the_days_asked_for_counted_in_local_time() -> None:
    # 02:00 in UTC on the tenth is still the ninth in New York
    as_of_ns = int(dt.datetime(2026, 6, 10, 2, tzinfo=dt.UTC).timestamp()) * 10**9

    found = sessions(weekly(REGULAR), as_of_ns=as_of_ns, days_back=1, days_ahead=2)

    assert [utc(open_ns)[:5] for open_ns, _ in found] == ["06-08", "06-09", "06-10", "06-11"]


def test_sessions_never_overlap_and_are_in_order_over_a_whole_year() -> None:
    as_of_ns = int(dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC).timestamp()) * 10**9

    found = sessions(weekly(WHOLE_DAY), as_of_ns=as_of_ns, days_back=0, days_ahead=364)

    assert len(found) == 365
    assert all(earlier[1] == later[0] for earlier, later in itertools.pairwise(found))
    assert found[-1][1] - found[0][0] == 365 * 24 * HOUR_NS


def test_shipped_holidays_are_weekdays_and_as_many_as_an_exchange_has() -> None:
    calendar = shipped_policies().calendars["XNAS"]
    assert isinstance(calendar, WeeklyCalendar)
    by_year = {year: [day for day in calendar.holidays if day.year == year] for year in calendar.covered_years}

    assert all(day.weekday() < 5 for day in calendar.holidays)
    assert {year: len(days) for year, days in by_year.items()} == {
        2012: 11,
        2013: 9,
        2024: 10,
        2025: 11,
        2026: 10,
        2027: 10,
        2028: 9,
    }


def test_shipped_good_fridays_are_two_days_before_easter() -> None:
    easters = {2012: "04-08", 2013: "03-31", 2024: "03-31", 2025: "04-20", 2026: "04-05", 2027: "03-28", 2028: "04-16"}
    calendar = shipped_policies().calendars["XNAS"]
    assert isinstance(calendar, WeeklyCalendar)

    good_fridays = {dt.date.fromisoformat(f"{year}-{day}") - dt.timedelta(days=2) for year, day in easters.items()}

    assert good_fridays <= set(calendar.holidays)


def test_every_session_of_the_covered_years_is_there_once_with_its_place_in_the_day() -> None:
    hours = '[{ open = "09:00", close = "11:00" }, { open = "13:00", close = "17:00" }]'
    early = '[{ date = 2026-01-05, close = "12:00" }, { date = 2026-01-06, close = "14:00" }]'
    calendar = weekly(hours, weekdays='["monday", "tuesday"]', holidays="[2026-01-12]", early_closes=early)

    found = [(place, utc(open_ns), utc(close_ns)) for place, open_ns, close_ns in covered_sessions(calendar)]

    assert found[:3] == [
        (0, "01-05 14:00", "01-05 16:00"),
        (0, "01-06 14:00", "01-06 16:00"),
        (1, "01-06 18:00", "01-06 19:00"),
    ]
    assert found[3] == (0, "01-13 14:00", "01-13 16:00")
    assert found == sorted(set(found), key=lambda session: session[1])
    assert found[-1][1].startswith("12-29")
