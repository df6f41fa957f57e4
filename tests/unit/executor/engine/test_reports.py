"""Whatever a venue says, however late, twice or not at all: quantities stay whole and the gate hears what counts."""

import pytest

from controlplane.domain.reports import ReportKind, VenueReport
from executor.orders.child import ChildState
from executor.orders.parent import ParentState
from executor.orders.reconcile import reconcile
from tests.support.trading import RESTING, World


def working(world: World, *, seconds: int = 60) -> None:
    """Bring one child to the venue and have it acknowledged."""
    world.accept(parameters=RESTING, seconds=seconds)
    world.beat()
    world.says(ReportKind.ACKNOWLEDGED)


def reconciled(world: World) -> None:
    for work in world.state.parents.values():
        reconcile(work.parent, [child.child for child in world.state.children_of(work)])


def test_report_is_written_then_told_then_applied() -> None:
    world = World()
    working(world)
    world.steps.clear()

    world.fills(40)

    assert world.steps == ["write ReportReceived", "report filled"]
    assert world.child().child.filled_lots == 40


@pytest.mark.case("GATE-12")
def test_fill_before_the_acknowledgement_counts_once_and_the_order_works() -> None:
    world = World()
    world.accept(parameters=RESTING)
    world.beat()

    world.fills(40)
    world.says(ReportKind.ACKNOWLEDGED)

    assert world.child().child.filled_lots == 40
    assert world.child().child.working_lots == 60
    reconciled(world)


def test_same_execution_twice_changes_nothing_and_is_told_to_nobody() -> None:
    world = World()
    working(world)
    world.fills(40, execution=5)
    told, written = len(world.gate.reports), len(world.journal.entries)

    world.fills(40, execution=5)

    assert world.child().child.filled_lots == 40
    assert len(world.gate.reports) == told
    assert len(world.journal.entries) == written
    assert world.state.counts["duplicate_executions"] == 1


def test_gate_hears_route_and_side_with_every_fill() -> None:
    world = World()
    working(world)

    world.fills(40, fee=12)

    told = world.gate.reports[-1]
    assert (told.route, told.side, told.fee_micro, told.quantity_lots) == (7, 1, 12, 40)


def test_fill_record_carries_the_quote_just_before_it() -> None:
    world = World()
    working(world)
    world.quote(9_998, 10_000)

    world.fills(40, price=9_999)

    record = world.journal.of_kind("ReportReceived")[-1]
    assert (record["bid_ticks"], record["ask_ticks"]) == (9_998, 10_000)


@pytest.mark.case("GATE-16")
def test_fill_of_an_unknown_order_is_recorded_and_told_to_the_gate_never_dropped() -> None:
    world = World()
    world.venue.said.append(
        VenueReport(ReportKind.FILLED, 0xABC, execution_id=1, quantity_lots=5, price_ticks=10_000, side=1)
    )

    world.beat()

    assert world.gate.reports[-1].child_id == 0xABC
    assert world.gate.reports[-1].route == -1
    assert world.journal.of_kind("ReportReceived")[-1]["oddities"] == ["order unknown"]


@pytest.mark.case("GATE-18")
def test_fill_above_what_was_left_is_taken_and_named() -> None:
    world = World()
    working(world)

    world.fills(130)

    assert world.child().child.filled_lots == 130
    assert "fill above remaining" in str(world.journal.of_kind("ReportReceived")[-1]["oddities"])
    reconciled(world)


def test_fill_without_a_number_is_not_counted_and_the_venue_is_asked() -> None:
    world = World()
    working(world)

    world.says(ReportKind.FILLED, quantity_lots=5, price_ticks=10_000)

    assert world.child().child.filled_lots == 0
    assert world.venue.asked == [world.child().child.child_id]
    assert "malformed" in str(world.journal.of_kind("ReportReceived")[-1]["oddities"])


def test_rejection_gives_the_lots_back_and_the_strategy_waits() -> None:
    world = World()
    work = world.accept(parameters=RESTING)
    world.beat()

    world.says(ReportKind.REJECTED)
    world.beat(500)

    assert work.parent.unplaced_lots == 100
    assert len(world.venue.sent) == 1
    world.beat(1_000)
    assert len(world.venue.sent) == 2


# --- silence ---------------------------------------------------------------------------------------------


def test_silent_venue_makes_the_order_unknown_and_is_asked_again_and_again() -> None:
    world = World()
    work = world.accept(parameters=RESTING)
    world.beat(1_900)
    assert world.venue.asked == []

    world.beat(3_200)

    assert world.child().child.state is ChildState.UNKNOWN
    assert ReportKind.SEND_UNKNOWN in [report.kind for report in world.gate.reports]
    assert len(world.venue.asked) >= 3
    assert work.parent.in_flight_lots == 100
    assert len(world.venue.sent) == 1


def test_status_answer_brings_what_was_missed() -> None:
    world = World()
    world.accept(parameters=RESTING)
    world.beat(2_500)
    child_id = world.child().child.child_id
    fills = tuple(
        VenueReport(ReportKind.FILLED, child_id, execution_id=number, quantity_lots=30, price_ticks=10_000)
        for number in (1, 2)
    )

    world.status(child_id, executions=fills, ended_by=ReportKind.CANCELLED)

    assert world.child(0).child.filled_lots == 60
    assert world.child(0).child.state is ChildState.CANCELLED
    reconciled(world)


def test_status_of_a_working_order_acknowledges_it() -> None:
    world = World()
    world.accept(parameters=RESTING)
    world.beat(2_500)

    world.status(world.child().child.child_id)

    assert world.child().child.state is ChildState.WORKING
    asked = len(world.venue.asked)
    world.beat(3_000)
    assert len(world.venue.asked) == asked


@pytest.mark.case("GATE-21")
def test_not_found_once_leaves_the_order_unknown() -> None:
    world = World()
    work = world.accept(parameters=RESTING)
    world.beat(2_500)

    world.status(world.child().child.child_id, is_found=False)
    world.lists()

    assert world.child().child.state is ChildState.UNKNOWN
    assert work.parent.in_flight_lots == 100


@pytest.mark.case("GATE-21")
def test_not_found_twice_over_the_grace_time_and_not_listed_means_it_never_arrived() -> None:
    world = World()
    work = world.accept(parameters=RESTING, seconds=600)
    world.beat(2_500)
    child_id = world.child(0).child.child_id
    world.status(child_id, is_found=False)
    world.beat(2_100)

    world.status(child_id, is_found=False)
    assert world.child(0).child.state is ChildState.UNKNOWN
    assert world.venue.lists_asked >= 1
    world.lists()

    assert world.child(0).child.state is ChildState.REFUSED
    assert [report.kind for report in world.gate.reports if report.child_id == child_id][-1] is ReportKind.NOT_SENT
    assert work.parent.in_flight_lots == 0
    assert work.parent.unplaced_lots == 100


@pytest.mark.case("GATE-21")
def test_order_on_the_venues_list_stays_live_whatever_the_status_answers_say() -> None:
    world = World()
    world.accept(parameters=RESTING, seconds=600)
    world.beat(2_500)
    child_id = world.child().child.child_id
    world.status(child_id, is_found=False)
    world.beat(2_100)
    world.status(child_id, is_found=False)

    world.lists(child_id)

    assert world.child().child.state is ChildState.UNKNOWN


def test_late_acknowledgement_starts_the_not_found_count_anew() -> None:
    world = World()
    world.accept(parameters=RESTING, seconds=600)
    world.beat(2_500)
    child_id = world.child().child.child_id
    world.status(child_id, is_found=False)

    world.says(ReportKind.ACKNOWLEDGED)

    assert world.child().not_found_count == 0
    assert world.child().child.state is ChildState.WORKING


# --- cancels ---------------------------------------------------------------------------------------------


def test_cancel_that_did_not_leave_is_sent_again() -> None:
    world = World()
    working(world, seconds=1)
    world.venue.is_deaf_to_cancels = True
    world.beat(1_200)
    assert world.venue.cancelled == []
    world.venue.is_deaf_to_cancels = False

    world.beat(1_500)

    assert world.venue.cancelled[0] == world.child().child.child_id


@pytest.mark.case("GATE-15")
def test_cancel_rejected_as_too_late_frees_nothing_until_the_fill() -> None:
    world = World()
    working(world, seconds=1)
    world.beat(1_200)

    world.says(ReportKind.CANCEL_REJECTED)
    assert world.child().child.live_lots == 100
    world.fills(100)

    assert world.child().child.state is ChildState.FILLED
    assert next(iter(world.state.parents.values())).parent.filled_lots == 100
    reconciled(world)


def test_silence_after_a_cancel_is_followed_by_another_and_by_a_question() -> None:
    world = World()
    working(world, seconds=1)

    world.beat(4_500)

    child_id = world.child().child.child_id
    assert world.venue.cancelled.count(child_id) >= 2
    assert child_id in world.venue.asked


def test_parent_ends_when_the_venue_confirmed_every_child_and_not_before() -> None:
    world = World()
    working(world, seconds=1)
    work = next(iter(world.state.parents.values()))
    world.beat(1_500)
    assert work.parent.state is ParentState.EXPIRING
    assert world.gate.closed == []

    world.says(ReportKind.CANCELLED)
    world.beat()

    assert work.parent.state is ParentState.EXPIRED
    assert world.gate.closed == [work.parent.parent_id]
    record = world.journal.of_kind("ParentFinished")[0]
    assert (record["filled_lots"], record["cancelled_lots"], record["working_lots"]) == (0, 100, 0)
