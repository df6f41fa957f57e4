"""How much of a wanted quantity may be asked for now: participation cap, setbacks, venue lot rules.

Each rule only ever makes the quantity smaller, so their order does not matter for safety.
"""

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.quantities import BPS
from executor.strategies.base import OnDenial, ParentView, Setback, SetbackKind, View

RETRY_WAIT_NS = NS_PER_S
"""Wait after the first setback that cannot be answered with a smaller order; doubles with each one in a row."""

RETRY_DOUBLINGS_MAX = 5
"""The wait stops growing here, at 32 seconds."""


def askable_lots(view: View, wanted_lots: int, on_denial: OnDenial) -> int:
    """Return the part of the wanted quantity that may be asked for now, 0 to wait."""
    lots = min(wanted_lots, view.parent.unplaced_lots)
    room_lots = participation_room_lots(view)
    if room_lots is not None:
        lots = min(lots, room_lots)
    if view.setback is not None:
        lots = min(lots, _lots_after_setback(view.setback, view.now_ns, lots, on_denial))
    return placeable_lots(view.parent, lots)


def participation_room_lots(view: View) -> int | None:
    """Return what may be added in the window under the parent's participation cap, None without a cap.

    Live children count as if they were filled already. Without any market volume there is no room.
    """
    cap_bps = view.parent.participation_bps_max
    if cap_bps is None:
        return None
    own_lots = view.market.own_lots_window + view.parent.live_lots
    return max(own_lots_allowed(view.market.others_lots_window, cap_bps, view.parent.quantity_lots) - own_lots, 0)


def own_lots_allowed(others_lots: int, share_bps: int, otherwise_lots: int) -> int:
    """Return the most we may trade beside others so that our share of the whole stays within `share_bps`.

    Arguments
        otherwise_lots   answer for a share of everything, where no amount of ours is too much
    Rounding
        down: own / (own + others) never exceeds the share
    """
    if share_bps >= BPS:
        return otherwise_lots
    return others_lots * share_bps // (BPS - share_bps)


def placeable_lots(parent: ParentView, lots: int) -> int:
    """Return the largest quantity the venue takes that is no more than `lots`, 0 when there is none."""
    stepped = max(lots, 0) // parent.lot_step * parent.lot_step
    return stepped if stepped >= parent.quantity_lots_min else 0


def _lots_after_setback(setback: Setback, now_ns: int, wanted_lots: int, on_denial: OnDenial) -> int:
    """Return what may be asked for after a setback.

    The first denial in a row that names a passing quantity is answered at once with that quantity by a strategy that
    asks smaller. Everything else waits, longer each time in a row, so that a closed gate or a rejecting venue is not
    hammered.
    """
    passing_lots = setback.largest_passing_lots if setback.kind is SetbackKind.DENIED else 0
    asks_smaller = on_denial is OnDenial.ASK_SMALLER and 0 < passing_lots < setback.quantity_lots
    if asks_smaller and setback.count == 1:
        return min(wanted_lots, passing_lots)
    wait_ns = RETRY_WAIT_NS << min(setback.count - 1, RETRY_DOUBLINGS_MAX)
    if now_ns < setback.at_ns + wait_ns:
        return 0
    return min(wanted_lots, passing_lots) if asks_smaller else wanted_lots
