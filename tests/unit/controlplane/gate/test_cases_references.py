"""Reference prices: fresh by both clocks and healthy, or none; collars bounded inwards; permits that end sooner."""

import pytest

from controlplane.domain.decisions import DenialCode, Verdict
from controlplane.domain.errors import PermitInvalid
from controlplane.domain.observations import Phase, ReferenceSource
from controlplane.domain.orders import OrderType, Side
from controlplane.domain.reports import ReportKind
from controlplane.gate.permit import verify
from tests.support.builders import PRICE, book, phase, price_of, roomy_snapshot, volume, with_rules
from tests.support.policies import shipped_snapshot, small_snapshot
from tests.support.rig import OpenRig, Rig

SECOND = 1_000_000_000
AGE_NS_MAX = 2 * SECOND
MISSING, STALE, COLLAR = DenialCode.REFERENCE_MISSING, DenialCode.REFERENCE_STALE, DenialCode.PRICE_OUTSIDE_COLLAR


@pytest.mark.case("GATE-64")
@pytest.mark.parametrize(("age_ns", "codes"), [(AGE_NS_MAX, ()), (AGE_NS_MAX + 1, (STALE,))])
def test_reference_is_good_until_its_last_nanosecond_and_no_longer(
    rig: Rig, age_ns: int, codes: tuple[DenialCode, ...]
) -> None:
    rig.clock.advance(age_ns)

    verdict = rig.buy()

    assert verdict.codes == codes


@pytest.mark.case("GATE-64")
@pytest.mark.parametrize("clock", ["exchange_ns", "receive_ns"])
@pytest.mark.parametrize(("age_ns", "codes"), [(AGE_NS_MAX, ()), (AGE_NS_MAX + 1, (STALE,))])
def test_either_clock_alone_makes_a_reference_stale(
    open_rig: OpenRig, clock: str, age_ns: int, codes: tuple[DenialCode, ...]
) -> None:
    rig = open_rig(is_market_open=False)
    rig.clock.advance(10 * SECOND)
    rig.open_market()
    rig.clock.advance(SECOND)
    rig.quote(PRICE - 1, PRICE + 1)

    rig.clock.advance(AGE_NS_MAX - SECOND)
    old = {clock: rig.clock.wall - age_ns}
    rig.gate.observe(book(at_ns=rig.clock.wall, **old))
    verdict = rig.buy()

    # An exchange time before the one held is refused, so the price held stays, which is younger than two seconds.
    held_is_newer = clock == "exchange_ns"
    assert verdict.codes == (() if held_is_newer else codes)


@pytest.mark.case("GATE-64")
def test_denial_states_the_age_of_the_youngest_reference_and_what_is_trusted(rig: Rig) -> None:
    rig.clock.advance(AGE_NS_MAX + 1)

    verdict = rig.buy()

    assert verdict.binding is not None
    assert (verdict.binding.measured, verdict.binding.limit, verdict.binding.unit) == (AGE_NS_MAX + 1, AGE_NS_MAX, "ns")


def test_price_far_ahead_of_our_clock_is_no_reference_and_silences_nothing(rig: Rig) -> None:
    """Kept, one wrong exchange time years ahead would make every later price of the same source an older one."""
    rig.gate.observe(book(PRICE + 50, PRICE + 52, exchange_ns=rig.clock.wall + 10**18))
    before = rig.gate.control("status", {})["references"]

    rig.clock.advance(SECOND)
    rig.quote(PRICE - 1, PRICE + 1)

    assert [(row["bid_ticks"], row["is_healthy"]) for row in before] == [(PRICE - 1, True)]
    assert rig.buy().is_allowed


UNHEALTHY = {
    "no bid": {"bid_ticks": 0},
    "no ask": {"ask_ticks": 0},
    "negative bid": {"bid_ticks": -1},
    "crossed": {"bid_ticks": PRICE + 1, "ask_ticks": PRICE - 1},
    "locked": {"bid_ticks": PRICE, "ask_ticks": PRICE},
    "nothing bid": {"bid_lots": 0},
    "nothing asked": {"ask_lots": 0},
    "far wide": {"bid_ticks": PRICE - 1_501, "ask_ticks": PRICE + 1_500},
    "beyond the instrument": {"bid_ticks": 10_000_001, "ask_ticks": 10_000_002},
}


@pytest.mark.case("GATE-66")
@pytest.mark.parametrize("fault", UNHEALTHY.values(), ids=list(UNHEALTHY))
def test_book_that_is_no_book_is_no_reference(rig: Rig, fault: dict[str, int]) -> None:
    rig.gate.observe(book(**fault))

    assert rig.buy().codes == (MISSING,)


@pytest.mark.case("GATE-66")
@pytest.mark.parametrize("fault", UNHEALTHY.values(), ids=list(UNHEALTHY))
@pytest.mark.parametrize("source", [ReferenceSource.MARK, ReferenceSource.LAST_TRADE])
def test_next_reference_is_used_where_the_book_is_none(
    rig: Rig, fault: dict[str, int], source: ReferenceSource
) -> None:
    rig.gate.observe(price_of(source, PRICE + 7, at_ns=rig.clock.wall))
    rig.gate.observe(book(**fault))

    assert rig.buy(10, price=PRICE - 100).is_allowed
    assert rig.row("open_notional")["reserved"] == 10 * (PRICE + 7) * 100


@pytest.mark.case("GATE-66")
def test_book_at_the_widest_allowed_spread_is_a_reference(rig: Rig) -> None:
    rig.quote(PRICE - 1_500, PRICE + 1_500)

    assert rig.buy().is_allowed


@pytest.mark.case("GATE-66")
def test_references_are_tried_in_their_order_and_a_stale_one_is_passed_over(rig: Rig) -> None:
    rig.clock.advance(AGE_NS_MAX)
    rig.gate.observe(price_of(ReferenceSource.LAST_TRADE, PRICE + 9, at_ns=rig.clock.wall))
    from_the_book = reserved_by(rig, rig.buy(10, price=PRICE - 100))
    rig.gate.observe(price_of(ReferenceSource.MARK, PRICE + 7, at_ns=rig.clock.wall))
    rig.clock.advance(1)
    from_the_mark = reserved_by(rig, rig.buy(10, price=PRICE - 100))

    assert from_the_book == 10 * (PRICE + 1) * 100
    assert from_the_mark == 10 * (PRICE + 7) * 100


def reserved_by(rig: Rig, verdict: Verdict) -> int:
    """Return the worth of the order decided last, which was the only live one before it was taken back."""
    assert verdict.is_allowed, verdict.explanation
    live = int(rig.row("open_notional")["reserved"])
    rig.tell(ReportKind.NOT_SENT, rig.last)
    return live


def test_book_that_recovers_is_a_reference_again(rig: Rig) -> None:
    rig.quote(PRICE + 1, PRICE - 1)
    crossed = rig.buy()
    rig.quote(PRICE - 1, PRICE + 1)

    assert crossed.codes == (MISSING,)
    assert rig.buy().is_allowed


def test_older_book_does_not_replace_a_newer_one(rig: Rig) -> None:
    rig.clock.advance(SECOND)
    rig.quote(PRICE - 1, PRICE + 1)

    rig.gate.observe(book(PRICE + 99, PRICE + 101, exchange_ns=rig.clock.wall - 1, receive_ns=rig.clock.wall))

    assert [row["bid_ticks"] for row in rig.gate.control("status", {})["references"]] == [PRICE - 1]


@pytest.mark.case("GATE-69")
@pytest.mark.parametrize("static", [None, PRICE])
def test_first_order_before_any_price_is_denied_even_where_the_collar_is_known(
    open_rig: OpenRig, static: int | None
) -> None:
    rig = open_rig(with_rules(roomy_snapshot(), static_reference_ticks=static), is_market_open=False)
    rig.gate.observe(phase())
    rig.gate.observe(volume())

    assert rig.buy().codes == (MISSING,)


@pytest.mark.case("GATE-69")
def test_first_healthy_book_of_the_day_is_the_centre_of_the_collar_until_the_day_rolls(rig: Rig) -> None:
    rig.clock.advance(SECOND)
    rig.quote(700_000, 700_002)
    first_of_the_day_holds = rig.buy(1, price=700_000)

    rig.roll_day()
    rig.quote(700_000, 700_002)

    assert first_of_the_day_holds.codes == (COLLAR,)
    assert rig.buy(1, price=700_000).is_allowed


@pytest.mark.case("GATE-70")
@pytest.mark.parametrize("stated", [Phase.AUCTION, Phase.CLOSED, Phase.VENUE_HALT])
def test_no_order_passes_outside_continuous_trading_whatever_prices_are_indicated(rig: Rig, stated: Phase) -> None:
    rig.hold(10)
    rig.gate.observe(phase(stated))
    rig.gate.observe(price_of(ReferenceSource.LAST_TRADE, PRICE))

    assert rig.buy(1).codes == (DenialCode.PHASE_NOT_TRADING,)
    assert rig.sell(1).codes == (DenialCode.PHASE_NOT_TRADING,)


@pytest.mark.parametrize(("age_s", "is_allowed"), [(60, True), (61, False)])
def test_phase_that_was_not_repeated_in_time_is_unknown(rig: Rig, age_s: int, is_allowed: bool) -> None:
    rig.clock.advance(age_s * SECOND)
    rig.quote(PRICE - 1, PRICE + 1)
    rig.gate.observe(volume(at_ns=rig.clock.wall))

    verdict = rig.buy()

    assert verdict.codes == (() if is_allowed else (DenialCode.PHASE_UNKNOWN,))


def test_proved_reduction_passes_without_reference_phase_and_volume(rig: Rig) -> None:
    rig.hold(10)
    rig.clock.advance(3_600 * SECOND)

    assert rig.sell(11).codes == (
        DenialCode.PHASE_UNKNOWN,
        DenialCode.REFERENCE_STALE,
        DenialCode.PARTICIPATION_UNKNOWN,
    )
    assert rig.sell(10).is_allowed


# --- collar -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("price", "codes"), [(630_000, ()), (630_001, (COLLAR,)), (570_000, ()), (569_999, (COLLAR,))])
def test_collar_is_bounded_on_both_sides_and_its_bounds_pass(
    rig: Rig, side: Side, price: int, codes: tuple[DenialCode, ...]
) -> None:
    assert rig.ask(side, price_ticks=price).codes == codes


@pytest.mark.parametrize(
    ("side", "price", "codes"),
    [
        (Side.BUY, 630_001, (COLLAR,)),
        (Side.BUY, 630_000, ()),
        (Side.BUY, 400_000, ()),
        (Side.SELL, 569_999, (COLLAR,)),
        (Side.SELL, 570_000, ()),
        (Side.SELL, 900_000, ()),
    ],
)
def test_one_sided_collar_bounds_only_the_side_that_pays(
    open_rig: OpenRig, side: Side, price: int, codes: tuple[DenialCode, ...]
) -> None:
    rig = open_rig(with_rules(roomy_snapshot(), is_collar_one_sided=True))

    assert rig.ask(side, price_ticks=price).codes == codes


@pytest.mark.parametrize("side", Side)
def test_bounds_of_the_collar_lie_inwards_when_they_fall_between_two_ticks(open_rig: OpenRig, side: Side) -> None:
    rig = open_rig(with_rules(roomy_snapshot(), static_reference_ticks=PRICE + 3, collar_bps=1))  # 60.0003 ticks wide

    bound = PRICE + 3 + side * 60

    assert rig.ask(side, price_ticks=bound).is_allowed
    assert rig.ask(side, price_ticks=bound + side).codes == (COLLAR,)


def test_denial_names_the_bound_that_was_passed(rig: Rig) -> None:
    above, below = rig.buy(price=700_000), rig.sell(price=500_000)

    assert above.binding is not None
    assert below.binding is not None
    assert (above.binding.measured, above.binding.limit) == (700_000, 630_000)
    assert (below.binding.measured, below.binding.limit) == (500_000, 570_000)


@pytest.mark.parametrize("side", Side)
def test_trigger_and_limit_of_a_stop_must_both_lie_inside(rig: Rig, side: Side) -> None:
    stop = {"order_type": OrderType.STOP}

    inside = rig.ask(side, price_ticks=PRICE + side * 30_000, trigger_ticks=PRICE + side * 29_000, **stop)
    trigger_out = rig.ask(side, price_ticks=PRICE + side * 30_000, trigger_ticks=PRICE + side * 30_001, **stop)
    limit_out = rig.ask(side, price_ticks=PRICE + side * 30_001, trigger_ticks=PRICE + side * 30_000, **stop)

    assert inside.is_allowed
    assert trigger_out.codes == (COLLAR,)
    assert limit_out.codes == (COLLAR,)


@pytest.mark.parametrize("order_type", [OrderType.MARKET, OrderType.STOP])
def test_market_and_stop_orders_carry_their_protection_limit(rig: Rig, order_type: OrderType) -> None:
    trigger = {"trigger_ticks": PRICE} if order_type is OrderType.STOP else {}

    without = rig.buy(price=0, order_type=order_type, **trigger)
    beyond_the_collar = rig.buy(price=630_001, order_type=order_type, **trigger)
    within = rig.buy(price=630_000, order_type=order_type, **trigger)

    assert without.codes == (DenialCode.PROTECTION_LIMIT_MISSING,)
    assert beyond_the_collar.codes == (COLLAR,)
    assert within.is_allowed


# --- permits ----------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-72")
def test_permits_end_before_the_reference_they_were_given_on_could_grow_stale() -> None:
    for snapshot in (shipped_snapshot(), small_snapshot()):
        ages = {rule.reference_age_ns_max for rule in snapshot.instruments}
        assert snapshot.permit_ttl_ns < min(ages)


@pytest.mark.case("GATE-72")
def test_expired_permit_is_refused_and_asking_again_gives_the_same_expired_one(rig: Rig) -> None:
    first = rig.buy()
    order = rig.orders[rig.last]
    assert first.permit is not None
    rig.clock.advance(500_000_000)
    key, fence = rig.gate.permit_key(), rig.gate.fence()
    verify(first.permit, order, key=key, fence=fence, now_ns=rig.clock.wall)

    rig.clock.advance(1)
    again = rig.gate.decide(order)

    assert again.permit == first.permit
    with pytest.raises(PermitInvalid, match="expired 1 ns ago"):
        verify(again.permit, order, key=key, fence=fence, now_ns=rig.clock.wall)
