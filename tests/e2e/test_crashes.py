"""Every program killed in turn while blocks are worked: nothing allowed is lost, no lot is lost or counted twice.

One run with real processes and a real database, told as a story in `run_through_crashes`; the tests look at what is
left.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from controlplane.demo_summary import Block, executor_records, totals_of
from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.errors import GateUnavailable
from controlplane.gate.client import GateClient
from controlplane.gate.switch import Switch
from controlplane.journal import service
from controlplane.journal.reader import scan
from controlplane.journal.record import FLAG_JSON, RecordKind, decode_json, entry_words, unpack_head
from controlplane.journal.verify import verify as verify_log
from controlplane.runtime import postgres
from controlplane.runtime.database import Database
from executor.intake.command_line import Inbox
from tests.support.gate_process import Trader, eventually
from tests.support.programs import Machine, Program, machine

pytestmark = pytest.mark.xdist_group("crashes")

# Far longer than the run: what is left of the blocks at its end is cancelled.
MINUTES = "4"
SLICES = "100"
PAUSE_SECONDS = 0.25
BLOCKS = (("ETH-25DEC37-4000-C", "buy", "400"), ("ETH-PERP", "sell", "100"))


@dataclass(slots=True)
class Story:
    """What was seen at each turn of the run."""

    blocks: list[Block] = field(default_factory=list)
    allowed_before_gate_died: dict[int, bytes] = field(default_factory=dict)
    sent_while_gate_was_away: int = 0
    denied_while_gate_was_away: list[str] = field(default_factory=list)
    live_after_executor_died: set[str] = field(default_factory=set)
    live_without_an_end_before: set[str] = field(default_factory=set)
    decisions_while_postgres_was_away: int = 0
    copies: list[dict[str, Any]] = field(default_factory=list)
    journal: Path = Path()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The run, once for every test of this file."""
    with machine(tmp_path_factory.mktemp("crashes") / "state") as place:
        found = Story(journal=place.state_directory / "journal")
        run_through_crashes(place, found)
        yield found


def run_through_crashes(place: Machine, found: Story) -> None:
    """Start everything, hand in two blocks, and kill gate, executor, service and postmaster, each in its turn."""
    cluster = postgres.start(place.state_directory / "postgres")
    try:
        gate = place.start_gate()
        drain, _service, _venue = start_neighbours(place)
        executor = start_executor(place)
        found.blocks = [hand_in(place, *block) for block in BLOCKS]
        soon(lambda: len(of_kind(place, "ChildSent")) >= 4)

        gate_dies_and_returns(place, gate, found)
        executor_dies_and_returns(place, executor, found)
        service_dies_and_returns(place, _service)
        postmaster_dies_and_returns(place, found)

        for block in found.blocks:
            told(place, {"parent_id": block.parent_id, "operation": "cancel", "reason": "the story ends", "by": "test"})
        soon(lambda: len(of_kind(place, "ParentFinished")) == len(BLOCKS))
        for name in ("executor", "venue", "gate", "service"):
            end(place, name)
        found.copies = copies_of(place, postgres.start(place.state_directory / "postgres").dsn)
        drain.end()
    finally:
        for program in reversed(place.programs):
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()
        cluster.stop()


def gate_dies_and_returns(place: Machine, gate: Program, found: Story) -> None:
    found.allowed_before_gate_died = allowed_orders(place)
    gate.process.kill()
    gate.process.wait()
    away_from = time.time_ns()
    time.sleep(1.5)
    away_until = time.time_ns()
    place.start_gate()
    records = executor_records(place.state_directory / "journal" / "executor-0")
    away = [record for record in records if away_from < int(record["wall_ns"]) < away_until]
    found.sent_while_gate_was_away = sum(record["kind"] == "ChildSent" for record in away)
    found.denied_while_gate_was_away = [code for r in away if r["kind"] == "ChildDenied" for code in r["codes"]]
    count = len(of_kind(place, "ChildSent"))
    soon(lambda: len(of_kind(place, "ChildSent")) > count)


def executor_dies_and_returns(place: Machine, executor: Program, found: Story) -> None:
    soon(lambda: is_frozen_with_orders_out(place, executor))
    executor.process.kill()
    executor.process.wait()
    found.live_without_an_end_before = without_an_end(place)
    found.live_after_executor_died = live_orders(place)
    start_executor(place)


def is_frozen_with_orders_out(place: Machine, executor: Program) -> bool:
    """Whether the executor stands still while orders of its are at the venue; it goes on when none is."""
    executor.process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    if without_an_end(place) & live_orders(place):
        return True
    executor.process.send_signal(signal.SIGCONT)
    return False


def service_dies_and_returns(place: Machine, service_program: Program) -> None:
    service_program.process.kill()
    service_program.process.wait()
    start_service(place)


def postmaster_dies_and_returns(place: Machine, found: Story) -> None:
    pid = int((place.state_directory / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    before = decisions(place)
    soon(lambda: decisions(place) > before)
    found.decisions_while_postgres_was_away = decisions(place) - before
    postgres.start(place.state_directory / "postgres")


# --- programs -----------------------------------------------------------------------------------------------------


def start_neighbours(place: Machine) -> tuple[Program, Program, Program]:
    drain = place.start("drain", "drain")
    service_program = start_service(place)
    venue = place.start("venue", "venue", "--seed", "11", module="executor.cli")
    venue.wait_until("venue_ready")
    return drain, service_program, venue


def start_service(place: Machine) -> Program:
    program = place.start("service", "serve", "--port", "0")
    program.wait_until("Console: ")
    return program


def start_executor(place: Machine) -> Program:
    program = place.start("executor", "run", module="executor.cli")
    program.wait_until("executor_ready")
    return program


def hand_in(place: Machine, instrument: str, side: str, quantity: str) -> Block:
    wanted = {
        "instrument": instrument,
        "side": side,
        "quantity": quantity,
        "strategy": "twap",
        "minutes": MINUTES,
        "parameters": {"slices": SLICES},
    }
    return Block(parent_id=str(told(place, wanted)["parent_id"]), instrument=instrument, side=side)


def told(place: Machine, fields: dict[str, object]) -> Mapping[str, object]:
    """The executor's answer to an order or an operator's word, handed over as `executor submit` does."""
    inbox = Inbox(place.state_directory / "executor")
    return inbox.wait(inbox.put(fields), 30)


def end(place: Machine, name: str) -> None:
    for program in place.programs:
        if program.name == name and program.process.poll() is None:
            assert program.end() == 0, program.output()[-2_000:]


def copies_of(place: Machine, dsn: str) -> list[dict[str, Any]]:
    """Rows and records of every log once the drain has caught up, or as they are after half a minute."""
    deadline = time.monotonic() + 45
    with Database(dsn) as database:
        while True:
            with database.transaction() as connection:
                logs = service.completeness(connection, place.state_directory / "journal")
            if all(log.is_complete for log in logs) or time.monotonic() > deadline:
                return [
                    {"log": log.log, "records": log.records, "rows": log.rows, "is_complete": log.is_complete}
                    for log in logs
                ]
            time.sleep(0.5)


def soon(holds: Callable[[], bool]) -> None:
    """Return once a condition holds that takes reading the journal to know."""
    eventually(holds, seconds_max=45, pause_seconds=PAUSE_SECONDS)


# --- what is on record --------------------------------------------------------------------------------------------


def of_kind(place: Machine, kind: str) -> list[dict[str, Any]]:
    records = executor_records(place.state_directory / "journal" / "executor-0")
    return [record for record in records if record["kind"] == kind]


def allowed_orders(place: Machine) -> dict[int, bytes]:
    """Every allowed decision of the gate by its sequence, with its bytes."""
    found = {}
    for record in scan(place.gate_journal):
        if not record.flags & FLAG_JSON:
            head = unpack_head(entry_words(record.entry)[0])
            if head.kind == RecordKind.ORDER_DECIDED and head.outcome == Outcome.ALLOWED:
                found[record.seq] = record.entry
    return found


def live_orders(place: Machine) -> set[str]:
    try:
        return {str(row["child_id"]) for row in place.control().control("live_orders")["rows"]}
    except GateUnavailable:
        return set()


def without_an_end(place: Machine) -> set[str]:
    """Orders that left for the venue and whose end the executor had not recorded."""
    records = executor_records(place.state_directory / "journal" / "executor-0")
    asked = {str(r["child_id"]): int(r["quantity_lots"]) for r in records if r["kind"] == "ChildRequested"}
    sent = {str(r["child_id"]): asked[str(r["child_id"])] for r in records if r["kind"] == "ChildSent"}
    for record in records:
        if record["kind"] == "ReportReceived" and record["child_id"] in sent:
            if record["report"] == "FILLED":
                sent[record["child_id"]] -= int(record["quantity_lots"])
            elif record["report"] in ("CANCELLED", "REJECTED", "EXPIRED"):
                sent[record["child_id"]] = 0
    return {child for child, left in sent.items() if left > 0}


def decisions(place: Machine) -> int:
    return sum(place.control().control("status")["decisions"].values())


# --- the tests ----------------------------------------------------------------------------------------------------


@pytest.mark.case("EVIDENCE-2")
def test_no_allowed_decision_is_lost_when_the_gate_is_killed(story: Story) -> None:
    kept = {record.seq: record.entry for record in scan(story.journal / "gate-0") if not record.flags & FLAG_JSON}

    assert len(story.allowed_before_gate_died) >= 4
    assert {
        sequence: kept.get(sequence) for sequence in story.allowed_before_gate_died
    } == story.allowed_before_gate_died


@pytest.mark.case("EVIDENCE-1")
def test_nothing_reaches_a_venue_while_the_gate_is_away(story: Story) -> None:
    assert story.sent_while_gate_was_away == 0
    assert set(story.denied_while_gate_was_away) <= {DenialCode.GATE_UNAVAILABLE.name}


@pytest.mark.case("EVIDENCE-54")
def test_orders_without_an_end_count_as_live_while_the_executor_is_away(story: Story) -> None:
    assert story.live_without_an_end_before
    assert story.live_without_an_end_before <= story.live_after_executor_died


@pytest.mark.case("EVIDENCE-38")
def test_gate_goes_on_deciding_while_postgres_is_away_and_the_copy_catches_up(story: Story) -> None:
    assert story.decisions_while_postgres_was_away > 0
    assert {copy["log"] for copy in story.copies} >= {"gate-0", "executor-0"}
    assert [copy for copy in story.copies if not copy["is_complete"]] == []


def test_no_lot_is_lost_or_counted_twice_and_every_order_sent_was_allowed_once(story: Story) -> None:
    totals = totals_of(story.journal, story.blocks, story.copies)

    faults = [fault for fault in totals["faults"] if "at least one denial" not in fault]
    assert faults == []
    assert [block["ordered_lots"] for block in totals["blocks"]] == [400, 100_000]
    assert all(block["filled_lots"] > 0 for block in totals["blocks"])
    assert totals["children_sent"] >= 6


def test_record_of_every_program_is_sound_and_tells_of_each_run(story: Story) -> None:
    gate, executor = verify_log(story.journal / "gate-0"), verify_log(story.journal / "executor-0")

    assert (gate.is_sound, executor.is_sound) == (True, True)
    assert (gate.epochs, executor.epochs) == (2, 2)


# --- a full disk --------------------------------------------------------------------------------------------------

DISK_MIB = 24
SMALL_SEGMENT_BYTES = 1 << 20


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """A disk of a few MiB of its own; skips where this user may not mount one."""
    path.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"mounting a small disk needs rights that this user hasn't: {made.stderr.strip()[:120]}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True, capture_output=True)


@pytest.mark.case("EVIDENCE-11")
@pytest.mark.case("GATE-83")
def test_full_disk_ends_the_gate_with_a_sentence_and_loses_nothing_that_was_recorded(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, machine(disk / "state") as place:
        gate = place.start(
            "gate", str(place.state_directory), str(SMALL_SEGMENT_BYTES), module="tests.support.small_gate"
        )
        gate.wait_until("answers at")
        trader = Trader.start(GateClient.connect(place.socket_path, program=1, seconds_max=10))
        fill_up(disk)
        allowed = decide_until_it_ends(gate, trader)
        killed = place.run("kill", "--reason", "the disk is full", "--wait", "0")

        assert gate.process.wait(timeout=20) == 3
        assert "space" in gate.output()
        assert "Traceback" not in gate.output()
        assert len(allowed) > 10
        assert killed.returncode == 0
        assert not Switch.open(place.gate_directory).is_armed()
        kept = allowed_orders(place)
        assert set(allowed) <= set(kept)
        assert "MachineKilled" in [
            str(decode_json(record.entry)["kind"]) for record in scan(place.gate_journal) if record.flags & FLAG_JSON
        ]
        (disk / "filler").unlink()
        again = place.start(
            "gate", str(place.state_directory), str(SMALL_SEGMENT_BYTES), module="tests.support.small_gate"
        )
        again.wait_until("answers at")
        assert place.control().control("status")["state"] == "KILLED"
        assert verify_log(place.gate_journal).is_sound
        again.end()


def fill_up(disk: Path) -> None:
    """Leave no room for another segment."""
    with (disk / "filler").open("wb") as file:
        try:
            while True:
                file.write(b"\0" * (1 << 16))
                file.flush()
        except OSError:
            return


def decide_until_it_ends(gate: Program, trader: Trader) -> list[int]:
    """Return the sequences of the orders that were allowed until the gate could record no more."""
    allowed = []
    deadline = time.monotonic() + 60
    while gate.process.poll() is None and time.monotonic() < deadline:
        verdict = trader.client.decide(trader.order(quantity_lots=1, price_ticks=600_000))
        if verdict.is_allowed:
            allowed.append(verdict.sequence)
        elif verdict.codes[0] in (DenialCode.JOURNAL_UNAVAILABLE, DenialCode.GATE_UNAVAILABLE):
            break
    return allowed
