"""What the limits say, by name: how an instrument is valued, what a route passes through, what parents may become."""

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from math import ceil

from controlplane.domain.instruments import Contract, Instrument
from controlplane.domain.quantities import BPS, MICRO, NANO
from controlplane.domain.scopes import Route, Scope
from controlplane.gate.snapshot import NO_LIMIT, InstrumentRules, ModelRule, NodeLimits, ParentLimits, Snapshot

# What a product of lots and prices may reach before it is refused; the compiled gate has 64 bits and no warning.
PRODUCT_MAX = 1 << 60
BANDS_MAX = 4


class Payoff(Enum):
    """How quantity and price become money."""

    LINEAR = "lots x ticks x unit, in millionths of the currency"
    INVERSE = "lots x unit / ticks, in billionths of the coin"
    OPTION = "long as linear; short by the stressed underlying"


@dataclass(frozen=True, slots=True)
class Terms:
    """One instrument as the gate values it.

    Fields
        unit             worth of one lot at one tick; of an inverse contract a whole number, rounded up
        currency         in which the product is counted, before it becomes reporting currency
        lots_safe        largest quantity whose product at any admissible price stays within PRODUCT_MAX
        underlying       instrument whose price values a short option, None for everything else
        underlying_unit  worth of one lot of the option at one tick of that instrument
        sessions         moments at which it trades, each from its first nanosecond up to and without its last
    """

    rules: InstrumentRules
    payoff: Payoff
    unit: Fraction
    currency: str
    lots_safe: int
    underlying: str | None
    underlying_unit: Fraction
    sessions: tuple[tuple[int, int], ...]

    @property
    def instrument(self) -> Instrument:
        return self.rules.instrument

    @property
    def name(self) -> str:
        return self.rules.instrument.name

    def is_price_possible(self, price_ticks: int) -> bool:
        """Return whether a trade at this price could have happened at all."""
        is_inside = self.instrument.price_min_ticks <= price_ticks <= self.instrument.price_max_ticks
        return is_inside and (price_ticks > 0 or self.payoff is not Payoff.INVERSE)

    def tick_step(self, price_ticks: int) -> int:
        """Return the step of the price grid at a price: that of the last band that begins at or below it."""
        steps = [
            step for first, step in self.instrument.tick_bands[:BANDS_MAX] if step > 0 and abs(price_ticks) >= first
        ]
        return steps[-1] if steps else 1

    def is_trading(self, now_ns: int) -> bool:
        """Return whether a moment lies in a session."""
        return any(opened <= now_ns < closed for opened, closed in self.sessions)


def terms_of(snapshot: Snapshot) -> tuple[Terms, ...]:
    """Return the terms of every instrument of the limits, in their order."""
    instruments = {rules.instrument.name: rules.instrument for rules in snapshot.instruments}
    return tuple(_terms(rules, instruments, dict(snapshot.calendars)) for rules in snapshot.instruments)


def _terms(
    rules: InstrumentRules,
    instruments: dict[str, Instrument],
    calendars: dict[str, tuple[tuple[int, int], ...]],
) -> Terms:
    instrument = rules.instrument
    lot, tick = Fraction(instrument.lot_size) * Fraction(instrument.multiplier), Fraction(instrument.tick_size)
    widest = max(abs(instrument.price_min_ticks), instrument.price_max_ticks, 1)
    payoff, underlying, underlying_unit = Payoff.LINEAR, None, Fraction(0)
    if instrument.is_inverse:
        payoff, unit = Payoff.INVERSE, Fraction(ceil(lot / tick * NANO))
        lots_safe = PRODUCT_MAX // unit.numerator
    else:
        unit = lot * tick * MICRO
        lots_safe = PRODUCT_MAX // (unit.numerator * widest)
    if instrument.contract is Contract.OPTION and not instrument.is_inverse:
        underlying = instrument.option.underlying_instrument if instrument.option else instrument.underlying
        payoff, underlying_unit = Payoff.OPTION, lot * Fraction(instruments[underlying].tick_size) * MICRO
    currency = instrument.settlement_currency if instrument.is_inverse else instrument.currency
    return Terms(rules, payoff, unit, currency, lots_safe, underlying, underlying_unit, calendars[instrument.calendar])


@dataclass(frozen=True, slots=True)
class RouteTerms:
    """One route with the scopes it passes through above the parent order, and what its strategy's parents may become.

    Fields
        scopes  firm, desk, strategy, model, instrument, underlying, venue, counterparty
        model   None when the limits know no model of this name, which counts as not approved
        own_book  instrument, book and beneficial owner (GT33); None where its orders are compared with none
    """

    route: Route
    scopes: tuple[Scope, ...]
    model: ModelRule | None
    parent_limits: ParentLimits
    own_book: tuple[str, str, str] | None

    @property
    def business(self) -> tuple[str, ...]:
        """Everything of the route but venue and counterparty: what all children of one parent share."""
        return (self.route.desk, self.route.strategy, self.route.model, self.route.instrument)

    @property
    def model_digest(self) -> int:
        """First 63 bits of the pinned bytes' SHA-256, 0 where the strategy has no learned model."""
        if self.model is None or not self.model.artefact_sha256:
            return 0
        return int.from_bytes(bytes.fromhex(self.model.artefact_sha256)[:8], "big") >> 1

    def is_model_approved(self, now_ns: int) -> bool:
        """Return whether the model may ask for orders at this moment."""
        if self.model is None or not self.model.is_approved:
            return False
        return self.model.expires_ns is None or now_ns < self.model.expires_ns


def routes_of(snapshot: Snapshot) -> tuple[RouteTerms, ...]:
    """Return every route of the allow list, in the order of its numbers."""
    underlyings = {rules.instrument.name: rules.instrument.underlying for rules in snapshot.instruments}
    models = {model.name: model for model in reversed(snapshot.models)}
    parents = dict(snapshot.parent_limits)
    return tuple(
        RouteTerms(
            route,
            route.scopes(underlyings[route.instrument]),
            models.get(route.model),
            parents.get(route.strategy, ParentLimits()),
            _own_book(route, dict(snapshot.owners), dict(snapshot.books)),
        )
        for route in snapshot.routes
    )


def _own_book(route: Route, owners: dict[str, str], books: dict[str, str]) -> tuple[str, str, str] | None:
    if route.desk not in owners or route.venue not in books:
        return None
    return route.instrument, books[route.venue], owners[route.desk]


def order_messages_max(limits: NodeLimits) -> int:
    """Return how many messages new orders and amends may use: the budget less the share that is kept for cancels."""
    if limits.message_count_max == NO_LIMIT:
        return NO_LIMIT
    return limits.message_count_max * (BPS - limits.message_reserve_bps) // BPS
