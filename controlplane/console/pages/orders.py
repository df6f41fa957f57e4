"""Orders: every block with its progress, so that the one that leaves its plan is seen."""

from controlplane.console.panels import Page, Panel
from controlplane.console.sources import Sources, Visit
from controlplane.console.views import Mark, Sign, parent_mark, signed_bps
from controlplane.domain.clock import NS_PER_S
from controlplane.supervision.orders import Parent, ParentState
from controlplane.supervision.projection import Book, whole
from controlplane.supervision.schedule import elapsed_bps, target_lots

ROWS_MAX = 200
SORTS = ("newest", "progress", "behind", "denied")
EMPTY = (
    "No block order matches. Blocks come in through the command executor submit or the executor's REST door and appear "
    "here the moment they are accepted."
)


def read(sources: Sources, visit: Visit) -> Page:
    """The page."""
    with sources.supervision.reading() as book:
        rows = [parent_facts(parent, book, sources, visit.now_ns) for parent in reversed(book.parents.values())]
    shown = [row for row in rows if _matches(row, visit)]
    sort = visit.asked("sort") if visit.asked("sort") in SORTS else "newest"
    shown = _sorted(shown, sort)
    following = sources.supervision.following
    panel = Panel(
        name="orders",
        title="Blocks",
        facts={
            "rows": shown[:ROWS_MAX],
            "matching": len(shown),
            "all": len(rows),
            "sort": sort,
            "filters": {name: visit.asked(name) for name in ("state", "instrument", "strategy")},
            "instruments": sorted({str(row["instrument"]) for row in rows if row["instrument"]}),
            "strategies": sorted({str(row["strategy"]) for row in rows if row["strategy"]}),
        },
        as_of_ns=following.read_ns,
        interval_ns=NS_PER_S,
        is_empty=not shown,
        empty=EMPTY,
        error=following.error,
    )
    return Page("orders", "Orders", visit.address, "orders", (panel,), sequence=following.sequence)


def parent_facts(parent: Parent, book: Book, sources: Sources, now_ns: int) -> dict[str, object]:
    """One block as a row shows it."""
    units = sources.names.units(parent.route.get("instrument", ""))
    ordered, filled = parent.quantity_lots, parent.filled_lots
    working = sum(
        max(0, child.quantity_lots - child.filled_lots)
        for child in (book.children.get(key) for key in parent.children)
        if child is not None and child.state.value in _LIVE
    )
    target = target_lots(parent, now_ns)
    return {
        "parent_id": parent.parent_id,
        "reference": str(parent.accepted.facts.get("reference") or "") if parent.accepted is not None else "",
        "instrument": parent.route.get("instrument", ""),
        "strategy": parent.route.get("strategy", ""),
        "desk": parent.route.get("desk", ""),
        "venue": parent.route.get("venue", ""),
        "side": parent.side,
        "unit": units.quantity_word,
        "ordered": units.number(ordered),
        "filled": units.number(filled),
        "working": units.number(working),
        "unplaced": units.number(max(0, ordered - filled - working)),
        "ordered_lots": ordered,
        "filled_lots": filled,
        "working_lots": working,
        "filled_bps": _share(filled, ordered),
        "working_bps": _share(working, ordered),
        "target_bps": _share(target, ordered) if target is not None else None,
        "behind_bps": _share(target - filled, ordered) if target is not None else 0,
        "elapsed_bps": elapsed_bps(parent, now_ns),
        "average_price": units.average_price_number(parent.average_ticks_milli) if filled else "",
        "price_unit": units.price_word,
        "slippage": slippage_text(parent),
        "children": len(parent.children),
        "denied": parent.denied_count,
        "state": _state(parent).plain(),
        "started_ns": str(parent.started_ns),
        "ended_ns": str(parent.finished.wall_ns if parent.finished is not None else 0),
    }


def slippage_bps_tenths(parent: Parent) -> int | None:
    """Average fill against arrival in tenths of a basis point, positive is cost, rounded to nearest; None when
    unknown."""
    arrival = arrival_ticks_milli(parent)
    if not arrival or not parent.fills:
        return None
    direction = -1 if parent.side == "sell" else 1
    difference = direction * (parent.average_ticks_milli - arrival)
    return (2 * difference * 100_000 + arrival) // (2 * arrival)


def arrival_ticks_milli(parent: Parent) -> int:
    """Arrival mid price in thousandths of a tick; 0 when the record doesn't state it."""
    if parent.accepted is None:
        return 0
    facts = parent.accepted.facts
    bid, ask = whole(facts, "arrival_bid_ticks"), whole(facts, "arrival_ask_ticks")
    return (bid + ask) * 500 if bid and ask else 0


def slippage_text(parent: Parent) -> str:
    """Slippage with its sign; empty when it can't be known yet."""
    tenths = slippage_bps_tenths(parent)
    return "" if tenths is None else signed_bps(tenths)


_LIVE = frozenset({"permitted", "in flight", "unknown", "working", "partly filled", "cancel pending"})


def _state(parent: Parent) -> Mark:
    if parent.state is ParentState.FINISHED and parent.finished is not None:
        said = str(parent.finished.facts.get("state") or parent.finished.facts.get("outcome") or "finished").lower()
        return Mark(Sign.NORMAL, said.replace("_", " "))
    return parent_mark(parent.state)


def _matches(row: dict[str, object], visit: Visit) -> bool:
    state = visit.asked("state")
    if state == "running" and row["ended_ns"] != "0":
        return False
    if state == "finished" and row["ended_ns"] == "0":
        return False
    return all(not visit.asked(name) or row[name] == visit.asked(name) for name in ("instrument", "strategy"))


def _sorted(rows: list[dict[str, object]], sort: str) -> list[dict[str, object]]:
    keys = {"progress": "filled_bps", "behind": "behind_bps", "denied": "denied"}
    if sort not in keys:
        return rows
    key = keys[sort]
    return sorted(rows, key=lambda row: int(str(row[key])), reverse=sort != "progress")


def _share(part: int, whole_lots: int) -> int:
    return part * 10_000 // whole_lots if whole_lots else 0
