"""One event in, actions out: what the loop asks for, when, and what it does when the answer is no."""

import pytest

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import InvalidRequest, StateConflict, UnknownReference
from controlplane.domain.observations import Phase, PhaseObserved, RateObserved, ReferenceObserved, VolumeObserved
from controlplane.domain.orders import Side, TimeInForce
from controlplane.domain.reports import ReportKind
from executor.engine.events import GateReturned, Operation, OperatorSpoke
from executor.marketdata.events import BookDelta, Fault, FaultKind, Quote, Remedy, Status
from executor.orders.child import ChildState
from executor.orders.parent import ParentState
from executor.strategies.volume_curve import Session, VolumeCurve
from tests.support.trading import AT_ONCE, RESTING, VWAP_ROUTE, World, denied, rising_curve

SMALLER = denied(DenialCode.ORDER_QUANTITY_ABOVE_LIMIT, passing=60)


def test_parent_is_recorded_with_its_arrival_quote_and_opened_at_the_gate() -> None:
    world = World()

    work = world.accept(lots=100)

    record = world.journal.of_kind("ParentAccepted")[0]
    assert (record["arrival_bid_ticks"], record["arrival_ask_ticks"], record["quantity_lots"]) == (9_999, 10_001, 100)
    assert [(one.parent_id, one.quantity_lots) for one in world.gate.opened] == [(work.parent.parent_id, 100)]


def test_scheduled_parent_records_what_is_to_be_done_by_when() -> None:
    world = World()

    world.accept(lots=100, seconds=10, parameters=(("slices", "4"),))

    schedule = world.journal.of_kind("ParentAccepted")[0]["schedule"]
    assert isinstance(schedule, list)
    assert [row[1] for row in schedule] == [25, 50, 75, 100]


@pytest.mark.case("T8")
def test_vwap_follows_the_instruments_curve_and_records_what_it_expects() -> None:
    world = World()
    world.state.volume_curves = {"XYZ": rising_curve()}

    world.accept(lots=100, seconds=4, route=VWAP_ROUTE, parameters=(("slices", "4"),))

    record = world.journal.of_kind("ParentAccepted")[0]
    assert [row[1] for row in record["schedule"]] == [10, 30, 60, 100]  # type: ignore[attr-defined]
    assert record["expected_volumes"] == ["1", "2", "3", "4"]
    assert record["parameters"] == [["slices", "4"]]


def test_vwap_without_a_curve_or_with_a_closed_market_is_refused_and_nothing_is_recorded() -> None:
    world = World()

    with pytest.raises(InvalidRequest, match="found no volume_curve of it in the rule book"):
        world.accept(route=VWAP_ROUTE, parameters=())
    world.state.volume_curves = {"XYZ": VolumeCurve("closed", NS_PER_S, (1,), (Session(0, NS_PER_S, 0),))}
    with pytest.raises(InvalidRequest, match="its calendar has no session then"):
        world.accept(route=VWAP_ROUTE, parameters=())

    assert (world.state.parents, world.journal.records) == ({}, [])


def test_same_reference_is_the_same_parent() -> None:
    world = World()
    first = world.accept(reference="block-1")

    again = world.accept(reference="block-1")

    assert again is first
    assert len(world.journal.of_kind("ParentAccepted")) == 1


def test_parent_that_the_gate_refuses_ends_with_the_reason_and_nothing_placed() -> None:
    world = World()
    world.gate.refuses_parents = True

    work = world.accept()
    world.beat()

    assert work.parent.state is ParentState.CANCELLED
    assert world.journal.of_kind("ParentFinished")[0]["reason"] == "The test's gate refuses parents."
    assert world.gate.decided == []


# --- denials ---------------------------------------------------------------------------------------------


def test_denied_child_is_asked_again_smaller_under_a_new_identifier() -> None:
    world = World()
    world.gate.verdicts = [SMALLER]

    world.accept(lots=100)
    world.beat()

    first, second = world.gate.decided[:2]
    assert (first.quantity_lots, second.quantity_lots) == (100, 60)
    assert second.child_id > first.child_id
    assert world.venue.sent == [second]


def test_denials_in_a_row_are_bounded_and_then_only_time_asks_again() -> None:
    world = World()
    world.gate.verdicts = [
        denied(DenialCode.ORDER_QUANTITY_ABOVE_LIMIT, passing=100 - number) for number in range(1, 90)
    ]

    world.accept(lots=100)
    world.beat()
    asked_at_once = len(world.gate.decided)
    world.beat(900)

    assert asked_at_once <= world.state.rules.denials_in_a_row_max
    assert len(world.gate.decided) == asked_at_once
    world.beat(40_000)
    assert asked_at_once < len(world.gate.decided) < 20


def test_denied_lots_are_wanted_again() -> None:
    world = World()
    world.gate.verdicts = [denied(DenialCode.PHASE_NOT_TRADING)]

    work = world.accept(lots=100)
    world.beat()

    assert work.parent.unplaced_lots == 100
    assert world.child().child.state is ChildState.DENIED


# --- the gate away ---------------------------------------------------------------------------------------


def test_with_the_gate_away_nothing_reaches_a_venue() -> None:
    world = World()
    world.gate.is_away = True

    world.accept()
    world.beat(10_000)

    assert world.venue.sent == []
    assert world.gate.decided != []
    assert {str(record["codes"]) for record in world.journal.of_kind("ChildDenied")} == {"['GATE_UNAVAILABLE']"}


def test_with_the_gate_away_working_orders_stay_managed() -> None:
    world = World()
    work = world.accept(parameters=RESTING, seconds=5)
    world.beat()
    world.says(ReportKind.ACKNOWLEDGED)
    world.gate.is_away = True

    world.fills(30)
    world.beat(5_500)
    world.says(ReportKind.CANCELLED, cumulative_lots=30)
    world.beat()

    assert world.venue.cancelled != []
    assert work.parent.filled_lots == 30
    assert work.parent.state is ParentState.EXPIRED
    assert [report.kind for report in world.gate.reports if report.kind is ReportKind.FILLED] == [ReportKind.FILLED]


def test_parent_is_asked_for_at_once_when_the_gate_is_back() -> None:
    world = World()
    world.gate.is_away = True
    world.accept()
    world.beat(8_000)
    asked = len(world.gate.decided)
    world.gate.is_away = False

    world.handle(GateReturned(2))

    assert len(world.gate.decided) == asked + 1
    assert len(world.venue.sent) == 1


# --- time ------------------------------------------------------------------------------------------------


def test_child_is_withdrawn_when_its_time_to_work_is_over() -> None:
    world = World()
    world.accept(parameters=(("slices", "2"), ("patience_bps", "5000"), ("cross_bps", "10000")), seconds=20)
    world.beat()
    world.says(ReportKind.ACKNOWLEDGED)

    world.beat(4_900)
    assert world.venue.cancelled == []
    world.beat(300)

    assert world.venue.cancelled == [world.child(0).child.child_id]


def test_parent_expires_and_gives_up_what_is_unplaced() -> None:
    world = World()
    world.gate.verdicts = [denied(DenialCode.PHASE_NOT_TRADING)] * 50
    work = world.accept(lots=100, seconds=3)

    world.beat(3_500)

    assert work.parent.state is ParentState.EXPIRED
    assert (work.parent.unplaced_lots, work.parent.cancelled_lots) == (0, 100)


def test_immediate_order_that_finds_nothing_slows_the_next_ones_down() -> None:
    world = World()
    world.accept(lots=100, seconds=600)
    world.beat()
    for _ in range(12):
        world.says(ReportKind.ACKNOWLEDGED)
        world.says(ReportKind.EXPIRED)
        world.beat(1_000)
        if world.child().child.has_ended:
            continue

    assert len(world.venue.sent) <= 8


# --- market ----------------------------------------------------------------------------------------------


def test_urgency_decides_how_the_order_rests() -> None:
    world = World()
    world.accept(parameters=RESTING)
    world.accept(parameters=AT_ONCE)
    world.beat()

    passive, aggressive = world.venue.sent
    assert (passive.time_in_force, passive.price_ticks) == (TimeInForce.POST_ONLY, 9_999)
    assert (aggressive.time_in_force, aggressive.price_ticks) == (TimeInForce.IMMEDIATE_OR_CANCEL, 10_001)


def test_gate_hears_of_a_moved_quote_and_of_a_still_one_before_it_is_old() -> None:
    world = World()
    world.gate.observations.clear()
    world.clock.advance_to(world.clock.now_ns + 50_000_000)
    world.quote(9_999, 10_001)
    assert not any(isinstance(one, ReferenceObserved) for one in world.gate.observations)
    world.quote(9_998, 10_001)
    world.clock.advance_to(world.clock.now_ns + 120_000_000)
    world.quote(9_998, 10_001)

    told = [one for one in world.gate.observations if isinstance(one, ReferenceObserved)]
    assert [(one.bid_ticks, one.ask_ticks) for one in told] == [(9_998, 10_001), (9_998, 10_001)]


def test_volume_is_told_before_an_order_is_asked_and_includes_our_own_fills() -> None:
    world = World()
    world.accept(parameters=RESTING)
    world.beat()
    world.gate.observations.clear()
    world.trade(500)
    world.fills(40)
    world.beat(200)
    world.quote(9_999, 10_002)

    told = [one.traded_lots for one in world.gate.observations if isinstance(one, VolumeObserved)]
    assert sum(told) == 540


def test_quiet_market_is_told_as_no_volume_so_that_it_does_not_grow_old() -> None:
    world = World()
    world.gate.observations.clear()
    for _ in range(120):
        world.clock.advance_to(world.clock.now_ns + 100_000_000)
        world.quote(9_999, 10_001)

    told = [one.traded_lots for one in world.gate.observations if isinstance(one, VolumeObserved)]
    assert told == [0, 0]


def test_newer_quote_leads_the_book_until_the_book_has_caught_up() -> None:
    world = World()
    now_ns = world.clock.now_ns
    world.handle(Quote("XYZ", "feed", now_ns, now_ns, 50, 9_990, 5, 9_992, 5))
    assert (world.market.bid_ticks, world.market.ask_ticks) == (9_990, 9_992)

    world.handle(BookDelta("XYZ", "feed", now_ns, now_ns, 1, 2, 40, ((9_998, 7),), ()))
    assert (world.market.bid_ticks, world.market.ask_ticks) == (9_990, 9_992)
    moved = BookDelta("XYZ", "feed", now_ns, now_ns, 40, 41, 60, ((9_999, 0), (9_998, 0), (9_989, 7)), ((9_991, 3),))
    world.handle(moved)

    assert (world.market.bid_ticks, world.market.ask_ticks) == (9_989, 9_991)


def test_cut_off_feed_takes_its_reference_away_and_stops_the_asking() -> None:
    world = World()
    fault = Fault(FaultKind.GAP, Remedy.SNAPSHOT, "feed", "XYZ", world.clock.now_ns, "feed: a gap; cut off.")
    world.handle(fault)
    world.accept()
    world.beat(2_000)

    assert world.venue.sent == []
    assert world.journal.of_kind("FeedQuarantined")[0]["fault"] == "gap"
    reference = [one for one in world.gate.observations if isinstance(one, ReferenceObserved)][-1]
    phase = [one for one in world.gate.observations if isinstance(one, PhaseObserved)][-1]
    assert (reference.bid_ticks, reference.ask_ticks) == (0, 0)
    assert phase.phase is Phase.UNKNOWN

    world.quote(9_999, 10_001)
    world.beat(300)
    assert len(world.venue.sent) == 1


def test_withheld_events_are_counted_and_recorded_at_a_bounded_pace() -> None:
    world = World()
    for number in range(50):
        world.clock.advance_to(world.clock.now_ns + 100_000_000)
        sentence = f"feed: event {number} withheld."
        world.handle(Fault(FaultKind.OUTLIER, Remedy.WITHHOLD, "feed", "XYZ", world.clock.now_ns, sentence))

    assert world.state.counts["faults outlier"] == 50
    assert len(world.journal.of_kind("FeedQuarantined")) == 5


def test_silent_feed_is_cut_off_by_time_alone() -> None:
    world = World()
    world.accept(parameters=RESTING, seconds=600)
    world.beat()

    world.beat(31_000)

    assert world.journal.of_kind("FeedQuarantined")[0]["fault"] == "stale"


def test_stated_phase_is_told_as_stated() -> None:
    world = World()
    now_ns = world.clock.now_ns

    world.handle(Status("XYZ", "feed", now_ns, now_ns, 9, Phase.AUCTION))

    assert [one.phase for one in world.gate.observations if isinstance(one, PhaseObserved)][-1] is Phase.AUCTION
    assert not any(isinstance(one, RateObserved) for one in world.gate.observations)


# --- people ----------------------------------------------------------------------------------------------


def test_pause_stops_the_asking_and_leaves_working_orders_alone_until_resumed() -> None:
    world = World()
    work = world.accept(
        lots=100, parameters=(("slices", "2"), ("patience_bps", "10000"), ("cross_bps", "10000")), seconds=10
    )
    world.beat()
    world.says(ReportKind.ACKNOWLEDGED)
    world.handle(OperatorSpoke(work.parent.parent_id, Operation.PAUSE, "news", "olga"))
    world.beat(5_500)
    assert len(world.venue.sent) == 1

    world.handle(OperatorSpoke(work.parent.parent_id, Operation.RESUME, "calm", "olga"))
    world.beat(300)

    assert len(world.venue.sent) == 2
    assert [record["operation"] for record in world.journal.of_kind("ParentCommanded")] == ["pause", "resume"]


def test_cancelled_parent_withdraws_its_children_and_ends() -> None:
    world = World()
    work = world.accept(parameters=RESTING)
    world.beat()
    world.says(ReportKind.ACKNOWLEDGED)

    world.handle(OperatorSpoke(work.parent.parent_id, Operation.CANCEL, "client changed mind", "olga"))
    world.says(ReportKind.CANCELLED)
    world.beat()

    assert work.parent.state is ParentState.CANCELLED
    assert world.journal.of_kind("ParentFinished")[0]["reason"] == "client changed mind"


def test_word_about_an_unknown_or_ended_parent_is_refused() -> None:
    world = World()
    work = world.accept(seconds=1)
    world.beat()
    world.fills(100)

    with pytest.raises(UnknownReference):
        world.handle(OperatorSpoke(12345, Operation.PAUSE, "x", "olga"))
    with pytest.raises(StateConflict):
        world.handle(OperatorSpoke(work.parent.parent_id, Operation.PAUSE, "x", "olga"))


# --- determinism -----------------------------------------------------------------------------------------


def played() -> World:
    world = World()
    world.gate.verdicts = [SMALLER]
    world.accept(lots=100, seconds=30, parameters=(("slices", "3"),))
    world.accept(lots=77, side=Side.SELL, seconds=20, parameters=AT_ONCE)
    for step in range(60):
        world.quote(9_990 + step % 7, 10_001 + step % 5)
        world.trade(10 + step)
        if step % 9 == 4 and world.state.live_children:
            world.fills(5)
        world.beat(500)
    return world


def test_same_events_give_the_same_fingerprint_and_the_same_records() -> None:
    first, second = played(), played()

    assert first.state.fingerprint() == second.state.fingerprint()
    assert first.journal.entries == second.journal.entries


def test_fingerprint_differs_when_one_lot_differs() -> None:
    first, second = played(), played()

    second.fills(1)

    assert first.state.fingerprint() != second.state.fingerprint()
