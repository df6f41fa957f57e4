"""What needs a person, the worst first, each with the next thing to do."""

from dataclasses import dataclass

from controlplane.console.pages.limits import limit_facts, rows_of
from controlplane.console.sources import Sources, Visit
from controlplane.console.views import SEVERITY, Mark, Sign, age, child_mark, link, plural, trading_mark
from controlplane.halts.effective import MACHINE
from controlplane.halts.readings import INTERVAL_NS
from controlplane.limits.utilisation import Standing
from controlplane.supervision.orders import ChildState

LIMITS_NAMED = 5
UNKNOWN_NAMED = 5
SYSTEMS = "/#panel-systems"


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing: what is wrong, since when, and where to act."""

    mark: Mark
    what: str
    why: str
    action: str
    href: str

    def plain(self) -> dict[str, object]:
        """The row as a fact of the page."""
        return {"mark": self.mark.plain(), "what": self.what, "why": self.why, "action": self.action, "href": self.href}


def attention_rows(sources: Sources, visit: Visit) -> list[dict[str, object]]:
    """The rows, the worst first."""
    found = [
        *_gate(sources, visit),
        *_stops(sources, visit),
        *_limits(sources),
        *_feeds(sources),
        *_record(sources, visit),
        *_orders(sources),
        *_open_items(sources, visit),
    ]
    return [row.plain() for row in sorted(found, key=lambda row: -SEVERITY[row.mark.sign])]


def _gate(sources: Sources, visit: Visit) -> list[Attention]:
    status = sources.readings.get("status")
    if status.error:
        since = age(status.failing_ns, visit.now_ns)
        why = f"For {since}. It issues no permit while it is silent, so nothing new reaches a venue. {status.error}"
        mark = Mark(Sign.UNKNOWN, "unknown")
        return [Attention(mark, "The gate doesn't answer", why, "See the systems row", SYSTEMS)]
    if status.value is not None and visit.now_ns - status.as_of_ns > 2 * INTERVAL_NS:
        why = f"The last answer is {age(status.as_of_ns, visit.now_ns)} old."
        mark = Mark(Sign.UNKNOWN, "stale")
        return [Attention(mark, "The gate's answers are late", why, "See the systems row", SYSTEMS)]
    expires_ns = int(str((status.value or {}).get("snapshot_expires_ns") or 0))
    if expires_ns and expires_ns < visit.now_ns:
        why = "The gate denies everything until it has newer ones."
        return [Attention(Mark(Sign.ALARM, "expired"), "The limits have expired", why, "See limits", "/limits")]
    return []


def _stops(sources: Sources, visit: Visit) -> list[Attention]:
    return [
        Attention(
            trading_mark(row.state, is_killed=row.scope == MACHINE),
            f"{row.scope} is stopped",
            f"{row.reason or 'No reason given yet'}; by {row.by or 'the machine'}, "
            f"{age(row.since_ns, visit.now_ns)} ago.",
            "See what it takes to lift it",
            link("/stop", "lift", scope=row.scope),
        )
        for row in sources.states()
    ]


def _limits(sources: Sources) -> list[Attention]:
    rows, fault = rows_of(sources)
    if fault:
        return [Attention(Mark(Sign.UNKNOWN, "unknown"), "Limits can't be read", fault, "See limits", "/limits")]
    found = []
    for standing, name in ((Standing.UNKNOWN, "unknown"), (Standing.BREACH, "breach"), (Standing.NEAR, "near")):
        concerned = [row for row in rows if row.standing is standing]
        for row in concerned[:LIMITS_NAMED]:
            facts = limit_facts(row, sources)
            mark = _mark_of(facts)
            address = link("/limits", scope=str(row.scope))
            found.append(
                Attention(mark, f"{facts['limit']} of {row.scope}", str(facts["sentence"]), "See the limit", address)
            )
        if len(concerned) > LIMITS_NAMED:
            rest = plural(len(concerned) - LIMITS_NAMED, "more limit")
            mark, address = _mark_of(limit_facts(concerned[0], sources)), link("/limits", standing=name)
            found.append(Attention(mark, rest, f"They are {name}.", "See them all", address))
    return found


def _mark_of(facts: dict[str, object]) -> Mark:
    mark = facts["mark"]
    return Mark(Sign(mark["sign"]), mark["word"]) if isinstance(mark, dict) else Mark(Sign.UNKNOWN, "unknown")


def _feeds(sources: Sources) -> list[Attention]:
    status = sources.readings.get("status").value or {}
    references = status.get("references")
    rows = references if isinstance(references, list) else []
    untrusted = [row for row in rows if isinstance(row, dict) and not row.get("is_healthy")]
    return [
        Attention(
            Mark(Sign.UNKNOWN, "not trusted"),
            f"No healthy reference price for {row.get('instrument')}",
            "Too old, crossed, one-sided or too wide. New orders in it are denied until it is healthy.",
            "See decisions about it",
            link("/decisions", instrument=str(row.get("instrument"))),
        )
        for row in untrusted
    ]


def _record(sources: Sources, visit: Visit) -> list[Attention]:
    following = sources.supervision.following
    if not following.error:
        return []
    why = (
        f"For {age(following.failing_ns, visit.now_ns)}. Gates go on deciding and recording; here only Stop works, "
        "and orders are shown "
        "as they were."
    )
    return [Attention(Mark(Sign.UNKNOWN, "away"), "The database doesn't answer", why, "Stop still works", "/stop")]


def _orders(sources: Sources) -> list[Attention]:
    with sources.supervision.reading() as book:
        unknown = [child for child in book.children.values() if child.state is ChildState.UNKNOWN][:UNKNOWN_NAMED]
        refused = [child for child in book.children.values() if child.state is ChildState.REFUSED][:UNKNOWN_NAMED]
    return [
        *(
            Attention(
                child_mark(child.state),
                f"Child order {child.child_id} may or may not have reached {child.venue or 'its venue'}",
                "It counts as live until the venue answers.",
                "See its way",
                f"/orders/{child.parent_id}/children/{child.child_id}",
            )
            for child in unknown
        ),
        *(
            Attention(
                child_mark(child.state),
                f"An adapter refused child order {child.child_id}",
                "The proof that the gate allowed it was missing or no longer good.",
                "See its way",
                f"/orders/{child.parent_id}/children/{child.child_id}",
            )
            for child in refused
        ),
    ]


def _open_items(sources: Sources, visit: Visit) -> list[Attention]:
    owed, lifts = sources.open_items(visit.person, visit.now_ns)
    return [
        *(
            Attention(
                Mark(Sign.INFO, "open"),
                f"A reason is missing for the {stop.rung.value} of {stop.scope}",
                f"Pressed by {stop.by} {age(stop.pressed_ns, visit.now_ns)} ago.",
                "Give the reason",
                link("/stop", "result", stop=stop.stop_id),
            )
            for stop in owed
        ),
        *(
            Attention(
                Mark(Sign.INFO, "waits"),
                f"A lift of {lift.scope} waits for a second person",
                f"{lift.asked_by} asked {age(lift.asked_ns, visit.now_ns)} ago: {lift.reason}",
                "Look at it",
                link("/stop", "lift", scope=lift.scope),
            )
            for lift in lifts
        ),
    ]
