"""Daily loss: measured at the side we would exit, halting its scope and no other, known again once prices are back."""

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.observations import ReferenceObserved, ReferenceSource
from controlplane.domain.orders import Side
from tests.support.builders import (
    CALL,
    INVERSE,
    OTHER_STRATEGY,
    PRICE,
    price_of,
    rate,
    roomy_snapshot,
    tightened,
)
from tests.support.rig import OpenRig, Rig

FIRM, DESK, STRATEGY, OTHER, MODEL = (
    "firm:firm", "desk:crypto", "strategy:crypto/twap", "strategy:crypto/pov", "model:crypto/twap/schedule",
)  # fmt: skip
SECOND = 1_000_000_000
TICK_LOT = 100  # millionths of a dollar
HALTED, UNKNOWN, ABOVE = DenialCode.SCOPE_HALTED, DenialCode.LOSS_UNKNOWN, DenialCode.DAILY_LOSS_ABOVE_LIMIT


def states(rig: Rig) -> dict[str, str]:
    return {row["scope"]: row["state"] for row in rig.gate.control("status", {})["states"]}


def open_market_of(rig: Rig, price: int) -> None:
    rig.quote(price - 1, price + 1)


# --- how much -------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-102")
@pytest.mark.parametrize(("held", "exit_at"), [(10, PRICE - 300), (-10, PRICE + 100)])
def test_unrealised_loss_is_taken_at_the_side_we_would_exit(rig: Rig, held: int, exit_at: int) -> None:
    rig.hold(held)

    rig.quote(PRICE - 300, PRICE + 100)

    assert rig.used("daily_loss", DESK) == abs(exit_at - PRICE) * 10 * TICK_LOT


@pytest.mark.case("GATE-102")
def test_fees_are_part_of_the_loss_and_rebates_of_the_gain(rig: Rig) -> None:
    rig.hold(10, fee_micro=5_000)
    rig.quote(PRICE, PRICE + 2)
    with_fees = rig.used("daily_loss", DESK)
    rig.hold(10, fee_micro=-2_000)
    rig.quote(PRICE, PRICE + 2)

    assert with_fees == 5_000
    assert rig.used("daily_loss", DESK) == 3_000


@pytest.mark.case("GATE-102")
def test_realised_loss_stays_when_the_position_is_closed(rig: Rig) -> None:
    rig.hold(10)
    open_market_of(rig, PRICE - 100)
    rig.hold(-10, PRICE - 101)

    open_market_of(rig, PRICE + 10_000)

    assert rig.position() == 0
    assert rig.used("daily_loss", DESK) == 101 * 10 * TICK_LOT


def test_gain_of_one_instrument_makes_up_for_the_loss_of_another(rig: Rig) -> None:
    rig.open_market(instrument="ETH-CALL", price=1_000)
    rig.hold(10)
    rig.hold(1, 1_000, on=CALL)

    rig.quote(PRICE - 100, PRICE - 98)
    rig.quote(1_010, 1_015, instrument="ETH-CALL")

    assert rig.used("daily_loss", DESK) == 0
    rig.quote(1_000, 1_005, instrument="ETH-CALL")
    assert rig.used("daily_loss", DESK) == 100 * 10 * TICK_LOT


def test_loss_of_an_inverse_contract_is_counted_in_its_coin(rig: Rig) -> None:
    rig.gate.observe(rate(1_000_000))
    rig.open_market(instrument="BTC-INVERSE", price=500_000)
    rig.hold(100, price=500_000, on=INVERSE)

    rig.quote(400_000, 400_002, instrument="BTC-INVERSE")

    assert rig.used("daily_loss", DESK) == 50_000


# --- the halt ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [FIRM, DESK, STRATEGY, MODEL, "parent"])
def test_loss_at_the_limit_passes_and_one_tick_more_halts_its_scope(open_rig: OpenRig, scope: str) -> None:
    rig = open_rig(tightened(roomy_snapshot(), scope, daily_loss_micro_max=100 * 10 * TICK_LOT))
    rig.hold(10)
    named = f"parent:{rig.parent():016x}" if scope == "parent" else scope
    rig.quote(PRICE - 100, PRICE - 98)
    at_the_limit = states(rig), rig.buy(1).is_allowed

    rig.gate.notices()
    rig.quote(PRICE - 101, PRICE - 99)

    assert at_the_limit == ({}, True)
    assert states(rig) == {named: "HALTED"}
    assert [(notice.scope, notice.state.name) for notice in rig.gate.notices()] == [(named, "HALTED")]
    verdict = rig.buy(1)
    assert verdict.codes[0] is HALTED
    assert verdict.binding is not None
    assert verdict.binding.scope == named


@pytest.mark.parametrize("side", Side)
def test_halt_for_loss_stays_when_the_loss_is_made_good(open_rig: OpenRig, side: Side) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, daily_loss_micro_max=TICK_LOT))
    rig.hold(10 * side)
    open_market_of(rig, PRICE - side * 1_000)

    open_market_of(rig, PRICE + side * 5_000)

    assert rig.used("daily_loss", DESK) == 0
    assert rig.buy(1).codes == (HALTED,)


def test_fee_alone_can_halt(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, daily_loss_micro_max=1_000))
    rig.quote(PRICE, PRICE + 2)

    rig.hold(1, fee_micro=1_001)

    assert states(rig) == {DESK: "HALTED"}


def test_lifted_halt_does_not_let_orders_pass_while_the_loss_stands(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, daily_loss_micro_max=TICK_LOT))
    rig.hold(10)
    open_market_of(rig, PRICE - 100)
    rig.lift(DESK)

    adds, reduces = rig.buy(1), rig.sell(10)

    assert adds.codes == (ABOVE,)
    assert adds.binding is not None
    assert (adds.binding.measured, adds.binding.limit) == (101 * 10 * TICK_LOT, TICK_LOT)
    assert reduces.is_allowed


@pytest.mark.case("GATE-103")
def test_positions_of_a_halted_strategy_go_on_losing_for_the_firm(open_rig: OpenRig) -> None:
    limits = tightened(roomy_snapshot(), STRATEGY, daily_loss_micro_max=TICK_LOT)
    rig = open_rig(tightened(limits, FIRM, daily_loss_micro_max=1_000 * 10 * TICK_LOT))
    rig.hold(10)
    rig.quote(PRICE - 500, PRICE - 498)
    halted_alone = states(rig)

    rig.quote(PRICE - 1_001, PRICE - 999)

    assert halted_alone == {STRATEGY: "HALTED"}
    assert rig.used("daily_loss", FIRM) == 1_001 * 10 * TICK_LOT
    assert rig.used("gross_notional", FIRM) == 10 * (PRICE - 999) * TICK_LOT
    assert states(rig) == {STRATEGY: "HALTED", FIRM: "HALTED"}
    assert rig.buy(1, on=OTHER_STRATEGY).codes == (HALTED, ABOVE)


@pytest.mark.case("GATE-104")
def test_small_position_trips_its_own_level_and_not_the_firm(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), STRATEGY, daily_loss_micro_max=TICK_LOT))
    rig.hold(1)
    open_market_of(rig, PRICE - 100)

    assert states(rig) == {STRATEGY: "HALTED"}
    assert rig.buy(1, on=OTHER_STRATEGY).is_allowed


# --- unknown ----------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-95")
def test_loss_without_a_price_is_unknown_so_only_reductions_pass(rig: Rig) -> None:
    rig.open_market(instrument="ETH-CALL", price=1_000)
    rig.hold(10)
    rig.hold(4, 1_000, on=CALL)
    rig.clock.advance(3 * SECOND)
    rig.gate.pass_time()
    open_market_of(rig, PRICE)

    adds, reduces = rig.buy(1), rig.sell(10)

    assert adds.codes == (UNKNOWN,)
    assert reduces.is_allowed
    assert {row["scope"] for row in rig.exposure() if row["limit"] == "daily_loss" and row["is_unknown"]} >= {
        FIRM,
        DESK,
        STRATEGY,
        MODEL,
    }


@pytest.mark.case("GATE-95")
def test_unknown_loss_is_known_again_when_prices_are_back(rig: Rig) -> None:
    """Parent orders once stayed unknown for ever: nothing cleared the mark of their own scope."""
    rig.hold(10)
    rig.clock.advance(3 * SECOND)
    rig.gate.pass_time()
    open_market_of(rig, PRICE - 100)
    still_marked = rig.buy(1)

    rig.gate.pass_time()
    after = rig.buy(1)

    assert still_marked.codes == (UNKNOWN,)
    assert after.is_allowed
    assert rig.used("daily_loss", DESK) == 101 * 10 * TICK_LOT
    assert not [row for row in rig.exposure() if row["is_unknown"]]


@pytest.mark.case("GATE-95")
@pytest.mark.parametrize(
    "nonsense",
    [
        {"bid": 0, "ask": 0},
        {"bid": -5, "ask": PRICE},
        {"bid": PRICE, "ask": PRICE - 1},
        {"bid": 1 << 45, "ask": 1 << 46},
    ],
    ids=["nothing", "negative", "crossed", "absurd"],
)
def test_bad_mark_moves_no_loss(rig: Rig, nonsense: dict[str, int]) -> None:
    rig.hold(10)
    open_market_of(rig, PRICE - 100)
    before = rig.used("daily_loss", DESK)

    rig.quote(nonsense["bid"], nonsense["ask"])

    assert rig.used("daily_loss", DESK) == before
    open_market_of(rig, PRICE - 50)
    assert rig.used("daily_loss", DESK) == 51 * 10 * TICK_LOT


def test_mark_values_positions_only_while_the_book_is_none(rig: Rig) -> None:
    rig.hold(10)
    rig.gate.observe(price_of_mark(rig, PRICE - 500))
    with_book = rig.used("daily_loss", DESK)
    rig.clock.advance(3 * SECOND)
    rig.gate.observe(price_of_mark(rig, PRICE - 500))

    assert with_book == 10 * TICK_LOT
    assert rig.used("daily_loss", DESK) == 500 * 10 * TICK_LOT


def price_of_mark(rig: Rig, price: int) -> ReferenceObserved:
    return price_of(ReferenceSource.MARK, price, at_ns=rig.clock.wall)


# --- day and restart --------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-98")
@pytest.mark.parametrize("version", [1, 2], ids=["same limits", "new limits"])
def test_restart_in_the_middle_of_a_loss_keeps_baseline_and_halt(open_rig: OpenRig, version: int) -> None:
    limits = tightened(roomy_snapshot(version=version), DESK, daily_loss_micro_max=100 * 10 * TICK_LOT)
    rig = open_rig(tightened(roomy_snapshot(), DESK, daily_loss_micro_max=100 * 10 * TICK_LOT))
    rig.hold(10)
    rig.quote(PRICE - 60, PRICE - 58)

    rig.restart(limits)
    kept = rig.used("daily_loss", DESK)
    rig.clock.advance(SECOND)
    rig.open_market(price=PRICE - 100)
    halted = states(rig)
    rig.restart(limits)
    rig.open_market()

    assert kept == 60 * 10 * TICK_LOT
    assert halted == {DESK: "HALTED"}
    assert states(rig) == {DESK: "HALTED"}
    assert rig.buy(1).codes == (HALTED,)


@pytest.mark.case("GATE-99")
def test_new_day_is_measured_from_the_last_worth_before_the_roll(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, daily_loss_micro_max=100 * 10 * TICK_LOT))
    rig.hold(10)
    rig.quote(PRICE - 90, PRICE - 88)

    rig.roll_day()
    fresh = rig.used("daily_loss", DESK)
    rig.quote(PRICE - 190, PRICE - 188)
    within = states(rig)
    rig.quote(PRICE - 191, PRICE - 189)

    assert (fresh, within) == (0, {})
    assert states(rig) == {DESK: "HALTED"}


@pytest.mark.case("GATE-99")
def test_halt_for_loss_survives_the_roll_of_the_day(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, daily_loss_micro_max=TICK_LOT))
    rig.hold(10)
    open_market_of(rig, PRICE - 100)

    rig.roll_day()
    open_market_of(rig, PRICE - 100)

    assert rig.used("daily_loss", DESK) == 0
    assert rig.buy(1).codes == (HALTED,)
    rig.lift(DESK)
    assert rig.buy(1).is_allowed


@pytest.mark.case("GATE-99")
def test_scope_whose_worth_is_unknown_at_the_roll_is_halted_instead_of_guessed(rig: Rig) -> None:
    rig.hold(10)
    rig.clock.advance(3 * SECOND)

    rig.roll_day()

    halted = states(rig)
    assert {FIRM, DESK, STRATEGY, MODEL} <= set(halted)
    assert OTHER not in halted
    assert set(halted.values()) == {"HALTED"}


@pytest.mark.case("GATE-99")
def test_loss_of_a_parent_order_starts_afresh_with_the_day(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), "parent", daily_loss_micro_max=100 * 10 * TICK_LOT))
    rig.hold(10)
    rig.quote(PRICE - 90, PRICE - 88)

    rig.roll_day()
    rig.quote(PRICE - 150, PRICE - 148)

    assert states(rig) == {}
    assert rig.used("daily_loss", f"parent:{rig.parent():016x}") == 60 * 10 * TICK_LOT


@pytest.mark.case("GATE-98")
def test_lower_limit_at_a_restart_binds_at_once(open_rig: OpenRig) -> None:
    rig = open_rig()
    rig.hold(10)
    rig.quote(PRICE - 60, PRICE - 58)

    rig.restart(tightened(roomy_snapshot(version=2), DESK, daily_loss_micro_max=TICK_LOT))
    rig.open_market(price=PRICE - 59)
    verdict = rig.buy(1)

    assert not verdict.is_allowed
    assert set(verdict.codes) <= {HALTED, ABOVE}
