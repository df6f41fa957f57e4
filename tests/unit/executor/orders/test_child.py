"""What each report does to a child order, odd reports included."""

import itertools

import pytest

from controlplane.domain.errors import InvalidRequest, InvariantBroken, StateConflict
from controlplane.domain.orders import Side
from controlplane.domain.reports import TERMINAL, ReportKind, VenueReport
from executor.orders.child import (
    AT_VENUE,
    ENDED,
    MOVES,
    Child,
    ChildState,
    Oddity,
    apply_report,
    decide_child,
    request_child,
)


def requested(lots: int = 10) -> Child:
    return request_child(child_id=7, parent_id=1, side=Side.BUY, quantity_lots=lots)


def permitted(lots: int = 10) -> Child:
    return decide_child(requested(lots), is_allowed=True)


def after(child: Child, *reports: VenueReport) -> Child:
    for report in reports:
        child = apply_report(child, report).child
    return child


def word(kind: ReportKind, **fields: int) -> VenueReport:
    return VenueReport(kind=kind, child_id=7, **fields)


def fill(execution_id: int, lots: int, price_ticks: int = 100, cumulative_lots: int = 0) -> VenueReport:
    return word(
        ReportKind.FILLED,
        execution_id=execution_id,
        quantity_lots=lots,
        price_ticks=price_ticks,
        cumulative_lots=cumulative_lots,
    )


SENT = word(ReportKind.SENT)
ACKNOWLEDGED = word(ReportKind.ACKNOWLEDGED)
CANCELLED = word(ReportKind.CANCELLED)
CANCEL_REQUESTED = word(ReportKind.CANCEL_REQUESTED)
CANCEL_REJECTED = word(ReportKind.CANCEL_REJECTED)


def test_a_requested_child_is_in_flight_before_it_is_decided():
    child = requested()

    assert (child.state, child.in_flight_lots, child.working_lots) == (ChildState.REQUESTED, 10, 0)


def test_a_denied_child_has_nothing_in_flight():
    child = decide_child(requested(), is_allowed=False)

    assert (child.state, child.in_flight_lots, child.has_ended) == (ChildState.DENIED, 0, True)


def test_a_child_is_decided_only_once():
    with pytest.raises(StateConflict, match="once"):
        decide_child(permitted(), is_allowed=False)


@pytest.mark.parametrize("lots", [0, -3])
def test_a_child_without_lots_is_refused(lots):
    with pytest.raises(InvalidRequest, match="positive"):
        requested(lots)


def test_an_acknowledgement_turns_in_flight_lots_into_working_ones():
    child = after(permitted(), SENT, ACKNOWLEDGED)

    assert (child.state, child.in_flight_lots, child.working_lots) == (ChildState.WORKING, 0, 10)


def test_fills_up_to_the_quantity_end_the_child():
    part = after(permitted(), SENT, ACKNOWLEDGED, fill(1, 4))
    whole = after(part, fill(2, 6))

    assert (part.state, part.filled_lots, part.working_lots) == (ChildState.PARTIALLY_FILLED, 4, 6)
    assert (whole.state, whole.filled_lots, whole.working_lots) == (ChildState.FILLED, 10, 0)


@pytest.mark.case("GATE-12")
def test_a_fill_before_the_acknowledgement_counts_once_and_makes_the_child_work():
    child = after(permitted(), SENT, fill(1, 4))
    late_answer = apply_report(child, ACKNOWLEDGED)

    assert (child.state, child.filled_lots, child.working_lots, child.in_flight_lots) == (
        ChildState.PARTIALLY_FILLED,
        4,
        6,
        0,
    )
    assert late_answer.child == child
    assert late_answer.oddities == (Oddity.OUT_OF_ORDER,)


def test_a_child_whose_sending_is_uncertain_stays_in_flight_until_the_venue_answers():
    unknown = after(permitted(), word(ReportKind.SEND_UNKNOWN))
    answered = after(unknown, ACKNOWLEDGED)

    assert (unknown.state, unknown.in_flight_lots) == (ChildState.UNKNOWN, 10)
    assert (answered.state, answered.working_lots) == (ChildState.WORKING, 10)


def test_a_child_the_adapter_refused_has_never_left():
    child = after(permitted(), word(ReportKind.NOT_SENT))

    assert (child.state, child.live_lots) == (ChildState.REFUSED, 0)


def test_an_acknowledged_child_cannot_become_unsent():
    change = apply_report(after(permitted(), SENT, ACKNOWLEDGED, CANCEL_REQUESTED), word(ReportKind.NOT_SENT))

    assert change.child.working_lots == 10
    assert change.oddities == (Oddity.OUT_OF_ORDER,)


def test_a_cancel_request_frees_nothing():
    child = after(permitted(), SENT, ACKNOWLEDGED, CANCEL_REQUESTED)

    assert (child.state, child.working_lots) == (ChildState.CANCEL_PENDING, 10)


def test_a_fill_while_the_cancel_is_pending_counts_and_the_rest_is_cancelled():
    child = after(permitted(), SENT, ACKNOWLEDGED, CANCEL_REQUESTED, fill(1, 3))
    ended = after(child, CANCELLED)

    assert (child.state, child.filled_lots, child.working_lots) == (ChildState.CANCEL_PENDING, 3, 7)
    assert (ended.state, ended.filled_lots, ended.live_lots) == (ChildState.CANCELLED, 3, 0)


def test_an_acknowledgement_while_the_cancel_is_pending_makes_the_lots_work():
    child = after(permitted(), SENT, CANCEL_REQUESTED)
    answered = after(child, ACKNOWLEDGED)

    assert (child.state, child.in_flight_lots) == (ChildState.CANCEL_PENDING, 10)
    assert (answered.state, answered.in_flight_lots, answered.working_lots) == (ChildState.CANCEL_PENDING, 0, 10)


@pytest.mark.case("GATE-15")
@pytest.mark.parametrize(
    ("earlier", "state"),
    [
        ((SENT, ACKNOWLEDGED), ChildState.WORKING),
        ((SENT, ACKNOWLEDGED, fill(1, 2)), ChildState.PARTIALLY_FILLED),
        ((SENT,), ChildState.UNKNOWN),
    ],
)
def test_a_rejected_cancel_leaves_the_child_alive_as_far_as_the_venue_has_answered(earlier, state):
    before = after(permitted(), *earlier)
    child = after(before, CANCEL_REQUESTED, CANCEL_REJECTED)

    assert child.state is state
    assert child.live_lots == before.live_lots


def test_the_same_execution_twice_counts_once():
    child = after(permitted(), SENT, ACKNOWLEDGED, fill(1, 4))
    change = apply_report(child, fill(1, 4))

    assert change.child == child
    assert change.filled is None
    assert change.oddities == (Oddity.DUPLICATE_EXECUTION,)


def test_the_same_execution_with_other_numbers_is_named_and_not_counted():
    child = after(permitted(), SENT, ACKNOWLEDGED, fill(1, 4))
    change = apply_report(child, fill(1, 5))

    assert change.child == child
    assert change.oddities == (Oddity.CONTRADICTED_EXECUTION,)


@pytest.mark.case("GATE-18")
def test_a_fill_larger_than_the_remaining_lots_is_taken_and_named():
    change = apply_report(after(permitted(), SENT, ACKNOWLEDGED, fill(1, 8)), fill(2, 5))

    assert (change.child.filled_lots, change.child.remaining_lots, change.child.live_lots) == (13, 0, 0)
    assert change.child.state is ChildState.FILLED
    assert change.oddities == (Oddity.FILL_ABOVE_REMAINING,)


@pytest.mark.parametrize("cumulative_lots", [0, 4])
def test_a_late_fill_after_the_cancel_is_taken_and_named(cumulative_lots):
    """A venue's count in the same report once made every late fill look announced."""
    change = apply_report(
        after(permitted(), SENT, ACKNOWLEDGED, CANCELLED), fill(1, 4, cumulative_lots=cumulative_lots)
    )

    assert (change.child.state, change.child.filled_lots) == (ChildState.CANCELLED, 4)
    assert change.filled is not None
    assert change.oddities == (Oddity.FILL_AFTER_END,)


def test_a_fill_of_a_denied_child_is_taken_named_and_treated_as_alive():
    change = apply_report(decide_child(requested(), is_allowed=False), fill(1, 4))

    assert (change.child.state, change.child.filled_lots, change.child.working_lots) == (
        ChildState.PARTIALLY_FILLED,
        4,
        6,
    )
    assert change.oddities == (Oddity.FILL_WITHOUT_PERMIT, Oddity.FILL_AFTER_END)


def test_lots_the_venue_counts_but_has_not_reported_stay_live_after_the_cancel():
    change = apply_report(
        after(permitted(), SENT, ACKNOWLEDGED, fill(1, 4, cumulative_lots=4)),
        word(ReportKind.CANCELLED, cumulative_lots=6),
    )
    completed = apply_report(change.child, fill(2, 2, cumulative_lots=6))

    assert (change.child.state, change.child.working_lots) == (ChildState.CANCELLED, 2)
    assert change.oddities == (Oddity.FILLS_AWAITED,)
    assert (completed.child.filled_lots, completed.child.live_lots, completed.oddities) == (6, 0, ())


def test_a_rejection_ends_a_child_without_fills():
    child = after(permitted(), SENT, word(ReportKind.REJECTED))

    assert (child.state, child.live_lots) == (ChildState.REJECTED, 0)


def test_an_expiry_keeps_what_was_filled():
    child = after(permitted(), SENT, ACKNOWLEDGED, fill(1, 4), word(ReportKind.EXPIRED))

    assert (child.state, child.filled_lots, child.live_lots) == (ChildState.EXPIRED, 4, 0)


@pytest.mark.parametrize(
    ("filled", "total", "state", "working"),
    [(0, 6, ChildState.WORKING, 6), (4, 6, ChildState.PARTIALLY_FILLED, 2), (7, 6, ChildState.FILLED, 0)],
)
def test_an_amended_total_leaves_what_is_not_filled_and_never_less_than_nothing(filled, total, state, working):
    child = after(permitted(), SENT, ACKNOWLEDGED, *([fill(1, filled)] if filled else []))
    amended = after(child, word(ReportKind.AMENDED, quantity_lots=total))

    assert (amended.state, amended.quantity_lots, amended.working_lots, amended.filled_lots) == (
        state,
        total,
        working,
        filled,
    )


def test_a_rejected_amend_changes_nothing():
    child = after(permitted(), SENT, ACKNOWLEDGED)

    assert after(child, word(ReportKind.AMEND_REJECTED)) == child


@pytest.mark.parametrize("report", [fill(0, 4), fill(1, 0), fill(1, -4), word(ReportKind.AMENDED, quantity_lots=0)])
def test_a_report_without_its_numbers_is_refused(report):
    with pytest.raises(InvalidRequest, match="positive"):
        apply_report(after(permitted(), SENT, ACKNOWLEDGED), report)


def test_a_report_about_another_child_is_a_bug():
    with pytest.raises(InvariantBroken, match="child 8"):
        apply_report(permitted(), VenueReport(kind=ReportKind.SENT, child_id=8))


def test_the_table_of_moves_covers_every_report_but_the_fill():
    assert set(MOVES) == set(ReportKind) - {ReportKind.FILLED}


def test_only_terminal_reports_lead_to_an_end_and_none_leads_out_of_one():
    ends = {kind for kind, moves in MOVES.items() if ENDED & set(moves.values())}

    assert ends == set(TERMINAL)
    assert all(not ENDED & set(moves) for moves in MOVES.values())
    assert set(ChildState) == ENDED | AT_VENUE | {ChildState.REQUESTED}


@pytest.mark.parametrize(("kind", "state"), list(itertools.product(MOVES, ChildState)))
def test_a_report_that_does_not_fit_the_state_changes_nothing_and_is_named(kind, state):
    child = Child(child_id=7, parent_id=1, side=Side.BUY, quantity_lots=10, state=state)
    change = apply_report(child, word(kind, quantity_lots=10))

    assert change.filled is None
    if state in MOVES[kind]:
        assert change.oddities == ()
    else:
        assert (change.child, change.oddities) == (child, (Oddity.OUT_OF_ORDER,))
