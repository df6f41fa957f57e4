"""Where the lots of a parent are, through acts, children and the reports of venues."""

import dataclasses
import itertools

import pytest

from controlplane.domain.errors import InvalidRequest, InvariantBroken, QuantityMismatch, StateConflict
from controlplane.domain.orders import Side
from controlplane.domain.reports import ReportKind, VenueReport
from executor.orders.child import Child, apply_report, decide_child, request_child
from executor.orders.parent import (
    MOVES,
    Parent,
    ParentAct,
    ParentState,
    absorb_change,
    accept_parent,
    act_on_parent,
    place_child,
)
from executor.orders.reconcile import reconcile


def accepted(lots: int = 100) -> Parent:
    return accept_parent(
        parent_id=1,
        instrument="ETH-PERP",
        side=Side.SELL,
        quantity_lots=lots,
        limit_price_ticks=None,
        accepted_ns=0,
        start_ns=0,
        end_ns=1_000,
    )


class Book:
    """A parent with its children, moved together the way the engine moves them."""

    def __init__(self, lots: int = 100) -> None:
        self.parent = act_on_parent(accepted(lots), ParentAct.START)
        self.children: dict[int, Child] = {}
        self.executions = itertools.count(1)

    def place(self, child_id: int, lots: int, *, is_allowed: bool = True) -> None:
        child = request_child(child_id=child_id, parent_id=1, side=Side.SELL, quantity_lots=lots)
        self.parent = place_child(self.parent, child)
        self._change(child, decide_child(child, is_allowed=is_allowed))

    def report(self, child_id: int, kind: ReportKind, lots: int = 0) -> None:
        execution_id = next(self.executions) if kind is ReportKind.FILLED else 0
        report = VenueReport(kind=kind, child_id=child_id, quantity_lots=lots, execution_id=execution_id)
        self._change(self.children[child_id], apply_report(self.children[child_id], report).child)

    def act(self, act: ParentAct) -> None:
        self.parent = act_on_parent(self.parent, act)

    @property
    def places(self) -> tuple[int, int, int, int, int, int]:
        """Filled, working, in flight, unplaced, cancelled, excess; reconciled first."""
        result = reconcile(self.parent, self.children.values())
        return (
            result.filled_lots,
            result.working_lots,
            result.in_flight_lots,
            result.unplaced_lots,
            result.cancelled_lots,
            result.excess_lots,
        )

    def _change(self, before: Child, after: Child) -> None:
        self.parent = absorb_change(self.parent, before=before, after=after)
        self.children[after.child_id] = after


def test_a_new_parent_has_everything_unplaced():
    assert reconcile(accepted(), ()).unplaced_lots == 100


def test_placing_acknowledging_and_filling_move_lots_from_place_to_place():
    book = Book()
    book.place(7, 40)
    placed = book.places
    book.report(7, ReportKind.ACKNOWLEDGED)
    working = book.places
    book.report(7, ReportKind.FILLED, 15)

    assert placed == (0, 0, 40, 60, 0, 0)
    assert working == (0, 40, 0, 60, 0, 0)
    assert book.places == (15, 25, 0, 60, 0, 0)


@pytest.mark.parametrize("kind", [ReportKind.CANCELLED, ReportKind.REJECTED, ReportKind.EXPIRED, ReportKind.NOT_SENT])
def test_what_a_child_did_not_fill_is_wanted_again(kind):
    book = Book()
    book.place(7, 40)
    book.report(7, kind)

    assert book.places == (0, 0, 0, 100, 0, 0)


def test_a_denied_child_leaves_everything_unplaced():
    book = Book()
    book.place(7, 40, is_allowed=False)

    assert book.places == (0, 0, 0, 100, 0, 0)


def test_a_parent_is_filled_when_its_last_lot_is():
    book = Book(40)
    book.place(7, 40)
    book.report(7, ReportKind.ACKNOWLEDGED)
    book.report(7, ReportKind.FILLED, 40)

    assert book.parent.state is ParentState.FILLED
    assert book.places == (40, 0, 0, 0, 0, 0)


def test_a_cancelled_parent_waits_for_its_live_children():
    book = Book()
    book.place(7, 40)
    book.report(7, ReportKind.ACKNOWLEDGED)
    book.act(ParentAct.CANCEL)
    waiting = (book.parent.state, book.places)
    book.report(7, ReportKind.FILLED, 10)
    book.report(7, ReportKind.CANCELLED)

    assert waiting == (ParentState.CANCELLING, (0, 40, 0, 0, 60, 0))
    assert (book.parent.state, book.places) == (ParentState.CANCELLED, (10, 0, 0, 0, 90, 0))


def test_an_expiring_parent_that_fills_after_all_is_filled():
    book = Book(40)
    book.place(7, 40)
    book.act(ParentAct.EXPIRE)
    book.report(7, ReportKind.FILLED, 40)

    assert (book.parent.state, book.places) == (ParentState.FILLED, (40, 0, 0, 0, 0, 0))


def test_a_parent_without_live_children_expires_at_once():
    book = Book()
    book.act(ParentAct.EXPIRE)

    assert (book.parent.state, book.places) == (ParentState.EXPIRED, (0, 0, 0, 0, 100, 0))


def test_a_late_fill_takes_from_what_was_unplaced():
    book = Book()
    book.place(7, 40)
    book.report(7, ReportKind.CANCELLED)
    book.report(7, ReportKind.FILLED, 5)

    assert book.places == (5, 0, 0, 95, 0, 0)


def test_a_late_fill_of_a_cancelled_parent_takes_from_what_was_cancelled():
    book = Book()
    book.place(7, 40)
    book.act(ParentAct.CANCEL)
    book.report(7, ReportKind.CANCELLED)
    book.report(7, ReportKind.FILLED, 5)

    assert (book.parent.state, book.places) == (ParentState.CANCELLED, (5, 0, 0, 0, 95, 0))


def test_a_late_fill_of_lots_that_were_placed_again_is_an_excess_until_they_come_back():
    book = Book(40)
    book.place(7, 40)
    book.report(7, ReportKind.CANCELLED)
    book.place(8, 40)
    book.report(7, ReportKind.FILLED, 5)
    doubled = book.places
    book.report(8, ReportKind.CANCELLED)

    assert doubled == (5, 0, 40, 0, 0, 5)
    assert book.places == (5, 0, 0, 35, 0, 0)


def test_more_filled_than_ordered_ends_the_parent_with_the_excess_shown():
    book = Book(40)
    book.place(7, 40)
    book.report(7, ReportKind.ACKNOWLEDGED)
    book.report(7, ReportKind.FILLED, 43)

    assert (book.parent.state, book.places) == (ParentState.FILLED, (43, 0, 0, 0, 0, 3))


@pytest.mark.parametrize(("act", "state"), list(itertools.product(ParentAct, ParentState)))
def test_an_act_that_does_not_fit_the_state_is_a_conflict(act, state):
    parent = dataclasses.replace(accepted(), state=state)
    if state in MOVES[act]:
        assert act_on_parent(parent, act).state is not state
    else:
        with pytest.raises(StateConflict, match=f"cannot {act}"):
            act_on_parent(parent, act)


def test_a_paused_parent_places_nothing_and_resumes():
    book = Book()
    book.act(ParentAct.PAUSE)
    with pytest.raises(StateConflict, match="paused"):
        book.place(7, 10)
    book.act(ParentAct.RESUME)
    book.place(7, 10)

    assert book.places == (0, 0, 10, 90, 0, 0)


def test_a_child_larger_than_what_is_unplaced_is_a_conflict():
    book = Book()
    book.place(7, 70)

    with pytest.raises(StateConflict, match="31 lots unplaced"):
        book.place(8, 31)


def test_a_child_of_the_other_side_is_a_bug():
    stranger = request_child(child_id=9, parent_id=1, side=Side.BUY, quantity_lots=1)

    with pytest.raises(InvariantBroken, match="side BUY"):
        place_child(act_on_parent(accepted(), ParentAct.START), stranger)


@pytest.mark.parametrize(
    ("field", "value"), [("quantity_lots", 0), ("limit_price_ticks", 0), ("end_ns", 0), ("quantity_lots", -5)]
)
def test_a_parent_out_of_range_is_refused_by_field(field, value):
    terms = {"quantity_lots": 10, "limit_price_ticks": 5, "end_ns": 9, field: value}
    with pytest.raises(InvalidRequest) as refusal:
        accept_parent(parent_id=1, instrument="X", side=Side.BUY, accepted_ns=0, start_ns=0, **terms)

    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("field", "what"),
    [
        ("filled_lots", "filled 16 by the parent, 15 by its children"),
        ("working_lots", "working 26 by the parent, 25 by its children"),
        ("in_flight_lots", "in flight 1 by the parent, 0 by its children"),
        ("unplaced_lots", "101 lots accounted for"),
        ("cancelled_lots", "101 lots accounted for"),
        ("excess_lots", "an excess stands beside"),
    ],
)
def test_one_lot_too_many_in_any_place_is_found_and_every_number_is_told(field, what):
    book = Book()
    book.place(7, 40)
    book.report(7, ReportKind.ACKNOWLEDGED)
    book.report(7, ReportKind.FILLED, 15)
    wrong = dataclasses.replace(book.parent, **{field: getattr(book.parent, field) + 1})

    with pytest.raises(QuantityMismatch, match=what) as mismatch:
        reconcile(wrong, book.children.values())

    for name in ("ordered 100", "filled", "working", "in flight", "unplaced", "cancelled", "excess"):
        assert name in str(mismatch.value)


def test_a_forgotten_child_is_found():
    book = Book()
    book.place(7, 40)

    with pytest.raises(QuantityMismatch, match="in flight 40 by the parent, 0 by its children"):
        reconcile(book.parent, ())


def test_a_child_of_another_parent_is_found():
    book = Book()
    book.place(7, 40)
    stranger = dataclasses.replace(book.children[7], parent_id=2)

    with pytest.raises(QuantityMismatch, match="child 7 belongs to another"):
        reconcile(book.parent, (stranger,))
