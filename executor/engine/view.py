"""Builds the frozen view a strategy decides on, from the engine's state and nothing else."""

from executor.engine.state import EngineState, MarketWork, ParentWork
from executor.orders.intent import TopOfBook
from executor.strategies.base import MarketVolume, ParentView, View


def view_of(state: EngineState, work: ParentWork, market: MarketWork) -> View:
    """Return what the parent's strategy may know at this moment."""
    parent, now_ns = work.parent, state.now_ns
    window_ns = max(now_ns - work.strategy.market_window_ns, parent.start_ns)
    return View(
        now_ns=now_ns,
        parent=ParentView(
            side=parent.side,
            quantity_lots=parent.quantity_lots,
            filled_lots=parent.filled_lots,
            working_lots=parent.working_lots,
            in_flight_lots=parent.in_flight_lots,
            unplaced_lots=parent.unplaced_lots,
            filled_lots_at_slice_start=work.filled.before(work.strategy.slice_start_ns(now_ns)),
            start_ns=parent.start_ns,
            end_ns=parent.end_ns,
            limit_price_ticks=parent.limit_price_ticks,
            lot_step=work.instrument.lot_step,
            quantity_lots_min=work.instrument.quantity_min_lots,
            participation_bps_max=work.instruction.participation_bps_max or None,
        ),
        book=top_of_book(market),
        market=MarketVolume(
            others_lots_window=market.others.since(window_ns),
            own_lots_window=work.filled.since(window_ns),
            others_lots_since_start=market.others.total - work.start_lots,
            own_lots_since_start=work.filled.total,
        ),
        arrival_mid_half_ticks=work.arrival_bid_ticks + work.arrival_ask_ticks
        if work.arrival_bid_ticks and work.arrival_ask_ticks
        else None,
        setback=work.setback,
    )


def top_of_book(market: MarketWork) -> TopOfBook:
    """Return the best prices and sizes, None twice for an empty side."""
    best = market.best
    return TopOfBook(
        bid_ticks=best.bid_ticks or None,
        bid_lots=best.bid_lots or None,
        ask_ticks=best.ask_ticks or None,
        ask_lots=best.ask_lots or None,
    )
