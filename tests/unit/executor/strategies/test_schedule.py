"""Spreading whole lots over slices, and the grid of the slices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.errors import InvalidRequest
from executor.strategies.schedule import SliceGrid, largest_remainder, twap_lots, vwap_lots


@pytest.mark.case("T8")
def test_equal_slices_give_the_odd_lots_to_the_earliest():
    assert twap_lots(10, 4) == (3, 3, 2, 2)


@pytest.mark.case("T8")
def test_a_profile_that_divides_is_followed_exactly():
    assert vwap_lots(1_000, (5, 3, 2)) == (500, 300, 200)


@pytest.mark.case("T8")
def test_left_over_lots_go_to_the_largest_remainders():
    # shares of 10 lots: 1.67, 3.33, 5.00
    assert vwap_lots(10, (1, 2, 3)) == (2, 3, 5)


@pytest.mark.case("T8")
@given(total=st.integers(0, 10**9), slices=st.integers(1, 60), level=st.integers(1, 10**6))
def test_a_flat_profile_is_the_equal_schedule(total, slices, level):
    assert vwap_lots(total, (level,) * slices) == twap_lots(total, slices)


@pytest.mark.case("T8")
@given(total=st.integers(0, 1 << 40), profile=st.lists(st.integers(0, 1 << 40), min_size=1, max_size=60).filter(any))
def test_lots_add_up_exactly_and_stay_within_one_lot_of_the_share(total, profile):
    lots = vwap_lots(total, profile)

    assert sum(lots) == total
    assert all(
        abs(count * sum(profile) - total * weight) < sum(profile) for count, weight in zip(lots, profile, strict=True)
    )


@pytest.mark.parametrize(("total", "weights"), [(-1, (1,)), (5, (0, 0)), (5, (2, -1)), (5, ())])
def test_weights_that_cannot_be_shared_are_refused(total, weights):
    with pytest.raises(InvalidRequest):
        largest_remainder(total, weights)


@given(start=st.integers(0, 2**62), span=st.integers(1, 10**15), slices=st.integers(1, 300), offset=st.floats(0, 1))
def test_every_moment_lies_in_the_slice_that_the_grid_names(start, span, slices, offset):
    span = max(span, slices)
    grid = SliceGrid(start, start + span, slices)
    now_ns = start + min(int(span * offset), span - 1)
    index = grid.index_at(now_ns)

    assert grid.start_of(index) <= now_ns < grid.start_of(index + 1)
    assert (grid.start_of(0), grid.start_of(slices)) == (start, start + span)


def test_moments_outside_the_horizon_fall_into_its_first_and_last_slice():
    grid = SliceGrid(1_000, 2_000, 4)

    assert (grid.index_at(0), grid.index_at(5_000)) == (0, 3)


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "slices"), [(0, 3, 4), (5, 5, 1), (9, 1, 1), (0, 10**9, 0), (0, 10**9, 1_001)]
)
def test_a_grid_without_time_for_its_slices_is_refused(start_ns, end_ns, slices):
    with pytest.raises(InvalidRequest):
        SliceGrid(start_ns, end_ns, slices)
