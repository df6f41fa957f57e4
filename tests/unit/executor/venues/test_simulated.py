"""The link to the venue's process: what it says became of a message is true, whatever happens to the connection."""

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from controlplane.domain.clock import ManualClock
from controlplane.domain.errors import VenueUnavailable
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from executor.marketdata.events import BookSnapshot, Status
from executor.venues import wire
from executor.venues.port import Delivery, OrderStatus, WorkingList
from executor.venues.simulated import SocketLink
from tests.support.trading import START_NS
from tests.support.venue import VenuePair, venue_pair


def order(
    child_id: int = 0x1001, *, kind: CommandKind = CommandKind.NEW, price: int = 9_999, lots: int = 10
) -> OrderCommand:
    return OrderCommand(
        kind, child_id, child_id, 0, 0, Side.BUY, OrderType.LIMIT, TimeInForce.GOOD_TILL_CANCEL, lots, price
    )


def kinds(heard: Sequence[object]) -> list[ReportKind]:
    return [one.kind for one in heard if isinstance(one, VenueReport)]


def test_listener_gets_books_and_phases_with_its_own_receive_time(tmp_path: Path) -> None:
    with venue_pair(tmp_path) as pair:
        pair.turn(seconds=1.0)

        events = pair.link.market_events()

    books = [event for event in events if isinstance(event, BookSnapshot)]
    assert books[-1].bids == ((9_999, 500),)
    assert books[-1].receive_ns <= pair.clock.now_ns
    assert any(isinstance(event, Status) for event in events)


def test_order_is_acknowledged_cancelled_and_asked_about(tmp_path: Path) -> None:
    with venue_pair(tmp_path) as pair:
        assert pair.link.transmit(order(), "XYZ").delivery is Delivery.SENT
        assert kinds(pair.turn()) == [ReportKind.ACKNOWLEDGED]

        pair.link.request_status(0x1001)
        pair.link.request_working()
        answers = pair.turn()
        pair.link.transmit(order(kind=CommandKind.CANCEL), "XYZ")

        assert kinds(pair.turn()) == [ReportKind.CANCELLED]
    statuses = [one for one in answers if isinstance(one, OrderStatus)]
    assert (statuses[0].is_found, statuses[0].ended_by) == (True, None)
    assert [one.child_ids for one in answers if isinstance(one, WorkingList)] == [frozenset({0x1001})]


def test_same_child_sent_twice_is_one_order(tmp_path: Path) -> None:
    with venue_pair(tmp_path) as pair:
        pair.link.transmit(order(price=10_001), "XYZ")
        first = pair.turn()
        pair.link.transmit(order(price=10_001), "XYZ")
        second = pair.turn()

        assert pair.server.orders_taken == 1
    assert kinds(first) == [ReportKind.ACKNOWLEDGED, ReportKind.FILLED]
    assert kinds(second) == []
    assert [one.ended_by for one in second if isinstance(one, OrderStatus)] == [ReportKind.FILLED]


def test_order_the_venue_cannot_read_is_rejected(tmp_path: Path) -> None:
    with venue_pair(tmp_path) as pair:
        pair.link.transmit(order(lots=0), "XYZ")

        assert kinds(pair.turn()) == [ReportKind.REJECTED]


def test_orders_outlive_the_connection_and_are_found_again(tmp_path: Path) -> None:
    with venue_pair(tmp_path) as pair:
        pair.link.transmit(order(), "XYZ")
        pair.turn()
        pair.link.close()
        pair.turn()

        assert pair.link.connect()
        pair.link.request_status(0x1001)
        answers = pair.turn()

    assert [one.is_found for one in answers if isinstance(one, OrderStatus)] == [True]
    assert pair.link.connection_count == 2


def test_orders_are_cancelled_with_the_connection_when_asked_for(tmp_path: Path) -> None:
    with venue_pair(tmp_path, cancels_on_hangup=True) as pair:
        pair.link.transmit(order(), "XYZ")
        pair.turn()
        pair.link.close()
        pair.turn()

        assert pair.link.connect()
        pair.link.request_status(0x1001)
        answers = pair.turn()

    assert [one.ended_by for one in answers if isinstance(one, OrderStatus)] == [ReportKind.CANCELLED]


def test_link_without_a_venue_says_not_sent_and_waits_before_it_tries_again(tmp_path: Path) -> None:
    link = SocketLink(tmp_path / "nobody.sock", clock=ManualClock(START_NS))

    result = link.transmit(order(), "XYZ")

    assert result.delivery is Delivery.NOT_SENT
    assert "can't be reached" in result.reason
    with pytest.raises(VenueUnavailable, match="start `executor venue`"):
        link.require_connection(0.1)


def test_connection_that_breaks_in_the_middle_of_a_line_leaves_the_order_uncertain(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "v.sock"))
    listener.listen(1)
    link = SocketLink(tmp_path / "v.sock", clock=ManualClock(START_NS))
    assert link.connect()
    connection, _ = listener.accept()

    # Nobody reads, and the message is larger than what the system holds for a reader: it is cut.
    result = link.transmit(order(), "X" * 5_000_000)

    assert result.delivery is Delivery.UNKNOWN
    assert link.is_connected is False
    connection.close()
    listener.close()


def test_nonsense_of_the_venue_is_counted_and_ends_the_connection_not_the_program(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "v.sock"))
    listener.listen(1)
    link = SocketLink(tmp_path / "v.sock", clock=ManualClock(START_NS))
    assert link.connect()
    connection, _ = listener.accept()

    connection.sendall(
        wire.encode({"type": "report", "kind": 99}) + wire.encode({"type": "riddle", "instrument": "XYZ", "feed": "f"})
    )
    assert link.receive() == []
    assert (link.fault_count, link.fileno() >= 0) == (2, True)
    connection.sendall(b"this is no JSON\n")
    assert link.receive() == []

    assert (link.fault_count, link.fileno()) == (3, -1)
    connection.close()
    listener.close()


def test_nonsense_of_a_listener_ends_its_connection_not_the_venue(tmp_path: Path) -> None:
    with venue_pair(tmp_path) as pair:
        rogue = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        rogue.connect(str(pair.path))
        pair.turn()
        rogue.sendall(b"no JSON\n")
        pair.turn()
        rogue.settimeout(1.0)
        assert rogue.recv(10) == b""
        rogue.close()

        pair.link.transmit(order(), "XYZ")
        assert kinds(pair.turn()) == [ReportKind.ACKNOWLEDGED]


def test_second_venue_at_the_same_place_is_refused_and_a_dead_ones_place_is_taken(tmp_path: Path) -> None:
    with venue_pair(tmp_path), pytest.raises(VenueUnavailable, match="found a venue that listens there"):
        VenuePair(tmp_path)

    leftover = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    leftover.bind(str(tmp_path / "v.sock"))
    leftover.close()
    with venue_pair(tmp_path) as pair:
        assert pair.link.is_connected
