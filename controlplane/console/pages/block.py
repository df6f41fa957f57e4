"""One block: why it behaves as it does, and what it costs."""

from controlplane.console.pages.orders import arrival_ticks_milli, parent_facts, slippage_text
from controlplane.console.panels import Page, Panel
from controlplane.console.sources import Sources, Visit
from controlplane.console.views import child_mark, duration, outcome_mark, utc, words
from controlplane.domain.clock import NS_PER_S
from controlplane.supervision.orders import Child, Parent
from controlplane.supervision.projection import Book, whole
from controlplane.supervision.schedule import schedule_of
from controlplane.supervision.units import Units

CHILDREN_SHOWN = 300
DENIALS_SHOWN = 50
POINTS_MAX = 600


def read(sources: Sources, visit: Visit, parent_id: str) -> Page:
    """The page.

    Errors
        InvalidRequest, UnknownReference, DatabaseUnavailable
    """
    parent, children = sources.supervision.parent(parent_id)
    units = sources.names.units(parent.route.get("instrument", ""))
    with sources.supervision.reading() as held:
        book = held if parent_id in held.parents else Book(children=children)
        head = parent_facts(parent, book, sources, visit.now_ns)
        panels = (
            _progress(parent, head, units, sources, visit),
            _children(parent, children, units, sources),
            _denials(parent, children, sources),
            _venues(parent, children, units, sources),
            _cost(parent, sources),
            _commands(parent, sources),
        )
    title = f"{head['side']} {head['ordered']} {head['unit']}, {head['instrument']}".strip(" ,")
    return Page(
        "block",
        f"Block: {title}" if title else f"Block {parent_id}",
        visit.address,
        "one-block",
        panels,
        facts={"parent_id": parent_id, "route": dict(parent.route)},
        scope=f"parent:{parent_id}",
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


def _progress(
    parent: Parent, head: dict[str, object], units: Units, sources: Sources, visit: Visit
) -> Panel:
    accepted = parent.accepted.facts if parent.accepted is not None else {}
    end_ns = whole(accepted, "end_ns") or parent.started_ns + whole(accepted, "horizon_ns")
    finished_ns = parent.finished.wall_ns if parent.finished is not None else 0
    arrival = arrival_ticks_milli(parent)
    facts = {
        **head,
        "accepted": utc(parent.started_ns),
        "accepted_ns": str(parent.started_ns),
        **_clock(parent, end_ns, finished_ns, visit.now_ns),
        "entered_by": str(accepted.get("entered_by") or ""),
        "limit_price": units.price(whole(accepted, "limit_ticks")) if whole(accepted, "limit_ticks") else "none",
        "arrival_price": f"{units.average_price_number(arrival)} {units.price_word}" if arrival else "not recorded",
        "slippage": slippage_text(parent),
        "allowed": parent.allowed_count,
        "parameters": parameter_text(accepted.get("parameters")),
        "end_reason": str(parent.finished.facts.get("reason") or "") if parent.finished is not None else "",
        "chart": chart_of(parent, units, until_ns=finished_ns or visit.now_ns),
    }
    return _live(sources, "progress", "Quantity against schedule", facts)


def _clock(parent: Parent, end_ns: int, finished_ns: int, now_ns: int) -> dict[str, object]:
    """The figure about time: what is left, how far over its end it is, or how long it took."""
    if finished_ns:
        return {"clock_name": "Took", "clock": duration(finished_ns - parent.started_ns)}
    if end_ns <= parent.started_ns:
        return {"clock_name": "Running for", "clock": duration(max(0, now_ns - parent.started_ns))}
    if now_ns <= end_ns:
        return {"clock_name": "Time left", "clock": duration(end_ns - now_ns)}
    return {"clock_name": "Over its end by", "clock": duration(now_ns - end_ns)}


def chart_of(parent: Parent, units: Units, *, until_ns: int) -> dict[str, object]:
    """The series of the chart: seconds since the start, filled and, where known, the schedule or an even pace.

    An even pace is a straight line from start to end. It is drawn as a yardstick, under that name, where the record
    states no schedule.
    """
    start_ns = parent.started_ns
    horizon_ns = whole(parent.accepted.facts, "horizon_ns") if parent.accepted is not None else 0
    fills = sorted(parent.fills, key=lambda fill: fill.wall_ns)
    total, filled = 0, [(0, 0)]
    for fill in fills:
        total += fill.lots
        filled.append((max(0, fill.wall_ns - start_ns), total))
    filled.append((max(filled[-1][0], until_ns - start_ns if until_ns > start_ns else 0), total))
    planned = [(max(0, moment - start_ns), lots) for moment, lots in schedule_of(parent)]
    is_schedule = bool(planned)
    if not planned and horizon_ns:
        planned = [(0, 0), (horizon_ns, parent.quantity_lots)]
    span = max(horizon_ns, filled[-1][0], planned[-1][0] if planned else 0, NS_PER_S)
    return {
        "plan_name": "schedule" if is_schedule else "even pace",
        "is_step": is_schedule,
        "span_seconds": span / NS_PER_S,
        "ordered": _number(parent.quantity_lots, units),
        "unit": units.quantity_word,
        "filled": [[moment / NS_PER_S, _number(lots, units)] for moment, lots in thinned(filled)],
        "planned": [[moment / NS_PER_S, _number(lots, units)] for moment, lots in thinned(planned)],
        "summary": _summary(parent, units, planned, is_schedule, until_ns),
    }


def thinned(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """At most 600 of the points, first and last among them; the chart has no room for more."""
    if len(points) <= POINTS_MAX:
        return points
    step = (len(points) - 1) / (POINTS_MAX - 1)
    return [points[round(index * step)] for index in range(POINTS_MAX)]


def _summary(
    parent: Parent, units: Units, planned: list[tuple[int, int]], is_schedule: bool, until_ns: int
) -> str:
    filled = f"{units.quantity(parent.filled_lots)} of {units.quantity(parent.quantity_lots)} filled"
    if not planned:
        return f"{filled}."
    elapsed = max(0, until_ns - parent.started_ns)
    if is_schedule:
        due = max((lots for moment, lots in planned if moment <= elapsed), default=0)
        return f"{filled}; the schedule asks for {units.quantity(due)} by now."
    horizon = planned[-1][0]
    due = min(parent.quantity_lots, parent.quantity_lots * elapsed // horizon) if horizon else 0
    return f"{filled}; an even pace would be at {units.quantity(due)}. This strategy states no schedule."


def _children(parent: Parent, children: dict[str, Child], units: Units, sources: Sources) -> Panel:
    newest = [children[key] for key in reversed(parent.children) if key in children]
    rows = [_child_row(child, units) for child in newest[:CHILDREN_SHOWN]]
    empty = "" if rows else "No child order yet. The strategy asks for the first when its plan or the market says so."
    facts: dict[str, object] = {
        "parent_id": parent.parent_id,
        "rows": rows,
        "all": len(newest),
        "unit": units.quantity_word,
        "price_unit": units.price_word,
    }
    return _live(sources, "children", "Child orders", facts, empty)


def _child_row(child: Child, units: Units) -> dict[str, object]:
    filled = child.filled_lots
    paid = sum(fill.lots * fill.price_ticks for fill in child.fills)
    return {
        "child_id": child.child_id,
        "asked_ns": str(child.first_ns),
        "side": child.side,
        "quantity": units.number(child.quantity_lots),
        "price": units.price_number(child.price_ticks) if child.price_ticks else "",
        "order_type": " · ".join(word for word in (child.order_type, child.time_in_force) if word),
        "venue": child.venue,
        "filled": units.number(filled),
        "average_price": units.average_price_number((2_000 * paid + filled) // (2 * filled)) if filled else "",
        "state": child_mark(child.state).plain(),
    }


def _denials(parent: Parent, children: dict[str, Child], sources: Sources) -> Panel:
    units = sources.names.units(parent.route.get("instrument", ""))
    denied = [
        entry
        for key in reversed(parent.children)
        if key in children
        for entry in children[key].decisions
        if entry.facts.get("outcome") == "DENIED"
    ]
    rows = [
        {
            "place": entry.place,
            "child_id": str(entry.facts.get("child_id", "")),
            "wall_ns": str(entry.wall_ns),
            "code": words(str(entry.facts.get("code") or "")),
            "quantity": units.quantity(whole(entry.facts, "quantity_lots")),
            "largest_passing": units.quantity(whole(entry.facts, "largest_passing_lots")),
            "explanation": sources.names.explanation(entry.words) or words(str(entry.facts.get("code") or "")),
            "mark": outcome_mark("DENIED").plain(),
        }
        for entry in denied[:DENIALS_SHOWN]
    ]
    empty = "" if rows else "The gate denied nothing of this block so far."
    facts: dict[str, object] = {"parent_id": parent.parent_id, "rows": rows, "all": len(denied)}
    return _live(sources, "denials", "Denied by the gate", facts, empty)


def _venues(parent: Parent, children: dict[str, Child], units: Units, sources: Sources) -> Panel:
    filled: dict[str, int] = {}
    for fill in parent.fills:
        child = children.get(fill.child_id)
        venue = child.venue if child is not None and child.venue else parent.route.get("venue", "not recorded")
        filled[venue] = filled.get(venue, 0) + fill.lots
    total = sum(filled.values())
    rows = [
        {
            "venue": venue,
            "filled": units.number(lots),
            "share_bps": lots * 10_000 // total,
            "share": f"{lots * 100 / total:.1f} %",
        }
        for venue, lots in sorted(filled.items(), key=lambda item: -item[1])
    ]
    empty = "" if rows else "Nothing filled yet."
    return _live(sources, "venues", "Where it filled", {"rows": rows, "unit": units.quantity_word}, empty)


def _cost(parent: Parent, sources: Sources) -> Panel:
    figures = parent.tca.facts.get("figures") if parent.tca is not None else None
    if not isinstance(figures, dict):
        empty = "Computed from the record once the block has finished."
        return _live(sources, "cost", "Shortfall", {"parts": []}, empty)
    parts = figures.get("parts")
    rows = [_amount(name, value) for name, value in parts.items()] if isinstance(parts, dict) else []
    sums = figures.get("sums")
    facts: dict[str, object] = {
        "parts": rows,
        "total": _amount("total", figures.get("total")),
        "adds_up": bool(sums.get("parts_equal_total")) if isinstance(sums, dict) else False,
        "currency": sources.names.currency,
    }
    return _live(sources, "cost", "Shortfall", facts)


def _amount(name: str, value: object) -> dict[str, str]:
    amount = value if isinstance(value, dict) else {}
    return {
        "name": words(str(name)),
        "currency": _signed(str(amount.get("currency", "")), 2),
        "bps": _signed(str(amount.get("bps", "")), 2),
    }


def _signed(text: str, places: int) -> str:
    try:
        return f"{float(text):+,.{places}f}".replace("-", "−")
    except ValueError:
        return ""


def _commands(parent: Parent, sources: Sources) -> Panel:
    rows = [
        {
            "wall_ns": str(entry.wall_ns),
            "what": str(entry.facts.get("operation", "")),
            "by": str(entry.facts.get("spoken_by", "")),
            "reason": str(entry.facts.get("reason", "")),
        }
        for entry in reversed(parent.commands)
    ]
    empty = "" if rows else "Nobody has changed anything about this block."
    return _live(sources, "commands", "What was changed, and by whom", {"rows": rows}, empty)


def parameter_text(value: object) -> str:
    """The strategy's parameters as `name value, name value`."""
    if not isinstance(value, list):
        return ""
    pairs = [f"{words(str(row[0]))} {row[1]}" for row in value if isinstance(row, list) and len(row) == 2]
    return ", ".join(pairs)


def _number(lots: int, units: Units) -> float:
    """A quantity for drawing; the exact one stands in the text."""
    return float(units.instrument.quantity(lots)) if units.instrument is not None else float(lots)
