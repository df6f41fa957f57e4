"""Dynamic limits (GT25), compiled: a factor on the limits of a scope that falls at once and comes back slowly.

What is kept is the cut, in bps of the approved limit: 0 takes nothing away.
"""

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.decisions import DenialCode as Code
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.arrays import GUARD_DIGEST, NOTICE_COUNT
from controlplane.gate.kernel.compiled import Words, compiled, seldom
from controlplane.gate.kernel.denials import INSTRUMENT, UNDERLYING, bound_lots, bound_micro, deny_size
from controlplane.gate.kernel.families import places as p
from controlplane.gate.kernel.families.breakers import refresh
from controlplane.gate.kernel.hashing import fold
from controlplane.gate.kernel.ledger import cell_long, cell_short
from controlplane.gate.kernel.valuation import BPS

MINUTE_NS = 60 * NS_PER_S
RECOVERY_NS_MAX = 60 * MINUTE_NS
FIRST_FACTOR_NUMBER = 1 << 20  # in the digest, so that no factor looks like a breaker


@compiled
def observe_factor(s: Words, factor: int, value: int, now: int) -> None:
    """Take a measure in: a lower factor holds at once, a higher one is only wanted."""
    measured, full, floor = value * s[factor + p.F_SIGN], s[factor + p.F_FULL], s[factor + p.F_FLOOR]
    cut = 0
    if measured >= floor:
        cut = s[factor + p.F_FLOOR_CUT]
    elif measured > full:
        cut = (s[factor + p.F_FLOOR_CUT] * (measured - full) + floor - full - 1) // (floor - full)
    s[factor + p.F_READ] = now
    want_cut(s, factor, cut, now)


@compiled
def want_cut(s: Words, factor: int, cut: int, now: int) -> None:
    """Let a cut be wanted; as long as no smaller one is, the quiet time doesn't begin."""
    s[factor + p.F_WANTED] = cut
    if cut >= s[factor + p.F_CUT] and cut > 0:
        s[factor + p.F_FELL] = s[factor + p.F_RECOVERED] = now
    if cut > s[factor + p.F_CUT]:
        _set_cut(s, factor, cut)


@compiled
def recover_factor(s: Words, factor: int, now: int) -> None:
    """Let time pass: what is unknown wants the floor, and after a quiet time a cut shrinks at its rate."""
    if s[factor + p.F_READ] == 0:
        want_cut(s, factor, s[factor + p.F_MISSING_CUT], now)
    elif (
        abs(s[a.E_WALL] - s[factor + p.F_AS_OF]) > s[factor + p.F_AGE_MAX]
        or now - s[factor + p.F_READ] > s[factor + p.F_AGE_MAX]
    ):
        want_cut(s, factor, s[factor + p.F_FLOOR_CUT], now)
    cut, wanted = s[factor + p.F_CUT], s[factor + p.F_WANTED]
    since = max(s[factor + p.F_FELL] + s[factor + p.F_QUIET_NS], s[factor + p.F_RECOVERED])
    if wanted >= cut or now <= since:
        return
    rate = s[factor + p.F_RECOVER]
    gained = min(now - since, RECOVERY_NS_MAX) * rate // MINUTE_NS
    if gained > 0:
        s[factor + p.F_RECOVERED] = since + (gained * MINUTE_NS + rate - 1) // rate
        _set_cut(s, factor, max(wanted, cut - gained))


@compiled
def _set_cut(s: Words, factor: int, cut: int) -> None:
    is_noticed = cut > s[factor + p.F_CUT] or cut == 0
    s[factor + p.F_CUT] = cut
    s[GUARD_DIGEST] += fold(fold(FIRST_FACTOR_NUMBER + s[factor + p.F_NUMBER], cut), s[factor + p.F_WANTED])
    s[NOTICE_COUNT] += 1 if is_noticed else 0
    refresh(s, s[factor + p.F_GUARD])


# --- orders -----------------------------------------------------------------------------------------------------------


@compiled
def check_contracted(s: Words) -> None:
    """GT25: every limit of the order times the smallest factor over its scopes; a proved reduction may pass money."""
    seldom()
    cut = 0
    for scope in range(a.SCOPES):
        guard = s[s[a.PATH_NODES + scope] + a.NODE_GUARD]
        if guard != 0:
            cut = max(cut, s[guard + p.GUARD_LIMIT_CUT])
    if cut == 0:
        return
    for scope in range(a.SCOPES):
        if scope not in (INSTRUMENT, UNDERLYING):
            _check_lots(s, scope, cut)
        _check_money(s, scope, cut)


@compiled
def contracted(limit: int, cut: int) -> int:
    """Return a limit less its cut, rounded down; no limit stays none."""
    if limit == a.NO_LIMIT:
        return limit
    return limit // BPS * (BPS - cut) + limit % BPS * (BPS - cut) // BPS


@compiled
def _check_lots(s: Words, scope: int, cut: int) -> None:
    cell, change = s[a.PATH_CELLS + scope], s[a.NEW_LOTS] - s[a.OLD_LOTS]
    most = contracted(s[cell + a.CELL_ORDER_MAX], cut)
    bound_lots(s, Code.CONTRACTED_LIMIT_EXCEEDED, scope, max(s[a.OLD_LOTS], most - s[a.FILLED]), s[a.TOTAL_LOTS], most)
    if s[a.TOTAL_LOTS] > most and (change > 0 or s[a.IS_AMEND] == 0):
        deny_size(s, Code.CONTRACTED_LIMIT_EXCEEDED, scope, s[a.TOTAL_LOTS], most)
    if s[a.SIDE] > 0:
        worst, limit = s[cell + a.CELL_POSITION] + s[cell + a.CELL_BUY], s[cell + a.CELL_LONG_MAX]
    else:
        worst, limit = s[cell + a.CELL_SELL] - s[cell + a.CELL_POSITION], s[cell + a.CELL_SHORT_MAX]
    limit = contracted(limit, cut)
    bound_lots(s, Code.CONTRACTED_LIMIT_EXCEEDED, scope, s[a.OLD_LOTS] + max(0, limit - worst), worst + change, limit)
    if change > 0 and worst + change > limit:
        deny_size(s, Code.CONTRACTED_LIMIT_EXCEEDED, scope, worst + change, limit)


@compiled
def _check_money(s: Words, scope: int, cut: int) -> None:
    node, change = s[a.PATH_NODES + scope], s[a.NEW_MICRO] - s[a.OLD_MICRO]
    used = s[node + a.NODE_OPEN_BUY] if s[a.SIDE] > 0 else s[node + a.NODE_OPEN_SELL]
    limit = contracted(s[node + a.NODE_OPEN_MAX], cut)
    if change > 0 and used + change > limit:
        deny_size(s, Code.CONTRACTED_NOTIONAL_EXCEEDED, scope, used + change, limit)
    most = s[a.OLD_MICRO] + max(0, limit - used)
    bound_micro(s, a.STRICT_BOUND, most, Code.CONTRACTED_NOTIONAL_EXCEEDED, scope, used + change, limit)
    cell = s[a.PATH_CELLS + scope]
    own, other = cell_long(s, cell), cell_short(s, cell)
    if s[a.SIDE] < 0:
        own, other = other, own
    free, gross = max(0, other - own), s[node + a.NODE_GROSS]
    limit, after = contracted(s[node + a.NODE_GROSS_MAX], cut), gross + max(0, change - free)
    if after > limit and change > free and s[a.IS_REDUCING] == 0:
        deny_size(s, Code.CONTRACTED_NOTIONAL_EXCEEDED, scope, after, limit)
    most = s[a.OLD_MICRO] + free + max(0, limit - gross)
    bound_micro(s, a.LOOSE_BOUND, most, Code.CONTRACTED_NOTIONAL_EXCEEDED, scope, after, limit)
