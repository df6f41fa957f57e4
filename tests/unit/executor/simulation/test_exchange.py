"""The simulated venue: order types, amends, cancels, races, latency, reports, fees, status."""

from decimal import Decimal

import pytest

from controlplane.domain.errors import InvalidRequest, StateConflict, UnknownReference
from controlplane.domain.observations import Phase
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from executor.marketdata.events import Fault, FaultKind, MarketEvent, Remedy, Status
from executor.simulation.exchange import Exchange
from executor.simulation.fees import FeeSchedule
from executor.simulation.latency import Delay, LatencyModel
from executor.simulation.venue_orders import VenueOrder
from tests.support.market import FEED, NAME, a_delta, a_snapshot, a_trade, an_instrument

FEES = FeeSchedule(maker_bps=Decimal(-1), taker_bps=Decimal(5))
K = ReportKind
SLOW = LatencyModel(feed_ns=100, entry=Delay(1_000), response=Delay(500))


def an_exchange(*events: MarketEvent, latency: LatencyModel | None = None, fees: FeeSchedule = FEES) -> Exchange:
    exchange = Exchange([an_instrument()], latency=latency, fees=fees)
    for event in (a_snapshot(), *events):
        exchange.on_event(event)
    return exchange


def an_order(
    lots: int = 5,
    price: int = 101,
    *,
    side: Side = Side.BUY,
    child: int = 1,
    force: TimeInForce = TimeInForce.GOOD_TILL_CANCEL,
    kind: OrderType = OrderType.LIMIT,
    instrument: str = NAME,
) -> VenueOrder:
    return VenueOrder(child, instrument, side, kind, force, lots, price, route=7)


def told(reports: list[VenueReport]) -> list[tuple[ReportKind, int, int]]:
    return [(report.kind, report.quantity_lots, report.price_ticks) for report in reports]


def sent(exchange: Exchange, order: VenueOrder, *, now_ns: int = 1_500) -> list[tuple[ReportKind, int, int]]:
    exchange.submit(order, now_ns)
    return told(exchange.advance(now_ns))


ACKNOWLEDGED = (K.ACKNOWLEDGED, 0, 0)
EXPIRED = (K.EXPIRED, 0, 0)
REJECTED = (K.REJECTED, 0, 0)


# --- order types ----------------------------------------------------------------------------------------------------


def test_limit_order_takes_what_it_can_and_rests_with_the_rest() -> None:
    exchange = an_exchange()

    reports = sent(exchange, an_order(lots=14, price=101))

    assert reports == [ACKNOWLEDGED, (K.FILLED, 10, 101)]
    (working,) = exchange.working()
    assert (working.filled_lots, working.remaining_lots, working.ended_by) == (10, 4, None)


def test_market_order_stops_at_its_protection_limit() -> None:
    reports = sent(an_exchange(), an_order(lots=100, price=102, kind=OrderType.MARKET))

    assert reports == [ACKNOWLEDGED, (K.FILLED, 10, 101), (K.FILLED, 20, 102), EXPIRED]


def test_immediate_or_cancel_never_rests() -> None:
    exchange = an_exchange()

    reports = sent(exchange, an_order(lots=14, price=101, force=TimeInForce.IMMEDIATE_OR_CANCEL))

    assert reports == [ACKNOWLEDGED, (K.FILLED, 10, 101), EXPIRED]
    assert exchange.working() == ()


@pytest.mark.parametrize(("lots", "fills"), [(30, [(K.FILLED, 10, 101), (K.FILLED, 20, 102)]), (31, [EXPIRED])])
def test_fill_or_kill_fills_whole_or_not_at_all(lots: int, fills: list[tuple[ReportKind, int, int]]) -> None:
    exchange = an_exchange()

    reports = sent(exchange, an_order(lots=lots, price=102, force=TimeInForce.FILL_OR_KILL))

    assert reports == [ACKNOWLEDGED, *fills]


def test_killed_order_takes_nothing_from_the_next_one() -> None:
    exchange = an_exchange()
    sent(exchange, an_order(lots=31, price=102, force=TimeInForce.FILL_OR_KILL))

    assert sent(exchange, an_order(lots=10, child=2)) == [ACKNOWLEDGED, (K.FILLED, 10, 101)]


def test_post_only_order_rests_or_is_rejected() -> None:
    exchange = an_exchange()

    crossing = sent(exchange, an_order(price=101, force=TimeInForce.POST_ONLY))
    resting = sent(exchange, an_order(price=100, force=TimeInForce.POST_ONLY, child=2))

    assert (crossing, resting) == ([REJECTED], [ACKNOWLEDGED])
    state = exchange.status(1)
    assert state is not None
    assert state.reason == "The order is post-only and would trade at once."


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (an_order(instrument="DOGE"), "DOGE is not traded here."),
        (an_order(kind=OrderType.STOP), "STOP orders are not taken here."),
        (an_order(kind=OrderType.MARKET, force=TimeInForce.POST_ONLY), "A market order can't be post-only."),
        (an_order(price=1_000_001), "The price must lie within 1 and 1000000 ticks."),
        (an_order(lots=100_001), "The quantity must lie within 1 and 100000 lots."),
    ],
)
def test_order_the_venue_does_not_take_is_rejected_with_a_reason(order: VenueOrder, reason: str) -> None:
    exchange = an_exchange()

    assert sent(exchange, order) == [REJECTED]
    state = exchange.status(1)
    assert state is not None
    assert (state.reason, state.ended_by) == (reason, K.REJECTED)


def test_market_without_a_book_or_in_a_halt_rejects() -> None:
    closed = Exchange([an_instrument()])
    halted = an_exchange(Status(NAME, FEED, 1_100, 1_100, 11, Phase.VENUE_HALT))

    assert sent(closed, an_order()) == [REJECTED]
    assert sent(halted, an_order()) == [REJECTED]
    assert [exchange.status(1).reason for exchange in (closed, halted)] == [  # type: ignore[union-attr]
        f"{NAME} has no book yet.",
        f"{NAME} is not trading.",
    ]


def test_distrusted_feed_stops_its_market() -> None:
    exchange = an_exchange()
    sent(exchange, an_order(price=100))

    exchange.on_fault(Fault(FaultKind.GAP, Remedy.SNAPSHOT, FEED, NAME, 2_000, "expected, found"))
    exchange.on_event(a_trade(90, 50, aggressor=Side.SELL, at_ns=2_100))

    assert sent(exchange, an_order(child=2), now_ns=2_200) == [REJECTED]
    assert [state.child_id for state in exchange.working()] == [1]


@pytest.mark.parametrize(("lots", "price"), [(0, 100), (-5, 100), (5, 0), (5, -1), (1 << 41, 100), (5, 1 << 41)])
def test_numbers_no_venue_could_read_are_refused_at_the_door(lots: int, price: int) -> None:
    with pytest.raises(InvalidRequest, match="must lie within"):
        an_exchange().submit(an_order(lots=lots, price=price), 1_500)


def test_child_that_was_sent_before_is_refused() -> None:
    exchange = an_exchange()
    exchange.submit(an_order(), 1_500)

    with pytest.raises(StateConflict, match="was sent before"):
        exchange.submit(an_order(), 1_600)


def test_our_two_sides_never_trade_with_each_other() -> None:
    exchange = an_exchange()
    sent(exchange, an_order(side=Side.SELL, price=102))

    reports = sent(exchange, an_order(lots=50, price=103, child=2))

    assert reports == [ACKNOWLEDGED, (K.FILLED, 10, 101), EXPIRED]
    state = exchange.status(2)
    assert state is not None
    assert state.reason == "The rest would have traded with an order of our own."


# --- resting orders -------------------------------------------------------------------------------------------------


def test_resting_order_is_filled_by_trades_and_says_so_in_pieces() -> None:
    exchange = an_exchange()
    sent(exchange, an_order(lots=5, price=100))

    exchange.on_event(a_trade(100, 2, aggressor=Side.SELL, at_ns=2_000))
    exchange.on_event(a_trade(100, 9, aggressor=Side.SELL, at_ns=2_100, sequence=2))
    first, second = exchange.advance(2_100)

    assert told([first, second]) == [(K.FILLED, 2, 100), (K.FILLED, 3, 100)]
    assert (first.cumulative_lots, second.cumulative_lots) == (2, 5)
    assert (first.route, first.side, first.child_id) == (7, 1, 1)
    assert second.execution_id == first.execution_id + 1
    state = exchange.status(1)
    assert state is not None
    assert (state.ended_by, state.executions) == (K.FILLED, (first, second))


def test_smaller_amend_keeps_its_place_in_the_queue() -> None:
    exchange = an_exchange()
    sent(exchange, an_order(lots=5, price=99))
    exchange.on_event(a_delta(bids=((99, 30),)))

    exchange.amend(1, quantity_lots=4, price_ticks=99, now_ns=2_100)
    amended = told(exchange.advance(2_100))
    exchange.on_event(a_trade(99, 12, aggressor=Side.SELL, at_ns=2_200))

    assert amended == [(K.AMENDED, 4, 99)]
    assert told(exchange.advance(2_200)) == [(K.FILLED, 2, 99)]


@pytest.mark.parametrize(("lots", "price"), [(6, 99), (5, 98)])
def test_larger_amend_or_another_price_goes_to_the_back(lots: int, price: int) -> None:
    exchange = an_exchange()
    sent(exchange, an_order(lots=5, price=99))
    exchange.on_event(a_delta(bids=((99, 30), (98, 40))))

    exchange.amend(1, quantity_lots=lots, price_ticks=price, now_ns=2_100)
    exchange.on_event(a_trade(price, 12, aggressor=Side.SELL, at_ns=2_200))

    assert told(exchange.advance(2_200)) == [(K.AMENDED, lots, price)]


def test_amend_across_the_spread_trades() -> None:
    exchange = an_exchange()
    sent(exchange, an_order(lots=5, price=99))

    exchange.amend(1, quantity_lots=5, price_ticks=101, now_ns=2_000)

    assert told(exchange.advance(2_000)) == [(K.AMENDED, 5, 101), (K.FILLED, 5, 101)]


def test_amend_of_a_post_only_order_across_the_spread_is_rejected_and_it_goes_on() -> None:
    exchange = an_exchange()
    sent(exchange, an_order(lots=5, price=99, force=TimeInForce.POST_ONLY))

    exchange.amend(1, quantity_lots=5, price_ticks=101, now_ns=2_000)

    assert told(exchange.advance(2_000)) == [(K.AMEND_REJECTED, 0, 0)]
    assert [(state.price_ticks, state.remaining_lots) for state in exchange.working()] == [(99, 5)]


def test_amend_to_what_is_filled_already_is_rejected() -> None:
    exchange = an_exchange()
    sent(exchange, an_order(lots=14, price=101))

    exchange.amend(1, quantity_lots=10, price_ticks=101, now_ns=2_000)

    assert told(exchange.advance(2_000)) == [(K.AMEND_REJECTED, 0, 0)]


def test_amend_and_cancel_of_an_unknown_order_are_rejected_by_its_number() -> None:
    exchange = an_exchange()

    exchange.amend(99, quantity_lots=5, price_ticks=99, now_ns=2_000)
    exchange.cancel(99, 2_000)

    assert [(report.kind, report.child_id) for report in exchange.advance(2_000)] == [
        (K.AMEND_REJECTED, 99),
        (K.CANCEL_REJECTED, 99),
    ]


def test_cancel_ends_a_working_order() -> None:
    exchange = an_exchange()
    sent(exchange, an_order(price=99))

    exchange.cancel(1, 2_000)

    assert told(exchange.advance(2_000)) == [(K.CANCELLED, 0, 0)]
    assert exchange.working() == ()


def test_cancel_all_ends_whatever_works_when_it_arrives() -> None:
    exchange = an_exchange(latency=LatencyModel(entry=Delay(100)))
    for child, price in ((1, 99), (2, 98)):
        exchange.submit(an_order(price=price, child=child), 1_500)

    exchange.cancel_all(1_510)
    reports = exchange.advance(5_000)

    assert [(report.kind, report.child_id) for report in reports[2:]] == [(K.CANCELLED, 1), (K.CANCELLED, 2)]


# --- time -----------------------------------------------------------------------------------------------------------


def test_order_meets_the_book_of_its_arrival_not_of_its_sending() -> None:
    exchange = an_exchange(latency=SLOW)

    exchange.submit(an_order(lots=5, price=103), 1_500)
    exchange.on_event(a_delta(asks=((101, 0),), at_ns=2_599))
    exchange.on_event(a_delta(asks=((102, 0),), at_ns=2_601, sequence=12))
    acknowledged, filled = exchange.advance(10_000)

    # Sent at 1,500, acts at 1,500 + 1,000 + 100 on our clock: 101 is gone by then, 102 isn't yet.
    assert (filled.price_ticks, filled.quantity_lots) == (102, 5)
    assert acknowledged.exchange_ns == 2_500
    assert acknowledged.receive_ns == 3_000


def test_reports_come_out_when_they_reach_us_and_not_before() -> None:
    exchange = an_exchange(latency=SLOW)
    exchange.submit(an_order(price=99), 1_500)

    assert exchange.next_ns() == 2_600
    assert exchange.advance(2_999) == []
    assert exchange.next_ns() == 3_000
    assert told(exchange.advance(3_000)) == [ACKNOWLEDGED]
    assert exchange.next_ns() is None


def test_cancel_may_lose_the_race_with_a_fill() -> None:
    exchange = an_exchange(latency=SLOW)
    exchange.submit(an_order(lots=2, price=100), 1_500)
    exchange.advance(3_000)

    exchange.cancel(1, 3_000)
    exchange.on_event(a_trade(100, 2, aggressor=Side.SELL, at_ns=4_099))

    assert told(exchange.advance(9_000)) == [(K.FILLED, 2, 100), (K.CANCEL_REJECTED, 0, 0)]


def test_cancel_that_arrives_first_saves_the_order_from_the_trade() -> None:
    exchange = an_exchange(latency=SLOW)
    exchange.submit(an_order(lots=2, price=100), 1_500)
    exchange.advance(3_000)

    exchange.cancel(1, 3_000)
    exchange.on_event(a_trade(100, 2, aggressor=Side.SELL, at_ns=4_101))

    assert told(exchange.advance(9_000)) == [(K.CANCELLED, 0, 0)]


def test_without_latency_everything_happens_at_once() -> None:
    exchange = an_exchange()

    exchange.submit(an_order(), 1_500)
    reports = exchange.advance(1_500)

    assert {(report.exchange_ns, report.receive_ns) for report in reports} == {(1_500, 1_500)}


def test_varying_delays_keep_commands_and_reports_in_order_and_repeat_with_the_seed() -> None:
    latency = LatencyModel(entry=Delay(1_000, sigma=1.5), response=Delay(1_000, sigma=1.5))

    def run(seed: int) -> list[VenueReport]:
        exchange = Exchange([an_instrument()], latency=latency, seed=seed)
        exchange.on_event(a_snapshot())
        for child in range(1, 40):
            exchange.submit(an_order(lots=1, price=90, child=child), 1_500 + child)
        return exchange.advance(10_000_000)

    first = run(1)

    assert [report.child_id for report in first] == list(range(1, 40))
    assert [report.receive_ns for report in first] == sorted(report.receive_ns for report in first)
    assert [report.exchange_ns for report in first] == sorted(report.exchange_ns for report in first)
    assert first == run(1)
    assert first != run(2)


def test_order_on_its_way_is_unknown_to_the_venue() -> None:
    exchange = an_exchange(latency=SLOW)
    exchange.submit(an_order(price=99), 1_500)

    assert exchange.status(1) is None
    exchange.advance(2_600)
    assert exchange.status(1) is not None


# --- fees -----------------------------------------------------------------------------------------------------------


def test_taker_pays_and_maker_is_paid_rounded_against_us() -> None:
    exchange = an_exchange()
    sent(exchange, an_order(lots=3, price=100))
    exchange.on_event(a_trade(100, 3, aggressor=Side.SELL))
    (maker,) = exchange.advance(2_000)
    exchange.submit(an_order(lots=7, child=2), 2_100)
    _, taker = exchange.advance(2_100)

    # 3 lots of 0.001 at 10.0 are 0.030: a rebate of 3.0 millionths; 7 lots at 10.1 are 0.0707: 35.35 up to 36.
    assert maker.fee_micro == -3
    assert taker.fee_micro == 36


def test_fee_in_parts_of_a_basis_point() -> None:
    exchange = an_exchange(fees=FeeSchedule(taker_bps=Decimal("0.15")))
    exchange.submit(an_order(lots=10), 1_500)

    assert exchange.advance(1_500)[1].fee_micro == 2


def test_fee_of_an_inverse_contract_is_on_its_dollars() -> None:
    instrument = an_instrument(lot="1", is_inverse=True)
    exchange = Exchange([instrument], fees=FEES)
    exchange.on_event(a_snapshot())
    exchange.submit(an_order(lots=10), 1_500)

    # Ten contracts of 100 dollars at 5 bps, whatever the price.
    assert exchange.advance(1_500)[1].fee_micro == 500_000


def test_currency_without_a_rate_is_refused() -> None:
    with pytest.raises(UnknownReference, match="quoted in USDT, which has no rate"):
        Exchange([an_instrument()], rates_micro={"EUR": 1_000_000})


# --- finding out ----------------------------------------------------------------------------------------------------


def test_order_of_a_command_carries_what_the_venue_needs() -> None:
    command = OrderCommand(
        CommandKind.NEW, 5, 5, 9, 7, Side.SELL, OrderType.LIMIT, TimeInForce.POST_ONLY, quantity_lots=3, price_ticks=103
    )

    assert VenueOrder.from_command(command, NAME) == VenueOrder(
        5, NAME, Side.SELL, OrderType.LIMIT, TimeInForce.POST_ONLY, 3, 103, 7
    )


def test_venue_that_starts_again_numbers_its_executions_on() -> None:
    exchange = Exchange([an_instrument()], execution_id_first=500)
    exchange.on_event(a_snapshot())
    exchange.submit(an_order(lots=12, price=102), 1_500)

    assert [report.execution_id for report in exchange.advance(1_500)] == [0, 500, 501]


def test_events_of_other_instruments_pass_by() -> None:
    exchange = Exchange([an_instrument("OTHER")])

    exchange.on_event(a_snapshot())

    assert exchange.now_ns == 1_000
    assert exchange.advance(2_000) == []
