"""Positions: worst long and worst short are judged apart; at the limit passes, and over it only the way back."""

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.reports import ReportKind
from tests.support.builders import (
    ELSEWHERE,
    LOT_MICRO,
    OTHER_STRATEGY,
    PRICE,
    roomy_snapshot,
    tightened,
    with_second_venue,
)
from tests.support.rig import OpenRig

DESK = "desk:crypto"


@pytest.mark.case("GATE-41")
@pytest.mark.parametrize(("held", "limit"), [(10, "position_long_lots_max"), (-10, "position_short_lots_max")])
def test_at_the_limit_one_lot_back_passes_and_one_lot_further_does_not(
    open_rig: OpenRig, held: int, limit: str
) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, **{limit: 10}))
    rig.hold(held)
    further, back = (rig.buy, rig.sell) if held > 0 else (rig.sell, rig.buy)

    beyond = further(1)
    reduced = back(1)

    assert beyond.codes == (DenialCode.POSITION_ABOVE_LIMIT,)
    assert beyond.largest_passing_lots == 0
    assert beyond.binding is not None
    assert (beyond.binding.measured, beyond.binding.limit, beyond.binding.headroom) == (11, 10, -1)
    assert reduced.is_allowed


@pytest.mark.case("GATE-42")
def test_order_through_zero_is_judged_by_the_worst_short_it_leads_to(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, position_short_lots_max=5))
    rig.hold(10)

    too_far = rig.sell(16)
    just_short_enough = rig.sell(15)

    assert too_far.codes == (DenialCode.POSITION_ABOVE_LIMIT,)
    assert too_far.largest_passing_lots == 15
    assert just_short_enough.is_allowed


@pytest.mark.case("GATE-43")
@pytest.mark.parametrize(
    "limits",
    [
        {"position_long_lots_max": 6},
        {"gross_notional_micro_max": 6 * LOT_MICRO},
        {"net_notional_micro_max": 6 * LOT_MICRO},
    ],
    ids=lambda limits: next(iter(limits)),
)
def test_over_a_limit_that_was_cut_only_the_way_back_is_open(open_rig: OpenRig, limits: dict[str, int]) -> None:
    rig = open_rig()
    rig.hold(10)
    rig.restart(tightened(roomy_snapshot(version=2), DESK, **limits))
    rig.open_market()

    further = rig.buy(1)
    back = rig.sell(1)

    assert not further.is_allowed
    assert further.largest_passing_lots == 0
    assert back.is_allowed
    assert rig.position() == 10


@pytest.mark.case("GATE-44")
def test_one_contract_on_two_venues_sums_for_the_firm_and_stays_apart_for_the_venues(open_rig: OpenRig) -> None:
    limits = tightened(with_second_venue(roomy_snapshot()), "firm:firm", position_long_lots_max=15)
    limits = tightened(limits, "venue:SIM", position_long_lots_max=10)
    rig = open_rig(tightened(limits, "venue:SIM-B", position_long_lots_max=10))

    rig.hold(10)
    venue_is_full = rig.buy(1)
    rig.hold(5, on=ELSEWHERE)
    firm_is_full = rig.buy(1, on=ELSEWHERE)

    assert venue_is_full.binding is not None
    assert (venue_is_full.binding.scope, venue_is_full.binding.measured) == ("venue:SIM", 11)
    assert firm_is_full.binding is not None
    assert (firm_is_full.binding.scope, firm_is_full.binding.measured) == ("firm:firm", 16)
    assert (rig.position(), rig.position(scope="venue:SIM"), rig.position(scope="venue:SIM-B")) == (15, 10, 5)


def test_buys_and_sells_never_net_while_they_are_live(open_rig: OpenRig) -> None:
    limits = tightened(roomy_snapshot(), DESK, position_long_lots_max=10, position_short_lots_max=10)
    rig = open_rig(limits)
    assert rig.buy(10).is_allowed
    assert rig.sell(10).is_allowed

    assert rig.buy(1).codes == (DenialCode.POSITION_ABOVE_LIMIT,)
    assert rig.sell(1).codes == (DenialCode.POSITION_ABOVE_LIMIT,)
    assert rig.row("gross_notional", DESK)["reserved"] == 10 * (LOT_MICRO + 100)


def test_hidden_part_of_an_order_does_not_exist_for_the_gate(open_rig: OpenRig) -> None:
    """The total of an order counts from its permit on, however little of it a venue shows at a time."""
    rig = open_rig(tightened(roomy_snapshot(), DESK, position_long_lots_max=10))
    child = rig.work(lots=10)

    rig.fill(child, 1)

    assert rig.buy(1).codes == (DenialCode.POSITION_ABOVE_LIMIT,)


def test_filled_and_live_lots_of_one_order_are_never_counted_twice(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, position_long_lots_max=10))
    child = rig.work(lots=10)

    for lots in (3, 4, 2):
        rig.fill(child, lots)
        row = rig.row("position_long", DESK, "BTC-PERP")
        assert row["used"] + row["reserved"] == 10
        assert row["headroom"] == 0
    rig.tell(ReportKind.CANCELLED, child)

    assert rig.row("position_long", DESK, "BTC-PERP")["headroom"] == 1


@pytest.mark.case("GATE-45")
def test_position_of_the_firm_is_the_sum_of_what_its_strategies_hold(open_rig: OpenRig) -> None:
    """Whether a venue keeps longs and shorts apart or nets them, only fills move a position."""
    rig = open_rig()
    rig.hold(10)
    rig.hold(-4, on=OTHER_STRATEGY)

    assert rig.position() == 6
    assert rig.position(scope=DESK) == 6
    assert rig.position(scope="strategy:crypto/twap") == 10
    assert rig.position(scope="strategy:crypto/pov") == -4
    assert rig.used("gross_notional") == 6 * (PRICE + 1) * 100
