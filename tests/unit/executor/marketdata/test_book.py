"""The book: levels, best prices, single-order messages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.errors import InvariantBroken
from controlplane.domain.orders import Side
from executor.marketdata.book import Book, BookSide
from executor.marketdata.events import OrderAction
from tests.support.market import NAME, a_delta, a_message, a_quote, a_snapshot, a_trade


def a_book() -> Book:
    book = Book(NAME)
    book.apply(a_snapshot())
    return book


def test_snapshot_gives_best_prices_and_sizes() -> None:
    book = a_book()

    assert (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots) == (99, 10, 101, 10)
    assert book.mid_half_ticks == 200
    assert book.is_ready


def test_delta_sets_new_quantities_and_removes_levels_of_zero() -> None:
    book = a_book()

    book.apply(a_delta(bids=((99, 0), (96, 7)), asks=((100, 4),), sequence=11))

    assert book.bids.levels() == ((98, 20), (97, 30), (96, 7))
    assert book.asks.levels(2) == ((100, 4), (101, 10))
    assert book.sequence == 11


def test_removing_a_level_that_is_not_there_changes_nothing() -> None:
    book = a_book()

    book.apply(a_delta(bids=((50, 0),)))

    assert book.bids.levels() == ((99, 10), (98, 20), (97, 30))


def test_trades_and_quotes_leave_the_book_as_it_is() -> None:
    book = a_book()

    book.apply(a_trade())
    book.apply(a_quote(bid=(100, 5)))

    assert (book.bid_ticks, book.ask_lots, book.sequence) == (99, 10, 10)


def test_snapshot_voids_what_was_known_before() -> None:
    book = a_book()

    book.apply(a_snapshot(bids=((90, 1),), asks=((91, 2),), sequence=20))

    assert book.bids.levels() == ((90, 1),)
    assert book.asks.levels() == ((91, 2),)


@pytest.mark.parametrize(
    ("action", "expected"),
    [(OrderAction.ADD, 15), (OrderAction.REDUCE, 5), (OrderAction.DELETE, 5), (OrderAction.EXECUTE, 5)],
)
def test_order_message_moves_its_level(action: OrderAction, expected: int) -> None:
    book = a_book()

    book.apply(a_message(action, 99, 5))

    assert book.bids.lots_at(99) == expected


def test_message_that_takes_more_than_is_shown_is_a_bug_of_the_caller() -> None:
    with pytest.raises(InvariantBroken, match="takes 11 of 10 lots at 99"):
        a_book().apply(a_message(OrderAction.DELETE, 99, 11))


def test_crossed_and_locked_books_say_so() -> None:
    crossed, locked = a_book(), a_book()

    crossed.apply(a_delta(bids=((102, 1),)))
    locked.apply(a_delta(bids=((101, 1),)))

    assert (crossed.is_crossed, crossed.is_locked) == (True, False)
    assert (locked.is_crossed, locked.is_locked) == (False, True)


def test_empty_side_has_no_best_price_and_no_mid() -> None:
    book = Book(NAME)
    book.apply(a_snapshot(asks=()))

    assert (book.ask_ticks, book.ask_lots, book.mid_half_ticks) == (0, 0, 0)
    assert not book.is_two_sided
    assert not book.is_crossed


def test_cleared_book_is_not_ready() -> None:
    book = a_book()

    book.clear()

    assert not book.is_ready
    assert book.bids.levels() == ()


def test_book_as_an_event_rebuilds_the_same_book() -> None:
    book, copy = a_book(), Book(NAME)

    copy.apply(book.snapshot(feed="x", exchange_ns=5, receive_ns=6))

    assert copy.bids.levels() == book.bids.levels()
    assert copy.asks.levels() == book.asks.levels()
    assert copy.sequence == book.sequence


def test_depth_and_bounds_of_a_side() -> None:
    bids = a_book().bids

    assert bids.depth_lots(2) == 30
    assert (bids.best_ticks, bids.worst_ticks, len(bids)) == (99, 97, 3)
    assert list(bids.best_first()) == list(bids.levels())


@settings(max_examples=60, deadline=None)
@given(
    side=st.sampled_from(list(Side)),
    changes=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), max_size=80),
)
def test_side_equals_a_plain_dictionary_sorted_each_time(side: Side, changes: list[tuple[int, int]]) -> None:
    shown, plain = BookSide(side), {}

    for price, lots in changes:
        shown.set_levels(((price, lots),))
        plain[price] = lots
    expected = sorted(((p, q) for p, q in plain.items() if q), key=lambda level: -level[0] * side)

    assert list(shown.levels()) == expected
    assert shown.best_ticks == (expected[0][0] if expected else 0)
