"""The one table of denial codes: the single fault that gives exactly this code, in the order in which codes win.

A code without a row fails the suite. Each row says what has to be wrong with the limits, with what the gate was told
before, and with the order itself; the rows below it combine two faults.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controlplane.domain.decisions import PRECEDENCE, DenialCode, Verdict
from controlplane.domain.measures import Measure, MeasureObserved
from controlplane.domain.observations import Phase, ReferenceSource
from controlplane.domain.orders import CommandKind, OrderType, Side
from controlplane.domain.reports import ReportKind
from controlplane.gate.snapshot import CurrencyRate, Snapshot
from tests.support.builders import (
    CALL,
    INVERSE,
    LOT_MICRO,
    PRICE,
    phase,
    price_of,
    rate,
    roomy_snapshot,
    tightened,
    with_parent_limits,
    with_rules,
)
from tests.support.gate_breakers import breaker, factor
from tests.support.rig import SMALL_CAPACITY, Rig

Code = DenialCode
SECOND = 1_000_000_000
DESK, STRATEGY = "desk:crypto", "strategy:crypto/twap"
# A trader's program isn't told these by the decision itself; `test_client.py` and `test_process.py` show them.
DECIDED_ELSEWHERE = {Code.GATE_UNAVAILABLE, Code.JOURNAL_UNAVAILABLE}


def _as_they_are(snapshot: Snapshot) -> Snapshot:
    return snapshot


def _nothing(rig: Rig) -> None:
    """Leave the gate as it is."""


def _usual(rig: Rig) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Fault:
    """What is wrong; everything else is right.

    Fields
        limits   the limits made from wide ones
        happens  what the gate is told before the order
        asked    what is changed in an order to buy 10 lots of BTC-PERP at the market's middle
    """

    limits: Callable[[Snapshot], Snapshot] = _as_they_are
    happens: Callable[[Rig], None] = _nothing
    asked: Callable[[Rig], dict[str, Any]] = _usual


def _limit(scope: str, **limits: int) -> Fault:
    return Fault(limits=lambda snapshot: tightened(snapshot, scope, **limits))


def _rule(**changes: Any) -> Fault:
    return Fault(limits=lambda snapshot: with_rules(snapshot, **changes))


def _order(**changes: Any) -> Fault:
    return Fault(asked=lambda rig: changes)


def _after(happens: Callable[[Rig], Any]) -> Fault:
    return Fault(happens=lambda rig: happens(rig) and None)


def _unapproved(snapshot: Snapshot) -> Snapshot:
    return dataclasses.replace(
        snapshot, models=tuple(dataclasses.replace(model, is_approved=False) for model in snapshot.models)
    )


def _without_rate(snapshot: Snapshot) -> Snapshot:
    others = tuple(own for own in snapshot.rates if own.currency != "USDT")
    return dataclasses.replace(snapshot, rates=(*others, CurrencyRate("USDT")))


def _coin_worth_a_fortune(rig: Rig) -> None:
    """State a bitcoin at a million dollars on one market and at a hundred on another."""
    rig.gate.observe(rate(10**12))
    rig.open_market(instrument="BTC-INVERSE", price=1_001)


def _fortune_of_coins(rig: Rig) -> dict[str, Any]:
    return {
        "route": rig.gate.handle(INVERSE), "parent_id": rig.parent(Side.BUY, INVERSE), "quantity_lots": 1_000_000,
        "price_ticks": 1_001,
    }  # fmt: skip


def _work_one(rig: Rig) -> None:
    rig.work(lots=1)


def _close_with_one_live(rig: Rig) -> None:
    rig.work(lots=1)
    rig.gate.close_parent(rig.parent())


def _amend_of(child: Callable[[Rig], int]) -> Callable[[Rig], dict[str, Any]]:
    return lambda rig: {"kind": CommandKind.AMEND, "request_id": rig.next_id(), "child_id": child(rig)}


def _first_child(rig: Rig) -> int:
    return min(rig.orders)


def _option_without_price(rig: Rig) -> None:
    """Hold an option whose book then crosses, and let the gate notice."""
    rig.open_market(instrument="ETH-CALL", price=1_000)
    rig.hold(5, 1_000, on=CALL)
    rig.quote(1_005, 995, instrument="ETH-CALL")
    rig.gate.pass_time()


def _lost_and_lifted(rig: Rig) -> None:
    """Lose more than the desk may, and let two people lift the halt while the loss still stands."""
    rig.hold(10)
    rig.quote(PRICE - 20_001, PRICE - 19_999)
    rig.lift(DESK)


def _denied_once(rig: Rig) -> None:
    assert not rig.buy(price=1).is_allowed


def _full_of_orders(rig: Rig) -> None:
    for _ in range(SMALL_CAPACITY.orders):
        assert rig.buy(1).is_allowed


def _rejected_once(rig: Rig) -> None:
    """Have the venue reject the very order that is asked for next."""
    assert rig.buy(10).is_allowed
    rig.tell(ReportKind.REJECTED, rig.last, reason=7)


def _judged_at_once(snapshot: Snapshot) -> Snapshot:
    return dataclasses.replace(snapshot, ratio_orders_min=1)


def _cancelled_one(rig: Rig) -> None:
    rig.cancel(rig.work(lots=1))


def _old_volume(rig: Rig) -> None:
    rig.clock.advance(10 * SECOND + 1)
    rig.quote(PRICE - 1, PRICE + 1)


def _breaking(measure: Measure, *, scope: str = DESK, **changes: Any) -> Callable[[Snapshot], Snapshot]:
    """Return what adds a breaker that opens at anything above 0 and pauses."""
    rule = breaker(measure, scope, **changes)
    return lambda snapshot: dataclasses.replace(snapshot, breakers=(*snapshot.breakers, rule))


def _contracting(snapshot: Snapshot) -> Snapshot:
    """Return the limits with a factor that was never told its measure and leaves a twentieth."""
    return dataclasses.replace(snapshot, factors=(factor(Measure.VOLATILITY, DESK, floor_bps=500),))


def _told(measure: Measure) -> Callable[[Rig], None]:
    return lambda rig: rig.gate.observe(MeasureObserved(measure, DESK, 1, rig.clock.wall, rig.clock.wall))


def _lost_a_little(rig: Rig) -> None:
    rig.hold(10)
    rig.quote(PRICE - 3, PRICE - 1)


def _unsupervised(rig: Rig) -> None:
    """Let time pass without a sign of life of the supervisor, while the market is heard."""
    rig.clock.advance(2 * SECOND)
    rig.quote(PRICE - 1, PRICE + 1)
    rig.gate.pass_time()


# One row for each code, the first to win at the top.
TABLE: Mapping[DenialCode, Fault] = {
    Code.MALFORMED_REQUEST: _order(quantity_lots=0),
    Code.ARITHMETIC_OVERFLOW: Fault(happens=_coin_worth_a_fortune, asked=_fortune_of_coins),
    Code.REQUEST_ID_REUSED: Fault(happens=_work_one, asked=lambda rig: {"child_id": _first_child(rig)}),
    Code.GATE_KILLED: _after(lambda rig: rig.gate.switch.kill(reason="drill", by="olga")),
    Code.SNAPSHOT_EXPIRED: _after(lambda rig: rig.clock.step_wall(8 * 86_400 * SECOND)),
    Code.ROUTE_UNKNOWN: _order(route=999),
    Code.PARENT_UNKNOWN: _order(parent_id=0x700),
    Code.PARENT_CLOSED: _after(_close_with_one_live),
    Code.CHILD_UNKNOWN: Fault(asked=_amend_of(lambda rig: 0x700)),
    Code.CHILD_NOT_AMENDABLE: Fault(happens=lambda rig: rig.buy(1) and None, asked=_amend_of(_first_child)),
    Code.SCOPE_HALTED: _after(lambda rig: rig.stop(DESK, "HALTED")),
    Code.SCOPE_PAUSED: _after(lambda rig: rig.stop(DESK, "PAUSED")),
    Code.REDUCE_ONLY_EXCEEDED: _after(lambda rig: rig.stop(DESK, "REDUCE_ONLY")),
    Code.INSTRUMENT_EXPIRED: _rule(expiry_ns=1),
    Code.INSTRUMENT_RESTRICTED: _rule(is_restricted=True),
    Code.MODEL_NOT_APPROVED: Fault(limits=_unapproved),
    Code.MODEL_DIGEST_MISMATCH: _order(model_digest=1),
    Code.OUTSIDE_TRADING_HOURS: _rule(calendar="weekdays"),
    Code.PHASE_UNKNOWN: _after(lambda rig: rig.gate.observe(phase(Phase.UNKNOWN))),
    Code.PHASE_NOT_TRADING: _after(lambda rig: rig.gate.observe(phase(Phase.AUCTION))),
    Code.PRICE_OFF_TICK: Fault(
        limits=lambda snapshot: with_rules(snapshot, tick_bands=((0, 5),)), asked=lambda rig: {"price_ticks": PRICE + 1}
    ),
    Code.PRICE_OUT_OF_RANGE: Fault(
        limits=lambda snapshot: with_rules(snapshot, price_max_ticks=PRICE + 1),
        asked=lambda rig: {"price_ticks": PRICE + 2},
    ),
    Code.QUANTITY_OFF_LOT: _rule(lot_step=4),
    Code.QUANTITY_BELOW_VENUE_MINIMUM: _rule(quantity_min_lots=11),
    Code.QUANTITY_ABOVE_VENUE_MAXIMUM: _rule(quantity_max_lots=9),
    Code.PROTECTION_LIMIT_MISSING: _order(order_type=OrderType.MARKET, price_ticks=0),
    Code.TRIGGER_PRICE_INVALID: Fault(
        limits=lambda snapshot: with_rules(snapshot, tick_bands=((0, 5),)),
        asked=lambda rig: {"order_type": OrderType.STOP, "trigger_ticks": PRICE + 1},
    ),
    Code.REFERENCE_MISSING: _after(lambda rig: rig.quote(PRICE + 1, PRICE - 1)),
    Code.REFERENCE_STALE: _after(lambda rig: rig.clock.advance(2 * SECOND + 1)),
    Code.RATE_MISSING: Fault(limits=_without_rate),
    Code.PRICE_OUTSIDE_COLLAR: _order(price_ticks=630_001),
    Code.ORDER_QUANTITY_ABOVE_LIMIT: _limit(DESK, order_quantity_lots_max=9),
    Code.ORDER_NOTIONAL_ABOVE_LIMIT: _limit(DESK, order_notional_micro_max=9 * LOT_MICRO),
    Code.PARENT_QUANTITY_EXCEEDED: _after(lambda rig: rig.parent(lots=9)),
    Code.PARENT_CHILDREN_ABOVE_LIMIT: Fault(limits=lambda snapshot: with_parent_limits(snapshot, children_max=0)),
    Code.PARENT_AMENDS_ABOVE_LIMIT: Fault(
        limits=lambda snapshot: with_parent_limits(snapshot, amends_max=0),
        happens=_work_one,
        asked=_amend_of(_first_child),
    ),
    Code.LOSS_UNKNOWN: _after(_option_without_price),
    Code.DAILY_LOSS_ABOVE_LIMIT: Fault(
        limits=lambda snapshot: tightened(snapshot, DESK, daily_loss_micro_max=10_000_000), happens=_lost_and_lifted
    ),
    Code.POSITION_ABOVE_LIMIT: _limit(DESK, position_long_lots_max=9),
    Code.GROSS_NOTIONAL_ABOVE_LIMIT: _limit(DESK, gross_notional_micro_max=9 * LOT_MICRO),
    Code.NET_NOTIONAL_ABOVE_LIMIT: _limit(DESK, net_notional_micro_max=9 * LOT_MICRO),
    Code.OPEN_NOTIONAL_ABOVE_LIMIT: _limit(DESK, open_notional_micro_max=9 * LOT_MICRO),
    Code.LIVE_ORDERS_ABOVE_LIMIT: _limit(DESK, live_orders_max=0),
    Code.MESSAGE_RATE_ABOVE_LIMIT: _limit(DESK, message_count_max=0),
    Code.DENIED_RATE_ABOVE_LIMIT: Fault(
        limits=lambda snapshot: tightened(snapshot, DESK, denied_count_max=0), happens=_denied_once
    ),
    Code.PARTICIPATION_UNKNOWN: _after(_old_volume),
    Code.PARTICIPATION_ABOVE_LIMIT: _limit(DESK, participation_bps_max=0),
    Code.CAPACITY_EXHAUSTED: _after(_full_of_orders),
    Code.PRICE_OUTSIDE_DYNAMIC_COLLAR: Fault(
        limits=lambda snapshot: with_rules(snapshot, dynamic_collar_bps=1),
        asked=lambda rig: {"price_ticks": PRICE + PRICE // 1_000},
    ),
    Code.REFERENCES_TOO_FEW: _rule(references_min=2),
    Code.REFERENCES_DISAGREE: Fault(
        limits=lambda snapshot: dataclasses.replace(
            with_rules(snapshot, disagreement_bps_max=10), disagreement_hold_ns=SECOND
        ),
        happens=lambda rig: rig.gate.observe(price_of(ReferenceSource.MARK, PRICE + PRICE // 100)),
    ),
    Code.PRICE_WALKED_TOO_FAR: Fault(
        limits=lambda snapshot: with_rules(snapshot, walk_bps_max=1),
        asked=lambda rig: {"price_ticks": PRICE + PRICE // 1_000},
    ),
    Code.SELF_TRADE_POSSIBLE: Fault(
        limits=lambda snapshot: dataclasses.replace(snapshot, owners=(("crypto", "US"),)),
        happens=lambda rig: rig.work(Side.SELL, lots=1) and None,
    ),
    Code.DUPLICATE_ORDER: Fault(limits=lambda snapshot: with_parent_limits(snapshot, duplicate_orders_max=0)),
    Code.REJECT_LOOP: Fault(
        limits=lambda snapshot: with_parent_limits(snapshot, same_rejects_max=1), happens=_rejected_once
    ),
    Code.REPEATED_EXECUTION: Fault(
        limits=lambda snapshot: tightened(snapshot, DESK, repeated_executions_max=0), happens=lambda rig: rig.hold(1)
    ),
    Code.CANCEL_RATIO_ABOVE_LIMIT: Fault(
        limits=lambda snapshot: _judged_at_once(tightened(snapshot, DESK, cancel_ratio_bps_max=0)),
        happens=_cancelled_one,
    ),
    Code.TURNOVER_ABOVE_LIMIT: _limit(DESK, turnover_micro_max=9 * LOT_MICRO),
    Code.FILL_VELOCITY_ABOVE_LIMIT: Fault(
        limits=_breaking(Measure.FILLED_NOTIONAL, window_ns=60 * SECOND), happens=lambda rig: rig.hold(1) and None
    ),
    Code.DRAWDOWN_ABOVE_LIMIT: Fault(limits=_breaking(Measure.DRAWDOWN), happens=_lost_a_little),
    Code.LOSS_VELOCITY_ABOVE_LIMIT: Fault(
        limits=_breaking(Measure.LOSS_IN_WINDOW, window_ns=60 * SECOND), happens=_lost_a_little
    ),
    Code.PROBATION_SIZE_EXCEEDED: Fault(
        limits=_breaking(Measure.MARKET_HEALTH, action=1, age_ns_max=SECOND), happens=_told(Measure.MARKET_HEALTH)
    ),
    Code.BREAKER_OPEN: Fault(
        limits=_breaking(Measure.FEED_ANOMALY, age_ns_max=SECOND), happens=_told(Measure.FEED_ANOMALY)
    ),
    Code.MODEL_UNCERTAIN: Fault(
        limits=_breaking(Measure.MODEL_UNCERTAINTY, age_ns_max=SECOND), happens=_told(Measure.MODEL_UNCERTAINTY)
    ),
    Code.SUPERVISION_MISSING: Fault(
        limits=_breaking(Measure.SUPERVISOR_SILENCE, scope="firm:firm", trip_at=SECOND), happens=_unsupervised
    ),
    Code.ORDERS_PER_TRADE_ABOVE_LIMIT: Fault(
        limits=lambda snapshot: _judged_at_once(tightened(snapshot, DESK, orders_per_trade_max=0)),
        happens=_work_one,
    ),
    Code.CONTRACTED_LIMIT_EXCEEDED: Fault(
        limits=lambda snapshot: _contracting(tightened(snapshot, DESK, order_quantity_lots_max=100))
    ),
    Code.CONTRACTED_NOTIONAL_EXCEEDED: Fault(
        limits=lambda snapshot: _contracting(tightened(snapshot, DESK, gross_notional_micro_max=100 * LOT_MICRO))
    ),
}


STRATEGY_PAUSED = _after(lambda rig: rig.stop(STRATEGY, "PAUSED"))
STRATEGY_REDUCE_ONLY = _after(lambda rig: rig.stop(STRATEGY, "REDUCE_ONLY"))

# Two faults at once. The code that stands above in the table wins, whichever happened first.
PAIRS: tuple[tuple[DenialCode, DenialCode], ...] = (
    (Code.REQUEST_ID_REUSED, Code.GATE_KILLED),
    (Code.GATE_KILLED, Code.SNAPSHOT_EXPIRED),
    (Code.PARENT_CLOSED, Code.SCOPE_HALTED),
    (Code.SCOPE_HALTED, Code.INSTRUMENT_EXPIRED),
    (Code.SCOPE_PAUSED, Code.INSTRUMENT_EXPIRED),
    (Code.REDUCE_ONLY_EXCEEDED, Code.INSTRUMENT_EXPIRED),
    (Code.INSTRUMENT_EXPIRED, Code.INSTRUMENT_RESTRICTED),
    (Code.INSTRUMENT_RESTRICTED, Code.MODEL_NOT_APPROVED),
    (Code.MODEL_NOT_APPROVED, Code.MODEL_DIGEST_MISMATCH),
    (Code.MODEL_DIGEST_MISMATCH, Code.OUTSIDE_TRADING_HOURS),
    (Code.OUTSIDE_TRADING_HOURS, Code.PHASE_UNKNOWN),
    (Code.PHASE_UNKNOWN, Code.PRICE_OFF_TICK),
    (Code.PHASE_NOT_TRADING, Code.PRICE_OFF_TICK),
    (Code.PRICE_OFF_TICK, Code.PRICE_OUT_OF_RANGE),
    (Code.PRICE_OUT_OF_RANGE, Code.QUANTITY_OFF_LOT),
    (Code.QUANTITY_OFF_LOT, Code.QUANTITY_BELOW_VENUE_MINIMUM),
    (Code.QUANTITY_BELOW_VENUE_MINIMUM, Code.PROTECTION_LIMIT_MISSING),
    (Code.QUANTITY_ABOVE_VENUE_MAXIMUM, Code.TRIGGER_PRICE_INVALID),
    (Code.PROTECTION_LIMIT_MISSING, Code.REFERENCE_MISSING),
    (Code.TRIGGER_PRICE_INVALID, Code.REFERENCE_STALE),
    (Code.REFERENCE_MISSING, Code.RATE_MISSING),
    (Code.REFERENCE_STALE, Code.RATE_MISSING),
    (Code.RATE_MISSING, Code.PRICE_OUTSIDE_COLLAR),
    (Code.PRICE_OUTSIDE_COLLAR, Code.ORDER_QUANTITY_ABOVE_LIMIT),
    (Code.ORDER_QUANTITY_ABOVE_LIMIT, Code.ORDER_NOTIONAL_ABOVE_LIMIT),
    (Code.ORDER_NOTIONAL_ABOVE_LIMIT, Code.PARENT_QUANTITY_EXCEEDED),
    (Code.PARENT_QUANTITY_EXCEEDED, Code.PARENT_CHILDREN_ABOVE_LIMIT),
    (Code.PARENT_QUANTITY_EXCEEDED, Code.LOSS_UNKNOWN),
    (Code.PARENT_CHILDREN_ABOVE_LIMIT, Code.POSITION_ABOVE_LIMIT),
    (Code.PARENT_AMENDS_ABOVE_LIMIT, Code.POSITION_ABOVE_LIMIT),
    (Code.LOSS_UNKNOWN, Code.POSITION_ABOVE_LIMIT),
    (Code.DAILY_LOSS_ABOVE_LIMIT, Code.DENIED_RATE_ABOVE_LIMIT),
    (Code.POSITION_ABOVE_LIMIT, Code.GROSS_NOTIONAL_ABOVE_LIMIT),
    (Code.GROSS_NOTIONAL_ABOVE_LIMIT, Code.NET_NOTIONAL_ABOVE_LIMIT),
    (Code.NET_NOTIONAL_ABOVE_LIMIT, Code.OPEN_NOTIONAL_ABOVE_LIMIT),
    (Code.OPEN_NOTIONAL_ABOVE_LIMIT, Code.LIVE_ORDERS_ABOVE_LIMIT),
    (Code.LIVE_ORDERS_ABOVE_LIMIT, Code.MESSAGE_RATE_ABOVE_LIMIT),
    (Code.MESSAGE_RATE_ABOVE_LIMIT, Code.DENIED_RATE_ABOVE_LIMIT),
    (Code.DENIED_RATE_ABOVE_LIMIT, Code.PARTICIPATION_UNKNOWN),
    (Code.DENIED_RATE_ABOVE_LIMIT, Code.PARTICIPATION_ABOVE_LIMIT),
    (Code.CAPACITY_EXHAUSTED, Code.PARTICIPATION_UNKNOWN),
    (Code.POSITION_ABOVE_LIMIT, Code.FILL_VELOCITY_ABOVE_LIMIT),
    (Code.FILL_VELOCITY_ABOVE_LIMIT, Code.BREAKER_OPEN),
    (Code.PRICE_OUTSIDE_COLLAR, Code.DRAWDOWN_ABOVE_LIMIT),
    (Code.PRICE_OUTSIDE_COLLAR, Code.LOSS_VELOCITY_ABOVE_LIMIT),
    (Code.PROBATION_SIZE_EXCEEDED, Code.SUPERVISION_MISSING),
    (Code.SCOPE_HALTED, Code.MODEL_UNCERTAIN),
    (Code.SUPERVISION_MISSING, Code.CONTRACTED_LIMIT_EXCEEDED),
    (Code.REDUCE_ONLY_EXCEEDED, Code.CONTRACTED_NOTIONAL_EXCEEDED),
    (Code.SELF_TRADE_POSSIBLE, Code.PARTICIPATION_UNKNOWN),
    (Code.ORDER_QUANTITY_ABOVE_LIMIT, Code.SELF_TRADE_POSSIBLE),
    (Code.ORDER_QUANTITY_ABOVE_LIMIT, Code.PRICE_OUTSIDE_DYNAMIC_COLLAR),
    (Code.ORDER_QUANTITY_ABOVE_LIMIT, Code.PRICE_WALKED_TOO_FAR),
    (Code.ORDER_QUANTITY_ABOVE_LIMIT, Code.REFERENCES_TOO_FEW),
    (Code.ORDER_QUANTITY_ABOVE_LIMIT, Code.REFERENCES_DISAGREE),
    (Code.DUPLICATE_ORDER, Code.PARTICIPATION_ABOVE_LIMIT),
    (Code.REJECT_LOOP, Code.PHASE_NOT_TRADING),
    (Code.REPEATED_EXECUTION, Code.PHASE_NOT_TRADING),
    (Code.CANCEL_RATIO_ABOVE_LIMIT, Code.PHASE_NOT_TRADING),
    (Code.ORDER_QUANTITY_ABOVE_LIMIT, Code.TURNOVER_ABOVE_LIMIT),
    (Code.ORDERS_PER_TRADE_ABOVE_LIMIT, Code.PHASE_NOT_TRADING),
)

# Found before the gate knows what the order is about: nothing behind them can be judged, so nothing else is named.
LOOKS_NO_FURTHER: tuple[tuple[DenialCode, DenialCode], ...] = (
    (Code.MALFORMED_REQUEST, Code.GATE_KILLED),
    (Code.GATE_KILLED, Code.ROUTE_UNKNOWN),
    (Code.SNAPSHOT_EXPIRED, Code.PARENT_UNKNOWN),
    (Code.REQUEST_ID_REUSED, Code.SCOPE_HALTED),
    (Code.ROUTE_UNKNOWN, Code.SCOPE_HALTED),
    (Code.PARENT_UNKNOWN, Code.SCOPE_HALTED),
    (Code.CHILD_UNKNOWN, Code.SCOPE_HALTED),
    (Code.CHILD_NOT_AMENDABLE, Code.SCOPE_HALTED),
)


def _verdict(directory: Path, *faults: Fault) -> Verdict:
    """Return the verdict on one order with all of these faults at once."""
    snapshot = roomy_snapshot()
    for fault in faults:
        snapshot = fault.limits(snapshot)
    rig = Rig.open(directory, snapshot)
    try:
        for fault in faults:
            fault.happens(rig)
        asked = {name: value for fault in faults for name, value in fault.asked(rig).items()}
        return rig.ask(**asked)
    finally:
        rig.close()


def _names(pair: tuple[DenialCode, DenialCode]) -> str:
    return " and ".join(code.name for code in pair)


def test_every_code_of_a_decision_has_its_row_in_order_of_precedence() -> None:
    assert list(TABLE) == [code for code in PRECEDENCE if code not in DECIDED_ELSEWHERE]


def test_precedence_is_the_order_of_the_numbers() -> None:
    assert list(PRECEDENCE) == sorted(PRECEDENCE)


def test_every_row_meets_another_fault_at_least_once() -> None:
    met = {code for pair in (*PAIRS, *LOOKS_NO_FURTHER) for code in pair}

    assert met >= set(TABLE) - {Code.ARITHMETIC_OVERFLOW}


@pytest.mark.usefixtures("compiled_machine")
def test_an_order_without_a_fault_is_allowed(tmp_path: Path) -> None:
    verdict = _verdict(tmp_path)

    assert verdict.is_allowed
    assert verdict.codes == ()


@pytest.mark.usefixtures("compiled_machine")
@pytest.mark.parametrize("code", TABLE, ids=lambda code: code.name)
def test_a_single_fault_gives_exactly_its_code(code: DenialCode, tmp_path: Path) -> None:
    verdict = _verdict(tmp_path, TABLE[code])

    assert verdict.codes == (code,)
    assert verdict.permit is None
    assert verdict.sequence > 0
    assert verdict.explanation.endswith(".")


@pytest.mark.usefixtures("compiled_machine")
@pytest.mark.parametrize("pair", PAIRS, ids=_names)
def test_of_two_faults_the_earlier_code_wins_and_both_are_named(
    pair: tuple[DenialCode, DenialCode], tmp_path: Path
) -> None:
    verdict = _verdict(tmp_path, *(TABLE[code] for code in pair))

    assert verdict.codes == tuple(sorted(pair))
    assert verdict.binding is None or verdict.binding.code == min(pair)


@pytest.mark.usefixtures("compiled_machine")
@pytest.mark.parametrize("pair", LOOKS_NO_FURTHER, ids=_names)
def test_what_stands_before_the_order_itself_hides_what_comes_after(
    pair: tuple[DenialCode, DenialCode], tmp_path: Path
) -> None:
    verdict = _verdict(tmp_path, *(TABLE[code] for code in pair))

    assert verdict.codes == (min(pair),)


@pytest.mark.usefixtures("compiled_machine")
@pytest.mark.parametrize(
    ("fault", "both"),
    [
        (STRATEGY_PAUSED, (Code.SCOPE_HALTED, Code.SCOPE_PAUSED)),
        (STRATEGY_REDUCE_ONLY, (Code.SCOPE_HALTED, Code.REDUCE_ONLY_EXCEEDED)),
    ],
    ids=["paused", "reduce-only"],
)
def test_a_halt_above_wins_over_a_milder_state_below(
    fault: Fault, both: tuple[DenialCode, ...], tmp_path: Path
) -> None:
    verdict = _verdict(tmp_path, fault, TABLE[Code.SCOPE_HALTED])

    assert verdict.codes == both
    assert verdict.binding is not None
    assert verdict.binding.scope == DESK


@pytest.mark.usefixtures("compiled_machine")
def test_an_order_with_many_faults_names_every_one_of_them(tmp_path: Path) -> None:
    faults = (
        Code.SCOPE_PAUSED, Code.INSTRUMENT_RESTRICTED, Code.MODEL_DIGEST_MISMATCH, Code.OUTSIDE_TRADING_HOURS,
        Code.PHASE_NOT_TRADING, Code.QUANTITY_OFF_LOT, Code.PRICE_OUTSIDE_COLLAR, Code.ORDER_QUANTITY_ABOVE_LIMIT,
        Code.POSITION_ABOVE_LIMIT, Code.LIVE_ORDERS_ABOVE_LIMIT, Code.PARTICIPATION_ABOVE_LIMIT,
    )  # fmt: skip

    verdict = _verdict(tmp_path, *(TABLE[code] for code in faults))

    assert verdict.codes == faults
