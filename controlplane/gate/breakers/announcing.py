"""Which states of scopes and breakers changed since they were looked at last: a record and a notice of each change."""

from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.domain.measures import BreakerState
from controlplane.domain.scopes import parse_scope
from controlplane.domain.states import TradingState
from controlplane.gate.breakers.view import BreakerView, breakers_of
from controlplane.gate.client import Notice
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.loading import State
from controlplane.gate.view import scope_states
from controlplane.journal.record import RecordKind

GATE = "gate"
Change = tuple[Mapping[str, Any], Notice]


class Announcer:
    """Remembers what was announced.

    Attributes
        stops  of every scope that isn't active: why, by whom, since when (wall time)
    """

    def __init__(self, state: State) -> None:
        self.stops: dict[str, tuple[str, str, int]] = {}
        self._count = int(state.words[a.NOTICE_COUNT])
        self._states = {scope: one for scope, one in scope_states(state).items() if one}
        self._breakers = {(one.breaker, one.scope): _told(one) for one in breakers_of(state)}

    def is_due(self, count: int) -> bool:
        """Whether something happened that may have changed a state, by the gate's count of such things."""
        return count != self._count

    def changes(self, state: State, *, reason: str, by: str, wall_ns: int) -> Iterator[Change]:
        """Yield a record and a notice for every breaker and every scope whose state isn't the one known last.

        Arguments
            reason, by  why and by whom, for scopes whose state no breaker explains
        """
        self._count = int(state.words[a.NOTICE_COUNT])
        states, causes = scope_states(state), dict[str, str]()
        for breaker in breakers_of(state):
            if self._breakers.get((breaker.breaker, breaker.scope)) != _told(breaker):
                self._breakers[breaker.breaker, breaker.scope] = _told(breaker)
                causes.setdefault(breaker.scope, sentence(breaker))
                effective = TradingState(states.get(breaker.scope, 0))
                yield (
                    _record_of(breaker, by),
                    Notice("breaker", breaker.scope, effective, sentence(breaker), wall_ns),
                )
        for scope, number in states.items():
            known = self._states.get(scope, 0)
            if known == number:
                continue
            why = causes.get(scope, reason) if by == GATE else reason
            kind = RecordKind.HALT_LIFTED if number < known else RecordKind.HALT_SET
            name = TradingState(number).name
            self._states[scope] = number
            self.stops[scope] = (why, by, wall_ns)
            if number == 0:
                self.stops.pop(scope, None)
            yield (
                {"kind": kind.text, "scope": scope, "state": name, "reason": why, "by": by},
                Notice("state", scope, TradingState(number), why, wall_ns),
            )


def sentence(breaker: BreakerView) -> str:
    """Return what a breaker did, in one sentence without a full stop."""
    did = {
        BreakerState.OPEN.name: "opened",
        BreakerState.HALF_OPEN.name: "is half-open",
        BreakerState.CLOSED.name: "closed",
    }[breaker.state]
    if breaker.is_unknown and breaker.state == BreakerState.CLOSED.name:
        did = "doesn't know its measure"
    return f"breaker {breaker.breaker} {did}: {breaker.measure.lower()} {breaker.value} against {breaker.limit}"


def _told(breaker: BreakerView) -> tuple[str, str, int]:
    return breaker.state, breaker.acts, breaker.rung


def _record_of(breaker: BreakerView, by: str) -> dict[str, Any]:
    return {
        "kind": RecordKind.BREAKER_CHANGED.text,
        "breaker": breaker.breaker,
        "scope": str(parse_scope(breaker.scope)),
        "state": breaker.state,
        "acts": breaker.acts,
        "measure": breaker.measure,
        "value": str(breaker.value),
        "limit": str(breaker.limit),
        "rung": breaker.rung,
        "is_unknown": breaker.is_unknown,
        "by": by,
    }
