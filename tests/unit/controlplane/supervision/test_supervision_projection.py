"""Journal records folded into parents and children."""

import random

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.reports import ReportKind
from controlplane.supervision import projection
from controlplane.supervision.orders import ChildState, ParentState
from controlplane.supervision.projection import Book
from tests.support.records import NAMES, Day, typical_day


def folded(day: Day) -> Book:
    book = Book(routes=NAMES.route_names)
    for entry in day.entries:
        book.apply(entry)
    return book


def test_a_parent_knows_its_names_quantity_and_children() -> None:
    day = Day()
    parent_id = day.parent(quantity_lots=900, reference="block-7")
    child_id = day.child(parent_id, lots=300)

    parent = folded(day).parents[parent_id]

    assert parent.route["desk"] == "crypto"
    assert (parent.side, parent.quantity_lots, parent.children) == ("buy", 900, [child_id])
    assert parent.state is ParentState.WORKING
    assert (parent.allowed_count, parent.denied_count) == (1, 0)


def test_a_fill_told_by_executor_and_gate_is_counted_once() -> None:
    day = Day()
    parent_id = day.parent()
    child_id = day.child(parent_id, lots=300)
    day.report(parent_id, child_id, ReportKind.FILLED, lots=100, price=61_000, execution=5)
    day.report(parent_id, child_id, ReportKind.FILLED, lots=100, price=61_002, execution=6)

    book = folded(day)

    assert book.children[child_id].filled_lots == 200
    assert book.parents[parent_id].filled_lots == 200
    assert book.parents[parent_id].average_ticks_milli == 61_001_000


@pytest.mark.parametrize(
    ("reports", "state"),
    [
        ([], ChildState.IN_FLIGHT),
        ([ReportKind.SENT], ChildState.IN_FLIGHT),
        ([ReportKind.SENT, ReportKind.ACKNOWLEDGED], ChildState.WORKING),
        ([ReportKind.ACKNOWLEDGED, ReportKind.CANCEL_REQUESTED], ChildState.CANCEL_PENDING),
        ([ReportKind.ACKNOWLEDGED, ReportKind.CANCEL_REQUESTED, ReportKind.CANCEL_REJECTED], ChildState.WORKING),
        ([ReportKind.CANCEL_REQUESTED, ReportKind.CANCELLED], ChildState.CANCELLED),
        ([ReportKind.SEND_UNKNOWN], ChildState.UNKNOWN),
        ([ReportKind.SEND_UNKNOWN, ReportKind.ACKNOWLEDGED], ChildState.WORKING),
        ([ReportKind.REJECTED], ChildState.REJECTED),
        ([ReportKind.ACKNOWLEDGED, ReportKind.EXPIRED], ChildState.EXPIRED),
        ([ReportKind.NOT_SENT], ChildState.NOT_SENT),
    ],
)
def test_reports_move_a_child_through_its_states(reports: list[ReportKind], state: ChildState) -> None:
    day = Day()
    parent_id = day.parent()
    child_id = day.child(parent_id)
    for kind in reports:
        day.report(parent_id, child_id, kind)

    assert folded(day).children[child_id].state is state


def test_a_child_that_filled_partly_and_then_wholly_says_so() -> None:
    day = Day()
    parent_id = day.parent()
    child_id = day.child(parent_id, lots=300)
    day.report(parent_id, child_id, ReportKind.ACKNOWLEDGED)
    day.report(parent_id, child_id, ReportKind.FILLED, lots=100, price=1, execution=1)
    assert folded(day).children[child_id].state is ChildState.PARTLY_FILLED

    day.report(parent_id, child_id, ReportKind.FILLED, lots=200, price=1, execution=2)

    assert folded(day).children[child_id].state is ChildState.FILLED


def test_a_denied_child_is_denied_and_its_parent_counts_it() -> None:
    day = Day()
    parent_id = day.parent()
    child_id = day.child(parent_id, denied=DenialCode.SCOPE_HALTED)

    book = folded(day)

    assert book.children[child_id].state is ChildState.DENIED
    assert (book.parents[parent_id].allowed_count, book.parents[parent_id].denied_count) == (0, 1)


def test_a_denied_amend_leaves_the_order_working() -> None:
    day = Day()
    parent_id = day.parent()
    child_id = day.child(parent_id)
    day.report(parent_id, child_id, ReportKind.ACKNOWLEDGED)

    day.write("ChildDenied", {"parent_id": parent_id, "child_id": child_id, "codes": ["PRICE_OUTSIDE_COLLAR"]})

    assert folded(day).children[child_id].state is ChildState.WORKING


def test_a_refused_child_says_so() -> None:
    day = Day()
    parent_id = day.parent()
    child_id = day.mint()
    day.write("ChildRefused", {"parent_id": parent_id, "child_id": child_id, "reason": "permit expired"})

    assert folded(day).children[child_id].state is ChildState.REFUSED


def test_a_pause_shows_until_it_is_resumed_and_the_end_wins() -> None:
    day = Day()
    parent_id = day.parent()
    day.write("ParentCommanded", {"parent_id": parent_id, "operation": "pause"})
    assert folded(day).parents[parent_id].state is ParentState.PAUSED

    day.write("ParentCommanded", {"parent_id": parent_id, "operation": "resume"})
    assert folded(day).parents[parent_id].state is ParentState.WORKING

    day.finish(parent_id)
    assert folded(day).parents[parent_id].state is ParentState.FINISHED


def test_any_interleaving_of_the_logs_gives_the_same_orders() -> None:
    day = typical_day()
    straight = folded(day)
    generator = random.Random(7)
    logs = {log: [entry for entry in day.entries if entry.log == log] for log in ("gate-0", "executor-0")}
    book = Book(routes=NAMES.route_names)
    while any(logs.values()):
        log = generator.choice([name for name, entries in logs.items() if entries])
        book.apply(logs[log].pop(0))

    assert {key: child.state for key, child in book.children.items()} == {
        key: child.state for key, child in straight.children.items()
    }
    assert {key: parent.filled_lots for key, parent in book.parents.items()} == {
        key: parent.filled_lots for key, parent in straight.parents.items()
    }


def test_a_record_taken_in_twice_changes_nothing() -> None:
    day = typical_day()
    book = folded(day)
    before = book.child_states()

    for entry in day.entries:
        book.apply(entry)

    assert book.child_states() == before
    assert sum(allowed + denied for allowed, denied in book.minutes.values()) == 23


def test_the_gates_log_alone_tells_names_through_the_handles_of_routes() -> None:
    day = Day()
    parent_id = day.parent(route=1)
    book = Book(routes=NAMES.route_names)
    for entry in day.entries:
        if entry.log == "gate-0":
            book.apply(entry)

    assert book.parents[parent_id].route["instrument"] == "ETH-3200-C"


def test_finished_parents_leave_first_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "PARENTS_MAX", 2)
    day = Day()
    running = day.parent(reference="running")
    done = day.parent(reference="done")
    child_of_done = day.child(done)
    day.finish(done)
    newest = day.parent(reference="newest")

    book = folded(day)

    assert list(book.parents) == [running, newest]
    assert child_of_done not in book.children
