"""A valid default for every noun that a gate takes: order, amend, cancel, report, observation, limits.

Change what a test is about and leave the rest: `order_command(quantity_lots=7)`, `tightened(roomy_snapshot(),
"desk:crypto", gross_notional_micro_max=10)`. A gate that these fit stands in `rig.py`: `Rig.open(folder).buy(10)`.
"""

import dataclasses
from typing import Any

from controlplane.domain.observations import (
    Phase,
    PhaseObserved,
    RateObserved,
    ReferenceObserved,
    ReferenceSource,
    VolumeObserved,
)
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.domain.scopes import CrossDimension, Route, Scope, parse_scope
from controlplane.gate.snapshot import NO_LIMIT, InstrumentLimits, Node, NodeLimits, ParentLimits, Snapshot
from tests.support.policies import AS_OF_NS, small_snapshot

ROUTE = Route("crypto", "crypto/twap", "crypto/twap/schedule", "BTC-PERP", "SIM", "SIM-CLEARING")
OTHER_STRATEGY = Route("crypto", "crypto/pov", "crypto/pov/schedule", "BTC-PERP", "SIM", "SIM-CLEARING")
INVERSE = dataclasses.replace(ROUTE, instrument="BTC-INVERSE")
CALL = dataclasses.replace(ROUTE, instrument="ETH-CALL")
SECOND_VENUE = "SIM-B"
ELSEWHERE = dataclasses.replace(ROUTE, venue=SECOND_VENUE)

PRICE = 600_000  # ticks of 0.1, so one lot of 0.001 BTC-PERP is worth 60 USD
LOT_MICRO = 60_000_000

ROOMY_MICRO = 1 << 50
ROOMY_LOTS = 1 << 40
ROOMY_COUNT = 1_000_000


# --- orders, reports, observations ------------------------------------------------------------------------------------


def order_command(**changes: Any) -> OrderCommand:
    """Return a limit order to buy 10 lots at the market's middle; a new order's request is the child itself."""
    child_id = changes.pop("child_id", 0x1000)
    fields: dict[str, Any] = {
        "kind": CommandKind.NEW, "request_id": child_id, "child_id": child_id, "parent_id": 0x500, "route": 0,
        "side": Side.BUY, "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GOOD_TILL_CANCEL,
        "quantity_lots": 10, "price_ticks": PRICE,
    }  # fmt: skip
    return OrderCommand(**fields | changes)


def amend_command(order: OrderCommand, *, request_id: int, **changes: Any) -> OrderCommand:
    """Return an amend that asks for the order's own terms, less what is changed."""
    return dataclasses.replace(order, kind=CommandKind.AMEND, request_id=request_id, **changes)


def cancel_command(order: OrderCommand, *, request_id: int) -> OrderCommand:
    """Return the cancel of an order."""
    return dataclasses.replace(
        order, kind=CommandKind.CANCEL, request_id=request_id, quantity_lots=0, price_ticks=0, trigger_ticks=0
    )


def venue_report(kind: ReportKind = ReportKind.ACKNOWLEDGED, child_id: int = 0x1000, **changes: Any) -> VenueReport:
    """Return a report about one child order."""
    return VenueReport(kind, child_id, **changes)


def book(
    bid: int = PRICE - 1, ask: int = PRICE + 1, *, instrument: str = "BTC-PERP", at_ns: int = AS_OF_NS, **changes: Any
) -> ReferenceObserved:
    """Return a two-sided book around the usual price."""
    observed = ReferenceObserved(instrument, ReferenceSource.BOOK, bid, ask, 1_000, 1_000, at_ns, at_ns)
    return dataclasses.replace(observed, **changes)


def price_of(source: ReferenceSource, price: int = PRICE, **changes: Any) -> ReferenceObserved:
    """Return one price without sizes, as a mark or a last trade states it."""
    return book(price, price, source=source, bid_lots=0, ask_lots=0, **changes)


def volume(lots: int = 1 << 30, *, venue: str = "SIM", at_ns: int = AS_OF_NS, **changes: Any) -> VolumeObserved:
    """Return lots that the whole market traded on a venue."""
    return dataclasses.replace(VolumeObserved("BTC-PERP", venue, lots, at_ns, at_ns), **changes)


def phase(stated: Phase = Phase.CONTINUOUS, *, instrument: str = "BTC-PERP", at_ns: int = AS_OF_NS) -> PhaseObserved:
    """Return the trading phase of an instrument."""
    return PhaseObserved(instrument, stated, at_ns)


def rate(rate_micro: int = LOT_MICRO * 1_000, *, currency: str = "BTC", at_ns: int = AS_OF_NS) -> RateObserved:
    """Return the worth of a currency; a bitcoin is 60,000 USD unless said otherwise."""
    return RateObserved(currency, rate_micro, at_ns)


# Prices are compared with the static reference alone, unless a test asks for more.
UNBOUND: dict[str, Any] = {
    "dynamic_collar_bps": NO_LIMIT, "references_min": 0, "disagreement_bps_max": NO_LIMIT, "walk_bps_max": NO_LIMIT
}  # fmt: skip

# --- limits -----------------------------------------------------------------------------------------------------------


def roomy_snapshot(**changes: Any) -> Snapshot:
    """Return the small limits with every number so wide that nothing binds; the floor of market volume is zero.

    Tighten one number and it alone decides.
    """
    snapshot = small_snapshot()
    nodes = tuple(
        Node(node.scope, _roomy_limits(), tuple((name, _roomy_lines()) for name, _ in node.instrument_limits))
        for node in snapshot.nodes
    )
    parents = tuple(
        (name, ParentLimits(_roomy_limits(), children_max=ROOMY_COUNT, amends_max=ROOMY_COUNT))
        for name, _ in snapshot.parent_limits
    )
    rules = tuple(dataclasses.replace(rule, participation_floor_lots=0, **UNBOUND) for rule in snapshot.instruments)
    # Most tests buy and sell at one price: whether their own orders could meet is asked where it is the question.
    free: dict[str, Any] = {"nodes": nodes, "parent_limits": parents, "instruments": rules, "owners": ()}
    return dataclasses.replace(snapshot, **(free | changes))


def _roomy_limits() -> NodeLimits:
    return NodeLimits(
        order_notional_micro_max=ROOMY_MICRO,
        gross_notional_micro_max=ROOMY_MICRO,
        net_notional_micro_max=ROOMY_MICRO,
        open_notional_micro_max=ROOMY_MICRO,
        live_orders_max=ROOMY_COUNT,
        daily_loss_micro_max=ROOMY_MICRO,
        message_count_max=ROOMY_COUNT,
        message_reserve_bps=0,
        denied_count_max=ROOMY_COUNT,
    )


def _roomy_lines() -> InstrumentLimits:
    return InstrumentLimits(
        order_quantity_lots_max=ROOMY_LOTS,
        position_long_lots_max=ROOMY_LOTS,
        position_short_lots_max=ROOMY_LOTS,
        participation_bps_max=10_000,
    )


def tightened(snapshot: Snapshot, scope: str, *, instrument: str = "BTC-PERP", **limits: int) -> Snapshot:
    """Return the limits with some numbers of one scope changed; `parent` stands for every parent of the usual strategy.

    A number of an instrument's line (quantity, position, participation) is changed in the line of `instrument`.
    """
    lines = {field.name for field in dataclasses.fields(InstrumentLimits)}
    of_line = {name: value for name, value in limits.items() if name in lines}
    of_node = {name: value for name, value in limits.items() if name not in lines}
    if scope == "parent":
        return with_parent_limits(snapshot, limits=of_node)
    found = parse_scope(scope)
    assert found in {node.scope for node in snapshot.nodes}, f"the limits hold no {scope}"
    return dataclasses.replace(
        snapshot,
        nodes=tuple(
            _changed_node(node, of_node, of_line, instrument) if node.scope == found else node
            for node in snapshot.nodes
        ),
    )


def _changed_node(node: Node, of_node: dict[str, int], of_line: dict[str, int], instrument: str) -> Node:
    return dataclasses.replace(
        node,
        limits=dataclasses.replace(node.limits, **of_node),
        instrument_limits=tuple(
            (name, dataclasses.replace(line, **of_line) if name == instrument else line)
            for name, line in node.instrument_limits
        ),
    )


def with_parent_limits(
    snapshot: Snapshot, *, limits: dict[str, int] | None = None, strategy: str = ROUTE.strategy, **changes: int
) -> Snapshot:
    """Return the limits with other ones for every parent of a strategy."""
    parents = tuple(
        (
            name,
            dataclasses.replace(own, limits=dataclasses.replace(own.limits, **(limits or {})), **changes)
            if name == strategy
            else own,
        )
        for name, own in snapshot.parent_limits
    )
    return dataclasses.replace(snapshot, parent_limits=parents)


def with_rules(snapshot: Snapshot, instrument: str = "BTC-PERP", **changes: Any) -> Snapshot:
    """Return the limits with other rules for one instrument, whether they stand in its terms or beside them."""
    own = {field.name for field in dataclasses.fields(type(snapshot.instruments[0]))} - {"instrument"}
    beside = {name: value for name, value in changes.items() if name in own}
    terms = {name: value for name, value in changes.items() if name not in own}
    rules = tuple(
        dataclasses.replace(rule, instrument=dataclasses.replace(rule.instrument, **terms), **beside)
        if rule.instrument.name == instrument
        else rule
        for rule in snapshot.instruments
    )
    return dataclasses.replace(snapshot, instruments=rules)


def with_second_venue(snapshot: Snapshot) -> Snapshot:
    """Return the limits with a second venue that lists the same instruments, under limits of its own."""
    scope = Scope(CrossDimension.VENUE, SECOND_VENUE)
    first = next(node for node in snapshot.nodes if node.scope == Scope(CrossDimension.VENUE, "SIM"))
    nodes = sorted((*snapshot.nodes, dataclasses.replace(first, scope=scope)), key=lambda node: node.scope)
    more = tuple(dataclasses.replace(route, venue=SECOND_VENUE) for route in snapshot.routes)
    return dataclasses.replace(snapshot, nodes=tuple(nodes), routes=snapshot.routes + more)


def scope_names(route: Route = ROUTE) -> tuple[str, ...]:
    """Return the scopes of a route above the parent order, as text, highest first."""
    return tuple(str(scope) for scope in route.scopes("BTC"))
