"""Stop: now. And afterwards: what it did, why, and what it takes to lift it.

Everything here comes from memory and from the gate, so the page works while the database is away.
"""

from controlplane.console.panels import Page, Panel
from controlplane.console.sources import Sources, Visit
from controlplane.console.views import age, plural, trading_mark, utc, utc_precise
from controlplane.domain.errors import InvalidRequest
from controlplane.halts.authority import KILL_OF_FIRM, MEANING, Rung, people_needed
from controlplane.halts.board import Lift, Stop
from controlplane.halts.effective import MACHINE
from controlplane.halts.readings import INTERVAL_NS
from controlplane.halts.service import checked_scope
from controlplane.halts.working import in_scope, progress_of

FIRM = "firm:firm"
STOPS_SHOWN = 10
PHRASES = (
    "Market moves in a way the strategy was not made for",
    "Prices or feeds look wrong",
    "Orders or fills look wrong",
    "Venue or network trouble",
    "Precaution, nothing found yet",
)


def read(sources: Sources, visit: Visit) -> Page:
    """The page."""
    scope = scope_of(visit.asked("scope"))
    stop = sources.halts.board.stops.get(visit.asked("stop"))
    if stop is not None and not visit.asked("scope"):
        scope = stop.scope
    panels = [_counts(sources, scope), _stopped(sources)]
    if stop is not None:
        panels.insert(0, _result(stop, sources))
    facts: dict[str, object] = {
        "scope": scope,
        "scope_words": scope_words(scope),
        "is_firm": scope == FIRM,
        "scopes": _scopes(sources, scope),
        "ladder": [_rung(rung, scope, sources) for rung in Rung],
        "firm_ladder": [_rung(rung, FIRM, sources) for rung in (Rung.HALT, Rung.KILL)],
        "kill_command": sources.kill_command,
        "phone": sources.phone,
        "stop_id": stop.stop_id if stop is not None else "",
        "reason": stop.reason if stop is not None else "",
        "phrases": list(PHRASES),
        "lifts": [_lift_facts(lift, visit) for lift in sources.halts.board.waiting_lifts()],
        "stops": [_stop_facts(row, visit) for row in sources.halts.board.latest_stops()[:STOPS_SHOWN]],
        "states": _liftable(sources, scope),
        "is_database_up": sources.is_database_up(),
    }
    sequence = sources.supervision.following.sequence
    return Page("stop", "Stop", visit.address, "stop", tuple(panels), facts=facts, scope=scope, sequence=sequence)


def scope_of(text: str) -> str:
    """The scope in the address; the firm when it is blank or malformed, since this page must always open."""
    try:
        scope = checked_scope(text) if text else FIRM
    except InvalidRequest:
        return FIRM
    return FIRM if scope == MACHINE else scope


def scope_words(scope: str) -> str:
    """A scope as a button says it: `desk crypto`; the firm is `the firm`."""
    kind, _, name = scope.partition(":")
    if scope == FIRM:
        return "the firm"
    if scope == MACHINE:
        return "this machine"
    return f"{'block' if kind == 'parent' else kind} {name}"


def working_count(sources: Sources, scope: str) -> int | None:
    """How many orders work in a scope; None when no gate says."""
    reading = sources.readings.get("working")
    if reading.value is None or reading.error:
        return None
    return len(in_scope(sources.readings.rows("working"), scope, sources.supervision.routes_of_parents()))


def _rung(rung: Rung, scope: str, sources: Sources) -> dict[str, object]:
    """One button: its label holds verb, scope and live count."""
    meaning = MEANING[rung]
    number = working_count(sources, scope)
    effect = KILL_OF_FIRM if rung is Rung.KILL and scope == FIRM else meaning.effect
    before, after = effect.split("{count}")
    return {
        "rung": rung.value,
        "verb": meaning.verb,
        "scope": scope,
        "scope_words": scope_words(scope),
        "before": before,
        "count": "?" if number is None else str(number),
        "after": after,
        "people": people_needed(meaning.state),
    }


def _counts(sources: Sources, scope: str) -> Panel:
    reading = sources.readings.get("working")
    return Panel(
        name="counts",
        title="Working orders",
        facts={
            "scope": _count_text(working_count(sources, scope)),
            "firm": _count_text(working_count(sources, FIRM)),
        },
        as_of_ns=reading.as_of_ns,
        interval_ns=INTERVAL_NS,
        error=reading.error,
    )


def took(length_ns: int) -> str:
    """A short time as people compare it: milliseconds below one second."""
    if length_ns < 1_000_000_000:
        return f"{length_ns / 1_000_000:.1f} ms"
    return f"{length_ns / 1_000_000_000:.2f} s"


def _count_text(number: int | None) -> str:
    return "?" if number is None else str(number)


def _scopes(sources: Sources, chosen: str) -> list[str]:
    """Scopes to choose from: those of the limits, of running blocks, and the one that is chosen."""
    rows = sources.readings.rows("utilisation")
    known = {str(row.get("scope")) for row in rows if row.get("scope")}
    routes = sources.supervision.routes_of_parents().values()
    named = {f"{kind}:{route[kind]}" for route in routes for kind in ("desk", "strategy", "venue") if route.get(kind)}
    return [FIRM, *sorted((known | named | {chosen}) - {FIRM})]


def _stopped(sources: Sources) -> Panel:
    status = sources.readings.get("status")
    rows = _state_rows(sources)
    return Panel(
        name="stopped",
        title="Stopped now",
        facts=None if status.value is None else {"rows": rows},
        as_of_ns=status.as_of_ns,
        interval_ns=INTERVAL_NS,
        is_empty=not rows,
        empty="Nothing is stopped.",
        error=status.error,
    )


def _state_rows(sources: Sources) -> list[dict[str, object]]:
    return [
        {
            "scope": row.scope,
            "scope_words": scope_words(row.scope),
            "mark": trading_mark(row.state, is_killed=row.scope == MACHINE).plain(),
            "reason": row.reason or "no reason given yet",
            "by": row.by or "the machine",
            "since_ns": str(row.since_ns),
            "people": people_needed(row.state),
        }
        for row in sources.states()
    ]


def _liftable(sources: Sources, scope: str) -> list[dict[str, object]]:
    """What may be lifted from this page: this scope where it is stopped, else all; not what waits for its second
    person."""
    waiting = {lift.scope for lift in sources.halts.board.waiting_lifts()}
    rows = _state_rows(sources)
    chosen = [row for row in rows if row["scope"] == scope] or rows
    return [row for row in chosen if row["scope"] not in waiting]


def _result(stop: Stop, sources: Sources) -> Panel:
    """What a stop did: two facts, blocked and cancelled, counted apart."""
    reading = sources.readings.get("working")
    meaning = MEANING[stop.rung]
    progress = progress_of(
        stop.children, sources.readings.rows("working"), sources.supervision.child_states(), cancels=meaning.cancels
    )
    facts: dict[str, object] = {
        "stop_id": stop.stop_id,
        "rung": stop.rung.value,
        "verb": meaning.verb,
        "scope": stop.scope,
        "scope_words": scope_words(stop.scope),
        "by": stop.by,
        "pressed": utc_precise(stop.pressed_ns),
        "pressed_ns": str(stop.pressed_ns),
        "took": took(stop.took_ns),
        "gates": [
            {"gate": gate, "at": utc_precise(blocked_ns), "at_ns": str(blocked_ns)} for gate, blocked_ns in stop.gates
        ],
        "cancels": meaning.cancels,
        "total": progress.total,
        "cancel_sent": progress.cancel_sent,
        "confirmed": progress.confirmed,
        "filled": progress.filled,
        "ended": progress.ended,
        "still_working": [
            {"child_id": row.child_id, "venue": row.venue, "fate": row.fate.value, "why": row.why}
            for row in progress.still_working[:50]
        ],
        "working": len(progress.still_working),
        "is_done": progress.is_done,
        "is_complete": stop.is_complete,
        "reason": stop.reason,
    }
    return Panel(
        name="result",
        title="What the stop did",
        facts=facts,
        as_of_ns=reading.as_of_ns,
        interval_ns=INTERVAL_NS,
        error=reading.error,
    )


def _stop_facts(stop: Stop, visit: Visit) -> dict[str, object]:
    return {
        "stop_id": stop.stop_id,
        "what": f"{MEANING[stop.rung].verb} {scope_words(stop.scope)}",
        "by": stop.by,
        "pressed": utc(stop.pressed_ns),
        "pressed_ns": str(stop.pressed_ns),
        "reason": stop.reason or "no reason yet",
        "is_due": stop.is_reason_due(visit.now_ns),
        "orders": plural(len(stop.children), "working order"),
    }


def _lift_facts(lift: Lift, visit: Visit) -> dict[str, object]:
    is_own = visit.person is not None and visit.person.name == lift.asked_by
    return {
        "lift_id": lift.lift_id,
        "scope": lift.scope,
        "scope_words": scope_words(lift.scope),
        "reason": lift.reason,
        "asked_by": lift.asked_by,
        "asked": age(lift.asked_ns, visit.now_ns),
        "asked_ns": str(lift.asked_ns),
        "seen": f"{lift.seen.state.name.lower()} by {lift.seen.by or 'the machine'}: {lift.seen.reason or 'no reason'}",
        "is_own": is_own,
    }
