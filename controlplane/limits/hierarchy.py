"""Which limits meet an order on one route, which of them is tightest, and what stands above a scope."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controlplane.domain.errors import UnknownReference
from controlplane.domain.scopes import FIRM, CrossDimension, Level, Route, Scope
from controlplane.gate.snapshot import InstrumentRules, Node, Snapshot
from controlplane.limits.kinds import INSTRUMENT_LIMITS, PARENT_LIMITS, PRICE_LIMITS, SCOPE_LIMITS, Direction, LimitKind


@dataclass(frozen=True, slots=True)
class AppliedLimit:
    """One limit that an order on a route meets; `value` in the unit of its kind.

    `instrument` is None for limits over everything in the scope. Limits of parent orders stand under the scope kind
    `parent` with the name of their strategy, since each of its parents has them for itself.
    """

    kind: LimitKind
    scope: Scope
    instrument: str | None
    value: int


def limits_on(snapshot: Snapshot, route: Route) -> tuple[AppliedLimit, ...]:
    """Return every limit that meets an order on a route: firm to parent order first, then the cross dimensions.

    Errors
        UnknownReference when the snapshot doesn't permit the route
    """
    rules = _rules_of(snapshot, route)
    parent = dict(snapshot.parent_limits)[route.strategy]
    of_parents = Scope(Level.PARENT, route.strategy)
    of_instrument = Scope(CrossDimension.INSTRUMENT, route.instrument)
    applied = [
        *(limit for node in nodes_on(snapshot, route) for limit in _limits_of(node, route.instrument)),
        *(
            AppliedLimit(kind, of_parents, None, getattr(parent.limits, kind.snapshot_field))
            for kind in SCOPE_LIMITS
            if kind.applies_to(Level.PARENT)
        ),
        *(AppliedLimit(kind, of_parents, None, getattr(parent, kind.snapshot_field)) for kind in PARENT_LIMITS),
        *(
            AppliedLimit(kind, of_instrument, route.instrument, getattr(rules, kind.snapshot_field))
            for kind in PRICE_LIMITS
        ),
    ]
    return tuple(sorted(applied, key=lambda limit: limit.scope.kind))


def nodes_on(snapshot: Snapshot, route: Route) -> tuple[Node, ...]:
    """Return the nodes whose limits meet an order on a route, firm first; UnknownReference when it isn't permitted."""
    rules = _rules_of(snapshot, route)
    nodes = {node.scope: node for node in snapshot.nodes}
    return tuple(nodes[scope] for scope in route.scopes(rules.instrument.underlying))


def tightest(limits: Iterable[AppliedLimit]) -> dict[str, AppliedLimit]:
    """Return for each kind of limit the one that permits least; the highest scope where several are equal."""
    chosen: dict[str, AppliedLimit] = {}
    for limit in limits:
        best = chosen.get(limit.kind.name)
        if best is None or _permits_less(limit, best):
            chosen[limit.kind.name] = limit
    return chosen


def scope_above(scope: Scope) -> Scope | None:
    """Return the scope one level up, read from the path in a name; the firm for cross dimensions, None above the firm.

    The rule book names a strategy `desk/strategy` and a model's scope `desk/strategy/model`. A single parent order is
    named by its number, which says nothing about its strategy, so it stands directly below the firm.
    """
    if scope == FIRM:
        return None
    if scope.kind in (Level.STRATEGY, Level.MODEL):
        name, _, _ = scope.name.rpartition("/")
        return Scope(Level(scope.kind - 1), name)
    return FIRM


def _permits_less(limit: AppliedLimit, other: AppliedLimit) -> bool:
    if limit.kind.direction is Direction.LARGER_IS_TIGHTER:
        return limit.value > other.value
    return limit.value < other.value


def _limits_of(node: Node, instrument: str) -> Iterator[AppliedLimit]:
    for kind in SCOPE_LIMITS:
        if kind.applies_to(node.scope.kind):
            yield AppliedLimit(kind, node.scope, None, getattr(node.limits, kind.snapshot_field))
    lines = dict(node.instrument_limits)
    for kind in INSTRUMENT_LIMITS:
        if kind.applies_to(node.scope.kind):
            yield AppliedLimit(kind, node.scope, instrument, getattr(lines[instrument], kind.snapshot_field))


def _rules_of(snapshot: Snapshot, route: Route) -> InstrumentRules:
    if route not in snapshot.routes:
        raise UnknownReference(
            f"No limits let {route.strategy} trade {route.instrument} on {route.venue} with {route.counterparty}; "
            "name a route that the allow lists in strategies.toml and venues.toml open."
        )
    return next(rules for rules in snapshot.instruments if rules.instrument.name == route.instrument)
