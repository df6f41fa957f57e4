"""Integrals of a volume curve over the slices of an order: exact, within sessions, and even where the curve is."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.errors import InvalidRequest, InvariantBroken
from executor.strategies.base import Assignment
from executor.strategies.table import build_strategy, check_order
from executor.strategies.volume_curve import DAY_NS, Session, VolumeCurve

MINUTE = 60_000_000_000
HOUR = 60 * MINUTE


def day_curve(*weights: int) -> VolumeCurve:
    """A market that never closes, its day in equal bins."""
    return VolumeCurve("day", DAY_NS // len(weights), weights, None)


def session_curve(*weights: int, opens: tuple[int, ...] = (10 * HOUR,), length_ns: int | None = None) -> VolumeCurve:
    """Sessions of hourly bins; a length of its own cuts each short."""
    length = len(weights) * HOUR if length_ns is None else length_ns
    return VolumeCurve("session", HOUR, weights, tuple(Session(at, at + length, 0) for at in opens))


day_curves = st.sampled_from([count for count in range(1, 49) if 1_440 % count == 0]).flatmap(
    lambda bins: st.lists(st.integers(0, 10**6), min_size=bins, max_size=bins).filter(any).map(lambda w: day_curve(*w))
)
curves = st.builds(
    VolumeCurve,
    name=st.just("any"),
    bin_ns=st.sampled_from([HOUR, 2 * HOUR, 6 * HOUR]),
    weights=st.lists(st.integers(0, 10**6), min_size=4, max_size=4).filter(any),
    sessions=st.just((Session(2 * HOUR, 2 * HOUR + 4 * HOUR, 0), Session(30 * HOUR, 33 * HOUR, 0))),
)


def by_hand(curve: VolumeCurve, start: Fraction, end: Fraction) -> Fraction:
    """The expected volume between two moments, bin by bin of every session, in weights times bins."""
    sessions = curve.sessions or tuple(Session(day * DAY_NS, (day + 1) * DAY_NS, 0) for day in range(-1, 6))
    total = Fraction(0)
    for session in sessions:
        for index, weight in enumerate(curve.weights[session.first_bin :]):
            low = session.open_ns + index * curve.bin_ns
            high = min(low + curve.bin_ns, session.close_ns)
            total += weight * max(min(end, Fraction(high)) - max(start, Fraction(low)), Fraction(0)) / curve.bin_ns
    return total


@pytest.mark.case("T8")
@given(
    curve=curves | day_curves,
    start=st.integers(0, 3 * DAY_NS),
    span=st.integers(1, DAY_NS),
    slices=st.integers(1, 40),
)
@settings(deadline=None)
def test_slices_share_the_curve_exactly_and_add_up_to_the_whole_horizon(curve, start, span, slices):
    bounds = [start + Fraction(span * index, slices) for index in range(slices + 1)]
    wanted = [by_hand(curve, low, high) for low, high in pairwise(bounds)]
    if not any(wanted):
        with pytest.raises(InvalidRequest, match="its calendar has no session then"):
            curve.expected_volumes(start, start + span, slices)
        return

    volumes = curve.expected_volumes(start, start + span, slices)

    whole = by_hand(curve, Fraction(start), Fraction(start + span))
    assert len(volumes) == slices
    assert [volume * whole for volume in volumes] == [share * sum(volumes) for share in wanted]


@pytest.mark.case("T8")
@given(
    level=st.integers(1, 10**9),
    bins=st.integers(1, 96).filter(lambda bins: 1_440 % bins == 0),
    start=st.integers(0, 10 * DAY_NS),
    span=st.integers(2_000, DAY_NS),
    slices=st.integers(1, 60),
    lots=st.integers(1, 10**6),
)
@settings(deadline=None)
def test_flat_curve_is_twap_lot_for_lot_and_moment_for_moment(level, bins, start, span, slices, lots):
    assigned = Assignment(
        quantity_lots=lots, lot_step=1, start_ns=start, end_ns=start + span, volume_curve=day_curve(*(level,) * bins)
    )

    shaped = build_strategy("vwap", {"slices": slices}, assigned)
    even = build_strategy("twap", {"slices": slices}, assigned)

    assert shaped.grid == even.grid
    assert [shaped.plan(lots, first) for first in range(slices)] == [even.plan(lots, first) for first in range(slices)]


@pytest.mark.case("T8")
@given(start=st.integers(0, HOUR - 2_000), span=st.integers(2_000, HOUR), lots=st.integers(1, 10**6))
@settings(deadline=None)
def test_order_inside_one_bin_is_twap_even_where_slices_are_no_whole_nanoseconds(start, span, lots):
    curve = session_curve(9, 4, 7)
    start_ns = 11 * HOUR + start
    end_ns = min(start_ns + span, 12 * HOUR)
    assigned = Assignment(quantity_lots=lots, lot_step=1, start_ns=start_ns, end_ns=end_ns, volume_curve=curve)

    shaped, even = (build_strategy(name, {"slices": 7}, assigned) for name in ("vwap", "twap"))

    assert shaped.plan(lots, 0) == even.plan(lots, 0)


def test_order_over_the_open_is_as_front_loaded_as_the_curve_says():
    curve = session_curve(6, 2, 1, 1, 4)

    volumes = curve.expected_volumes(10 * HOUR, 12 * HOUR, 4)

    assert volumes == (3, 3, 1, 1)
    assert build_strategy(
        "vwap",
        {"slices": 4},
        Assignment(quantity_lots=800, lot_step=1, start_ns=10 * HOUR, end_ns=12 * HOUR, volume_curve=curve),
    ).plan(800, 0) == (300, 300, 100, 100)


def test_slice_that_lies_over_two_bins_gets_its_part_of_each():
    # 10:40 to 11:10 is a third of an hour at 6 and a sixth at 2; 11:10 to 11:40 is half an hour at 2.
    assert session_curve(6, 2).expected_volumes(10 * HOUR + 40 * MINUTE, 11 * HOUR + 40 * MINUTE, 2) == (7, 3)


def test_nothing_is_expected_before_the_open_after_the_close_or_overnight():
    curve = session_curve(3, 1, opens=(10 * HOUR, 34 * HOUR))

    assert curve.expected_volumes(8 * HOUR, 14 * HOUR, 6) == (0, 0, 3, 1, 0, 0)
    assert curve.expected_volumes(11 * HOUR, 35 * HOUR, 24) == (1, *(0,) * 22, 3)


def test_session_that_closes_early_is_cut_there():
    curve = session_curve(3, 1, 8, length_ns=HOUR + HOUR // 2)

    assert curve.expected_volumes(10 * HOUR, 13 * HOUR, 6) == (3, 3, 1, 0, 0, 0)


def test_second_session_of_a_day_goes_on_with_its_own_bins():
    sessions = (Session(9 * HOUR, 11 * HOUR, 0), Session(12 * HOUR, 13 * HOUR, 2))
    curve = VolumeCurve("two", HOUR, (5, 2, 7), sessions)

    assert curve.expected_volumes(9 * HOUR, 13 * HOUR, 4) == (5, 2, 0, 7)


def test_day_without_end_begins_anew_at_midnight():
    curve = day_curve(1, 2, 3, 4)

    assert curve.expected_volumes(5 * DAY_NS - 6 * HOUR, 5 * DAY_NS + 6 * HOUR, 2) == (4, 1)


@pytest.mark.parametrize("span_ns", [HOUR, 20 * HOUR])
def test_horizon_without_any_session_is_refused(span_ns):
    curve = session_curve(3, 1, opens=(10 * HOUR, 34 * HOUR))

    with pytest.raises(InvalidRequest, match="found none: its calendar has no session then") as refused:
        curve.expected_volumes(12 * HOUR, 12 * HOUR + span_ns, 20)

    assert refused.value.field == "minutes"


@pytest.mark.parametrize("sessions", [None, (Session(0, 2 * HOUR + 1, 0),), (Session(0, 2 * HOUR, 1),)])
def test_curve_whose_sessions_outlast_their_bins_cannot_be_made(sessions):
    with pytest.raises(InvariantBroken, match="lasts no longer than its"):
        VolumeCurve("short", HOUR, (1, 2), sessions)


def test_profile_of_the_order_goes_before_the_curve():
    assigned = Assignment(
        quantity_lots=100, lot_step=1, start_ns=10 * HOUR, end_ns=12 * HOUR, volume_curve=session_curve(9, 1)
    )

    built = build_strategy("vwap", {"profile": "1,4"}, assigned)

    assert (built.plan(100, 0), built.expected_volumes) == ((20, 80), (1, 4))


def test_recorded_volumes_go_before_the_curve_and_set_the_slices():
    assigned = Assignment(
        quantity_lots=100,
        lot_step=1,
        start_ns=10 * HOUR,
        end_ns=12 * HOUR,
        volume_curve=session_curve(9, 1),
        expected_volumes=(3, 1, 1),
    )

    built = build_strategy("vwap", {}, assigned)

    assert (built.plan(100, 0), built.grid.slices) == ((60, 20, 20), 3)


def test_instrument_without_a_curve_is_refused_with_the_way_out():
    with pytest.raises(InvalidRequest) as at_the_door:
        check_order("vwap", {}, "XYZ", has_curve=False)
    with pytest.raises(InvalidRequest, match="found no volume_curve of it"):
        build_strategy("vwap", {}, Assignment(quantity_lots=1, lot_step=1, start_ns=0, end_ns=DAY_NS))

    assert str(at_the_door.value) == (
        "vwap needs the expected volume of XYZ, found no volume_curve of it in the rule book; give a profile such as "
        "3,2,1 (1,1,1 for even slices), use twap, or add a measured curve to policies/volume_curves.toml."
    )
    check_order("vwap", {"profile": "1,1"}, "XYZ", has_curve=False)
    check_order("vwap", {}, "XYZ", has_curve=True)
    check_order("twap", {}, "XYZ", has_curve=False)


def test_slices_beside_a_profile_of_another_length_are_refused():
    with pytest.raises(InvalidRequest, match="slices must be left out beside a profile") as refused:
        check_order("vwap", {"profile": "1,1", "slices": 3}, "XYZ", has_curve=True)

    assert refused.value.field == "slices"
