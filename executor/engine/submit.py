"""The only door to a venue. No other file calls an adapter's `send`; a test reads the sources and fails when one does.

A new order is recorded as in flight first, then the gate is asked, then the adapter verifies and spends the permit and
the order leaves. Each step is in the journal before the next one happens, so that a crash at any point leaves an order
that the venue can be asked about. A cancel goes the other way round: it leaves first and is recorded at once after.
"""

from controlplane.domain.decisions import DenialCode, Permit
from controlplane.domain.errors import PermitInvalid
from controlplane.domain.invariants import require
from controlplane.domain.orders import CommandKind, OrderCommand
from controlplane.domain.reports import ReportKind, VenueReport
from executor.engine import records
from executor.engine.events import ChildAnswered
from executor.engine.ports import Ports
from executor.engine.records import Record
from executor.venues.port import Delivery

REPORT_OF = {
    Delivery.SENT: ReportKind.SENT,
    Delivery.NOT_SENT: ReportKind.NOT_SENT,
    Delivery.UNKNOWN: ReportKind.SEND_UNKNOWN,
}


def submit(command: OrderCommand, *, venue: str, requested: Record, ports: Ports, now_ns: int) -> ChildAnswered:
    """Return what came of asking the gate for a new order and, when it was allowed, of sending it.

    Arguments
        requested  the record that says the order is in flight; it is durable before the gate is asked
    """
    ports.journal.append_json(requested)
    ports.journal.commit()
    verdict = ports.gate.decide(command)
    if not verdict.is_allowed:
        ports.journal.append_json(records.child_denied(command, verdict, now_ns))
        return ChildAnswered(command.child_id, verdict, None)
    require(
        verdict.permit is not None,
        f"Order {command.child_id:016x} was allowed without a permit; the gate is of another version.",
    )
    report, reason = _send(command, verdict.permit, venue=venue, ports=ports, now_ns=now_ns)
    return ChildAnswered(command.child_id, verdict, report, reason)


def cancel(command: OrderCommand, *, venue: str, ports: Ports) -> bool:
    """Return whether a cancel left for the venue; nothing was asked before it went.

    The gate counts it afterwards. When the gate is away it learns of the cancel by report as soon as it is back.
    """
    require(command.kind is CommandKind.CANCEL, f"Expected a cancel, found {command.kind.name}.")
    result = ports.venues[venue].cancel(command)
    if result.delivery is Delivery.NOT_SENT:
        return False
    verdict = ports.gate.decide(command)
    if DenialCode.GATE_UNAVAILABLE in verdict.codes:
        ports.gate.report(
            VenueReport(ReportKind.CANCEL_REQUESTED, command.child_id, route=command.route, side=command.side)
        )
    return True


def _send(
    command: OrderCommand, permit: Permit | None, *, venue: str, ports: Ports, now_ns: int
) -> tuple[VenueReport, str]:
    """Return the report of an order that was allowed: sent, not sent, or nobody knows; recorded before it returns."""
    try:
        result = ports.venues[venue].send(command, permit)
    except PermitInvalid as error:
        ports.journal.append_json(records.child_refused(command, permit, str(error), now_ns))
        return _report(command, ReportKind.NOT_SENT, now_ns), str(error)
    report = _report(command, REPORT_OF[result.delivery], now_ns)
    require(permit is not None, "An adapter sent an order without a permit.")
    if permit is not None and result.delivery is Delivery.SENT:
        ports.journal.append_json(records.child_sent(command, permit, now_ns))
    elif permit is not None:
        ports.journal.append_json(records.delivery_failed(command, permit, report, result.reason, now_ns))
    return report, result.reason


def _report(command: OrderCommand, kind: ReportKind, now_ns: int) -> VenueReport:
    return VenueReport(
        kind=kind, child_id=command.child_id, receive_ns=now_ns, route=command.route, side=int(command.side)
    )
