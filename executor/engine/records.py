"""What the executor writes into its journal: one function a kind of record, so that every field is named in one place.

Identifiers are 16 hexadecimal digits, times and numbers that may pass 2^53 decimal text, quantities lots and prices
ticks of the parent's instrument. `engine/recovery.py` reads exactly these records back.
"""

from collections.abc import Mapping
from decimal import Decimal

from controlplane.domain.decisions import Permit, Verdict
from controlplane.domain.ids import to_text
from controlplane.domain.orders import OrderCommand
from controlplane.domain.reports import VenueReport
from executor.engine.events import OperatorSpoke, ParentInstruction
from executor.marketdata.events import Fault
from executor.orders.reconcile import Reconciliation

Record = dict[str, object]


def parent_accepted(
    parent_id: int,
    instruction: ParentInstruction,
    *,
    start_ns: int,
    end_ns: int,
    bid_ticks: int,
    ask_ticks: int,
    schedule: tuple[tuple[int, int], ...],
    expected_volumes: tuple[int, ...],
    now_ns: int,
) -> Record:
    """Return the record of a parent order that is ours from now on.

    Arguments
        bid_ticks, ask_ticks  the arrival quote, 0 when no book was trusted
        schedule              (moment, lots to be done by then), empty for a strategy that follows none
        expected_volumes      market volume by slice that the schedule follows, empty for one that follows none
    """
    route = instruction.route
    return {
        "kind": "ParentAccepted",
        "wall_ns": str(now_ns),
        "parent_id": to_text(parent_id),
        "reference": instruction.reference,
        "entered_by": instruction.entered_by,
        "instrument": route.instrument,
        "side": instruction.side.name,
        "quantity_lots": instruction.quantity_lots,
        "strategy": route.strategy,
        "parameters": [list(pair) for pair in instruction.parameters],
        "desk": route.desk,
        "model": route.model,
        "venue": route.venue,
        "counterparty": route.counterparty,
        "horizon_ns": str(instruction.horizon_ns),
        "start_ns": str(start_ns),
        "end_ns": str(end_ns),
        "limit_ticks": instruction.limit_ticks,
        "participation_bps_max": instruction.participation_bps_max,
        "decision_ticks": instruction.decision_ticks,
        "schedule": [[str(moment_ns), lots] for moment_ns, lots in schedule],
        "expected_volumes": [str(volume) for volume in expected_volumes],
        "arrival_bid_ticks": bid_ticks,
        "arrival_ask_ticks": ask_ticks,
    }


def child_requested(
    command: OrderCommand,
    *,
    venue: str,
    working_until_ns: int,
    urgency: str,
    why: str,
    market_lots: int,
    now_ns: int,
) -> Record:
    """Return the record of a child that is about to be decided; from here on its lots are in flight.

    Arguments
        market_lots  what others traded since the parent's start, so that a restart doesn't forget it
    """
    return {
        "kind": "ChildRequested",
        "wall_ns": str(now_ns),
        "parent_id": to_text(command.parent_id),
        "child_id": to_text(command.child_id),
        "request_id": to_text(command.request_id),
        "venue": venue,
        "side": command.side.name,
        "order_type": command.order_type.name,
        "time_in_force": command.time_in_force.name,
        "quantity_lots": command.quantity_lots,
        "price_ticks": command.price_ticks,
        "working_until_ns": str(working_until_ns),
        "urgency": urgency,
        "why": why,
        "market_lots": str(market_lots),
    }


def child_denied(command: OrderCommand, verdict: Verdict, now_ns: int) -> Record:
    """Return the record of a denial: every failed check, the binding limit with its numbers, what would have passed."""
    binding = verdict.binding
    return _about_child(command, "ChildDenied", now_ns) | {
        "sequence": str(verdict.sequence),
        "codes": [code.name for code in verdict.codes],
        "largest_passing_lots": verdict.largest_passing_lots,
        "quantity_lots": command.quantity_lots,
        "explanation": verdict.explanation,
        "binding": None
        if binding is None
        else {
            "code": binding.code.name,
            "scope": binding.scope,
            "measured": str(binding.measured),
            "limit": str(binding.limit),
            "headroom": str(binding.headroom),
            "unit": binding.unit,
        },
    }


def child_sent(command: OrderCommand, permit: Permit, now_ns: int) -> Record:
    """Return the record of an order that left under this permit, which is spent."""
    return _about_child(command, "ChildSent", now_ns) | _permit(permit)


def child_refused(command: OrderCommand, permit: Permit | None, reason: str, now_ns: int) -> Record:
    """Return the record of an order that its adapter refused, because the permit was not in order."""
    base = _about_child(command, "ChildRefused", now_ns) | {"reason": reason}
    return base if permit is None else base | _permit(permit)


def delivery_failed(command: OrderCommand, permit: Permit, report: VenueReport, reason: str, now_ns: int) -> Record:
    """Return the record of an order whose permit was spent and which didn't leave, or may not have."""
    return _report(report, command.parent_id, now_ns) | _permit(permit) | {"reason": reason}


def report_received(
    report: VenueReport, *, parent_id: int, bid_ticks: int, ask_ticks: int, oddities: tuple[str, ...], now_ns: int
) -> Record:
    """Return the record of a report; bid and ask are the quote just before it, the base of a fill's spread cost."""
    return _report(report, parent_id, now_ns) | {
        "bid_ticks": bid_ticks,
        "ask_ticks": ask_ticks,
        "oddities": list(oddities),
    }


def parent_commanded(spoken: OperatorSpoke, now_ns: int) -> Record:
    """Return the record of an operator's word about one parent."""
    return {
        "kind": "ParentCommanded",
        "wall_ns": str(now_ns),
        "parent_id": to_text(spoken.parent_id),
        "operation": spoken.operation.value,
        "reason": spoken.reason,
        "spoken_by": spoken.spoken_by,
    }


def parent_finished(
    result: Reconciliation, *, state: str, reason: str, children: int, bid_ticks: int, ask_ticks: int, now_ns: int
) -> Record:
    """Return the record of a parent's end: where every lot is, and the quote that unfilled lots are valued at."""
    return {
        "kind": "ParentFinished",
        "wall_ns": str(now_ns),
        "parent_id": to_text(result.parent_id),
        "state": state,
        "reason": reason,
        "children": children,
        "end_bid_ticks": bid_ticks,
        "end_ask_ticks": ask_ticks,
        "ordered_lots": result.ordered_lots,
        "filled_lots": result.filled_lots,
        "working_lots": result.working_lots,
        "in_flight_lots": result.in_flight_lots,
        "unplaced_lots": result.unplaced_lots,
        "cancelled_lots": result.cancelled_lots,
        "excess_lots": result.excess_lots,
    }


def feed_quarantined(fault: Fault, now_ns: int) -> Record:
    """Return the record of a feed that was cut off, or of an event that was withheld."""
    return {
        "kind": "FeedQuarantined",
        "wall_ns": str(now_ns),
        "feed": fault.feed,
        "instrument": fault.instrument,
        "fault": fault.kind.value,
        "remedy": fault.remedy.value,
        "sentence": fault.sentence,
    }


def tca_computed(parent_id: int, figures: Mapping[str, object], now_ns: int) -> Record:
    """Return the record of a parent's shortfall and its parts; `total_micro` is there when it could be reckoned."""
    record: Record = {
        "kind": "TcaComputed",
        "wall_ns": str(now_ns),
        "parent_id": to_text(parent_id),
        "figures": dict(figures),
    }
    total = figures.get("total")
    if isinstance(total, Mapping):
        record["total_micro"] = str(int(Decimal(str(total["currency"])).scaleb(6)))
    return record


def _about_child(command: OrderCommand, kind: str, now_ns: int) -> Record:
    return {
        "kind": kind,
        "wall_ns": str(now_ns),
        "parent_id": to_text(command.parent_id),
        "child_id": to_text(command.child_id),
        "request_id": to_text(command.request_id),
    }


def _permit(permit: Permit) -> Record:
    return {
        "sequence": str(permit.sequence),
        "permit": {
            "gate_id": permit.gate_id,
            "epoch": permit.epoch,
            "expiry_ns": str(permit.expiry_ns),
            "fence": permit.fence,
            "code": permit.code.hex(),
        },
    }


def _report(report: VenueReport, parent_id: int, now_ns: int) -> Record:
    return {
        "kind": "ReportReceived",
        "wall_ns": str(now_ns),
        "parent_id": to_text(parent_id),
        "child_id": to_text(report.child_id),
        "report": report.kind.name,
        "execution_id": str(report.execution_id),
        "quantity_lots": report.quantity_lots,
        "price_ticks": report.price_ticks,
        "fee_micro": str(report.fee_micro),
        "exchange_ns": str(report.exchange_ns),
        "receive_ns": str(report.receive_ns),
        "side": report.side,
        "cumulative_lots": report.cumulative_lots,
    }
