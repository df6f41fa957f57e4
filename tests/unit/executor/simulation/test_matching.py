"""Our orders against a market's book: what is filled, at what price, how much, and in which order."""

from controlplane.domain.observations import Phase
from controlplane.domain.orders import Side
from executor.marketdata.events import MarketEvent, OrderAction, Status, TradeCondition
from executor.simulation.matching import Fill, Matcher, RestingOrder
from executor.simulation.queue import CancelModel
from tests.support.market import FEED, NAME, a_delta, a_message, a_quote, a_snapshot, a_trade


def a_matcher(*events: MarketEvent, cancels: CancelModel = CancelModel.PROPORTIONAL) -> Matcher:
    matcher = Matcher(NAME, cancels=cancels)
    for event in (a_snapshot(), *events):
        matcher.on_event(event)
    return matcher


def rest(matcher: Matcher, price: int, lots: int, *, side: Side = Side.BUY, child: int = 1) -> RestingOrder:
    order = RestingOrder(child, side, price, lots, child, None)
    matcher.rest(order)
    return order


def ahead(order: RestingOrder) -> int:
    assert order.place is not None
    return order.place.ahead_lots


# --- taking -----------------------------------------------------------------------------------------------------------


def test_incoming_order_walks_the_levels_up_to_its_limit() -> None:
    assert a_matcher().take(Side.BUY, 100, 102) == [(101, 10), (102, 20)]


def test_incoming_sell_walks_the_bids_down() -> None:
    assert a_matcher().take(Side.SELL, 15, 90) == [(99, 10), (98, 5)]


def test_nothing_is_to_be_had_beyond_the_limit() -> None:
    assert a_matcher().take(Side.BUY, 100, 100) == []


def test_the_same_lots_are_not_taken_twice() -> None:
    matcher = a_matcher()

    first, second, third = (matcher.take(Side.BUY, 8, 101) for _ in range(3))

    assert (first, second, third) == ([(101, 8)], [(101, 2)], [])


def test_lots_that_join_a_level_can_be_had() -> None:
    matcher = a_matcher()
    matcher.take(Side.BUY, 10, 101)

    matcher.on_event(a_delta(asks=((101, 14),)))

    assert matcher.take(Side.BUY, 100, 101) == [(101, 4)]


def test_taken_lots_leave_the_level_first_when_it_trades() -> None:
    matcher = a_matcher()
    matcher.take(Side.BUY, 6, 101)

    matcher.on_event(a_trade(101, 6, at_ns=1_500))
    matcher.on_event(a_delta(asks=((101, 4),), at_ns=2_000))

    # The feed printed six and shows the four behind them, which were never ours.
    assert matcher.takeable_lots(Side.BUY, 100, 101) == 4


def test_cancels_take_taken_lots_in_proportion() -> None:
    matcher = a_matcher()
    matcher.take(Side.BUY, 5, 101)

    matcher.on_event(a_delta(asks=((101, 6),)))

    # Four of ten were cancelled, two of them counted as ours: three are still taken.
    assert matcher.takeable_lots(Side.BUY, 100, 101) == 3


def test_level_that_left_and_came_back_is_whole() -> None:
    matcher = a_matcher()
    matcher.take(Side.BUY, 10, 101)

    matcher.on_event(a_delta(asks=((101, 0),), sequence=11))
    matcher.on_event(a_delta(asks=((101, 7),), sequence=12, at_ns=3_000))

    assert matcher.takeable_lots(Side.BUY, 100, 101) == 7


def test_newer_quote_replaces_what_lies_before_its_price() -> None:
    matcher = a_matcher(a_quote(ask=(102, 4), sequence=15))

    assert matcher.take(Side.BUY, 100, 103) == [(102, 4), (103, 30)]


def test_newer_quote_inside_the_spread_can_be_had() -> None:
    matcher = a_matcher(a_quote(ask=(100, 3), sequence=15))

    assert matcher.take(Side.BUY, 5, 101) == [(100, 3), (101, 2)]


def test_quote_that_the_book_has_overtaken_counts_no_more() -> None:
    matcher = a_matcher(a_quote(ask=(103, 4), sequence=9))

    assert matcher.take(Side.BUY, 5, 101) == [(101, 5)]


# --- resting ----------------------------------------------------------------------------------------------------------


def test_order_joins_behind_what_its_level_shows() -> None:
    matcher = a_matcher()

    order = rest(matcher, 99, 5)

    assert ahead(order) == 10
    assert matcher.on_event(a_trade(99, 10, aggressor=Side.SELL)) == []
    assert matcher.on_event(a_trade(99, 3, aggressor=Side.SELL, sequence=2)) == [Fill(1, 3, 99, is_maker=True)]


def test_order_inside_the_spread_is_first_in_its_queue() -> None:
    matcher = a_matcher()
    rest(matcher, 100, 5)

    assert matcher.on_event(a_trade(100, 2, aggressor=Side.SELL)) == [Fill(1, 2, 100, is_maker=True)]


def test_trade_through_the_price_fills_at_the_orders_own_price_and_no_more_than_traded() -> None:
    matcher = a_matcher()
    order = rest(matcher, 99, 50)

    assert matcher.on_event(a_trade(98, 4, aggressor=Side.SELL)) == [Fill(1, 4, 99, is_maker=True)]
    assert ahead(order) == 0


def test_trade_of_the_other_side_or_at_a_better_price_does_not_reach_the_order() -> None:
    matcher = a_matcher()
    rest(matcher, 98, 5)

    assert matcher.on_event(a_trade(98, 100, aggressor=Side.BUY)) == []
    assert matcher.on_event(a_trade(99, 100, aggressor=Side.SELL, sequence=2)) == []


def test_trade_off_the_book_fills_nobody() -> None:
    matcher = a_matcher()
    rest(matcher, 100, 5)

    assert matcher.on_event(a_trade(90, 50, aggressor=Side.SELL, condition=TradeCondition.OFF_BOOK)) == []


def test_hidden_trade_fills_a_displayed_order_first_but_shortens_no_queue() -> None:
    matcher = a_matcher()
    inside, queued = rest(matcher, 100, 5), rest(matcher, 99, 5, child=2)

    fills = matcher.on_event(a_trade(100, 3, aggressor=Side.SELL, condition=TradeCondition.HIDDEN))
    none = matcher.on_event(a_trade(99, 4, aggressor=Side.SELL, sequence=2, condition=TradeCondition.HIDDEN))

    assert fills == [Fill(1, 3, 100, is_maker=True)]
    # The rest of the order inside the spread stands before the price of the second trade.
    assert none == [Fill(1, 2, 100, is_maker=True)]
    assert (inside.remaining_lots, ahead(queued)) == (0, 10)


def test_cancels_shorten_the_queue_in_proportion_and_trades_are_not_taken_for_cancels() -> None:
    matcher = a_matcher()
    order = rest(matcher, 98, 5)
    matcher.on_event(a_delta(bids=((98, 40),), sequence=11, at_ns=2_000))
    assert ahead(order) == 20

    matcher.on_event(a_trade(98, 4, aggressor=Side.SELL, at_ns=2_500))
    assert ahead(order) == 16
    matcher.on_event(a_delta(bids=((98, 27),), sequence=12, at_ns=3_000))

    # 40 shown, 4 traded, 27 left: 9 of 36 were cancelled, a quarter of the 16 ahead.
    assert ahead(order) == 12


def test_trade_younger_than_the_refresh_waits_for_the_next_one() -> None:
    matcher = a_matcher()
    order = rest(matcher, 98, 5)

    matcher.on_event(a_trade(98, 4, aggressor=Side.SELL, at_ns=2_500))
    matcher.on_event(a_delta(bids=((98, 20),), sequence=11, at_ns=2_400, receive_ns=2_600))
    matcher.on_event(a_delta(bids=((98, 16),), sequence=12, at_ns=3_000))

    assert ahead(order) == 16


def test_other_side_that_comes_to_our_price_trades_with_us_up_to_what_it_shows() -> None:
    matcher = a_matcher()
    order = rest(matcher, 100, 9)

    fills = matcher.on_event(a_delta(bids=((99, 0),), asks=((100, 4), (99, 3))))

    assert fills == [Fill(1, 7, 100, is_maker=True)]
    assert order.remaining_lots == 2
    assert matcher.takeable_lots(Side.BUY, 100, 100) == 0


def test_newer_quote_that_comes_to_our_price_trades_with_us() -> None:
    matcher = a_matcher()
    rest(matcher, 100, 9)

    assert matcher.on_event(a_quote(ask=(100, 4), sequence=15)) == [Fill(1, 4, 100, is_maker=True)]


def test_better_price_goes_first_then_the_earlier_order() -> None:
    matcher = a_matcher()
    rest(matcher, 100, 2, child=1)
    rest(matcher, 100, 2, child=2)
    rest(matcher, 99, 2, child=3)

    fills = matcher.on_event(a_trade(98, 5, aggressor=Side.SELL))

    assert [(fill.child_id, fill.quantity_lots) for fill in fills] == [(1, 2), (2, 2), (3, 1)]


def test_two_orders_of_ours_share_one_queue() -> None:
    matcher = a_matcher()
    rest(matcher, 99, 3, child=1)
    rest(matcher, 99, 3, child=2)

    fills = matcher.on_event(a_trade(99, 15, aggressor=Side.SELL))

    assert [(fill.child_id, fill.quantity_lots) for fill in fills] == [(1, 3), (2, 2)]


def test_order_below_the_levels_shown_finds_its_place_when_they_come_into_view() -> None:
    matcher = a_matcher()
    order = rest(matcher, 95, 5)
    assert order.place is None

    assert matcher.on_event(a_trade(95, 100, aggressor=Side.SELL, at_ns=1_500)) == []
    matcher.on_event(a_delta(bids=((95, 12),), is_window=True))

    assert ahead(order) == 12


def test_level_that_slides_out_of_view_and_back_keeps_the_place() -> None:
    matcher = a_matcher()
    order = rest(matcher, 97, 5)

    matcher.on_event(a_delta(bids=((97, 0),), sequence=11, is_window=True))
    assert ahead(order) == 30
    matcher.on_event(a_delta(bids=((97, 22),), sequence=12, is_window=True))

    assert ahead(order) == 22


def test_feed_of_single_orders_tells_who_stood_ahead() -> None:
    matcher = a_matcher()
    order = rest(matcher, 99, 5)

    matcher.on_event(a_message(OrderAction.ADD, 99, 8, order_id=70, sequence=11))
    matcher.on_event(a_message(OrderAction.REDUCE, 99, 3, order_id=70, sequence=12))
    assert ahead(order) == 10
    matcher.on_event(a_message(OrderAction.DELETE, 99, 4, order_id=5, sequence=13))
    assert ahead(order) == 6

    matcher.on_event(a_trade(99, 6, aggressor=Side.SELL))
    matcher.on_event(a_message(OrderAction.EXECUTE, 99, 6, order_id=6, sequence=14))
    assert ahead(order) == 0


def test_snapshot_in_the_middle_only_shrinks_places() -> None:
    matcher = a_matcher()
    first, second = rest(matcher, 99, 5), rest(matcher, 98, 5, child=2)

    matcher.on_event(a_snapshot(bids=((99, 4), (98, 90)), sequence=50, at_ns=9_000))

    assert (ahead(first), ahead(second)) == (4, 20)


# --- standing still ---------------------------------------------------------------------------------------------------


def test_halted_market_fills_nobody_until_it_trades_again() -> None:
    matcher = a_matcher()
    rest(matcher, 100, 5)
    matcher.on_event(Status(NAME, FEED, 2_000, 2_000, 11, Phase.VENUE_HALT))

    halted = matcher.on_event(a_trade(98, 5, aggressor=Side.SELL))
    matcher.on_event(Status(NAME, FEED, 3_000, 3_000, 12, Phase.CONTINUOUS))
    trading = matcher.on_event(a_trade(98, 5, aggressor=Side.SELL, sequence=2))

    assert (halted, len(trading)) == ([], 1)


def test_suspended_market_stands_still_until_a_snapshot() -> None:
    matcher = a_matcher()
    rest(matcher, 100, 5)
    matcher.suspend()

    assert not matcher.is_open
    assert matcher.take(Side.BUY, 5, 200) == []
    assert matcher.on_event(a_trade(98, 5, aggressor=Side.SELL)) == []
    matcher.on_event(a_snapshot(sequence=30, at_ns=3_000))
    assert matcher.is_open
