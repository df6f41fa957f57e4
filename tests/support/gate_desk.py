"""A desk at a gate of either kind: orders, reports and prices in words of the trade, answers as replies.

All limits are boundless but those that a test sets. `Desk(CompiledMachine, bare())` is open for trading at once.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from controlplane.domain.decisions import DenialCode
from controlplane.domain.orders import CommandKind, OrderType, TimeInForce
from controlplane.domain.reports import ReportKind
from controlplane.domain.scopes import Level, Scope
from controlplane.domain.states import TradingState
from controlplane.gate import words as w
from controlplane.gate.snapshot import NO_LIMIT, InstrumentLimits, Node, NodeLimits, ParentLimits, Snapshot
from controlplane.journal.record import failed_codes
from tests.support.gate_machines import Command, Machine, Reply
from tests.support.gate_universes import SECOND_NS, START_NS, USUAL, universe

MakeMachine = Callable[[Snapshot], Machine]
FIRM, STRATEGY, MODEL = Scope(Level.FIRM, "firm"), Scope(Level.STRATEGY, "alpha"), Scope(Level.MODEL, "plan")
MANY = 1 << 40
BTC = 600_000  # usual price of BTC-PERP in ticks; one lot is then worth 60 dollars
LOT_MICRO = 60_000_000


def bare(**changes: object) -> Snapshot:
    """Return the usual world without any limit that could bind."""
    world = universe(1, USUAL)
    boundless = NodeLimits(
        **dict.fromkeys((name for name in NodeLimits.__slots__ if name != "message_reserve_bps"), NO_LIMIT)
    )
    lots = InstrumentLimits(**dict.fromkeys(InstrumentLimits.__slots__, NO_LIMIT))
    nodes = tuple(
        Node(node.scope, boundless, tuple((name, lots) for name, _ in node.instrument_limits)) for node in world.nodes
    )
    parents = tuple((name, ParentLimits(boundless, MANY, MANY)) for name, _ in world.parent_limits)
    return dataclasses.replace(world, nodes=nodes, parent_limits=parents, **changes)  # type: ignore[arg-type]


def limited(snapshot: Snapshot, scope: Scope, instrument: str | None = None, **limits: int) -> Snapshot:
    """Return the limits with some of one scope set, over all instruments or, named, in one."""
    nodes = tuple(_limited(node, instrument, limits) if node.scope == scope else node for node in snapshot.nodes)
    return dataclasses.replace(snapshot, nodes=nodes)


def _limited(node: Node, instrument: str | None, limits: dict[str, int]) -> Node:
    if instrument is None:
        return dataclasses.replace(node, limits=dataclasses.replace(node.limits, **limits))
    own = tuple(
        (name, dataclasses.replace(found, **limits) if name == instrument else found)
        for name, found in node.instrument_limits
    )
    return dataclasses.replace(node, instrument_limits=own)


@dataclass(slots=True)
class Desk:
    """A gate, clocks that stand still until moved, and the orders sent so far."""

    machine: Machine
    snapshot: Snapshot
    wall_ns: int = START_NS
    monotonic_ns: int = 1_000 * SECOND_NS
    is_armed: bool = True
    parents: dict[tuple[int, int], int] = field(default_factory=dict)
    orders: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _id: int = 0
    _execution: int = 0

    @classmethod
    def open(cls, make: MakeMachine, snapshot: Snapshot | None = None) -> "Desk":
        """Return a desk whose market is open: rates, books, phases and volumes have been seen."""
        limits = snapshot or bare()
        desk = cls(make(limits), limits)
        desk.rate("BTC", 60_000_000_000)
        desk.rate("EUR", 1_000_000)
        for name, price in (("BTC-PERP", BTC), ("BTC-COIN", BTC), ("ETH-PERP", 250_000), ("ETH-CALL", 1_200)):
            desk.quote(name, price)
            desk.trade(name, MANY >> 4)
        desk.quote("ETH-SPREAD", 400)
        desk.quote("DUST", 2_500)
        return desk

    def send(self, words: tuple[int, ...]) -> Reply:
        return self.machine.apply(Command(words, self.wall_ns, self.monotonic_ns, 5, self.is_armed))

    def wait(self, span_ns: int) -> None:
        """Let time pass on both clocks."""
        self.wall_ns += span_ns
        self.monotonic_ns += span_ns

    def mint(self) -> int:
        self._id += 256
        return self._id

    @property
    def minted(self) -> int:
        """The identifier given out last."""
        return self._id

    # --- the market -------------------------------------------------------------------------------------------------

    def number(self, instrument: str) -> int:
        return [rules.instrument.name for rules in self.snapshot.instruments].index(instrument)

    def route(self, instrument: str = "BTC-PERP", strategy: str = "alpha", venue: str = "EAST") -> int:
        wanted = (instrument, strategy, venue)
        names = [(route.instrument, route.strategy, route.venue) for route in self.snapshot.routes]
        return names.index(wanted)

    def quote(self, instrument: str, price: int, *, half: int = 1, ahead_ns: int = 0) -> Reply:
        """Have a book seen around a price, and the phase with it."""
        at = self.wall_ns + ahead_ns
        self._observe(w.PHASE_APPLIED, self.number(instrument), quantity=3)
        head = w.REFERENCE_APPLIED | w.SCHEMA
        number = self.number(instrument)
        return self.send((head, 0, 0, 0, 0, 0, number, 0, 0, 5, price - half, price + half, 5, self.wall_ns, 0, at))

    def trade(self, instrument: str, lots: int, *, venues: tuple[int, ...] = (0, 1)) -> None:
        """Have the market trade on some venues."""
        for venue in venues:
            self._observe(w.VOLUME_APPLIED, self.number(instrument), side=venue, quantity=lots)

    def rate(self, currency: str, micro: int) -> Reply:
        number = [rate.currency for rate in self.snapshot.rates].index(currency)
        return self._observe(w.RATE_APPLIED, number, price=micro)

    def _observe(self, kind: int, number: int, *, side: int = 0, quantity: int = 0, price: int = 0) -> Reply:
        return self.send((kind | w.SCHEMA, 0, 0, 0, 0, 0, number, side, 0, quantity, price, 0, 0, self.wall_ns, 0, 0))

    # --- orders -----------------------------------------------------------------------------------------------------

    def parent(self, route: int, side: int, lots: int = MANY) -> int:
        """Return the parent of a route and side, opened when there is none yet."""
        if (route, side) not in self.parents:
            self.parents[route, side] = self.mint()
            opened = w.opening_words(parent_id=self.parents[route, side], route=route, side=side, quantity_lots=lots)
            assert self.send(opened).is_allowed
        return self.parents[route, side]

    def close(self, route: int, side: int) -> Reply:
        return self.send(w.closing_words(self.parents.pop((route, side))))

    def ask(
        self, side: int, lots: int, price: int = BTC, *, route: int | None = None, trigger: int = 0,
        order_type: int = OrderType.LIMIT, force: int = TimeInForce.GOOD_TILL_CANCEL, kind: int = CommandKind.NEW,
    ) -> Reply:  # fmt: skip
        """Return the answer to a new order."""
        on = self.route() if route is None else route
        parent, child = self.parent(on, side), self.mint()
        words = (
            w.ORDER_DECIDED | kind << 8 | w.SCHEMA, 0, 0, child, child, parent, on, side,
            int(order_type) | int(force) << 8, lots, price, trigger, 0, 0, 0, 0,
        )  # fmt: skip
        self.orders[child] = words
        return self.send(words)

    def buy(self, lots: int, price: int = BTC, *, route: int | None = None) -> Reply:
        return self.ask(1, lots, price, route=route)

    def sell(self, lots: int, price: int = BTC, *, route: int | None = None) -> Reply:
        return self.ask(-1, lots, price, route=route)

    @property
    def last(self) -> int:
        """The child order made last."""
        return max(self.orders)

    def amend(self, child: int, **changes: int) -> Reply:
        """Return the answer to an amend of the first terms but for `lots`, `price` or `force`."""
        words = list(self.orders[child])
        words[0], words[3] = w.ORDER_DECIDED | CommandKind.AMEND << 8 | w.SCHEMA, self.mint()
        words[9], words[10] = changes.get("lots", words[9]), changes.get("price", words[10])
        words[8] = changes["force"] << 8 | words[8] & 0xFF if "force" in changes else words[8]
        return self.send(tuple(words))

    def cancel(self, child: int) -> Reply:
        head = w.ORDER_DECIDED | CommandKind.CANCEL << 8 | w.SCHEMA
        return self.send((head, 0, 0, self.mint(), child, *[0] * 11))

    def report(self, kind: ReportKind, child: int, **changes: int) -> Reply:
        """Return the answer to a report; `lots`, `price`, `cumulative`, `execution`, `fee`, `route`, `side`."""
        known = self.orders.get(child, (0,) * 16)
        words = (
            w.REPORT_APPLIED | kind << 8 | w.SCHEMA, 0, 0, 0, child, 0, changes.get("route", known[6]),
            changes.get("side", known[7]), 0, changes.get("lots", 0), changes.get("price", 0),
            changes.get("cumulative", 0), changes.get("reason", 0), changes.get("execution", 0),
            changes.get("fee", 0), self.wall_ns,
        )  # fmt: skip
        return self.send(words)

    def fill(self, child: int, lots: int, price: int = BTC, **changes: int) -> Reply:
        """Report a fill under an execution of its own."""
        self._execution += 1
        return self.report(
            ReportKind.FILLED, child, **{"lots": lots, "price": price, "execution": self._execution} | changes
        )

    def work(self, side: int, lots: int, price: int = BTC, *, route: int | None = None) -> int:
        """Return a child order that its venue has acknowledged."""
        reply = self.ask(side, lots, price, route=route)
        assert reply.is_allowed, codes(reply)
        self.report(ReportKind.ACKNOWLEDGED, self.last)
        return self.last

    def hold(self, lots: int, price: int = BTC, *, route: int | None = None) -> None:
        """Take a position, long or short, through one order that fills whole."""
        self.fill(self.work(1 if lots > 0 else -1, abs(lots), price, route=route), abs(lots), price)

    def stop(self, scope: Scope, state: TradingState) -> None:
        """Put a scope into a stop state."""
        number = [node.scope for node in self.snapshot.nodes].index(scope)
        assert self.send((w.SCOPE_STATE_SET | state << 8 | w.SCHEMA, 0, 0, 0, scope.kind, number, *[0] * 10)).is_allowed

    def pass_time(self) -> None:
        self.send((w.TIME_PASSED | w.SCHEMA, *[0] * 15))

    def roll_day(self) -> None:
        self.send((w.DAY_ROLLED | w.SCHEMA, *[0] * 15))


def codes(reply: Reply) -> set[DenialCode]:
    """Return the checks that failed."""
    return set(failed_codes(reply.words))


def measured(reply: Reply) -> int:
    """Return what the check that decided compared with its limit."""
    return reply.words[20]


def passing(reply: Reply) -> int:
    """Return the largest quantity that would have passed."""
    return reply.words[23]


def notional(reply: Reply) -> int:
    """Return the exposure of the whole order in millionths."""
    return reply.words[28]
