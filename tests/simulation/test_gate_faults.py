"""The gate among faults, from seeds: what it counts is never less than the truth, and no answer it gave is ever lost.

`GATE_FAULT_SEEDS` sets how many histories the long run plays and `GATE_FAULT_SEED` the first (`pytest -m slow`). A
failure names the seed and the step; `FaultWorld(folder, seed).run(STEPS)` plays it again.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.domain.decisions import Permit
from controlplane.domain.orders import OrderCommand
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.gate.embedded import EmbeddedGate
from controlplane.gate.gate import Gate
from controlplane.gate.permit import PermitKey
from controlplane.gate.recovery import Recovered
from controlplane.journal.files.segment import SystemDisk
from executor.venues import port
from tests.support import fault_world
from tests.support.fault_world import FaultWorld, InvariantBroken, PowerTookAGroup, bounded_snapshot

STEPS = 80
SEEDS = 96
GROUPS = 8
# Enough for each planted mutant; the mildest one shows in history 21 first.
MUTANT_SEEDS = 40


def played(folder: Path, seed: int) -> Mapping[str, int]:
    """Return what happened in one history.

    Errors
        InvariantBroken names what didn't hold
    """
    world = FaultWorld(folder, seed)
    try:
        world.run(STEPS)
    except PowerTookAGroup:
        world.counts["power took a group"] = 1
    return world.counts


@pytest.mark.case("EVIDENCE-4", "EVIDENCE-54", "GATE-22", "GATE-107")
@pytest.mark.parametrize("group", range(GROUPS))
def test_no_history_of_faults_makes_the_gate_count_too_little_or_forget_an_answer(tmp_path: Path, group: int) -> None:
    happened: Counter[str] = Counter()
    for seed in range(group, SEEDS, GROUPS):
        happened.update(played(tmp_path / str(seed), seed))

    rare = {"lose_power", "die", "kill_and_lift", "step_wall_clock", "send_late", "ask_again", "amend"}
    assert rare <= set(happened)


@pytest.mark.slow
def test_ten_thousand_histories_break_nothing(tmp_path: Path) -> None:
    first, seeds = int(os.environ.get("GATE_FAULT_SEED", "1000")), int(os.environ.get("GATE_FAULT_SEEDS", "10000"))
    happened: Counter[str] = Counter()
    for seed in range(first, first + seeds):
        folder = tmp_path / str(seed)
        happened.update(played(folder, seed))
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
    print(f"{seeds} histories from seed {first}: {dict(sorted(happened.items()))}")


# --- the simulator itself: it must see what is wrong when something is ---------------------------------------------


def answers_before_flushing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gate, "commit", lambda _gate: None)


def flushes_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fault_world.PowerDisk, "sync_content", SystemDisk.sync_content)


def forgets_everything_at_a_restart(patch: pytest.MonkeyPatch) -> None:
    def recover(*_: Any, **__: Any) -> Recovered:
        return Recovered(None, 0, 0, 0, 0)

    patch.setattr("controlplane.gate.gate.recover", recover)


def skips_the_desk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fault_world, "DESK_LONG_MAX", 1 << 40)
    snapshot = bounded_snapshot()
    patch.setattr(fault_world, "DESK_LONG_MAX", 45)
    patch.setattr(fault_world, "bounded_snapshot", lambda: snapshot)


def frees_at_a_cancel_request(patch: pytest.MonkeyPatch) -> None:
    decide = EmbeddedGate.decide

    def eager(gate: EmbeddedGate, command: Any) -> Any:
        verdict = decide(gate, command)
        if command.quantity_lots == 0:
            gate.report(VenueReport(ReportKind.CANCELLED, command.child_id))
        return verdict

    patch.setattr(EmbeddedGate, "decide", eager)


def takes_unknown_for_not_sent(patch: pytest.MonkeyPatch) -> None:
    report = EmbeddedGate.report

    def hopeful(gate: EmbeddedGate, told: Any) -> None:
        if told.kind is ReportKind.SEND_UNKNOWN:
            told = VenueReport(ReportKind.NOT_SENT, told.child_id)
        report(gate, told)

    patch.setattr(EmbeddedGate, "report", hopeful)


def counts_every_fill_that_is_said(patch: pytest.MonkeyPatch) -> None:
    report, said = EmbeddedGate.report, iter(range(1_000_000, 10_000_000))

    def credulous(gate: EmbeddedGate, told: Any) -> None:
        if told.kind is ReportKind.FILLED:
            told = replace(told, execution_id=next(said))
        report(gate, told)

    patch.setattr(EmbeddedGate, "report", credulous)


def lets_permits_outlive_a_kill(patch: pytest.MonkeyPatch) -> None:
    verify = port.verify

    def lenient(permit: Permit, command: OrderCommand, *, key: PermitKey, fence: int, now_ns: int) -> None:
        verify(permit, command, key=key, fence=permit.fence, now_ns=now_ns)

    patch.setattr(port, "verify", lenient)


def believes_the_new_total_alone(patch: pytest.MonkeyPatch) -> None:
    report = EmbeddedGate.report

    def careless(gate: EmbeddedGate, told: Any) -> None:
        if told.kind is ReportKind.AMENDED:
            told = replace(told, cumulative_lots=0)
        report(gate, told)

    patch.setattr(EmbeddedGate, "report", careless)


def leaves_recovered_records_unflushed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("controlplane.journal.recovery._flush_last", lambda *_, **__: None)


@pytest.mark.parametrize(
    "plant",
    [
        answers_before_flushing, flushes_nothing, forgets_everything_at_a_restart, skips_the_desk,
        frees_at_a_cancel_request, takes_unknown_for_not_sent, counts_every_fill_that_is_said,
        lets_permits_outlive_a_kill, believes_the_new_total_alone,
        leaves_recovered_records_unflushed,
    ],
)  # fmt: skip
def test_planted_mutant_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)

    with pytest.raises(InvariantBroken, match=r"seed \d+, step \d+: "):
        all(played(tmp_path / str(seed), seed) for seed in range(MUTANT_SEEDS))
