"""GT29, GT30, GT36: what a scope does over time: its turnover of the day, the share of its orders that it cancels, how
many it needs for a trade, and how often it goes on after a fill without a person.

Firm, desk, strategy and model may have such limits; the row of one that has none is 0, and costs one test.
"""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.quantities import BPS
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled
from controlplane.gate.kernel.denials import MODEL, bound_lots, bound_micro, deny_size
from controlplane.gate.kernel.valuation import notional_micro
from controlplane.gate.kernel.windows import advance, count

ALLOWED, DENIED = 1, 2


@compiled
def check_behaviour(s: Words) -> None:
    """GT29, GT30, GT36 at every level above the parent order."""
    for scope in range(MODEL + 1):
        node = s[a.PATH_NODES + scope]
        row = s[node + a.NODE_BEHAVIOUR]
        if row != 0:
            _check_turnover(s, scope, node, row)
            _check_repeats(s, scope, row)
            _check_ratios(s, scope, row)


@compiled
def _check_turnover(s: Words, scope: int, node: int, row: int) -> None:
    """GT36: filled today, what may still fill on both sides, and this order; reductions are turnover too."""
    limit = s[row + a.BEHAVIOUR_TURNOVER_MAX]
    if limit == a.NO_LIMIT:
        return
    used = s[row + a.BEHAVIOUR_TURNOVER] + s[node + a.NODE_OPEN_BUY] + s[node + a.NODE_OPEN_SELL]
    change = s[a.NEW_MICRO] - s[a.OLD_MICRO]
    if change > 0 and used + change > limit:
        deny_size(s, Code.TURNOVER_ABOVE_LIMIT, scope, used + change, limit)
    most = s[a.OLD_MICRO] + max(0, limit - used)
    bound_micro(s, a.STRICT_BOUND, most, Code.TURNOVER_ABOVE_LIMIT, scope, used + change, limit)


@compiled
def _check_repeats(s: Words, scope: int, row: int) -> None:
    """GT30: going on after a fill once more; from the limit on only a person lets it."""
    limit = s[row + a.BEHAVIOUR_REPEATS_MAX]
    if limit != a.NO_LIMIT:
        repeats = s[row + a.BEHAVIOUR_REPEATS] + s[row + a.BEHAVIOUR_IS_FILLED]
        if repeats > limit:
            _deny_growth(s, Code.REPEATED_EXECUTION, scope, repeats, limit)


@compiled
def _check_ratios(s: Words, scope: int, row: int) -> None:
    """GT29: cancels and trades against the orders of the window, once there are enough of them to tell."""
    share, per_trade = s[row + a.BEHAVIOUR_CANCEL_BPS_MAX], s[row + a.BEHAVIOUR_PER_TRADE_MAX]
    if share == a.NO_LIMIT and per_trade == a.NO_LIMIT:
        return
    # A total that nobody has moved on since is too high, never too low: the window is moved only if that matters.
    if s[row + a.BEHAVIOUR_ORDERS + a.WINDOW_TOTAL] < s[a.RATIO_ORDERS_MIN]:
        return
    part = s[a.MONOTONIC_NS] // s[a.RATIO_PART_NS]
    orders = advance(s, row + a.BEHAVIOUR_ORDERS, part)
    if orders < s[a.RATIO_ORDERS_MIN] or orders == 0:
        return
    if share != a.NO_LIMIT:
        cancels = advance(s, row + a.BEHAVIOUR_CANCELS, part)
        if cancels * BPS > share * orders:
            _deny_growth(s, Code.CANCEL_RATIO_ABOVE_LIMIT, scope, -(-cancels * BPS // orders), share)
    if per_trade != a.NO_LIMIT:
        fills = max(1, advance(s, row + a.BEHAVIOUR_FILLS, part))
        if orders > per_trade * fills:
            _deny_growth(s, Code.ORDERS_PER_TRADE_ABOVE_LIMIT, scope, -(-orders // fills), per_trade)


@compiled
def _deny_growth(s: Words, code: int, scope: int, measured: int, limit: int) -> None:
    """Deny a new order, and an amend that makes one larger: what lives may keep its size, or lose some."""
    bound_lots(s, code, scope, s[a.OLD_LOTS], measured, limit)
    if s[a.NEW_LOTS] > s[a.OLD_LOTS]:
        deny_size(s, code, scope, measured, limit)


# --- what is counted --------------------------------------------------------------------------------------------------


@compiled
def count_entry(s: Words) -> None:
    """Count an order that was allowed; the first one after a fill is a repetition."""
    for scope in range(MODEL + 1):
        row = s[s[a.PATH_NODES + scope] + a.NODE_BEHAVIOUR]
        if row != 0:
            s[row + a.BEHAVIOUR_REPEATS] += s[row + a.BEHAVIOUR_IS_FILLED]
            s[row + a.BEHAVIOUR_IS_FILLED] = 0
            _count_ratio(s, row, a.BEHAVIOUR_ORDERS)


@compiled
def count_cancel(s: Words, order: int) -> None:
    """Count the first cancel of an order that works; its path is set."""
    if s[order + a.ORDER_IS_CANCELLING] == 0:
        for scope in range(MODEL + 1):
            row = s[s[a.PATH_NODES + scope] + a.NODE_BEHAVIOUR]
            if row != 0:
                _count_ratio(s, row, a.BEHAVIOUR_CANCELS)


@compiled
def count_fill(s: Words, instrument: int, side: int) -> None:
    """Count the fill in the record being made; one whose worth can't be formed is worth the most there is."""
    worth = -1
    for scope in range(MODEL + 1):
        row = s[s[a.PATH_NODES + scope] + a.NODE_BEHAVIOUR]
        if row == 0:
            continue
        if worth < 0:
            worth = notional_micro(s, instrument, side, s[a.E_QUANTITY], s[a.E_PRICE])
            worth = a.MONEY_MAX if worth < 0 else worth
        s[row + a.BEHAVIOUR_TURNOVER] = min(a.MONEY_MAX, s[row + a.BEHAVIOUR_TURNOVER] + worth)
        s[row + a.BEHAVIOUR_IS_FILLED] = 1
        _count_ratio(s, row, a.BEHAVIOUR_FILLS)


@compiled
def _count_ratio(s: Words, row: int, window: int) -> None:
    if s[row + a.BEHAVIOUR_CANCEL_BPS_MAX] != a.NO_LIMIT or s[row + a.BEHAVIOUR_PER_TRADE_MAX] != a.NO_LIMIT:
        count(s, row + window, s[a.E_MONOTONIC] // s[a.RATIO_PART_NS], 1)


@compiled
def forget_turnover(s: Words) -> None:
    """Begin a new day."""
    for number in range(s[a.BEHAVIOUR_COUNT]):
        s[s[a.BEHAVIOUR_AT] + number * a.BEHAVIOUR_WORDS + a.BEHAVIOUR_TURNOVER] = 0


@compiled
def clear_repeats(s: Words) -> int:
    """GT30: let a scope go on after its fills; who may do so was settled before this was called."""
    if not 0 <= s[a.E_PARENT] < s[a.NODE_COUNT]:
        return DENIED
    row = s[s[a.NODES_AT] + s[a.E_PARENT] * a.NODE_WORDS + a.NODE_BEHAVIOUR]
    if row == 0:
        return DENIED
    s[row + a.BEHAVIOUR_REPEATS] = s[row + a.BEHAVIOUR_IS_FILLED] = 0
    return ALLOWED
