"""One suite, two gates: a price against every fresh reference, against how well they agree, and against where it began.

Nothing is read but replies.
"""

import dataclasses
from collections.abc import Callable

import pytest

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.observations import Phase, ReferenceSource
from controlplane.domain.orders import OrderType
from controlplane.gate import words as w
from controlplane.gate.snapshot import Snapshot
from tests.support.gate_desk import BTC, Desk, bare, codes, measured
from tests.support.gate_machines import CompiledMachine, ReferenceMachine, Reply
from tests.support.gate_universes import SECOND_NS

OpenDesk = Callable[..., Desk]
COLLAR, FEW, APART, WALKED = (
    {Code.PRICE_OUTSIDE_DYNAMIC_COLLAR}, {Code.REFERENCES_TOO_FEW}, {Code.REFERENCES_DISAGREE},
    {Code.PRICE_WALKED_TOO_FAR},
)  # fmt: skip
MARK, LAST_TRADE = ReferenceSource.MARK, ReferenceSource.LAST_TRADE


@pytest.fixture(params=[CompiledMachine, ReferenceMachine], ids=["compiled", "judge"])
def open_desk(request: pytest.FixtureRequest) -> OpenDesk:
    """Opens a desk at a gate of the kind under test."""

    def opened(snapshot: Snapshot | None = None) -> Desk:
        return Desk.open(request.param, snapshot)

    return opened


def ruled(*, hold_ns: int = 0, walk_ns: int = 16 * SECOND_NS, **rules: int) -> Snapshot:
    """Return limits with price rules for every instrument, its static collar out of the way."""
    snapshot = bare(walk_window_ns=walk_ns, disagreement_hold_ns=hold_ns, volume_age_ns_max=1 << 50)
    instruments = tuple(dataclasses.replace(one, collar_bps=10_000, **rules) for one in snapshot.instruments)
    return dataclasses.replace(snapshot, instruments=instruments)


def say(desk: Desk, source: ReferenceSource, price: int, *, ask: int = 0, lots: tuple[int, int] = (5, 5)) -> Reply:
    """Have one source state a price of BTC-PERP, or a book with these sizes."""
    words = (
        w.REFERENCE_APPLIED | int(source) << 8 | w.SCHEMA, 0, 0, 0, 0, 0, desk.number("BTC-PERP"), 0, 0, lots[0], price,
        ask or price, lots[1], desk.wall_ns, 0, desk.wall_ns,
    )  # fmt: skip
    return desk.send(words)


def test_price_has_to_lie_near_every_fresh_reference(open_desk: OpenDesk) -> None:
    desk = open_desk(ruled(dynamic_collar_bps=100))
    assert desk.buy(1, BTC + 6_000).is_allowed
    say(desk, MARK, BTC - 3_000)

    beyond = desk.buy(1, BTC + 3_000)

    edge = (BTC - 3_000) * 101 // 100
    assert (codes(beyond), measured(beyond), beyond.words[21]) == (COLLAR, BTC + 3_000, edge)
    assert desk.buy(1, edge).is_allowed
    assert codes(desk.buy(1, edge + 1)) == COLLAR


def test_reference_that_has_grown_old_bounds_nothing(open_desk: OpenDesk) -> None:
    desk = open_desk(ruled(dynamic_collar_bps=100))
    say(desk, MARK, BTC - 3_000)
    desk.wait(2 * SECOND_NS + 1)
    desk.quote("BTC-PERP", BTC)

    assert desk.buy(1, BTC + 6_000).is_allowed


def test_middle_of_a_book_leans_to_the_side_with_less_size(open_desk: OpenDesk) -> None:
    """Nine lots bid and one offered: the next trade is more likely at the offer."""
    desk = open_desk(ruled(dynamic_collar_bps=10))
    say(desk, ReferenceSource.BOOK, BTC, ask=BTC + 1_000, lots=(9, 1))
    middle = BTC + 900

    assert desk.buy(1, middle + middle // 1_000).is_allowed
    assert codes(desk.buy(1, middle + middle // 1_000 + 1)) == COLLAR
    assert codes(desk.sell(1, middle - middle // 1_000 - 1)) == COLLAR


def test_trigger_of_a_stop_lies_in_the_collar_too(open_desk: OpenDesk) -> None:
    desk = open_desk(ruled(dynamic_collar_bps=100))

    assert codes(desk.ask(1, 1, BTC, trigger=BTC + 7_000, order_type=OrderType.STOP)) == COLLAR
    assert desk.ask(1, 1, BTC, trigger=BTC + 6_000, order_type=OrderType.STOP).is_allowed


@pytest.mark.case("GATE-69")
@pytest.mark.parametrize(("least", "expected"), [(1, set()), (2, FEW), (3, FEW)])
def test_as_many_references_have_to_be_fresh_as_the_rule_book_asks_for(
    open_desk: OpenDesk, least: int, expected: set[Code]
) -> None:
    desk = open_desk(ruled(references_min=least))

    first = desk.buy(1)
    say(desk, MARK, BTC)
    say(desk, LAST_TRADE, BTC)

    assert codes(first) == expected
    assert not expected or (measured(first), first.words[21]) == (1, least)
    assert desk.buy(1).is_allowed


def test_proved_reduction_passes_with_too_few_references(open_desk: OpenDesk) -> None:
    desk = open_desk(ruled(references_min=2))
    say(desk, MARK, BTC)
    desk.hold(10)
    desk.wait(2 * SECOND_NS + 1)
    desk.quote("BTC-PERP", BTC)

    assert codes(desk.buy(1)) == FEW
    assert desk.sell(10).is_allowed


@pytest.mark.case("GATE-67")
def test_references_that_disagree_stop_new_risk_until_they_have_agreed_for_a_while(open_desk: OpenDesk) -> None:
    desk = open_desk(ruled(disagreement_bps_max=50, hold_ns=SECOND_NS))
    desk.hold(10)
    say(desk, MARK, BTC + 3_000)
    agreed = desk.buy(1)
    say(desk, MARK, BTC + 3_600)
    apart = desk.buy(1)
    reduction = desk.sell(1)
    say(desk, MARK, BTC)
    desk.wait(SECOND_NS - 1)
    held = desk.buy(1)
    desk.wait(1)

    assert agreed.is_allowed
    assert (codes(apart), measured(apart), apart.words[21]) == (APART, 60, 50)
    assert reduction.is_allowed
    assert codes(held) == APART
    assert desk.buy(1).is_allowed


@pytest.mark.case("GATE-68")
def test_slow_walk_is_stopped_by_the_reference_at_the_start_of_the_window(open_desk: OpenDesk) -> None:
    """Each order is near the last one and near the book; together they have gone too far."""
    desk = open_desk(ruled(walk_bps_max=100, dynamic_collar_bps=50))
    price, answers = BTC, []
    for _ in range(10):
        desk.wait(SECOND_NS)
        price += 1_000
        desk.quote("BTC-PERP", price)
        answers.append(codes(desk.buy(1, price)))

    assert answers == [set()] * 6 + [WALKED] * 4
    assert desk.sell(1, price).is_allowed


def test_walk_goes_on_when_the_window_has_moved_with_the_market(open_desk: OpenDesk) -> None:
    desk = open_desk(ruled(walk_bps_max=100))
    desk.wait(SECOND_NS)
    desk.quote("BTC-PERP", BTC + 7_000)
    early = desk.buy(1, BTC + 7_000)
    desk.wait(16 * SECOND_NS)
    desk.quote("BTC-PERP", BTC + 7_000)
    still = desk.buy(1, BTC + 7_000)
    desk.wait(SECOND_NS)

    assert (codes(early), early.words[21]) == (WALKED, BTC * 101 // 100)
    assert codes(still) == WALKED
    assert desk.buy(1, BTC + 7_000).is_allowed


def test_a_clock_that_goes_back_moves_no_window(open_desk: OpenDesk) -> None:
    desk = open_desk(ruled(walk_bps_max=100))
    desk.monotonic_ns -= 100 * SECOND_NS
    desk.quote("BTC-PERP", BTC + 7_000)

    assert codes(desk.buy(1, BTC + 7_000)) == WALKED


@pytest.mark.case("GATE-70")
def test_indicative_price_of_an_auction_is_no_last_trade(open_desk: OpenDesk) -> None:
    desk = open_desk(ruled(references_min=2))
    phase = (w.PHASE_APPLIED | w.SCHEMA, *[0] * 5, desk.number("BTC-PERP"), 0, 0)
    desk.send((*phase, int(Phase.AUCTION), 0, 0, 0, desk.wall_ns, 0, 0))
    say(desk, LAST_TRADE, BTC)
    desk.send((*phase, int(Phase.CONTINUOUS), 0, 0, 0, desk.wall_ns, 0, 0))
    indicative = desk.buy(1)
    say(desk, LAST_TRADE, BTC)

    assert codes(indicative) == FEW
    assert desk.buy(1).is_allowed
