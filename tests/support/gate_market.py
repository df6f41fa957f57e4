"""A small market for generated streams: prices that wander and come back, and what feeds and venues say about them.

Most of what is said is sound. Now and then a book is crossed, one-sided, empty, too wide or out of range, a price is
old by a hair, a rate is nonsense.
"""

from dataclasses import dataclass, field
from random import Random

from controlplane.domain.observations import Phase, ReferenceSource
from controlplane.domain.quantities import PRICE_TICKS_CAP
from controlplane.gate import words as w
from controlplane.gate.snapshot import Snapshot
from tests.support.gate_universes import SECOND_NS, Listing, listings

MS = 1_000_000
Words = tuple[int, ...]


@dataclass(slots=True)
class SmallMarket:
    """Every instrument of a world with its price of the moment.

    Fields
        ticks  present price by instrument
    """

    chance: Random
    snapshot: Snapshot
    start_ns: int
    listings: tuple[Listing, ...] = ()
    venues: tuple[str, ...] = ()
    ticks: dict[str, float] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.listings = listings(self.start_ns)
        self.venues = tuple(sorted({route.venue for route in self.snapshot.routes}))
        self.ticks = {one.instrument.name: float(one.usual_ticks) for one in self.listings}
        self._numbers = {one.instrument.name: number for number, one in enumerate(self.listings)}

    # --- what can be traded ------------------------------------------------------------------------------------------

    def listing(self, route: int) -> Listing:
        """Return what a route trades."""
        return self.listings[self._numbers[self.snapshot.routes[route].instrument]]

    def any_route(self) -> int:
        """Return some route; seldom one of an instrument or model that may not trade."""
        number = 0
        for _ in range(4):
            number = self.chance.randrange(len(self.snapshot.routes))
            route = self.snapshot.routes[number]
            if route.instrument not in ("BTC-LAST", "BTC-SHUT") and route.model in ("plan", "learned"):
                break
        return number

    def sibling(self, route: int) -> int:
        """Return a route of the same business, usually the one given, else at the other venue; seldom any at all."""
        roll = self.chance.random()
        if roll < 0.75:
            return route
        if roll < 0.755:
            return self.chance.choice((len(self.snapshot.routes), self.chance.randrange(len(self.snapshot.routes))))
        given = self.snapshot.routes[route]
        for number, other in enumerate(self.snapshot.routes):
            is_same = (other.strategy, other.model, other.instrument) == (given.strategy, given.model, given.instrument)
            if number != route and is_same:
                return number
        return route

    def lots(self, route: int) -> int:
        """Return the quantity of an order: around the usual one, seldom many times that or off the grid."""
        one = self.listing(route)
        factor = self.chance.choices((0.3, 1, 2, 6, 60, 10_000, 10**9), (20, 45, 20, 10, 3, 0.7, 0.3))[0]
        lots = int(one.usual_lots * factor * (0.5 + self.chance.random()))
        lots -= lots % one.instrument.lot_step
        return max(1, lots + (self.chance.random() < 0.02))

    def price(self, route: int) -> int:
        """Return the price of an order: usually a few hundredths of a per cent away, seldom far off or off the grid."""
        one = self.listing(route)
        away = self.chance.choices((0.0, 0.0004, 0.01, 0.3), (30, 45, 20, 2))[0] * (self.chance.random() * 2 - 1)
        price = round(self.ticks[one.instrument.name] * (1 + away))
        if one.instrument.price_min_ticks < 0 and self.chance.random() < 0.3:
            price = -price
        if self.chance.random() < 0.01:
            return self.chance.choice((0, price * 1_000, -price, 1))
        if len(one.instrument.tick_bands) > 1 and self.chance.random() < 0.9:
            price -= price % 5
        return price

    def last(self, route: int) -> int:
        """Return the price at which something trades now."""
        return round(self.ticks[self.listing(route).instrument.name])

    # --- what is said about it ---------------------------------------------------------------------------------------

    def observation(self, wall_ns: int) -> Words:
        """Return something that a feed or venue says."""
        one = self.listing(self.any_route())
        roll = self.chance.random()
        if roll < 0.50:
            self._drift(one)
            return self.book(one, wall_ns)
        if roll < 0.62:
            return self._single(one, wall_ns)
        if roll < 0.90:
            lots = int(one.usual_lots * self.chance.choice((0, 1, 5, 30)) * self.chance.random() * 2)
            return self._volume(one, self.chance.randrange(len(self.venues)), lots, wall_ns)
        if roll < 0.96:
            phase = Phase.CONTINUOUS if self.chance.random() < 0.8 else self.chance.choice(list(Phase))
            return self._phase(one, phase, wall_ns)
        return self._rate(self.chance.randrange(len(self.snapshot.rates)), wall_ns)

    def everything(self, wall_ns: int) -> list[Words]:
        """Return a sound observation of everything there is."""
        rates = [self._rate(number, wall_ns) for number in range(len(self.snapshot.rates))]
        return [words for one in self.listings for words in self.about(one, wall_ns)] + rates

    def about(self, one: Listing, wall_ns: int) -> list[Words]:
        """Return book, phase and volumes of one instrument."""
        volumes = [self._volume(one, venue, one.usual_lots * 40, wall_ns) for venue in range(len(self.venues))]
        return [*volumes, self._phase(one, Phase.CONTINUOUS, wall_ns), self.book(one, wall_ns)]

    def _drift(self, one: Listing) -> None:
        """Let the market move a little, seldom a lot, and come back in the long run."""
        name = one.instrument.name
        shock = self.chance.gauss(0, 0.0008) + (self.chance.gauss(0, 0.05) if self.chance.random() < 0.004 else 0)
        pull = 0.01 * (one.usual_ticks - self.ticks[name]) / one.usual_ticks
        self.ticks[name] = max(1.0, self.ticks[name] * (1 + shock + pull))

    def book(self, one: Listing, wall_ns: int) -> Words:
        middle = self.ticks[one.instrument.name]
        half = max(1.0, middle * 0.0003)
        bid, ask, bid_lots, ask_lots = round(middle - half), round(middle + half), 500, 400
        if self.chance.random() > 0.985:
            bid, ask, bid_lots, ask_lots = self.chance.choice(
                ((ask, bid, 5, 5), (ask, ask, 5, 5), (0, ask, 0, 5), (bid, 0, 5, 0), (bid, ask, 0, 5),
                 (bid // 2, ask * 2, 5, 5), (bid, PRICE_TICKS_CAP * 2, 5, 5), (-bid, ask, 5, 5))
            )  # fmt: skip
        return self._reference(one, ReferenceSource.BOOK, (bid, ask, bid_lots, ask_lots), wall_ns)

    def _single(self, one: Listing, wall_ns: int) -> Words:
        source = self.chance.choice((ReferenceSource.MARK, ReferenceSource.LAST_TRADE))
        price = round(self.ticks[one.instrument.name] * (1 + self.chance.gauss(0, 0.0005)))
        other = price if self.chance.random() < 0.97 else price + 1
        return self._reference(one, source, (price, other, 0, 0), wall_ns)

    def _reference(
        self, one: Listing, source: ReferenceSource, quote: tuple[int, int, int, int], wall_ns: int
    ) -> Words:
        bid, ask, bid_lots, ask_lots = quote
        lateness = (0, 2 * MS, SECOND_NS, 2 * SECOND_NS, 2 * SECOND_NS + 1, -3 * SECOND_NS)
        exchange_ns = wall_ns - self.chance.choices(lateness, (65, 30, 2, 0.5, 0.5, 0.5))[0]
        return (
            w.REFERENCE_APPLIED | int(source) << 8 | w.SCHEMA, 0, 0, 0, 0, 0, self._numbers[one.instrument.name], 0, 0,
            bid_lots, bid, ask, ask_lots, max(1, wall_ns - MS), 0, exchange_ns,
        )  # fmt: skip

    def _volume(self, one: Listing, venue: int, lots: int, wall_ns: int) -> Words:
        number = self._numbers[one.instrument.name]
        return plain_words(w.VOLUME_APPLIED, wall_ns, route=number, side=venue, quantity=lots)

    def _phase(self, one: Listing, phase: Phase, wall_ns: int) -> Words:
        return plain_words(w.PHASE_APPLIED, wall_ns, route=self._numbers[one.instrument.name], quantity=int(phase))

    def _rate(self, number: int, wall_ns: int) -> Words:
        usual = {"BTC": 60_000_000_000, "EUR": 1_100_000}.get(self.snapshot.rates[number].currency, 1_000_000)
        moved = int(usual * (1 + self.chance.gauss(0, 0.002)))
        price = self.chance.choices((moved, 0, -1, 10**12 + 1, 1), (95, 1, 1, 1, 0.2))[0]
        return plain_words(w.RATE_APPLIED, wall_ns, route=number, price=price)


def plain_words(head: int, wall_ns: int, *, route: int = 0, side: int = 0, quantity: int = 0, price: int = 0) -> Words:
    """Return input words with nothing in them but what is given."""
    return (head | w.SCHEMA, 0, 0, 0, 0, 0, route, side, 0, quantity, price, 0, 0, wall_ns, 0, wall_ns)
