"""One suite for every way to the simulated venue: in this process, and over its socket."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from controlplane.domain.clock import NS_PER_MS, ManualClock
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from executor.marketdata.events import BookSnapshot
from executor.scenarios.in_process import InProcessLink
from executor.simulation.exchange import Exchange
from executor.venues.port import Delivery, OrderStatus, VenueMessage, WorkingList
from executor.venues.simulated import VenueLink
from tests.support.trading import START_NS, XYZ
from tests.support.venue import VenuePair

CHILD = 0x1001


class Way(Protocol):
    """A link, and what lets the venue behind it go on."""

    @property
    def link(self) -> VenueLink: ...

    def turn(self) -> list[VenueMessage]: ...


class InProcess:
    def __init__(self) -> None:
        self.clock = ManualClock(START_NS)
        exchange = Exchange([XYZ])
        exchange.on_event(BookSnapshot("XYZ", "feed", START_NS, START_NS, 1, ((9_999, 500),), ((10_001, 500),)))
        self.link: VenueLink = InProcessLink(exchange, self.clock)

    def turn(self) -> list[VenueMessage]:
        self.clock.advance_to(self.clock.now_ns + NS_PER_MS)
        return self.link.receive()


@pytest.fixture(params=["in process", "over a socket"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    if request.param == "in process":
        yield InProcess()
        return
    pair = VenuePair(tmp_path)
    assert pair.link.connect()
    pair.turn()
    yield pair
    pair.link.close()
    pair.server.close()


def order(
    kind: CommandKind = CommandKind.NEW,
    *,
    price: int = 9_999,
    lots: int = 10,
    force: TimeInForce = TimeInForce.GOOD_TILL_CANCEL,
) -> OrderCommand:
    return OrderCommand(kind, CHILD, CHILD, 0, 0, Side.BUY, OrderType.LIMIT, force, lots, price)


def kinds(heard: list[VenueMessage]) -> list[ReportKind]:
    return [one.kind for one in heard if isinstance(one, VenueReport)]


def test_resting_order_is_acknowledged_and_listed(way: Way) -> None:
    assert way.link.transmit(order(), "XYZ").delivery is Delivery.SENT
    assert kinds(way.turn()) == [ReportKind.ACKNOWLEDGED]

    way.link.request_working()

    assert [one.child_ids for one in way.turn() if isinstance(one, WorkingList)] == [frozenset({CHILD})]


def test_crossing_order_is_filled_with_a_number_a_price_and_the_venues_own_count(way: Way) -> None:
    way.link.transmit(order(price=10_001), "XYZ")

    fills = [one for one in way.turn() if isinstance(one, VenueReport) and one.kind is ReportKind.FILLED]

    assert [(one.child_id, one.quantity_lots, one.price_ticks, one.cumulative_lots) for one in fills] == [
        (CHILD, 10, 10_001, 10)
    ]
    assert fills[0].execution_id > 0


@pytest.mark.parametrize(
    ("sent", "ended_by", "filled"),
    [
        (lambda: order(price=10_001), ReportKind.FILLED, 10),
        (lambda: order(price=10_001, lots=600, force=TimeInForce.IMMEDIATE_OR_CANCEL), ReportKind.EXPIRED, 500),
        (lambda: order(price=10_001, force=TimeInForce.POST_ONLY), ReportKind.REJECTED, 0),
        (order, None, 0),
    ],
)
def test_status_tells_the_end_and_every_execution(
    way: Way, sent: Callable[[], OrderCommand], ended_by: ReportKind | None, filled: int
) -> None:
    way.link.transmit(sent(), "XYZ")
    way.turn()

    way.link.request_status(CHILD)
    (status,) = [one for one in way.turn() if isinstance(one, OrderStatus)]

    assert (status.is_found, status.ended_by) == (True, ended_by)
    assert sum(one.quantity_lots for one in status.executions) == filled


def test_order_that_never_came_is_not_found(way: Way) -> None:
    way.link.request_status(0xDEAD)

    assert [one.is_found for one in way.turn() if isinstance(one, OrderStatus)] == [False]


def test_cancel_ends_the_order_and_a_second_one_comes_too_late(way: Way) -> None:
    way.link.transmit(order(), "XYZ")
    way.turn()
    way.link.transmit(order(CommandKind.CANCEL), "XYZ")
    assert kinds(way.turn()) == [ReportKind.CANCELLED]

    way.link.transmit(order(CommandKind.CANCEL), "XYZ")

    assert kinds(way.turn()) == [ReportKind.CANCEL_REJECTED]


def test_amend_changes_quantity_and_price(way: Way) -> None:
    way.link.transmit(order(), "XYZ")
    way.turn()

    way.link.transmit(order(CommandKind.AMEND, price=9_998, lots=7), "XYZ")

    amended = [one for one in way.turn() if isinstance(one, VenueReport)]
    assert [(one.kind, one.quantity_lots, one.price_ticks) for one in amended] == [(ReportKind.AMENDED, 7, 9_998)]


def test_same_child_twice_is_one_order_and_the_answer_says_what_became_of_it(way: Way) -> None:
    way.link.transmit(order(price=10_001), "XYZ")
    assert kinds(way.turn()) == [ReportKind.ACKNOWLEDGED, ReportKind.FILLED]

    assert way.link.transmit(order(price=10_001), "XYZ").delivery is Delivery.SENT
    heard = way.turn()

    assert kinds(heard) == []
    assert [one.ended_by for one in heard if isinstance(one, OrderStatus)] == [ReportKind.FILLED]
