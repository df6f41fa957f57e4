"""Rebuilds parents and children from the executor's journal after a restart, and settles with gate and venues.

Nothing is believed that wasn't written: a child that was requested and has no end in the journal may be at its venue,
so it counts as live and unknown until the venue says what became of it. The gate, which outlived us, is told again
whatever we know about the orders it still counts; it takes each execution once.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.domain.errors import EvidenceError, UnknownReference
from controlplane.domain.ids import PROGRAM_MAX, from_text
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.domain.scopes import Route
from controlplane.gate.client import GatePort
from controlplane.journal.reader import scan
from controlplane.journal.record import decode_json
from executor.engine.events import Operation, ParentArrived, ParentInstruction
from executor.engine.loop import parent_work
from executor.engine.state import NEVER_NS, ChildWork, EngineState, ParentWork
from executor.orders.child import Child, ChildState, apply_report, decide_child, request_child
from executor.orders.parent import ParentAct, ParentState, absorb_change, act_on_parent, place_child

Record = Mapping[str, object]

RETOLD_MAX = 10_000
"""Reports told to the gate again at most, newest first; far fewer than the executions a gate remembers."""

EARLIER_VOLUMES = (1,) * 20
"""What vwap followed without a profile up to version 0.1.0, whose records don't state it."""

ACT_OF = {
    Operation.PAUSE: ParentAct.PAUSE,
    Operation.RESUME: ParentAct.RESUME,
    Operation.CANCEL: ParentAct.CANCEL,
}


@dataclass(slots=True)
class Recovered:
    """What the journal gave back.

    Fields
        reports   every report of a child, in the order in which it was recorded, as the gate must hear it
        unknown   children whose fate the venue has to tell
    """

    records: int = 0
    reports: list[VenueReport] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)


def records_of(directory: Path) -> Iterator[Record]:
    """Yield the executor's own records of a log, oldest first; nothing when there is no log yet."""
    if directory.is_dir():
        for record in scan(directory):
            if record.is_json:
                yield decode_json(record.entry)


def rebuild(state: EngineState, records: Iterable[Record], gate: GatePort) -> Recovered:
    """Return what was found, with parents and children back in the state.

    Errors
        EvidenceError     a record that contradicts the ones before it
        UnknownReference  the limits no longer know an instrument or route of an unfinished parent
    """
    found = Recovered()
    for record in records:
        found.records += 1
        kind = record["kind"]
        if kind == "ParentAccepted":
            _accept(state, record, gate)
        elif kind == "ChildRequested":
            _request(state, record)
        elif kind in ("ChildDenied", "ChildSent", "ChildRefused", "ReportReceived") and "child_id" in record:
            _answer(state, record, found)
        elif kind == "ParentCommanded":
            _command(state, record)
        elif kind == "ParentFinished":
            _finish(state, record)
    found.unknown = _distrust(state)
    return found


def settle_with_gate(state: EngineState, found: Recovered, gate: GatePort) -> int:
    """Tell the gate again what it may have missed; return how many reports that were.

    Told again are all reports of orders that the gate counts as live and the last report of all. An order that the
    gate counts and we never recorded is named in `counts`; it stays reserved until a venue or a person settles it.
    """
    live = {order.child_id: order for order in gate.working()}
    last = found.reports[-1:]
    missed = [report for report in found.reports if report.child_id in live]
    retold = [*missed, *(report for report in last if report.child_id not in live)][-RETOLD_MAX:]
    for report in retold:
        gate.report(report)
    own_program = state.mint.program
    for child_id, order in live.items():
        if child_id not in state.children and child_id & PROGRAM_MAX == own_program:
            state.counts["gate_orders_never_recorded"] += 1
            gate.report(VenueReport(ReportKind.SEND_UNKNOWN, child_id, route=order.route, side=order.side))
    return len(retold)


def _accept(state: EngineState, record: Record, gate: GatePort) -> None:
    """Take a parent back in as it was accepted."""
    instruction = instruction_from(record)
    if instruction.route.instrument not in state.instruments:
        raise UnknownReference(
            f"The journal holds parent order {record['parent_id']} in {instruction.route.instrument}, "
            "which the limits in force don't know; start with limits that do."
        )
    parent_id = from_text(str(record["parent_id"]))
    start_ns = int(str(record["start_ns"]))
    state.clock.advance_to(start_ns)
    arrived = ParentArrived(parent_id, instruction, gate.handle(instruction.route))
    work = parent_work(
        state,
        arrived,
        now_ns=start_ns,
        bid_ticks=_whole(record, "arrival_bid_ticks"),
        ask_ticks=_whole(record, "arrival_ask_ticks"),
        expected_volumes=_expected_volumes(record),
    )
    state.add_parent(work)
    state.mint.last = max(state.mint.last, parent_id)


def _request(state: EngineState, record: Record) -> None:
    """Take a child back in; from here on its lots are in flight."""
    parent = _parent(state, record)
    child_id = from_text(str(record["child_id"]))
    command = OrderCommand(
        kind=CommandKind.NEW,
        request_id=child_id,
        child_id=child_id,
        parent_id=parent.parent.parent_id,
        route=parent.route,
        side=Side[str(record["side"])],
        order_type=OrderType[str(record["order_type"])],
        time_in_force=TimeInForce[str(record["time_in_force"])],
        quantity_lots=_whole(record, "quantity_lots"),
        price_ticks=_whole(record, "price_ticks"),
    )
    # A child was asked for, so its parent was open and active by then.
    parent.is_open = True
    if parent.parent.state is ParentState.ACCEPTED:
        parent.parent = act_on_parent(parent.parent, ParentAct.START)
    child = request_child(
        child_id=child_id, parent_id=command.parent_id, side=command.side, quantity_lots=command.quantity_lots
    )
    parent.parent = place_child(parent.parent, child)
    # Volume counted before the restart stands in front of whatever the tape counts from now on.
    parent.start_lots = -_whole(record, "market_lots")
    state.add_child(
        ChildWork(
            child=child,
            command=command,
            venue=str(record["venue"]),
            working_until_ns=int(str(record["working_until_ns"])),
            urgency=str(record["urgency"]),
            reason=str(record["why"]),
        )
    )
    state.mint.last = max(state.mint.last, child_id)


def _answer(state: EngineState, record: Record, found: Recovered) -> None:
    """Apply what was recorded about a child: the gate's no, that it left, or a report."""
    child_id = from_text(str(record["child_id"]))
    report = _report_from(record, state)
    work = state.children.get(child_id)
    if work is None:
        if report is not None:
            found.reports.append(report)
        return
    if work.child.state is ChildState.REQUESTED:
        _change(state, work, decide_child(work.child, is_allowed=record["kind"] != "ChildDenied"))
    if report is None:
        return
    found.reports.append(report)
    change = apply_report(work.child, report)
    parent = state.parents[work.child.parent_id]
    if change.filled is not None:
        parent.filled.add(report.receive_ns, change.filled.quantity_lots)
        bid_ticks, ask_ticks = _whole(record, "bid_ticks"), _whole(record, "ask_ticks")
        if bid_ticks and ask_ticks:
            parent.fill_mids[report.execution_id] = bid_ticks + ask_ticks
    _change(state, work, change.child)


def _change(state: EngineState, work: ChildWork, child: Child) -> None:
    parent = state.parents[work.child.parent_id]
    before, work.child = work.child, child
    parent.parent = absorb_change(parent.parent, before=before, after=work.child)
    if work.is_settled:
        state.live_children.pop(work.child.child_id, None)


def _command(state: EngineState, record: Record) -> None:
    work = _parent(state, record)
    work.parent = act_on_parent(work.parent, ACT_OF[Operation(str(record["operation"]))])
    if record["operation"] == Operation.CANCEL.value:
        work.finish_reason = str(record["reason"])


def _finish(state: EngineState, record: Record) -> None:
    """Compare a parent's recorded end with what the records before it add up to."""
    work = _parent(state, record)
    recorded_lots = _whole(record, "filled_lots")
    if work.parent.filled_lots != recorded_lots:
        raise EvidenceError(
            f"Parent order {record['parent_id']} ended with {recorded_lots} lots filled by its record, "
            f"{work.parent.filled_lots} by its reports; keep the journal and find out which is right."
        )
    work.is_finished = True
    for act in (ParentAct.EXPIRE, ParentAct.CANCEL):
        if not work.parent.has_ended and work.parent.state in (
            ParentState.ACCEPTED,
            ParentState.ACTIVE,
            ParentState.PAUSED,
        ):
            work.parent = act_on_parent(work.parent, act)
    state.active_parents.pop(work.parent.parent_id, None)


def _distrust(state: EngineState) -> list[int]:
    """Make every child without an end unknown, and due to be asked about at once."""
    unknown = []
    for work in state.live_children.values():
        if work.child.state is ChildState.REQUESTED:
            _change(state, work, decide_child(work.child, is_allowed=True))
        if work.child.state in (ChildState.PERMITTED, ChildState.SENT):
            report = VenueReport(
                ReportKind.SEND_UNKNOWN, work.child.child_id, route=work.command.route, side=int(work.command.side)
            )
            _change(state, work, apply_report(work.child, report).child)
        work.answer_due_ns = 0
        work.cancel_due_ns = NEVER_NS
        unknown.append(work.child.child_id)
    state.look_again(0)
    return unknown


def instruction_from(record: Record) -> ParentInstruction:
    """Return the instruction of a recorded parent order."""
    pairs = record["parameters"]
    return ParentInstruction(
        reference=str(record["reference"]),
        route=Route(
            desk=str(record["desk"]),
            strategy=str(record["strategy"]),
            model=str(record["model"]),
            instrument=str(record["instrument"]),
            venue=str(record["venue"]),
            counterparty=str(record["counterparty"]),
        ),
        side=Side[str(record["side"])],
        quantity_lots=_whole(record, "quantity_lots"),
        horizon_ns=int(str(record["horizon_ns"])),
        limit_ticks=_whole(record, "limit_ticks"),
        participation_bps_max=_whole(record, "participation_bps_max"),
        parameters=tuple((str(pair[0]), str(pair[1])) for pair in pairs) if isinstance(pairs, list) else (),
        decision_ticks=_whole(record, "decision_ticks"),
        entered_by=str(record["entered_by"]),
    )


def _expected_volumes(record: Record) -> tuple[int, ...]:
    """Return the market volumes by slice that a recorded parent follows.

    A parent from before they were recorded followed even slices, unless it came with a profile, which goes before.
    """
    volumes = record.get("expected_volumes", EARLIER_VOLUMES)
    return tuple(int(str(volume)) for volume in volumes) if isinstance(volumes, list | tuple) else ()


def _report_from(record: Record, state: EngineState) -> VenueReport | None:
    """Return the report that a record stands for, None for a denial."""
    child_id = from_text(str(record["child_id"]))
    work = state.children.get(child_id)
    route, side = (-1, 0) if work is None else (work.command.route, int(work.command.side))
    kind = record["kind"]
    if kind == "ChildDenied":
        return None
    if kind in ("ChildSent", "ChildRefused"):
        report_kind = ReportKind.SENT if kind == "ChildSent" else ReportKind.NOT_SENT
        return VenueReport(report_kind, child_id, receive_ns=int(str(record["wall_ns"])), route=route, side=side)
    return VenueReport(
        kind=ReportKind[str(record["report"])],
        child_id=child_id,
        execution_id=int(str(record["execution_id"])),
        quantity_lots=_whole(record, "quantity_lots"),
        price_ticks=_whole(record, "price_ticks"),
        fee_micro=int(str(record["fee_micro"])),
        exchange_ns=int(str(record["exchange_ns"])),
        receive_ns=int(str(record["receive_ns"])),
        route=route,
        side=side if work is not None else _whole(record, "side"),
        cumulative_lots=_whole(record, "cumulative_lots"),
    )


def _parent(state: EngineState, record: Record) -> ParentWork:
    work = state.parents.get(from_text(str(record["parent_id"])))
    if work is None:
        raise EvidenceError(
            f"The journal speaks of parent order {record['parent_id']} and never says that it was accepted; "
            "keep it and find out why."
        )
    return work


def _whole(record: Record, name: str) -> int:
    return int(str(record.get(name, 0)))
