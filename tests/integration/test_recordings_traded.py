"""The simulated exchange on recorded books: what our orders get is what the recording shows at that moment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.domain.orders import OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from executor.marketdata.events import BookDelta, Fault, MarketEvent, OrderMessage, Quote, Trade, TradeCondition
from executor.marketdata.readers.recordings import Recording, find
from executor.simulation.exchange import Exchange
from executor.simulation.latency import Delay, LatencyModel
from executor.simulation.replay import Replay
from executor.simulation.venue_orders import VenueOrder

S = 1_000_000_000
CASES = [("binance_l2_trades_raw_ws", "BTCUSDT", 60 * S), ("lobster_nasdaq_2012-06-21", "AMZN", 600 * S)]


def recording_of(recorded_data: Path, folder: str, instrument: str) -> Recording:
    if not (recorded_data / folder).is_dir():
        pytest.skip(f"the recordings of ../shared/data/{folder} are not beside this checkout")
    return find(recorded_data / folder, instrument)


def first_of(recording: Recording, duration_ns: int) -> Iterator[tuple[int, MarketEvent]]:
    end_ns = 0
    for time_ns, item in Replay([recording.open()]):
        assert not isinstance(item, Fault)
        end_ns = end_ns or time_ns + duration_ns
        if time_ns > end_ns:
            return
        yield time_ns, item


def an_order(child: int, instrument: str, side: Side, lots: int, price: int, force: TimeInForce) -> VenueOrder:
    return VenueOrder(child, instrument, side, OrderType.LIMIT, force, lots, price)


@pytest.mark.parametrize(("folder", "instrument", "duration_ns"), CASES)
def test_one_lot_bought_at_once_costs_the_recorded_best_ask(
    recorded_data: Path, folder: str, instrument: str, duration_ns: int
) -> None:
    recording = recording_of(recorded_data, folder, instrument)
    replay = Replay([recording.open()])
    exchange = Exchange([recording.instrument])
    quote: Quote | None = None
    child, due_ns, end_ns = 0, 0, 0

    for time_ns, item in replay:
        assert not isinstance(item, Fault)
        exchange.on_event(item)
        quote = item if isinstance(item, Quote) else quote
        book = replay.guards[recording.name].book
        end_ns = end_ns or time_ns + duration_ns
        if time_ns > end_ns:
            break
        if not book.is_ready or time_ns < due_ns:
            continue
        due_ns, child = time_ns + duration_ns // 60, child + 1
        is_newer = quote is not None and quote.sequence > book.sequence
        best_ticks = quote.ask_ticks if quote is not None and is_newer else book.ask_ticks
        exchange.submit(
            an_order(child, recording.instrument.name, Side.BUY, 1, best_ticks, TimeInForce.FILL_OR_KILL), time_ns
        )
        _, filled = exchange.advance(time_ns)
        assert (filled.kind, filled.quantity_lots, filled.price_ticks) == (ReportKind.FILLED, 1, best_ticks)

    assert child >= 50


@pytest.mark.parametrize(("folder", "instrument", "duration_ns"), CASES)
def test_resting_orders_are_filled_at_their_price_by_what_reached_it(
    recorded_data: Path, folder: str, instrument: str, duration_ns: int
) -> None:
    """A bid is renewed at the best bid; each fill needs a print at or below it, or an ask that came down to it."""
    recording = recording_of(recorded_data, folder, instrument)
    latency = LatencyModel(feed_ns=1_000_000, entry=Delay(2_000_000), response=Delay(2_000_000))
    exchange = Exchange([recording.instrument], latency=latency)
    prices: dict[int, int] = {}
    reports: list[VenueReport] = []
    reached: list[tuple[int, int, int]] = []
    child, due_ns, lots = 0, 0, 200

    for time_ns, item in first_of(recording, duration_ns):
        before = {state.child_id: state.filled_lots for state in exchange.working()}
        exchange.on_event(item)
        for state in exchange.working():
            grown = state.filled_lots - before.get(state.child_id, 0)
            if grown and isinstance(item, Trade):
                assert item.price_ticks <= state.price_ticks
                assert item.aggressor is Side.SELL
                assert grown <= item.quantity_lots
                assert item.condition is not TradeCondition.OFF_BOOK
                reached.append((state.child_id, time_ns, grown))
            elif grown:
                assert isinstance(item, BookDelta | OrderMessage | Quote)
        reports += exchange.advance(time_ns)
        if time_ns >= due_ns and isinstance(item, BookDelta | OrderMessage):
            due_ns, child = time_ns + duration_ns // 40, child + 1
            if child > 1:
                exchange.cancel(child - 1, time_ns)
            best_bid = exchange.book(recording.instrument.name).bid_ticks
            prices[child] = best_bid
            order = an_order(child, recording.instrument.name, Side.BUY, lots, best_bid, TimeInForce.POST_ONLY)
            exchange.submit(order, time_ns)

    fills = [report for report in reports if report.kind is ReportKind.FILLED]
    assert fills
    assert reached
    assert all(fill.price_ticks == prices[fill.child_id] for fill in fills)
    for number in prices:
        mine = [fill for fill in fills if fill.child_id == number]
        assert sum(fill.quantity_lots for fill in mine) <= lots
