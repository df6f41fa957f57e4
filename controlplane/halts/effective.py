"""The most restrictive state over the scopes of an order, and which scope is responsible."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controlplane.domain.states import TradingState

# How a gate calls the scope of its machine's kill switch.
MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class ScopeState:
    """The state of one scope with who set it, why and since when (nanoseconds since the epoch in UTC)."""

    scope: str
    state: TradingState
    reason: str
    by: str
    since_ns: int


def scope_states(status: Mapping[str, object]) -> tuple[ScopeState, ...]:
    """The scopes that are not active, the most restrictive first, from a gate's answer to `status`.

    A thrown kill switch stands there as the scope `machine`; it counts as halted. So does a state this code doesn't
    know, since a newer gate may have a stricter one.
    """
    rows = status.get("states")
    states = [_scope_state(row) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    stopped = [row for row in states if row.state is not TradingState.ACTIVE]
    return tuple(sorted(stopped, key=lambda row: (-row.state, row.scope)))


def effective_state(states: Iterable[ScopeState], scopes: Iterable[str]) -> ScopeState | None:
    """The most restrictive state among the named scopes; None when all of them are active."""
    named = set(scopes)
    return max((row for row in states if row.scope in named), key=lambda row: row.state, default=None)


def state_of(text: object) -> TradingState:
    """The state of this name; halted for a name this code doesn't know."""
    try:
        return TradingState[str(text).upper().replace("-", "_")]
    except KeyError:
        return TradingState.HALTED


def _scope_state(row: Mapping[object, object]) -> ScopeState:
    since = row.get("since_ns", 0)
    return ScopeState(
        scope=str(row.get("scope", "")),
        state=state_of(row.get("state")),
        reason=str(row.get("reason", "")),
        by=str(row.get("by", "")),
        since_ns=int(since) if isinstance(since, int | str) and str(since).lstrip("-").isdigit() else 0,
    )
