"""What goes over the wire comes back the same, and what is no message is refused without taking the rest with it."""

import json

import pytest

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.observations import Phase
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from executor.marketdata.events import BookSnapshot, Mark, Status, Trade, TradeCondition
from executor.venues import market_wire, wire
from executor.venues.port import OrderStatus, WorkingList

BIG = (1 << 62) - 1


def travelled(message: dict[str, object]) -> dict[str, object]:
    (received,) = wire.LineBuffer().feed(wire.encode(message))
    return received


@pytest.mark.parametrize("kind", [CommandKind.NEW, CommandKind.AMEND, CommandKind.CANCEL])
def test_command_arrives_as_it_left_without_parent_route_and_model(kind: CommandKind) -> None:
    command = OrderCommand(kind, BIG, BIG, 5, 7, Side.SELL, OrderType.LIMIT, TimeInForce.POST_ONLY, 10, 9_999, 0, 77)

    received = wire.command_from(travelled(wire.command_message(command, "XYZ")))

    assert (received.kind, received.child_id) == (kind, BIG)
    assert (received.parent_id, received.route, received.model_digest) == (0, 0, 0)
    if kind is not CommandKind.CANCEL:
        assert (received.side, received.quantity_lots, received.price_ticks, received.time_in_force) == (
            Side.SELL,
            10,
            9_999,
            TimeInForce.POST_ONLY,
        )


def test_report_status_and_list_arrive_as_they_left() -> None:
    report = VenueReport(ReportKind.FILLED, BIG, 3, 5, 9_999, -12, 1_700, 0, 0, -1, 5)
    status = OrderStatus(BIG, True, (report,), ReportKind.CANCELLED, 10, 9_999, 1_700)
    working = WorkingList(frozenset({3, BIG}), 1_700)

    assert wire.report_from(travelled(wire.report_message(report))) == report
    assert wire.status_from(travelled(wire.status_message(status))) == status
    assert wire.working_from(travelled(wire.working_message(working))) == working


@pytest.mark.parametrize(
    "event",
    [
        BookSnapshot("XYZ", "f", 5, 9, 3, ((10, 1), (9, 2)), ((11, 4),)),
        Trade("XYZ", "f", 5, 9, 3, 10, 4, Side.SELL, TradeCondition.HIDDEN),
        Status("XYZ", "f", 5, 9, 3, Phase.AUCTION),
    ],
)
def test_market_event_arrives_with_our_receive_time(event: BookSnapshot | Trade | Status) -> None:
    assert market_wire.event_from(travelled(market_wire.event_message(event)), receive_ns=9) == event


def test_event_that_does_not_travel_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="found Mark"):
        market_wire.event_message(Mark("XYZ", "f", 5, 9, 3, 1, 1, 0, 0))


def test_lines_are_cut_wherever_the_stream_was() -> None:
    stream = b"".join(wire.encode({"type": "status", "child_id": number}) for number in range(50))
    buffer, found = wire.LineBuffer(), []

    for start in range(0, len(stream), 7):
        found += buffer.feed(stream[start : start + 7])

    assert [message["child_id"] for message in found] == list(range(50))


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b"\xff\n", b"null\n", b"[" * 100_000 + b"\n"])
def test_line_that_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidRequest, match="one JSON object a line"):
        wire.LineBuffer().feed(line)


def test_endless_line_is_refused_before_it_fills_the_memory() -> None:
    buffer = wire.LineBuffer()
    buffer.feed(b"x" * wire.LINE_BYTES_MAX)

    with pytest.raises(InvalidRequest, match="at most"):
        buffer.feed(b"x")


@pytest.mark.parametrize("value", ["1", 1.5, True, None, 1 << 63, [1]])
def test_field_that_is_no_whole_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidRequest, match="child_id must be a whole number"):
        wire.whole({"child_id": value}, "child_id")


@pytest.mark.parametrize(
    "changes", [{"executions": 3}, {"is_found": 1}, {"executions": [{"kind": 5}]}, {"ended_by": 99}]
)
def test_damaged_status_is_refused(changes: dict[str, object]) -> None:
    message = wire.status_message(OrderStatus(5, True, (), None, 1, 1, 1)) | changes

    with pytest.raises((InvalidRequest, ValueError)):
        wire.status_from(json.loads(wire.encode(message)))


@pytest.mark.parametrize("bids", [3, [[1]], [[1, "2"]], [[1, 2, 3]], [["a", 1]]])
def test_damaged_book_is_refused(bids: object) -> None:
    message = market_wire.event_message(BookSnapshot("XYZ", "f", 5, 9, 3, ((10, 1),), ((11, 4),))) | {"bids": bids}

    with pytest.raises(InvalidRequest, match="bids"):
        market_wire.event_from(message, receive_ns=1)
