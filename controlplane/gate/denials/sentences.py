"""The sentence of each denial code, which `verdict.py` fills with the numbers of one decision."""

from controlplane.domain.decisions import DenialCode

# For each check: the unit of the two numbers that it compared, and the sentence. `{passing}` says what would pass.
SENTENCES: dict[DenialCode, tuple[str, str]] = {
    DenialCode.MALFORMED_REQUEST: (
        "count",
        "The request is malformed: a field is out of range or contradicts another; correct the program that made it.",
    ),
    DenialCode.ARITHMETIC_OVERFLOW: (
        "lots",
        "The value of {measured} of {instrument} can't be computed exactly, at most {limit} can; {passing}.",
    ),
    DenialCode.REQUEST_ID_REUSED: (
        "count",
        "The identifier {request} was used before or is older than the newest of its program; ask under a new one.",
    ),
    DenialCode.GATE_KILLED: (
        "count",
        "The kill switch of this machine is thrown; nothing passes but cancels until two people lift it.",
    ),
    DenialCode.SNAPSHOT_EXPIRED: (
        "ns",
        "The limits (version {version}) expired {overrun} ago; nothing passes until the gate has newer ones.",
    ),
    DenialCode.ROUTE_UNKNOWN: (
        "count",
        "Route {measured} is unknown to the limits, which know {limit} of them; ask for the route by its names first.",
    ),
    DenialCode.PARENT_UNKNOWN: (
        "count",
        "The gate knows no parent order {parent} of this route and side; open the parent before its first child.",
    ),
    DenialCode.PARENT_CLOSED: ("count", "Parent order {parent} is closed; nothing more may be sent for it."),
    DenialCode.CHILD_UNKNOWN: ("count", "The gate never permitted this child order, so there is nothing to amend."),
    DenialCode.CHILD_NOT_AMENDABLE: (
        "count",
        "Only a working order that isn't being cancelled or amended can be amended; wait for the venue's answer.",
    ),
    DenialCode.SCOPE_HALTED: ("count", "{scope} is halted; nothing passes but cancels until two people lift the halt."),
    DenialCode.SCOPE_PAUSED: ("count", "{scope} is paused; nothing passes but cancels until an operator resumes it."),
    DenialCode.REDUCE_ONLY_EXCEEDED: (
        "lots",
        "{scope} is reduce-only: {measured} of {instrument} would be live and {limit} reduce the position; {passing}.",
    ),
    DenialCode.INSTRUMENT_EXPIRED: ("ns", "{instrument} expired {overrun} ago; no quantity would pass."),
    DenialCode.INSTRUMENT_RESTRICTED: (
        "count",
        "{instrument} is on the restricted list, which wins over every permission; no quantity would pass.",
    ),
    DenialCode.MODEL_NOT_APPROVED: (
        "count",
        "Model {model} is not approved, or its approval has expired; its fallback strategy may ask instead.",
    ),
    DenialCode.MODEL_DIGEST_MISMATCH: (
        "count",
        "The bytes of model {model} that asked are not the approved ones; load the approved file.",
    ),
    DenialCode.OUTSIDE_TRADING_HOURS: (
        "count",
        "{instrument} is outside the trading hours of its calendar; ask again when the session has begun.",
    ),
    DenialCode.PHASE_UNKNOWN: (
        "ns",
        "The trading phase of {instrument} was last stated {age}, at most {limit} is trusted; {passing}.",
    ),
    DenialCode.PHASE_NOT_TRADING: (
        "count",
        "{instrument} is in the phase {phase}, orders pass in continuous trading only; no quantity would pass.",
    ),
    DenialCode.PRICE_OFF_TICK: (
        "ticks",
        "The price {price} of {instrument} is {measured} above the nearest price of its grid; round it to the grid.",
    ),
    DenialCode.PRICE_OUT_OF_RANGE: (
        "ticks",
        "The price {measured} of {instrument} is beyond {limit}, the last its venue accepts; no quantity would pass.",
    ),
    DenialCode.QUANTITY_OFF_LOT: (
        "lots",
        "The quantity {quantity} of {instrument} is {measured} above a whole number of its lot steps; {passing}.",
    ),
    DenialCode.QUANTITY_BELOW_VENUE_MINIMUM: (
        "lots",
        "The quantity {measured} of {instrument} is below the venue's minimum of {limit}; ask for {limit} or more.",
    ),
    DenialCode.QUANTITY_ABOVE_VENUE_MAXIMUM: (
        "lots",
        "The quantity {measured} of {instrument} is above the venue's maximum of {limit}; {passing}.",
    ),
    DenialCode.PROTECTION_LIMIT_MISSING: (
        "ticks",
        "A market or stop order of {instrument} must carry a protection limit, this one has none; add the worst price.",
    ),
    DenialCode.TRIGGER_PRICE_INVALID: (
        "ticks",
        "The trigger {trigger} of {instrument} is off its grid or beyond its price range; correct the trigger.",
    ),
    DenialCode.REFERENCE_MISSING: (
        "count",
        "There is no healthy reference price for {instrument}, or for what it is valued at; {passing}.",
    ),
    DenialCode.REFERENCE_STALE: (
        "ns",
        "The reference price of {instrument} is {measured} old, at most {limit} is trusted; {passing}.",
    ),
    DenialCode.RATE_MISSING: (
        "ns",
        "The exchange rate for {instrument} was last stated {age}, at most {limit} is trusted; {passing}.",
    ),
    DenialCode.PRICE_OUTSIDE_COLLAR: (
        "ticks",
        "The price {measured} of {instrument} is outside its collar, which ends at {limit}; no quantity would pass.",
    ),
    DenialCode.ORDER_QUANTITY_ABOVE_LIMIT: (
        "lots",
        "The quantity {measured} of {instrument} is above the order limit of {limit} for {scope}; {passing}.",
    ),
    DenialCode.ORDER_NOTIONAL_ABOVE_LIMIT: (
        "micro",
        "The notional {measured} of this order is above the order limit of {limit} for {scope}; {passing}.",
    ),
    DenialCode.PARENT_QUANTITY_EXCEEDED: (
        "lots",
        "Filled and live children of parent order {parent} would be {measured}, it has {limit}; {passing}.",
    ),
    DenialCode.PARENT_CHILDREN_ABOVE_LIMIT: (
        "count",
        "Parent order {parent} would have {measured} children, at most {limit} are allowed; no quantity would pass.",
    ),
    DenialCode.PARENT_AMENDS_ABOVE_LIMIT: (
        "count",
        "Parent order {parent} would have {measured} amends, at most {limit} are allowed; no quantity would pass.",
    ),
    DenialCode.LOSS_UNKNOWN: (
        "micro",
        "The day's loss of {scope} can't be known without a price for every position; {passing}.",
    ),
    DenialCode.DAILY_LOSS_ABOVE_LIMIT: (
        "micro",
        "The day's loss of {scope} is {measured}, its limit is {limit}; {passing}.",
    ),
    DenialCode.POSITION_ABOVE_LIMIT: (
        "lots",
        "The worst position of {scope} in {instrument} would be {measured}, its limit is {limit}; {passing}.",
    ),
    DenialCode.GROSS_NOTIONAL_ABOVE_LIMIT: (
        "micro",
        "The gross notional of {scope} would be {measured}, its limit is {limit}; {passing}.",
    ),
    DenialCode.NET_NOTIONAL_ABOVE_LIMIT: (
        "micro",
        "The net notional of {scope} would be {measured}, its limit is {limit}; {passing}.",
    ),
    DenialCode.OPEN_NOTIONAL_ABOVE_LIMIT: (
        "micro",
        "The notional of live orders on this side of {scope} would be {measured}, its limit is {limit}; {passing}.",
    ),
    DenialCode.LIVE_ORDERS_ABOVE_LIMIT: (
        "count",
        "{scope} would have {measured} live orders, at most {limit} are allowed; wait until one has ended.",
    ),
    DenialCode.MESSAGE_RATE_ABOVE_LIMIT: (
        "count",
        "{scope} would send {measured} messages in the window, {limit} are left to orders beside cancels; wait.",
    ),
    DenialCode.DENIED_RATE_ABOVE_LIMIT: (
        "count",
        "{scope} had {measured} orders denied in the window, at most {limit} are tolerated; stop and look why.",
    ),
    DenialCode.PARTICIPATION_UNKNOWN: (
        "ns",
        "The market volume of {instrument} was last stated {age}, at most {limit} is trusted; {passing}.",
    ),
    DenialCode.PARTICIPATION_ABOVE_LIMIT: (
        "lots",
        "Fills and aggressive orders in {instrument} would be {measured} a window, {scope} has {limit}; {passing}.",
    ),
    DenialCode.CAPACITY_EXHAUSTED: (
        "count",
        "The gate holds {measured} live orders and has room for {limit}; wait until some have ended.",
    ),
    DenialCode.PRICE_OUTSIDE_DYNAMIC_COLLAR: (
        "ticks",
        "The price {measured} of {instrument} is too far from a fresh reference, it may go to {limit}; come nearer.",
    ),
    DenialCode.REFERENCES_TOO_FEW: (
        "count",
        "{instrument} has {measured} fresh reference prices and needs {limit}; {passing}.",
    ),
    DenialCode.REFERENCES_DISAGREE: (
        "bps",
        "References of {instrument} lay {measured} apart, at most {limit} are believed; {passing}.",
    ),
    DenialCode.PRICE_WALKED_TOO_FAR: (
        "ticks",
        "The price {measured} of {instrument} has gone too far since the window began, it may go to {limit}; wait.",
    ),
    DenialCode.SELF_TRADE_POSSIBLE: (
        "ticks",
        "The price {measured} of {instrument} could meet our own live order at {limit}; wait for its end or keep away.",
    ),
    DenialCode.DUPLICATE_ORDER: (
        "count",
        "Parent order {parent} would have {measured} equal orders in the window, at most {limit} are allowed; wait.",
    ),
    DenialCode.REJECT_LOOP: (
        "count",
        "The venue rejected this request of parent order {parent} {measured} times for one reason; change it or wait.",
    ),
    DenialCode.REPEATED_EXECUTION: (
        "count",
        "{scope} would go on after a fill for the {measured}th time, at most {limit} are allowed; a person enables it.",
    ),
    DenialCode.CANCEL_RATIO_ABOVE_LIMIT: (
        "bps",
        "{scope} cancelled {measured} of its orders in the window, at most {limit} are tolerated; wait.",
    ),
    DenialCode.TURNOVER_ABOVE_LIMIT: (
        "micro",
        "The day's turnover of {scope} would be {measured}, its limit is {limit}; {passing}.",
    ),
    DenialCode.GATE_UNAVAILABLE: (
        "count",
        "The gate on this machine doesn't answer, so nothing may be sent; start it with `controlplane gate`.",
    ),
    DenialCode.JOURNAL_UNAVAILABLE: (
        "count",
        "The gate can't record its decisions, so it makes none; see its disk, then start it again.",
    ),
    DenialCode.FILL_VELOCITY_ABOVE_LIMIT: (
        "micro",
        "A breaker of {scope} is open: fills in its window were worth {measured}, its threshold is {limit}; wait.",
    ),
    DenialCode.DRAWDOWN_ABOVE_LIMIT: (
        "micro",
        "A breaker of {scope} is open: its worth was {measured} below its highest, the threshold is {limit}; look why.",
    ),
    DenialCode.LOSS_VELOCITY_ABOVE_LIMIT: (
        "micro",
        "A breaker of {scope} is open: it lost {measured} in the breaker's window, the threshold is {limit}; look why.",
    ),
    DenialCode.PROBATION_SIZE_EXCEEDED: (
        "lots",
        "A breaker of {scope} lets orders of {limit} of {instrument} pass for now, this one has {measured}; {passing}.",
    ),
    DenialCode.BREAKER_OPEN: (
        "count",
        "A breaker of {scope} is open: its measure was {measured}, its threshold is {limit}; see the breakers.",
    ),
    DenialCode.MODEL_UNCERTAIN: (
        "bps",
        "Model {model} is too uncertain: its interval has {measured} of its usual width, at most {limit} is traded on.",
    ),
    DenialCode.SUPERVISION_MISSING: (
        "ns",
        "{scope} goes without supervision: no sign of life for {measured}, at most {limit} is borne; see the service.",
    ),
    DenialCode.ORDERS_PER_TRADE_ABOVE_LIMIT: (
        "count",
        "{scope} entered {measured} orders for each fill in the window, at most {limit} are tolerated; wait.",
    ),
    DenialCode.CONTRACTED_LIMIT_EXCEEDED: (
        "lots",
        "A dynamic factor leaves {scope} {limit} in {instrument}, this order would make {measured}; {passing}.",
    ),
    DenialCode.CONTRACTED_NOTIONAL_EXCEEDED: (
        "micro",
        "A dynamic factor leaves {scope} {limit}, this order would make {measured}; {passing}.",
    ),
}
