"""What the journals of a run prove, read from the files alone: no counter of the running program is believed.

Every child that was asked for ended one way: denied, refused, or sent; whatever left did so under exactly one allowed
decision of the gate and one permit, spent once; and every allowed decision led to one order. Quantities add up from
the executions on record.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.ids import from_text, to_text
from controlplane.domain.orders import CommandKind
from controlplane.journal import record
from controlplane.journal.reader import batches
from controlplane.journal.record import RecordKind
from controlplane.journal.verify import VerifyReport, verify
from executor.engine.recovery import records_of


@dataclass(frozen=True, slots=True)
class GateDecisions:
    """New orders and cancels in a gate's journal.

    Fields
        allowed        sequences of the allowed decisions of each child
        denied_codes   denials by every code they name
    """

    allowed: Mapping[int, tuple[int, ...]]
    denied_count: int
    denied_codes: Mapping[str, int]
    cancels: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found; `faults` is empty when everything fits together.

    Fields
        requested, denied, refused, sent, undelivered  children by what became of them first
        spent_permits  permits that left an adapter's hands, each counted once
        journals       verification of each log
        faults         sentences, the first few
    """

    requested: int
    denied: int
    refused: int
    sent: int
    undelivered: int
    spent_permits: int
    allowed_decisions: int
    denied_codes: Mapping[str, int]
    cancels: int
    executed_lots: Mapping[str, int]
    journals: tuple[VerifyReport, ...]
    faults: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the proof for `--json`."""
        return {
            "requested": self.requested,
            "denied": self.denied,
            "refused": self.refused,
            "sent": self.sent,
            "undelivered": self.undelivered,
            "spent_permits": self.spent_permits,
            "allowed_decisions": self.allowed_decisions,
            "denied_codes": dict(self.denied_codes),
            "cancels": self.cancels,
            "journals": [report.document() for report in self.journals],
            "faults": list(self.faults),
        }


FAULTS_MAX = 20


def prove(executor_log: Path, gate_log: Path) -> Proof:
    """Return what the two logs prove about every child order in them."""
    decisions = read_decisions(gate_log)
    fates: dict[str, list[tuple[str, int]]] = {}
    permits: Counter[int] = Counter()
    executed: dict[str, dict[str, int]] = {}
    for entry in records_of(executor_log):
        kind, child = str(entry["kind"]), str(entry.get("child_id", ""))
        if kind == "ChildRequested":
            fates.setdefault(child, [])
        elif kind in ("ChildDenied", "ChildRefused", "ChildSent") or (kind == "ReportReceived" and "permit" in entry):
            sequence = int(str(entry.get("sequence", "0")))
            fates.setdefault(child, []).append(("Undelivered" if kind == "ReportReceived" else kind, sequence))
            permits[sequence] += kind != "ChildDenied"
        if kind == "ReportReceived" and entry["report"] == "FILLED":
            lots = executed.setdefault(str(entry["parent_id"]), {})
            lots[f"{child}/{entry['execution_id']}"] = int(str(entry["quantity_lots"]))
    faults = [*_fate_faults(fates, decisions), *_permit_faults(permits, fates, decisions)]
    journals = tuple(verify(log) for log in (gate_log, executor_log))
    faults += [report.problem for report in journals if not report.is_sound]
    first = Counter(kinds[0][0] for kinds in fates.values() if kinds)
    return Proof(
        requested=len(fates),
        denied=first["ChildDenied"],
        refused=first["ChildRefused"],
        sent=first["ChildSent"],
        undelivered=first["Undelivered"],
        spent_permits=sum(permits.values()),
        allowed_decisions=sum(len(sequences) for sequences in decisions.allowed.values()),
        denied_codes=decisions.denied_codes,
        cancels=decisions.cancels,
        executed_lots={parent: sum(lots.values()) for parent, lots in executed.items()},
        journals=journals,
        faults=tuple(faults[:FAULTS_MAX]),
    )


def read_decisions(gate_log: Path) -> GateDecisions:
    """Return every decision of a gate's journal about a new order, allowed ones by child."""
    allowed: dict[int, list[int]] = {}
    codes: Counter[str] = Counter()
    denied = cancels = 0
    for batch in batches(gate_log):
        sequences, words = batch.binary()
        heads = words[:, record.WORD_HEAD]
        is_decision = heads & 0xFF == int(RecordKind.ORDER_DECIDED)
        kinds, outcomes = heads >> 8 & 0xFF, heads >> 16 & 0xFFFF
        cancels += int(np.count_nonzero(is_decision & (kinds == int(CommandKind.CANCEL))))
        is_new = is_decision & (kinds == int(CommandKind.NEW))
        passed = is_new & (outcomes == int(Outcome.ALLOWED))
        for sequence, child in zip(
            sequences[passed].tolist(), words[passed, record.WORD_CHILD_ID].tolist(), strict=True
        ):
            allowed.setdefault(child, []).append(sequence)
        failed = is_new & (outcomes == int(Outcome.DENIED))
        denied += int(np.count_nonzero(failed))
        for decision in words[failed].tolist():
            codes.update(code.name for code in record.failed_codes(decision))
    return GateDecisions(
        allowed={child: tuple(found) for child, found in allowed.items()},
        denied_count=denied,
        denied_codes={code.name: codes[code.name] for code in DenialCode if codes[code.name]},
        cancels=cancels,
    )


def _fate_faults(fates: Mapping[str, list[tuple[str, int]]], decisions: GateDecisions) -> list[str]:
    """Return the children whose records contradict each other or the gate."""
    faults = []
    for child, kinds in fates.items():
        allowed = decisions.allowed.get(from_text(child), ())
        if len(kinds) > 1:
            faults.append(f"Child {child} has {len(kinds)} fates on record, expected one: {kinds}.")
        elif kinds and kinds[0][0] == "ChildDenied" and allowed:
            faults.append(f"Child {child} was denied by the executor's record and allowed by decision {allowed[0]}.")
        elif kinds and kinds[0][0] != "ChildDenied" and allowed != (kinds[0][1],):
            faults.append(
                f"Child {child} left under decision {kinds[0][1]}, its allowed decisions are {list(allowed)}."
            )
    return faults


def _permit_faults(
    permits: Counter[int], fates: Mapping[str, list[tuple[str, int]]], decisions: GateDecisions
) -> list[str]:
    """Return permits that were spent twice, and allowed decisions that no child of ours answers to."""
    twice = [
        f"The permit of decision {sequence} was spent {count} times."
        for sequence, count in permits.items()
        if count > 1
    ]
    unasked = [
        f"The gate allowed child {to_text(child)}, which the executor never recorded."
        for child in decisions.allowed
        if to_text(child) not in fates
    ]
    return twice + unasked
