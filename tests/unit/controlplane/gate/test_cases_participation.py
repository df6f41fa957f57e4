"""Participation: our fills, live aggressive orders and this order over the market's volume, in all and per venue."""

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.observations import VolumeObserved
from controlplane.domain.orders import TimeInForce
from controlplane.domain.reports import ReportKind
from controlplane.gate.snapshot import Snapshot
from tests.support.builders import (
    ELSEWHERE,
    PRICE,
    SECOND_VENUE,
    phase,
    roomy_snapshot,
    tightened,
    volume,
    with_rules,
    with_second_venue,
)
from tests.support.rig import OpenRig, Rig

FIRM, DESK, VENUE = "firm:firm", "desk:crypto", "venue:SIM"
SECOND = 1_000_000_000
WINDOW_NS, VOLUME_AGE_NS_MAX = 300 * SECOND, 10 * SECOND
ABOVE, UNKNOWN = DenialCode.PARTICIPATION_ABOVE_LIMIT, DenialCode.PARTICIPATION_UNKNOWN


def open_with(open_rig: OpenRig, traded: int, *, bps: int, scope: str = FIRM, snapshot: Snapshot | None = None) -> Rig:
    """Return a gate whose scope may take a share of a market that traded so many lots; an order crosses the book."""
    rig = open_rig(tightened(snapshot or roomy_snapshot(), scope, participation_bps_max=bps), is_market_open=False)
    rig.quote(PRICE - 2, PRICE)
    rig.gate.observe(phase())
    rig.gate.observe(volume(traded))
    return rig


@pytest.mark.case("GATE-73")
def test_market_without_volume_has_no_share_to_give(open_rig: OpenRig) -> None:
    rig = open_with(open_rig, 0, bps=10_000)

    verdict = rig.buy(1)

    assert verdict.codes == (ABOVE,)
    assert verdict.binding is not None
    assert (verdict.binding.measured, verdict.binding.limit) == (1, 0)


@pytest.mark.case("GATE-73")
def test_volume_that_was_never_stated_is_unknown(open_rig: OpenRig) -> None:
    rig = open_rig(is_market_open=False)
    rig.quote(PRICE - 1, PRICE + 1)
    rig.gate.observe(phase())

    assert rig.buy(1).codes == (UNKNOWN,)


@pytest.mark.case("GATE-73")
@pytest.mark.parametrize(("age_ns", "codes"), [(VOLUME_AGE_NS_MAX, ()), (VOLUME_AGE_NS_MAX + 1, (UNKNOWN,))])
def test_volume_is_good_until_its_last_nanosecond_and_no_longer(
    rig: Rig, age_ns: int, codes: tuple[DenialCode, ...]
) -> None:
    rig.clock.advance(age_ns)
    rig.quote(PRICE - 1, PRICE + 1)

    assert rig.buy(1).codes == codes


@pytest.mark.case("GATE-73")
def test_quiet_market_that_says_so_is_not_unknown(open_rig: OpenRig) -> None:
    rig = open_with(open_rig, 1_000, bps=10_000)
    rig.clock.advance(VOLUME_AGE_NS_MAX)
    rig.gate.observe(volume(0, at_ns=rig.clock.wall))
    rig.clock.advance(VOLUME_AGE_NS_MAX)
    rig.quote(PRICE - 2, PRICE)

    assert rig.buy(1_000).is_allowed


@pytest.mark.case("GATE-74")
def test_live_aggressive_orders_count_so_two_of_ten_per_cent_do_not_fit_fifteen(open_rig: OpenRig) -> None:
    rig = open_with(open_rig, 1_000, bps=1_500)

    first, second = rig.buy(100), rig.buy(100)

    assert first.is_allowed
    assert second.codes == (ABOVE,)
    assert second.largest_passing_lots == 50
    assert rig.buy(51).codes == (ABOVE,)
    assert rig.buy(50).is_allowed


@pytest.mark.case("GATE-74")
def test_filled_lots_stay_counted_and_unfilled_ones_are_freed(open_rig: OpenRig) -> None:
    rig = open_with(open_rig, 1_000, bps=1_500)
    child = rig.work(lots=100)
    rig.fill(child, 60)
    while_live = rig.buy(51)

    rig.tell(ReportKind.CANCELLED, child)

    assert while_live.codes == (ABOVE,)
    assert rig.buy(91).codes == (ABOVE,)
    assert rig.buy(90).is_allowed


@pytest.mark.case("GATE-74")
def test_order_that_rests_in_the_book_takes_no_share_while_it_is_live(open_rig: OpenRig) -> None:
    rig = open_with(open_rig, 1_000, bps=1_500)
    assert rig.buy(100, price=PRICE - 1).is_allowed
    assert rig.buy(100, time_in_force=TimeInForce.POST_ONLY).is_allowed

    assert rig.buy(150).is_allowed
    assert rig.buy(1, price=PRICE - 1).codes == (ABOVE,)


def test_immediate_order_is_aggressive_wherever_its_price_lies(open_rig: OpenRig) -> None:
    rig = open_with(open_rig, 1_000, bps=1_500)
    assert rig.buy(100, price=PRICE - 1, time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL).is_allowed

    assert rig.buy(51).codes == (ABOVE,)


def test_fills_of_resting_orders_are_our_volume_too(open_rig: OpenRig) -> None:
    rig = open_with(open_rig, 1_000, bps=1_500)
    rig.fill(rig.work(lots=100, price=PRICE - 1), 100)

    assert rig.buy(51).codes == (ABOVE,)
    assert rig.buy(50).is_allowed


def test_share_is_rounded_down(open_rig: OpenRig) -> None:
    rig = open_with(open_rig, 1_999, bps=1_000)

    assert rig.buy(200).codes == (ABOVE,)
    assert rig.buy(199).is_allowed


@pytest.mark.parametrize("scope", [FIRM, DESK, "strategy:crypto/twap", "model:crypto/twap/schedule", VENUE])
def test_tightest_share_decides_and_its_scope_is_named(open_rig: OpenRig, scope: str) -> None:
    rig = open_with(open_rig, 1_000, bps=1_000, scope=scope)

    verdict = rig.buy(101)

    assert verdict.codes == (ABOVE,)
    assert verdict.binding is not None
    assert (verdict.binding.scope, verdict.binding.measured, verdict.binding.limit) == (scope, 101, 100)
    assert rig.buy(100).is_allowed


def test_floor_stands_for_the_market_until_a_whole_window_was_seen(open_rig: OpenRig) -> None:
    rig = open_with(open_rig, 10, bps=1_000, snapshot=with_rules(roomy_snapshot(), participation_floor_lots=1_000))
    warming_up = rig.buy(100)
    rig.tell(ReportKind.NOT_SENT, rig.last)

    for _ in range(31):
        rig.clock.advance(VOLUME_AGE_NS_MAX)
        rig.gate.observe(volume(10, at_ns=rig.clock.wall))
    rig.open_market(lots=0)
    warm = rig.buy(100)

    assert warming_up.is_allowed
    assert warm.codes == (ABOVE,)
    assert warm.largest_passing_lots in range(30, 33)


def test_volume_leaves_the_window_when_it_has_passed(open_rig: OpenRig) -> None:
    rig = open_with(open_rig, 1_000, bps=1_000)
    for _ in range(33):
        rig.clock.advance(VOLUME_AGE_NS_MAX)
        rig.gate.observe(volume(0, at_ns=rig.clock.wall))
    rig.open_market(lots=0)

    assert rig.buy(1).codes == (ABOVE,)


def two_venues(open_rig: OpenRig, *, firm_bps: int, venue_bps: int) -> Rig:
    """Return a gate with 1,000 lots traded on the first venue and 100 on the second."""
    limits = tightened(with_second_venue(roomy_snapshot()), FIRM, participation_bps_max=firm_bps)
    limits = tightened(limits, f"venue:{SECOND_VENUE}", participation_bps_max=venue_bps)
    rig = open_rig(limits, is_market_open=False)
    rig.quote(PRICE - 2, PRICE)
    rig.gate.observe(phase())
    rig.gate.observe(volume(1_000))
    rig.gate.observe(volume(100, venue=SECOND_VENUE))
    return rig


@pytest.mark.case("GATE-76")
def test_share_of_the_venue_binds_where_its_own_volume_is_small(open_rig: OpenRig) -> None:
    rig = two_venues(open_rig, firm_bps=5_000, venue_bps=1_000)

    verdict = rig.buy(11, on=ELSEWHERE)

    assert verdict.codes == (ABOVE,)
    assert verdict.binding is not None
    assert (verdict.binding.scope, verdict.binding.limit) == (f"venue:{SECOND_VENUE}", 10)
    assert rig.buy(10, on=ELSEWHERE).is_allowed


@pytest.mark.case("GATE-76")
def test_share_of_the_whole_market_is_used_up_by_every_venue_together(open_rig: OpenRig) -> None:
    rig = two_venues(open_rig, firm_bps=1_000, venue_bps=10_000)
    assert rig.buy(100).is_allowed

    verdict = rig.buy(11, on=ELSEWHERE)

    assert verdict.codes == (ABOVE,)
    assert verdict.binding is not None
    assert (verdict.binding.scope, verdict.binding.measured, verdict.binding.limit) == (FIRM, 111, 110)
    assert rig.buy(10, on=ELSEWHERE).is_allowed


@pytest.mark.case("GATE-76")
def test_share_of_the_levels_holds_on_each_venue_as_well(open_rig: OpenRig) -> None:
    rig = two_venues(open_rig, firm_bps=1_000, venue_bps=10_000)

    assert rig.buy(11, on=ELSEWHERE).codes == (ABOVE,)
    assert rig.buy(10, on=ELSEWHERE).is_allowed


@pytest.mark.case("GATE-76")
def test_venue_that_is_silent_denies_although_the_whole_market_is_known(open_rig: OpenRig) -> None:
    rig = two_venues(open_rig, firm_bps=10_000, venue_bps=10_000)
    rig.clock.advance(VOLUME_AGE_NS_MAX + 1)
    rig.quote(PRICE - 2, PRICE)
    rig.gate.observe(volume(1, at_ns=rig.clock.wall))

    assert rig.buy(1).is_allowed
    assert rig.buy(1, on=ELSEWHERE).codes == (UNKNOWN,)


@pytest.mark.parametrize("lots", [-1, 1 << 41])
def test_absurd_volume_is_refused(open_rig: OpenRig, lots: int) -> None:
    rig = open_with(open_rig, 1_000, bps=1_000)

    rig.gate.observe(VolumeObserved("BTC-PERP", "SIM", lots, rig.clock.wall, rig.clock.wall))

    assert rig.buy(101).codes == (ABOVE,)
    assert rig.buy(100).is_allowed


def test_amend_of_an_aggressive_order_counts_it_once(open_rig: OpenRig) -> None:
    rig = open_with(open_rig, 1_000, bps=1_500)
    child = rig.work(lots=100)

    beyond = rig.amend(child, quantity_lots=151)
    within = rig.amend(child, quantity_lots=150)

    assert beyond.codes == (ABOVE,)
    assert beyond.largest_passing_lots == 150
    assert within.is_allowed
    assert rig.buy(1).codes == (ABOVE,)


def test_amend_that_makes_a_resting_order_cross_the_book_needs_its_whole_share(open_rig: OpenRig) -> None:
    rig = open_with(open_rig, 1_000, bps=1_500)
    resting = rig.work(lots=100, price=PRICE - 1)
    assert rig.buy(100).is_allowed

    verdict = rig.amend(resting, price_ticks=PRICE)

    assert verdict.codes == (ABOVE,)
    assert rig.amend(resting, price_ticks=PRICE - 2).is_allowed
