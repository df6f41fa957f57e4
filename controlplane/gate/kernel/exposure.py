"""How much and how often: the limits on quantity, position, money, loss, messages and share of the market's volume.

Second half of the checks (`checks.py` holds the first and the three kinds of failure); here are the ones that a smaller
order can pass. Measured equal to the limit passes; there is no tolerance.
"""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.checks import is_becoming_aggressive
from controlplane.gate.kernel.compiled import Words, compiled
from controlplane.gate.kernel.denials import (
    FIRM,
    MODEL,
    PARENT,
    VENUE,
    bound_lots,
    bound_micro,
    deny,
    deny_size,
    deny_unless_reducing,
)
from controlplane.gate.kernel.ledger import cell_long, cell_short
from controlplane.gate.kernel.valuation import BPS
from controlplane.gate.kernel.windows import PARTS, advance


@compiled
def check_parent(s: Words) -> None:
    """GT15: filled and live children never exceed the parent, by venue fills; children and amends are counted too."""
    parent = s[a.PARENT_ROW]
    change = s[a.NEW_LOTS] - s[a.OLD_LOTS]
    used, quantity = s[parent + a.PARENT_FILLED] + s[parent + a.PARENT_LIVE], s[parent + a.PARENT_QUANTITY]
    bound_lots(
        s, Code.PARENT_QUANTITY_EXCEEDED, PARENT, s[a.OLD_LOTS] + max(0, quantity - used), used + change, quantity
    )
    if change > 0 and used + change > quantity:
        deny_size(s, Code.PARENT_QUANTITY_EXCEEDED, PARENT, used + change, quantity)
    if s[a.IS_AMEND] == 0:
        if s[parent + a.PARENT_CHILDREN] >= s[parent + a.PARENT_CHILDREN_MAX]:
            deny(
                s,
                Code.PARENT_CHILDREN_ABOVE_LIMIT,
                PARENT,
                s[parent + a.PARENT_CHILDREN] + 1,
                s[parent + a.PARENT_CHILDREN_MAX],
            )
    elif s[parent + a.PARENT_AMENDS] >= s[parent + a.PARENT_AMENDS_MAX]:
        deny(
            s, Code.PARENT_AMENDS_ABOVE_LIMIT, PARENT, s[parent + a.PARENT_AMENDS] + 1, s[parent + a.PARENT_AMENDS_MAX]
        )


@compiled
def check_cell(s: Words, scope: int) -> None:
    """GT08, GT17: order quantity, and the worst long or short of the position, in lots of this scope and instrument."""
    cell = s[a.PATH_CELLS + scope]
    change = s[a.NEW_LOTS] - s[a.OLD_LOTS]
    most = s[cell + a.CELL_ORDER_MAX]
    bound_lots(s, Code.ORDER_QUANTITY_ABOVE_LIMIT, scope, max(s[a.OLD_LOTS], most - s[a.FILLED]), s[a.TOTAL_LOTS], most)
    if s[a.TOTAL_LOTS] > most and (change > 0 or s[a.IS_AMEND] == 0):
        deny_size(s, Code.ORDER_QUANTITY_ABOVE_LIMIT, scope, s[a.TOTAL_LOTS], most)
    if s[a.SIDE] > 0:
        worst, limit = s[cell + a.CELL_POSITION] + s[cell + a.CELL_BUY], s[cell + a.CELL_LONG_MAX]
    else:
        worst, limit = s[cell + a.CELL_SELL] - s[cell + a.CELL_POSITION], s[cell + a.CELL_SHORT_MAX]
    bound_lots(s, Code.POSITION_ABOVE_LIMIT, scope, s[a.OLD_LOTS] + max(0, limit - worst), worst + change, limit)
    if change > 0 and worst + change > limit:
        deny_size(s, Code.POSITION_ABOVE_LIMIT, scope, worst + change, limit)


@compiled
def check_money(s: Words, scope: int) -> None:
    """GT09, GT18, GT19, GT20: order notional, gross, net, open notional of the side, number of live orders."""
    node, change = s[a.PATH_NODES + scope], s[a.NEW_MICRO] - s[a.OLD_MICRO]
    most = s[node + a.NODE_ORDER_MICRO_MAX]
    if s[a.TOTAL_MICRO] > most and (change > 0 or s[a.IS_AMEND] == 0):
        deny_size(s, Code.ORDER_NOTIONAL_ABOVE_LIMIT, scope, s[a.TOTAL_MICRO], most)
    bound_micro(s, a.ORDER_BOUND, most, Code.ORDER_NOTIONAL_ABOVE_LIMIT, scope, s[a.TOTAL_MICRO], most)
    side_used = s[node + a.NODE_OPEN_BUY] if s[a.SIDE] > 0 else s[node + a.NODE_OPEN_SELL]
    limit = s[node + a.NODE_OPEN_MAX]
    if change > 0 and side_used + change > limit:
        deny_size(s, Code.OPEN_NOTIONAL_ABOVE_LIMIT, scope, side_used + change, limit)
    most = s[a.OLD_MICRO] + max(0, limit - side_used)
    bound_micro(s, a.STRICT_BOUND, most, Code.OPEN_NOTIONAL_ABOVE_LIMIT, scope, side_used + change, limit)
    _check_gross_and_net(s, scope, node, change)
    if s[a.IS_AMEND] == 0 and s[node + a.NODE_LIVE] >= s[node + a.NODE_LIVE_MAX]:
        deny(s, Code.LIVE_ORDERS_ABOVE_LIMIT, scope, s[node + a.NODE_LIVE] + 1, s[node + a.NODE_LIVE_MAX])


@compiled
def _check_gross_and_net(s: Words, scope: int, node: int, change: int) -> None:
    """GT18; a proved reduction is let through even where the limit has already been passed (M7)."""
    cell = s[a.PATH_CELLS + scope]
    long_side, short_side = cell_long(s, cell), cell_short(s, cell)
    own, other = (long_side, short_side) if s[a.SIDE] > 0 else (short_side, long_side)
    free = max(0, other - own)
    gross, limit = s[node + a.NODE_GROSS], s[node + a.NODE_GROSS_MAX]
    gross_after = gross + max(0, change - free)
    if gross_after > limit and change > free and s[a.IS_REDUCING] == 0:
        deny_size(s, Code.GROSS_NOTIONAL_ABOVE_LIMIT, scope, gross_after, limit)
    most = s[a.OLD_MICRO] + free + max(0, limit - gross)
    bound_micro(s, a.LOOSE_BOUND, most, Code.GROSS_NOTIONAL_ABOVE_LIMIT, scope, gross_after, limit)
    side_total = s[node + a.NODE_LONG] if s[a.SIDE] > 0 else s[node + a.NODE_SHORT]
    limit = s[node + a.NODE_NET_MAX]
    if change > 0 and side_total + change > limit and s[a.IS_REDUCING] == 0:
        deny_size(s, Code.NET_NOTIONAL_ABOVE_LIMIT, scope, side_total + change, limit)
    most = s[a.OLD_MICRO] + max(0, limit - side_total)
    bound_micro(s, a.LOOSE_BOUND, most, Code.NET_NOTIONAL_ABOVE_LIMIT, scope, side_total + change, limit)


@compiled
def check_loss(s: Words, scope: int) -> None:
    """GT37: the day's loss of the scope is known and not above its limit."""
    node = s[a.PATH_NODES + scope]
    limit = s[node + a.NODE_LOSS_MAX]
    if limit == a.NO_LIMIT:
        return
    if s[node + a.NODE_IS_LOSS_UNKNOWN] != 0:
        deny_unless_reducing(s, Code.LOSS_UNKNOWN, scope, 0, limit)
    loss = s[node + a.NODE_BASELINE] - s[node + a.NODE_VALUE]
    if loss > limit:
        deny_unless_reducing(s, Code.DAILY_LOSS_ABOVE_LIMIT, scope, loss, limit)


# --- behaviour
# ----------------------------------------------------------------------------------------------------------------


@compiled
def check_rates_of_messages(s: Words, scope: int) -> None:
    """GT28: new orders and amends stop before the share of the budget that belongs to cancels."""
    node = s[a.PATH_NODES + scope]
    limit = s[node + a.NODE_ORDER_MESSAGES_MAX]
    if limit != a.NO_LIMIT:
        sent = advance(s, node + a.NODE_MESSAGES, s[a.MESSAGE_INDEX])
        if sent + 1 > limit:
            deny(s, Code.MESSAGE_RATE_ABOVE_LIMIT, scope, sent + 1, limit)
    limit = s[node + a.NODE_DENIED_MAX]
    if limit != a.NO_LIMIT:
        denied = advance(s, node + a.NODE_DENIED, s[a.DENIED_INDEX])
        if denied > limit:
            deny(s, Code.DENIED_RATE_ABOVE_LIMIT, scope, denied, limit)


@compiled
def check_participation(s: Words) -> None:
    """GT34: own fills, live aggressive orders and this order against the market's volume, over all venues and on this
    one.
    """
    limit = a.NO_LIMIT
    scope = FIRM
    for kind in range(MODEL + 1):
        share = s[s[a.PATH_CELLS + kind] + a.CELL_PARTICIPATION_MAX]
        if share < limit:
            limit, scope = share, kind
    _check_volume(s, s[s[a.INSTRUMENT] + a.INSTRUMENT_VOLUME], limit, scope)
    venue_share = s[s[a.PATH_CELLS + VENUE] + a.CELL_PARTICIPATION_MAX]
    _check_volume(s, s[s[a.ROUTE_ROW] + a.ROUTE_VOLUME], min(limit, venue_share), VENUE)


@compiled
def _check_volume(s: Words, volume: int, limit_bps: int, scope: int) -> None:
    if limit_bps == a.NO_LIMIT:
        return
    age = abs(s[a.NOW_NS] - s[volume + a.VOLUME_NS])
    if s[volume + a.VOLUME_FIRST_NS] == 0 or age > s[a.VOLUME_AGE_NS_MAX]:
        deny_unless_reducing(s, Code.PARTICIPATION_UNKNOWN, scope, age, s[a.VOLUME_AGE_NS_MAX])
        return
    market = advance(s, volume + a.VOLUME_MARKET, s[a.VOLUME_INDEX])
    own = advance(s, volume + a.VOLUME_OWN, s[a.VOLUME_INDEX])
    if s[a.MONOTONIC_NS] - s[volume + a.VOLUME_FIRST_NS] < PARTS * s[a.PARTICIPATION_BUCKET_NS]:
        market = max(market, s[volume + a.VOLUME_FLOOR])
    most = market * limit_bps // BPS
    counted = s[volume + a.VOLUME_LIVE]
    if s[a.IS_AMEND] != 0 and s[s[a.ORDER_ROW] + a.ORDER_IS_AGGRESSIVE] != 0:
        counted -= s[a.OLD_LOTS]
    used = own + counted
    change = s[a.NEW_LOTS] - s[a.OLD_LOTS]
    is_taking = is_becoming_aggressive(s)
    least = 0 if is_taking else s[a.OLD_LOTS]
    bound_lots(s, Code.PARTICIPATION_ABOVE_LIMIT, scope, max(least, most - used), used + s[a.NEW_LOTS], most)
    if (change > 0 or is_taking) and used + s[a.NEW_LOTS] > most:
        deny_size(s, Code.PARTICIPATION_ABOVE_LIMIT, scope, used + s[a.NEW_LOTS], most)
        if is_taking and s[a.IS_REPRICED] != 0 and s[a.OLD_LOTS] > most - used:
            s[a.IS_HARD] = 1  # the old size counts until the venue answers, so a smaller one doesn't help


@compiled
def count_aggressive(s: Words, order: int, lots: int) -> None:
    """Change what live aggressive orders still have to fill, over all venues and on the order's venue."""
    if s[order + a.ORDER_IS_AGGRESSIVE] != 0:
        route = s[a.ROUTES_AT] + s[order + a.ORDER_ROUTE] * a.ROUTE_WORDS
        s[s[s[route + a.ROUTE_INSTRUMENT] + a.INSTRUMENT_VOLUME] + a.VOLUME_LIVE] += lots
        s[s[route + a.ROUTE_VOLUME] + a.VOLUME_LIVE] += lots
