"""The whole system on a manual clock with faults from a seed. A failing seed is in the test's name and replays."""

from pathlib import Path

import pytest

from controlplane.domain.errors import JournalUnavailable
from controlplane.domain.orders import Side
from controlplane.domain.states import TradingState
from controlplane.gate.switch import Switch
from executor.orders.child import ChildState
from tests.support.system import Died, Faults, System

SLICES = {"slices": "4", "patience_bps": "4000", "cross_bps": "7000"}
RESTING = {"slices": "1", "patience_bps": "10000", "cross_bps": "10000"}
AT_ONCE = {"slices": "1", "patience_bps": "0", "cross_bps": "0"}


def settled(system: System) -> None:
    """Check what must hold at the end of every run, whatever happened on the way."""
    assert not system.state.active_parents
    places = system.reconciled()
    filled = {parent_id: place.filled_lots for parent_id, place in places.items()}
    assert filled == {parent_id: system.venue_lots().get(parent_id, 0) for parent_id in places}
    assert all(
        place.working_lots == place.in_flight_lots == place.unplaced_lots == place.excess_lots == 0
        for place in places.values()
    )
    assert system.gate.working() == []
    proof = system.prove()
    assert proof.faults == ()
    recorded = {int(parent, 16): lots for parent, lots in proof.executed_lots.items() if lots}
    assert recorded == {parent_id: lots for parent_id, lots in filled.items() if lots}


def test_block_is_bought_and_everything_adds_up(tmp_path: Path) -> None:
    system = System(tmp_path)
    system.live(1.0)
    work = system.accept(lots=5_000, parameters=SLICES)

    system.finish()

    assert work.parent.filled_lots == 5_000
    settled(system)


def test_same_seed_gives_the_same_history_and_another_seed_another(tmp_path: Path) -> None:
    prints = []
    for number, seed in enumerate((7, 7, 8)):
        system = System(tmp_path / str(number), seed=seed, faults=Faults(lost_report=0.1, doubled_report=0.1))
        system.live(1.0)
        system.accept(lots=5_000, parameters=SLICES)
        system.finish()
        prints.append(system.state.fingerprint())
        settled(system)

    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("seed", range(8))
def test_lost_doubled_and_uncertain_messages_lose_and_double_no_lot(tmp_path: Path, seed: int) -> None:
    faults = Faults(lost_report=0.15, doubled_report=0.2, uncertain_send=0.2, failed_send=0.1, lost_cancel=0.2)
    system = System(tmp_path, seed=seed, faults=faults)
    system.live(1.0)
    system.accept(lots=5_000, seconds=12, parameters=SLICES)
    system.accept(lots=3_000, seconds=10, side=Side.SELL, strategy="pov")

    system.finish()

    assert system.link.lost + system.link.doubled > 0
    settled(system)


@pytest.mark.parametrize("is_written", [True, False])
@pytest.mark.parametrize("dies_at", [1, 2, 3, 4, 5, 6, 8, 11, 15])
def test_program_killed_at_any_record_goes_on_without_losing_or_doubling_a_lot(
    tmp_path: Path, dies_at: int, is_written: bool
) -> None:
    system = System(tmp_path, seed=dies_at)
    system.live(1.0)
    system.die()
    system.start(dies_at=dies_at, is_written=is_written)
    with pytest.raises(Died):
        system.live_until_death(10.0, lots=5_000, horizon=10, parameters=SLICES)
    system.die()
    system.start()
    if "block" not in system.state.references:
        system.accept(lots=5_000, seconds=10, reference="block", parameters=SLICES)

    system.finish()

    (work,) = system.state.parents.values()
    assert work.parent.filled_lots + work.parent.cancelled_lots == 5_000
    settled(system)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_program_killed_between_permit_and_send_frees_what_the_gate_reserved(tmp_path: Path, order: int) -> None:
    system = System(tmp_path, seed=order)
    system.live(1.0)
    system.link.dies_before_order = order
    with pytest.raises(Died):
        system.live_until_death(20.0, lots=5_000, horizon=20, parameters=SLICES)
    system.die()
    reserved = [live.child_id for live in system.gate.working()]
    system.start()
    (lost,) = [child_id for child_id in reserved if system.exchange.status(child_id) is None]

    system.finish()

    assert system.state.children[lost].child.state is ChildState.REFUSED
    assert system.state.counts["orders_never_arrived"] == 1
    settled(system)


def test_program_that_dies_again_and_again_finishes_its_block(tmp_path: Path) -> None:
    system = System(tmp_path, seed=3, faults=Faults(lost_report=0.05))
    system.live(1.0)
    system.accept(lots=6_000, seconds=20, reference="block", parameters=SLICES)
    for pause in (0.3, 0.9, 1.7, 2.6, 0.1, 3.1):
        system.live(pause)
        system.die()
        system.live_without_program(0.4)
        system.start()

    system.finish()

    assert system.starts == 7
    settled(system)


def test_kill_cancels_everything_and_nothing_is_sent_until_the_switch_is_armed(tmp_path: Path) -> None:
    system = System(tmp_path)
    system.live(1.0)
    system.accept(lots=5_000, seconds=20, parameters=RESTING | {"slices": "2"})
    system.live(1.0)
    sent = system.state.counts["children_requested"]

    with Switch.open(tmp_path / "gate") as switch:
        switch.kill(reason="test", by="olga")
    system.live(3.0)

    assert system.state.live_children == {}
    assert system.state.counts["children_requested"] == sent
    assert system.exchange.working() == ()
    system.finish()
    settled(system)


def test_halt_of_the_desk_stops_and_cancels_and_a_late_fill_still_counts(tmp_path: Path) -> None:
    system = System(tmp_path)
    system.live(1.0)
    work = system.accept(lots=5_000, seconds=6, parameters=RESTING)
    system.live(0.5)

    system.gate.control(
        "set_state",
        {"scope": "desk:crypto", "state": "HALTED", "reason": "test", "by": "olga", "idempotency_key": "k1"},
    )
    system.live(2.0)

    assert system.state.trading_state(work) is TradingState.HALTED
    assert all(child.child.has_ended for child in system.state.children_of(work))
    system.finish()
    settled(system)


def test_denied_child_comes_back_smaller_and_is_filled(tmp_path: Path) -> None:
    system = System(tmp_path)
    system.live(1.0)
    # 250 ether in one child; a schedule of the crypto desk may ask for at most 200 at once.
    work = system.accept(lots=250_000, seconds=6, parameters=AT_ONCE)
    system.live(0.5)

    states = [child.child.state for child in system.state.children_of(work)]
    quantities = [child.command.quantity_lots for child in system.state.children_of(work)]
    assert states[0] is ChildState.DENIED
    assert quantities[1] < quantities[0]
    assert work.parent.filled_lots > 0
    system.finish()
    settled(system)


def test_second_program_over_the_same_journal_is_refused(tmp_path: Path) -> None:
    system = System(tmp_path)

    with pytest.raises(JournalUnavailable, match="another"):
        system.start()

    system.prove()
