"""How a check says no: three kinds of failure, and the bounds that tell what would pass instead.

`deny` stands whatever the quantity, `deny_unless_reducing` falls away when the whole order is a proved reduction,
and `deny_size` when the order is small enough. A check never stops the others: a denial names every failed one, and
the first by precedence, at the highest scope, is the binding one.
"""

from controlplane.domain.decisions import FIRST_MORE_CODE
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled, inlined, seldom
from controlplane.gate.kernel.valuation import lots_within

NO_SCOPE = 15
FIRM, STRATEGY, MODEL, PARENT, INSTRUMENT, UNDERLYING, VENUE = 0, 2, 3, 4, 5, 6, 7


@compiled
def deny(s: Words, code: int, scope: int, measured: int, limit: int) -> None:
    """Fail whatever the quantity."""
    seldom()
    s[a.IS_HARD] = 1
    deny_size(s, code, scope, measured, limit)


@compiled
def deny_unless_reducing(s: Words, code: int, scope: int, measured: int, limit: int) -> None:
    """Fail unless the whole order is a proved reduction; no more than the reducible quantity would pass."""
    seldom()
    s[a.IS_WAIVABLE] = 1
    if s[a.IS_REDUCING] == 0:
        deny_size(s, code, scope, measured, limit)


@compiled
def deny_size(s: Words, code: int, scope: int, measured: int, limit: int) -> None:
    """Note a failed check that a smaller quantity would pass; the first by precedence becomes the binding one."""
    seldom()
    if code < FIRST_MORE_CODE:
        s[a.E_FAILED] |= 1 << (code - 1)
    else:
        s[a.E_MORE] |= 1 << (code - FIRST_MORE_CODE)
    if scope != NO_SCOPE:
        s[a.E_SCOPES] |= 1 << scope
    if code < s[a.FAILED_RANK]:
        s[a.FAILED_RANK] = code
        s[a.E_BINDING] = scope | scope_node(s, scope) << 8
        s[a.E_MEASURED], s[a.E_LIMIT] = measured, limit


@compiled
def scope_node(s: Words, scope: int) -> int:
    """Return the number of the node that the path has at a kind of scope, 0 when the path isn't known yet."""
    if scope == NO_SCOPE or s[a.PATH_NODES + scope] == 0:
        return 0
    return (s[a.PATH_NODES + scope] - s[a.NODES_AT]) // a.NODE_WORDS


@compiled
def bound_lots(s: Words, code: int, scope: int, lots: int, measured: int, limit: int) -> None:
    """Remember the tightest bound on the live quantity that this order may have."""
    if lots < s[a.STRICT_LOTS]:
        s[a.STRICT_LOTS] = lots
        s[a.BOUND_CODE], s[a.BOUND_SCOPE], s[a.BOUND_MEASURED], s[a.BOUND_LIMIT] = code, scope, measured, limit


@inlined
def bound_micro(s: Words, bound: int, amount: int, code: int, scope: int, measured: int, limit: int) -> None:
    """Remember the tightest bound in money of one of the three sorts, and which limit it came from."""
    if amount < s[bound]:
        s[bound] = amount
        s[bound + 1], s[bound + 2], s[bound + 3], s[bound + 4] = code, scope, measured, limit


@compiled
def largest_passing(s: Words) -> int:
    """Return the largest total quantity that every check would let through, on the lot grid; 0 when none would.

    An amend at the old price may always keep its size. At a new price the old size counts until the venue answers, so a
    reduction has to hold for it too.
    """
    if s[a.IS_HARD] != 0 or s[a.INSTRUMENT] == 0:
        return 0
    instrument, side, price = s[a.INSTRUMENT], s[a.SIDE], s[a.VALUE_PRICE]
    whole = lots_within(s, instrument, side, s[a.ORDER_BOUND], price) - s[a.FILLED]
    if s[a.IS_AMEND] != 0:
        whole = max(whole, lots_within(s, instrument, side, s[a.OLD_MICRO], price))
    tighten(s, whole, a.ORDER_BOUND)
    # More money never buys less: of a new order only a bound below those before it can be the tightest.
    is_new = s[a.IS_AMEND] == 0
    if not is_new or s[a.STRICT_BOUND] < s[a.ORDER_BOUND]:
        tighten(s, lots_within(s, instrument, side, s[a.STRICT_BOUND], price), a.STRICT_BOUND)
    strict = s[a.STRICT_LOTS]
    if not is_new or s[a.LOOSE_BOUND] < min(s[a.ORDER_BOUND], s[a.STRICT_BOUND]):
        tighten(s, lots_within(s, instrument, side, s[a.LOOSE_BOUND], price), a.LOOSE_BOUND)
    reducing = min(strict, s[a.REDUCIBLE])
    if s[a.IS_REPRICED] != 0 and s[a.REDUCIBLE] < s[a.OLD_LOTS]:
        reducing = -a.NO_LIMIT
    live = reducing if s[a.IS_WAIVABLE] != 0 else max(s[a.STRICT_LOTS], reducing)
    if s[a.IS_AMEND] != 0 and s[a.IS_REPRICED] == 0:
        live = max(live, s[a.OLD_LOTS])
    total = min(live + s[a.FILLED], s[instrument + a.INSTRUMENT_LOTS_MAX])
    total -= total % s[instrument + a.INSTRUMENT_LOT_STEP]
    return total if total >= max(1, s[instrument + a.INSTRUMENT_LOTS_MIN]) else 0


@compiled
def tighten(s: Words, lots: int, bound: int) -> None:
    """Let a bound in money, expressed in lots, take part in the search for the tightest."""
    if lots < s[a.STRICT_LOTS]:
        s[a.STRICT_LOTS] = lots
        s[a.BOUND_CODE], s[a.BOUND_SCOPE], s[a.BOUND_MEASURED], s[a.BOUND_LIMIT] = (
            s[bound + 1],
            s[bound + 2],
            s[bound + 3],
            s[bound + 4],
        )
