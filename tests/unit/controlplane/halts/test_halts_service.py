"""Pressing, reasons and lifts through a small working gate."""

import threading
import time
from dataclasses import dataclass, field

import pytest

from controlplane.domain.clock import SystemClock
from controlplane.domain.errors import (
    GateUnavailable,
    InvalidRequest,
    JournalUnavailable,
    NotPermitted,
    SameApprover,
    StateConflict,
    UnknownReference,
)
from controlplane.halts.authority import Rung
from controlplane.halts.board import LiftStage, StopBoard
from controlplane.halts.once import make_key
from controlplane.halts.readings import GateReadings
from controlplane.halts.service import REASON_TO_FOLLOW, Halts, Press
from tests.support.console import Recorded
from tests.support.gates import FakeGateControl, working_row


@dataclass
class Hall:
    """A stop service over a gate with two working orders in two desks."""

    gate: FakeGateControl = field(
        default_factory=lambda: FakeGateControl(
            time.time_ns,
            working=[working_row("01" * 8, "aa" * 8), working_row("02" * 8, "bb" * 8, desk="rates")],
        )
    )
    recorded: Recorded = field(default_factory=Recorded)
    thrown: list[tuple[str, str]] = field(default_factory=list)
    halts: Halts = field(init=False)

    def __post_init__(self) -> None:
        clock = SystemClock()
        readings = GateReadings(self.gate, clock)
        readings.refresh()
        self.halts = Halts(
            self.gate,
            readings=readings,
            record=self.recorded,
            clock=clock,
            throw_switch=lambda reason, by: self.thrown.append((reason, by)),
        )

    def press(self, rung: Rung, scope: str = "desk:crypto", *, by: str = "operator", key: str = "") -> str:
        return self.halts.press(Press(rung, scope, by, key or make_key())).stop_id


def test_a_press_is_in_force_and_recorded_with_the_orders_that_were_working_in_its_scope() -> None:
    hall = Hall()

    stop = hall.halts.board.stops[hall.press(Rung.HALT)]

    assert hall.gate.states["desk:crypto"]["state"] == "HALTED"
    assert stop.children == ("01" * 8,)
    assert stop.gates[0][0] == "gate-0"
    assert hall.recorded.kinds() == ["StopPressed"]
    assert hall.gate.acts("set_state")[0]["reason"] == REASON_TO_FOLLOW


@pytest.mark.parametrize(
    ("rung", "state"), [(Rung.PAUSE, "PAUSED"), (Rung.REDUCE_ONLY, "REDUCE_ONLY"), (Rung.HALT, "HALTED")]
)
def test_each_rung_sets_its_state(rung: Rung, state: str) -> None:
    hall = Hall()

    hall.press(rung)

    assert hall.gate.states["desk:crypto"]["state"] == state


def test_a_kill_of_the_firm_throws_the_machines_switch() -> None:
    hall = Hall()

    hall.press(Rung.KILL, "firm")

    assert hall.gate.is_killed
    assert hall.gate.acts("kill")[0]["scope"] == "firm"


@pytest.mark.case("U9")
def test_pressing_twice_has_one_effect_also_at_once_and_after_a_restart() -> None:
    hall, key = Hall(), make_key()
    threads = [threading.Thread(target=hall.press, args=(Rung.HALT,), kwargs={"key": key}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    restarted = Hall(gate=hall.gate)
    for facts in hall.recorded.facts:
        restarted.halts.board.apply(facts)

    restarted.press(Rung.HALT, key=key)

    assert len(hall.gate.acts("set_state")) == 1
    assert hall.recorded.kinds() == ["StopPressed"]


def test_a_stop_holds_although_it_can_not_be_recorded() -> None:
    hall = Hall()
    hall.recorded.is_full = True

    stop_id = hall.press(Rung.HALT)

    assert hall.gate.states["desk:crypto"]["state"] == "HALTED"
    assert stop_id in hall.halts.board.stops


def test_a_kill_works_without_the_gate_and_other_rungs_say_what_holds_meanwhile() -> None:
    hall = Hall()
    hall.gate.is_away = True

    stop = hall.halts.board.stops[hall.press(Rung.KILL, "firm:firm")]
    with pytest.raises(GateUnavailable, match=r"no new order can leave.*controlplane kill"):
        hall.press(Rung.HALT)

    assert hall.thrown == [(REASON_TO_FOLLOW, "operator")]
    assert stop.gates[0][0] == "switch of this machine"
    assert len(hall.halts.board.stops) == 1


@pytest.mark.parametrize("scope", ["", "desk", "colour:red", "desk:", "desk:" + "x" * 81])
def test_a_scope_that_can_not_be_one_is_refused_and_nothing_is_pressed(scope: str) -> None:
    hall = Hall()

    with pytest.raises(InvalidRequest):
        hall.press(Rung.HALT, scope)

    assert hall.gate.acts("set_state") == []


def test_the_reason_given_afterwards_is_shown_for_the_scope() -> None:
    hall = Hall()
    stop_id = hall.press(Rung.HALT)
    state = hall.halts.state_now("desk:crypto")
    assert state is not None
    assert hall.halts.with_reason(state).reason == ""

    hall.halts.give_reason(stop_id, reason="feeds look wrong", by="risk-officer")

    assert hall.halts.with_reason(state).reason == "feeds look wrong"
    with pytest.raises(UnknownReference):
        hall.halts.give_reason("ffff", reason="feeds look wrong", by="operator")


@pytest.mark.case("U7")
def test_lifting_a_halt_takes_two_people_and_the_scopes_name() -> None:
    hall = Hall()
    hall.press(Rung.HALT)
    lift = hall.halts.ask_lift(scope="desk:crypto", reason="found and fixed", by="operator", key=make_key())

    with pytest.raises(SameApprover):
        hall.halts.confirm_lift(lift.lift_id, by="operator", typed_scope="desk:crypto")
    with pytest.raises(InvalidRequest):
        hall.halts.confirm_lift(lift.lift_id, by="risk-officer", typed_scope="desk")
    assert hall.gate.acts("lift") == []
    confirmed = hall.halts.confirm_lift(lift.lift_id, by="risk-officer", typed_scope="desk:crypto")

    assert confirmed.stage is LiftStage.CONFIRMED
    assert hall.gate.states == {}
    assert hall.gate.acts("lift")[0] | {"idempotency_key": ""} == {
        "scope": "desk:crypto",
        "reason": "found and fixed",
        "by": "operator",
        "second": "risk-officer",
        "idempotency_key": "",
    }
    assert hall.recorded.kinds() == ["StopPressed", "LiftRequested", "LiftConfirmed"]


def test_a_lift_is_refused_when_the_scope_was_stopped_anew_since_it_was_asked_for() -> None:
    hall = Hall()
    hall.press(Rung.HALT)
    lift = hall.halts.ask_lift(scope="desk:crypto", reason="found and fixed", by="operator", key=make_key())
    hall.gate.states["desk:crypto"]["since_ns"] = time.time_ns() + 1

    with pytest.raises(StateConflict, match="look at the new stop"):
        hall.halts.confirm_lift(lift.lift_id, by="risk-officer", typed_scope="desk:crypto")

    assert hall.gate.acts("lift") == []


def test_a_lift_of_a_kill_names_the_fence_that_was_seen() -> None:
    hall = Hall()
    hall.press(Rung.KILL, "firm")
    hall.gate.now_ns = lambda: 5
    lift = hall.halts.ask_lift(scope="machine", reason="found and fixed", by="operator", key=make_key())

    hall.halts.confirm_lift(lift.lift_id, by="risk-officer", typed_scope="machine")

    assert hall.gate.acts("lift")[0]["fence"] == 4
    assert not hall.gate.is_killed


def test_a_withdrawn_lift_can_not_be_confirmed() -> None:
    hall = Hall()
    hall.press(Rung.HALT)
    lift = hall.halts.ask_lift(scope="desk:crypto", reason="found and fixed", by="operator", key=make_key())

    hall.halts.withdraw_lift(lift.lift_id, by="operator")

    with pytest.raises(StateConflict, match="withdrawn by operator"):
        hall.halts.confirm_lift(lift.lift_id, by="risk-officer", typed_scope="desk:crypto")
    assert hall.gate.states["desk:crypto"]["state"] == "HALTED"


def test_a_lift_that_can_not_be_recorded_is_not_asked_for() -> None:
    hall = Hall()
    hall.press(Rung.HALT)
    hall.recorded.is_full = True

    with pytest.raises(JournalUnavailable):
        hall.halts.ask_lift(scope="desk:crypto", reason="found and fixed", by="operator", key=make_key())

    assert hall.halts.board.waiting_lifts() == []


def test_one_person_ends_a_pause_with_a_reason_but_not_a_halt() -> None:
    hall = Hall()
    hall.press(Rung.PAUSE)
    with pytest.raises(InvalidRequest):
        hall.halts.resume(scope="desk:crypto", reason="", by="operator", key=make_key())

    assert hall.halts.resume(scope="desk:crypto", reason="auction is over", by="operator", key=make_key()) is None

    hall.press(Rung.HALT)
    with pytest.raises(NotPermitted):
        hall.halts.resume(scope="desk:crypto", reason="auction is over", by="operator", key=make_key())
    assert hall.gate.states["desk:crypto"]["state"] == "HALTED"


def test_what_the_service_recorded_rebuilds_its_board() -> None:
    hall = Hall()
    stop_id = hall.press(Rung.HALT)
    hall.halts.give_reason(stop_id, reason="feeds look wrong", by="operator")
    hall.halts.ask_lift(scope="desk:crypto", reason="found and fixed", by="operator", key=make_key())

    rebuilt = StopBoard()
    for facts in hall.recorded.facts:
        rebuilt.apply(facts)

    assert rebuilt.stops == hall.halts.board.stops
    assert rebuilt.lifts == hall.halts.board.lifts


def test_a_gate_that_does_not_answer_leaves_its_last_answer_with_its_age() -> None:
    gate = FakeGateControl(lambda: 10)
    readings = GateReadings(gate, SystemClock())
    readings.refresh("status")
    first = readings.get("status")
    gate.is_away = True

    readings.refresh("status")
    failed = readings.get("status")

    assert first.error == ""
    assert failed.value == first.value
    assert failed.as_of_ns == first.as_of_ns
    assert "doesn't answer" in failed.error
    assert failed.failing_ns > first.as_of_ns
