"""Pure rules of stops and lifts: states, authority, one-time keys, the board, and how far a stop has come."""

import threading
import time

import pytest

from controlplane.domain.errors import InvalidRequest, NotPermitted, SameApprover, StateConflict
from controlplane.domain.states import TradingState
from controlplane.halts.authority import (
    MEANING,
    Rung,
    check_lift_request,
    check_may_resume,
    check_scope_typed,
    check_second_person,
    check_unchanged,
    checked_reason,
    rung_of,
)
from controlplane.halts.board import REASON_DUE_NS, STOPS_MAX, LiftStage, StopBoard
from controlplane.halts.effective import ScopeState, effective_state, scope_states
from controlplane.halts.once import OnceOnly, checked_key, make_key
from controlplane.halts.working import Fate, lies_in, progress_of
from tests.support.gates import working_row

HALTED = ScopeState("desk:crypto", TradingState.HALTED, "feeds look wrong", "operator", 77)


def status(*rows: tuple[str, str], state: str = "ACTIVE") -> dict[str, object]:
    return {
        "state": state,
        "states": [{"scope": scope, "state": name, "reason": "r", "by": "b", "since_ns": 1} for scope, name in rows],
    }


def stop_pressed(stop_id: str, **changed: object) -> dict[str, object]:
    facts: dict[str, object] = {
        "kind": "StopPressed",
        "wall_ns": "1000",
        "stop_id": stop_id,
        "rung": "halt",
        "scope": "desk:crypto",
        "by": "operator",
        "took_ns": "5",
        "gates": [{"gate": "gate-0", "blocked_ns": "1005"}],
        "children": ["aa", "bb"],
        "is_complete": True,
        "key": f"key-of-{stop_id}",
    }
    return facts | changed


def test_the_most_restrictive_state_over_an_orders_scopes_wins() -> None:
    states = scope_states(status(("desk:crypto", "PAUSED"), ("firm:firm", "REDUCE_ONLY"), ("desk:rates", "HALTED")))

    effective = effective_state(states, ["firm:firm", "desk:crypto", "strategy:twap"])

    assert effective is not None
    assert (effective.scope, effective.state) == ("desk:crypto", TradingState.PAUSED)
    assert effective_state(states, ["strategy:twap"]) is None


def test_a_state_of_a_newer_gate_that_is_not_known_here_counts_as_halted() -> None:
    (row,) = scope_states(status(("desk:crypto", "FROZEN_SOLID")))

    assert row.state is TradingState.HALTED


def test_states_that_stop_more_stand_first_and_active_ones_are_left_out() -> None:
    states = scope_states(status(("a:1", "PAUSED"), ("b:2", "ACTIVE"), ("machine", "KILLED"), ("c:3", "REDUCE_ONLY")))

    assert [row.scope for row in states] == ["machine", "a:1", "c:3"]


def test_a_halt_is_lifted_by_two_different_people() -> None:
    check_second_person(asked_by="operator", confirmed_by="risk-officer")
    with pytest.raises(SameApprover, match="operator again"):
        check_second_person(asked_by="operator", confirmed_by="operator")


def test_a_halt_is_not_resumed_by_one_person_but_a_pause_is() -> None:
    check_may_resume(TradingState.PAUSED)
    check_may_resume(TradingState.REDUCE_ONLY)
    with pytest.raises(NotPermitted, match="two different people"):
        check_may_resume(TradingState.HALTED)


def test_a_lift_of_what_is_not_stopped_or_was_stopped_anew_is_refused() -> None:
    with pytest.raises(StateConflict, match="nothing to lift"):
        check_lift_request(None, scope="desk:crypto")
    with pytest.raises(StateConflict, match="no longer needed"):
        check_unchanged(HALTED, None)
    later = ScopeState("desk:crypto", TradingState.HALTED, "again", "risk-officer", 99)
    with pytest.raises(StateConflict, match="look at the new stop"):
        check_unchanged(HALTED, later)
    check_unchanged(HALTED, HALTED)


def test_the_checker_types_the_scope_exactly() -> None:
    check_scope_typed(typed=" desk:crypto ", scope="desk:crypto")
    with pytest.raises(InvalidRequest) as refused:
        check_scope_typed(typed="desk:Crypto", scope="desk:crypto")
    assert refused.value.field == "scope"


@pytest.mark.parametrize("text", ["", "  ", "no", "x" * 401])
def test_a_reason_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_reason(text)


def test_a_reason_is_kept_on_one_line() -> None:
    assert checked_reason("  feeds\nlook   wrong ") == "feeds look wrong"


def test_halt_and_kill_cancel_pause_and_reduce_only_do_not() -> None:
    severities = [MEANING[rung].state for rung in Rung]

    assert severities == [TradingState.PAUSED, TradingState.REDUCE_ONLY, TradingState.HALTED, TradingState.HALTED]
    assert [MEANING[rung].cancels for rung in Rung] == [False, False, True, True]
    with pytest.raises(InvalidRequest, match="pause, reduce-only, halt, kill"):
        rung_of("stop")


def test_an_action_runs_once_for_a_key_even_when_it_is_pressed_twice_at_once() -> None:
    once: OnceOnly[int] = OnceOnly()
    ran: list[int] = []

    def action() -> int:
        ran.append(1)
        time.sleep(0.05)
        return len(ran)

    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(once.run("key", action))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ran == [1]
    assert results == [1] * 5


def test_an_action_that_failed_may_be_tried_again_under_its_key() -> None:
    once: OnceOnly[str] = OnceOnly()

    def fail() -> str:
        raise StateConflict("not now")

    with pytest.raises(StateConflict):
        once.run("key", fail)

    assert once.run("key", lambda: "done") == "done"


@pytest.mark.parametrize("key", ["", "short", "x" * 65, "with\nnewline-in-it-0123"])
def test_a_key_that_can_not_be_one_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_key(key)


def test_made_keys_pass_and_differ() -> None:
    assert checked_key(make_key()) != make_key()


def test_the_board_folds_stops_and_reasons_and_applying_twice_changes_nothing() -> None:
    board = StopBoard()
    reason = {"kind": "StopReasonGiven", "wall_ns": "2000", "stop_id": "01", "reason": "feeds", "by": "risk-officer"}

    for facts in (stop_pressed("01"), stop_pressed("01", scope="firm:firm"), reason, reason):
        board.apply(facts)

    (stop,) = board.latest_stops()
    assert (stop.scope, stop.reason, stop.reason_by) == ("desk:crypto", "feeds", "risk-officer")
    assert board.stop_of_key("key-of-01") == stop


def test_a_reason_is_due_a_quarter_of_an_hour_after_the_press() -> None:
    board = StopBoard()
    board.apply(stop_pressed("01"))
    (stop,) = board.latest_stops()

    assert not stop.is_reason_due(1000 + REASON_DUE_NS)
    assert stop.is_reason_due(1001 + REASON_DUE_NS)


def test_the_board_forgets_the_oldest_stops() -> None:
    board = StopBoard()
    for number in range(STOPS_MAX + 3):
        board.apply(stop_pressed(f"{number:04}"))

    assert len(board.stops) == STOPS_MAX
    assert "0000" not in board.stops


def test_a_lift_ends_once() -> None:
    board = StopBoard()
    asked = {
        "kind": "LiftRequested",
        "wall_ns": "1",
        "lift_id": "09",
        "scope": "desk:crypto",
        "state": "HALTED",
        "seen_reason": "feeds",
        "seen_by": "operator",
        "seen_since_ns": "77",
        "seen_fence": "3",
        "reason": "found and fixed",
        "by": "operator",
        "key": "k",
    }
    board.apply(asked)
    assert [lift.scope for lift in board.waiting_lifts()] == ["desk:crypto"]

    board.apply({"kind": "LiftConfirmed", "wall_ns": "2", "lift_id": "09", "by": "risk-officer"})
    board.apply({"kind": "LiftWithdrawn", "wall_ns": "3", "lift_id": "09", "by": "operator"})

    assert board.lifts["09"].stage is LiftStage.CONFIRMED
    assert board.waiting_lifts() == []


def test_a_working_order_lies_in_the_scopes_of_its_route_and_in_the_firm() -> None:
    row = working_row("01", "aa", desk="crypto", strategy="twap")

    assert lies_in(row, "firm:firm", {})
    assert lies_in(row, "machine", {})
    assert lies_in(row, "desk:crypto", {})
    assert not lies_in(row, "desk:rates", {})
    assert lies_in(row, "parent:aa", {})
    assert not lies_in(row, "parent:bb", {})


def test_an_order_of_which_the_scope_is_not_known_counts_rather_than_not() -> None:
    row = {"child_id": "01", "parent_id": "aa"}

    assert lies_in(row, "desk:crypto", {})
    assert not lies_in(row, "desk:crypto", {"aa": {"desk": "rates"}})


def test_a_stop_counts_what_was_cancelled_filled_and_still_works() -> None:
    rows = [working_row("04", "aa"), working_row("05", "aa")]
    known = {"01": "cancelled", "02": "filled", "04": "cancel pending"}

    progress = progress_of(["01", "02", "03", "04", "05"], rows, known, cancels=True)

    assert (progress.total, progress.confirmed, progress.filled, progress.ended) == (5, 1, 1, 1)
    assert progress.cancel_sent == 2
    assert [(row.child_id, row.fate) for row in progress.still_working] == [
        ("04", Fate.CANCEL_SENT),
        ("05", Fate.WORKING),
    ]
    assert not progress.is_done


def test_a_pause_says_that_it_leaves_working_orders_in_place() -> None:
    progress = progress_of(["01"], [working_row("01", "aa")], {}, cancels=False)

    assert progress.still_working[0].why == "this stop leaves working orders in place"
