"""What a parent order was meant to have done by now, as far as the record states its schedule."""

from bisect import bisect_right

from controlplane.supervision.orders import Parent
from controlplane.supervision.projection import whole

BPS = 10_000


def schedule_of(parent: Parent) -> tuple[tuple[int, int], ...]:
    """The cumulative target as (wall time in nanoseconds, lots), oldest first; empty when the strategy follows none.

    A strategy that follows the market's volume has no schedule; the record then states none, and none is made up.
    """
    stated = parent.accepted.facts.get("schedule") if parent.accepted is not None else None
    if not isinstance(stated, list):
        return ()
    points = [(int(str(row[0])), int(str(row[1]))) for row in stated if isinstance(row, list) and len(row) == 2]
    return tuple(sorted(points))


def target_lots(parent: Parent, now_ns: int) -> int | None:
    """Lots that the schedule asks for by now; None without a schedule."""
    points = schedule_of(parent)
    if not points:
        return None
    reached = bisect_right([moment for moment, _ in points], now_ns)
    return points[reached - 1][1] if reached else 0


def elapsed_bps(parent: Parent, now_ns: int) -> int | None:
    """The share of its time that has passed, in hundredths of a per cent; None when its horizon isn't known."""
    horizon_ns = whole(parent.accepted.facts, "horizon_ns") if parent.accepted is not None else 0
    if not horizon_ns:
        return None
    return max(0, min(BPS, (now_ns - parent.started_ns) * BPS // horizon_ns))
