"""One child: its whole way to the venue and back, in eighteen steps."""

from controlplane.console.pages.limits import limit_facts, rows_of
from controlplane.console.panels import Page, Panel
from controlplane.console.sources import Sources, Visit
from controlplane.console.views import Mark, Sign, child_mark, outcome_mark, step_mark, utc_precise, words
from controlplane.domain.clock import NS_PER_S
from controlplane.domain.decisions import DenialCode
from controlplane.halts.readings import INTERVAL_NS
from controlplane.supervision.orders import Child, Entry, Parent
from controlplane.supervision.projection import report_kind, whole
from controlplane.supervision.steps import moment, report_line, steps_of, unit_of
from controlplane.supervision.trail import Trail
from controlplane.supervision.units import in_unit

# Made on the executor's side, where no gate checked anything.
NOT_CHECKS = frozenset({DenialCode.GATE_UNAVAILABLE, DenialCode.JOURNAL_UNAVAILABLE})
LIMITS_SHOWN = 15


def read(sources: Sources, visit: Visit, parent_id: str, child_id: str) -> Page:
    """The page; the parent in its address is where the reader came from.

    Errors
        InvalidRequest, UnknownReference, DatabaseUnavailable
    """
    child, parent = sources.supervision.child(child_id)
    with sources.supervision.reading():
        trail = Trail(child, parent, sources.names, sources.supervision.following.read_ns)
        panels = (
            _terms(trail, sources),
            _trail(trail, sources),
            _checks(trail, sources),
            _path_limits(trail, sources),
            _messages(trail, sources),
        )
    title = f"Child: {child.side} {trail.units.quantity(child.quantity_lots)} {child.instrument}".rstrip()
    return Page(
        "child",
        title,
        visit.address,
        "one-child",
        panels,
        facts={"parent_id": child.parent_id or parent_id, "child_id": child_id},
        scope=f"parent:{child.parent_id or parent_id}",
        sequence=sources.supervision.following.sequence,
    )


def _live(sources: Sources, name: str, title: str, facts: dict[str, object], empty: str = "") -> Panel:
    following = sources.supervision.following
    return Panel(
        name=name,
        title=title,
        facts=facts,
        as_of_ns=following.read_ns,
        interval_ns=NS_PER_S,
        is_empty=bool(empty),
        empty=empty,
        error=following.error,
    )


def _terms(trail: Trail, sources: Sources) -> Panel:
    child, units = trail.child, trail.units
    decision = trail.decision
    facts: dict[str, object] = {
        "child_id": child.child_id,
        "parent_id": child.parent_id,
        "state": child_mark(child.state).plain(),
        "side": child.side,
        "instrument": child.instrument,
        "venue": child.venue,
        "quantity": units.quantity(child.quantity_lots),
        "filled": units.quantity(child.filled_lots),
        "price": units.price(child.price_ticks) if child.price_ticks else "",
        "order_type": " · ".join(word for word in (child.order_type, child.time_in_force) if word),
        "decision": decision.place if decision is not None else "",
        "outcome": outcome_mark(str(decision.facts.get("outcome"))).plain() if decision is not None else None,
        "asked": utc_precise(child.first_ns),
        "asked_ns": str(child.first_ns),
    }
    return _live(sources, "terms", "The order", facts)


def _trail(trail: Trail, sources: Sources) -> Panel:
    rows = [
        {
            "number": step.number,
            "title": step.title,
            "where": step.where,
            "mark": step_mark(step.state).plain(),
            "at": utc_precise(step.at_ns),
            "at_ns": str(step.at_ns),
            "facts": [{"label": label, "value": value} for label, value in step.facts],
            "places": list(step.places),
            "note": step.note,
        }
        for step in steps_of(trail)
    ]
    return _live(sources, "trail", "Way to the venue and back", {"rows": rows})


def _checks(trail: Trail, sources: Sources) -> Panel:
    decision = trail.decision
    title = "What the gate looked for, in order of precedence"
    if decision is None:
        return _live(sources, "checks", title, {"rows": []}, "The gate has not decided about this order.")
    return _live(sources, "checks", title, check_facts(decision, trail.child, sources))


def check_facts(decision: Entry, child: Child, sources: Sources) -> dict[str, object]:
    """Every check with how it ended; the tightest one with its numbers."""
    facts = decision.facts
    failed = {str(code) for code in _listed(facts.get("failed_checks"))}
    binding = str(facts.get("code") or "")
    is_denied = facts.get("outcome") == "DENIED"
    rows = [_check_row(code, failed, binding, is_denied) for code in DenialCode if code not in NOT_CHECKS]
    return {
        "rows": rows,
        "failed": len(failed),
        "all": len(rows),
        "tightest": binding_facts(decision, child.instrument, sources),
        "outcome": outcome_mark(str(facts.get("outcome"))).plain(),
        "explanation": sources.names.explanation(decision.words) if is_denied else "",
        "place": decision.place,
        "is_open": False,
    }


def _check_row(code: DenialCode, failed: set[str], binding: str, is_denied: bool) -> dict[str, object]:
    if code.name in failed:
        mark = Mark(Sign.ALARM, "failed first" if code.name == binding else "failed")
    else:
        mark = Mark(Sign.NORMAL, "clear")
    is_tightest = code.name == binding and not is_denied
    return {"code": code.name, "name": words(code.name), "mark": mark.plain(), "is_tightest": is_tightest}


def binding_facts(decision: Entry, instrument: str, sources: Sources) -> dict[str, str] | None:
    """The check that decided, or came nearest to it, with measured, limit and headroom; None when none measured."""
    facts = decision.facts
    code = str(facts.get("code") or "")
    if not code or not any(whole(facts, name) for name in ("measured", "limit", "headroom")):
        return None
    unit, units = unit_of(facts), sources.names.units(instrument)
    bound = facts.get("binding_scope")
    scope = _scope(bound, sources, str(facts.get("parent_id", ""))) if isinstance(bound, dict) else ""
    return {
        "code": code,
        "name": words(code),
        "scope": scope,
        "measured": in_unit(whole(facts, "measured"), unit, units),
        "limit": in_unit(whole(facts, "limit"), unit, units),
        "headroom": in_unit(whole(facts, "headroom"), unit, units),
    }


def _scope(bound: dict[object, object], sources: Sources, parent_id: str) -> str:
    kind = str(bound.get("kind", ""))
    if kind == "PARENT":
        return f"parent:{parent_id}"
    node = str(bound.get("node", ""))
    return sources.names.scope(int(node)) if node.isdigit() and kind != "15" else ""


def _path_limits(trail: Trail, sources: Sources) -> Panel:
    reading = sources.readings.get("utilisation")
    rows, fault = rows_of(sources)
    scopes = _scopes_of(trail.parent, trail.child)
    shown = [
        row
        for row in rows
        if str(row.scope) in scopes and (row.instrument is None or row.instrument == trail.child.instrument)
    ]
    return Panel(
        name="path_limits",
        title="Limits on its path, as they stand now",
        facts=None
        if reading.value is None
        else {"rows": [limit_facts(row, sources) for row in shown[:LIMITS_SHOWN]], "all": len(shown)},
        as_of_ns=reading.as_of_ns,
        interval_ns=INTERVAL_NS,
        is_empty=not shown,
        empty="The gate names no limit on this order's path.",
        error=fault or reading.error,
    )


def _scopes_of(parent: Parent | None, child: Child) -> set[str]:
    route = parent.route if parent is not None else {}
    named = {f"{kind}:{route[kind]}" for kind in ("desk", "strategy", "model", "counterparty") if route.get(kind)}
    return named | {
        "firm:firm",
        f"parent:{child.parent_id}",
        f"instrument:{child.instrument}",
        f"venue:{child.venue or route.get('venue', '')}",
    }


def _messages(trail: Trail, sources: Sources) -> Panel:
    rows = [
        {
            "wall_ns": str(entry.wall_ns),
            "at": utc_precise(entry.wall_ns),
            "after": moment(entry, trail),
            "what": report_line(entry.facts, trail.units),
            "kind": _kind(entry),
            "venue_at": utc_precise(whole(entry.facts, "exchange_ns")),
            "fee": trail.units.money(whole(entry.facts, "fee_micro")) if whole(entry.facts, "fee_micro") else "",
            "oddities": ", ".join(str(word) for word in _listed(entry.facts.get("oddities"))),
            "place": entry.place,
        }
        for entry in (trail.child.reports or trail.child.applied)
    ]
    empty = "" if rows else "The venue has said nothing about this order."
    return _live(sources, "messages", "Messages of the venue", {"rows": rows}, empty)


def _kind(entry: Entry) -> str:
    kind = report_kind(entry.facts)
    return kind.name.lower().replace("_", " ") if kind is not None else ""


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
