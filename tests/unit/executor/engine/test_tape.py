"""Totals and mids over time, as views and markouts ask for them."""

import pytest

from executor.engine import tape
from executor.engine.tape import MidHistory, RunningTotal


def test_total_before_a_moment_excludes_the_moment_and_since_includes_it() -> None:
    total = RunningTotal()
    for moment, lots in ((10, 1), (20, 2), (20, 4), (30, 8)):
        total.add(moment, lots)

    assert total.total == 15
    assert (total.before(20), total.since(20)) == (1, 14)
    assert (total.before(0), total.since(0)) == (0, 15)
    assert (total.before(99), total.since(99)) == (15, 0)


def test_late_addition_counts_at_the_latest_moment() -> None:
    total = RunningTotal()
    total.add(20, 5)
    total.add(10, 3)

    assert (total.before(20), total.since(20)) == (0, 8)


def test_old_entries_go_and_the_total_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    total, mids, limit = RunningTotal(), MidHistory(), 100
    monkeypatch.setattr(tape, "ENTRIES_MAX", limit)
    for moment in range(5 * limit):
        total.add(moment, 1)
        mids.note(moment, moment)

    assert total.total == 5 * limit
    assert len(total.times_ns) <= limit
    assert len(mids.times_ns) <= limit
    assert mids.at(5 * limit) == 5 * limit - 1


def test_mid_at_a_moment_is_the_one_that_stood_there() -> None:
    mids = MidHistory()
    for moment, mid in ((10, 100), (20, 102), (25, 102), (30, 101)):
        mids.note(moment, mid)

    assert [mids.at(moment) for moment in (9, 10, 19, 20, 29, 30, 99)] == [None, 100, 100, 102, 102, 101, 101]


def test_time_weighted_mid_weighs_each_mid_by_how_long_it_stood() -> None:
    mids = MidHistory()
    for moment, mid in ((10, 100), (20, 102), (30, 101)):
        mids.note(moment, mid)

    assert mids.time_weighted(15, 35) == (5 * 100 + 10 * 102 + 5 * 101, 20)
    assert mids.time_weighted(0, 12) == (2 * 100, 2)
