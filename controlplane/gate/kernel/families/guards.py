"""What open and half-open breakers let an order do (GT43), compiled."""

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.states import TradingState
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.checks import hold_to_reduction
from controlplane.gate.kernel.compiled import Words, compiled, seldom
from controlplane.gate.kernel.denials import bound_lots, deny, deny_size
from controlplane.gate.kernel.families import places as p
from controlplane.gate.kernel.families.breakers import open_state
from controlplane.gate.kernel.families.factors import contracted

REDUCE_ONLY = int(TradingState.REDUCE_ONLY)


@compiled
def check_guards(s: Words) -> None:
    """Hold an order to the state that breakers have put each of its scopes into; every breaker that does is named."""
    seldom()
    for scope in range(a.SCOPES):
        guard = s[s[a.PATH_NODES + scope] + a.NODE_GUARD]
        if guard == 0:
            continue
        if s[guard + p.GUARD_STATE] >= REDUCE_ONLY:
            check_causes(s, scope, s[guard + p.GUARD_BREAKER])
        if s[guard + p.GUARD_SIZE_CUT] > 0:
            check_probation(s, scope, s[guard + p.GUARD_SIZE_CUT])


@compiled
def check_causes(s: Words, scope: int, breaker: int) -> None:
    """Deny for each breaker that pauses or halts, and for each that is reduce-only unless the order reduces."""
    is_looked_at, is_adding = False, False
    while breaker != 0:
        state = max(s[breaker + p.UNKNOWN], open_state(s, breaker) if s[breaker + p.STATE] == p.OPEN else 0)
        if state == REDUCE_ONLY and not is_looked_at:
            is_looked_at, is_adding = True, hold_to_reduction(s, scope)
        if state > REDUCE_ONLY:
            deny(s, s[breaker + p.CODE], scope, s[breaker + p.VALUE], s[breaker + p.LIMIT_SHOWN])
        elif state == REDUCE_ONLY and is_adding:
            deny_size(s, s[breaker + p.CODE], scope, s[breaker + p.VALUE], s[breaker + p.LIMIT_SHOWN])
        breaker = s[breaker + p.NEXT]


@compiled
def check_probation(s: Words, scope: int, cut: int) -> None:
    """Let a share of the largest order that any scope allows pass, and always the smallest that the venue takes."""
    instrument, change = s[a.INSTRUMENT], s[a.NEW_LOTS] - s[a.OLD_LOTS]
    usual = s[instrument + a.INSTRUMENT_LOTS_MAX]
    for other in range(a.SCOPES):
        usual = min(usual, s[s[a.PATH_CELLS + other] + a.CELL_ORDER_MAX])
    most = max(s[instrument + a.INSTRUMENT_LOTS_MIN], contracted(usual, cut))
    bound_lots(s, Code.PROBATION_SIZE_EXCEEDED, scope, max(s[a.OLD_LOTS], most - s[a.FILLED]), s[a.TOTAL_LOTS], most)
    if s[a.TOTAL_LOTS] > most and (change > 0 or s[a.IS_AMEND] == 0):
        deny_size(s, Code.PROBATION_SIZE_EXCEEDED, scope, s[a.TOTAL_LOTS], most)
