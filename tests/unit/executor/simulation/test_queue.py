"""A place in a queue: what trades and cancels take off it, in both models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.simulation.queue import CancelModel, QueuePlace

LOTS = st.integers(0, 1_000)


def test_trade_uses_up_what_is_ahead_and_gives_the_rest() -> None:
    place = QueuePlace(10)

    assert place.on_trade(4, is_late=False) == 0
    assert place.on_trade(9, is_late=False) == 3
    assert place.ahead_lots == 0


def test_cancels_take_lots_ahead_in_proportion_rounded_down() -> None:
    place = QueuePlace(10)

    place.on_refresh(level_lots=30, shown_lots=25, cancels=CancelModel.PROPORTIONAL)

    assert place.ahead_lots == 9


def test_cancels_behind_first_help_only_when_nothing_is_left_behind() -> None:
    place = QueuePlace(10)

    place.on_refresh(level_lots=30, shown_lots=12, cancels=CancelModel.BEHIND_FIRST)
    assert place.ahead_lots == 10
    place.on_refresh(level_lots=12, shown_lots=7, cancels=CancelModel.BEHIND_FIRST)
    assert place.ahead_lots == 7


def test_growing_level_changes_nothing_ahead() -> None:
    place = QueuePlace(10)

    place.on_refresh(level_lots=30, shown_lots=90, cancels=CancelModel.PROPORTIONAL)

    assert place.ahead_lots == 10


def test_level_that_vanishes_leaves_nobody_ahead() -> None:
    place = QueuePlace(10)

    place.on_refresh(level_lots=30, shown_lots=0, cancels=CancelModel.BEHIND_FIRST)

    assert place.ahead_lots == 0


def test_trade_that_the_last_refresh_already_took_for_cancels_is_not_counted_twice() -> None:
    place = QueuePlace(10)
    place.on_refresh(level_lots=20, shown_lots=14, cancels=CancelModel.PROPORTIONAL)
    assert place.ahead_lots == 7

    beyond = place.on_trade(6, is_late=True)

    # Six traded at the front: four are left ahead, and three of the six were taken off before as cancels.
    assert (place.ahead_lots, beyond) == (4, 0)


@pytest.mark.parametrize("cancels", list(CancelModel))
@given(ahead=LOTS, behind=LOTS, shown=LOTS, traded=LOTS)
def test_place_never_grows_and_never_exceeds_what_is_shown(
    cancels: CancelModel, ahead: int, behind: int, shown: int, traded: int
) -> None:
    place = QueuePlace(ahead)

    place.on_refresh(level_lots=ahead + behind, shown_lots=shown, cancels=cancels)
    after_refresh = place.ahead_lots
    beyond = place.on_trade(traded, is_late=False)

    assert 0 <= after_refresh <= min(ahead, shown)
    assert after_refresh - place.ahead_lots + beyond == traded


@given(ahead=LOTS, behind=LOTS, cancelled=LOTS)
def test_bound_is_never_ahead_of_the_proportional_model(ahead: int, behind: int, cancelled: int) -> None:
    level = ahead + behind
    shown = level - min(cancelled, level)
    proportional, bound = QueuePlace(ahead), QueuePlace(ahead)

    proportional.on_refresh(level_lots=level, shown_lots=shown, cancels=CancelModel.PROPORTIONAL)
    bound.on_refresh(level_lots=level, shown_lots=shown, cancels=CancelModel.BEHIND_FIRST)

    assert proportional.ahead_lots <= bound.ahead_lots
