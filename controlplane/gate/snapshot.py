"""The limits a gate works with: one immutable, versioned value with a digest that every decision names.

Whoever compiles it (`limits/compile.py`) has already resolved names, units and rounding. A limit that a policy left
out is zero by the time it arrives here; `NO_LIMIT` stands only where a kind of limit has no meaning for a kind of
scope.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass

from controlplane.domain.instruments import Instrument
from controlplane.domain.quantities import NANO
from controlplane.domain.scopes import Route, Scope
from controlplane.gate.breakers.rules import BreakerRule, FactorRule

NO_LIMIT = 1 << 62
ALWAYS_OPEN: tuple[tuple[int, int], ...] = ((0, 1 << 62),)


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """Limits of one scope, over everything that happens in it.

    Money in millionths of the reporting currency. Net is the larger of the summed worst longs and the summed worst
    shorts: one instrument's long never offsets another's short. `message_reserve_bps` of the message budget is kept for
    cancels, which are counted and never refused. Turnover is of a day, buys and sells both; the two ratios are of the
    orders in the ratio window; an execution repeats when a fill is followed by another order, until a person clears
    the count.
    """

    order_notional_micro_max: int = 0
    gross_notional_micro_max: int = 0
    net_notional_micro_max: int = 0
    open_notional_micro_max: int = 0
    live_orders_max: int = 0
    daily_loss_micro_max: int = 0
    message_count_max: int = 0
    message_reserve_bps: int = 0
    denied_count_max: int = 0
    turnover_micro_max: int = NO_LIMIT
    cancel_ratio_bps_max: int = NO_LIMIT
    orders_per_trade_max: int = NO_LIMIT
    repeated_executions_max: int = NO_LIMIT

    @property
    def has_behaviour(self) -> bool:
        """Whether any limit is set on what the scope does over time rather than on one order."""
        own = (
            self.turnover_micro_max, self.cancel_ratio_bps_max, self.orders_per_trade_max, self.repeated_executions_max
        )  # fmt: skip
        return any(limit != NO_LIMIT for limit in own)


@dataclass(frozen=True, slots=True)
class InstrumentLimits:
    """Limits of one scope in one instrument, in lots of that instrument and hundredths of a per cent of its volume."""

    order_quantity_lots_max: int = 0
    position_long_lots_max: int = 0
    position_short_lots_max: int = 0
    participation_bps_max: int = 0


@dataclass(frozen=True, slots=True)
class ParentLimits:
    """What every parent order of a strategy may at most become, and how often it may repeat itself.

    Fields
        duplicate_orders_max  equal orders (price, quantity) allowed in the duplicate window
        same_rejects_max      equal rejections of one request in the reject window, after which it isn't asked again
    """

    limits: NodeLimits = NodeLimits()
    children_max: int = 0
    amends_max: int = 0
    duplicate_orders_max: int = NO_LIMIT
    same_rejects_max: int = NO_LIMIT


@dataclass(frozen=True, slots=True)
class InstrumentRules:
    """An instrument with the rules that hold for it everywhere.

    Fields
        collar_bps               static collar around the static reference
        is_collar_one_sided      only the side that pays is bounded
        static_reference_ticks   approved price; None takes the first healthy reference after start or day roll
        reference_age_ns_max     a reference older than this, by receive or by exchange time, is stale
        spread_bps_max           a wider book is no reference
        participation_floor_lots market volume assumed until a whole window has been observed
        dynamic_collar_bps       how far a price may lie from every fresh reference
        references_min           fresh references without which nothing new is risked
        disagreement_bps_max     how far fresh references may lie apart
        walk_bps_max             how far a price may have gone, on the paying side, since the walk window began
        option_stress_bps        a short option is valued at its underlying moved against us by this much
    """

    instrument: Instrument
    collar_bps: int = 0
    is_collar_one_sided: bool = False
    static_reference_ticks: int | None = None
    reference_age_ns_max: int = 0
    spread_bps_max: int = 0
    participation_floor_lots: int = 0
    option_stress_bps: int = 0
    dynamic_collar_bps: int = NO_LIMIT
    references_min: int = 0
    disagreement_bps_max: int = NO_LIMIT
    walk_bps_max: int = NO_LIMIT

    @property
    def has_price_rules(self) -> bool:
        """Whether a price is compared with more than the static reference."""
        bounds = (self.dynamic_collar_bps, self.disagreement_bps_max, self.walk_bps_max)
        return self.references_min > 0 or any(bound != NO_LIMIT for bound in bounds)


@dataclass(frozen=True, slots=True)
class Node:
    """One scope with its limits; `instrument_limits` pairs an instrument's name with its limits in this scope."""

    scope: Scope
    limits: NodeLimits
    instrument_limits: tuple[tuple[str, InstrumentLimits], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRule:
    """A model that may ask for orders, and the bytes it must be.

    `artefact_sha256` is 64 hexadecimal digits, or empty for a strategy without a learned model.
    """

    name: str
    is_approved: bool
    artefact_sha256: str = ""
    expires_ns: int | None = None


@dataclass(frozen=True, slots=True)
class CurrencyRate:
    """Worth of one unit in millionths of the reporting currency; zero until observed. A fixed rate never grows old."""

    currency: str
    rate_micro: int = 0
    is_fixed: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a gate needs to decide, in one value. Times in nanoseconds; windows on the monotonic clock.

    Fields
        owners  beneficial owner of each desk's orders; those of a desk that isn't named are compared with no others
        disagreement_hold_ns  how long references must have agreed again before they are believed
        ratio_orders_min  orders in the ratio window before a ratio is judged at all
        books   the order book that each venue matches in; venues of one book can trade with each other
    """

    version: int
    created_ns: int
    expires_ns: int
    reporting_currency: str
    nodes: tuple[Node, ...]
    instruments: tuple[InstrumentRules, ...]
    models: tuple[ModelRule, ...]
    routes: tuple[Route, ...]
    parent_limits: tuple[tuple[str, ParentLimits], ...]
    rates: tuple[CurrencyRate, ...]
    calendars: tuple[tuple[str, tuple[tuple[int, int], ...]], ...]
    permit_ttl_ns: int
    phase_age_ns_max: int
    volume_age_ns_max: int
    rate_age_ns_max: int
    message_window_ns: int
    denied_window_ns: int
    participation_window_ns: int
    near_bps: int = 8_000
    is_phase_required: bool = True
    owners: tuple[tuple[str, str], ...] = ()
    books: tuple[tuple[str, str], ...] = ()
    duplicate_window_ns: int = NANO
    reject_window_ns: int = NANO
    ratio_window_ns: int = NANO
    walk_window_ns: int = NANO
    disagreement_hold_ns: int = 0
    ratio_orders_min: int = NO_LIMIT
    breakers: tuple[BreakerRule, ...] = ()
    factors: tuple[FactorRule, ...] = ()

    def canonical_bytes(self) -> bytes:
        """Return the one byte form of the snapshot: canonical JSON, keys sorted, decimals and wide integers as text."""
        return json.dumps(plain(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def digest(self) -> bytes:
        """Return the SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.canonical_bytes()).digest()


def plain(value: object) -> object:
    """Return the value as JSON can hold it without losing anything."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 1 << 53 else str(int(value))
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return str(value)
