"""Turns the rule book into a gate's snapshot: names resolved, units converted, permission rounded down."""

import datetime as dt
from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.instruments import Instrument, OptionTerms
from controlplane.domain.quantities import NANO, PRICE_TICKS_CAP, QUANTITY_LOTS_CAP, to_micro, to_units
from controlplane.domain.scopes import FIRM, CrossDimension, Level, Scope
from controlplane.gate.snapshot import (
    CurrencyRate,
    InstrumentLimits,
    InstrumentRules,
    ModelRule,
    Node,
    NodeLimits,
    ParentLimits,
    Snapshot,
)
from controlplane.limits.breakers import compile_breakers, compile_factors, is_supervised
from controlplane.limits.kinds import INSTRUMENT_LIMITS, PARENT_LIMITS, SCOPE_LIMITS, Unit
from controlplane.limits.sessions import sessions
from controlplane.policy.coverage import model_scope_name, reachable
from controlplane.policy.fields import CALENDAR_DAYS_AHEAD, NO_ARTEFACT, Table
from controlplane.policy.market import FixedRate, InstrumentPolicy, Payoff
from controlplane.policy.schema import ApprovalStatus, CounterpartyLine, InstrumentLine, Policies

CALENDAR_DAYS_BACK = 2
MS_NS = 1_000_000
HOUR_NS = 3_600 * NANO
# 1970-01-03 to the year 2200: room for the days around it on both sides
AS_OF_NS_MIN = 2 * 24 * HOUR_NS
AS_OF_NS_MAX = 7_258_118_400 * NANO

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Lines = Mapping[str, InstrumentLine] | Mapping[str, CounterpartyLine]


def compile_snapshot(policies: Policies, *, as_of_ns: int, version: int, has_supervisor: bool = False) -> Snapshot:
    """Return the snapshot that holds the rule book as of a moment; the same arguments always give the same bytes.

    Arguments
        policies  a checked rule book
        as_of_ns  wall time in UTC from which the snapshot is valid; calendars cover the days around it
        version   number that every decision under this snapshot will name, at least 1
        has_supervisor  whether a service gives the gate signs of life, so that their absence stops it (GT50)
    Rounding
        limits down to whole lots and millionths, venue minima and rates up, so that no conversion permits more
    Errors
        InvalidRequest when the moment or the version is out of range
    """
    if not AS_OF_NS_MIN <= as_of_ns <= AS_OF_NS_MAX:
        raise InvalidRequest(
            f"A snapshot is made as of a moment between 1970 and 2200 in nanoseconds, found {as_of_ns}; give another.",
            field="as_of_ns",
        )
    if version < 1:
        raise InvalidRequest(f"Snapshots are numbered from 1, found {version}; give a larger number.", field="version")
    watch = policies.watch
    instruments = {name: compile_instrument(name, policies) for name in sorted(policies.instruments)}
    nodes = _nodes(policies, instruments)
    scopes = [node.scope for node in nodes]
    return Snapshot(
        version=version,
        created_ns=as_of_ns,
        expires_ns=as_of_ns + watch.snapshot_validity_hours * HOUR_NS,
        reporting_currency=policies.reporting_currency,
        nodes=nodes,
        instruments=tuple(_rules(instrument, policies) for instrument in instruments.values()),
        models=_models(policies),
        routes=tuple(reachable(policies)),
        parent_limits=_parent_limits(policies),
        rates=_rates(policies),
        calendars=_calendars(policies, as_of_ns=as_of_ns),
        permit_ttl_ns=watch.permit_ttl_ms * MS_NS,
        phase_age_ns_max=watch.phase_age_ms_max * MS_NS,
        volume_age_ns_max=watch.volume_age_ms_max * MS_NS,
        rate_age_ns_max=watch.rate_age_ms_max * MS_NS,
        message_window_ns=watch.message_window_ms * MS_NS,
        denied_window_ns=watch.denied_window_ms * MS_NS,
        participation_window_ns=watch.participation_window_ms * MS_NS,
        near_bps=watch.near_bps,
        is_phase_required=watch.is_phase_required,
        breakers=compile_breakers(policies, scopes, instruments, is_supervised=has_supervisor),
        factors=compile_factors(policies, scopes),
        owners=tuple((name, desk.beneficial_owner) for name, desk in sorted(policies.desks.items())),
        books=tuple((name, venue.book) for name, venue in sorted(policies.venues.items())),
        duplicate_window_ns=watch.duplicate_window_ms * MS_NS,
        reject_window_ns=watch.reject_window_ms * MS_NS,
        ratio_window_ns=watch.ratio_window_ms * MS_NS,
        ratio_orders_min=watch.ratio_orders_min,
        walk_window_ns=watch.walk_window_ms * MS_NS,
        disagreement_hold_ns=watch.disagreement_hold_ms * MS_NS,
    )


def compile_again(policies: Policies, recorded: Snapshot) -> Snapshot:
    """Return the rule book as of a recorded snapshot: its moment, its version, with a dead-man where that had one."""
    return compile_snapshot(
        policies, as_of_ns=recorded.created_ns, version=recorded.version, has_supervisor=is_supervised(recorded)
    )


def compile_instrument(name: str, policies: Policies) -> Instrument:
    """Return one instrument of the rule book in ticks and lots."""
    policy = policies.instruments[name]
    return Instrument(
        name=name,
        underlying=policy.underlying,
        contract=policy.contract,
        currency=policy.currency,
        settlement_currency=policy.settlement_currency,
        tick_size=policy.tick_size,
        lot_size=policy.lot_size,
        multiplier=policy.multiplier,
        price_min_ticks=_ticks(policy.price_min, policy),
        price_max_ticks=_ticks(policy.price_max, policy),
        quantity_min_lots=_lots_exactly(policy.quantity_min, policy),
        quantity_max_lots=_lots_exactly(policy.quantity_max, policy),
        lot_step=_lots_exactly(policy.quantity_step, policy),
        tick_bands=tuple((_ticks(band.from_price, policy), _ticks(band.step, policy)) for band in policy.tick_bands),
        calendar=policy.calendar,
        is_inverse=policy.payoff is Payoff.INVERSE,
        is_restricted=name in policies.firm.restricted_instruments,
        expiry_ns=None if policy.expiry is None else _moment_ns(policy.expiry),
        option=None
        if policy.option is None
        else OptionTerms(
            strike=policy.option.strike,
            right=policy.option.right,
            underlying_instrument=policy.option.underlying_instrument,
        ),
    )


# --- scopes and their limits


def _nodes(policies: Policies, instruments: Mapping[str, Instrument]) -> tuple[Node, ...]:
    firm = policies.firm
    nodes = [_node(FIRM, firm.firm, firm.firm.instruments, instruments)]
    for desk_name, desk in policies.desks.items():
        nodes.append(_node(Scope(Level.DESK, desk_name), desk, desk.instruments, instruments))
    for strategy_name, strategy in policies.strategies.items():
        own = policies.limit_sets[strategy.limits]
        nodes.append(_node(Scope(Level.STRATEGY, strategy_name), own, own.instruments, instruments))
        for model, chosen in strategy.models.items():
            scope = Scope(Level.MODEL, model_scope_name(strategy_name, model))
            own = policies.limit_sets[chosen]
            nodes.append(_node(scope, own, own.instruments, instruments))
    for name, instrument_scope in firm.instruments.items():
        nodes.append(_node(Scope(CrossDimension.INSTRUMENT, name), instrument_scope, {}, instruments))
    for name, underlying in firm.underlyings.items():
        nodes.append(_node(Scope(CrossDimension.UNDERLYING, name), underlying, {}, instruments))
    for name, venue in firm.venues.items():
        nodes.append(_node(Scope(CrossDimension.VENUE, name), venue, venue.instruments, instruments))
    for name, counterparty in firm.counterparties.items():
        scope = Scope(CrossDimension.COUNTERPARTY, name)
        nodes.append(_node(scope, counterparty, counterparty.instruments, instruments))
    return tuple(sorted(nodes, key=lambda node: node.scope))


def _node(scope: Scope, limits: Table, lines: Lines, instruments: Mapping[str, Instrument]) -> Node:
    return Node(
        scope=scope,
        limits=_node_limits(scope.kind, limits),
        instrument_limits=tuple(
            (name, _instrument_limits(scope.kind, lines[name], instruments[name])) for name in sorted(lines)
        ),
    )


def _node_limits(scope_kind: int, limits: Table) -> NodeLimits:
    """Return the compiled limits of a scope; kinds without a meaning for this kind of scope bind nobody."""
    values = {
        kind.snapshot_field: _converted(getattr(limits, kind.policy_key), kind.unit)
        if kind.applies_to(scope_kind)
        else kind.absent_value
        for kind in SCOPE_LIMITS
    }
    return NodeLimits(**values)


def _instrument_limits(
    scope_kind: int, line: InstrumentLine | CounterpartyLine, instrument: Instrument
) -> InstrumentLimits:
    values = {
        kind.snapshot_field: _converted(getattr(line, kind.policy_key), kind.unit, lot_size=instrument.lot_size)
        if kind.applies_to(scope_kind)
        else kind.absent_value
        for kind in INSTRUMENT_LIMITS
    }
    return InstrumentLimits(**values)


def _converted(value: Decimal | int, unit: Unit, *, lot_size: Decimal = Decimal(1)) -> int:
    """Return a limit in the gate's unit, rounded down."""
    if unit is Unit.MICRO:
        return to_micro(Decimal(value), is_exposure=False)
    if unit is Unit.LOTS:
        return int((value / lot_size).to_integral_value(rounding=ROUND_FLOOR))
    return int(value)


def _parent_limits(policies: Policies) -> tuple[tuple[str, ParentLimits], ...]:
    compiled = []
    for name in sorted(policies.strategies):
        chosen = policies.parent_limit_sets[policies.strategies[name].parent_limits]
        limits = _node_limits(Level.PARENT, chosen)
        own = {kind.snapshot_field: getattr(chosen, kind.policy_key) for kind in PARENT_LIMITS}
        compiled.append((name, ParentLimits(limits, **own)))
    return tuple(compiled)


# --- instruments, models, currencies, calendars


def _rules(instrument: Instrument, policies: Policies) -> InstrumentRules:
    collar = policies.collars[instrument.name]
    static = collar.static_reference
    return InstrumentRules(
        instrument=instrument,
        collar_bps=collar.collar_bps,
        is_collar_one_sided=collar.is_one_sided,
        static_reference_ticks=None if static is None else instrument.price_ticks(static, field="static_reference"),
        reference_age_ns_max=collar.reference_age_ms_max * MS_NS,
        spread_bps_max=collar.spread_bps_max,
        # assuming less volume than was traded only permits less
        participation_floor_lots=_converted(collar.participation_floor, Unit.LOTS, lot_size=instrument.lot_size),
        option_stress_bps=collar.option_stress_bps or 0,
        dynamic_collar_bps=collar.dynamic_collar_bps,
        references_min=collar.references_min,
        disagreement_bps_max=collar.disagreement_bps_max,
        walk_bps_max=collar.walk_bps_max,
    )


def _models(policies: Policies) -> tuple[ModelRule, ...]:
    """Return one rule for each strategy's use of a model, under the name of that use's own scope."""
    rules = []
    for strategy_name, strategy in policies.strategies.items():
        for name in strategy.models:
            model = policies.models[name]
            rules.append(
                ModelRule(
                    name=model_scope_name(strategy_name, name),
                    is_approved=model.status is ApprovalStatus.APPROVED,
                    artefact_sha256="" if model.artefact_sha256 == NO_ARTEFACT else model.artefact_sha256,
                    expires_ns=_moment_ns(model.expires) if isinstance(model.expires, dt.datetime) else None,
                )
            )
    return tuple(sorted(rules, key=lambda rule: rule.name))


def _rates(policies: Policies) -> tuple[CurrencyRate, ...]:
    rates = []
    for name, rate in sorted(policies.currencies.items()):
        if isinstance(rate, FixedRate):
            # a rate values exposure, so it rounds up
            rates.append(CurrencyRate(name, rate_micro=to_micro(rate.rate, is_exposure=True), is_fixed=True))
        else:
            rates.append(CurrencyRate(name))
    return tuple(rates)


def _calendars(policies: Policies, *, as_of_ns: int) -> tuple[tuple[str, tuple[tuple[int, int], ...]], ...]:
    return tuple(
        (
            name,
            sessions(calendar, as_of_ns=as_of_ns, days_back=CALENDAR_DAYS_BACK, days_ahead=CALENDAR_DAYS_AHEAD),
        )
        for name, calendar in sorted(policies.calendars.items())
    )


def _ticks(price: Decimal, policy: InstrumentPolicy) -> int:
    return to_units(price, policy.tick_size, field="price", cap=PRICE_TICKS_CAP)


def _lots_exactly(quantity: Decimal, policy: InstrumentPolicy) -> int:
    return to_units(quantity, policy.lot_size, field="quantity", cap=QUANTITY_LOTS_CAP)


def _moment_ns(moment: dt.datetime) -> int:
    elapsed = moment - _EPOCH
    return ((elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds) * 1_000
