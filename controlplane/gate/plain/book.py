"""Everything the gate remembers, as objects with names: scopes, positions, live orders, parents, prices, volumes.

Only what happened is stored. What follows from it (the exposure of a scope, its loss, its gross) is a sum over the
parts, formed whenever somebody asks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from controlplane.domain.observations import Phase, ReferenceSource
from controlplane.domain.scopes import SCOPE_KINDS, CrossDimension, Level, Scope, ScopeKind
from controlplane.domain.states import TradingState
from controlplane.gate.plain.breakers import Guard, Guards
from controlplane.gate.plain.terms import RouteTerms, Terms, order_messages_max
from controlplane.gate.plain.windows import Recents, Walk, Window
from controlplane.gate.snapshot import InstrumentLimits, NodeLimits, ParentLimits


@dataclass(slots=True)
class Reference:
    """The last thing one source said about one instrument, and whether it may serve as a reference price."""

    bid_ticks: int
    ask_ticks: int
    exchange_ns: int
    receive_ns: int
    is_healthy: bool

    def age_ns(self, now_ns: int) -> int:
        """Return the age by the clock that makes it older; a time ahead of us is as far off as one behind."""
        return max(abs(now_ns - self.exchange_ns), abs(now_ns - self.receive_ns))


@dataclass(slots=True)
class Rate:
    """Worth of one unit of a currency in millionths of the reporting currency; 0 until observed."""

    micro: int
    observed_ns: int
    is_fixed: bool


@dataclass(slots=True)
class Market:
    """What the gate knows of one instrument's market.

    Fields
        middles       of each healthy reference, rounded down and up
        disagreed     when references lay too far apart last, on the monotonic clock, and how far
        walk          where the market was
        static_ticks  centre of the static collar, 0 before the first healthy book of the day
        high_ticks    price at which positions are bought back, low_ticks at which they are sold; 0 before there was one
    """

    terms: Terms
    static_ticks: int
    references: dict[ReferenceSource, Reference] = field(default_factory=dict)
    high_ticks: int = 0
    low_ticks: int = 0
    middles: dict[ReferenceSource, tuple[int, int]] = field(default_factory=dict)
    disagreed: tuple[int, int] | None = None
    walk: Walk = field(default_factory=Walk)
    phase: int = Phase.UNKNOWN
    phase_ns: int = 0

    def fresh_references(self, now_ns: int) -> list[tuple[Reference, int]]:
        """Return the healthy references that are fresh, with their ages, in the order in which they are preferred."""
        ages = [(reference, reference.age_ns(now_ns)) for reference in self.healthy_references()]
        return [(reference, age) for reference, age in ages if age <= self.terms.rules.reference_age_ns_max]

    def healthy_references(self) -> list[Reference]:
        """Return the healthy references, however old."""
        found = [self.references[source] for source in ReferenceSource if source in self.references]
        return [reference for reference in found if reference.is_healthy]


@dataclass(slots=True)
class Volume:
    """Traded lots of one instrument, over all venues or on one: the market's, ours, and our live aggressive orders.

    Fields
        observed_ns  wall time of the last observation; first_ns monotonic time of the first, None before it
    """

    floor_lots: int
    market: Window
    own: Window
    live_lots: int = 0
    observed_ns: int = 0
    first_ns: int | None = None


@dataclass(slots=True, eq=False)
class Cell:
    """One scope in one instrument: confirmed position, live orders, and what both were worth when last valued."""

    terms: Terms
    limits: InstrumentLimits
    position_lots: int = 0
    buy_lots: int = 0
    sell_lots: int = 0
    buy_micro: int = 0
    sell_micro: int = 0
    held_long_micro: int = 0
    held_short_micro: int = 0
    cash_raw: int = 0
    fees_micro: int = 0
    worth_micro: int = 0

    @property
    def long_micro(self) -> int:
        """Worst long: what is held long and every live buy."""
        return self.held_long_micro + self.buy_micro

    @property
    def short_micro(self) -> int:
        """Worst short: what is held short and every live sell."""
        return self.held_short_micro + self.sell_micro

    @property
    def is_in_use(self) -> bool:
        return self.position_lots != 0 or self.cash_raw != 0


@dataclass(slots=True, eq=False)
class Behaviour:
    """What a scope does over time (GT29, GT30, GT36).

    Fields
        turnover_micro  worth of today's fills
        repeats         times that a fill was followed by another order; is_filled says that one would be the next
    """

    orders: Window
    cancels: Window
    fills: Window
    orders_min: int
    turnover_micro: int = 0
    repeats: int = 0
    is_filled: bool = False


@dataclass(slots=True, eq=False)
class Node:
    """One scope over all its instruments.

    Fields
        number  by which records name it
        cells   of its own, by instrument; for instruments and underlyings those of the firm
        guard   what its breakers and dynamic limits say; None when it has none
    """

    kind: ScopeKind
    number: int
    limits: NodeLimits
    messages: Window
    denials: Window
    behaviour: Behaviour | None = None
    cells: dict[str, Cell] = field(default_factory=dict)
    guard: Guard | None = None
    state: int = TradingState.ACTIVE
    live_orders: int = 0
    baseline_micro: int = 0
    is_loss_unknown: bool = False

    @property
    def order_messages_max(self) -> int:
        return order_messages_max(self.limits)

    @property
    def long_micro(self) -> int:
        return sum(cell.long_micro for cell in self.cells.values())

    @property
    def short_micro(self) -> int:
        return sum(cell.short_micro for cell in self.cells.values())

    @property
    def gross_micro(self) -> int:
        """Sum over the instruments of the larger worst case; nothing nets across instruments."""
        return sum(max(cell.long_micro, cell.short_micro) for cell in self.cells.values())

    @property
    def buy_micro(self) -> int:
        return sum(cell.buy_micro for cell in self.cells.values())

    @property
    def sell_micro(self) -> int:
        return sum(cell.sell_micro for cell in self.cells.values())

    @property
    def worth_micro(self) -> int:
        return sum(cell.worth_micro for cell in self.cells.values())

    @property
    def loss_micro(self) -> int:
        """Loss since the baseline; a gain is negative."""
        return self.baseline_micro - self.worth_micro


class Place(NamedTuple):
    """A scope on an order's path, and its cell in the order's instrument (the firm's for instrument and underlying)."""

    node: Node
    cell: Cell | None


# The path of an order by kind of scope; empty while nothing is known of it.
Path = dict[ScopeKind, Place]


class Holding(NamedTuple):
    """A cell and the scopes whose totals it is part of: its own and, for the firm's, instrument and underlying."""

    cell: Cell
    nodes: tuple[Node, ...]


@dataclass(slots=True, eq=False)
class Parent:
    """A parent order: the quantity that its children share, and a scope of its own.

    Fields
        arrival       bid and ask when it was opened, added; 0 before there was a price
        cost, drift   lots times twice the price paid above it, and times what the mid price had moved by then, added
        counted_lots  lots that these two were counted over
    """

    parent_id: int
    slot: int
    route: RouteTerms
    side: int
    quantity_lots: int
    limits: ParentLimits
    place: Place
    is_open: bool = True
    filled_lots: int = 0
    live_lots: int = 0
    children: int = 0
    amends: int = 0
    arrival: int = 0
    cost: int = 0
    drift: int = 0
    counted_lots: int = 0


class OrderState:
    """How far a live order has got, by the numbers that records show."""

    RESERVED, SENT, WORKING, UNKNOWN, AMENDING = 1, 2, 3, 4, 5


class Pricing(NamedTuple):
    """Total, price and trigger of an order, and the price at which its exposure was valued."""

    total_lots: int
    price_ticks: int
    trigger_ticks: int
    value_ticks: int


@dataclass(slots=True, eq=False)
class LiveOrder:
    """An order from its reservation until the venue has confirmed its end.

    Fields
        asked          terms that the venue has, or was asked for by an amend in flight
        before         terms to return to when that amend is rejected; None when none is in flight
        amend_request  identifier of the amend that was allowed last
        reserved_lots  live part that counts in every limit, with reserved_micro its exposure
        type_word      order type and time in force as they were asked for
        is_ending      the venue said that it ended and filled more than we have seen: asked.total_lots says how much
    """

    child_id: int
    parent: Parent
    route: RouteTerms
    side: int
    asked: Pricing
    reserved_lots: int
    reserved_micro: int
    is_aggressive: bool
    type_word: int
    state: int = OrderState.RESERVED
    before: Pricing | None = None
    amend_request: int = 0
    filled_lots: int = 0
    is_cancelling: bool = False
    is_ending: bool = False


@dataclass(slots=True)
class Book:
    """The whole memory of a gate."""

    routes: tuple[RouteTerms, ...]
    markets: dict[str, Market]
    rates: dict[str, Rate]
    nodes: dict[Scope, Node]
    holdings: dict[str, list[Holding]]
    volumes: dict[tuple[str, str | None], Volume]
    free_slots: list[int]
    window_ns: tuple[int, int, int]
    duplicates: Recents
    rejects: Recents
    guards: Guards = field(default_factory=Guards)
    parents: dict[int, Parent] = field(default_factory=dict)
    orders: dict[int, LiveOrder] = field(default_factory=dict)

    def path(self, route: RouteTerms, parent: Place) -> Path:
        """Return the nine places of an order, levels first, then cross dimensions."""
        places = self.path_without_parent(route)
        return {kind: parent if kind == Level.PARENT else places[kind] for kind in SCOPE_KINDS}

    def path_without_parent(self, route: RouteTerms) -> Path:
        """Return the eight places of a route above and beside the parent order."""
        instrument = route.route.instrument
        firm_cell = self.nodes[route.scopes[0]].cells[instrument]
        places: Path = {}
        for scope in route.scopes[: Level.PARENT]:
            places[Level(scope.kind)] = Place(self.nodes[scope], self.nodes[scope].cells[instrument])
        for scope in route.scopes[Level.PARENT :]:
            node = self.nodes[scope]
            is_firm_wide = scope.kind in (CrossDimension.INSTRUMENT, CrossDimension.UNDERLYING)
            places[CrossDimension(scope.kind)] = Place(node, firm_cell if is_firm_wide else node.cells[instrument])
        return places

    def path_of(self, order: LiveOrder) -> Path:
        """Return the path of a live order."""
        return self.path(order.route, order.parent.place)

    def volumes_of(self, route: RouteTerms) -> tuple[Volume, Volume]:
        """Return the volume of the route's instrument over all venues, and on the route's venue."""
        name = route.route.instrument
        return self.volumes[name, None], self.volumes[name, route.route.venue]

    def rate_micro(self, terms: Terms) -> int:
        """Return the worth of one unit of the currency in which an instrument is valued."""
        return self.rates[terms.currency].micro

    def underlying_ticks(self, terms: Terms) -> int:
        """Return the price that values a short option, 0 for everything else."""
        return self.markets[terms.underlying].high_ticks if terms.underlying else 0

    def held(self, instrument: str) -> Iterator[Holding]:
        """Yield every cell of an instrument with the scopes whose totals it is part of, parents' own included."""
        yield from self.holdings[instrument]
        for parent in self.parents.values():
            if parent.route.route.instrument == instrument and parent.place.cell is not None:
                yield Holding(parent.place.cell, (parent.place.node,))
