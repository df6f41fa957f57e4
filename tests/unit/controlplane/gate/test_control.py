"""What people and services ask a gate: how it is, what is used, stops and lifts; bad input changes nothing."""

from typing import Any

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import (
    ControlPlaneError,
    InvalidRequest,
    NotPermitted,
    StateConflict,
    UnknownReference,
)
from controlplane.domain.ids import to_text
from controlplane.domain.orders import Side
from controlplane.domain.reports import ReportKind
from controlplane.domain.states import TradingState
from tests.support.builders import LOT_MICRO, OTHER_STRATEGY, PRICE, roomy_snapshot, tightened
from tests.support.policies import small_snapshot
from tests.support.rig import OpenRig, Rig, recorded

DESK, STRATEGY = "desk:crypto", "strategy:crypto/twap"
STOP = {"scope": DESK, "state": "PAUSED", "reason": "drill", "by": "olga"}
LIFT = {"scope": DESK, "reason": "drill over", "by": "olga", "second": "rui"}


def ask(rig: Rig, name: str, **fields: object) -> dict[str, Any]:
    return rig.gate.control(name, fields)


def test_request_of_no_known_name_is_told_the_names(rig: Rig) -> None:
    names = "status, utilisation, working, set_state, lift, enable, kill, breakers, beat"
    with pytest.raises(UnknownReference, match=f"{names}; found 'halt'"):
        ask(rig, "halt")


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_of_a_gate_says_who_it_is_under_which_limits_and_how_it_goes(rig: Rig) -> None:
    before = ask(rig, "status")
    rig.buy()
    rig.buy(price=1)
    rig.buy(lots=0)

    after = ask(rig, "status")

    snapshot = rig.gate.state.snapshot
    assert {name: after[name] for name in ("gate_id", "epoch", "state", "fence", "snapshot_version", "durability")} == {
        "gate_id": 0, "epoch": 1, "state": "ACTIVE", "fence": 1, "snapshot_version": 1, "durability": "process",
    }  # fmt: skip
    assert after["snapshot_digest"] == snapshot.digest().hex()
    assert (after["snapshot_expires_ns"], after["wall_ns"]) == (snapshot.expires_ns, rig.clock.wall)
    assert after["decisions"] == {"ALLOWED": 1, "DENIED": 2}
    assert after["codes"] == {"PRICE_OUT_OF_RANGE": 1, "MALFORMED_REQUEST": 1}
    assert (before["live_orders"], after["live_orders"]) == (0, 1)
    assert after["records"] == before["records"] + 4  # three decisions and the opening of the parent
    assert 0 < after["latency_ns"]["p50"] <= after["latency_ns"]["p99"]
    assert after["states"] == []


def test_status_of_a_gate_that_decided_nothing_has_no_latency(rig: Rig) -> None:
    status = ask(rig, "status")

    assert status["latency_ns"] == {"p50": 0, "p99": 0}
    assert status["decisions"] == {}


def test_status_shows_every_reference_with_its_age_and_health(rig: Rig) -> None:
    rig.clock.advance(1_500_000_000)
    fresh = ask(rig, "status")["references"]
    rig.clock.advance(500_000_001)
    stale = ask(rig, "status")["references"]

    assert fresh == [
        {"instrument": "BTC-PERP", "source": "book", "bid_ticks": PRICE - 1, "ask_ticks": PRICE + 1,
         "age_ns": 1_500_000_000, "is_healthy": True}
    ]  # fmt: skip
    assert [row["is_healthy"] for row in stale] == [False]


def test_status_names_every_stop_with_who_why_and_since_when(rig: Rig) -> None:
    rig.clock.advance(7)
    ask(rig, "set_state", **STOP)
    parent = f"parent:{to_text(rig.parent())}"
    ask(rig, "set_state", **STOP | {"scope": parent, "state": "HALTED", "by": "rui"})

    status = ask(rig, "status")

    assert status["states"] == [
        {"scope": DESK, "state": "PAUSED", "reason": "drill", "by": "olga", "since_ns": rig.clock.wall},
        {"scope": parent, "state": "HALTED", "reason": "drill", "by": "rui", "since_ns": rig.clock.wall},
    ]
    assert status["state"] == "ACTIVE"


@pytest.mark.parametrize("state", ["REDUCE_ONLY", "PAUSED", "HALTED"])
def test_status_of_the_firm_is_the_status_of_the_gate(rig: Rig, state: str) -> None:
    ask(rig, "set_state", **STOP | {"scope": "firm:firm", "state": state})

    assert ask(rig, "status")["state"] == state


# --- utilisation ------------------------------------------------------------------------------------------------------


def test_utilisation_splits_what_is_held_from_what_is_reserved(rig: Rig) -> None:
    rig.hold(10)
    rig.work(lots=5)
    rig.work(Side.SELL, lots=2)
    high = (PRICE + 1) * 100

    rows = {
        row["limit"]: row
        for row in ask(rig, "utilisation")["rows"]
        if (row["scope"], row["instrument"]) == (DESK, None)
    }

    used = {name: (row["used"], row["reserved"], row["unit"]) for name, row in rows.items()}
    assert used == {
        "gross_notional": (8 * high, 7 * high, "micro"),
        "net_notional": (10 * high, 5 * high, "micro"),
        "open_notional": (0, 5 * high, "micro"),
        "live_orders": (0, 2, "count"),
        "daily_loss": (10 * 100, 0, "micro"),
        "message_count": (3, 0, "count"),
        "denied_count": (0, 0, "count"),
    }
    assert all(row["headroom"] == row["limit_value"] - row["used"] - row["reserved"] for row in rows.values())


def test_utilisation_of_positions_counts_each_side_with_its_live_orders(rig: Rig) -> None:
    rig.hold(10)
    rig.work(lots=5)
    rig.work(Side.SELL, lots=13)

    long, short = rig.row("position_long", DESK, "BTC-PERP"), rig.row("position_short", DESK, "BTC-PERP")

    assert (long["used"], long["reserved"], long["unit"]) == (10, 5, "lots")
    assert (short["used"], short["reserved"]) == (0, 3)


def test_utilisation_of_participation_is_our_share_of_the_market(open_rig: OpenRig) -> None:
    rig = open_rig(is_market_open=False)
    rig.open_market(lots=1_000)
    rig.hold(100, PRICE + 1)
    rig.work(lots=51, price=PRICE + 1)

    row = rig.row("participation", DESK, "BTC-PERP")

    assert (row["used"], row["reserved"], row["unit"]) == (1_000, 510, "bps")


def test_limits_that_have_no_meaning_for_a_scope_have_no_row(open_rig: OpenRig) -> None:
    rig = open_rig(small_snapshot())

    rows = ask(rig, "utilisation")["rows"]

    named = {(row["limit"], row["scope"].partition(":")[0]) for row in rows}
    assert ("live_orders", "instrument") in named
    assert ("live_orders", "underlying") not in named
    assert ("daily_loss", "venue") not in named
    assert ("participation", "counterparty") not in named
    assert all(row["limit_value"] < 1 << 62 for row in rows)


@pytest.mark.parametrize(("lots", "share_bps", "is_near"), [(79, 7_900, False), (80, 8_000, True), (100, 10_000, True)])
def test_limit_is_near_from_the_share_that_the_policy_names(
    open_rig: OpenRig, lots: int, share_bps: int, is_near: bool
) -> None:
    rig = open_rig(tightened(roomy_snapshot(), DESK, position_long_lots_max=100))
    rig.work(lots=lots)

    row = rig.row("position_long", DESK, "BTC-PERP")

    assert (row["share_bps"], row["is_near"]) == (share_bps, is_near)


def test_share_is_rounded_up_and_use_of_a_limit_of_zero_is_above_it(open_rig: OpenRig) -> None:
    rig = open_rig()
    rig.work(lots=10)
    before = rig.row("position_long", DESK, "BTC-PERP")["share_bps"]

    rig.restart(tightened(roomy_snapshot(version=2), DESK, position_long_lots_max=0))

    assert before == 1
    assert rig.row("position_long", DESK, "BTC-PERP")["share_bps"] == 10_001
    assert rig.row("position_short", DESK, "BTC-PERP")["share_bps"] == 0


def test_rows_of_a_parent_come_and_go_with_it(rig: Rig) -> None:
    scope = f"parent:{to_text(rig.parent())}"
    rig.work(lots=10)
    while_open = rig.row("gross_notional", scope)["reserved"]
    rig.fill(rig.last, 10)
    rig.gate.close_parent(rig.parent())

    assert while_open == 10 * (LOT_MICRO + 100)
    assert scope not in {row["scope"] for row in ask(rig, "utilisation")["rows"]}


# --- working orders ---------------------------------------------------------------------------------------------------


def test_every_live_order_is_listed_with_its_names(rig: Rig) -> None:
    child = rig.work(Side.SELL, 10)
    rig.fill(child, 4)
    rig.buy(3, on=OTHER_STRATEGY)

    rows = ask(rig, "working")["rows"]

    assert rows[0] == {
        "child_id": to_text(child), "parent_id": to_text(rig.parent(Side.SELL)), "instrument": "BTC-PERP",
        "desk": "crypto", "strategy": "crypto/twap", "model": "crypto/twap/schedule", "venue": "SIM",
        "counterparty": "SIM-CLEARING", "side": "SELL", "remaining_lots": 6, "reserved_lots": 6, "price_ticks": PRICE,
        "state": "working",
    }  # fmt: skip
    assert [(row["strategy"], row["state"]) for row in rows[1:]] == [("crypto/pov", "reserved")]


def test_state_of_an_order_is_told_in_words(rig: Rig) -> None:
    rig.buy()
    told = [ask(rig, "working")["rows"][0]["state"]]
    for kind in (ReportKind.SENT, ReportKind.SEND_UNKNOWN, ReportKind.ACKNOWLEDGED):
        rig.tell(kind, rig.last)
        told.append(ask(rig, "working")["rows"][0]["state"])
    rig.amend(rig.last, quantity_lots=9)
    told.append(ask(rig, "working")["rows"][0]["state"])

    assert told == ["reserved", "sent", "unknown", "working", "amend pending"]


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_stop_answers_with_what_it_found_and_is_recorded_and_announced(rig: Rig) -> None:
    rig.work()
    rig.work(on=OTHER_STRATEGY)
    rig.gate.notices()
    before = rig.gate.fence()

    answer = ask(rig, "set_state", **STOP | {"scope": STRATEGY})

    assert (answer["scope"], answer["state"], answer["working"], answer["fence"]) == (STRATEGY, "PAUSED", 1, before)
    assert answer["blocked_ns"] >= 0
    assert answer["sequence"] == rig.gate.writer.next_seq - 1
    assert [(notice.scope, notice.state, notice.reason) for notice in rig.gate.notices()] == [
        (STRATEGY, TradingState.PAUSED, "drill")
    ]
    assert recorded(rig, "HaltSet") == [
        {"kind": "HaltSet", "scope": STRATEGY, "state": "PAUSED", "reason": "drill", "by": "olga"}
    ]


def test_halt_moves_the_fence_and_a_pause_does_not(rig: Rig) -> None:
    before = rig.gate.fence()

    paused = ask(rig, "set_state", **STOP)
    halted = ask(rig, "set_state", **STOP | {"state": "HALTED"})

    assert (paused["fence"], halted["fence"]) == (before, before + 1)


def test_state_is_named_in_either_case(rig: Rig) -> None:
    assert ask(rig, "set_state", **STOP | {"state": "reduce_only"})["state"] == "REDUCE_ONLY"


def test_same_stop_again_changes_and_records_nothing(rig: Rig) -> None:
    ask(rig, "set_state", **STOP)
    records, fence = rig.gate.writer.next_seq, rig.gate.fence()

    again = ask(rig, "set_state", **STOP | {"by": "rui", "reason": "again"})

    assert again["state"] == "PAUSED"
    assert (rig.gate.writer.next_seq, rig.gate.fence()) == (records, fence)
    assert ask(rig, "status")["states"][0]["by"] == "olga"


def test_stop_becomes_stricter_and_never_milder_without_a_lift(rig: Rig) -> None:
    ask(rig, "set_state", **STOP)
    ask(rig, "set_state", **STOP | {"state": "HALTED"})

    with pytest.raises(StateConflict, match="desk:crypto is HALTED already, which stops more than PAUSED; lift it"):
        ask(rig, "set_state", **STOP)


BAD_STOPS: list[tuple[dict[str, object], type[ControlPlaneError], str]] = [
    ({"scope": "desk:nobody"}, UnknownReference, "knows no scope desk:nobody"),
    ({"scope": "crypto"}, InvalidRequest, "written kind:name"),
    ({"scope": "planet:earth"}, InvalidRequest, "written kind:name"),
    ({"scope": "desk:"}, InvalidRequest, "written kind:name"),
    ({"scope": "desk:" + "x" * 81}, InvalidRequest, "written kind:name"),
    ({"scope": ""}, InvalidRequest, "scope must be text"),
    ({"scope": None}, InvalidRequest, "scope must be text"),
    ({"scope": 7}, InvalidRequest, "scope must be text"),
    ({"scope": ["desk:crypto"]}, InvalidRequest, "scope must be text"),
    ({"scope": "parent:0000000000000700"}, UnknownReference, "knows no scope parent:0000000000000700"),
    ({"scope": "parent:nonsense"}, UnknownReference, "knows no scope parent:nonsense"),
    ({"state": "ACTIVE"}, InvalidRequest, "REDUCE_ONLY, PAUSED, HALTED; found 'ACTIVE'"),
    ({"state": "PROBATION"}, InvalidRequest, "found 'PROBATION'"),
    ({"state": "KILLED"}, InvalidRequest, "found 'KILLED'"),
    ({"state": "x" * 300}, InvalidRequest, "found 'X{40}'"),
    ({"state": None}, InvalidRequest, "state must be text"),
    ({"state": 4}, InvalidRequest, "state must be text"),
    ({"reason": ""}, InvalidRequest, "reason must be text"),
    ({"reason": "   "}, InvalidRequest, "reason must be text"),
    ({"reason": "x" * 401}, InvalidRequest, "reason must be text"),
    ({"reason": None}, InvalidRequest, "reason must be text"),
    ({"by": ""}, InvalidRequest, "by must be text"),
    ({"by": 5}, InvalidRequest, "by must be text"),
]


@pytest.mark.parametrize(("change", "error", "sentence"), BAD_STOPS)
def test_stop_that_makes_no_sense_is_refused_in_one_sentence_and_changes_nothing(
    rig: Rig, change: dict[str, object], error: type[ControlPlaneError], sentence: str
) -> None:
    before = rig.gate.writer.next_seq, rig.gate.fence()

    with pytest.raises(error, match=sentence):
        ask(rig, "set_state", **STOP | change)

    assert (rig.gate.writer.next_seq, rig.gate.fence()) == before
    assert ask(rig, "status")["states"] == []
    assert rig.buy().is_allowed


@pytest.mark.parametrize("field", ["scope", "state", "reason", "by"])
def test_stop_without_one_of_its_fields_names_the_field(rig: Rig, field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        ask(rig, "set_state", **{name: value for name, value in STOP.items() if name != field})

    assert refusal.value.field == field


# --- lifting ----------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-91")
def test_halt_is_lifted_by_two_people_and_both_are_recorded(rig: Rig) -> None:
    ask(rig, "set_state", **STOP | {"state": "HALTED"})
    rig.gate.notices()

    answer = ask(rig, "lift", **LIFT)

    assert (answer["scope"], answer["state"]) == (DESK, "ACTIVE")
    assert [(notice.scope, notice.state) for notice in rig.gate.notices()] == [(DESK, TradingState.ACTIVE)]
    assert recorded(rig, "HaltLifted") == [
        {"kind": "HaltLifted", "scope": DESK, "state": "ACTIVE", "reason": "drill over", "by": "olga and rui"}
    ]
    assert rig.buy().is_allowed


@pytest.mark.case("GATE-91")
@pytest.mark.parametrize("second", [None, "", "olga", "Olga", " olga"])
def test_halt_is_not_lifted_by_one_person(rig: Rig, second: str | None) -> None:
    ask(rig, "set_state", **STOP | {"state": "HALTED"})

    with pytest.raises(NotPermitted, match="two different people") as refusal:
        ask(rig, "lift", **LIFT | {"second": second})

    assert refusal.value.rule == "lift-needs-two"
    assert ask(rig, "status")["states"][0]["state"] == "HALTED"
    assert recorded(rig, "HaltLifted") == []


@pytest.mark.case("GATE-91")
@pytest.mark.parametrize("second", ["   ", 7, ["rui"]])
def test_second_person_who_is_no_name_is_refused(rig: Rig, second: object) -> None:
    ask(rig, "set_state", **STOP | {"state": "HALTED"})

    with pytest.raises(InvalidRequest, match="second must be text"):
        ask(rig, "lift", **LIFT | {"second": second})

    assert ask(rig, "status")["states"][0]["state"] == "HALTED"


@pytest.mark.parametrize("state", ["PAUSED", "REDUCE_ONLY"])
def test_milder_stop_is_lifted_by_one_person(rig: Rig, state: str) -> None:
    ask(rig, "set_state", **STOP | {"state": state})

    ask(rig, "lift", scope=DESK, reason="drill over", by="olga")

    assert rig.buy().is_allowed
    assert recorded(rig, "HaltLifted")[0]["by"] == "olga"


@pytest.mark.parametrize("scope", [DESK, "firm:firm", "machine"])
def test_there_is_nothing_to_lift_where_nothing_is_stopped(rig: Rig, scope: str) -> None:
    fence = rig.gate.fence()

    with pytest.raises(StateConflict, match="nothing to lift"):
        ask(rig, "lift", **LIFT | {"scope": scope})

    assert rig.gate.fence() == fence


@pytest.mark.parametrize("scope", ["machine", "firm:firm"])
def test_kill_is_lifted_by_two_people_and_moves_the_fence(rig: Rig, scope: str) -> None:
    ask(rig, "kill", reason="drill", by="olga")
    killed = rig.gate.fence()

    answer = ask(rig, "lift", **LIFT | {"scope": scope, "fence": killed})

    assert answer["fence"] == killed + 1
    assert not rig.gate.is_killed()
    assert rig.buy().is_allowed
    assert [entry["by"] for entry in recorded(rig, "MachineKilled", "HaltLifted")] == ["olga", "olga and rui"]


def test_lift_of_a_kill_that_the_two_have_not_seen_is_refused(rig: Rig) -> None:
    ask(rig, "kill", reason="first", by="olga")
    seen = rig.gate.fence()
    ask(rig, "kill", reason="second", by="rui")

    with pytest.raises(StateConflict, match="look at the new stop before lifting it"):
        ask(rig, "lift", **LIFT | {"scope": "machine", "fence": seen})

    assert rig.gate.is_killed()


@pytest.mark.parametrize("fence", ["3", 3.0, True, [3], "nonsense"])
def test_fence_that_is_no_whole_number_is_refused(rig: Rig, fence: object) -> None:
    ask(rig, "kill", reason="drill", by="olga")

    with pytest.raises(InvalidRequest, match="fence must be the whole number"):
        ask(rig, "lift", **LIFT | {"scope": "machine", "fence": fence})

    assert rig.gate.is_killed()


@pytest.mark.case("GATE-89")
def test_lift_of_a_kill_leaves_a_halted_firm_halted(rig: Rig) -> None:
    ask(rig, "set_state", **STOP | {"scope": "firm:firm", "state": "HALTED"})
    ask(rig, "kill", reason="drill", by="olga")

    ask(rig, "lift", **LIFT | {"scope": "machine"})

    assert ask(rig, "status")["state"] == "HALTED"
    assert not rig.buy().is_allowed


# --- killing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [None, "firm", "firm:firm", "machine"])
def test_kill_of_everything_throws_the_switch(rig: Rig, scope: str | None) -> None:
    rig.work()
    rig.gate.notices()
    before = rig.gate.fence()

    answer = ask(rig, "kill", scope=scope, reason="drill", by="olga")

    assert (answer["working"], answer["fence"]) == (1, before + 1)
    assert rig.gate.is_killed()
    assert [(notice.scope, notice.state) for notice in rig.gate.notices()] == [("firm:firm", TradingState.HALTED)]
    assert recorded(rig, "MachineKilled") == [
        {"kind": "MachineKilled", "scope": "machine", "by": "olga", "reason": "drill", "fence": before + 1}
    ]
    stop = ask(rig, "status")["states"][-1]
    assert (stop["scope"], stop["state"], stop["by"], stop["reason"]) == ("machine", "KILLED", "olga", "drill")


def test_kill_of_a_scope_halts_it_and_nothing_else(rig: Rig) -> None:
    answer = ask(rig, "kill", scope=STRATEGY, reason="drill", by="olga")

    assert (answer["scope"], answer["state"]) == (STRATEGY, "HALTED")
    assert not rig.gate.is_killed()
    assert not rig.buy().is_allowed
    assert rig.buy(on=OTHER_STRATEGY).is_allowed


@pytest.mark.parametrize(
    ("change", "error"),
    [({"scope": "desk:nobody"}, UnknownReference), ({"scope": 7}, InvalidRequest), ({"reason": None}, InvalidRequest),
     ({"by": ""}, InvalidRequest)],
)  # fmt: skip
def test_kill_that_makes_no_sense_is_refused(
    rig: Rig, change: dict[str, object], error: type[ControlPlaneError]
) -> None:
    with pytest.raises(error):
        ask(rig, "kill", **{"scope": "firm", "reason": "drill", "by": "olga"} | change)

    assert not rig.gate.is_killed()
    assert rig.buy().is_allowed


def test_stop_of_a_killed_machine_still_works_for_the_time_after(rig: Rig) -> None:
    ask(rig, "kill", reason="drill", by="olga")
    ask(rig, "set_state", **STOP)

    ask(rig, "lift", **LIFT | {"scope": "machine"})

    assert ask(rig, "status")["states"][0]["scope"] == DESK
    assert not rig.buy().is_allowed


# --- enabling a scope -------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-36")
def test_count_of_repeated_executions_survives_a_restart_and_is_cleared_by_a_named_person(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), STRATEGY, repeated_executions_max=1))
    rig.hold(1)
    rig.hold(1)
    before = rig.buy(1)
    rig.restart()
    rig.open_market()
    after = rig.buy(1)
    answer = ask(rig, "enable", scope=STRATEGY, reason="looked at its day", by="olga")

    assert (before.codes, after.codes) == ((DenialCode.REPEATED_EXECUTION,), (DenialCode.REPEATED_EXECUTION,))
    assert (answer["scope"], answer["by"]) == (STRATEGY, "olga")
    assert rig.buy(1).is_allowed
    assert recorded(rig, "ScopeEnabled") == [
        {"kind": "ScopeEnabled", "scope": STRATEGY, "reason": "looked at its day", "by": "olga"}
    ]


@pytest.mark.case("GATE-36")
def test_count_of_repeated_executions_survives_new_limits(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), STRATEGY, repeated_executions_max=1))
    rig.hold(1)
    rig.hold(1)
    rig.restart(tightened(roomy_snapshot(version=2), STRATEGY, repeated_executions_max=1))
    rig.open_market()

    assert rig.buy(1).codes == (DenialCode.REPEATED_EXECUTION,)


def test_nobody_enables_a_scope_without_a_name_or_without_such_a_limit(open_rig: OpenRig) -> None:
    rig = open_rig(tightened(roomy_snapshot(), STRATEGY, repeated_executions_max=1))

    with pytest.raises(InvalidRequest, match="by must be text"):
        ask(rig, "enable", scope=STRATEGY, reason="looked at its day")
    with pytest.raises(StateConflict, match="desk:crypto has no limit on repeated execution"):
        ask(rig, "enable", scope=DESK, reason="looked at its day", by="olga")
