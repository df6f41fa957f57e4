"""An order lies in the inbox whole or not at all, is answered once, and is never worked after it was withdrawn."""

import json
from pathlib import Path
from threading import Thread

import pytest

from controlplane.domain.errors import InvalidRequest, StateConflict, UnknownReference, VenueUnavailable
from executor.intake.command_line import Inbox, read_order

FIELDS = {"instrument": "XYZ", "side": "buy", "quantity": "1", "strategy": "twap"}


def test_order_that_was_put_is_taken_and_answered(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    reference = inbox.put(FIELDS)

    taken = inbox.take()
    inbox.answer(reference, {"parent_id": "00000000000000ff"})

    assert [(one.reference, json.loads(one.body)["instrument"]) for one in taken] == [(reference, "XYZ")]
    assert inbox.wait(reference, 0.1)["parent_id"] == "00000000000000ff"
    assert inbox.take() == []


def test_order_stays_in_the_inbox_until_it_is_answered(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put(FIELDS | {"reference": "b-1"})

    assert [one.reference for one in inbox.take()] == ["b-1"]
    assert [one.reference for one in Inbox(tmp_path).take()] == ["b-1"]


def test_refusal_comes_back_as_the_error_it_was(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    reference = inbox.put(FIELDS)
    inbox.refuse(reference, UnknownReference("no such instrument"))

    with pytest.raises(UnknownReference, match="no such instrument"):
        inbox.wait(reference, 0.1)


def test_order_that_nobody_takes_is_withdrawn(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    reference = inbox.put(FIELDS)

    with pytest.raises(VenueUnavailable, match="was withdrawn; start `executor run`"):
        inbox.wait(reference, 0.1)

    assert inbox.take() == []


def test_second_order_with_a_waiting_reference_is_refused(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put(FIELDS | {"reference": "b-1"})

    with pytest.raises(StateConflict, match="b-1"):
        inbox.put(FIELDS | {"reference": "b-1"})


@pytest.mark.parametrize("reference", ["../outside", "/tmp/outside", "a/b", 7, ["x"], "x" * 65])
def test_reference_that_would_be_another_file_is_refused_before_anything_is_written(
    tmp_path: Path, reference: object
) -> None:
    inbox = Inbox(tmp_path / "executor")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(InvalidRequest, match="reference must be"):
        inbox.put(FIELDS | {"reference": reference})

    assert sorted(tmp_path.rglob("*")) == before


def test_answer_of_an_earlier_order_is_not_taken_for_the_next(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put(FIELDS | {"reference": "b-1"})
    inbox.answer("b-1", {"parent_id": "00000000000000ff"})
    inbox.put(FIELDS | {"reference": "b-1"})

    with pytest.raises(VenueUnavailable):
        inbox.wait("b-1", 0.1)


def test_answer_that_comes_while_waiting_is_seen(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    reference = inbox.put(FIELDS)
    answering = Thread(target=lambda: Inbox(tmp_path).answer(reference, {"parent_id": "1" * 16}))
    answering.start()

    assert inbox.wait(reference, 5.0)["parent_id"] == "1" * 16
    answering.join()


def test_half_written_files_are_not_orders(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    (tmp_path / "inbox" / ".b-1.json.abcd").write_text("{")

    assert inbox.take() == []


def test_folders_are_closed_to_others(tmp_path: Path) -> None:
    Inbox(tmp_path / "executor")

    assert (tmp_path / "executor" / "inbox").stat().st_mode & 0o077 == 0


def test_order_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="can't be read: No such file"):
        read_order(str(tmp_path / "absent.json"))
    with pytest.raises(InvalidRequest, match="can't be read"):
        read_order(str(tmp_path))


def test_order_is_read_from_a_file_or_from_standard_input(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text(json.dumps(FIELDS))

    assert read_order(str(tmp_path / "order.json"))["instrument"] == "XYZ"
    assert read_order("-", b'{"instrument":"ABC"}')["instrument"] == "ABC"
