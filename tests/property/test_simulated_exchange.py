"""Whatever the market does and whatever we send: fills stay within orders, limits, prints and displayed levels."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.orders import OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from executor.marketdata.events import MarketEvent, Quote, TradeCondition
from executor.simulation.exchange import Exchange
from executor.simulation.latency import Delay, LatencyModel
from executor.simulation.matching import Matcher
from executor.simulation.queue import CancelModel
from executor.simulation.venue_orders import VenueOrder
from tests.support.market import FEED, NAME, a_delta, a_snapshot, a_trade, an_instrument

PRICES, LOTS = st.integers(95, 105), st.integers(1, 30)
MARKET = st.one_of(
    st.tuples(st.just("level"), st.sampled_from(list(Side)), PRICES, st.integers(0, 30)),
    st.tuples(st.just("trade"), st.sampled_from(list(Side)), PRICES, LOTS),
    st.tuples(st.just("quote"), st.sampled_from(list(Side)), PRICES, LOTS),
)
OURS = st.one_of(
    st.tuples(
        st.just("submit"), st.sampled_from(list(Side)), PRICES, LOTS, st.sampled_from(list(TimeInForce)), st.booleans()
    ),
    st.tuples(st.just("cancel"), st.integers(1, 15)),
    st.tuples(st.just("amend"), st.integers(1, 15), PRICES, LOTS),
    st.tuples(st.just("cancel all")),
)
LATENCIES = st.sampled_from([
    LatencyModel(),
    LatencyModel(feed_ns=3, entry=Delay(40), response=Delay(25)),
    LatencyModel(feed_ns=30, entry=Delay(20, sigma=1.0), response=Delay(10, sigma=1.0)),
])  # fmt: skip
TERMINAL = {ReportKind.CANCELLED, ReportKind.REJECTED, ReportKind.EXPIRED}


class Market:
    """Turns drawn steps into events of a feed whose book never crosses."""

    def __init__(self) -> None:
        self.levels = {Side.BUY: {99: 10, 98: 20}, Side.SELL: {101: 10, 102: 20}}
        self.sequence = 10
        self.trades = 0

    def event(self, kind: str, side: Side, price: int, lots: int, at_ns: int) -> MarketEvent:
        if kind == "trade":
            self.trades += 1
            return a_trade(price, lots, aggressor=side, at_ns=at_ns, sequence=self.trades)
        if kind == "quote":
            bid, ask = (price, price + 1) if side is Side.BUY else (price - 1, price)
            return Quote(NAME, FEED, at_ns, at_ns, self.sequence + 1, bid, lots, ask, lots)
        other = Side(-side)
        gone = [(p, 0) for p in self.levels[other] if lots and (price - p) * side >= 0]
        for p, _ in gone:
            del self.levels[other][p]
        self.levels[side][price] = lots
        self.sequence += 1
        own, removed = ((price, lots),), tuple(gone)
        bids, asks = (own, removed) if side is Side.BUY else (removed, own)
        return a_delta(bids=bids, asks=asks, sequence=self.sequence, at_ns=at_ns)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.one_of(MARKET, OURS), min_size=25, max_size=80),
    latency=LATENCIES,
    cancels=st.sampled_from(list(CancelModel)),
)
def test_reports_are_consistent_with_orders_and_with_each_other(steps, latency, cancels) -> None:
    exchange = Exchange([an_instrument()], latency=latency, cancels=cancels, seed=3)
    exchange.on_event(a_snapshot(bids=((99, 10), (98, 20)), asks=((101, 10), (102, 20))))
    market, reports, orders, now_ns = Market(), [], {}, 1_000
    for step in steps:
        now_ns += 10
        match step:
            case ("submit", side, price, lots, force, is_market):
                kind = OrderType.MARKET if is_market else OrderType.LIMIT
                order = VenueOrder(len(orders) + 1, NAME, side, kind, force, lots, price)
                orders[order.child_id] = order
                exchange.submit(order, now_ns)
            case ("cancel", child):
                exchange.cancel(child, now_ns)
            case ("amend", child, price, lots):
                exchange.amend(child, quantity_lots=lots, price_ticks=price, now_ns=now_ns)
            case ("cancel all",):
                exchange.cancel_all(now_ns)
            case (kind, side, price, lots):
                exchange.on_event(market.event(kind, side, price, lots, now_ns))
        reports += exchange.advance(now_ns)
    exchange.cancel_all(now_ns)
    reports += exchange.advance(now_ns + 10_000)

    check_reports(reports, orders)
    assert exchange.working() == ()
    for child, order in orders.items():
        state = exchange.status(child)
        assert state is not None
        assert state.filled_lots == sum(execution.quantity_lots for execution in state.executions)
        assert state.filled_lots <= state.quantity_lots
        assert state.side is order.side


def check_reports(reports: list[VenueReport], orders: dict[int, VenueOrder]) -> None:
    """Every order: acknowledged or rejected first, fills within its quantity and limit at that time, ended once."""
    assert [report.receive_ns for report in reports] == sorted(report.receive_ns for report in reports)
    executions = [report.execution_id for report in reports if report.kind is ReportKind.FILLED]
    assert executions == sorted(set(executions))
    by_child: dict[int, list[VenueReport]] = defaultdict(list)
    for report in reports:
        if report.child_id in orders and report.kind not in (ReportKind.CANCEL_REJECTED, ReportKind.AMEND_REJECTED):
            by_child[report.child_id].append(report)
    assert set(by_child) == set(orders)
    for child, order in orders.items():
        said = by_child[child]
        limit, total, filled = order.price_ticks, order.quantity_lots, 0
        assert said[0].kind in (ReportKind.ACKNOWLEDGED, ReportKind.REJECTED)
        for report in said:
            if report.kind is ReportKind.AMENDED:
                limit, total = report.price_ticks, report.quantity_lots
            if report.kind is ReportKind.FILLED:
                filled += report.quantity_lots
                assert report.quantity_lots > 0
                assert (limit - report.price_ticks) * order.side >= 0
            assert report.cumulative_lots == filled
            assert filled <= total
        ends = [report for report in said if report.kind in TERMINAL]
        assert len(ends) == (0 if filled == total else 1)
        assert not ends or ends[0] is said[-1]


@settings(max_examples=150, deadline=None)
@given(takes=st.lists(st.tuples(st.sampled_from(list(Side)), PRICES, LOTS), min_size=5, max_size=25))
def test_fills_against_one_displayed_level_never_exceed_it(takes) -> None:
    matcher = Matcher(NAME)
    matcher.on_event(a_snapshot())
    had: dict[tuple[Side, int], int] = defaultdict(int)

    for side, limit, lots in takes:
        for price, part in matcher.take(side, lots, limit):
            had[side, price] += part
            assert (limit - price) * side >= 0

    for (side, price), lots in had.items():
        assert lots <= matcher.book.side(Side(-side)).lots_at(price)


@settings(max_examples=150, deadline=None)
@given(
    resting=st.lists(st.tuples(PRICES.filter(lambda price: price < 101), LOTS), min_size=3, max_size=8),
    trades=st.lists(st.tuples(PRICES, LOTS, st.booleans()), min_size=8, max_size=20),
)
def test_one_print_fills_no_more_than_it_traded_best_price_first_then_the_earlier(resting, trades) -> None:
    exchange = Exchange([an_instrument()])
    exchange.on_event(a_snapshot())
    for child, (price, lots) in enumerate(resting, start=1):
        exchange.submit(
            VenueOrder(child, NAME, Side.BUY, OrderType.LIMIT, TimeInForce.GOOD_TILL_CANCEL, lots, price), 1_100
        )
    exchange.advance(1_100)

    for number, (price, lots, is_hidden) in enumerate(trades, start=1):
        condition = TradeCondition.HIDDEN if is_hidden else TradeCondition.REGULAR
        before = {state.child_id: state for state in exchange.working()}
        exchange.on_event(
            a_trade(price, lots, aggressor=Side.SELL, at_ns=1_100 + number, sequence=number, condition=condition)
        )
        fills = exchange.advance(1_100 + number)

        assert sum(fill.quantity_lots for fill in fills) <= lots
        ranks = [(-before[fill.child_id].price_ticks, fill.child_id) for fill in fills]
        assert ranks == sorted(ranks)
        got = {fill.child_id: fill.quantity_lots for fill in fills}
        for fill in fills:
            price_ticks = before[fill.child_id].price_ticks
            earlier = [s for s in before.values() if s.price_ticks == price_ticks and s.child_id < fill.child_id]
            assert got[fill.child_id] <= before[fill.child_id].remaining_lots
            # An order behind another at the same price is reached only when that one is done.
            assert all(got.get(state.child_id, 0) == state.remaining_lots for state in earlier)
