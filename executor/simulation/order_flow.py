"""A generated market in a perpetual and an option on it: endless, plausible, and the same for the same seed.

A fair price wanders about its mean. Limit orders, cancels and market orders arrive at random around it; orders that
the fair price has passed are traded against or withdrawn, so that prices follow. It is a modest source of
events with a living book, not a model of impact: it doesn't react to us.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat

from controlplane.domain.clock import NS_PER_MS, NS_PER_S
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.instruments import Instrument, OptionRight
from controlplane.domain.orders import Side
from executor.marketdata.book import Book
from executor.marketdata.events import BookDelta, BookSnapshot, Fault, MarketEvent, Quote, Trade
from executor.simulation.chance import Chance

# The fair price moves on this grid of time, which all feeds of a market share.
GRID_NS = 20 * NS_PER_MS
YEAR_NS = 365 * 86_400 * NS_PER_S


@dataclass(frozen=True, slots=True)
class FlowProfile:
    """How a generated book looks and how busy it is.

    Fields
        order_lots_mean   mean size of a limit order
        market_lots_mean  mean size of a market order
        arrivals_per_s    limit orders, cancels and market orders together
        market_frac       share of market orders among them
        cancel_frac       share of cancels
        levels            levels a side that are kept filled
        distance_mean     mean distance of a new order from the best possible price, in levels
        snapshot_ns       time between two snapshots, from which a reader can recover
        feed_ns           from the venue to us
    """

    order_lots_mean: float
    market_lots_mean: float
    arrivals_per_s: float = 60.0
    market_frac: float = 0.15
    cancel_frac: float = 0.30
    levels: int = 10
    distance_mean: float = 3.5
    snapshot_ns: int = 10 * NS_PER_S
    feed_ns: int = NS_PER_MS


# Lots are thousandths of a coin on the perpetual and whole contracts on the option.
PERPETUAL_PROFILE = FlowProfile(order_lots_mean=6_000.0, market_lots_mean=4_000.0)
OPTION_PROFILE = FlowProfile(order_lots_mean=12.0, market_lots_mean=6.0)


@dataclass(frozen=True, slots=True)
class FairPath:
    """A price that wanders about its mean; iterating yields its value at every point of the time grid, without end.

    Fields
        mean                in the quote currency
        volatility          of a year, 0.6 for 60 %
        half_life_s         time in which half of a distance from the mean is lost
    """

    seed: int
    mean: float
    volatility: float = 0.15
    half_life_s: float = 300.0

    def __iter__(self) -> Iterator[float]:
        chance = Chance(self.seed)
        step_s = GRID_NS / NS_PER_S
        pull = math.log(2.0) / self.half_life_s * step_s
        spread = self.volatility * math.sqrt(GRID_NS / YEAR_NS)
        value = self.mean
        while True:
            yield value
            value += pull * (self.mean - value) + spread * value * chance.normal()
            # A price is positive however long the market runs.
            value = max(value, self.mean / 10.0)


@dataclass(frozen=True, slots=True)
class OptionPath:
    """The value of an option whose future follows a fair path, at every point of the time grid.

    Source
        F. Black, 1976, "The pricing of commodity contracts", equation 16, with no discounting over the short run
    """

    future: FairPath
    strike: float
    right: OptionRight
    start_ns: int
    expiry_ns: int
    volatility: float = 0.6

    def __iter__(self) -> Iterator[float]:
        now_ns = self.start_ns
        for forward in self.future:
            years = max(self.expiry_ns - now_ns, 0) / YEAR_NS
            yield black76(forward, self.strike, years, self.volatility, self.right)
            now_ns += GRID_NS


class GeneratedFeed:
    """The feed of one generated instrument; its events never end.

    Arguments
        instrument  definition with tick and lot; its quantities are drawn in whole lots
        fair        the fair price on the time grid, from the start each time it is iterated
        start_ns    time of the first event at the venue
    """

    def __init__(
        self,
        instrument: Instrument,
        *,
        fair: Iterable[float],
        seed: int,
        start_ns: int,
        profile: FlowProfile,
    ) -> None:
        self.instrument = instrument
        self.feed = f"generated-{instrument.name}"
        self.profile = profile
        self._fair = fair
        self._seed = seed
        self._start_ns = start_ns
        self._tick = float(instrument.tick_size)

    @property
    def instrument_name(self) -> str:
        """Name of the instrument that the events carry."""
        return self.instrument.name

    def events(self) -> Iterator[MarketEvent | Fault]:
        """Yield events from the beginning, the same ones each time: snapshot, then deltas, trades, quotes, for ever."""
        chance, fair = Chance(self._seed), iter(self._fair)
        flow = _Flow(self, chance)
        grid_ns, time_ns = self._start_ns, self._start_ns
        center = next(fair) / self._tick
        yield flow.opening(center, time_ns)
        snapshot_due_ns = time_ns + self.profile.snapshot_ns
        mean_ns = NS_PER_S / self.profile.arrivals_per_s
        for _ in repeat(None):
            # At least a microsecond, so that no two events of the venue share a time.
            time_ns += max(1_000, int(chance.exponential(mean_ns)))
            while grid_ns + GRID_NS <= time_ns:
                grid_ns += GRID_NS
                center = next(fair) / self._tick
            yield from flow.step(center, time_ns)
            if time_ns >= snapshot_due_ns:
                snapshot_due_ns += self.profile.snapshot_ns
                yield flow.snapshot(time_ns)


class _Flow:
    """The book of a generated feed and what arrives in it."""

    def __init__(self, feed: GeneratedFeed, chance: Chance) -> None:
        self._feed = feed
        self._profile = feed.profile
        self._chance = chance
        self._book = Book(feed.instrument.name)
        self._sequence = 0
        self._trade_number = 0
        self._quoted: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._changed: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self._trades: list[tuple[int, int, Side]] = []

    def opening(self, center: float, time_ns: int) -> BookSnapshot:
        """Return the first book: every level filled on both sides of the fair price."""
        for side in Side:
            for distance in range(self._profile.levels):
                self._set(
                    side,
                    self._edge(side, center) - side * distance,
                    self._draw_lots(self._profile.order_lots_mean),
                )
        self._changed = {Side.BUY: {}, Side.SELL: {}}
        self._sequence += 1
        return self.snapshot(time_ns)

    def snapshot(self, time_ns: int) -> BookSnapshot:
        """Return the present book."""
        return BookSnapshot(
            self._feed.instrument.name,
            self._feed.feed,
            time_ns,
            time_ns + self._profile.feed_ns,
            self._sequence,
            self._book.bids.levels(),
            self._book.asks.levels(),
        )

    def step(self, center: float, time_ns: int) -> list[MarketEvent]:
        """Return what happens at one arrival: prices follow the fair one, one order arrives, the book is kept full."""
        for side in Side:
            self._follow(side, center)
        kind, side = self._chance.uniform(), Side.BUY if self._chance.below(2) else Side.SELL
        if kind < self._profile.market_frac:
            self._market_order(side, self._draw_lots(self._profile.market_lots_mean))
        elif kind < self._profile.market_frac + self._profile.cancel_frac:
            self._cancel(side)
        else:
            distance = self._chance.geometric(self._profile.distance_mean) - 1
            self._add(side, self._edge(side, center) - side * min(distance, self._profile.levels - 1))
        for side in Side:
            self._keep_full(side, center)
        return self._emitted(time_ns)

    # --- what can happen --------------------------------------------------------------------------------------------

    def _follow(self, side: Side, center: float) -> None:
        """Clear the orders of a side that the fair price has passed: half are traded against, half withdrawn."""
        edge, shown = self._edge(side, center), self._book.side(side)
        while shown and (shown.best_ticks - edge) * side > 0:
            price, lots = shown.best_ticks, shown.lots_at(shown.best_ticks)
            if self._chance.is_hit(0.5):
                self._trades.append((price, lots, Side(-side)))
            self._set(side, price, 0)

    def _market_order(self, aggressor: Side, lots: int) -> None:
        """Trade through the other side, but leave it at least half of its levels."""
        side = Side(-aggressor)
        shown = self._book.side(side)
        while lots and len(shown) > self._profile.levels // 2:
            price = shown.best_ticks
            part = min(lots, shown.lots_at(price))
            self._trades.append((price, part, aggressor))
            self._set(side, price, shown.lots_at(price) - part)
            lots -= part

    def _cancel(self, side: Side) -> None:
        levels = self._book.side(side).levels()
        if levels:
            price, lots = levels[self._chance.below(len(levels))]
            self._set(side, price, max(0, lots - self._draw_lots(self._profile.order_lots_mean)))

    def _add(self, side: Side, price: int) -> None:
        if price > 0:
            self._set(
                side, price, self._book.side(side).lots_at(price) + self._draw_lots(self._profile.order_lots_mean)
            )

    def _keep_full(self, side: Side, center: float) -> None:
        """Refill a side that lost its best or its deepest levels, and drop what lies too deep."""
        edge, shown = self._edge(side, center), self._book.side(side)
        if not shown or ((edge - shown.best_ticks) * side > 0 and self._chance.is_hit(0.7)):
            self._add(side, edge)
        price = edge
        while len(shown) < self._profile.levels and price > 0:
            if not shown.lots_at(price) and (price - shown.best_ticks) * side < 0:
                self._add(side, price)
            price -= side
        while len(shown) > self._profile.levels + 4:
            self._set(side, shown.worst_ticks, 0)

    def _edge(self, side: Side, center: float) -> int:
        """Return the best price a side may quote: just below the fair price for bids, just above for asks."""
        return max(1, math.ceil(center) - 1) if side is Side.BUY else max(2, math.floor(center) + 1)

    def _draw_lots(self, mean: float) -> int:
        step = self._feed.instrument.lot_step
        return self._chance.geometric(mean) * step

    def _set(self, side: Side, price: int, lots: int) -> None:
        self._book.side(side).set_levels(((price, lots),))
        self._changed[side][price] = lots

    # --- what the feed says about it --------------------------------------------------------------------------------

    def _emitted(self, time_ns: int) -> list[MarketEvent]:
        name, feed, receive_ns = self._feed.instrument.name, self._feed.feed, time_ns + self._profile.feed_ns
        made: list[MarketEvent] = []
        for price, lots, aggressor in self._trades:
            self._trade_number += 1
            made.append(Trade(name, feed, time_ns, receive_ns, self._trade_number, price, lots, aggressor))
        self._trades = []
        bids, asks = (tuple(self._changed[side].items()) for side in (Side.BUY, Side.SELL))
        if bids or asks:
            before, self._sequence = self._sequence, self._sequence + 1
            made.append(BookDelta(name, feed, time_ns, receive_ns, before, before + 1, before + 1, bids, asks))
            self._changed = {Side.BUY: {}, Side.SELL: {}}
        book = self._book
        best = (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)
        if best != self._quoted:
            self._quoted = best
            made.append(Quote(name, feed, time_ns, receive_ns, self._sequence, *best))
        return made


def generated_market(
    perpetual: Instrument,
    option: Instrument,
    *,
    seed: int,
    start_ns: int,
    mean_price: float,
    volatility: float = 0.15,
    implied_volatility: float = 0.6,
    perpetual_profile: FlowProfile = PERPETUAL_PROFILE,
    option_profile: FlowProfile = OPTION_PROFILE,
) -> tuple[GeneratedFeed, GeneratedFeed]:
    """Return the feeds of a perpetual and of an option on it, which moves with it by its Black-76 value.

    Arguments
        mean_price          mean of the perpetual in its quote currency
        volatility          of the perpetual's fair price, a year
        implied_volatility  that the option is valued with
    Errors
        InvalidRequest when the option has no terms or no expiry after the start
    """
    terms, expiry_ns = option.option, option.expiry_ns
    if terms is None or expiry_ns is None or expiry_ns <= start_ns:
        raise InvalidRequest(
            f"{option.name} needs option terms and an expiry after the start of the market; correct its definition.",
            field="option",
        )
    streams = Chance(seed)
    path = FairPath(streams.bits(), mean_price, volatility)
    value = OptionPath(path, float(terms.strike), terms.right, start_ns, expiry_ns, implied_volatility)
    return (
        GeneratedFeed(perpetual, fair=path, seed=streams.bits(), start_ns=start_ns, profile=perpetual_profile),
        GeneratedFeed(option, fair=value, seed=streams.bits(), start_ns=start_ns, profile=option_profile),
    )


def black76(forward: float, strike: float, years: float, volatility: float, right: OptionRight) -> float:
    """Return the undiscounted value of a European option on a future."""
    sign = 1.0 if right is OptionRight.CALL else -1.0
    deviation = volatility * math.sqrt(years)
    if deviation <= 0.0:
        return max(sign * (forward - strike), 0.0)
    d1 = math.log(forward / strike) / deviation + deviation / 2.0
    return sign * (forward * _normal_cdf(sign * d1) - strike * _normal_cdf(sign * (d1 - deviation)))


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
