"""The proof reads journals and believes nothing else: each way in which they can contradict each other is found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.domain.clock import ManualClock
from controlplane.domain.decisions import Outcome
from controlplane.domain.ids import to_text
from controlplane.domain.orders import CommandKind
from controlplane.journal.record import RecordKind, pack_entry
from controlplane.journal.writer import JournalWriter
from controlplane.runtime.settings import Durability
from executor.scenarios.proof import Proof, prove
from tests.support.trading import START_NS

CHILD, OTHER = to_text(0x1001), to_text(0x2001)
Entry = dict[str, object]


def requested(child: str = CHILD) -> Entry:
    return {"kind": "ChildRequested", "wall_ns": "1", "parent_id": to_text(5), "child_id": child}


def sent(sequence: int, child: str = CHILD) -> Entry:
    return {"kind": "ChildSent", "wall_ns": "1", "parent_id": to_text(5), "child_id": child, "sequence": str(sequence)}


def refused_by_gate(child: str = CHILD) -> Entry:
    return {"kind": "ChildDenied", "wall_ns": "1", "parent_id": to_text(5), "child_id": child, "sequence": "0"}


def filled(lots: int, execution: int, child: str = CHILD) -> Entry:
    return {
        "kind": "ReportReceived", "wall_ns": "1", "parent_id": to_text(5), "child_id": child, "report": "FILLED",
        "execution_id": str(execution), "quantity_lots": lots,
    }  # fmt: skip


@pytest.fixture
def proven(tmp_path: Path) -> Callable[[list[Entry], list[tuple[int, Outcome]]], Proof]:
    """Return a function from the two journals' records to the proof; gate sequences begin at 2, after LogOpened."""

    def write(entries: list[Entry], decisions: list[tuple[int, Outcome]]) -> Proof:
        clock = ManualClock(START_NS)
        for log in ("executor-0", "gate-0"):
            writer = JournalWriter.open(
                tmp_path / log,
                log=log,
                durability=Durability.PROCESS,
                clock=clock,
                segment_bytes=1 << 20,
                ballast_bytes=0,
            )
            if log == "executor-0":
                for entry in entries:
                    writer.append_json(entry)
            else:
                for child, outcome in decisions:
                    writer.append_binary(
                        pack_entry(
                            RecordKind.ORDER_DECIDED,
                            subkind=int(CommandKind.NEW),
                            outcome=int(outcome),
                            child_id=child,
                            wall_ns=1,
                        )
                    )
            writer.close()
        return prove(tmp_path / "executor-0", tmp_path / "gate-0")

    return write


Proven = Callable[[list[Entry], list[tuple[int, Outcome]]], Proof]


def test_sent_child_with_its_one_decision_proves_nothing_wrong(proven: Proven) -> None:
    proof = proven([requested(), sent(2), filled(3, 1), filled(3, 1), filled(4, 2)], [(0x1001, Outcome.ALLOWED)])

    assert proof.faults == ()
    assert (proof.requested, proof.sent, proof.spent_permits, proof.allowed_decisions) == (1, 1, 1, 1)
    assert proof.executed_lots == {to_text(5): 7}


def test_denied_child_is_no_fault_and_spends_nothing(proven: Proven) -> None:
    proof = proven([requested(), refused_by_gate()], [(0x1001, Outcome.DENIED)])

    assert proof.faults == ()
    assert (proof.denied, proof.spent_permits) == (1, 0)


@pytest.mark.parametrize(
    ("entries", "decisions", "says"),
    [
        ([requested(), sent(2)], [], "its allowed decisions are []"),
        ([requested(), sent(3)], [(0x1001, Outcome.ALLOWED)], "left under decision 3"),
        ([requested(), sent(2)], [(0x1001, Outcome.ALLOWED)] * 2, "allowed decisions are [2, 3]"),
        ([requested(), sent(2), sent(2)], [(0x1001, Outcome.ALLOWED)], "2 fates on record"),
        ([requested(), refused_by_gate()], [(0x1001, Outcome.ALLOWED)], "denied by the executor's record and allowed"),
        ([requested(), sent(2), requested(OTHER), sent(2, OTHER)], [(0x1001, Outcome.ALLOWED)], "spent 2 times"),
        ([], [(0x1001, Outcome.ALLOWED)], "which the executor never recorded"),
    ],
)
def test_every_contradiction_is_named(
    proven: Proven, entries: list[Entry], decisions: list[tuple[int, Outcome]], says: str
) -> None:
    proof = proven(entries, decisions)

    assert any(says in fault for fault in proof.faults), proof.faults
