"""Every kind of limit: what it bounds, in which unit, for which scopes, and the denial it leads to.

This table is the one place that says where a kind of limit has a meaning. Elsewhere a snapshot holds `absent_value`,
which binds nobody; a limit that has a meaning and isn't written in a policy refuses the whole rule book instead.
"""

from dataclasses import dataclass
from enum import StrEnum

from controlplane.domain.decisions import DenialCode
from controlplane.domain.scopes import CrossDimension, Level, ScopeKind
from controlplane.gate.snapshot import NO_LIMIT


class Unit(StrEnum):
    """What a limit counts, as the gate counts it."""

    MICRO = "micro"
    LOTS = "lots"
    COUNT = "count"
    BPS = "bps"
    NS = "ns"


class Direction(StrEnum):
    """Which change of the number permits less."""

    SMALLER_IS_TIGHTER = "smaller is tighter"
    LARGER_IS_TIGHTER = "larger is tighter"


class Home(StrEnum):
    """Which table of the snapshot holds the limit."""

    SCOPE = "scope"
    SCOPE_AND_INSTRUMENT = "scope and instrument"
    PARENT = "parent order"
    INSTRUMENT_RULES = "instrument rules"


@dataclass(frozen=True, slots=True)
class LimitKind:
    """One kind of limit.

    Fields
        name            short name, as in the gate's utilisation answer
        home            table of the snapshot that holds it
        unit            unit of `snapshot_field`
        scope_kinds     levels and cross dimensions where it has a meaning
        code            denial that names it
        policy_key      key in the policy files, in a desk's own units
        snapshot_field  field of the compiled table
        absent_value    what a snapshot holds where the kind has no meaning
        meaning         one sentence for a person
    """

    name: str
    home: Home
    unit: Unit
    scope_kinds: frozenset[ScopeKind]
    code: DenialCode
    policy_key: str
    snapshot_field: str
    meaning: str
    direction: Direction = Direction.SMALLER_IS_TIGHTER
    absent_value: int = NO_LIMIT

    def applies_to(self, scope_kind: int) -> bool:
        """Return whether the kind has a meaning for scopes of this kind."""
        return scope_kind in self.scope_kinds


LEVELS = frozenset(Level)
LEVELS_ABOVE_PARENT = frozenset({Level.FIRM, Level.DESK, Level.STRATEGY, Level.MODEL})
PLACES = frozenset({CrossDimension.VENUE, CrossDimension.COUNTERPARTY})
INSTRUMENT = frozenset({CrossDimension.INSTRUMENT})
UNDERLYING = frozenset({CrossDimension.UNDERLYING})
VENUE = frozenset({CrossDimension.VENUE})
PARENT = frozenset({Level.PARENT})



def _price(
    name: str, unit: Unit, code: DenialCode, key: str, meaning: str,
    direction: Direction = Direction.SMALLER_IS_TIGHTER,
) -> LimitKind:  # fmt: skip
    """Return a rule of an instrument's prices that has one key in policy and snapshot."""
    absent = NO_LIMIT if direction is Direction.SMALLER_IS_TIGHTER else 0
    return LimitKind(name, Home.INSTRUMENT_RULES, unit, INSTRUMENT, code, key, key, meaning, direction, absent)


SCOPE_LIMITS: tuple[LimitKind, ...] = (
    LimitKind(
        name="order_notional",
        home=Home.SCOPE,
        unit=Unit.MICRO,
        # an underlying would only repeat what its instruments say about one order
        scope_kinds=LEVELS | PLACES | INSTRUMENT,
        code=DenialCode.ORDER_NOTIONAL_ABOVE_LIMIT,
        policy_key="order_notional_max",
        snapshot_field="order_notional_micro_max",
        meaning="Largest worth of one order, in the reporting currency, at its worst price.",
    ),
    LimitKind(
        name="gross_notional",
        home=Home.SCOPE,
        unit=Unit.MICRO,
        scope_kinds=LEVELS | PLACES | INSTRUMENT | UNDERLYING,
        code=DenialCode.GROSS_NOTIONAL_ABOVE_LIMIT,
        policy_key="gross_notional_max",
        snapshot_field="gross_notional_micro_max",
        meaning="Largest sum of worst-case positions, longs and shorts both counted as positive.",
    ),
    LimitKind(
        name="net_notional",
        home=Home.SCOPE,
        unit=Unit.MICRO,
        # in a single instrument the long and short position limits already bound each side
        scope_kinds=LEVELS | PLACES | UNDERLYING,
        code=DenialCode.NET_NOTIONAL_ABOVE_LIMIT,
        policy_key="net_notional_max",
        snapshot_field="net_notional_micro_max",
        meaning="Largest of all worst-case longs together and all worst-case shorts together.",
    ),
    LimitKind(
        name="open_notional",
        home=Home.SCOPE,
        unit=Unit.MICRO,
        scope_kinds=LEVELS | PLACES | INSTRUMENT | UNDERLYING,
        code=DenialCode.OPEN_NOTIONAL_ABOVE_LIMIT,
        policy_key="open_notional_max",
        snapshot_field="open_notional_micro_max",
        meaning="Largest worth of orders that may still fill, on each side.",
    ),
    LimitKind(
        name="live_orders",
        home=Home.SCOPE,
        unit=Unit.COUNT,
        # orders on one underlying are counted by instrument already
        scope_kinds=LEVELS | PLACES | INSTRUMENT,
        code=DenialCode.LIVE_ORDERS_ABOVE_LIMIT,
        policy_key="live_orders_max",
        snapshot_field="live_orders_max",
        meaning="Largest number of orders that may still fill, unanswered ones included.",
    ),
    LimitKind(
        name="daily_loss",
        home=Home.SCOPE,
        unit=Unit.MICRO,
        # loss stops a level; a place or a product doesn't lose money by itself
        scope_kinds=LEVELS,
        code=DenialCode.DAILY_LOSS_ABOVE_LIMIT,
        policy_key="daily_loss_max",
        snapshot_field="daily_loss_micro_max",
        meaning="Largest loss since the day's baseline, realised and unrealised, fees included.",
    ),
    LimitKind(
        name="message_count",
        home=Home.SCOPE,
        unit=Unit.COUNT,
        # messages belong to whoever sends them and to the session that carries them
        scope_kinds=LEVELS | VENUE,
        code=DenialCode.MESSAGE_RATE_ABOVE_LIMIT,
        policy_key="message_count_max",
        snapshot_field="message_count_max",
        meaning="Largest number of messages in the message window; cancels count and are never refused.",
    ),
    LimitKind(
        name="message_reserve",
        home=Home.SCOPE,
        unit=Unit.BPS,
        scope_kinds=LEVELS | VENUE,
        code=DenialCode.MESSAGE_RATE_ABOVE_LIMIT,
        policy_key="message_reserve_bps",
        snapshot_field="message_reserve_bps",
        meaning="Share of the message budget that new orders and amends leave to cancels.",
        direction=Direction.LARGER_IS_TIGHTER,
        absent_value=0,
    ),
    LimitKind(
        name="denied_count",
        home=Home.SCOPE,
        unit=Unit.COUNT,
        # a runaway loop is a fault of who asks, not of where the order would have gone
        scope_kinds=LEVELS,
        code=DenialCode.DENIED_RATE_ABOVE_LIMIT,
        policy_key="denied_count_max",
        snapshot_field="denied_count_max",
        meaning="Largest number of denied requests in the denied window before all are denied.",
    ),
    LimitKind(
        name="turnover",
        home=Home.SCOPE,
        unit=Unit.MICRO,
        scope_kinds=LEVELS_ABOVE_PARENT,
        code=DenialCode.TURNOVER_ABOVE_LIMIT,
        policy_key="turnover_max",
        snapshot_field="turnover_micro_max",
        meaning="Largest worth of a day of fills, buys and sells both counted, live orders included.",
    ),
    LimitKind(
        name="cancel_ratio",
        home=Home.SCOPE,
        unit=Unit.BPS,
        scope_kinds=LEVELS_ABOVE_PARENT,
        code=DenialCode.CANCEL_RATIO_ABOVE_LIMIT,
        policy_key="cancel_ratio_bps_max",
        snapshot_field="cancel_ratio_bps_max",
        meaning="Largest share of cancelled orders among those entered in the ratio window.",
    ),
    LimitKind(
        name="orders_per_trade",
        home=Home.SCOPE,
        unit=Unit.COUNT,
        scope_kinds=LEVELS_ABOVE_PARENT,
        code=DenialCode.ORDERS_PER_TRADE_ABOVE_LIMIT,
        policy_key="orders_per_trade_max",
        snapshot_field="orders_per_trade_max",
        meaning="Largest number of orders for each fill in the ratio window.",
    ),
    LimitKind(
        name="repeated_executions",
        home=Home.SCOPE,
        unit=Unit.COUNT,
        scope_kinds=LEVELS_ABOVE_PARENT,
        code=DenialCode.REPEATED_EXECUTION,
        policy_key="repeated_executions_max",
        snapshot_field="repeated_executions_max",
        meaning="Times that a fill may be followed by another order until a named person clears the count.",
    ),
)

INSTRUMENT_LIMITS: tuple[LimitKind, ...] = (
    LimitKind(
        name="order_quantity",
        home=Home.SCOPE_AND_INSTRUMENT,
        unit=Unit.LOTS,
        scope_kinds=LEVELS_ABOVE_PARENT | PLACES,
        code=DenialCode.ORDER_QUANTITY_ABOVE_LIMIT,
        policy_key="order_quantity_max",
        snapshot_field="order_quantity_lots_max",
        meaning="Largest total quantity of one order in the instrument.",
    ),
    LimitKind(
        name="position_long",
        home=Home.SCOPE_AND_INSTRUMENT,
        unit=Unit.LOTS,
        scope_kinds=LEVELS_ABOVE_PARENT | PLACES,
        code=DenialCode.POSITION_ABOVE_LIMIT,
        policy_key="position_long_max",
        snapshot_field="position_long_lots_max",
        meaning="Largest long position if every live buy filled and no sell did.",
    ),
    LimitKind(
        name="position_short",
        home=Home.SCOPE_AND_INSTRUMENT,
        unit=Unit.LOTS,
        scope_kinds=LEVELS_ABOVE_PARENT | PLACES,
        code=DenialCode.POSITION_ABOVE_LIMIT,
        policy_key="position_short_max",
        snapshot_field="position_short_lots_max",
        meaning="Largest short position if every live sell filled and no buy did.",
    ),
    LimitKind(
        name="participation",
        home=Home.SCOPE_AND_INSTRUMENT,
        unit=Unit.BPS,
        # a counterparty has no market volume that a share could be taken of
        scope_kinds=LEVELS_ABOVE_PARENT | VENUE,
        code=DenialCode.PARTICIPATION_ABOVE_LIMIT,
        policy_key="participation_bps_max",
        snapshot_field="participation_bps_max",
        meaning="Largest share of the market's volume in the participation window.",
    ),
)

PARENT_LIMITS: tuple[LimitKind, ...] = (
    LimitKind(
        name="children",
        home=Home.PARENT,
        unit=Unit.COUNT,
        scope_kinds=PARENT,
        code=DenialCode.PARENT_CHILDREN_ABOVE_LIMIT,
        policy_key="children_max",
        snapshot_field="children_max",
        meaning="Largest number of child orders of one parent order.",
    ),
    LimitKind(
        name="amends",
        home=Home.PARENT,
        unit=Unit.COUNT,
        scope_kinds=PARENT,
        code=DenialCode.PARENT_AMENDS_ABOVE_LIMIT,
        policy_key="amends_max",
        snapshot_field="amends_max",
        meaning="Largest number of amends over all child orders of one parent order.",
    ),
    LimitKind(
        name="duplicate_orders",
        home=Home.PARENT,
        unit=Unit.COUNT,
        scope_kinds=PARENT,
        code=DenialCode.DUPLICATE_ORDER,
        policy_key="duplicate_orders_max",
        snapshot_field="duplicate_orders_max",
        meaning="Largest number of orders of a parent order with one price and quantity in the duplicate window.",
    ),
    LimitKind(
        name="same_rejects",
        home=Home.PARENT,
        unit=Unit.COUNT,
        scope_kinds=PARENT,
        code=DenialCode.REJECT_LOOP,
        policy_key="same_rejects_max",
        snapshot_field="same_rejects_max",
        meaning="Equal rejections of one request in the reject window after which it isn't asked again unchanged.",
    ),
)

PRICE_LIMITS: tuple[LimitKind, ...] = (
    LimitKind(
        name="collar",
        home=Home.INSTRUMENT_RULES,
        unit=Unit.BPS,
        scope_kinds=INSTRUMENT,
        code=DenialCode.PRICE_OUTSIDE_COLLAR,
        policy_key="collar_bps",
        snapshot_field="collar_bps",
        meaning="Largest distance of a price from the static reference.",
    ),
    LimitKind(
        name="reference_age",
        home=Home.INSTRUMENT_RULES,
        unit=Unit.NS,
        scope_kinds=INSTRUMENT,
        code=DenialCode.REFERENCE_STALE,
        policy_key="reference_age_ms_max",
        snapshot_field="reference_age_ns_max",
        meaning="Largest age of a reference price, by receive and by exchange time.",
    ),
    LimitKind(
        name="spread",
        home=Home.INSTRUMENT_RULES,
        unit=Unit.BPS,
        scope_kinds=INSTRUMENT,
        code=DenialCode.REFERENCE_MISSING,
        policy_key="spread_bps_max",
        snapshot_field="spread_bps_max",
        meaning="Widest book that still makes a reference.",
    ),
    LimitKind(
        name="participation_floor",
        home=Home.INSTRUMENT_RULES,
        unit=Unit.LOTS,
        scope_kinds=INSTRUMENT,
        code=DenialCode.PARTICIPATION_ABOVE_LIMIT,
        policy_key="participation_floor",
        snapshot_field="participation_floor_lots",
        meaning="Market volume assumed until a whole participation window has been observed.",
    ),
    LimitKind(
        name="option_stress",
        home=Home.INSTRUMENT_RULES,
        unit=Unit.BPS,
        scope_kinds=INSTRUMENT,
        code=DenialCode.ORDER_NOTIONAL_ABOVE_LIMIT,
        policy_key="option_stress_bps",
        snapshot_field="option_stress_bps",
        meaning="Move of the underlying against us at which a short option is valued.",
        direction=Direction.LARGER_IS_TIGHTER,
        absent_value=0,
    ),
    _price("dynamic_collar", Unit.BPS, DenialCode.PRICE_OUTSIDE_DYNAMIC_COLLAR, "dynamic_collar_bps",
           "Largest distance of a price from every fresh reference."),
    _price("references", Unit.COUNT, DenialCode.REFERENCES_TOO_FEW, "references_min",
           "Fresh references without which nothing new is risked.", Direction.LARGER_IS_TIGHTER),
    _price("disagreement", Unit.BPS, DenialCode.REFERENCES_DISAGREE, "disagreement_bps_max",
           "Largest distance between two fresh references."),
    _price("walk", Unit.BPS, DenialCode.PRICE_WALKED_TOO_FAR, "walk_bps_max",
           "Largest distance, on the paying side, of a price from the reference as the walk window began."),
)  # fmt: skip

KINDS: tuple[LimitKind, ...] = (*SCOPE_LIMITS, *INSTRUMENT_LIMITS, *PARENT_LIMITS, *PRICE_LIMITS)
