"""Rules that distrust an event: one test for every kind of fault, and for what must pass."""

from collections.abc import Sequence

import pytest

from executor.marketdata.book import Book
from executor.marketdata.events import Fault, FaultKind, MarketEvent, OrderAction, Remedy, TradeCondition
from executor.marketdata.quarantine import FeedGuard
from executor.marketdata.validate import FeedHistory, PriceWindow, ValidationLimits, check_book, check_event
from tests.support.market import FEED, NAME, a_delta, a_message, a_quote, a_snapshot, a_trade

LIMITS = ValidationLimits()


def fault_after(events: Sequence[MarketEvent], event: MarketEvent) -> Fault | None:
    """What the rules say to an event after others that were all trusted."""
    guard = FeedGuard(FEED, NAME)
    for earlier in events:
        assert guard.admit(earlier) is earlier
    return check_event(event, guard.book, guard.history, LIMITS)


def assert_fault(fault: Fault | None, kind: FaultKind, remedy: Remedy) -> None:
    assert fault is not None
    assert (fault.kind, fault.remedy) == (kind, remedy)
    assert fault.sentence.startswith(f"{FEED}: expected ")
    assert fault.sentence.endswith(".")
    assert "found" in fault.sentence


def test_gap_in_the_chain_of_deltas() -> None:
    fault = fault_after([a_snapshot(), a_delta(sequence=11)], a_delta(sequence=14, before=13))

    assert_fault(fault, FaultKind.GAP, Remedy.SNAPSHOT)


def test_delta_before_any_snapshot_is_a_gap() -> None:
    assert_fault(fault_after([], a_delta()), FaultKind.GAP, Remedy.SNAPSHOT)


def test_order_message_before_any_snapshot_is_a_gap() -> None:
    assert_fault(fault_after([], a_message(OrderAction.ADD)), FaultKind.GAP, Remedy.SNAPSHOT)


def test_first_delta_may_reach_back_over_the_snapshot() -> None:
    assert fault_after([a_snapshot(sequence=10)], a_delta(sequence=12, before=8)) is None


def test_first_delta_that_starts_beyond_the_snapshot_is_a_gap() -> None:
    fault = fault_after([a_snapshot(sequence=10)], a_delta(sequence=15, before=12))

    assert_fault(fault, FaultKind.GAP, Remedy.SNAPSHOT)


def test_second_delta_must_follow_the_first_exactly() -> None:
    fault = fault_after([a_snapshot(sequence=10), a_delta(sequence=12, before=8)], a_delta(sequence=14, before=11))

    assert_fault(fault, FaultKind.GAP, Remedy.SNAPSHOT)


@pytest.mark.parametrize("sequence", [10, 11])
def test_delta_that_comes_again_or_late_is_out_of_order(sequence: int) -> None:
    fault = fault_after([a_snapshot(), a_delta(sequence=11)], a_delta(sequence=sequence))

    assert_fault(fault, FaultKind.OUT_OF_ORDER, Remedy.SNAPSHOT)


def test_order_message_number_must_grow() -> None:
    fault = fault_after([a_snapshot(sequence=10)], a_message(OrderAction.ADD, sequence=10))

    assert_fault(fault, FaultKind.OUT_OF_ORDER, Remedy.SNAPSHOT)


def test_order_message_that_takes_more_than_is_shown_disagrees() -> None:
    fault = fault_after([a_snapshot()], a_message(OrderAction.EXECUTE, 99, 11))

    assert_fault(fault, FaultKind.DISAGREEMENT, Remedy.SNAPSHOT)


def test_receive_time_that_goes_back() -> None:
    fault = fault_after([a_snapshot(at_ns=5_000)], a_trade(at_ns=4_999))

    assert_fault(fault, FaultKind.CLOCK, Remedy.SNAPSHOT)


def test_venue_time_may_step_back_a_little_but_not_far() -> None:
    second = 1_000_000_000
    before = [a_snapshot(at_ns=second), a_trade(at_ns=10 * second)]
    near = a_trade(at_ns=10 * second - LIMITS.clock_back_ns_max, receive_ns=10 * second, sequence=2)
    far = a_trade(at_ns=10 * second - LIMITS.clock_back_ns_max - 1, receive_ns=10 * second, sequence=2)

    assert fault_after(before, near) is None
    assert_fault(fault_after(before, far), FaultKind.CLOCK, Remedy.SNAPSHOT)


def test_venue_time_far_ahead_of_ours() -> None:
    ahead = a_trade(at_ns=LIMITS.clock_ahead_ns_max + 2_001, receive_ns=2_000)

    assert_fault(fault_after([a_snapshot()], ahead), FaultKind.CLOCK, Remedy.SNAPSHOT)


@pytest.mark.parametrize("level", [(0, 5), (-3, 5), (50, -1)])
def test_level_of_impossible_price_or_size(level: tuple[int, int]) -> None:
    assert_fault(fault_after([a_snapshot()], a_delta(bids=(level,))), FaultKind.SIZE, Remedy.SNAPSHOT)


def test_snapshot_with_an_empty_level() -> None:
    assert_fault(fault_after([], a_snapshot(bids=((99, 0),))), FaultKind.SIZE, Remedy.SNAPSHOT)


@pytest.mark.parametrize(("price", "lots"), [(101, 0), (101, -2), (0, 5)])
def test_trade_of_nothing_is_withheld(price: int, lots: int) -> None:
    assert_fault(fault_after([a_snapshot()], a_trade(price, lots)), FaultKind.SIZE, Remedy.WITHHOLD)


def test_trade_that_comes_again_is_withheld() -> None:
    assert_fault(fault_after([a_trade(sequence=7)], a_trade(sequence=7)), FaultKind.OUT_OF_ORDER, Remedy.WITHHOLD)


@pytest.mark.parametrize(
    ("bid", "ask", "kind"),
    [
        ((102, 1), (101, 1), FaultKind.CROSSED),
        ((101, 1), (101, 1), FaultKind.LOCKED),
        ((99, 0), (101, 1), FaultKind.SIZE),
    ],
)
def test_quote_that_no_venue_would_show_is_withheld(
    bid: tuple[int, int], ask: tuple[int, int], kind: FaultKind
) -> None:
    assert_fault(fault_after([], a_quote(bid, ask)), kind, Remedy.WITHHOLD)


def test_one_sided_quote_passes() -> None:
    assert fault_after([], a_quote(bid=(0, 0))) is None


def test_quote_of_an_older_update_is_withheld() -> None:
    assert_fault(fault_after([a_quote(sequence=12)], a_quote(sequence=11)), FaultKind.OUT_OF_ORDER, Remedy.WITHHOLD)


@pytest.mark.parametrize(("bid", "kind"), [(102, FaultKind.CROSSED), (101, FaultKind.LOCKED)])
def test_book_that_crosses_or_locks_is_distrusted(bid: int, kind: FaultKind) -> None:
    book, delta = Book(NAME), a_delta(bids=((bid, 1),))
    book.apply(a_snapshot())
    book.apply(delta)

    assert_fault(check_book(book, delta), kind, Remedy.SNAPSHOT)


def test_price_far_from_the_recent_ones_is_withheld() -> None:
    calm = [a_trade(10_000 + number % 3, at_ns=2_000 + number, sequence=number) for number in range(1, 40)]

    far = a_trade(10_200, at_ns=9_000, sequence=100)
    near = a_trade(10_090, at_ns=9_000, sequence=100)

    assert_fault(fault_after(calm, far), FaultKind.OUTLIER, Remedy.WITHHOLD)
    assert fault_after(calm, near) is None


def test_market_that_moves_and_stays_is_believed_after_a_few_prices() -> None:
    history = FeedHistory.empty(LIMITS)
    for price in [10_000] * 50:
        assert not history.trade_prices.is_outlier(price, LIMITS)

    outcomes = [history.trade_prices.is_outlier(11_000, LIMITS) for _ in range(6)]

    assert outcomes == [True, True, True, True, False, False]


def test_single_far_prices_do_not_add_up_to_a_move() -> None:
    window = FeedHistory.empty(LIMITS).trade_prices
    for price in [10_000] * 50:
        window.is_outlier(price, LIMITS)

    outcomes = [window.is_outlier(price, LIMITS) for price in [11_000, 10_000] * 6]

    assert outcomes == [True, False] * 6


def test_price_agreed_off_the_book_is_no_outlier_and_moves_no_median() -> None:
    calm = [a_trade(10_000, at_ns=2_000 + number, sequence=number) for number in range(1, 40)]
    insurance = a_trade(10_900, at_ns=9_000, sequence=100, condition=TradeCondition.OFF_BOOK)

    assert fault_after(calm, insurance) is None
    assert_fault(
        fault_after([*calm, insurance], a_trade(10_900, at_ns=9_001, sequence=101)), FaultKind.OUTLIER, Remedy.WITHHOLD
    )


def test_price_window_forgets_the_oldest() -> None:
    window = FeedHistory.empty(LIMITS).trade_prices

    for step in range(2_000):
        assert not window.is_outlier(10_000 + step, LIMITS)

    assert isinstance(window, PriceWindow)
    assert len(window.prices) == LIMITS.outlier_window
    assert window.center > 11_900
