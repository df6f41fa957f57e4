"""What travels between an adapter and the simulated venue's process: one JSON object a line over a Unix stream.

Both ends use these functions, so that a message has one form. A line longer than `LINE_BYTES_MAX`, text that isn't JSON
and a field that isn't a whole number are refused with one sentence; a stream that breaks in the middle of a line loses
that line only. Lines carry no permit: the adapter spent it, and the venue knows nothing of gates.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from executor.venues.port import OrderStatus, WorkingList

PROTOCOL = 1
LINE_BYTES_MAX = 1 << 20

_REPORT_FIELDS = (
    "child_id",
    "execution_id",
    "quantity_lots",
    "price_ticks",
    "fee_micro",
    "exchange_ns",
    "side",
    "cumulative_lots",
    "reason",
)


@dataclass(slots=True)
class LineBuffer:
    """Cuts a byte stream into lines; what is incomplete waits for the rest.

    Errors
        InvalidRequest when a line outgrows `LINE_BYTES_MAX`
    """

    rest: bytes = field(default=b"")

    def feed(self, chunk: bytes) -> list[dict[str, object]]:
        """Return the messages completed by this chunk, oldest first."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        if len(self.rest) > LINE_BYTES_MAX or any(len(line) > LINE_BYTES_MAX for line in lines):
            raise InvalidRequest(
                f"A message on the venue link is at most {LINE_BYTES_MAX} bytes long; the line was dropped."
            )
        return [_decode(line) for line in lines if line]


def encode(message: Mapping[str, object]) -> bytes:
    """Return the message as one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def command_message(command: OrderCommand, instrument: str) -> dict[str, object]:
    """Return a new order, amend or cancel as the venue gets it; the venue learns neither desk nor model."""
    base: dict[str, object] = {"type": command.kind.name.lower(), "child_id": command.child_id}
    if command.kind is CommandKind.CANCEL:
        return base
    return base | {
        "request_id": command.request_id,
        "instrument": instrument,
        "side": int(command.side),
        "order_type": int(command.order_type),
        "time_in_force": int(command.time_in_force),
        "quantity_lots": command.quantity_lots,
        "price_ticks": command.price_ticks,
        "trigger_ticks": command.trigger_ticks,
    }


def command_from(message: Mapping[str, object]) -> OrderCommand:
    """Return the command that `command_message` wrote; parent, route and model are not on this wire and are zero."""
    kind = CommandKind[text(message, "type").upper()]
    is_cancel = kind is CommandKind.CANCEL
    return OrderCommand(
        kind=kind,
        request_id=whole(message, "child_id" if is_cancel else "request_id"),
        child_id=whole(message, "child_id"),
        parent_id=0,
        route=0,
        side=Side.BUY if is_cancel else Side(whole(message, "side")),
        order_type=OrderType.LIMIT if is_cancel else OrderType(whole(message, "order_type")),
        time_in_force=TimeInForce.GOOD_TILL_CANCEL if is_cancel else TimeInForce(whole(message, "time_in_force")),
        quantity_lots=0 if is_cancel else whole(message, "quantity_lots"),
        price_ticks=0 if is_cancel else whole(message, "price_ticks"),
        trigger_ticks=0 if is_cancel else whole(message, "trigger_ticks"),
    )


def report_message(report: VenueReport) -> dict[str, object]:
    """Return a report as it travels; route and receive time are the receiver's to add."""
    return {"type": "report", "kind": int(report.kind)} | {name: int(getattr(report, name)) for name in _REPORT_FIELDS}


def report_from(message: Mapping[str, object]) -> VenueReport:
    """Return the report that `report_message` wrote."""
    return VenueReport(
        kind=ReportKind(whole(message, "kind")), **{name: whole(message, name) for name in _REPORT_FIELDS}
    )


def status_message(status: OrderStatus) -> dict[str, object]:
    """Return a status answer as it travels."""
    return {
        "type": "status",
        "child_id": status.child_id,
        "is_found": status.is_found,
        "executions": [report_message(execution) for execution in status.executions],
        "ended_by": 0 if status.ended_by is None else int(status.ended_by),
        "quantity_lots": status.quantity_lots,
        "price_ticks": status.price_ticks,
        "exchange_ns": status.exchange_ns,
    }


def status_from(message: Mapping[str, object]) -> OrderStatus:
    """Return the status answer that `status_message` wrote."""
    executions = message.get("executions")
    if not isinstance(executions, list) or not isinstance(message.get("is_found"), bool):
        raise InvalidRequest(
            "A status answer carries is_found and a list of executions; the venue process is of another version."
        )
    ended_by = whole(message, "ended_by")
    return OrderStatus(
        child_id=whole(message, "child_id"),
        is_found=bool(message["is_found"]),
        executions=tuple(report_from(execution) for execution in executions),
        ended_by=ReportKind(ended_by) if ended_by else None,
        quantity_lots=whole(message, "quantity_lots"),
        price_ticks=whole(message, "price_ticks"),
        exchange_ns=whole(message, "exchange_ns"),
    )


def working_message(working: WorkingList) -> dict[str, object]:
    """Return the list of working orders as it travels."""
    return {"type": "working", "child_ids": sorted(working.child_ids), "exchange_ns": working.exchange_ns}


def working_from(message: Mapping[str, object]) -> WorkingList:
    """Return the list that `working_message` wrote."""
    child_ids = message.get("child_ids")
    if not isinstance(child_ids, list) or not all(type(child_id) is int for child_id in child_ids):
        raise InvalidRequest(
            "A list of working orders carries child_ids as whole numbers; the venue process is of another version."
        )
    return WorkingList(frozenset(child_ids), whole(message, "exchange_ns"))


def whole(message: Mapping[str, object], name: str) -> int:
    """Return a field that must be a whole number; InvalidRequest names it when it is anything else."""
    value = message.get(name)
    if type(value) is not int or abs(value) >= 1 << 63:
        raise InvalidRequest(
            f"{name} must be a whole number below 2^63, found {str(value)[:40]!r} on the venue link.", field=name
        )
    return value


def text(message: Mapping[str, object], name: str) -> str:
    """Return a field that must be text; InvalidRequest names it when it is anything else."""
    value = message.get(name)
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be text, found {str(value)[:40]!r} on the venue link.", field=name)
    return value


def _decode(line: bytes) -> dict[str, object]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidRequest(f"Expected one JSON object a line on the venue link, found {line[:40]!r}.") from None
    if not isinstance(message, dict):
        raise InvalidRequest(f"Expected one JSON object a line on the venue link, found {line[:40]!r}.")
    return message
