"""Decisions: find one, and prove it."""

from datetime import UTC, datetime

from controlplane.console.panels import Page, Panel
from controlplane.console.sources import Sources, Visit
from controlplane.console.views import count, link, outcome_mark, words
from controlplane.domain.clock import NS_PER_S
from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import ControlPlaneError, InvalidRequest
from controlplane.supervision.index import DecisionQuery, Found
from controlplane.supervision.orders import Entry
from controlplane.supervision.projection import SIDE_NAMES, whole

ROWS = 100
FILTERS = ("from", "to", "outcome", "code", "instrument", "strategy", "order", "before")
EMPTY = "No decision matches. Widen the time or take a filter away; decisions appear here within a second or two."


def read(sources: Sources, visit: Visit) -> Page:
    """The page."""
    filters = {name: visit.asked(name) for name in FILTERS}
    found: Found | None = None
    error = ""
    try:
        found = sources.supervision.decisions(query_of(filters, sources))
    except ControlPlaneError as failure:
        error = str(failure)
    following = sources.supervision.following
    rows = [decision_row(entry, sources) for entry in found.entries] if found is not None else []
    panel = Panel(
        name="decisions",
        title="Decisions",
        facts=None if found is None else _facts(found, rows, visit),
        as_of_ns=following.read_ns,
        interval_ns=NS_PER_S,
        is_empty=not rows,
        empty=EMPTY,
        error=error or following.error,
    )
    choices = {
        "filters": filters,
        "codes": [code.name for code in DenialCode],
        "instruments": sorted(sources.names.instruments),
        "strategies": sorted({route["strategy"] for route in sources.names.route_names.values()}),
    }
    return Page(
        "decisions",
        "Decisions",
        visit.address,
        "decisions",
        (panel,),
        facts=choices,
        sequence=following.sequence,
    )


def query_of(filters: dict[str, str], sources: Sources) -> DecisionQuery:
    """The query that the filters of an address stand for.

    Errors
        InvalidRequest for a time that can't be read, a code or an outcome that doesn't exist
    """
    outcome, code = filters["outcome"].upper(), filters["code"].upper()
    if outcome not in ("", "ALLOWED", "DENIED"):
        raise InvalidRequest(f"Expected the outcome allowed or denied, found {outcome[:40]!r}.", field="outcome")
    if code and code not in DenialCode.__members__:
        raise InvalidRequest(f"No denial code is called {code[:60]!r}; the filter lists all of them.", field="code")
    order = filters["order"].lower()
    if order and (len(order) != 16 or any(letter not in "0123456789abcdef" for letter in order)):
        raise InvalidRequest(
            f"Expected 16 hexadecimal digits of a parent or child order, found {order[:40]!r}.", field="order"
        )
    return DecisionQuery(
        from_ns=moment_of(filters["from"], field="from"),
        to_ns=moment_of(filters["to"], field="to"),
        outcome=outcome,
        code=code,
        order_id=order,
        routes=_routes(filters, sources),
        before=filters["before"],
        limit=ROWS,
    )


def moment_of(text: str, *, field: str) -> int:
    """A moment written `2026-11-20 10:27` or with seconds, in UTC, as nanoseconds; 0 for none.

    Errors
        InvalidRequest
    """
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"Expected a time in UTC such as 2026-11-20 10:27:03, found {text[:40]!r}.", field=field
        ) from None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(aware.timestamp()) * NS_PER_S


def decision_row(entry: Entry, sources: Sources) -> dict[str, object]:
    """One decision as a row shows it."""
    facts = entry.facts
    route = sources.names.route_names.get(whole(facts, "route"), {})
    units = sources.names.units(route.get("instrument", ""))
    code = str(facts.get("code") or "")
    is_denied = facts.get("outcome") == "DENIED"
    return {
        "place": entry.place,
        "wall_ns": str(entry.wall_ns),
        "what": words(str(facts.get("subkind") or "")),
        "mark": outcome_mark(str(facts.get("outcome"))).plain(),
        "code": words(code) if is_denied else "",
        "instrument": route.get("instrument", ""),
        "strategy": route.get("strategy", ""),
        "side": SIDE_NAMES.get(str(facts.get("side")), ""),
        "quantity": units.quantity(whole(facts, "quantity_lots")),
        "price": units.price(whole(facts, "price_ticks")) if whole(facts, "price_ticks") else "",
        "parent_id": str(facts.get("parent_id") or ""),
        "child_id": str(facts.get("child_id") or ""),
        "snapshot_version": str(facts.get("snapshot_version") or ""),
    }


def _facts(found: Found, rows: list[dict[str, object]], visit: Visit) -> dict[str, object]:
    kept = {name: value for name, value in visit.query.items() if name != "before"}
    older = link(visit.path, **kept, before=found.entries[-1].place) if found.has_older else ""
    return {
        "rows": rows,
        "count": count(found.total) if found.is_complete else f"more than {count(found.total)}",
        "total": found.total,
        "is_complete": found.is_complete,
        "older": older,
        "newest": link(visit.path, **kept) if visit.asked("before") else "",
    }


def _routes(filters: dict[str, str], sources: Sources) -> tuple[int, ...] | None:
    wanted = {name: filters[name] for name in ("instrument", "strategy") if filters[name]}
    if not wanted:
        return None
    routes = sources.names.route_names
    return tuple(
        handle for handle, route in routes.items() if all(route[name] == value for name, value in wanted.items())
    )
