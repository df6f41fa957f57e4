"""In flight first, then the gate, then the venue; every way it can go wrong leaves a record that can be settled."""

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import JournalUnavailable
from controlplane.domain.reports import ReportKind
from executor.orders.child import ChildState
from executor.venues.port import Delivery, SendResult
from tests.support.trading import RESTING, World, denied


def test_child_is_recorded_before_the_gate_is_asked_and_asked_before_it_leaves() -> None:
    world = World()

    world.accept()
    world.beat()

    steps = [step for step in world.steps if step != "write ParentAccepted"]
    assert steps == ["write ChildRequested", "decide new", "send", "write ChildSent", "report sent"]


def test_request_is_durable_before_the_gate_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    seen: list[tuple[int, int]] = []
    decide = world.gate.decide
    monkeypatch.setattr(
        world.gate,
        "decide",
        lambda command: (seen.append((len(world.journal.entries), world.journal.commits)), decide(command))[1],
    )

    world.accept()
    world.beat()

    records, commits = seen[0]
    assert records == 2
    assert commits >= 1


def test_denial_is_a_record_with_every_code_and_nothing_leaves() -> None:
    world = World()
    world.gate.verdicts = [denied(DenialCode.ORDER_QUANTITY_ABOVE_LIMIT)]

    world.accept()
    world.beat()

    record = world.journal.of_kind("ChildDenied")[0]
    assert record["codes"] == ["ORDER_QUANTITY_ABOVE_LIMIT"]
    assert record["sequence"] == "99"
    assert world.venue.sent == []
    assert world.child().child.state is ChildState.DENIED


def test_sent_child_names_the_decision_and_the_permit_it_spent() -> None:
    world = World()

    world.accept()
    world.beat()

    record = world.journal.of_kind("ChildSent")[0]
    assert record["sequence"] == "1"
    assert isinstance(record["permit"], dict)
    assert record["permit"]["fence"] == world.gate.current_fence
    assert len(str(record["permit"]["code"])) == 32


@pytest.mark.case("GATE-82")
def test_permit_refused_by_the_adapter_ends_the_child_and_frees_its_reservation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    decide = world.gate.decide

    def decide_and_be_killed(command: object) -> object:
        verdict = decide(command)  # type: ignore[arg-type]
        world.gate.kill()
        return verdict

    monkeypatch.setattr(world.gate, "decide", decide_and_be_killed)
    work = world.accept()
    world.beat()

    assert world.venue.sent == []
    assert world.venue.refused_count >= 1
    assert world.child(0).child.state is ChildState.REFUSED
    assert "fence" in str(world.journal.of_kind("ChildRefused")[0]["reason"])
    assert [report.kind for report in world.gate.reports][:1] == [ReportKind.NOT_SENT]
    assert work.parent.unplaced_lots == work.parent.quantity_lots


@pytest.mark.case("GATE-24")
def test_local_send_failure_frees_the_reservation() -> None:
    world = World()
    world.venue.deliveries = [SendResult(Delivery.NOT_SENT, "the link is down")]

    work = world.accept()
    world.beat()

    assert world.gate.reports[0].kind is ReportKind.NOT_SENT
    assert work.parent.unplaced_lots == 100
    record = world.journal.of_kind("ReportReceived")[0]
    assert (record["report"], record["reason"], record["sequence"]) == ("NOT_SENT", "the link is down", "1")


@pytest.mark.case("GATE-20")
def test_order_whose_sending_is_uncertain_stays_live_and_is_asked_about_not_sent_again() -> None:
    world = World()
    world.venue.deliveries = [SendResult(Delivery.UNKNOWN, "timed out")]

    work = world.accept(parameters=RESTING)
    world.beat(3_000)

    assert world.child().child.state is ChildState.UNKNOWN
    assert work.parent.in_flight_lots == 100
    assert len(world.venue.sent) == 1
    assert world.venue.asked[0] == world.child().child.child_id
    assert world.gate.reports[0].kind is ReportKind.SEND_UNKNOWN


def test_cancel_leaves_before_anybody_is_asked() -> None:
    world = World()
    work = world.accept()
    world.beat()
    world.says(ReportKind.ACKNOWLEDGED)
    world.steps.clear()

    world.beat(61_000)

    assert work.parent.has_ended is False
    assert world.steps[:4] == ["send cancel", "decide cancel", "write ReportReceived", "report cancel_requested"]


def test_cancel_with_the_gate_away_leaves_and_is_reported_for_later() -> None:
    world = World()
    world.accept(seconds=1)
    world.beat()
    world.says(ReportKind.ACKNOWLEDGED)
    world.gate.is_away = True

    world.beat(1_500)

    assert world.venue.cancelled == [world.child().child.child_id]
    assert ReportKind.CANCEL_REQUESTED in [report.kind for report in world.gate.reports]


def test_everything_is_cancelled_without_a_record_when_the_journal_takes_no_more() -> None:
    world = World()
    for _ in range(2):
        world.accept(parameters=RESTING)
        world.beat()
        world.says(ReportKind.ACKNOWLEDGED)
    written = len(world.journal.entries)

    world.engine.abandon()

    assert sorted(world.venue.cancelled) == sorted(world.state.live_children)
    assert len(world.journal.entries) == written


def test_nothing_is_asked_when_the_journal_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    append = world.journal.append_json

    def fail_for_children(payload: dict[str, object]) -> int:
        if payload["kind"] == "ChildRequested":
            raise JournalUnavailable("The disk is full.")
        return append(payload)

    monkeypatch.setattr(world.journal, "append_json", fail_for_children)
    with pytest.raises(JournalUnavailable):
        world.accept()

    assert world.gate.decided == []
    assert world.venue.sent == []
