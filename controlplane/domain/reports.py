"""What a venue, or the adapter that speaks to it, says back about one child order."""

import hashlib
from dataclasses import dataclass
from enum import IntEnum


class ReportKind(IntEnum):
    """Closed set of reports. Only the kinds in `TERMINAL` end an order; a cancel request ends nothing."""

    SENT = 1
    NOT_SENT = 2
    SEND_UNKNOWN = 3
    ACKNOWLEDGED = 4
    FILLED = 5
    CANCELLED = 6
    REJECTED = 7
    EXPIRED = 8
    CANCEL_REQUESTED = 9
    CANCEL_REJECTED = 10
    AMENDED = 11
    AMEND_REJECTED = 12


TERMINAL = frozenset({ReportKind.NOT_SENT, ReportKind.CANCELLED, ReportKind.REJECTED, ReportKind.EXPIRED})


@dataclass(frozen=True, slots=True)
class VenueReport:
    """One report.

    Fields
        kind              what happened
        child_id          the child order it is about
        execution_id      venue's number of a fill, unique per venue; for the answer to an amend the request that it
                          answers, 0 when the venue doesn't say; 0 for all others
        quantity_lots     filled by this report (not cumulative); for AMENDED the new total
        price_ticks       fill price; for AMENDED the new price
        fee_micro         fee of this fill in millionths of the reporting currency, negative for a rebate
        exchange_ns       venue's time
        receive_ns        our time when it arrived
        route             handle of the order's route, so that a fill of an order the gate doesn't know is still booked
        side              side of the order, for the same reason; 0 when the venue doesn't say
        cumulative_lots   venue's own count of all fills of the order so far; 0 when it doesn't say
        reason            number that stands for the venue's words of a rejection (`reason_of`); 0 when it gave none
    """

    kind: ReportKind
    child_id: int
    execution_id: int = 0
    quantity_lots: int = 0
    price_ticks: int = 0
    fee_micro: int = 0
    exchange_ns: int = 0
    receive_ns: int = 0
    route: int = 0
    side: int = 0
    cumulative_lots: int = 0
    reason: int = 0


def reason_of(text: str) -> int:
    """Return the number that stands for a venue's words: equal words give equal numbers, 0 for none (63 bits)."""
    if not text:
        return 0
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
