"""Small worlds of limits for the gate's tests: every kind of instrument, two desks, limits from tiny to boundless."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from controlplane.domain.instruments import Contract, Instrument, OptionRight, OptionTerms
from controlplane.domain.scopes import FIRM, CrossDimension, Level, Route, Scope
from controlplane.gate.snapshot import (
    ALWAYS_OPEN,
    NO_LIMIT,
    CurrencyRate,
    InstrumentLimits,
    InstrumentRules,
    ModelRule,
    Node,
    NodeLimits,
    ParentLimits,
    Snapshot,
)

START_NS = 1_723_161_255_000_000_000
SECOND_NS = 1_000_000_000
PINNED = "5f" * 32
VENUES, COUNTERPARTIES = ("EAST", "WEST"), ("CLEAR", "PRIME")


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument with what the tests need to trade it: a usual price, and a usual order in lots."""

    instrument: Instrument
    usual_ticks: int
    usual_lots: int
    changes: Mapping[str, object] = dataclasses.field(default_factory=dict)


def _instrument(name: str, underlying: str, **changes: object) -> Instrument:
    values: dict[str, object] = {
        "contract": Contract.PERPETUAL, "currency": "USD", "settlement_currency": "USD", "tick_size": Decimal("0.1"),
        "lot_size": Decimal("0.001"), "multiplier": Decimal(1), "price_min_ticks": 10, "price_max_ticks": 10_000_000,
        "quantity_min_lots": 1, "quantity_max_lots": 100_000, "lot_step": 1, "tick_bands": ((0, 1),),
        "calendar": "always",
    }  # fmt: skip
    return Instrument(name=name, underlying=underlying, **(values | changes))  # type: ignore[arg-type]


def listings(start_ns: int = START_NS) -> tuple[Listing, ...]:
    """Return the instruments of every world: linear, inverse, option, spot by the crumb, spread below zero, and two
    that can't trade.
    """
    call = OptionTerms(Decimal(4000), OptionRight.CALL, "ETH-PERP")
    small = {"quantity_min_lots": 100, "quantity_max_lots": 1 << 33, "lot_step": 10}
    return (
        Listing(_instrument("BTC-PERP", "BTC"), 600_000, 20),
        Listing(
            _instrument("BTC-COIN", "BTC", settlement_currency="BTC", lot_size=Decimal(1), multiplier=Decimal(100),
                        is_inverse=True),
            600_000, 12,
        ),
        Listing(
            _instrument("ETH-PERP", "ETH", currency="EUR", settlement_currency="EUR", tick_size=Decimal("0.01"),
                        lot_size=Decimal("0.01"), calendar="shifts"),
            250_000, 40, {"static_reference_ticks": 251_000, "is_collar_one_sided": True},
        ),
        Listing(
            _instrument("ETH-CALL", "ETH", contract=Contract.OPTION, currency="EUR", settlement_currency="EUR",
                        lot_size=Decimal("0.1"), tick_bands=((0, 1), (1_000, 5)), option=call,
                        expiry_ns=start_ns + 3_000 * SECOND_NS),
            1_200, 5, {"option_stress_bps": 2_500, "collar_bps": 5_000},
        ),
        Listing(
            _instrument("DUST", "DUST", contract=Contract.SPOT, tick_size=Decimal("0.00000001"), lot_size=Decimal(3),
                        price_max_ticks=1_000_000, price_min_ticks=1, **small),
            2_500, 40_000,
        ),
        Listing(
            _instrument("ETH-SPREAD", "ETH", contract=Contract.FUTURE, tick_size=Decimal("0.01"), lot_size=Decimal(1),
                        price_min_ticks=-5_000, price_max_ticks=5_000, quantity_max_lots=5_000),
            400, 8, {"is_collar_one_sided": True, "collar_bps": 10_000},
        ),
        Listing(_instrument("BTC-LAST", "BTC", expiry_ns=start_ns), 600_000, 20),
        Listing(_instrument("BTC-SHUT", "BTC", is_restricted=True), 600_000, 20),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the limits of a world are, in usual orders; None leaves them boundless where that is allowed.

    Fields
        spread  each limit is drawn from one to this many times the scale
    """

    orders: int
    spread: int = 8
    messages: int = 400
    loss_micro: int = 30_000_000
    participation_bps: int = 2_000


TINY = Scale(orders=2, spread=3, messages=24, loss_micro=5_000_000, participation_bps=800)
USUAL = Scale(orders=12)
WIDE = Scale(orders=5_000, messages=100_000, loss_micro=1 << 50, participation_bps=10_000)


def universe(seed: int, scale: Scale = USUAL, *, start_ns: int = START_NS, **changes: object) -> Snapshot:
    """Return a world of limits; the same seed gives the same one.

    Arguments
        changes  fields of the snapshot to replace
    """
    chance = Random(f"universe {seed}")
    own = Random(f"behaviour {seed}")
    listed = listings(start_ns)
    routes = _routes(listed)
    shifts = tuple((start_ns + k * 30 * SECOND_NS, start_ns + (k * 30 + 26) * SECOND_NS) for k in range(-2, 4_000))
    snapshot = Snapshot(
        version=seed + 1,
        created_ns=start_ns,
        expires_ns=start_ns + 10**6 * SECOND_NS,
        reporting_currency="USD",
        nodes=_nodes(chance, scale, routes, listed),
        instruments=tuple(_rules(one, own if seed % 6 == 4 else None) for one in listed),
        models=_models(start_ns),
        routes=routes,
        parent_limits=tuple(
            (
                strategy,
                ParentLimits(
                    _node_limits(chance, scale, 4), chance.randint(3, 60), chance.randint(2, 40),
                    own.choice((1, 2, NO_LIMIT)), own.choice((1, 2, NO_LIMIT)),
                ),
            )
            for strategy in ("alpha", "beta", "gamma")
        ),
        rates=(CurrencyRate("USD", 1_000_000, True), CurrencyRate("BTC"), CurrencyRate("EUR", 1_100_000)),
        calendars=(("always", ALWAYS_OPEN), ("shifts", shifts)),
        permit_ttl_ns=SECOND_NS // 2,
        phase_age_ns_max=60 * SECOND_NS,
        volume_age_ns_max=20 * SECOND_NS,
        rate_age_ns_max=60 * SECOND_NS,
        message_window_ns=2 * SECOND_NS,
        denied_window_ns=5 * SECOND_NS,
        participation_window_ns=30 * SECOND_NS,
        walk_window_ns=10 * SECOND_NS,
        disagreement_hold_ns=SECOND_NS // 4,
        owners=(("north", "us"), ("south", own.choice(("us", "them")))) if seed % 3 == 0 else (),
        books=tuple((venue, own.choice((venue, "ONE"))) for venue in VENUES),
        reject_window_ns=5 * SECOND_NS,
    )
    if seed % 8 == 5:
        nodes = tuple(_with_behaviour(own, node, scale) for node in snapshot.nodes)
        snapshot = dataclasses.replace(snapshot, nodes=nodes, ratio_window_ns=4 * SECOND_NS, ratio_orders_min=8)
    return dataclasses.replace(snapshot, **changes)  # type: ignore[arg-type]


def _with_behaviour(own: Random, node: Node, scale: Scale) -> Node:
    """Return a scope above the parent order with limits, some of them, on what it does over time."""
    if node.scope.kind >= Level.PARENT or own.random() < 0.3:
        return node
    limits = dataclasses.replace(
        node.limits,
        turnover_micro_max=own.choice((1_200_000_000 * scale.orders * own.randint(4, 40), NO_LIMIT)),
        cancel_ratio_bps_max=own.choice((5_000, 9_000, NO_LIMIT)),
        orders_per_trade_max=own.choice((1, 3, NO_LIMIT)),
        repeated_executions_max=own.choice((1, 8, 40, NO_LIMIT)),
    )
    return dataclasses.replace(node, limits=limits)


def _models(start_ns: int) -> tuple[ModelRule, ...]:
    return (
        ModelRule("plan", True),
        ModelRule("learned", True, PINNED, start_ns + 900 * SECOND_NS),
        ModelRule("raw", False, PINNED),
    )


def _routes(listed: tuple[Listing, ...]) -> tuple[Route, ...]:
    """Return the allow list: three strategies on two desks, two models, every instrument, two venues."""
    routes = []
    for one in listed:
        for desk, strategy, model in (
            ("north", "alpha", "plan"),
            ("north", "beta", "learned"),
            ("south", "gamma", "plan"),
        ):
            for venue, counterparty in zip(VENUES, COUNTERPARTIES, strict=True):
                routes.append(Route(desk, strategy, model, one.instrument.name, venue, counterparty))
    routes.append(Route("south", "gamma", "raw", "BTC-PERP", "EAST", "CLEAR"))
    routes.append(Route("south", "gamma", "forgotten", "BTC-PERP", "EAST", "CLEAR"))
    return tuple(routes)


def _rules(one: Listing, own: Random | None) -> InstrumentRules:
    values: dict[str, object] = {
        "collar_bps": 1_000, "reference_age_ns_max": 2 * SECOND_NS, "spread_bps_max": 80,
        "participation_floor_lots": one.usual_lots * 60,
    }  # fmt: skip
    if own is not None:
        values |= {
            "dynamic_collar_bps": own.choice((50, 300, NO_LIMIT)), "references_min": own.choice((0, 1, 2)),
            "disagreement_bps_max": own.choice((5, 30, NO_LIMIT)), "walk_bps_max": own.choice((20, 200, NO_LIMIT)),
        }  # fmt: skip
    return InstrumentRules(one.instrument, **(values | dict(one.changes)))  # type: ignore[arg-type]


def _nodes(chance: Random, scale: Scale, routes: tuple[Route, ...], listed: tuple[Listing, ...]) -> tuple[Node, ...]:
    underlyings = {one.instrument.name: one.instrument.underlying for one in listed}
    scopes = dict.fromkeys(scope for route in routes for scope in route.scopes(underlyings[route.instrument]))
    ordered = [FIRM, *sorted(scope for scope in scopes if scope != FIRM)]
    return tuple(
        Node(scope, _limits_of(chance, scale, scope), _instrument_limits(chance, scale, scope, listed))
        for scope in ordered
    )


def _limits_of(chance: Random, scale: Scale, scope: Scope) -> NodeLimits:
    """Return the limits of a scope; some kinds have none of some sorts, as in the shipped rule book."""
    breadth = (
        {Level.FIRM: 24, Level.DESK: 16, Level.STRATEGY: 10}.get(Level(scope.kind), 8)
        if scope.kind <= Level.PARENT
        else 12
    )
    limits = _node_limits(chance, scale, breadth)
    if scope.kind in (CrossDimension.INSTRUMENT, CrossDimension.UNDERLYING, CrossDimension.COUNTERPARTY):
        limits = dataclasses.replace(
            limits,
            daily_loss_micro_max=NO_LIMIT,
            message_count_max=NO_LIMIT,
            message_reserve_bps=0,
            denied_count_max=NO_LIMIT,
        )
    if scope.kind == CrossDimension.UNDERLYING:
        limits = dataclasses.replace(limits, order_notional_micro_max=NO_LIMIT, live_orders_max=NO_LIMIT)
    return limits


def _node_limits(chance: Random, scale: Scale, breadth: int) -> NodeLimits:
    """Return limits in the size of a usual order, about 1 200 in reporting currency."""
    order_micro = 1_200_000_000 * scale.orders

    def many(times: int) -> int:
        return order_micro * times * chance.randint(100, 100 * scale.spread) // 100

    return NodeLimits(
        order_notional_micro_max=many(1),
        gross_notional_micro_max=many(breadth),
        net_notional_micro_max=many(breadth * 3 // 4),
        open_notional_micro_max=many(breadth // 2),
        live_orders_max=min(1 << 20, scale.orders * breadth // 2 + chance.randint(1, 6)),
        daily_loss_micro_max=scale.loss_micro * breadth * chance.randint(1, scale.spread),
        message_count_max=scale.messages * breadth // 8,
        message_reserve_bps=chance.choice((0, 1_000, 3_333)),
        denied_count_max=scale.messages * breadth // 8,
    )


def _instrument_limits(
    chance: Random, scale: Scale, scope: Scope, listed: tuple[Listing, ...]
) -> tuple[tuple[str, InstrumentLimits], ...]:
    if scope.kind in (CrossDimension.INSTRUMENT, CrossDimension.UNDERLYING):
        return ()
    has_share = scope.kind in (Level.FIRM, Level.DESK, Level.STRATEGY, Level.MODEL, CrossDimension.VENUE)
    breadth = 10 - min(scope.kind, 3) if scope.kind <= Level.PARENT else 8

    def lots(one: Listing, times: int) -> int:
        return one.usual_lots * scale.orders * times * chance.randint(2, 2 * scale.spread) // 4

    return tuple(
        (
            one.instrument.name,
            InstrumentLimits(
                order_quantity_lots_max=lots(one, 1),
                position_long_lots_max=lots(one, breadth),
                position_short_lots_max=lots(one, breadth),
                participation_bps_max=scale.participation_bps * chance.randint(1, 4) if has_share else NO_LIMIT,
            ),
        )
        for one in listed
    )
