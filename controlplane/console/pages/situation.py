"""Situation: in five seconds, whether anything needs me, and where."""

from collections.abc import Mapping

from controlplane.console.pages.attention import attention_rows
from controlplane.console.pages.limits import limit_facts, rows_of, standing_words, tightest
from controlplane.console.pages.orders import parent_facts
from controlplane.console.panels import Page, Panel
from controlplane.console.sources import Sources, Visit
from controlplane.console.views import Mark, Sign, age, count, trading_mark, utc_time
from controlplane.domain.clock import NS_PER_S
from controlplane.halts.effective import MACHINE
from controlplane.halts.readings import INTERVAL_NS
from controlplane.limits.utilisation import Standing
from controlplane.supervision.orders import ParentState
from controlplane.supervision.projection import whole

TIGHTEST_SHOWN = 10
NO_FEED: dict[str, object] = {
    "name": "Feeds",
    "mark": Mark(Sign.INFO, "none yet").plain(),
    "what": "no reference price was observed since the gate started",
}
PARENTS_SHOWN = 12
MINUTES = 60
NS_PER_MINUTE = 60 * NS_PER_S


def read(sources: Sources, visit: Visit) -> Page:
    """The page."""
    panels = (
        _attention(sources, visit),
        _states(sources),
        _systems(sources, visit),
        _working(sources, visit),
        _tightest(sources),
        _last_hour(sources, visit),
    )
    return Page(
        "situation", "Situation", visit.address, "situation", panels, sequence=sources.supervision.following.sequence
    )


def _attention(sources: Sources, visit: Visit) -> Panel:
    rows = attention_rows(sources, visit)
    status = sources.readings.get("status")
    checked_ns = max(status.as_of_ns, sources.supervision.following.read_ns)
    return Panel(
        name="attention",
        title="Needs somebody",
        facts={"rows": rows, "count": len(rows)},
        as_of_ns=checked_ns,
        interval_ns=INTERVAL_NS,
        is_empty=not rows,
        empty="Nothing needs you: every gate answers, every limit is within, nothing is stopped.",
    )


def _states(sources: Sources) -> Panel:
    status = sources.readings.get("status")
    rows = [
        {
            "scope": row.scope,
            "mark": trading_mark(row.state, is_killed=row.scope == MACHINE).plain(),
            "reason": row.reason or "no reason given yet",
            "by": row.by or "the machine",
            "since_ns": str(row.since_ns),
        }
        for row in sources.states()
    ]
    firm, is_killed = sources.firm_state()
    return Panel(
        name="states",
        title="State of the firm",
        facts=None if status.value is None else {"firm": trading_mark(firm, is_killed=is_killed).plain(), "rows": rows},
        as_of_ns=status.as_of_ns,
        interval_ns=INTERVAL_NS,
        error=status.error,
    )


def _systems(sources: Sources, visit: Visit) -> Panel:
    status = sources.readings.get("status")
    value = status.value or {}
    following = sources.supervision.following
    started_ns = whole(value, "started_ns")
    gate = {
        "name": f"Gate {value.get('gate_id', 0)}",
        "mark": (Mark(Sign.UNKNOWN, "silent") if status.error else Mark(Sign.NORMAL, "answers")).plain(),
        "what": f"run {value.get('epoch', '–')}, up {age(started_ns, visit.now_ns) if started_ns else '–'}",
    }
    journal = {
        "name": "Journal",
        "mark": Mark(Sign.NORMAL, str(value.get("durability", "unknown"))).plain(),
        "what": f"{count(whole(value, 'records'))} records in this gate's log",
    }
    record = {
        "name": "Record index",
        "mark": (Mark(Sign.UNKNOWN, "away") if following.error else Mark(Sign.NORMAL, "followed")).plain(),
        "what": f"{count(following.sequence)} records read",
    }
    latency = _latency(value.get("latency_ns"))
    speed = {"name": "Decisions", "mark": Mark(Sign.NORMAL, decided(value)).plain(), "what": latency}
    feeds = [_feed(row) for row in _listed(value.get("references"))] or [NO_FEED]
    return Panel(
        name="systems",
        title="Gates, journal, feeds",
        facts=None if status.value is None and not status.error else {"rows": [gate, journal, record, speed, *feeds]},
        as_of_ns=status.as_of_ns,
        interval_ns=INTERVAL_NS,
        error=status.error,
    )


def decided(status: Mapping[str, object]) -> str:
    """Decisions since the gate started, in words."""
    decisions = status.get("decisions")
    if not isinstance(decisions, dict):
        return "none yet"
    return f"{count(whole(decisions, 'ALLOWED'))} allowed, {count(whole(decisions, 'DENIED'))} denied"


def _latency(value: object) -> str:
    if not isinstance(value, dict) or not whole(value, "p99"):
        return "no latency measured yet"
    return f"p50 {whole(value, 'p50') / 1_000:,.1f} µs, p99 {whole(value, 'p99') / 1_000:,.1f} µs"


def _feed(row: dict[str, object]) -> dict[str, object]:
    is_healthy = bool(row.get("is_healthy"))
    mark = Mark(Sign.NORMAL, "fresh") if is_healthy else Mark(Sign.UNKNOWN, "not trusted")
    age_ms = whole(row, "age_ns") / 1_000_000
    return {
        "name": f"{row.get('instrument', '')} {row.get('source', '')}".strip().lower(),
        "mark": mark.plain(),
        "what": f"reference {age_ms:,.0f} ms old",
    }


def _working(sources: Sources, visit: Visit) -> Panel:
    with sources.supervision.reading() as book:
        running = [parent for parent in reversed(book.parents.values()) if parent.state is not ParentState.FINISHED]
        rows = [parent_facts(parent, book, sources, visit.now_ns) for parent in running[:PARENTS_SHOWN]]
        finished = len(book.parents) - len(running)
    following = sources.supervision.following
    return Panel(
        name="working",
        title="Blocks at work",
        facts={"rows": rows, "running": len(running), "finished": finished},
        as_of_ns=following.read_ns,
        interval_ns=NS_PER_S,
        is_empty=not rows,
        empty=f"No block is running; {finished} finished. Blocks come in through the command executor submit.",
        error=following.error,
    )


def _tightest(sources: Sources) -> Panel:
    reading = sources.readings.get("utilisation")
    rows, fault = rows_of(sources)
    names = {
        "unknown": Standing.UNKNOWN,
        "breach": Standing.BREACH,
        "near": Standing.NEAR,
        "within": Standing.NORMAL,
    }
    counts = {name: sum(1 for row in rows if row.standing is standing) for name, standing in names.items()}
    return Panel(
        name="tightest",
        title="Tightest limits",
        facts=None
        if reading.value is None
        else {
            "rows": [limit_facts(row, sources) for row in tightest(rows, TIGHTEST_SHOWN)],
            "all": len(rows),
            "summary": standing_words(counts),
        },
        as_of_ns=reading.as_of_ns,
        interval_ns=INTERVAL_NS,
        is_empty=not rows,
        empty="The gate names no limit.",
        error=fault or reading.error,
    )


def _last_hour(sources: Sources, visit: Visit) -> Panel:
    """Decisions of the last sixty minutes, one cell a minute, and what happened besides."""
    first = visit.now_ns // NS_PER_MINUTE - MINUTES + 1
    with sources.supervision.reading() as book:
        cells = [book.minutes.get(first + index, (0, 0)) for index in range(MINUTES)]
        happened = [row for row in book.happened if row[0] >= first * NS_PER_MINUTE]
    following = sources.supervision.following
    allowed, denied = sum(cell[0] for cell in cells), sum(cell[1] for cell in cells)
    tallest = max((cell[0] + cell[1] for cell in cells), default=0)
    rows = [
        {"wall_ns": str(moment), "at": utc_time(moment), "what": what, "href": href}
        for moment, what, href in reversed(happened[-12:])
    ]
    facts = {
        "cells": [{"minute": index, "allowed": cell[0], "denied": cell[1]} for index, cell in enumerate(cells)],
        "tallest": tallest,
        "from": utc_time(first * NS_PER_MINUTE),
        "to": utc_time((first + MINUTES) * NS_PER_MINUTE),
        "summary": f"{count(allowed)} allowed and {count(denied)} denied in the last hour",
        "happened": rows,
    }
    return Panel(
        name="last_hour",
        title="Last hour",
        facts=facts,
        as_of_ns=following.read_ns,
        interval_ns=NS_PER_S,
        is_empty=not (allowed or denied or rows),
        empty="Nothing was decided and nothing happened in the last hour.",
        error=following.error,
    )


def _listed(value: object) -> list[dict[str, object]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
