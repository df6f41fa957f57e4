"""What a demo came to: every lot of every block, what it cost, what the gate decided, and whether the record is whole.

Read from the journals alone. Fills are counted twice, as the executor and as the gate recorded them, and must agree.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.ids import to_text
from controlplane.domain.orders import CommandKind
from controlplane.domain.reports import ReportKind
from controlplane.journal.reader import scan
from controlplane.journal.record import (
    FLAG_JSON,
    WORD_CHILD_ID,
    WORD_PARENT_ID,
    WORD_QUANTITY_LOTS,
    RecordKind,
    decode_json,
    entry_words,
    unpack_head,
)
from controlplane.journal.verify import verify_journal

PLACES = ("filled_lots", "working_lots", "in_flight_lots", "unplaced_lots", "cancelled_lots")


@dataclass(frozen=True, slots=True)
class Block:
    """One parent order that the demo handed in."""

    parent_id: str
    instrument: str
    side: str


@dataclass(frozen=True, slots=True)
class GateView:
    """What the gate recorded: decisions, fills of each parent, and how often each child was allowed."""

    outcomes: Counter[str]
    codes: Counter[str]
    filled_lots: Counter[str]
    allowed: Counter[str]


def totals_of(journal_directory: Path, blocks: Sequence[Block], copies: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the summary; `faults` holds a sentence for everything that doesn't add up."""
    gate = gate_view(journal_directory / "gate-0")
    records = executor_records(journal_directory / "executor-0")
    reports = verify_journal(journal_directory)
    rows = [block_of(block, records, gate) for block in blocks]
    sent = {str(record["child_id"]) for record in records if record["kind"] == "ChildSent"}
    faults = [fault for row in rows for fault in row.pop("faults")]
    faults += [
        f"Order {child} was sent with {gate.allowed[child]} allowed decisions, expected 1."
        for child in sorted(sent)
        if gate.allowed[child] != 1
    ]
    faults += [f"Log {report.log}: {report.problem}" for report in reports if not report.is_sound]
    faults += [
        f"Log {copy['log']}: {copy['records']} records, {copy['rows']} rows."
        for copy in copies
        if not copy["is_complete"]
    ]
    if not gate.codes:
        faults.append("Expected at least one denial on the way, found none.")
    return {
        "blocks": rows,
        "decisions": {"outcomes": dict(gate.outcomes), "codes": dict(gate.codes)},
        "children_sent": len(sent),
        "journal": [
            {"log": report.log, "is_sound": report.is_sound, "records": report.records, "chain": report.chain}
            for report in reports
        ],
        "copy": copies,
        "faults": faults,
    }


def block_of(block: Block, records: list[dict[str, Any]], gate: GateView) -> dict[str, Any]:
    """Return one block: where every lot is, and what it cost."""
    own = [record for record in records if record.get("parent_id") == block.parent_id]
    ended = next((record for record in own if record["kind"] == "ParentFinished"), None)
    figures: dict[str, Any] = next((record["figures"] for record in own if record["kind"] == "TcaComputed"), {})
    row: dict[str, Any] = {
        "parent_id": block.parent_id,
        "instrument": block.instrument,
        "side": block.side,
        "shortfall": figures,
    }
    if ended is None:
        return row | {"faults": [f"Block {block.parent_id} has not ended."]}
    lots = {name: int(ended[name]) for name in PLACES}
    ordered, booked = int(ended["ordered_lots"]), gate.filled_lots[block.parent_id]
    faults = []
    if sum(lots.values()) != ordered or int(ended["excess_lots"]):
        faults.append(f"Block {block.parent_id}: {ordered} lots ordered, {sum(lots.values())} found.")
    if booked != lots["filled_lots"]:
        faults.append(
            f"Block {block.parent_id}: the executor counts {lots['filled_lots']} filled lots, the gate {booked}."
        )
    denied = Counter(code for record in own if record["kind"] == "ChildDenied" for code in record["codes"])
    return (
        row
        | lots
        | {
            "state": ended["state"],
            "ordered_lots": ordered,
            "gate_filled_lots": booked,
            "children": int(ended["children"]),
            "denied": dict(denied),
            "faults": faults,
        }
    )


def gate_view(directory: Path) -> GateView:
    """Return what the gate's own record says of fills and allowed orders."""
    parent_of: dict[int, int] = {}
    outcomes: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    filled: Counter[str] = Counter()
    allowed: Counter[str] = Counter()
    for record in scan(directory):
        if record.flags & FLAG_JSON:
            continue
        words = entry_words(record.entry)
        head = unpack_head(words[0])
        child = words[WORD_CHILD_ID]
        if head.kind == RecordKind.ORDER_DECIDED:
            outcomes[Outcome(head.outcome).name] += 1
            if head.outcome == Outcome.DENIED:
                codes[DenialCode(head.code).name] += 1
        if (
            head.kind == RecordKind.ORDER_DECIDED
            and head.subkind == CommandKind.NEW
            and head.outcome == Outcome.ALLOWED
        ):
            parent_of[child] = words[WORD_PARENT_ID]
            allowed[to_text(child)] += 1
        elif (
            head.kind == RecordKind.REPORT_APPLIED
            and head.subkind == ReportKind.FILLED
            and head.outcome == Outcome.ALLOWED
        ):
            filled[to_text(parent_of.get(child, 0))] += words[WORD_QUANTITY_LOTS]
    return GateView(outcomes, codes, filled, allowed)


def executor_records(directory: Path) -> list[dict[str, Any]]:
    """Return every record of the executor."""
    return [dict(decode_json(record.entry)) for record in scan(directory) if record.flags & FLAG_JSON]


def text_of(found: Mapping[str, Any]) -> str:
    """Return the summary for a terminal."""
    lines = ["", "What it came to", "---------------"]
    for row in found["blocks"]:
        lines += block_lines(row)
    decisions, latency = found["decisions"], found["latency_ns"]
    outcomes = ", ".join(f"{count} {name.lower()}" for name, count in sorted(decisions["outcomes"].items()))
    codes = ", ".join(f"{count} {name}" for name, count in decisions["codes"].items())
    lines.append(f"Decisions  {outcomes}; denied for {codes or 'nothing'}")
    lines.append(
        f"Latency    p50 {latency['p50'] / 1e3:.1f} us, p99 {latency['p99'] / 1e3:.1f} us a decision, record included"
    )
    sound = ", ".join(
        f"{log['log']} {log['records']} records {'sound' if log['is_sound'] else 'NOT SOUND'}"
        for log in found["journal"]
    )
    lines.append(f"Journal    {sound}")
    equal = ", ".join(
        f"{copy['log']} {copy['rows']} rows = {copy['records']} records"
        for copy in found["copy"]
        if copy["is_complete"]
    )
    lines.append(f"PostgreSQL {equal or 'not whole'}")
    lines += [f"FAULT      {fault}" for fault in found["faults"]]
    verdict = "Everything adds up." if not found["faults"] else f"{len(found['faults'])} things don't add up."
    return "\n".join(
        [*lines, f"{verdict} It took {found['seconds']} s; everything is kept in {found['state_directory']}."]
    )


def block_lines(row: Mapping[str, Any]) -> list[str]:
    """Return one block for a terminal."""
    heading = f"Block      {row['side']} {row['instrument']} ({row['parent_id']})"
    if "ordered_lots" not in row:
        return [f"{heading}: has not ended"]
    places = " + ".join(f"{row[name]} {name.removesuffix('_lots').replace('_', ' ')}" for name in PLACES)
    denied = ", ".join(f"{count} {code}" for code, count in row["denied"].items())
    lines = [
        f"{heading}: {row['state']}",
        f"  lots     {row['ordered_lots']} ordered = {places}; the gate booked {row['gate_filled_lots']} filled",
        f"  children {row['children']}; denied on the way: {denied or 'none'}",
    ]
    return [*lines, *shortfall_lines(row["shortfall"])]


def shortfall_lines(figures: Mapping[str, Any]) -> list[str]:
    """Return the implementation shortfall with its parts, or why there is none."""
    if "total" not in figures:
        return [f"  cost     {figures.get('not_computed', 'not on record')}"]
    parts = " + ".join(f"{name} {amount['currency']}" for name, amount in figures["parts"].items())
    return [f"  cost     shortfall {figures['total']['currency']} ({figures['total']['bps']} bps) = {parts}"]
