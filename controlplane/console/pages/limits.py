"""Limits: where we are near, before we are over; what can't be computed stands first."""

from collections.abc import Iterable

from controlplane.console.panels import Page, Panel
from controlplane.console.sources import Sources, Visit
from controlplane.console.views import Mark, Sign, count, measured, percent, plural, words
from controlplane.domain.errors import InvalidRequest
from controlplane.halts.readings import INTERVAL_NS
from controlplane.limits.kinds import Unit
from controlplane.limits.utilisation import Standing, Utilisation, rows_from

ROWS_MAX = 250
BAR_UNITS = 1_000
EMPTY = "No limit matches. Limits come from the policy files that the gate loaded; the filters above may hide some."

MARK = {
    Standing.NORMAL: Mark(Sign.NORMAL, "within"),
    Standing.NEAR: Mark(Sign.CAUTION, "near"),
    Standing.BREACH: Mark(Sign.ALARM, "breach"),
    Standing.UNKNOWN: Mark(Sign.UNKNOWN, "unknown"),
}
STANDINGS = {"unknown": Standing.UNKNOWN, "breach": Standing.BREACH, "near": Standing.NEAR, "within": Standing.NORMAL}


def read(sources: Sources, visit: Visit) -> Page:
    """The page."""
    reading = sources.readings.get("utilisation")
    rows, fault = rows_of(sources)
    scopes = sorted({str(row.scope) for row in rows})
    shown = [row for row in rows if _matches(row, visit)]
    counts = {name: sum(1 for row in rows if row.standing is standing) for name, standing in STANDINGS.items()}
    panel = Panel(
        name="limits",
        title="Limits in force",
        facts=None
        if reading.value is None
        else {
            "rows": [limit_facts(row, sources) for row in shown[:ROWS_MAX]],
            "matching": len(shown),
            "all": len(rows),
            "counts": counts,
            "scopes": scopes,
            "filters": {"standing": visit.asked("standing"), "scope": visit.asked("scope")},
            "snapshot": _snapshot(sources),
        },
        as_of_ns=reading.as_of_ns,
        interval_ns=INTERVAL_NS,
        is_empty=not shown,
        empty=EMPTY,
        error=fault or reading.error,
    )
    scope = visit.asked("scope") or "firm:firm"
    sequence = sources.supervision.following.sequence
    return Page("limits", "Limits", visit.address, "limits", (panel,), scope=scope, sequence=sequence)


def rows_of(sources: Sources) -> tuple[tuple[Utilisation, ...], str]:
    """The rows of the gate's last answer, worst first, and what was wrong with it."""
    value = sources.readings.get("utilisation").value
    if value is None:
        return (), ""
    try:
        return rows_from(value), ""
    except InvalidRequest as error:
        return (), str(error)


def limit_facts(row: Utilisation, sources: Sources) -> dict[str, object]:
    """One limit as a row with its bar shows it."""
    def written(value: int) -> str:
        if row.unit is Unit.LOTS and row.instrument is not None:
            return sources.names.units(row.instrument).quantity(value)
        return measured(value, row.unit.value, sources.names.currency, beside=row.limit_value)

    name = words(row.limit)
    what = f"{name}, {row.instrument}" if row.instrument else name
    is_unknown = row.is_unknown
    return {
        "limit": name,
        "scope": str(row.scope),
        "instrument": row.instrument or "",
        "mark": MARK[row.standing].plain(),
        "used": written(row.used),
        "reserved": written(row.reserved),
        "limit_value": written(row.limit_value),
        "headroom": "not known" if is_unknown else written(row.headroom),
        "share": "not known" if is_unknown else percent(row.share_bps),
        "share_bps": row.share_bps,
        "used_value": str(row.used),
        "reserved_value": str(row.reserved),
        "limit_number": str(row.limit_value),
        "headroom_value": str(row.headroom),
        "unit": row.unit.value,
        "bar": bar_of(row),
        "sentence": f"{what} for {row.scope}: use is not known; the last known value was {written(row.used)}."
        if is_unknown
        else (
            f"{what} for {row.scope}: {written(row.used)} used and {written(row.reserved)} reserved of "
            f"{written(row.limit_value)}, {percent(row.share_bps)}, {written(row.headroom)} left."
        ),
    }


def bar_of(row: Utilisation) -> dict[str, int]:
    """The lengths of the bar in thousandths of the limit, cut at 1,250 where a breach runs past the end mark."""
    limit = max(1, row.limit_value)
    used = min(1_250, max(0, row.used) * BAR_UNITS // limit)
    reserved = min(1_250 - used, max(0, row.reserved) * BAR_UNITS // limit)
    # What is in use must be seen, however little it is.
    return {"used": used or (4 if row.used > 0 else 0), "reserved": reserved or (4 if row.reserved > 0 else 0)}


def tightest(rows: Iterable[Utilisation], number: int) -> list[Utilisation]:
    """The rows that leave the least; the input is in order of concern already.

    Of a limit that many scopes share in the same way, only the tightest scope is named, unless it is abnormal.
    """
    found: list[Utilisation] = []
    seen: set[tuple[str, str | None]] = set()
    for row in rows:
        kind = (row.limit, row.instrument)
        if row.standing is Standing.NORMAL and kind in seen:
            continue
        seen.add(kind)
        found.append(row)
        if len(found) == number:
            break
    return found


def _matches(row: Utilisation, visit: Visit) -> bool:
    standing, scope = visit.asked("standing"), visit.asked("scope")
    if standing in STANDINGS and row.standing is not STANDINGS[standing]:
        return False
    return not scope or str(row.scope) == scope


def _snapshot(sources: Sources) -> str:
    status = sources.readings.get("status").value or {}
    version = status.get("snapshot_version")
    if version is None:
        return ""
    digest = str(status.get("snapshot_digest", ""))[:12]
    return f"version {count(int(str(version)))}, digest {digest}" if digest else f"version {version}"


def standing_words(counts: dict[str, int]) -> str:
    """How many limits stand how, for one line: `2 near, 1 unknown`; empty when all are within."""
    named = [f"{number} {name}" for name, number in counts.items() if number and name != "within"]
    return ", ".join(named) or f"all {plural(counts.get('within', 0), 'limit')} within"
