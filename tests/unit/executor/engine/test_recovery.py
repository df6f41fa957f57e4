"""After a restart the journal gives back every lot, and what it can't know the venue has to say."""

from dataclasses import replace

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import EvidenceError, StateConflict, UnknownReference
from controlplane.domain.orders import Side
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.gate.client import LiveOrder
from executor.engine.events import Operation, OperatorSpoke
from executor.engine.perform import Engine
from executor.engine.ports import Ports
from executor.engine.recovery import Recovered, rebuild, settle_with_gate
from executor.orders.child import ChildState
from executor.orders.parent import ParentState
from executor.orders.reconcile import reconcile
from executor.strategies.slices import ScheduledStrategy
from executor.venues.port import Delivery, SendResult
from tests.support.trading import RESTING, VENUE, VWAP_ROUTE, World, denied, rising_curve


def restarted(before: World, *, records: int | None = None) -> tuple[World, Recovered]:
    """Return a new program over the journal of an old one, as if the old one had been killed."""
    after = World()
    after.clock.advance_to(before.clock.now_ns)
    entries = before.journal.records if records is None else before.journal.records[:records]
    found = rebuild(after.state, entries, after.gate)
    after.state.clock.advance_to(after.clock.now_ns)
    after.engine = Engine(after.state, Ports(journal=after.journal, gate=after.gate, venues={VENUE: after.venue}))
    after.journal.entries.extend(before.journal.entries[: len(entries)])
    return after, found


def busy() -> World:
    """Return a world with a finished parent, one that works with fills, one paused, and a denial."""
    world = World()
    world.accept(lots=10, seconds=30, reference="done")
    world.fills(10)
    world.accept(lots=100, seconds=300, parameters=RESTING, reference="working", side=Side.SELL)
    world.beat()
    world.says(ReportKind.ACKNOWLEDGED)
    world.fills(30, price=9_999)
    world.gate.verdicts = [denied(DenialCode.PHASE_NOT_TRADING)]
    paused = world.accept(lots=50, seconds=300, reference="paused")
    world.handle(OperatorSpoke(paused.parent.parent_id, Operation.PAUSE, "news", "olga"))
    return world


def test_parents_and_children_come_back_as_they_were() -> None:
    before = busy()

    after, found = restarted(before)

    assert found.records == len(before.journal.entries)
    for parent_id, work in before.state.parents.items():
        again = after.state.parents[parent_id].parent
        assert (again.filled_lots, again.unplaced_lots, again.working_lots, again.state) == (
            work.parent.filled_lots,
            work.parent.unplaced_lots,
            work.parent.working_lots,
            work.parent.state,
        )
        reconcile(again, [child.child for child in after.state.children_of(after.state.parents[parent_id])])


def test_references_and_identifiers_go_on_where_they_were() -> None:
    before = busy()
    last = before.state.mint.last

    after, _ = restarted(before)

    assert set(after.state.references) == {"done", "working", "paused"}
    assert after.state.mint.next() > last - 256 * 1_000
    assert after.state.mint.next() not in before.state.children


def test_order_handed_in_again_after_a_restart_is_the_same_one_and_other_terms_are_refused() -> None:
    before = busy()
    work = before.state.parents[before.state.references["working"]]

    after, _ = restarted(before)

    assert after.engine.accept(work.instruction, after.clock.now_ns) == work.parent.parent_id
    with pytest.raises(StateConflict, match="found another quantity_lots, entered_by; give a new order"):
        after.engine.accept(replace(work.instruction, quantity_lots=7, entered_by="eve"), after.clock.now_ns)


def test_working_child_is_asked_about_at_once_and_stays_live_meanwhile() -> None:
    after, found = restarted(busy())

    after.beat()

    child = next(work for work in after.state.children.values() if not work.child.has_ended)
    assert found.unknown == [child.child.child_id]
    assert after.venue.asked == [child.child.child_id]
    assert child.child.live_lots == 70


def test_missed_fill_arrives_with_the_status_and_counts_once() -> None:
    after, _ = restarted(busy())
    after.beat()
    child_id = after.venue.asked[0]
    known = after.state.children[child_id].child.executions[0]

    after.status(
        child_id,
        executions=(
            _fill(child_id, known.execution_id, 30),
            _fill(child_id, 77, 25),
        ),
    )

    assert after.state.children[child_id].child.filled_lots == 55


@pytest.mark.parametrize("fate", ["never sent", "sent", "uncertain"])
def test_child_whose_end_the_journal_does_not_know_is_unknown_whatever_it_was(fate: str) -> None:
    before = World()
    if fate == "uncertain":
        before.venue.deliveries = [SendResult(Delivery.UNKNOWN, "timed out")]
    before.accept(parameters=RESTING)
    kinds = [record["kind"] for record in before.journal.records]
    upto = kinds.index("ChildRequested") + 1 if fate == "never sent" else len(kinds)

    after, found = restarted(before, records=upto)

    assert len(found.unknown) == 1
    assert after.state.children[found.unknown[0]].child.state is ChildState.UNKNOWN
    assert next(iter(after.state.parents.values())).parent.in_flight_lots == 100


def test_child_that_never_left_is_freed_after_the_grace_rule_and_asked_anew() -> None:
    before = World()
    before.accept(parameters=RESTING, seconds=600)
    kinds = [record["kind"] for record in before.journal.records]
    after, found = restarted(before, records=kinds.index("ChildRequested") + 1)
    after.beat()
    lost = found.unknown[0]

    after.status(lost, is_found=False)
    after.beat(2_100)
    after.status(lost, is_found=False)
    after.lists()
    after.quote(9_999, 10_001)
    after.beat(2_000)

    assert after.state.children[lost].child.state is ChildState.REFUSED
    assert [command.child_id for command in after.venue.sent] != []
    assert lost not in [command.child_id for command in after.venue.sent]


def test_every_prefix_of_the_journal_rebuilds_to_quantities_that_reconcile() -> None:
    before = busy()

    for records in range(len(before.journal.entries) + 1):
        after, _ = restarted(before, records=records)
        for work in after.state.parents.values():
            reconcile(work.parent, [child.child for child in after.state.children_of(work)])


def test_gate_hears_again_what_it_may_have_missed() -> None:
    before = busy()
    live = next(work for work in before.state.children.values() if not work.child.has_ended)
    after, found = restarted(before)
    after.gate.live = [LiveOrder(live.child.child_id, live.child.parent_id, 7, -1, 70, 70, 10_001, "sent")]

    retold = settle_with_gate(after.state, found, after.gate)

    kinds = [report.kind for report in after.gate.reports if report.child_id == live.child.child_id]
    assert kinds == [ReportKind.SENT, ReportKind.ACKNOWLEDGED, ReportKind.FILLED]
    assert retold == len(after.gate.reports)


def test_order_that_the_gate_counts_and_we_never_recorded_stays_reserved_and_is_counted() -> None:
    after, found = restarted(busy())
    after.gate.live = [
        LiveOrder(0xABC01, 5, 7, 1, 10, 10, 10_000, "reserved"),
        LiveOrder(0xABC02, 5, 7, 1, 10, 10, 10_000, "reserved"),
    ]

    settle_with_gate(after.state, found, after.gate)

    ours = [report for report in after.gate.reports if report.child_id == 0xABC01]
    assert [report.kind for report in ours] == [ReportKind.SEND_UNKNOWN]
    assert after.state.counts["gate_orders_never_recorded"] == 1
    assert not [report for report in after.gate.reports if report.child_id == 0xABC02]


def test_volume_seen_before_the_restart_is_not_forgotten() -> None:
    before = World()
    before.trade(5_000)
    before.accept(parameters=(("slices", "2"), ("patience_bps", "0"), ("cross_bps", "0")), seconds=10)
    before.trade(700)
    before.fills(50)
    before.says(ReportKind.EXPIRED, 0)
    before.quote(9_999, 10_001)
    before.beat(5_500)
    assert before.journal.of_kind("ChildRequested")[-1]["market_lots"] == "700"

    after, _ = restarted(before)

    work = next(iter(after.state.parents.values()))
    assert after.market.others.total - work.start_lots == 700


def test_finished_parent_stays_finished_and_its_end_is_compared() -> None:
    before = busy()
    after, _ = restarted(before)
    done = after.state.parents[after.state.references["done"]]
    assert (done.is_finished, done.parent.state) == (True, ParentState.FILLED)

    records = [dict(record) for record in before.journal.records]
    next(record for record in records if record["kind"] == "ParentFinished")["filled_lots"] = 9
    with pytest.raises(EvidenceError, match="ended with 9 lots filled by its record, 10 by its reports"):
        rebuild(World().state, records, World().gate)


def test_vwap_parent_keeps_its_plan_when_the_rule_book_changes_its_curve() -> None:
    before = World()
    before.state.volume_curves = {"XYZ": rising_curve()}
    work = before.accept(lots=100, seconds=4, route=VWAP_ROUTE, parameters=(("slices", "4"),))

    after, _ = restarted(before)

    again = after.state.parents[work.parent.parent_id].strategy
    assert isinstance(again, ScheduledStrategy)
    assert after.state.volume_curves == {}
    assert (again.plan(100, 0), again.expected_volumes) == ((10, 20, 30, 40), (1, 2, 3, 4))


def test_vwap_parent_of_a_journal_without_expected_volumes_goes_on_in_the_even_slices_it_had() -> None:
    before = World()
    before.state.volume_curves = {"XYZ": rising_curve()}
    before.accept(lots=100, seconds=4, route=VWAP_ROUTE, parameters=())
    records = [
        {name: value for name, value in record.items() if name != "expected_volumes"}
        for record in before.journal.records
    ]
    after = World()

    rebuild(after.state, records, after.gate)

    again = next(iter(after.state.parents.values())).strategy
    assert isinstance(again, ScheduledStrategy)
    assert again.plan(100, 0) == (5,) * 20


def test_child_without_a_parent_on_record_is_a_contradiction() -> None:
    records = [record for record in busy().journal.records if record["kind"] != "ParentAccepted"]

    with pytest.raises(EvidenceError, match="never says that it was accepted"):
        rebuild(World().state, records, World().gate)


def test_instrument_that_the_limits_no_longer_know_is_named() -> None:
    world = World()
    world.state.instruments = {}

    with pytest.raises(UnknownReference, match="which the limits in force don't know"):
        rebuild(world.state, busy().journal.records, world.gate)


def _fill(child_id: int, execution: int, lots: int) -> VenueReport:
    return VenueReport(ReportKind.FILLED, child_id, execution_id=execution, quantity_lots=lots, price_ticks=9_999)
