"""What people pressed and asked for, folded from the records of the web service: stops, their reasons, and lifts."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.states import TradingState
from controlplane.halts.authority import Rung
from controlplane.halts.effective import ScopeState, state_of

STOPS_MAX = 500
LIFTS_MAX = 500
# A reason that nobody gave becomes an open item after this time.
REASON_DUE_NS = 900 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Stop:
    """One press of a stop button.

    Fields
        stop_id        identifier, 16 hexadecimal digits
        rung, scope    what was pressed for what
        by             name of the person
        pressed_ns     when the press reached the service, wall time
        took_ns        from there until the gate had answered
        gates          name of each machine's gate and the wall time from which it blocked
        children       child orders that were working in the scope, by identifier
        is_complete    False when there were more than fit into the list
        key            one-time key of the form
        reason         empty until somebody gave it
    """

    stop_id: str
    rung: Rung
    scope: str
    by: str
    pressed_ns: int
    took_ns: int
    gates: tuple[tuple[str, int], ...]
    children: tuple[str, ...]
    is_complete: bool
    key: str
    reason: str = ""
    reason_by: str = ""
    reason_ns: int = 0

    def is_reason_due(self, now_ns: int) -> bool:
        """Whether the reason has been missing for a quarter of an hour."""
        return not self.reason and now_ns - self.pressed_ns > REASON_DUE_NS


class LiftStage(StrEnum):
    """How far a lift has come."""

    ASKED = "asked"
    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Lift:
    """A request to end a halt, with the state and the fence that its maker saw."""

    lift_id: str
    seen: ScopeState
    reason: str
    asked_by: str
    asked_ns: int
    key: str
    fence: int = 0
    stage: LiftStage = LiftStage.ASKED
    ended_by: str = ""
    ended_ns: int = 0

    @property
    def scope(self) -> str:
        return self.seen.scope


@dataclass(slots=True)
class StopBoard:
    """The latest stops and lifts by identifier. Applying a record twice changes nothing."""

    stops: OrderedDict[str, Stop] = field(default_factory=OrderedDict)
    lifts: OrderedDict[str, Lift] = field(default_factory=OrderedDict)

    def apply(self, facts: Mapping[str, object]) -> None:
        """Take one record in; kinds that are none of ours are passed over."""
        fold = _FOLDS.get(str(facts.get("kind")))
        if fold is not None:
            fold(self, facts)

    def latest_stops(self) -> list[Stop]:
        """Every stop that is remembered, the newest first."""
        return list(self.stops.values())[::-1]

    def stop_of_key(self, key: str) -> Stop | None:
        """The stop that was pressed with this one-time key."""
        return next((stop for stop in list(self.stops.values()) if stop.key == key), None)

    def reason_of(self, scope: str, rungs: frozenset[Rung]) -> Stop | None:
        """The latest stop of a scope by one of these rungs whose reason was given afterwards."""
        found = (stop for stop in self.latest_stops() if stop.scope == scope and stop.rung in rungs)
        latest = next(found, None)
        return latest if latest is not None and latest.reason else None

    def lift_of_key(self, key: str) -> Lift | None:
        """The lift that was asked for with this one-time key."""
        return next((lift for lift in list(self.lifts.values()) if lift.key == key), None)

    def waiting_lifts(self) -> list[Lift]:
        """Lifts that wait for their second person, the oldest first."""
        return [lift for lift in list(self.lifts.values()) if lift.stage is LiftStage.ASKED]


def _stop_pressed(board: StopBoard, facts: Mapping[str, object]) -> None:
    stop_id = str(facts["stop_id"])
    if stop_id in board.stops:
        return
    gates = facts["gates"]
    children = facts["children"]
    board.stops[stop_id] = Stop(
        stop_id=stop_id,
        rung=Rung(str(facts["rung"])),
        scope=str(facts["scope"]),
        by=str(facts["by"]),
        pressed_ns=int(str(facts["wall_ns"])),
        took_ns=int(str(facts["took_ns"])),
        gates=tuple((str(row["gate"]), int(row["blocked_ns"])) for row in gates) if isinstance(gates, list) else (),
        children=tuple(str(child) for child in children) if isinstance(children, list) else (),
        is_complete=bool(facts["is_complete"]),
        key=str(facts["key"]),
    )
    while len(board.stops) > STOPS_MAX:
        board.stops.popitem(last=False)


def _reason_given(board: StopBoard, facts: Mapping[str, object]) -> None:
    stop = board.stops.get(str(facts["stop_id"]))
    if stop is not None:
        board.stops[stop.stop_id] = replace(
            stop, reason=str(facts["reason"]), reason_by=str(facts["by"]), reason_ns=int(str(facts["wall_ns"]))
        )


def _lift_requested(board: StopBoard, facts: Mapping[str, object]) -> None:
    lift_id = str(facts["lift_id"])
    if lift_id in board.lifts:
        return
    seen = ScopeState(
        scope=str(facts["scope"]),
        state=state_of(facts.get("state", TradingState.HALTED.name)),
        reason=str(facts["seen_reason"]),
        by=str(facts["seen_by"]),
        since_ns=int(str(facts["seen_since_ns"])),
    )
    board.lifts[lift_id] = Lift(
        lift_id,
        seen,
        str(facts["reason"]),
        str(facts["by"]),
        int(str(facts["wall_ns"])),
        str(facts["key"]),
        int(str(facts["seen_fence"])),
    )
    while len(board.lifts) > LIFTS_MAX:
        board.lifts.popitem(last=False)


def _lift_ended(board: StopBoard, facts: Mapping[str, object]) -> None:
    lift = board.lifts.get(str(facts["lift_id"]))
    if lift is not None and lift.stage is LiftStage.ASKED:
        stage = LiftStage.CONFIRMED if facts["kind"] == "LiftConfirmed" else LiftStage.WITHDRAWN
        board.lifts[lift.lift_id] = replace(
            lift, stage=stage, ended_by=str(facts["by"]), ended_ns=int(str(facts["wall_ns"]))
        )


_FOLDS = {
    "StopPressed": _stop_pressed,
    "StopReasonGiven": _reason_given,
    "LiftRequested": _lift_requested,
    "LiftConfirmed": _lift_ended,
    "LiftWithdrawn": _lift_ended,
}
