"""Opening hours of a calendar as moments in UTC, for the days that a snapshot has to cover."""

import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from controlplane.domain.quantities import NANO
from controlplane.gate.snapshot import ALWAYS_OPEN
from controlplane.policy.market import AlwaysCalendar, Weekday, WeeklyCalendar

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_WEEKDAYS = tuple(Weekday)


def sessions(
    calendar: AlwaysCalendar | WeeklyCalendar, *, as_of_ns: int, days_back: int, days_ahead: int
) -> tuple[tuple[int, int], ...]:
    """Return (open, close) in nanoseconds since the epoch for every session around a moment, in order.

    Arguments
        as_of_ns    the moment, wall time in UTC
        days_back   local days before the day of that moment
        days_ahead  local days after it
    Rounding
        where daylight saving makes a local time ambiguous or skips it, the session opens at the later and closes at the
        earlier of the readings, so that a session is never longer than it was written
    """
    if isinstance(calendar, AlwaysCalendar):
        return ALWAYS_OPEN
    zone = ZoneInfo(calendar.time_zone)
    today = (_EPOCH + dt.timedelta(microseconds=as_of_ns // 1_000)).astimezone(zone).date()
    days = (today + dt.timedelta(days=offset) for offset in range(-days_back, days_ahead + 1))
    return tuple((open_ns, close_ns) for day in days for _, open_ns, close_ns in _sessions_of(calendar, day, zone))


def covered_sessions(calendar: WeeklyCalendar) -> tuple[tuple[int, int, int], ...]:
    """Return (place among the sessions of its day, open, close) for every session of the covered years, in order.

    Moments and rounding are those of `sessions`; a day that closes early keeps the places of the sessions it has.
    """
    zone = ZoneInfo(calendar.time_zone)
    days = (
        dt.date.fromordinal(number)
        for year in sorted(set(calendar.covered_years))
        for number in range(dt.date(year, 1, 1).toordinal(), dt.date(year, 12, 31).toordinal() + 1)
    )
    return tuple(session for day in days for session in _sessions_of(calendar, day, zone))


def _sessions_of(calendar: WeeklyCalendar, day: dt.date, zone: ZoneInfo) -> Iterator[tuple[int, int, int]]:
    """Yield (place, open, close) of each session that a day really has."""
    is_trading_day = (
        day.year in calendar.covered_years
        and _WEEKDAYS[day.weekday()] in calendar.weekdays
        and day not in calendar.holidays
    )
    if not is_trading_day:
        return
    end_of_day = next((early.close for early in calendar.early_closes if early.date == day), "24:00")
    for place, hours in enumerate(calendar.sessions):
        open_ns = max(_readings_ns(day, hours.open, zone))
        close_ns = min(_readings_ns(day, min(hours.close, end_of_day), zone))
        if open_ns < close_ns:
            yield place, open_ns, close_ns


def _readings_ns(day: dt.date, time_of_day: str, zone: ZoneInfo) -> tuple[int, int]:
    """Return both readings of a local time; they differ only where clocks are set forward or back."""
    hours, minutes = (int(part) for part in time_of_day.split(":"))
    # 24:00 is the midnight that begins the next day; the addition is one of the calendar, not of elapsed time
    local = dt.datetime(day.year, day.month, day.day, tzinfo=zone) + dt.timedelta(hours=hours, minutes=minutes)
    return _ns(local.replace(fold=0)), _ns(local.replace(fold=1))


def _ns(moment: dt.datetime) -> int:
    elapsed = moment - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * NANO
