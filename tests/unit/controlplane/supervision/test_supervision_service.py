"""Following the record, and answering from it when the book no longer holds what is asked for."""

import pytest

from controlplane.domain.clock import ManualClock
from controlplane.domain.errors import InvalidRequest, UnknownReference
from controlplane.supervision.index import DecisionQuery
from controlplane.supervision.schedule import elapsed_bps, target_lots
from controlplane.supervision.service import Supervision, parse_place
from tests.support.records import NAMES, START_NS, Day, typical_day


def following(day: Day) -> Supervision:
    supervision = Supervision(day, names=NAMES, clock=ManualClock(day.now_ns))
    supervision.poll()
    return supervision


def test_new_records_are_taken_in_with_each_look() -> None:
    day = Day()
    supervision = following(day)
    parent_id = day.parent()

    supervision.poll()

    parent, children = supervision.parent(parent_id)
    assert parent.quantity_lots == 50_000
    assert children == {}
    assert supervision.following.sequence == len(day.entries)


def test_a_database_that_is_away_is_noted_with_its_time_and_orders_stay_as_they_were() -> None:
    day = typical_day()
    supervision = following(day)
    before = supervision.child_states()
    day.is_away = True

    supervision.poll()
    first = supervision.following.failing_ns
    supervision.poll()

    assert "connection refused" in supervision.following.error
    assert supervision.following.failing_ns == first
    assert supervision.child_states() == before
    day.is_away = False
    supervision.poll()
    assert supervision.following.error == ""


def test_an_order_that_left_the_book_is_folded_again_from_the_record() -> None:
    day = typical_day()
    supervision = following(day)
    child_id = next(iter(supervision.child_states()))
    with supervision.reading() as book:
        parent_id = book.children[child_id].parent_id
        expected = book.children[child_id].state
        for key in book.parents.pop(parent_id).children:
            del book.children[key]

    child, parent = supervision.child(child_id)

    assert child.state is expected
    assert parent is not None
    assert supervision.parent(parent_id)[0].quantity_lots == parent.quantity_lots


def test_an_order_that_is_not_in_the_record_is_named() -> None:
    supervision = following(Day())

    with pytest.raises(UnknownReference, match="00000000000000ff"):
        supervision.parent("00000000000000ff")
    with pytest.raises(UnknownReference):
        supervision.child("00000000000000ff")
    with pytest.raises(UnknownReference):
        supervision.decision("gate-0.99")
    with pytest.raises(InvalidRequest):
        supervision.parent("not an id")


def test_places_are_read_strictly() -> None:
    assert parse_place("gate-0.512") == ("gate-0", 512)
    for text in ("gate-0", ".5", "gate-0.", "gate-0.x", "gate-0.-1", "x" * 90 + ".1"):
        with pytest.raises(InvalidRequest):
            parse_place(text)


def test_decisions_are_found_newest_first() -> None:
    supervision = following(typical_day())

    found = supervision.decisions(DecisionQuery(outcome="DENIED"))

    assert [entry.facts["outcome"] for entry in found.entries] == ["DENIED", "DENIED"]
    assert found.entries[0].seq > found.entries[1].seq


def test_a_schedule_is_read_where_the_record_states_one_and_never_made_up() -> None:
    day = Day()
    planned = day.parent(quantity_lots=100, minutes=10, schedule=[[str(START_NS), 20], [str(START_NS + 60), 100]])
    unplanned = day.parent(quantity_lots=100, minutes=10)
    supervision = following(day)

    parent = supervision.parent(planned)[0]

    assert [target_lots(parent, START_NS + moment) for moment in (-1, 0, 59, 60)] == [0, 20, 20, 100]
    assert target_lots(supervision.parent(unplanned)[0], START_NS) is None
    assert elapsed_bps(parent, START_NS + 300 * 10**9) == 5_000
