"""Stop states and the kill: what each lets through, the proof of a reduction, fences, and what survives a restart."""

import dataclasses

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import JournalUnavailable, NotPermitted, PermitInvalid, SnapshotMismatch
from controlplane.domain.orders import Side
from controlplane.domain.reports import ReportKind
from controlplane.gate.permit import verify
from controlplane.gate.switch import Switch
from tests.support.builders import OTHER_STRATEGY, PRICE, cancel_command, roomy_snapshot, scope_names
from tests.support.rig import OpenRig, Rig

DESK, STRATEGY = "desk:crypto", "strategy:crypto/twap"
EXCEEDED, HALTED, KILLED = DenialCode.REDUCE_ONLY_EXCEEDED, DenialCode.SCOPE_HALTED, DenialCode.GATE_KILLED


# --- reduce-only ------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-77")
@pytest.mark.parametrize("side", Side)
def test_reduce_only_while_flat_denies_both_sides(rig: Rig, side: Side) -> None:
    rig.stop(DESK, "REDUCE_ONLY")

    verdict = rig.ask(side, quantity_lots=1)

    assert verdict.codes == (EXCEEDED,)
    assert verdict.largest_passing_lots == 0
    assert verdict.binding is not None
    assert (verdict.binding.scope, verdict.binding.measured, verdict.binding.limit) == (DESK, 1, 0)


@pytest.mark.case("GATE-78")
def test_two_reductions_of_the_whole_position_at_once_pass_once(rig: Rig) -> None:
    rig.hold(10)
    rig.stop(DESK, "REDUCE_ONLY")

    first, second = rig.sell(10), rig.sell(10)

    assert first.is_allowed
    assert second.codes == (EXCEEDED,)


@pytest.mark.case("GATE-78")
@pytest.mark.parametrize(("held", "side"), [(10, Side.SELL), (-10, Side.BUY)])
def test_reduction_never_goes_through_zero(rig: Rig, held: int, side: Side) -> None:
    rig.hold(held)
    rig.stop(DESK, "REDUCE_ONLY")

    too_far = rig.ask(side, quantity_lots=11)

    assert too_far.codes == (EXCEEDED,)
    assert too_far.largest_passing_lots == 10
    assert rig.ask(Side(-side), quantity_lots=1).codes == (EXCEEDED,)
    assert rig.ask(side, quantity_lots=10).is_allowed


def test_reduction_is_proved_at_the_scope_that_is_reduce_only(open_rig: OpenRig) -> None:
    """A strategy that is flat has nothing to reduce, however long its desk is."""
    rig = open_rig()
    rig.hold(10, on=OTHER_STRATEGY)
    rig.stop(STRATEGY, "REDUCE_ONLY")

    assert rig.sell(1).codes == (EXCEEDED,)
    assert rig.sell(1, on=OTHER_STRATEGY).is_allowed


def test_what_was_proved_is_proved_again_when_an_order_is_amended(rig: Rig) -> None:
    rig.hold(10)
    child = rig.work(Side.SELL, 6)
    rig.stop(DESK, "REDUCE_ONLY")

    beyond = rig.amend(child, quantity_lots=11)

    assert beyond.codes == (EXCEEDED,)
    assert rig.amend(child, quantity_lots=10).is_allowed


@pytest.mark.case("GATE-80")
def test_reducer_larger_than_a_shrunken_position_leaves_no_room_and_can_be_cut_or_cancelled(rig: Rig) -> None:
    rig.hold(10)
    resting = rig.work(Side.SELL, 10)
    rig.hold(-6, on=OTHER_STRATEGY)
    rig.stop(DESK, "REDUCE_ONLY")

    more = rig.sell(1)
    cut = rig.amend(resting, quantity_lots=4)

    assert rig.position() == 4
    assert more.codes == (EXCEEDED,)
    assert cut.is_allowed
    assert rig.cancel(resting).is_allowed
    row = next(row for row in rig.gate.control("working", {})["rows"] if row["side"] == "SELL")
    assert row["remaining_lots"] == 4
    assert row["reserved_lots"] == 10


@pytest.mark.case("GATE-80")
def test_only_a_smaller_size_of_an_order_that_adds_passes_in_reduce_only(rig: Rig) -> None:
    adds = rig.work(Side.BUY, 10)
    rig.stop(DESK, "REDUCE_ONLY")

    larger = rig.amend(adds, quantity_lots=11)
    repriced = rig.amend(adds, price_ticks=PRICE - 5)

    assert larger.codes == (EXCEEDED,)
    assert repriced.codes == (EXCEEDED,)
    assert rig.amend(adds, quantity_lots=3).is_allowed


# --- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "code"), [("PAUSED", DenialCode.SCOPE_PAUSED), ("HALTED", HALTED)])
@pytest.mark.parametrize("scope", scope_names())
def test_stop_of_any_scope_holds_orders_and_amends_and_never_cancels(
    rig: Rig, scope: str, state: str, code: DenialCode
) -> None:
    child = rig.work()
    rig.hold(10)

    rig.stop(scope, state)

    for verdict in (rig.buy(), rig.sell(1), rig.amend(child, quantity_lots=9)):
        assert verdict.codes == (code,)
        assert verdict.binding is not None
        assert verdict.binding.scope == scope
    assert rig.cancel(child).is_allowed


def test_stop_of_one_parent_leaves_the_others_alone(rig: Rig) -> None:
    parent = rig.parent()
    other = rig.parent(Side.BUY, OTHER_STRATEGY)

    rig.stop(f"parent:{parent:016x}", "PAUSED")

    assert other != parent
    assert rig.buy().codes == (DenialCode.SCOPE_PAUSED,)
    assert rig.buy(on=OTHER_STRATEGY).is_allowed


def test_stop_of_a_strategy_leaves_its_neighbour_alone(rig: Rig) -> None:
    rig.stop(STRATEGY, "HALTED")

    assert rig.buy().codes == (HALTED,)
    assert rig.buy(on=OTHER_STRATEGY).is_allowed


def test_strictest_scope_decides_and_lifting_it_leaves_the_others(rig: Rig) -> None:
    rig.stop("firm:firm", "REDUCE_ONLY")
    rig.stop(DESK, "HALTED")
    rig.stop(STRATEGY, "PAUSED")

    before = rig.buy()
    rig.lift(DESK)
    after = rig.buy()

    assert before.codes == (HALTED, DenialCode.SCOPE_PAUSED, EXCEEDED)
    assert after.codes == (DenialCode.SCOPE_PAUSED, EXCEEDED)


@pytest.mark.case("GATE-89")
def test_lift_of_the_firm_frees_no_strategy_and_lift_of_a_strategy_no_firm(rig: Rig) -> None:
    rig.stop("firm:firm", "HALTED")
    rig.stop(STRATEGY, "HALTED")

    rig.lift("firm:firm")
    strategy_stands = rig.buy()
    rig.stop("firm:firm", "HALTED")
    rig.lift(STRATEGY)
    firm_stands = rig.buy()

    assert strategy_stands.binding is not None
    assert strategy_stands.binding.scope == STRATEGY
    assert firm_stands.binding is not None
    assert firm_stands.binding.scope == "firm:firm"


# --- cancels ----------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-94")
@pytest.mark.parametrize("state", ["REDUCE_ONLY", "PAUSED", "HALTED", "KILLED"])
def test_cancel_passes_in_every_state_also_of_orders_that_nobody_knows(rig: Rig, state: str) -> None:
    child = rig.work()
    if state == "KILLED":
        rig.gate.control("kill", {"reason": "drill", "by": "olga"})
    else:
        rig.stop("firm:firm", state)

    known, unknown = rig.cancel(child), rig.cancel(0x9_9999_9900)

    assert known.is_allowed
    assert unknown.is_allowed
    assert (known.permit, unknown.permit) == (None, None)


@pytest.mark.case("GATE-94")
def test_cancel_passes_with_stale_market_expired_limits_and_a_closed_parent(rig: Rig) -> None:
    child = rig.work()
    rig.gate.close_parent(rig.parent())
    rig.clock.advance(30 * 86_400 * 1_000_000_000)

    assert rig.buy().codes[0] is DenialCode.SNAPSHOT_EXPIRED
    assert rig.cancel(child).is_allowed


@pytest.mark.case("GATE-94")
def test_cancel_under_an_identifier_used_before_passes_all_the_same(rig: Rig) -> None:
    first, second = rig.work(), rig.work()
    used = rig.orders[first].request_id

    assert rig.gate.decide(cancel_command(rig.orders[second], request_id=used)).is_allowed


# --- kill and fence ---------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-82")
def test_permit_on_its_way_is_refused_once_the_machine_was_killed(rig: Rig) -> None:
    verdict = rig.buy()
    order = rig.orders[rig.last]
    assert verdict.permit is not None
    verify(verdict.permit, order, key=rig.gate.permit_key(), fence=rig.gate.fence(), now_ns=rig.clock.wall)

    rig.gate.control("kill", {"reason": "drill", "by": "olga"})

    with pytest.raises(PermitInvalid, match="a stop or a restart came between"):
        verify(verdict.permit, order, key=rig.gate.permit_key(), fence=rig.gate.fence(), now_ns=rig.clock.wall)


@pytest.mark.case("GATE-82")
def test_halt_of_a_scope_voids_permits_on_their_way_and_other_scopes_ask_again(rig: Rig) -> None:
    before = rig.buy(on=OTHER_STRATEGY)
    order = rig.orders[rig.last]
    rig.stop(STRATEGY, "HALTED")
    assert before.permit is not None
    key, fence = rig.gate.permit_key(), rig.gate.fence()
    with pytest.raises(PermitInvalid, match="fence"):
        verify(before.permit, order, key=key, fence=fence, now_ns=rig.clock.wall)

    rig.tell(ReportKind.NOT_SENT, order.child_id)
    again = rig.buy(on=OTHER_STRATEGY)

    assert rig.reserved(order.child_id) == 0
    assert again.permit is not None
    verify(again.permit, rig.orders[rig.last], key=key, fence=fence, now_ns=rig.clock.wall)


def test_kill_is_in_force_at_the_next_decision_and_names_itself(rig: Rig) -> None:
    child = rig.work()

    answer = rig.gate.control("kill", {"reason": "drill", "by": "olga"})

    assert answer["working"] == 1
    assert rig.buy().codes == (KILLED,)
    assert rig.amend(child, quantity_lots=9).codes == (KILLED,)
    assert rig.gate.is_killed()
    assert rig.gate.control("status", {})["state"] == "KILLED"


def test_switch_thrown_by_another_program_is_in_force_without_a_message(rig: Rig) -> None:
    with Switch.open(rig.directory / "gate") as other:
        other.kill(reason="from a shell", by="rui")

    assert rig.buy().codes == (KILLED,)
    notices = [(notice.scope, notice.state.name, notice.reason) for notice in rig.gate.notices()]
    assert notices == [("firm:firm", "HALTED", "from a shell")]


def test_fills_after_a_kill_are_booked(rig: Rig) -> None:
    child = rig.work()
    rig.gate.control("kill", {"reason": "drill", "by": "olga"})

    rig.fill(child, 4)
    rig.tell(ReportKind.CANCELLED, child)

    assert rig.position() == 4
    assert rig.gate.working() == []


# --- restarts ---------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-88")
def test_machine_killed_before_a_restart_comes_up_killed(rig: Rig) -> None:
    rig.gate.control("kill", {"reason": "drill", "by": "olga"})

    rig.restart()
    rig.open_market()

    assert rig.gate.is_killed()
    assert rig.buy().codes == (KILLED,)


@pytest.mark.case("GATE-88")
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_machine_without_a_valid_switch_comes_up_killed(rig: Rig, damage: str) -> None:
    switch = rig.directory / "gate" / "switch"
    rig.gate.close()
    switch.unlink() if damage == "gone" else switch.write_bytes(b"half")

    rig.restart()
    rig.open_market()

    assert rig.buy().codes == (KILLED,)


@pytest.mark.case("GATE-88")
@pytest.mark.parametrize(
    ("state", "code"), [("REDUCE_ONLY", EXCEEDED), ("PAUSED", DenialCode.SCOPE_PAUSED), ("HALTED", HALTED)]
)
@pytest.mark.parametrize("version", [1, 2], ids=["same limits", "new limits"])
def test_stop_of_a_scope_stands_after_a_restart(rig: Rig, state: str, code: DenialCode, version: int) -> None:
    rig.stop(STRATEGY, state)
    parent = f"parent:{rig.parent():016x}"
    rig.stop(parent, state)

    rig.restart(roomy_snapshot(version=version))
    rig.open_market()
    verdict = rig.buy(1)

    assert verdict.codes == (code,)
    assert {row["scope"]: row["state"] for row in rig.gate.control("status", {})["states"]} == {
        STRATEGY: state,
        parent: state,
    }


@pytest.mark.parametrize("version", [1, 2], ids=["same limits", "new limits"])
def test_orders_positions_and_exposure_stand_after_a_restart(rig: Rig, version: int) -> None:
    rig.hold(10, PRICE - 5, fee_micro=77)
    working = rig.work(lots=7)
    rig.fill(working, 3)
    amending = rig.work(Side.SELL, 5)
    rig.amend(amending, quantity_lots=8)
    rig.buy(2)
    unknown = rig.last
    rig.tell(ReportKind.SEND_UNKNOWN, unknown)
    before = rig.exposure(), rig.gate.working()

    rig.restart(roomy_snapshot(version=version))

    assert (rig.exposure(), rig.gate.working()) == before
    assert [order.state for order in rig.gate.working()] == ["working", "amend pending", "unknown"]


@pytest.mark.parametrize("version", [1, 2], ids=["same limits", "new limits"])
def test_what_the_venue_says_after_a_restart_reaches_the_orders_from_before(rig: Rig, version: int) -> None:
    child = rig.work(lots=10)
    rig.fill(child, 4, execution_id=5)
    rig.restart(roomy_snapshot(version=version))

    rig.fill(child, 4, execution_id=5)
    rig.fill(child, 4, execution_id=6)
    rig.tell(ReportKind.CANCELLED, child, cumulative_lots=8)

    assert rig.position() == 8
    assert rig.live(child) is None


@pytest.mark.parametrize("version", [1, 2], ids=["same limits", "new limits"])
def test_windows_stand_after_a_restart_and_run_on_while_the_gate_was_down(rig: Rig, version: int) -> None:
    rig.work()
    rig.work()
    rig.buy(price=1)

    rig.restart(roomy_snapshot(version=version))
    at_once = rig.used("message_count"), rig.used("denied_count")
    rig.restart(down_ns=120_000_000_000)
    rig.open_market()
    rig.buy()

    assert at_once == (2, 1)
    assert (rig.used("message_count"), rig.used("denied_count")) == (1, 0)


def test_permit_from_before_a_restart_is_worthless(rig: Rig) -> None:
    verdict = rig.buy()
    order = rig.orders[rig.last]
    key = rig.gate.permit_key()
    assert verdict.permit is not None

    rig.restart()

    with pytest.raises(PermitInvalid, match="fence"):
        verify(verdict.permit, order, key=key, fence=rig.gate.fence(), now_ns=rig.clock.wall)
    with pytest.raises(PermitInvalid, match="run 1"):
        verify(verdict.permit, order, key=rig.gate.permit_key(), fence=rig.gate.fence(), now_ns=rig.clock.wall)


def test_limits_without_a_place_for_what_is_live_are_refused_and_the_gate_can_start_again(rig: Rig) -> None:
    rig.work()
    snapshot = roomy_snapshot(version=2)
    without = dataclasses.replace(
        snapshot, routes=tuple(route for route in snapshot.routes if route.instrument != "BTC-PERP")
    )

    with pytest.raises(SnapshotMismatch, match="keep it in the policy until it is flat"):
        rig.restart(without)

    rig.restart(snapshot)
    assert len(rig.gate.working()) == 1


def test_two_gates_cannot_share_a_folder(rig: Rig) -> None:
    with pytest.raises(JournalUnavailable):
        Rig.open(rig.directory)


# --- lifting ----------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-91")
@pytest.mark.parametrize("second", ["olga", "OLGA", " olga ", "", None])
@pytest.mark.parametrize("stopped", ["kill", "halt"])
def test_one_person_cannot_lift_a_kill_or_a_halt(rig: Rig, stopped: str, second: str | None) -> None:
    scope = "machine" if stopped == "kill" else DESK
    if stopped == "kill":
        rig.gate.control("kill", {"reason": "drill", "by": "rui"})
    else:
        rig.stop(DESK, "HALTED", by="rui")

    with pytest.raises(NotPermitted, match="two different people"):
        rig.lift(scope, second=second)

    assert not rig.buy().is_allowed


@pytest.mark.case("GATE-91")
def test_who_tripped_it_may_be_one_of_the_two(rig: Rig) -> None:
    rig.stop(DESK, "HALTED", by="olga")

    rig.lift(DESK, by="olga", second="rui")

    assert rig.buy().is_allowed


@pytest.mark.case("GATE-91")
def test_pause_is_lifted_by_one_person(rig: Rig) -> None:
    rig.stop(DESK, "PAUSED")

    rig.lift(DESK, second=None)

    assert rig.buy().is_allowed
