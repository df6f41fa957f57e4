"""Breakers, dynamic limits and the dead-man, seen from outside: the compiled gate and its judge must both do this."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.measures import Beat, Measure
from controlplane.domain.reports import ReportKind
from controlplane.domain.scopes import Scope, parse_scope
from controlplane.domain.states import TradingState
from controlplane.gate import words as w
from controlplane.gate.snapshot import Snapshot
from tests.support.gate_breakers import breaker, factor, measure_applied
from tests.support.gate_desk import BTC, FIRM, LOT_MICRO, MODEL, STRATEGY, Desk, bare, codes, limited, measured, passing
from tests.support.gate_machines import CompiledMachine, ReferenceMachine
from tests.support.gate_universes import SECOND_NS

OpenDesk = Callable[..., Desk]
MINUTE_NS = 60 * SECOND_NS
STRATEGY_TEXT, FIRM_TEXT, MARKET = "strategy:alpha", "firm:firm", "instrument:BTC-PERP"
HALTED, PAUSED, REDUCE_ONLY, PROBATION = (int(state) for state in reversed(list(TradingState)[1:]))
RUN_STARTED = 1 << 8


@pytest.fixture(params=[CompiledMachine, ReferenceMachine], ids=["compiled", "judge"])
def open_desk(request: pytest.FixtureRequest) -> OpenDesk:
    """Opens a desk at a gate of the kind under test, under wide limits with these breakers and factors."""

    def opened(*rules: Any, snapshot: Snapshot | None = None) -> Desk:
        factors = tuple(rule for rule in rules if hasattr(rule, "floor_bps"))
        breakers = tuple(rule for rule in rules if rule not in factors)
        limits = dataclasses.replace(snapshot or bare(), breakers=breakers, factors=factors)
        return Desk.open(request.param, limits)

    return opened


def tell(desk: Desk, measure: Measure, value: int, scope: str = MARKET, *, ago_ns: int = 0) -> bool:
    """Return whether a measure that another program states was taken."""
    number = [node.scope for node in desk.snapshot.nodes].index(parse_scope(scope))
    words = measure_applied(measure, number, value, as_of_ns=desk.wall_ns - ago_ns, receive_ns=desk.wall_ns)
    return desk.send(words).is_allowed


def tick(desk: Desk, span_ns: int = 0, beats: int = 0b1001) -> None:
    """Let time pass, with fresh prices and everybody alive unless said otherwise."""
    desk.wait(span_ns)
    desk.rate("BTC", 60_000_000_000)
    desk.rate("EUR", 1_000_000)
    desk.quote("BTC-PERP", BTC)
    desk.trade("BTC-PERP", 1)
    desk.send(w.time_words(beats))


def told(measure: Measure = Measure.MARKET_HEALTH, scope: str = MARKET, **changes: Any) -> Any:
    """Return a breaker over a measure that is told, which stays known for an hour."""
    return breaker(measure, scope, **({"age_ns_max": 60 * MINUTE_NS} | changes))


# --- the machine ------------------------------------------------------------------------------------------------------


def test_an_open_breaker_denies_in_its_scope_alone_and_cancels_pass(open_desk: OpenDesk) -> None:
    desk = open_desk(told(scope=STRATEGY_TEXT))
    child = desk.work(1, 5)

    tell(desk, Measure.MARKET_HEALTH, 1, STRATEGY_TEXT)

    assert codes(desk.buy(1)) == {Code.BREAKER_OPEN}
    assert desk.buy(1, route=desk.route(strategy="gamma")).is_allowed
    assert desk.cancel(child).is_allowed


def test_a_reading_at_the_threshold_trips_nothing_and_one_beyond_does(open_desk: OpenDesk) -> None:
    desk = open_desk(told(Measure.SPREAD, trip_at=500, clear_at=400))

    tell(desk, Measure.SPREAD, 500)
    assert desk.buy(1).is_allowed
    tell(desk, Measure.SPREAD, 501)

    assert codes(desk.buy(1)) == {Code.BREAKER_OPEN}


def test_a_measure_that_is_bad_when_small_trips_below_its_threshold(open_desk: OpenDesk) -> None:
    desk = open_desk(told(Measure.DEPTH, trip_at=1_000, clear_at=2_000, is_below=True))

    tell(desk, Measure.DEPTH, 1_000)
    assert desk.buy(1).is_allowed
    tell(desk, Measure.DEPTH, 999)

    assert codes(desk.buy(1)) == {Code.BREAKER_OPEN}


def test_a_hold_time_waits_and_a_moment_within_begins_it_anew(open_desk: OpenDesk) -> None:
    """The limit state of an exchange's band: fifteen seconds at the band, then the pause."""
    desk = open_desk(told(Measure.BAND_DISTANCE, trip_at=500, clear_at=400, hold_ns=15 * SECOND_NS))
    tell(desk, Measure.BAND_DISTANCE, 600)
    tick(desk, 14 * SECOND_NS)
    tell(desk, Measure.BAND_DISTANCE, 450)
    tell(desk, Measure.BAND_DISTANCE, 600)

    tick(desk, 14 * SECOND_NS)
    before = desk.buy(1)
    tick(desk, SECOND_NS)

    assert before.is_allowed
    assert codes(desk.buy(1)) == {Code.BREAKER_OPEN}


def test_between_clear_and_trip_an_open_breaker_stays_open(open_desk: OpenDesk) -> None:
    rule = told(Measure.SPREAD, trip_at=500, clear_at=300, open_ns_min=SECOND_NS)
    desk = open_desk(rule)
    tell(desk, Measure.SPREAD, 600)

    tick(desk, 10 * SECOND_NS)
    tell(desk, Measure.SPREAD, 400)
    between = codes(desk.buy(1))
    tell(desk, Measure.SPREAD, 300)

    assert between == {Code.BREAKER_OPEN}
    assert desk.buy(1).is_allowed


def test_half_open_lets_a_share_of_the_usual_order_pass_and_then_closes(open_desk: OpenDesk) -> None:
    rule = told(open_ns_min=60 * SECOND_NS, probation_ns=120 * SECOND_NS, probation_bps=1_000)
    desk = open_desk(rule, snapshot=limited(bare(), FIRM, "BTC-PERP", order_quantity_lots_max=100))
    tell(desk, Measure.MARKET_HEALTH, 1)
    tell(desk, Measure.MARKET_HEALTH, 0)
    tick(desk, 59 * SECOND_NS)
    still_open = codes(desk.buy(1))
    tick(desk, SECOND_NS)

    reply = desk.buy(11)

    assert still_open == {Code.BREAKER_OPEN}
    assert (codes(reply), passing(reply)) == ({Code.PROBATION_SIZE_EXCEEDED}, 10)
    assert desk.buy(10).is_allowed
    tick(desk, 119 * SECOND_NS)
    assert codes(desk.buy(11)) == {Code.PROBATION_SIZE_EXCEEDED}
    tick(desk, SECOND_NS)
    assert desk.buy(100).is_allowed


def test_probation_lets_the_smallest_order_of_the_venue_pass(open_desk: OpenDesk) -> None:
    rule = told(action=PROBATION, size_bps=1)
    desk = open_desk(rule, snapshot=limited(bare(), FIRM, "BTC-PERP", order_quantity_lots_max=10))

    tell(desk, Measure.MARKET_HEALTH, 1)

    assert desk.buy(1).is_allowed
    assert codes(desk.buy(2)) == {Code.PROBATION_SIZE_EXCEEDED}


def test_a_breaker_that_trips_again_in_its_probation_acts_one_state_stricter(open_desk: OpenDesk) -> None:
    rule = told(action=REDUCE_ONLY, probation_ns=MINUTE_NS, probation_bps=10_000, top=HALTED)
    desk = open_desk(rule)
    desk.hold(5)
    seen = []
    for _ in range(3):
        tell(desk, Measure.MARKET_HEALTH, 1)
        seen.append((desk.sell(1).is_allowed, codes(desk.buy(1))))
        tell(desk, Measure.MARKET_HEALTH, 0)
        tick(desk, SECOND_NS)

    assert seen[0] == (True, {Code.REDUCE_ONLY_EXCEEDED, Code.BREAKER_OPEN})
    assert seen[1] == seen[2] == (False, {Code.BREAKER_OPEN})
    tick(desk, 60 * MINUTE_NS)
    assert codes(desk.buy(1)) == {Code.BREAKER_OPEN}  # the third time it halted: time doesn't end that


def test_an_alert_stops_nothing(open_desk: OpenDesk) -> None:
    desk = open_desk(told(action=0))

    tell(desk, Measure.MARKET_HEALTH, 9)

    assert desk.buy(1).is_allowed


def test_every_open_breaker_is_named_and_none_clears_another(open_desk: OpenDesk) -> None:
    health, feed = told(), told(Measure.FEED_ANOMALY, action=REDUCE_ONLY)
    spread = told(Measure.MODEL_UNCERTAINTY, MARKET)
    desk = open_desk(health, feed, spread)
    for measure in (Measure.MARKET_HEALTH, Measure.FEED_ANOMALY, Measure.MODEL_UNCERTAINTY):
        tell(desk, measure, 1)
    everything = codes(desk.buy(1))

    tell(desk, Measure.MARKET_HEALTH, 0)
    tick(desk)

    assert everything == {Code.BREAKER_OPEN, Code.MODEL_UNCERTAIN, Code.REDUCE_ONLY_EXCEEDED}
    assert codes(desk.buy(1)) == {Code.MODEL_UNCERTAIN, Code.BREAKER_OPEN, Code.REDUCE_ONLY_EXCEEDED}
    tell(desk, Measure.MODEL_UNCERTAINTY, 0)
    tick(desk)
    assert codes(desk.buy(1)) == {Code.REDUCE_ONLY_EXCEEDED, Code.BREAKER_OPEN}


def test_a_breaker_that_ends_lifts_nothing_that_a_person_set(open_desk: OpenDesk) -> None:
    desk = open_desk(told(scope=STRATEGY_TEXT))
    desk.stop(STRATEGY, TradingState.PAUSED)
    tell(desk, Measure.MARKET_HEALTH, 1, STRATEGY_TEXT)
    both = codes(desk.buy(1))

    tell(desk, Measure.MARKET_HEALTH, 0, STRATEGY_TEXT)
    tick(desk)

    assert both == {Code.SCOPE_PAUSED, Code.BREAKER_OPEN}
    assert codes(desk.buy(1)) == {Code.SCOPE_PAUSED}


@pytest.mark.case("GATE-89")
def test_freeing_one_scope_frees_no_breaker_of_another(open_desk: OpenDesk) -> None:
    desk = open_desk(told(scope=STRATEGY_TEXT, action=HALTED), told(scope=FIRM_TEXT, action=HALTED))
    tell(desk, Measure.MARKET_HEALTH, 1, STRATEGY_TEXT)
    tell(desk, Measure.MARKET_HEALTH, 1, FIRM_TEXT)

    desk.stop(STRATEGY, TradingState.ACTIVE)
    firm_still = codes(desk.buy(1))
    tell(desk, Measure.MARKET_HEALTH, 1, STRATEGY_TEXT)
    desk.stop(FIRM, TradingState.ACTIVE)

    assert firm_still == {Code.BREAKER_OPEN}
    assert codes(desk.buy(1)) == {Code.BREAKER_OPEN}
    assert desk.buy(1, route=desk.route(strategy="gamma")).is_allowed


@pytest.mark.case("GATE-88")
def test_a_run_begins_with_open_breakers_open_and_half_open_ones_open_again(open_desk: OpenDesk) -> None:
    rule = told(action=REDUCE_ONLY, open_ns_min=MINUTE_NS, probation_ns=MINUTE_NS, probation_bps=10_000)
    desk = open_desk(rule)
    tell(desk, Measure.MARKET_HEALTH, 1)
    tick(desk, SECOND_NS, beats=RUN_STARTED)
    open_after = codes(desk.buy(1))
    tell(desk, Measure.MARKET_HEALTH, 0)
    tick(desk, MINUTE_NS)
    assert desk.buy(1).is_allowed  # half-open

    tick(desk, SECOND_NS, beats=RUN_STARTED)

    assert open_after == {Code.REDUCE_ONLY_EXCEEDED, Code.BREAKER_OPEN}
    assert codes(desk.buy(1)) == {Code.REDUCE_ONLY_EXCEEDED, Code.BREAKER_OPEN}


# --- what the gate measures -------------------------------------------------------------------------------------------


def test_fills_beyond_the_window_s_worth_pause_and_the_window_s_end_frees(open_desk: OpenDesk) -> None:
    rule = breaker(Measure.FILLED_NOTIONAL, STRATEGY_TEXT, trip_at=100 * LOT_MICRO, clear_at=50 * LOT_MICRO,
                   window_ns=16 * SECOND_NS)  # fmt: skip
    desk = open_desk(rule)
    desk.hold(100)
    before = desk.buy(1)
    desk.fill(desk.last, 1)

    after = desk.buy(1)
    tick(desk, 10 * SECOND_NS)
    still = codes(desk.buy(1))
    tick(desk, 8 * SECOND_NS)

    assert before.is_allowed
    assert (codes(after), measured(after)) == ({Code.FILL_VELOCITY_ABOVE_LIMIT}, 101 * LOT_MICRO)
    assert still == {Code.FILL_VELOCITY_ABOVE_LIMIT}
    assert desk.buy(1).is_allowed


def test_drawdown_counts_from_the_highest_worth_and_needs_readings_in_a_row(open_desk: OpenDesk) -> None:
    rule = breaker(Measure.DRAWDOWN, STRATEGY_TEXT, trip_at=99_999, action=HALTED, readings_min=3)
    desk = open_desk(rule)
    desk.hold(10)
    for price in (BTC + 400, BTC + 400):
        desk.quote("BTC-PERP", price, half=10)
    for _ in range(2):  # 40 000 below each time, within 10 lots of a hundredth of a dollar a tick
        desk.quote("BTC-PERP", BTC + 200, half=10)
    two = desk.buy(1)
    desk.quote("BTC-PERP", BTC + 390, half=10)
    for _ in range(2):
        desk.quote("BTC-PERP", BTC + 200, half=10)
    again_two = desk.buy(1)

    desk.quote("BTC-PERP", BTC + 200, half=10)

    assert two.is_allowed
    assert again_two.is_allowed
    assert codes(desk.buy(1)) == {Code.DRAWDOWN_ABOVE_LIMIT}


def test_a_single_price_far_above_lifts_no_high_water_mark(open_desk: OpenDesk) -> None:
    rule = breaker(Measure.DRAWDOWN, STRATEGY_TEXT, trip_at=1_000_000, action=HALTED)
    desk = open_desk(rule)
    desk.hold(10)

    desk.quote("BTC-PERP", BTC + 50_000, half=10)
    desk.quote("BTC-PERP", BTC, half=10)

    assert desk.buy(1).is_allowed


@pytest.mark.case("GATE-97")
def test_a_real_gap_acts_at_once(open_desk: OpenDesk) -> None:
    """Half of the price gone: one reading beyond the hard level doesn't wait for two more."""
    rule = breaker(Measure.DRAWDOWN, FIRM_TEXT, trip_at=5_000_000, hard_at=100_000_000, readings_min=3, action=HALTED)
    desk = open_desk(rule)
    desk.hold(10)

    desk.quote("BTC-PERP", BTC // 2, half=10)

    assert Code.DRAWDOWN_ABOVE_LIMIT in codes(desk.ask(1, 1, BTC // 2))


@pytest.mark.case("GATE-101")
def test_only_trading_moves_loss_and_high_water_mark(open_desk: OpenDesk) -> None:
    """The gate knows of no deposit: worth is what positions and their fills have made, so money that comes or goes is
    neither gain nor loss. Fees and prices are all that moves it.
    """
    rule = breaker(Measure.DRAWDOWN, FIRM_TEXT, trip_at=10_000, action=HALTED)
    desk = open_desk(rule)
    for micro in (900_000_000, 1_000_000):
        desk.rate("EUR", micro)  # the money of another currency is worth more, then less: nothing is held in it

    before = desk.buy(1)
    desk.fill(desk.last, 1, fee=200_001)

    assert before.is_allowed
    assert codes(desk.buy(1)) == {Code.DRAWDOWN_ABOVE_LIMIT}


@pytest.mark.case("GATE-104")
def test_one_small_position_trips_its_own_level_and_not_the_firm(open_desk: OpenDesk) -> None:
    own = breaker(Measure.DRAWDOWN, STRATEGY_TEXT, trip_at=1_000_000, action=HALTED)
    firm = breaker(Measure.DRAWDOWN, FIRM_TEXT, trip_at=100_000_000, action=HALTED)
    desk = open_desk(own, firm)
    desk.hold(10)

    desk.quote("BTC-PERP", BTC - 5_000, half=10)

    assert codes(desk.buy(1, BTC - 5_000)) == {Code.DRAWDOWN_ABOVE_LIMIT}
    assert desk.buy(1, BTC - 5_000, route=desk.route(strategy="gamma")).is_allowed


@pytest.mark.case("GATE-103")
def test_positions_of_a_stopped_strategy_go_on_losing_at_the_firm(open_desk: OpenDesk) -> None:
    own = breaker(Measure.DRAWDOWN, STRATEGY_TEXT, trip_at=1_000_000, action=HALTED)
    firm = breaker(Measure.DRAWDOWN, FIRM_TEXT, trip_at=9_000_000, action=HALTED)
    desk = open_desk(own, firm)
    desk.hold(10)
    other = desk.route(strategy="gamma")
    desk.quote("BTC-PERP", BTC - 5_000, half=10)
    first = desk.buy(1, BTC - 5_000, route=other)

    desk.quote("BTC-PERP", BTC - 12_000, half=10)

    assert first.is_allowed
    assert codes(desk.buy(1, BTC - 12_000, route=other)) == {Code.DRAWDOWN_ABOVE_LIMIT}


def test_a_day_s_breaker_starts_afresh_at_the_roll_and_an_open_one_stays(open_desk: OpenDesk) -> None:
    rule = breaker(Measure.DRAWDOWN, STRATEGY_TEXT, trip_at=1_000_000, action=REDUCE_ONLY, is_daily=True)
    desk = open_desk(rule)
    desk.hold(10)
    desk.quote("BTC-PERP", BTC - 900, half=10)  # 910 000 below
    desk.roll_day()
    desk.quote("BTC-PERP", BTC - 1_800, half=10)

    after_roll = desk.buy(1, BTC - 1_800)
    desk.quote("BTC-PERP", BTC - 2_000, half=10)
    desk.roll_day()

    assert after_roll.is_allowed
    assert Code.DRAWDOWN_ABOVE_LIMIT in codes(desk.buy(1, BTC - 2_000))


def test_a_fast_loss_pauses_and_a_slow_one_of_the_same_size_does_not(open_desk: OpenDesk) -> None:
    rule = breaker(Measure.LOSS_IN_WINDOW, STRATEGY_TEXT, trip_at=1_000_000, clear_at=500_000, window_ns=16 * SECOND_NS)

    slow, fast = open_desk(rule), open_desk(rule)
    for desk, step_ns in ((slow, 10 * SECOND_NS), (fast, SECOND_NS)):
        desk.hold(10)
        for fall in (400, 800, 1_200, 1_600):
            desk.wait(step_ns)
            desk.rate("EUR", 1_000_000)
            desk.quote("BTC-PERP", BTC - fall, half=1)
            desk.trade("BTC-PERP", 1)

    assert slow.buy(1, BTC - 1_600).is_allowed
    assert codes(fast.buy(1, BTC - 1_600)) == {Code.LOSS_VELOCITY_ABOVE_LIMIT}


def test_blocks_that_end_with_a_loss_one_after_the_other_make_a_streak(open_desk: OpenDesk) -> None:
    rule = breaker(Measure.LOSING_STREAK, STRATEGY_TEXT, trip_at=2, clear_at=2, open_ns_min=MINUTE_NS)
    desk = open_desk(rule)
    route = desk.route()

    def block(price: int) -> None:
        desk.fill(desk.work(1, 1, price), 1, price)
        desk.close(route, 1)

    block(BTC + 50)
    block(BTC + 50)
    block(BTC - 50)  # a gain ends the streak
    block(BTC + 50)
    block(BTC + 50)
    assert desk.buy(1).is_allowed
    desk.report(ReportKind.CANCELLED, desk.last)
    desk.fill(desk.work(1, 1, BTC + 50), 1, BTC + 50)
    desk.close(route, 1)

    assert codes(desk.buy(1)) == {Code.BREAKER_OPEN}
    tick(desk, MINUTE_NS)
    assert desk.buy(1).is_allowed


def test_slippage_is_fills_against_arrival_and_pauses_the_strategy(open_desk: OpenDesk) -> None:
    rule = breaker(Measure.SLIPPAGE, STRATEGY_TEXT, trip_at=2_500, clear_at=2_000, open_ns_min=MINUTE_NS)
    desk = open_desk(rule)
    desk.fill(desk.work(1, 10, BTC), 10, BTC)
    desk.fill(desk.work(1, 10, BTC + 3_000), 10, BTC + 3_000)  # 0.25 % on average: at the threshold
    at = desk.buy(1)
    desk.fill(desk.last, 1, BTC + 3_000)

    assert at.is_allowed
    assert codes(desk.buy(1)) == {Code.BREAKER_OPEN}
    assert desk.buy(1, route=desk.route(strategy="gamma")).is_allowed
    tick(desk, MINUTE_NS)
    assert desk.buy(1).is_allowed


def test_a_seller_s_slippage_counts_the_other_way(open_desk: OpenDesk) -> None:
    rule = breaker(Measure.SLIPPAGE, STRATEGY_TEXT, trip_at=2_500, clear_at=2_000, open_ns_min=MINUTE_NS)
    desk = open_desk(rule)

    desk.fill(desk.work(-1, 10, BTC + 3_000), 10, BTC + 3_000)
    gained = desk.sell(1, BTC)
    desk.fill(desk.work(-1, 90, BTC - 3_000), 90, BTC - 3_000)

    assert gained.is_allowed
    assert codes(desk.sell(1)) == {Code.BREAKER_OPEN}


def test_impact_is_how_far_the_market_had_gone_at_our_fills(open_desk: OpenDesk) -> None:
    rule = breaker(Measure.IMPACT, STRATEGY_TEXT, trip_at=1_500, clear_at=1_000, action=PROBATION, size_bps=5_000,
                   open_ns_min=MINUTE_NS)  # fmt: skip
    desk = open_desk(rule, snapshot=limited(bare(), FIRM, "BTC-PERP", order_quantity_lots_max=100))
    child = desk.work(1, 10)
    desk.quote("BTC-PERP", BTC + 1_000)

    desk.fill(child, 10, BTC)

    reply = desk.buy(60, BTC + 1_000)
    assert (codes(reply), passing(reply)) == ({Code.PROBATION_SIZE_EXCEEDED}, 50)


def test_our_share_of_the_volume_halts_above_a_quarter(open_desk: OpenDesk) -> None:
    rule = breaker(Measure.PARTICIPATION, MARKET, trip_at=2_500, clear_at=2_000, action=HALTED)
    desk = open_desk(rule)
    desk.wait(60 * SECOND_NS)
    tick(desk)
    desk.trade("BTC-PERP", 500)  # on both venues; one lot each was traded before

    desk.hold(250)
    at = desk.buy(1)
    desk.fill(desk.last, 1)

    assert at.is_allowed
    assert codes(desk.buy(1)) == {Code.BREAKER_OPEN}


@pytest.mark.case("GATE-35")
def test_a_loop_of_denied_orders_trips_its_own_breaker_and_asking_on_does_not_prolong_it(open_desk: OpenDesk) -> None:
    rule = breaker(Measure.DENIED_COUNT, STRATEGY_TEXT, trip_at=5, clear_at=2, window_ns=16 * SECOND_NS)
    desk = open_desk(rule)
    for _ in range(5):
        assert codes(desk.buy(1, 1)) & {Code.PRICE_OUT_OF_RANGE}
    five = desk.buy(1)
    desk.buy(1, 1)

    asked = [codes(desk.buy(1)) for _ in range(25)]
    tick(desk, 10 * SECOND_NS)
    asked += [codes(desk.buy(1)) for _ in range(25)]
    tick(desk, 8 * SECOND_NS)

    assert five.is_allowed
    assert asked == [{Code.BREAKER_OPEN}] * 50
    assert desk.buy(1).is_allowed


def test_a_venue_that_rejects_order_after_order_is_left_alone(open_desk: OpenDesk) -> None:
    rule = breaker(Measure.REJECTED_COUNT, "venue:EAST", trip_at=3, clear_at=1, window_ns=16 * SECOND_NS)
    desk = open_desk(rule)
    for number in range(4):
        assert desk.buy(1 + number).is_allowed
        desk.report(ReportKind.REJECTED, desk.last)

    assert codes(desk.buy(9)) == {Code.BREAKER_OPEN}
    assert desk.buy(9, route=desk.route(venue="WEST")).is_allowed


# --- what it is told --------------------------------------------------------------------------------------------------


def test_a_measure_of_nothing_that_is_looked_at_or_no_news_is_refused(open_desk: OpenDesk) -> None:
    desk = open_desk(told())

    assert tell(desk, Measure.MARKET_HEALTH, 0)
    assert not tell(desk, Measure.MARKET_HEALTH, 1, ago_ns=1)
    assert not tell(desk, Measure.SPREAD, 1)
    assert not tell(desk, Measure.MARKET_HEALTH, 1, "instrument:DUST")
    assert not tell(desk, Measure.MARKET_HEALTH, 1 << 56)
    assert not tell(desk, Measure.MARKET_HEALTH, 1, ago_ns=-61 * MINUTE_NS)
    assert desk.buy(1).is_allowed


def test_a_measure_never_told_and_one_too_old_have_each_their_consequence(open_desk: OpenDesk) -> None:
    rule = told(age_ns_max=5 * SECOND_NS, missing_state=REDUCE_ONLY, stale_state=PAUSED)
    desk = open_desk(rule)
    desk_held = desk.hold
    missing = codes(desk.buy(1))
    tell(desk, Measure.MARKET_HEALTH, 0)
    desk_held(5)
    tick(desk, 5 * SECOND_NS)
    known = desk.buy(1)

    tick(desk, 1)

    assert missing == {Code.REDUCE_ONLY_EXCEEDED, Code.BREAKER_OPEN}
    assert known.is_allowed
    assert codes(desk.sell(1)) == {Code.BREAKER_OPEN}
    tell(desk, Measure.MARKET_HEALTH, 0)
    assert desk.buy(1).is_allowed


def test_a_breaker_whose_measure_went_silent_does_not_close(open_desk: OpenDesk) -> None:
    rule = told(age_ns_max=5 * SECOND_NS, open_ns_min=SECOND_NS)
    desk = open_desk(rule)
    tell(desk, Measure.MARKET_HEALTH, 1)

    tick(desk, 60 * SECOND_NS)

    assert codes(desk.buy(1)) == {Code.BREAKER_OPEN}


# --- dynamic limits ---------------------------------------------------------------------------------------------------


def contracting(**limits: int) -> Snapshot:
    return limited(bare(), MODEL, "BTC-PERP", **limits)


def test_a_factor_falls_at_once_on_a_line_and_no_further_than_its_floor(open_desk: OpenDesk) -> None:
    rule = factor(Measure.VOLATILITY, MARKET, age_ns_max=MINUTE_NS, is_floor_when_missing=False)
    desk = open_desk(rule, snapshot=contracting(order_quantity_lots_max=1_000))
    seen = []
    for value in (10_000, 20_000, 39_999, 40_000, 90_000):
        tell(desk, Measure.VOLATILITY, value)
        reply = desk.buy(1_000)
        seen.append(1_000 if reply.is_allowed else passing(reply))

    assert seen == [1_000, 700, 100, 100, 100]


def test_an_unknown_factor_is_its_floor(open_desk: OpenDesk) -> None:
    rule = factor(Measure.VOLATILITY, MARKET)
    desk = open_desk(rule, snapshot=contracting(order_quantity_lots_max=1_000))
    missing = passing(desk.buy(1_000))
    tell(desk, Measure.VOLATILITY, 0)
    tick(desk, 6 * SECOND_NS)

    assert missing == 100
    assert passing(desk.buy(1_000)) == 100


def test_a_factor_recovers_after_a_quiet_time_at_its_rate_and_never_above_the_approved_limit(
    open_desk: OpenDesk,
) -> None:
    rule = factor(Measure.VOLATILITY, MARKET, age_ns_max=60 * MINUTE_NS, is_floor_when_missing=False)
    desk = open_desk(rule, snapshot=contracting(order_quantity_lots_max=1_000))
    tell(desk, Measure.VOLATILITY, 40_000)
    tell(desk, Measure.VOLATILITY, 0)
    seen = []
    for span_ns in (30, 30, 30, 30, 8 * 60):
        tick(desk, span_ns * SECOND_NS)
        reply = desk.buy(1_000)
        seen.append(1_000 if reply.is_allowed else passing(reply))

    assert seen == [100, 100, 150, 200, 1_000]
    assert codes(desk.buy(1_001)) == {Code.ORDER_QUANTITY_ABOVE_LIMIT}


@pytest.mark.case("GATE-112")
def test_a_falling_factor_stops_new_risk_over_working_orders_and_a_rising_one_revives_nothing(
    open_desk: OpenDesk,
) -> None:
    rule = factor(Measure.VOLATILITY, MARKET, age_ns_max=60 * MINUTE_NS, is_floor_when_missing=False)
    desk = open_desk(rule, snapshot=contracting(position_long_lots_max=100, position_short_lots_max=100))
    desk.hold(30)
    working = desk.work(1, 50)
    tell(desk, Measure.VOLATILITY, 40_000)

    denied = desk.buy(1)
    repeated = desk.send(desk.orders[desk.last])
    reducing = desk.sell(30)
    tell(desk, Measure.VOLATILITY, 0)
    tick(desk, 30 * MINUTE_NS)

    assert (codes(denied), passing(denied)) == ({Code.CONTRACTED_LIMIT_EXCEEDED}, 0)
    assert codes(repeated) == codes(denied)
    assert reducing.is_allowed
    assert codes(desk.send(desk.orders[max(child for child in desk.orders if child < desk.last)])) == codes(denied)
    assert desk.buy(20).is_allowed
    assert desk.cancel(working).is_allowed


def test_money_limits_contract_too_and_a_proved_reduction_passes_gross(open_desk: OpenDesk) -> None:
    rule = factor(Measure.SPREAD, MARKET, age_ns_max=60 * MINUTE_NS, is_floor_when_missing=False)
    desk = open_desk(rule, snapshot=limited(bare(), STRATEGY, gross_notional_micro_max=101 * LOT_MICRO))
    desk.hold(50)
    tell(desk, Measure.SPREAD, 40_000)

    assert codes(desk.buy(1)) == {Code.CONTRACTED_NOTIONAL_EXCEEDED}
    assert desk.sell(50).is_allowed


# --- clock and dead-man -----------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-121")
@pytest.mark.case("GATE-122")
@pytest.mark.parametrize("step_ns", [-3_600 * SECOND_NS, 3_600 * SECOND_NS], ids=["back", "forward"])
def test_a_wall_clock_that_steps_opens_its_breaker_and_a_restart_does_not(open_desk: OpenDesk, step_ns: int) -> None:
    rule = breaker(Measure.CLOCK_STEP, FIRM_TEXT, trip_at=2 * SECOND_NS, action=REDUCE_ONLY, open_ns_min=MINUTE_NS)
    desk = open_desk(rule)
    tick(desk, SECOND_NS)
    tick(desk, SECOND_NS)
    desk.wall_ns += 9 * SECOND_NS
    tick(desk, SECOND_NS, beats=0b1001 | RUN_STARTED)
    usual = desk.buy(1)

    desk.wall_ns += step_ns
    desk.send(w.time_words(0b1001))
    stepped = codes(desk.buy(1))

    assert usual.is_allowed
    assert stepped >= {Code.BREAKER_OPEN}


def dead_man(source: Measure = Measure.SUPERVISOR_SILENCE) -> tuple[Any, ...]:
    """Return the three steps of one sign of life: missed after 2 s, paused after 5 s, halted after 10 s."""
    steps = ((REDUCE_ONLY, 2), (PAUSED, 5), (HALTED, 10))
    return tuple(
        breaker(source, FIRM_TEXT, name=f"step-{state}", trip_at=seconds * SECOND_NS, clear_at=2 * SECOND_NS,
                action=state, top=state, clean_ns=SECOND_NS)
        for state, seconds in steps
    )  # fmt: skip


def test_a_silent_supervisor_restricts_then_pauses_then_halts_and_the_halt_stays(open_desk: OpenDesk) -> None:
    desk = open_desk(*dead_man())
    desk.hold(5)
    tick(desk)
    seen = []
    for _ in range(11):
        tick(desk, SECOND_NS, beats=1 << Beat.JOURNAL)
        seen.append((desk.sell(1).is_allowed, desk.buy(1).is_allowed))

    tick(desk, SECOND_NS)
    tick(desk, 60 * SECOND_NS)

    assert seen[:2] == [(True, True)] * 2
    assert seen[2:5] == [(True, False)] * 3
    assert seen[5:] == [(False, False)] * 6
    assert codes(desk.buy(1)) == {Code.SUPERVISION_MISSING}


@pytest.mark.parametrize("silent_s", [4, 8])
def test_reduce_only_and_pause_of_the_dead_man_end_by_themselves_after_a_clean_time(
    open_desk: OpenDesk, silent_s: int
) -> None:
    desk = open_desk(*dead_man())
    tick(desk)
    for _ in range(silent_s):
        tick(desk, SECOND_NS, beats=0)
    stopped = codes(desk.buy(1))

    tick(desk, SECOND_NS // 2)
    not_yet = codes(desk.buy(1))
    tick(desk, SECOND_NS)

    assert Code.SUPERVISION_MISSING in stopped
    assert Code.SUPERVISION_MISSING in not_yet
    assert desk.buy(1).is_allowed


def test_market_data_is_its_own_sign_of_life_and_is_missed_only_once_it_was_heard(open_desk: OpenDesk) -> None:
    desk = open_desk(*dead_man(Measure.MARKET_DATA_SILENCE))
    desk.send(w.time_words(0b1001))
    for _ in range(4):
        desk.wait(SECOND_NS)
        desk.send(w.time_words(0b1001))
    silent = codes(desk.buy(1))

    for _ in range(2):
        tick(desk, SECOND_NS)

    assert Code.SUPERVISION_MISSING in silent
    assert desk.buy(1).is_allowed


def test_a_run_that_begins_counts_no_silence_from_before(open_desk: OpenDesk) -> None:
    desk = open_desk(*dead_man())
    tick(desk)

    tick(desk, 300 * SECOND_NS, beats=RUN_STARTED)

    assert desk.buy(1).is_allowed


# --- back to active ---------------------------------------------------------------------------------------------------

DRILLS: dict[str, tuple[Any, Callable[[Desk], object]]] = {
    "told, by time": (told(open_ns_min=SECOND_NS, probation_ns=SECOND_NS, probation_bps=1_000),
                      lambda desk: tell(desk, Measure.MARKET_HEALTH, 1)),
    "told, halting": (told(action=HALTED, probation_ns=SECOND_NS, probation_bps=1_000),
                      lambda desk: tell(desk, Measure.MARKET_HEALTH, 1)),
    "latched": (told(is_latched=True), lambda desk: tell(desk, Measure.MARKET_HEALTH, 1)),
    "drawdown": (breaker(Measure.DRAWDOWN, MARKET, action=HALTED, trip_at=1_000),
                 lambda desk: desk.hold(10, BTC + 100)),
    "fast loss": (breaker(Measure.LOSS_IN_WINDOW, MARKET, trip_at=1_000, window_ns=60 * MINUTE_NS, is_latched=True),
                  lambda desk: desk.hold(10, BTC + 100)),
    "fills": (breaker(Measure.FILLED_NOTIONAL, MARKET, window_ns=60 * MINUTE_NS, is_latched=True),
              lambda desk: desk.hold(10)),
    "slippage": (breaker(Measure.SLIPPAGE, MARKET, is_latched=True), lambda desk: desk.hold(10, BTC + 100)),
}  # fmt: skip


@pytest.mark.case("GATE-133")
@pytest.mark.parametrize("drill", DRILLS)
def test_after_a_drill_the_documented_steps_alone_lead_back_to_active(open_desk: OpenDesk, drill: str) -> None:
    """The steps: the measure clear again where it is told, the scope lifted by people, the breaker's times."""
    rule, happens = DRILLS[drill]
    desk = open_desk(rule)
    happens(desk)
    tick(desk)
    stopped = desk.buy(10)

    tell(desk, Measure.MARKET_HEALTH, 0)
    desk.stop(Scope(5, "BTC-PERP"), TradingState.ACTIVE)
    for _ in range(4):
        tick(desk, SECOND_NS)

    assert not stopped.is_allowed
    assert desk.buy(10).is_allowed
