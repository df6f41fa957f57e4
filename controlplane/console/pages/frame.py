"""What stands around every page and stays alive on it: firm state, connection, age of the data, open items."""

from controlplane.console.panels import Panel
from controlplane.console.sources import Sources, Visit
from controlplane.console.views import Mark, Sign, trading_mark
from controlplane.halts.readings import INTERVAL_NS


def frame_panel(sources: Sources, visit: Visit) -> Panel:
    """The strip in the top bar."""
    status = sources.readings.get("status")
    state, is_killed = sources.firm_state()
    stopped = [row for row in sources.states() if row.scope != "firm:firm"]
    is_known = status.value is not None and not status.error
    mark = trading_mark(state, is_killed=is_killed) if is_known else Mark(Sign.UNKNOWN, "unknown")
    owed, lifts = sources.open_items(visit.person, visit.now_ns)
    return Panel(
        name="frame",
        title="Firm",
        facts={
            "firm": mark.plain(),
            "stopped_scopes": len(stopped),
            "gate": Mark(Sign.NORMAL, "answers").plain()
            if is_known
            else Mark(Sign.UNKNOWN, "silent").plain(),
            "database": Mark(Sign.NORMAL, "record up to date").plain()
            if sources.is_database_up()
            else Mark(Sign.UNKNOWN, "database away: only Stop works").plain(),
            "is_database_up": sources.is_database_up(),
            "open_items": len(owed) + len(lifts),
        },
        as_of_ns=status.as_of_ns,
        interval_ns=INTERVAL_NS,
        error="" if is_known else "The gate doesn't answer.",
    )
