"""Breakers of a whole gate: what people see and do, what the record keeps, what survives a restart and other limits."""

import dataclasses
from typing import Any

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import InvalidRequest, NotPermitted, SnapshotMismatch, UnknownReference
from controlplane.domain.measures import Measure, MeasureObserved
from controlplane.domain.reports import ReportKind
from controlplane.domain.states import TradingState
from controlplane.gate.snapshot import Snapshot
from controlplane.journal.record import RecordKind
from tests.support.builders import OTHER_STRATEGY, PRICE, roomy_snapshot
from tests.support.gate_breakers import breaker, factor
from tests.support.rig import OpenRig, Rig, recorded

SECOND = 1_000_000_000
DESK, STRATEGY, MARKET = "desk:crypto", "strategy:crypto/twap", "instrument:BTC-PERP"
OPEN = DenialCode.BREAKER_OPEN
HALTED, PAUSED = int(TradingState.HALTED), int(TradingState.PAUSED)


def limits(*rules: Any, version: int = 1, **changes: Any) -> Snapshot:
    """Return wide limits with these breakers and factors."""
    factors = tuple(rule for rule in rules if hasattr(rule, "floor_bps"))
    breakers = tuple(rule for rule in rules if rule not in factors)
    return dataclasses.replace(roomy_snapshot(version=version), breakers=breakers, factors=factors, **changes)


def health(scope: str = STRATEGY, **changes: Any) -> Any:
    return breaker(Measure.MARKET_HEALTH, scope, **({"age_ns_max": 3_600 * SECOND} | changes))


def tell(rig: Rig, value: int, scope: str = STRATEGY, measure: Measure = Measure.MARKET_HEALTH) -> None:
    rig.gate.observe(MeasureObserved(measure, scope, value, rig.clock.wall, rig.clock.wall))


def tick(rig: Rig, span_ns: int = 0) -> None:
    rig.clock.advance(span_ns)
    rig.open_market()
    rig.gate.pass_time()


def state_of(rig: Rig, scope: str) -> str:
    states = {row["scope"]: row["state"] for row in rig.gate.control("status", {})["states"]}
    return str(states.get(scope, "ACTIVE"))


def shown(rig: Rig) -> dict[str, Any]:
    found: dict[str, Any] = rig.gate.control("breakers", {})["breakers"][0]
    return found


# --- what people and programs see -------------------------------------------------------------------------------------


def test_an_open_breaker_shows_in_status_in_its_own_list_and_in_notices(open_rig: OpenRig) -> None:
    rig = open_rig(limits(health()))
    rig.gate.notices()

    tell(rig, 2)

    (row,) = [row for row in rig.gate.control("status", {})["states"] if row["scope"] == STRATEGY]
    assert (row["state"], row["by"]) == ("PAUSED", "gate")
    assert row["reason"] == "breaker market_health opened: market_health 2 against 0"
    assert {name: shown(rig)[name] for name in ("state", "acts", "value", "limit", "trips", "is_unknown")} == {
        "state": "OPEN", "acts": "PAUSED", "value": 2, "limit": 0, "trips": 1, "is_unknown": False,
    }  # fmt: skip
    assert [(notice.kind, notice.scope, notice.state.name) for notice in rig.gate.notices()] == [
        ("breaker", STRATEGY, "PAUSED"),
        ("state", STRATEGY, "PAUSED"),
    ]


def test_every_change_of_a_breaker_is_recorded_once_with_its_numbers(open_rig: OpenRig) -> None:
    rig = open_rig(limits(health(probation_ns=SECOND, probation_bps=1_000)))
    for value in (2, 2, 0):
        tell(rig, value)
    for _ in range(3):
        tick(rig, SECOND)
    rig.gate.commit()

    found = recorded(rig, RecordKind.BREAKER_CHANGED.text)

    assert [(record["breaker"], record["state"], record["acts"], record["value"]) for record in found] == [
        ("market_health", "OPEN", "PAUSED", "2"),
        ("market_health", "HALF_OPEN", "PROBATION", "0"),
        ("market_health", "CLOSED", "ACTIVE", "0"),
    ]


def test_an_alert_is_a_notice_and_a_record_and_no_denial(open_rig: OpenRig) -> None:
    rig = open_rig(limits(health(action=0)))
    rig.gate.notices()

    tell(rig, 2)

    assert [(notice.kind, notice.state.name) for notice in rig.gate.notices()] == [("breaker", "ACTIVE")]
    assert rig.buy(1).is_allowed


def test_a_trip_by_an_order_is_announced_at_the_next_tick(open_rig: OpenRig) -> None:
    rule = breaker(Measure.DENIED_COUNT, STRATEGY, trip_at=1, window_ns=60 * SECOND)
    rig = open_rig(limits(rule))
    rig.gate.notices()
    for _ in range(2):
        assert not rig.buy(price=1).is_allowed
    assert rig.buy().codes == (OPEN,)

    rig.gate.pass_time()

    assert [notice.kind for notice in rig.gate.notices()] == ["breaker", "state"]


def test_a_contracted_limit_shows_its_share(open_rig: OpenRig) -> None:
    rig = open_rig(limits(factor(Measure.VOLATILITY, MARKET, age_ns_max=60 * SECOND, is_floor_when_missing=False)))
    tell(rig, 25_000, MARKET, Measure.VOLATILITY)

    (row,) = rig.gate.control("breakers", {})["factors"]

    assert (row["share_bps"], row["wanted_bps"], row["value"], row["is_unknown"]) == (5_500, 5_500, 25_000, False)


def test_a_measure_of_an_unknown_scope_is_named(open_rig: OpenRig) -> None:
    rig = open_rig(limits(health()))

    with pytest.raises(UnknownReference, match="Expected a scope that the gate's limits name, found strategy:nobody"):
        tell(rig, 1, "strategy:nobody")


# --- people -----------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-91")
def test_a_halt_by_a_breaker_is_lifted_by_two_and_leads_into_probation(open_rig: OpenRig) -> None:
    rule = health(action=HALTED, probation_ns=60 * SECOND, probation_bps=1, open_ns_min=SECOND)
    rig = open_rig(limits(rule))
    tell(rig, 2)
    tell(rig, 0)
    tick(rig, 3_000 * SECOND)
    tell(rig, 0)
    by_time = state_of(rig, STRATEGY)

    with pytest.raises(NotPermitted, match="two different people"):
        rig.lift(STRATEGY, second="olga")
    rig.lift(STRATEGY)

    assert by_time == "HALTED"
    assert (state_of(rig, STRATEGY), shown(rig)["state"]) == ("PROBATION", "HALF_OPEN")
    tick(rig, 60 * SECOND)
    assert state_of(rig, STRATEGY) == "ACTIVE"


def test_a_pause_by_a_breaker_is_lifted_by_one_and_a_cause_that_stays_trips_again(open_rig: OpenRig) -> None:
    rig = open_rig(limits(health()))
    tell(rig, 2)

    rig.lift(STRATEGY, second="")
    lifted = rig.buy(1)
    tell(rig, 2)

    assert lifted.is_allowed
    assert rig.buy(1).codes == (OPEN,)


def test_a_person_s_stop_stands_beside_a_breaker_s_and_outlives_it(open_rig: OpenRig) -> None:
    rig = open_rig(limits(health()))
    tell(rig, 2)
    rig.stop(STRATEGY, "PAUSED")

    tell(rig, 0)
    tick(rig, SECOND)

    assert state_of(rig, STRATEGY) == "PAUSED"
    assert rig.buy(1).codes == (DenialCode.SCOPE_PAUSED,)


def test_a_sign_of_life_comes_from_the_supervisor_alone(open_rig: OpenRig) -> None:
    rule = breaker(Measure.SUPERVISOR_SILENCE, "firm:firm", trip_at=2 * SECOND, clear_at=2 * SECOND)
    rig = open_rig(limits(rule))
    for _ in range(4):
        rig.gate.control("beat", {"source": "supervisor"})
        tick(rig, SECOND)
    alive = rig.buy(1)
    for _ in range(4):
        tick(rig, SECOND)

    assert alive.is_allowed
    assert rig.buy(1).codes == (DenialCode.SUPERVISION_MISSING,)
    with pytest.raises(InvalidRequest, match="supervisor alone"):
        rig.gate.control("beat", {"source": "journal"})


def test_the_journal_s_sign_of_life_is_a_commit(open_rig: OpenRig) -> None:
    rule = breaker(Measure.JOURNAL_SILENCE, "firm:firm", trip_at=2 * SECOND, clear_at=2 * SECOND)
    rig = open_rig(limits(rule))
    for _ in range(5):
        tick(rig, SECOND)
        rig.gate.commit()
    committed = rig.buy(1)

    for _ in range(5):
        tick(rig, SECOND)  # recorded, and nothing of it made durable

    assert committed.is_allowed
    assert rig.buy(1).codes == (DenialCode.SUPERVISION_MISSING,)


# --- restart, other limits --------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-88")
def test_an_open_breaker_comes_up_open_and_a_half_open_one_open_too(open_rig: OpenRig) -> None:
    rig = open_rig(limits(health(open_ns_min=SECOND, probation_ns=60 * SECOND, probation_bps=1)))
    tell(rig, 2)
    rig.restart(down_ns=5 * SECOND)
    after_open = shown(rig)["state"]
    tell(rig, 0)
    tick(rig, SECOND)
    half = shown(rig)["state"]

    rig.restart()

    assert (after_open, half, shown(rig)["state"]) == ("OPEN", "HALF_OPEN", "OPEN")
    rig.open_market()
    assert rig.buy(1).codes == (OPEN,)


@pytest.mark.case("GATE-98")
def test_a_high_water_mark_survives_a_restart_and_is_not_taken_from_the_lower_worth(open_rig: OpenRig) -> None:
    rig = open_rig(limits(breaker(Measure.DRAWDOWN, DESK, trip_at=10_000_000, action=HALTED)))
    rig.hold(10)
    for _ in range(2):
        rig.quote(PRICE + 9_999, PRICE + 10_001)  # 9.999 dollars up
    rig.quote(PRICE + 4_999, PRICE + 5_001)
    rig.restart(down_ns=SECOND)
    rig.open_market(price=PRICE + 5_000)

    before = rig.buy(1, PRICE + 5_000)
    rig.quote(PRICE - 2, PRICE)

    assert before.is_allowed
    assert rig.buy(1).codes == (DenialCode.DRAWDOWN_ABOVE_LIMIT,)


def test_other_limits_keep_what_breakers_remember_and_may_not_leave_an_open_one_out(open_rig: OpenRig) -> None:
    rig = open_rig(limits(health()))
    tell(rig, 2)

    with pytest.raises(SnapshotMismatch, match="leave out the breaker market_health of strategy:crypto/twap"):
        rig.restart(limits(version=2))
    rig.restart(limits(health("desk:crypto", name="other"), health(trip_at=5), version=2))

    states = {(row["breaker"], row["scope"]): row["state"] for row in rig.gate.control("breakers", {})["breakers"]}
    assert states == {("other", DESK): "CLOSED", ("market_health", STRATEGY): "OPEN"}
    assert rig.buy(1).codes == (OPEN,)


def test_a_new_breaker_of_drawdown_begins_at_the_present_worth(open_rig: OpenRig) -> None:
    rig = open_rig(limits())
    rig.hold(10)
    rig.quote(PRICE - 50_001, PRICE - 49_999)

    rig.restart(limits(breaker(Measure.DRAWDOWN, DESK, trip_at=10_000_000, action=HALTED), version=2))
    rig.open_market(price=PRICE - 50_000)

    assert rig.buy(1, PRICE - 29_000).is_allowed


def test_a_contracted_limit_stays_contracted_over_a_restart(open_rig: OpenRig) -> None:
    rule = factor(Measure.VOLATILITY, MARKET, age_ns_max=3_600 * SECOND, is_floor_when_missing=False)
    rig = open_rig(limits(rule))
    tell(rig, 40_000, MARKET, Measure.VOLATILITY)
    tell(rig, 0, MARKET, Measure.VOLATILITY)

    rig.restart()

    assert rig.gate.control("breakers", {})["factors"][0]["share_bps"] == 1_000


@pytest.mark.case("GATE-126")
def test_every_decision_around_a_change_of_breakers_names_one_version(open_rig: OpenRig) -> None:
    rig = open_rig(limits(health()))
    before = rig.buy(1)
    rig.restart(limits(health(trip_at=1), version=2))
    rig.open_market()

    after = rig.buy(1)

    assert (before.snapshot_version, after.snapshot_version) == (1, 2)


@pytest.mark.case("GATE-128")
@pytest.mark.parametrize("changes", [{"is_approved": False}, {"artefact_sha256": "ab" * 32}])
def test_a_model_that_is_withdrawn_gets_no_new_children_and_its_live_ones_can_be_cancelled(
    open_rig: OpenRig, changes: dict[str, Any]
) -> None:
    rig = open_rig(limits())
    child = rig.work(lots=10)
    models = tuple(dataclasses.replace(model, **changes) for model in limits().models)

    rig.restart(limits(version=2, models=models))
    rig.open_market()
    denied = rig.buy(1).codes
    rig.fill(child, 4)

    assert denied in ((DenialCode.MODEL_NOT_APPROVED,), (DenialCode.MODEL_DIGEST_MISMATCH,))
    assert rig.position() == 4
    assert rig.cancel(child).is_allowed
    rig.tell(ReportKind.CANCELLED, child, cumulative_lots=4)
    assert rig.live(child) is None


def test_the_other_strategy_goes_on(open_rig: OpenRig) -> None:
    rig = open_rig(limits(health()))
    tell(rig, 2)

    assert rig.buy(1, on=OTHER_STRATEGY).is_allowed
