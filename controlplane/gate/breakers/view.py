"""What breakers and dynamic limits are doing, for people and programs; read from the state, never on the order path."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from controlplane.domain.measures import BreakerState, Measure
from controlplane.domain.quantities import BPS
from controlplane.domain.states import TradingState
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.families import places as p
from controlplane.gate.kernel.loading import State


@dataclass(frozen=True, slots=True)
class BreakerView:
    """One breaker as it is now.

    Fields
        acts           what it puts its scope into now, an unknown measure counted in
        value, limit   last reading and threshold, in the unit of the measure
        since_ns       steady time of its last change of state; 0 when it never had one
        over_since_ns  steady time since when the reading has been beyond the threshold, 0 when it isn't
    """

    breaker: str
    scope: str
    measure: str
    state: str
    acts: str
    value: int
    limit: int
    is_unknown: bool
    rung: int
    trips: int
    since_ns: int
    over_since_ns: int


def breakers_of(state: State) -> Iterator[BreakerView]:
    """Yield every breaker in the order of the limits."""
    words, rules = state.words, state.snapshot.breakers
    first = int(words[int(words[a.GUARDS_AT]) + p.BREAKERS_AT])
    for number, rule in enumerate(rules):
        row = [int(word) for word in words[first + number * p.BREAKER_WORDS :][: p.WINDOW]]
        own = BreakerState(row[p.STATE])
        acts = row[p.UNKNOWN]
        if own is BreakerState.OPEN and rule.action:
            acts = max(acts, min(rule.top, rule.action + row[p.RUNG]))
        elif own is BreakerState.HALF_OPEN:
            acts = max(acts, TradingState.PROBATION)
        yield BreakerView(
            breaker=rule.name,
            scope=str(rule.scope),
            measure=Measure(rule.measure).name,
            state=own.name,
            acts=TradingState(acts).name,
            value=row[p.VALUE],
            limit=rule.trip_at,
            is_unknown=bool(row[p.UNKNOWN]) or (rule.age_ns_max > 0 and row[p.READ] == 0),
            rung=row[p.RUNG],
            trips=row[p.TRIPS],
            since_ns=row[p.SINCE],
            over_since_ns=row[p.OVER],
        )


def factors_of(state: State) -> Iterator[dict[str, Any]]:
    """Yield every dynamic limit: the share of the approved limits that stands now, and the one that is wanted."""
    words = state.words
    first = int(words[int(words[a.GUARDS_AT]) + p.FACTORS_AT])
    for number, rule in enumerate(state.snapshot.factors):
        row = [int(word) for word in words[first + number * p.FACTOR_WORDS :][: p.FACTOR_WORDS]]
        yield {
            "factor": rule.name,
            "scope": str(rule.scope),
            "measure": Measure(rule.measure).name,
            "value": row[p.F_VALUE],
            "share_bps": BPS - row[p.F_CUT],
            "wanted_bps": BPS - row[p.F_WANTED],
            "floor_bps": rule.floor_bps,
            "is_unknown": row[p.F_READ] == 0,
        }


def breakers_answer(state: State) -> dict[str, Any]:
    """Return every breaker and dynamic limit, for the control request of that name."""
    return {"breakers": [asdict(one) for one in breakers_of(state)], "factors": list(factors_of(state))}


def guard_state(state: State, node: int) -> int:
    """Return the state that breakers have put the scope of a node into."""
    guard = int(state.words[node + a.NODE_GUARD])
    return int(state.words[guard + p.GUARD_STATE]) if guard else 0
