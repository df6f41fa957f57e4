"""What the gate is asked: a new order, an amend, a cancel, the acceptance of a quote.

Every field is an integer, so that an order has exactly one byte form: the form that is decided, journaled,
permitted and checked again by the adapter.
"""

from dataclasses import dataclass
from enum import IntEnum


class Side(IntEnum):
    BUY = 1
    SELL = -1


class OrderType(IntEnum):
    LIMIT = 1
    MARKET = 2
    STOP = 3


class TimeInForce(IntEnum):
    GOOD_TILL_CANCEL = 1
    IMMEDIATE_OR_CANCEL = 2
    FILL_OR_KILL = 3
    POST_ONLY = 4


class CommandKind(IntEnum):
    """What is asked of the gate for one child order."""

    NEW = 1
    AMEND = 2
    CANCEL = 3
    QUOTE_ACCEPTANCE = 4


@dataclass(frozen=True, slots=True)
class OrderCommand:
    """One request to the gate about one child order.

    Fields
        kind           new, amend, cancel or quote acceptance
        request_id     identifier of this request; for a new order the child's own identifier
        child_id       the child order
        parent_id      the parent it belongs to
        route          handle of (desk, strategy, model, instrument, venue, counterparty)
        side           buy or sell
        order_type     a market or stop order carries its protection limit in `price_ticks`
        time_in_force  also says post-only
        quantity_lots  total quantity; for an amend the new total, filled part included; 0 for a cancel
        price_ticks    limit or protection limit; 0 for a cancel
        trigger_ticks  stop trigger, 0 when there is none
        model_digest   first 63 bits of the SHA-256 of the model bytes that asked for this order
    """

    kind: CommandKind
    request_id: int
    child_id: int
    parent_id: int
    route: int
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity_lots: int
    price_ticks: int
    trigger_ticks: int = 0
    model_digest: int = 0
