"""What a whole rule book may still get wrong: limits that no order can meet, and limits that can never decide.

A rule book with a hole doesn't load (`policy/coverage.py`); here the compiled limits are asked once more, kind by kind,
for every route. A limit is dead when no route reaches it. It is shadowed when, wherever it applies, the same limit of a
scope above is smaller and its use can't be: then it never denies anything that wouldn't be denied without it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from controlplane.domain.quantities import BPS
from controlplane.domain.scopes import SCOPE_KINDS, CrossDimension, Level, Route, Scope
from controlplane.limits.compile import compile_snapshot
from controlplane.limits.hierarchy import limits_on
from controlplane.limits.kinds import INSTRUMENT_LIMITS, KINDS, SCOPE_LIMITS, Direction, LimitKind
from controlplane.policy.coverage import COLLARS_FILE, DESKS_FILE, FIRM_FILE, STRATEGIES_FILE, reachable
from controlplane.policy.fields import Table
from controlplane.policy.problems import dotted
from controlplane.policy.schema import Policies

# What every scope above counts as well, order by order: its use there is never less than below.
COUNTED_ABOVE = frozenset({
    "order_notional", "order_quantity", "open_notional", "live_orders", "message_count", "denied_count",
    "participation", "turnover",
})  # fmt: skip
# An instrument is part of its underlying and both are parts of the firm's own positions, so nothing nets on the way up.
SUMMED_OVER_INSTRUMENTS = frozenset({"gross_notional", "net_notional"})


class Fault(StrEnum):
    REFUSED = "refused"  # the rule book doesn't load
    HOLE = "hole"
    DEAD = "dead"
    SHADOWED = "shadowed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to put right: where it stands, and a sentence with the way out."""

    fault: Fault
    file: str
    key: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What was looked at: every route at every level and cross dimension, with the currencies it is counted in."""

    routes: int
    instruments: int
    scopes: int
    limits: int
    currencies: int


@dataclass(frozen=True, slots=True)
class Place:
    """One table of limits in a file with the scopes that it binds.

    Fields
        scopes  those that use the table; a set of limits may have several
        limits  limits over everything in the scope
        lines   limits by instrument
        covers  whether a route meets the table in one of these scopes
    """

    file: str
    path: tuple[str, ...]
    scopes: tuple[Scope, ...]
    limits: Table
    lines: Mapping[str, Table]
    covers: Callable[[Route, Scope], bool]


def findings(policies: Policies) -> Iterator[Finding]:
    """Yield every dead and every shadowed limit, file by file."""
    routes = tuple(reachable(policies))
    places = tuple(_places(policies))
    for place in places:
        yield from _dead(place, routes)
    for name in policies.collars:
        if not any(route.instrument == name for route in routes):
            yield _dead_finding(COLLARS_FILE, ("instruments", name))
    for place in places:
        yield from _shadowed(place, places, routes)


def prove(policies: Policies, *, as_of_ns: int) -> tuple[Proof, list[Finding]]:
    """Return what was looked at, and a hole for each kind of limit or currency that a route would miss.

    Arguments
        as_of_ns  wall time for which the rule book is compiled
    """
    snapshot = compile_snapshot(policies, as_of_ns=as_of_ns, version=1)
    wanted = {(kind.name, int(scope)) for kind in KINDS for scope in SCOPE_KINDS if kind.applies_to(scope)}
    rates = {rate.currency for rate in snapshot.rates}
    instruments = {rules.instrument.name: rules.instrument for rules in snapshot.instruments}
    holes: list[Finding] = []
    met: set[tuple[str, Scope, str | None]] = set()
    currencies: set[str] = set()
    for route in snapshot.routes:
        applied = limits_on(snapshot, route)
        met |= {(limit.kind.name, limit.scope, limit.instrument) for limit in applied}
        missing = wanted - {(limit.kind.name, int(limit.scope.kind)) for limit in applied}
        named = ((name, SCOPE_KINDS[at].name.lower()) for name, at in sorted(missing))
        holes += [_hole(route, f"no {name} at the level {level}") for name, level in named]
        own = instruments[route.instrument]
        currencies |= {own.currency, own.settlement_currency}
        unpriced = sorted({own.currency, own.settlement_currency} - rates)
        holes += [_hole(route, f"no worth of {currency}") for currency in unpriced]
    counted = {route.instrument for route in snapshot.routes}
    scopes = {scope for _, scope, _ in met}
    return Proof(len(snapshot.routes), len(counted), len(scopes), len(met), len(currencies)), holes


def _hole(route: Route, what: str) -> Finding:
    where = f"{route.instrument} on {route.venue} for {route.strategy}"
    return Finding(Fault.HOLE, FIRM_FILE, route.instrument, f"{where} would meet {what}; add it to the rule book.")


# --- where limits stand


def _places(policies: Policies) -> Iterator[Place]:
    firm = policies.firm
    yield Place(FIRM_FILE, ("firm",), (Scope(Level.FIRM, "firm"),), firm.firm, firm.firm.instruments, _always)
    for name, instrument in firm.instruments.items():
        scope = (Scope(CrossDimension.INSTRUMENT, name),)
        yield Place(FIRM_FILE, ("instruments", name), scope, instrument, {}, lambda r, s: r.instrument == s.name)
    for name, underlying in firm.underlyings.items():
        members = {own for own, policy in policies.instruments.items() if policy.underlying == name}
        scope = (Scope(CrossDimension.UNDERLYING, name),)
        yield Place(FIRM_FILE, ("underlyings", name), scope, underlying, {}, _any_of(members))
    for name, venue in firm.venues.items():
        scope = (Scope(CrossDimension.VENUE, name),)
        yield Place(FIRM_FILE, ("venues", name), scope, venue, venue.instruments, lambda r, s: r.venue == s.name)
    for name, other in firm.counterparties.items():
        scope = (Scope(CrossDimension.COUNTERPARTY, name),)
        yield Place(FIRM_FILE, ("counterparties", name), scope, other, other.instruments, _with)
    for name, desk in policies.desks.items():
        scope = (Scope(Level.DESK, name),)
        yield Place(DESKS_FILE, ("desks", name), scope, desk, desk.instruments, lambda r, s: r.desk == s.name)
    yield from _sets(policies)


def _sets(policies: Policies) -> Iterator[Place]:
    for name, chosen in policies.limit_sets.items():
        scopes = []
        for strategy_name, strategy in policies.strategies.items():
            if strategy.limits == name:
                scopes.append(Scope(Level.STRATEGY, strategy_name))
            scopes += [
                Scope(Level.MODEL, f"{strategy_name}/{model}") for model, own in strategy.models.items() if own == name
            ]
        yield Place(STRATEGIES_FILE, ("limit_sets", name), tuple(scopes), chosen, chosen.instruments, _below_a_desk)
    for name, parents in policies.parent_limit_sets.items():
        users = (own for own, strategy in policies.strategies.items() if strategy.parent_limits == name)
        scopes = [Scope(Level.PARENT, own) for own in users]
        yield Place(STRATEGIES_FILE, ("parent_limit_sets", name), tuple(scopes), parents, {}, _below_a_desk)


def _always(_route: Route, _scope: Scope) -> bool:
    return True


def _with(route: Route, scope: Scope) -> bool:
    return route.counterparty == scope.name


def _any_of(members: set[str]) -> Callable[[Route, Scope], bool]:
    return lambda route, _scope: route.instrument in members


def _below_a_desk(route: Route, scope: Scope) -> bool:
    # The limits of parent orders stand under the name of their strategy.
    return scope.name == (route.model if scope.kind == Level.MODEL else route.strategy)


def _routes_of(place: Place, scope: Scope, routes: Sequence[Route], instrument: str | None) -> frozenset[Route]:
    return frozenset(
        route for route in routes if place.covers(route, scope) and instrument in (None, route.instrument)
    )


# --- dead


def _dead(place: Place, routes: Sequence[Route]) -> Iterator[Finding]:
    """Yield the whole table when no route meets it, else each of its lines that none does."""
    if not any(_routes_of(place, scope, routes, None) for scope in place.scopes):
        yield _dead_finding(place.file, place.path)
        return
    for name in place.lines:
        if not any(_routes_of(place, scope, routes, name) for scope in place.scopes):
            yield _dead_finding(place.file, (*place.path, "instruments", name))


def _dead_finding(file: str, path: tuple[str, ...]) -> Finding:
    key = dotted(path)
    return Finding(
        Fault.DEAD,
        file,
        key,
        f"{file}: {key} binds nobody, since no route leads to it; open one in strategies.toml and venues.toml, or "
        "remove what it is for.",
    )


# --- shadowed


def _shadowed(place: Place, places: Sequence[Place], routes: Sequence[Route]) -> Iterator[Finding]:
    """Yield each limit of a table that is larger than one above it for every scope that uses it."""
    tables: list[tuple[str | None, Table, tuple[LimitKind, ...]]] = [(None, place.limits, SCOPE_LIMITS)]
    tables += [(name, line, INSTRUMENT_LIMITS) for name, line in place.lines.items()]
    for instrument, table, kinds in tables:
        for kind in kinds:
            value = _value(kind, table)
            users = [scope for scope in place.scopes if _routes_of(place, scope, routes, instrument)]
            if value is None or not users or not all(kind.applies_to(scope.kind) for scope in users):
                continue
            above = [_tighter_above(kind, value, scope, place, places, routes, instrument) for scope in users]
            if all(above) and (first := above[0]) is not None:
                own = (*place.path, *(("instruments", instrument) if instrument else ()), kind.policy_key)
                yield _shadowed_finding(place.file, own, _shown(kind, table), *first)


def _tighter_above(
    kind: LimitKind,
    value: Decimal,
    scope: Scope,
    place: Place,
    places: Sequence[Place],
    routes: Sequence[Route],
    instrument: str | None,
) -> tuple[str, tuple[str, ...], str] | None:
    """Return file, key and value of a limit above that decides before this one can, None when there is none."""
    own = _routes_of(place, scope, routes, instrument)
    for other in places:
        for higher in other.scopes:
            table = other.limits if instrument is None else other.lines.get(instrument)
            theirs = _routes_of(other, higher, routes, instrument)
            if table is None or not own <= theirs or not _is_above(higher, scope):
                continue
            is_same = own == theirs and scope.kind != Level.PARENT
            limit = _value(kind, table) if kind.applies_to(higher.kind) else None
            if limit is not None and limit < value and (is_same or _is_counted_above(kind, scope)):
                path = (*other.path, *(("instruments", instrument) if instrument else ()), kind.policy_key)
                return other.file, path, _shown(kind, table)
    return None


def _is_above(higher: Scope, scope: Scope) -> bool:
    """Return whether one scope stands above another; both are on the same routes."""
    if scope.kind <= Level.PARENT:
        return higher.kind < scope.kind
    if scope.kind == CrossDimension.INSTRUMENT and higher.kind == CrossDimension.UNDERLYING:
        return True
    return higher.kind == Level.FIRM


def _is_counted_above(kind: LimitKind, scope: Scope) -> bool:
    """Return whether the scopes above count everything that this one does, so that nothing there can offset it."""
    is_of_product = scope.kind in (CrossDimension.INSTRUMENT, CrossDimension.UNDERLYING)
    return kind.name in COUNTED_ABOVE or (is_of_product and kind.name in SUMMED_OVER_INSTRUMENTS)


def _value(kind: LimitKind, table: Table) -> Decimal | None:
    """Return the number to compare: of messages the part that orders may use; None where the table has no such limit.

    The share kept for cancels has a meaning only together with the number that it is a share of.
    """
    found = getattr(table, kind.policy_key, None)
    if found is None or kind.direction is Direction.LARGER_IS_TIGHTER:
        return None
    if kind.name == "message_count":
        return Decimal(int(found) * (BPS - int(getattr(table, "message_reserve_bps", 0))) // BPS)
    return Decimal(found)


def _shown(kind: LimitKind, table: Table) -> str:
    """Return the number as a person reads it; of messages what they leave to orders."""
    if kind.name == "message_count":
        return f"{getattr(table, kind.policy_key)} ({_value(kind, table)} for orders)"
    return str(getattr(table, kind.policy_key))


def _shadowed_finding(
    file: str, path: tuple[str, ...], value: str, other_file: str, other_path: tuple[str, ...], other_value: str
) -> Finding:
    key = dotted(path)
    return Finding(
        Fault.SHADOWED,
        file,
        key,
        f"{file}: {key} of {value} never decides, since {dotted(other_path)} of {other_value} in {other_file} always "
        f"does so first; write {other_value} or less.",
    )
