"""Pressing a stop, saying why, and lifting a halt with two people; each acts through the gate's control requests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock

from controlplane.domain.clock import Clock
from controlplane.domain.errors import (
    ControlPlaneError,
    GateUnavailable,
    InvalidRequest,
    JournalUnavailable,
    StateConflict,
    UnknownReference,
)
from controlplane.domain.ids import IdMint, to_text
from controlplane.domain.invariants import require
from controlplane.domain.scopes import FIRM, parse_scope
from controlplane.halts.authority import (
    MEANING,
    Rung,
    check_lift_request,
    check_may_resume,
    check_scope_typed,
    check_second_person,
    check_unchanged,
    checked_reason,
)
from controlplane.halts.board import Lift, LiftStage, Stop, StopBoard
from controlplane.halts.effective import MACHINE, ScopeState, effective_state, scope_states
from controlplane.halts.once import OnceOnly, checked_key
from controlplane.halts.readings import GateControl, GateReadings, rows_of
from controlplane.halts.working import in_scope
from controlplane.runtime.logs import get_logger

CHILDREN_KEPT_MAX = 1_000
REASON_TO_FOLLOW = "pressed in the console; the reason follows"
# Number of the web service among the programs that mint identifiers.
PROGRAM = 240

Recorder = Callable[[Mapping[str, object]], object]
# Throws the machine's own switch without its gate, given reason and person.
ThrowSwitch = Callable[[str, str], object]

log = get_logger("halts")


@dataclass(frozen=True, slots=True)
class Press:
    """What a person pressed, as it arrived."""

    rung: Rung
    scope: str
    by: str
    key: str


class Halts:
    """Stops and lifts of the machines this service can reach.

    Arguments
        gate          control requests of the machine's gate
        readings      the gate's last answers
        record        writes one entry to the journal
        throw_switch  kill without the gate; None where the machine's switch can't be reached
        parents       names of known parent orders' routes by identifier
        clock         wall and monotonic time
    """

    def __init__(
        self,
        gate: GateControl,
        *,
        readings: GateReadings,
        record: Recorder,
        clock: Clock,
        throw_switch: ThrowSwitch | None = None,
        parents: Callable[[], Mapping[str, Mapping[str, str]]] = dict,
    ) -> None:
        self._gate = gate
        self._readings = readings
        self._record = record
        self._clock = clock
        self._throw_switch = throw_switch
        self._parents = parents
        self._mint = IdMint(clock, program=PROGRAM)
        self._stops_once: OnceOnly[Stop] = OnceOnly()
        self._lifts_once: OnceOnly[Lift] = OnceOnly()
        self._lock = Lock()
        self.board = StopBoard()

    def press(self, press: Press) -> Stop:
        """The stop, in force before this returns; the same key again gives the same stop.

        Errors
            InvalidRequest   a scope that can't be one, or no one-time key
            GateUnavailable  no gate answered, and the rung is not one that the machine's switch can do alone
        """
        scope = checked_scope(press.scope)
        key = checked_key(press.key)
        known = self.board.stop_of_key(key)
        if known is not None:
            return known
        return self._stops_once.run(key, lambda: self._press(Press(press.rung, scope, press.by, key)))

    def _press(self, press: Press) -> Stop:
        started_ns, started_monotonic_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        before = in_scope(self._readings.rows("working"), press.scope, self._parents())
        blocker = self._stop_now(press)
        took_ns = self._clock.monotonic_ns() - started_monotonic_ns
        # Nothing above waits for the list of orders or for the record: the stop comes first.
        children = self._children(press.scope, before)
        with self._lock:
            stop_id = to_text(self._mint.next())
        facts: dict[str, object] = {
            "kind": "StopPressed",
            "wall_ns": str(started_ns),
            "stop_id": stop_id,
            "rung": press.rung.value,
            "scope": press.scope,
            "by": press.by,
            "took_ns": str(took_ns),
            "gates": [{"gate": blocker, "blocked_ns": str(started_ns + took_ns)}],
            "children": children[:CHILDREN_KEPT_MAX],
            "is_complete": len(children) <= CHILDREN_KEPT_MAX,
            "key": press.key,
        }
        self._apply(facts)
        try:
            self._record(facts)
        except JournalUnavailable as error:
            # The gate's own record holds the stop; ours only adds who pressed where. A stop never fails over it.
            log.error("stop_not_recorded", stop_id=stop_id, scope=press.scope, by=press.by, detail=str(error))
        self._readings.refresh("status", "working")
        return self.board.stops[stop_id]

    def _stop_now(self, press: Press) -> str:
        """The name of what blocks from now on."""
        fields: dict[str, object] = {"reason": REASON_TO_FOLLOW, "by": press.by}
        try:
            if press.rung is Rung.KILL:
                scope = "firm" if press.scope == str(FIRM) else press.scope
                self._gate.control("kill", scope=scope, **fields)
            else:
                state = MEANING[press.rung].state.name
                self._gate.control(
                    "set_state", scope=press.scope, state=state, idempotency_key=press.key, **fields
                )
        except (GateUnavailable, OSError) as error:
            return self._stop_without_gate(press, error)
        return self._gate_name()

    def _stop_without_gate(self, press: Press, error: Exception) -> str:
        if press.rung is Rung.KILL and press.scope == str(FIRM) and self._throw_switch is not None:
            self._throw_switch(REASON_TO_FOLLOW, press.by)
            return "switch of this machine"
        raise GateUnavailable(
            "The gate doesn't answer. While it is away it issues no permit, so no new order can leave; but this "
            f"{MEANING[press.rung].verb.lower()} is not in force when it comes back. Kill the firm to throw the "
            f"machine's switch, or run `controlplane kill` on the machine. ({error})"
        ) from error

    def _children(self, scope: str, before: list[Mapping[str, object]]) -> list[str]:
        try:
            rows = rows_of(self._gate.control("working"))
        except (ControlPlaneError, OSError):
            rows = []
        found = [*before, *in_scope(rows, scope, self._parents())]
        return list(dict.fromkeys(str(row["child_id"]) for row in found if row.get("child_id")))

    def give_reason(self, stop_id: str, *, reason: str, by: str) -> Stop:
        """The stop with its reason; a later reason replaces an earlier one, the record keeps both.

        Errors
            UnknownReference, InvalidRequest, JournalUnavailable
        """
        if stop_id not in self.board.stops:
            raise UnknownReference(f"No stop has the identifier {stop_id[:40]!r}; the Stop page lists the latest.")
        facts = {
            "kind": "StopReasonGiven",
            "wall_ns": str(self._clock.wall_ns()),
            "stop_id": stop_id,
            "reason": checked_reason(reason),
            "by": by,
        }
        self._record(facts)
        self._apply(facts)
        return self.board.stops[stop_id]

    def ask_lift(self, *, scope: str, reason: str, by: str, key: str) -> Lift:
        """The lift of a halt, waiting for its second person; a stop that takes one person is ended by `resume`.

        Errors
            StateConflict when the scope isn't stopped; InvalidRequest; JournalUnavailable; GateUnavailable
        """
        scope, reason, key = checked_scope(scope), checked_reason(reason), checked_key(key)
        known = self.board.lift_of_key(key)
        return known or self._lifts_once.run(key, lambda: self._ask_lift(scope, reason, by, key))

    def _ask_lift(self, scope: str, reason: str, by: str, key: str) -> Lift:
        seen = self.with_reason(check_lift_request(self.state_now(scope), scope=scope))
        with self._lock:
            lift_id = to_text(self._mint.next())
        facts = {
            "kind": "LiftRequested",
            "wall_ns": str(self._clock.wall_ns()),
            "lift_id": lift_id,
            "scope": scope,
            "state": seen.state.name,
            "seen_reason": seen.reason,
            "seen_by": seen.by,
            "seen_since_ns": str(seen.since_ns),
            "seen_fence": str((self._readings.get("status").value or {}).get("fence", 0)),
            "reason": reason,
            "by": by,
            "key": key,
        }
        self._record(facts)
        self._apply(facts)
        return self.board.lifts[lift_id]

    def confirm_lift(self, lift_id: str, *, by: str, typed_scope: str) -> Lift:
        """The lift in force: the scope is active again, or as restricted as its other stops leave it.

        Errors
            SameApprover      the person who asked
            StateConflict     the scope moved on since, or the lift has ended already by another hand
            InvalidRequest    the scope's name wasn't typed
            UnknownReference, GateUnavailable, JournalUnavailable
        """
        lift = self._waiting(lift_id)
        check_second_person(asked_by=lift.asked_by, confirmed_by=by)
        check_scope_typed(typed=typed_scope, scope=lift.scope)
        check_unchanged(lift.seen, self.state_now(lift.scope))
        require(lift.asked_by != by, f"a lift of {lift.scope} reached the gate with {by} as maker and checker")
        fields: dict[str, object] = {"fence": lift.fence} if lift.scope == MACHINE else {}
        self._gate.control(
            "lift",
            scope=lift.scope,
            reason=lift.reason,
            by=lift.asked_by,
            second=by,
            idempotency_key=lift.key,
            **fields,
        )
        return self._end_lift(lift, LiftStage.CONFIRMED, by)

    def withdraw_lift(self, lift_id: str, *, by: str) -> Lift:
        """The lift, ended without effect; anybody may end one, which leaves the halt as it is."""
        return self._end_lift(self._waiting(lift_id), LiftStage.WITHDRAWN, by)

    def resume(self, *, scope: str, reason: str, by: str, key: str) -> ScopeState | None:
        """What is left in force over the scope after one person ended its pause or reduce-only; None for nothing.

        Errors
            NotPermitted for a halt; StateConflict when the scope isn't stopped; InvalidRequest; GateUnavailable
        """
        scope, reason = checked_scope(scope), checked_reason(reason)
        current = check_lift_request(self.state_now(scope), scope=scope)
        check_may_resume(current.state)
        self._gate.control("lift", scope=scope, reason=reason, by=by, second="", idempotency_key=checked_key(key))
        return self.state_now(scope)

    def state_now(self, scope: str) -> ScopeState | None:
        """The state of exactly this scope, asked of the gate now; None when it is active."""
        self._readings.refresh("status")
        reading = self._readings.get("status")
        if reading.error or reading.value is None:
            raise GateUnavailable(f"The state of {scope} can't be known: {reading.error}")
        return effective_state(scope_states(reading.value), [scope])

    def with_reason(self, row: ScopeState) -> ScopeState:
        """The state with the reason that somebody gave after the press; blank while it is still owed."""
        if row.reason != REASON_TO_FOLLOW:
            return row
        is_machine = row.scope == MACHINE
        rungs = frozenset({Rung.KILL}) if is_machine else frozenset(Rung)
        stop = self.board.reason_of(str(FIRM) if is_machine else row.scope, rungs)
        return replace(row, reason=stop.reason if stop is not None else "")

    def _end_lift(self, lift: Lift, stage: LiftStage, by: str) -> Lift:
        kind = "LiftConfirmed" if stage is LiftStage.CONFIRMED else "LiftWithdrawn"
        now = str(self._clock.wall_ns())
        facts = {"kind": kind, "wall_ns": now, "lift_id": lift.lift_id, "scope": lift.scope, "by": by}
        self._record(facts)
        self._apply(facts)
        self._readings.refresh("status")
        return self.board.lifts[lift.lift_id]

    def _waiting(self, lift_id: str) -> Lift:
        lift = self.board.lifts.get(lift_id)
        if lift is None:
            raise UnknownReference(f"No lift has the identifier {lift_id[:40]!r}; the Stop page lists those that wait.")
        if lift.stage is not LiftStage.ASKED:
            raise StateConflict(
                f"Expected the lift of {lift.scope} to wait for its second person, found it {lift.stage} by "
                f"{lift.ended_by}; "
                "ask again if the scope is still stopped."
            )
        return lift

    def _apply(self, facts: Mapping[str, object]) -> None:
        with self._lock:
            self.board.apply(facts)

    def _gate_name(self) -> str:
        value = self._readings.get("status").value or {}
        return f"gate-{value.get('gate_id', 0)}"


def checked_scope(text: str) -> str:
    """The scope in its one written form; `firm` alone stands for the firm, `machine` for the kill switch.

    Errors
        InvalidRequest when the text isn't of the form kind:name
    """
    name = text.strip()
    if not name.isprintable():
        raise InvalidRequest("Expected a scope written kind:name, found control characters in it.", field="scope")
    if name == MACHINE:
        return MACHINE
    return str(FIRM if name == "firm" else parse_scope(name))
