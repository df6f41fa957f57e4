"""What the loop does with market data: check it, keep the book and the tape, and tell the gate what it needs to know.

The gate hears of best prices when they move and in any case before they grow old, of market volume, of the trading
phase, and for coin-margined contracts of the coin's worth. A feed that is cut off takes its reference away with it.
"""

from controlplane.domain.instruments import Instrument
from controlplane.domain.observations import (
    Phase,
    PhaseObserved,
    RateObserved,
    ReferenceObserved,
    ReferenceSource,
    VolumeObserved,
)
from controlplane.domain.quantities import MICRO
from executor.engine import records
from executor.engine.events import Action, Observe, WriteRecord
from executor.engine.state import NO_QUOTE, EngineState, MarketWork
from executor.marketdata.events import Fault, MarketEvent, Remedy, Status, Trade, TradeCondition
from executor.marketdata.quarantine import FeedGuard

VOLUME_CONDITIONS = frozenset({TradeCondition.REGULAR, TradeCondition.HIDDEN})


def hear(state: EngineState, item: MarketEvent | Fault, actions: list[Action]) -> None:
    """Take in what a feed said: trusted events move book and tape, faults are recorded and told to the gate."""
    market = state.markets.get(item.instrument)
    if market is None:
        state.counts["events_of_unknown_instruments"] += 1
        return
    admitted = item if market.is_admitted else market.guard.admit(item)
    if isinstance(admitted, Fault):
        on_fault(state, market, admitted, actions)
        return
    if admitted is None:
        return
    if isinstance(admitted, Trade):
        if admitted.condition in VOLUME_CONDITIONS:
            market.others.add(state.now_ns, admitted.quantity_lots)
            market.turnover_half_tick_lots += 2 * admitted.price_ticks * admitted.quantity_lots
            market.unreported_lots += admitted.quantity_lots
    elif isinstance(admitted, Status):
        market.phase, market.is_phase_stated = admitted.phase, True
        observe_phase(state, market, actions)
    market.take_best(admitted)
    if market.is_usable:
        market.mids.note(state.now_ns, market.mid_half_ticks)
    observe(state, market, actions)


def start_afresh(state: EngineState, venue: str) -> None:
    """Forget what a venue's feeds showed before its connection was lost; their numbers may begin again."""
    for market in state.markets.values():
        if market.venue == venue and not market.is_admitted:
            market.guard = FeedGuard(market.guard.feed, market.guard.instrument, market.guard.limits)
            market.best = NO_QUOTE


def on_fault(state: EngineState, market: MarketWork, fault: Fault, actions: list[Action]) -> None:
    """Record a fault; when it cut the feed off, take reference and phase away from the gate.

    Single events that were withheld are all counted; of a stream of them only some are recorded.
    """
    state.counts[f"faults {fault.kind.value}"] += 1
    is_withheld = fault.remedy is Remedy.WITHHOLD
    if is_withheld and state.now_ns - market.withheld_recorded_ns < state.rules.record_withheld_ns:
        return
    actions.append(WriteRecord(records.feed_quarantined(fault, state.now_ns)))
    if is_withheld:
        market.withheld_recorded_ns = state.now_ns
    else:
        observe(state, market, actions, is_forced=True)
        observe_phase(state, market, actions)


def observe(state: EngineState, market: MarketWork, actions: list[Action], *, is_forced: bool = False) -> None:
    """Tell the gate of the best prices and the volume, when they moved, grew old, or an order is about to be asked."""
    age_ns = state.now_ns - market.observed_ns
    bid_ticks, ask_ticks = market.bid_ticks, market.ask_ticks
    has_moved = (bid_ticks, ask_ticks) != (market.observed_bid_ticks, market.observed_ask_ticks)
    is_due = age_ns >= state.rules.observe_still_ns or (has_moved and age_ns >= state.rules.observe_moved_ns)
    if not is_due and not (is_forced and (has_moved or market.unreported_lots)):
        return
    _observe_reference(state, market, bid_ticks, ask_ticks, actions)
    is_volume_due = state.now_ns - market.volume_observed_ns >= state.rules.observe_slow_ns
    # No trades for a while is known volume too, as long as the feed is sound: it is told as zero lots.
    if market.unreported_lots or (is_volume_due and market.is_usable):
        volume = VolumeObserved(
            instrument=market.guard.instrument,
            venue=market.venue,
            traded_lots=market.unreported_lots,
            exchange_ns=market.best.exchange_ns,
            receive_ns=state.now_ns,
        )
        actions.append(Observe(volume))
        market.unreported_lots, market.volume_observed_ns = 0, state.now_ns
    if (
        phase_of(market) is not market.phase_observed
        or state.now_ns - market.phase_observed_ns >= state.rules.observe_slow_ns
    ):
        observe_phase(state, market, actions)


def observe_due(state: EngineState, actions: list[Action]) -> None:
    """Check every feed for silence; a stale one is cut off."""
    for market in state.markets.values():
        fault = market.guard.check_age(state.now_ns)
        if fault is not None:
            on_fault(state, market, fault, actions)


def observe_phase(state: EngineState, market: MarketWork, actions: list[Action]) -> None:
    """Tell the gate the trading phase."""
    phase = phase_of(market)
    market.phase_observed, market.phase_observed_ns = phase, state.now_ns
    actions.append(Observe(PhaseObserved(instrument=market.guard.instrument, phase=phase, receive_ns=state.now_ns)))


def phase_of(market: MarketWork) -> Phase:
    """Return the phase the venue stated, or continuous while one that states none shows a sound book; else unknown."""
    if not market.guard.book.is_ready or market.guard.fault is not None:
        return Phase.UNKNOWN
    return market.phase if market.is_phase_stated else Phase.CONTINUOUS


def _observe_reference(
    state: EngineState, market: MarketWork, bid_ticks: int, ask_ticks: int, actions: list[Action]
) -> None:
    best = market.best
    instrument = state.instruments[market.guard.instrument]
    reference = ReferenceObserved(
        instrument=instrument.name,
        source=ReferenceSource.BOOK,
        bid_ticks=bid_ticks,
        ask_ticks=ask_ticks,
        bid_lots=best.bid_lots if bid_ticks else 0,
        ask_lots=best.ask_lots if ask_ticks else 0,
        exchange_ns=best.exchange_ns,
        receive_ns=best.receive_ns,
    )
    actions.append(Observe(reference))
    if instrument.is_inverse and bid_ticks and ask_ticks:
        actions.append(Observe(_coin_worth(instrument, bid_ticks, state.now_ns)))
    market.observed_ns = state.now_ns
    market.observed_bid_ticks, market.observed_ask_ticks = bid_ticks, ask_ticks


def _coin_worth(instrument: Instrument, bid_ticks: int, now_ns: int) -> RateObserved:
    """Return what one coin of a coin-margined contract is worth: its own best bid in the quote currency."""
    rate_micro = int(instrument.price(bid_ticks) * MICRO)
    return RateObserved(currency=instrument.settlement_currency, rate_micro=rate_micro, receive_ns=now_ns)
