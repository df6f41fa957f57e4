"""The shape of the files that limit and watch, and the rule book they make with the files of `market.py`.

Files are written in the units a desk uses: decimal text in quotes for money and quantities, whole numbers with the unit
in the key for everything else. Every key is required unless its table says otherwise, an unknown key is refused, and
nothing is converted by guessing, so that no binary fraction ever becomes a limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from controlplane.domain.quantities import BPS
from controlplane.policy.fields import (
    CALENDAR_DAYS_AHEAD,
    ArtefactDigest,
    Bps,
    Count,
    Milliseconds,
    Money,
    Name,
    Names,
    Positive,
    Quantity,
    RecentCount,
    ReserveBps,
    Sentence,
    SomeNames,
    Table,
)
from controlplane.policy.market import (
    AlwaysCalendar,
    CalendarsFile,
    CounterpartyPolicy,
    CurrenciesFile,
    FixedRate,
    InstrumentPolicy,
    InstrumentsFile,
    ObservedRate,
    VenuePolicy,
    VenuesFile,
    VolumeCurvePolicy,
    VolumeCurvesFile,
    WeeklyCalendar,
)
from controlplane.policy.reactions import (
    BeatsPolicy,
    BreakerPolicy,
    BreakersFile,
    DynamicFile,
    FactorPolicy,
    MeasurePolicy,
    RecoveryPolicy,
    TelemetryFile,
)

# --- watch.toml, governance.toml, retention.toml

# What rules on record keeping ask for at the least; the firm keeps longer.
YEARS_KEPT_MIN = 5
LogName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class WatchFile(Table):
    """Ages, windows and the life of permits and snapshots."""

    permit_ttl_ms: Milliseconds
    phase_age_ms_max: Milliseconds
    volume_age_ms_max: Milliseconds
    rate_age_ms_max: Milliseconds
    message_window_ms: Milliseconds
    denied_window_ms: Milliseconds
    participation_window_ms: Milliseconds
    duplicate_window_ms: Milliseconds
    reject_window_ms: Milliseconds
    ratio_window_ms: Milliseconds
    ratio_orders_min: Count
    walk_window_ms: Milliseconds
    disagreement_hold_ms: Milliseconds
    snapshot_validity_hours: Annotated[int, Field(ge=1, le=(CALENDAR_DAYS_AHEAD - 1) * 24)]
    near_bps: Annotated[int, Field(ge=1, le=BPS)]
    is_phase_required: bool
    beats: BeatsPolicy


class ApprovalStatus(StrEnum):
    """Where a model stands in its life cycle; only an approved one may ask for orders."""

    PROPOSED = "proposed"
    IN_DEVELOPMENT = "in development"
    SUBMITTED = "submitted"
    IN_VALIDATION = "in validation"
    APPROVED = "approved"
    SUSPENDED = "suspended"
    RETIRED = "retired"


class ModelPolicy(Table):
    """A model that strategies may use. `expires` is a moment with its offset from UTC, or "never"."""

    description: Sentence
    status: Annotated[ApprovalStatus, Field(strict=False)]
    artefact_sha256: ArtefactDigest
    expires: AwareDatetime | Literal["never"]


class GovernanceFile(Table):
    models: dict[Name, ModelPolicy] = Field(min_length=1)


class RetentionFile(Table):
    """How long records stay in reach, and of which logs nothing may be retired while a legal hold lasts."""

    years: Annotated[int, Field(ge=YEARS_KEPT_MIN, le=100)]
    legal_holds: list[LogName]


# --- limits/*.toml


class InstrumentLine(Table):
    """Limits of one scope in one instrument."""

    order_quantity_max: Quantity
    position_long_max: Quantity
    position_short_max: Quantity
    participation_bps_max: Bps


class CounterpartyLine(Table):
    """As an instrument line, without participation: a counterparty has no market volume of its own."""

    order_quantity_max: Quantity
    position_long_max: Quantity
    position_short_max: Quantity


class LevelLimits(Table):
    """Limits of a firm, desk, strategy or model over everything that happens in it, and of a parent order."""

    order_notional_max: Money
    gross_notional_max: Money
    net_notional_max: Money
    open_notional_max: Money
    live_orders_max: Count
    daily_loss_max: Money
    message_count_max: Count
    message_reserve_bps: ReserveBps
    denied_count_max: Count


class LevelScope(LevelLimits):
    """Limits of a level above the parent order, with those on what it does over time."""

    turnover_max: Money
    cancel_ratio_bps_max: Annotated[int, Field(ge=0, le=10 * BPS)]
    orders_per_trade_max: Count
    repeated_executions_max: Count
    instruments: dict[Name, InstrumentLine]


class ParentScope(LevelLimits):
    children_max: Count
    amends_max: Count
    duplicate_orders_max: RecentCount
    same_rejects_max: RecentCount


class InstrumentScope(Table):
    """Limits of one instrument over all desks and venues, in money; its quantities are in the lines of every level."""

    order_notional_max: Money
    gross_notional_max: Money
    open_notional_max: Money
    live_orders_max: Count


class UnderlyingScope(Table):
    """Limits of everything that moves with one underlying."""

    gross_notional_max: Money
    net_notional_max: Money
    open_notional_max: Money


class CounterpartyScope(Table):
    """Limits towards one counterparty."""

    order_notional_max: Money
    gross_notional_max: Money
    net_notional_max: Money
    open_notional_max: Money
    live_orders_max: Count
    instruments: dict[Name, CounterpartyLine]


class VenueScope(Table):
    """Limits on one venue; messages count against the session there."""

    order_notional_max: Money
    gross_notional_max: Money
    net_notional_max: Money
    open_notional_max: Money
    live_orders_max: Count
    message_count_max: Count
    message_reserve_bps: ReserveBps
    instruments: dict[Name, InstrumentLine]


class FirmFile(Table):
    """The firm's own limits, the restricted list, and the cross dimensions over all desks."""

    restricted_instruments: Names
    firm: LevelScope
    instruments: dict[Name, InstrumentScope]
    underlyings: dict[Name, UnderlyingScope]
    venues: dict[Name, VenueScope]
    counterparties: dict[Name, CounterpartyScope]


class DeskScope(LevelScope):
    """A desk's limits and strategies; orders of one beneficial owner never meet each other in a book."""

    beneficial_owner: Name
    strategies: SomeNames


class DesksFile(Table):
    desks: dict[Name, DeskScope] = Field(min_length=1)


class StrategyPolicy(Table):
    """What a strategy may trade and where, and which sets of limits bind it, its models and each of its parents."""

    instruments: SomeNames
    venues: SomeNames
    limits: Name
    parent_limits: Name
    models: dict[Name, Name] = Field(min_length=1)


class StrategiesFile(Table):
    """Named sets of limits, and the strategies that use them. Every user of a set has it for itself alone."""

    limit_sets: dict[Name, LevelScope]
    parent_limit_sets: dict[Name, ParentScope]
    strategies: dict[Name, StrategyPolicy] = Field(min_length=1)


class CollarLine(Table):
    """Price rules of one instrument.

    Optional: `static_reference`, an approved price (without it the first healthy reference of the day stands); and
    `option_stress_bps`, which options must have and nothing else may.
    """

    collar_bps: Annotated[int, Field(ge=1, le=BPS)]
    is_one_sided: bool
    spread_bps_max: Annotated[int, Field(ge=1, le=BPS)]
    reference_age_ms_max: Milliseconds
    participation_floor: Quantity
    dynamic_collar_bps: Annotated[int, Field(ge=1, le=BPS)]
    references_min: Annotated[int, Field(ge=0, le=3)]
    disagreement_bps_max: Annotated[int, Field(ge=1, le=BPS)]
    walk_bps_max: Annotated[int, Field(ge=1, le=BPS)]
    static_reference: Positive | None = None
    option_stress_bps: Annotated[int, Field(ge=0, le=5 * BPS)] | None = None


class CollarsFile(Table):
    instruments: dict[Name, CollarLine]


# --- the whole


class RuleBook(Table):
    """Every file of a rule book, one field a file; FILES says which."""

    instruments: InstrumentsFile
    currencies: CurrenciesFile
    venues: VenuesFile
    calendars: CalendarsFile
    volume_curves: VolumeCurvesFile
    watch: WatchFile
    breakers: BreakersFile
    telemetry: TelemetryFile
    dynamic: DynamicFile
    governance: GovernanceFile
    retention: RetentionFile
    firm: FirmFile
    desks: DesksFile
    strategies: StrategiesFile
    collars: CollarsFile


FILES: Mapping[str, str] = {
    "instruments.toml": "instruments",
    "currencies.toml": "currencies",
    "venues.toml": "venues",
    "calendars.toml": "calendars",
    "volume_curves.toml": "volume_curves",
    "watch.toml": "watch",
    "breakers.toml": "breakers",
    "telemetry.toml": "telemetry",
    "dynamic.toml": "dynamic",
    "governance.toml": "governance",
    "retention.toml": "retention",
    "limits/firm.toml": "firm",
    "limits/desks.toml": "desks",
    "limits/strategies.toml": "strategies",
    "limits/collars.toml": "collars",
}


@dataclass(frozen=True, slots=True)
class Policies:
    """The whole rule book after every check; `digest` is the SHA-256 over its canonical content, in hexadecimal."""

    instruments: Mapping[str, InstrumentPolicy]
    reporting_currency: str
    currencies: Mapping[str, FixedRate | ObservedRate]
    venues: Mapping[str, VenuePolicy]
    counterparties: Mapping[str, CounterpartyPolicy]
    calendars: Mapping[str, AlwaysCalendar | WeeklyCalendar]
    volume_curves: Mapping[str, VolumeCurvePolicy]
    watch: WatchFile
    retention: RetentionFile
    recoveries: Mapping[str, RecoveryPolicy]
    breakers: Mapping[str, BreakerPolicy]
    measures: Mapping[str, MeasurePolicy]
    thresholds: Mapping[str, BreakerPolicy]
    factors: Mapping[str, FactorPolicy]
    models: Mapping[str, ModelPolicy]
    firm: FirmFile
    desks: Mapping[str, DeskScope]
    limit_sets: Mapping[str, LevelScope]
    parent_limit_sets: Mapping[str, ParentScope]
    strategies: Mapping[str, StrategyPolicy]
    collars: Mapping[str, CollarLine]
    digest: str
