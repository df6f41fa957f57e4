"""An intent becomes one order: the venue it was given, the price it may pay, the type its urgency means."""

from dataclasses import replace

import pytest

from controlplane.domain.orders import OrderType, Side, TimeInForce
from executor.orders.intent import ChildIntent, IntentReason, TopOfBook, Urgency
from executor.routing.router import on_grid, route
from tests.support.trading import XYZ

BOOK = TopOfBook(bid_ticks=9_990, bid_lots=5, ask_ticks=10_000, ask_lots=5)
EMPTY = TopOfBook(bid_ticks=None, bid_lots=None, ask_ticks=None, ask_lots=None)
BANDED = replace(XYZ, tick_bands=((0, 1), (5_000, 5), (10_000, 10)))


def intent(**changes: object) -> ChildIntent:
    usual = ChildIntent(
        side=Side.BUY,
        quantity_lots=10,
        urgency=Urgency.PASSIVE,
        limit_price_ticks=None,
        working_until_ns=5,
        reason=IntentReason.ON_SCHEDULE,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("urgency", "price_ticks", "time_in_force"),
    [
        (Urgency.PASSIVE, 9_990, TimeInForce.POST_ONLY),
        (Urgency.NEUTRAL, 9_995, TimeInForce.GOOD_TILL_CANCEL),
        (Urgency.AGGRESSIVE, 10_000, TimeInForce.IMMEDIATE_OR_CANCEL),
    ],
)
def test_urgency_decides_price_and_time_in_force(
    urgency: Urgency, price_ticks: int, time_in_force: TimeInForce
) -> None:
    routed = route(intent(urgency=urgency), venue="V", book=BOOK, instrument=XYZ, worst_price_ticks=None)

    assert routed is not None
    assert (routed.venue, routed.price_ticks, routed.time_in_force) == ("V", price_ticks, time_in_force)
    assert (routed.order_type, routed.quantity_lots, routed.working_until_ns) == (OrderType.LIMIT, 10, 5)


def test_price_of_the_intent_wins_over_the_book() -> None:
    routed = route(intent(limit_price_ticks=9_980), venue="V", book=BOOK, instrument=XYZ, worst_price_ticks=None)

    assert routed is not None
    assert routed.price_ticks == 9_980


def test_worst_price_of_the_parent_bounds_a_price_taken_from_the_book() -> None:
    routed = route(intent(urgency=Urgency.AGGRESSIVE), venue="V", book=BOOK, instrument=XYZ, worst_price_ticks=9_993)

    assert routed is not None
    assert routed.price_ticks == 9_993


def test_intent_without_a_price_and_a_book_without_one_make_no_order() -> None:
    assert route(intent(), venue="V", book=EMPTY, instrument=XYZ, worst_price_ticks=None) is None


@pytest.mark.parametrize(
    ("price", "side", "rounded"),
    [
        (4_999, Side.BUY, 4_999),
        (5_003, Side.BUY, 5_000),
        (5_003, Side.SELL, 5_005),
        (10_007, Side.BUY, 10_000),
        (10_001, Side.SELL, 10_010),
    ],
)
def test_price_between_two_steps_moves_to_our_own_side(price: int, side: Side, rounded: int) -> None:
    assert on_grid(price, side, BANDED) == rounded
