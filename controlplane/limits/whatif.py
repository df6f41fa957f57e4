"""A recorded day under other limits: which orders would have been denied, which allowed, and by which limit.

The recorded commands are told to the compiled gate again, under the other limits. What was said about an order that
would not have existed is left out, so positions and reservations are those that these limits would have led to. What
people and programs would have done then nobody can know: `TREATMENT` says what is assumed instead.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.errors import ChainBroken
from controlplane.domain.orders import CommandKind, Side
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.domain.scopes import SCOPE_KINDS, Level
from controlplane.gate import words as w
from controlplane.gate.kernel import rerun
from controlplane.gate.kernel.arrays import Capacity
from controlplane.gate.kernel.loading import State
from controlplane.gate.replay import Machine, capacity_from_json, snapshot_from_json
from controlplane.gate.snapshot import Snapshot
from controlplane.gate.verdict import explain
from controlplane.journal import record
from controlplane.journal.reader import Part
from controlplane.journal.record import RecordKind
from controlplane.limits.renumber import Renumbering, check_contracts

EXAMPLES_MAX = 3
NAMES_ONLY = Capacity(orders=1, parents=1, requests=1, executions=1)

_DENIED_NOW = (
    "An order that would have been denied doesn't exist here: its reports, amends and cancels are left out, and with "
    "its fills the position that they made."
)
_ALLOWED_NOW = (
    "An order that would have been allowed has no fills in the record: it counts as a message and as a child of its "
    "parent, and is taken back at once."
)
_AMENDS = (
    "An amend that would have been denied leaves its order as it was, and fills recorded after it are taken as they "
    "are; one that would have been allowed is taken back at once."
)
_THE_REST = (
    "Everything else is told as it was recorded: prices, volumes, stops and lifts by people, and what was asked for "
    "next, though a program with another answer might have asked for something else."
)
TREATMENT = (_DENIED_NOW, _ALLOWED_NOW, _AMENDS, _THE_REST)


@dataclass(frozen=True, slots=True)
class Example:
    """One request whose answer changed, in words for people; `sequence` is its place in the log."""

    sequence: int
    time: str
    request: str
    reason: str


@dataclass(slots=True)
class Group:
    """Changed answers for one reason at one level: the denial that is new, or the one that would be gone."""

    code: str
    level: str
    count: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What other limits would have made of a log.

    Fields
        records        told or left out, those of no command included
        decisions      recorded ones, by outcome
        denied         groups of requests that were allowed and would be denied, largest first
        allowed        groups of requests that were denied and would be allowed
        other_reason   requests denied both times, now first for another reason
        left_out       requests, reports and fills among them that were left out
        first_ns, last_ns  wall time of the first and last command
    """

    records: int
    decisions: Mapping[str, int]
    denied: tuple[Group, ...]
    allowed: tuple[Group, ...]
    other_reason: int
    left_out: Mapping[str, int]
    first_ns: int
    last_ns: int

    def document(self) -> dict[str, Any]:
        """Return the result as JSON values, with what was assumed."""
        return {
            "records": self.records,
            "first_ns": str(self.first_ns),
            "last_ns": str(self.last_ns),
            "decisions": dict(self.decisions),
            "would_be_denied": _groups_document(self.denied),
            "would_be_allowed": _groups_document(self.allowed),
            "denied_for_another_reason": self.other_reason,
            "left_out": dict(self.left_out),
            "treatment": list(TREATMENT),
        }


def run_under(
    limits_of: Callable[[Snapshot], Snapshot], parts: Iterable[Part | tuple[int, dict[str, Any]]]
) -> Outcomes:
    """Return what other limits would have made of a log.

    Arguments
        limits_of  the limits to decide under instead of recorded ones
        parts      the log in order (`journal.reader.read_parts`); memory is that of a gate and 16 bytes for each
                   order that would not have existed

    Errors
        InvalidRequest    the other limits change what a lot or a tick is worth
        SnapshotMismatch  they can't take over what is live
        ChainBroken       the log holds a decision before any limits
    """
    rerunning = _Rerunning(limits_of)
    for part in parts:
        if isinstance(part, Part):
            rerunning.take(part)
        else:
            rerunning.take_document(part[1])
    return rerunning.result()


class _Rerunning:
    """The gate under the other limits, the orders that it left out, and what changed so far."""

    def __init__(self, limits_of: Callable[[Snapshot], Snapshot]) -> None:
        self._limits_of = limits_of
        self._machine: Machine | None = None
        self._recorded: State | None = None
        self._numbers: Renumbering | None = None
        self._left_out_count = 0
        self._groups: dict[tuple[Outcome, str, str], Group] = {}
        self._records = self._first_ns = self._last_ns = 0

    def take_document(self, found: Mapping[str, Any]) -> None:
        """Take new limits in force; other records of people and programs concern no decision."""
        self._records += 1
        if found.get("kind") != RecordKind.SNAPSHOT_LOADED.text:
            return
        recorded = snapshot_from_json(json.dumps(found["snapshot"]))
        other = self._limits_of(recorded)
        check_contracts(recorded, other)
        self._recorded = Machine(NAMES_ONLY).load(recorded)
        if self._machine is None:
            self._machine = Machine(capacity_from_json(found))
        self._numbers = Renumbering(self._recorded, self._machine.load(other))

    def take(self, part: Part) -> None:
        """Tell the machine a run of commands, and note every answer that changed."""
        machine, numbers = self._machine, self._numbers
        if machine is None or numbers is None:
            raise ChainBroken(
                f"Expected the limits before record {part.seqs[0]}, found a decision; restore the journal."
            )
        told = numbers.entries(part.entries)
        row = -1
        while True:
            row = machine.tell(told, row + 1)
            if row < 0:
                break
            self._note(int(part.seqs[row]), part.entries[row].tolist())
        self._records += len(part.entries)
        self._first_ns = self._first_ns or int(part.entries[0, record.WORD_WALL_NS])
        self._last_ns = int(part.entries[-1, record.WORD_WALL_NS])

    def _note(self, seq: int, recorded: Sequence[int]) -> None:
        """Note one changed answer, and undo what the record says nothing about."""
        machine, was = self._machine, self._recorded
        if machine is None or machine.state is None or was is None:
            return
        now = machine.entry()
        is_denied = now[record.WORD_HEAD] >> 16 & 0xFFFF == Outcome.DENIED
        is_amend = recorded[record.WORD_HEAD] >> 8 & 0xFF == CommandKind.AMEND
        child_id = recorded[record.WORD_CHILD_ID]
        if is_denied and not is_amend:
            self._leave_out(machine, child_id)
        elif not is_denied:
            kind = ReportKind.AMEND_REJECTED if is_amend else ReportKind.NOT_SENT
            machine.apply(
                w.report_words(VenueReport(kind, child_id)),
                wall_ns=recorded[record.WORD_WALL_NS],
                monotonic_ns=recorded[record.WORD_MONOTONIC_NS],
            )
        denial, state = (now, machine.state) if is_denied else (recorded, was)
        self._count(Outcome.DENIED if is_denied else Outcome.ALLOWED, seq, denial, state)

    def _count(self, outcome: Outcome, seq: int, denial: Sequence[int], state: State) -> None:
        """Count one change in its group; `denial` is the record that holds the reason, `state` has its names."""
        number = denial[record.WORD_HEAD] >> 32 & 0xFFFF
        code = DenialCode(number).name if number in _CODES else str(number)
        level = _level(denial[record.WORD_BINDING_SCOPE] & 0xFF)
        group = self._groups.setdefault((outcome, code, level), Group(code, level))
        group.count += 1
        if len(group.examples) < EXAMPLES_MAX:
            moment = dt.datetime.fromtimestamp(denial[record.WORD_WALL_NS] // 1_000_000 / 1_000, dt.UTC)
            group.examples.append(
                Example(
                    sequence=seq,
                    time=moment.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00"),
                    request=request_text(denial, state),
                    reason=explain(denial, state.handles),
                )
            )

    def _leave_out(self, machine: Machine, child_id: int) -> None:
        self._left_out_count += 1
        if 2 * self._left_out_count > len(machine.left_out):
            held = machine.left_out[machine.left_out != 0]
            machine.left_out = np.zeros(2 * len(machine.left_out), np.int64)
            for one in held.tolist():
                rerun.list_order(machine.left_out, one)
        rerun.list_order(machine.left_out, child_id)

    def result(self) -> Outcomes:
        denied, allowed = self._sorted(Outcome.DENIED), self._sorted(Outcome.ALLOWED)
        counts = [0] * rerun.COUNTS if self._machine is None else self._machine.counts.tolist()
        now_denied, now_allowed = (sum(group.count for group in groups) for groups in (denied, allowed))
        left_out = {
            "requests": counts[rerun.LEFT_OUT_ALLOWED] + counts[rerun.LEFT_OUT_DENIED],
            "reports": counts[rerun.LEFT_OUT_REPORTS],
            "fills": counts[rerun.LEFT_OUT_FILLS],
        }
        return Outcomes(
            records=self._records,
            decisions={
                Outcome.ALLOWED.name: counts[rerun.SAME_ALLOWED] + counts[rerun.LEFT_OUT_ALLOWED] + now_denied,
                Outcome.DENIED.name: counts[rerun.SAME_DENIED] + counts[rerun.LEFT_OUT_DENIED] + now_allowed,
            },
            denied=denied,
            allowed=allowed,
            other_reason=counts[rerun.OTHER_REASON],
            left_out=left_out,
            first_ns=self._first_ns,
            last_ns=self._last_ns,
        )

    def _sorted(self, outcome: Outcome) -> tuple[Group, ...]:
        groups = [group for (own, _, _), group in self._groups.items() if own is outcome]
        return tuple(sorted(groups, key=lambda group: (-group.count, group.code, group.level)))


def request_text(words: Sequence[int], state: State) -> str:
    """Return what was asked for, as a person writes it: `sell 12.000 BTC-PERP at 60012.3 for crypto/twap`."""
    head, number = words[record.WORD_HEAD], words[record.WORD_ROUTE]
    kind, side = _KINDS.get(head >> 8 & 0xFF, ""), _SIDES.get(words[record.WORD_SIDE], "trade")
    lots, ticks = words[record.WORD_QUANTITY_LOTS], words[record.WORD_PRICE_TICKS]
    if not 0 <= number < len(state.handles.routes):
        return f"{kind}{side} {lots} lots at {ticks} ticks on a route that isn't there"
    route = state.handles.routes[number]
    rules = next(rules for rules in state.snapshot.instruments if rules.instrument.name == route.instrument)
    quantity, price = rules.instrument.quantity(lots), rules.instrument.price(ticks)
    return f"{kind}{side} {quantity} {route.instrument} at {price} for {route.strategy}"


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return a result for a terminal: what was run, two tables with examples, and what was assumed."""
    decisions, left_out = found["decisions"], found["left_out"]
    total = sum(decisions.values())
    first, last = (
        dt.datetime.fromtimestamp(int(found[name]) // 1_000_000_000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
        for name in ("first_ns", "last_ns")
    )
    told = [
        f"{found['log']}: {total:,} requests from {first} to {last} UTC, decided under {found['limits']['folder']}.",
        f"Recorded: {decisions['ALLOWED']:,} allowed, {decisions['DENIED']:,} denied.",
    ]
    told += _table_lines("Allowed then, would be denied", found["would_be_denied"], of=decisions["ALLOWED"])
    told += _table_lines("Denied then, would be allowed", found["would_be_allowed"], of=decisions["DENIED"])
    told.append(f"Denied both times, first for another reason: {found['denied_for_another_reason']:,}.")
    counts = f"{left_out['requests']:,} requests, {left_out['reports']:,} reports, {left_out['fills']:,} of them fills"
    told.append(f"Left out with orders that would not exist: {counts}.")
    told.append("How what follows a changed answer is treated:")
    return [*told, *(f"  - {sentence}" for sentence in found["treatment"])]


def _table_lines(title: str, found: Mapping[str, Any], *, of: int) -> list[str]:
    told = [f"{title}: {found['count']:,} of {of:,}."]
    if not found["groups"]:
        return told
    told.append(f"  {'count':>9}  {'level':<12} reason")
    for group in found["groups"]:
        told.append(f"  {group['count']:>9,}  {group['level']:<12} {group['code']}")
        told += [
            f"             {one['time']} record {one['sequence']}, {one['request']}: {one['reason']}"
            for one in group["examples"]
        ]
    return told


def _groups_document(groups: Sequence[Group]) -> dict[str, Any]:
    by_code: dict[str, int] = {}
    by_level: dict[str, int] = {}
    for group in groups:
        by_code[group.code] = by_code.get(group.code, 0) + group.count
        by_level[group.level] = by_level.get(group.level, 0) + group.count
    return {
        "count": sum(group.count for group in groups),
        "by_code": by_code,
        "by_level": by_level,
        "groups": [asdict(group) for group in groups],
    }


def _level(kind: int) -> str:
    """Return the level or cross dimension that decided; the firm where a check belongs to no scope."""
    return (SCOPE_KINDS[kind] if kind < len(SCOPE_KINDS) else Level.FIRM).name.lower()


_KINDS = {int(CommandKind.AMEND): "amend to ", int(CommandKind.QUOTE_ACCEPTANCE): "accept a quote to "}
_SIDES = {int(Side.BUY): "buy", int(Side.SELL): "sell"}
_CODES = frozenset(int(code) for code in DenialCode)
