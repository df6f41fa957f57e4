"""From the record of a decision to the answer that a program and a person read: codes, numbers, permit, one sentence.

The record holds everything; this file only names it. Both shapes of the gate use it, so that the same record always
reads the same.
"""

from collections.abc import Sequence
from decimal import Decimal

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.decisions import Binding, DenialCode, Outcome, Permit, Verdict, codes_of
from controlplane.domain.ids import to_text
from controlplane.domain.observations import Phase
from controlplane.domain.quantities import micro_to_decimal
from controlplane.domain.scopes import FIRM, SCOPE_KINDS, Level
from controlplane.gate.words import Handles

# Where each number stands in the record; `journal/record.py` holds the same list with its meaning.
HEAD, REQUEST, PARENT, ROUTE, QUANTITY, PRICE, TRIGGER = 0, 3, 5, 6, 9, 10, 11
VERSION, FAILED, BINDING, MEASURED, LIMIT, HEADROOM, PASSING = 16, 17, 19, 20, 21, 22, 23
EXPIRY, FENCE = 27, 29
NO_LIMIT = 1 << 62
NEVER_NS = 10 * 365 * 86_400 * NS_PER_S

NO_PERMIT = bytes(16)
UNKNOWN_NAME = "unknown"

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
    DenialCode.GATE_UNAVAILABLE: (
        "count",
        "The gate on this machine doesn't answer, so nothing may be sent; start it with `controlplane gate`.",
    ),
    DenialCode.JOURNAL_UNAVAILABLE: (
        "count",
        "The gate can't record its decisions, so it makes none; see its disk, then start it again.",
    ),
}


def verdict_of(
    entry: Sequence[int], *, sequence: int, gate_id: int, epoch: int, permit_code: bytes, handles: Handles
) -> Verdict:
    """Return the answer that a record of a decision stands for.

    Arguments
        entry        the 32 words of the record
        sequence     journal sequence of the decision; of the first one when the request was asked before
        permit_code  16 bytes, zeros when no permit was issued
        handles      names behind the numbers of the record
    """
    words = [int(word) for word in entry]
    head = words[HEAD]
    outcome = Outcome.ALLOWED if head >> 16 & 0xFFFF == Outcome.ALLOWED else Outcome.DENIED
    code = _code_of(head >> 32 & 0xFFFF)
    is_denied = outcome is Outcome.DENIED
    permit = None
    if not is_denied and permit_code != NO_PERMIT:
        permit = Permit(gate_id, epoch, sequence, words[EXPIRY], words[FENCE], bytes(permit_code))
    return Verdict(
        outcome=outcome,
        codes=codes_of(words[FAILED]) or ((code,) if code else ()) if is_denied else (),
        binding=_binding(words, code, handles),
        largest_passing_lots=words[PASSING] if is_denied else 0,
        permit=permit,
        sequence=sequence,
        snapshot_version=words[VERSION],
        explanation=explain(words, handles) if is_denied else "",
    )


def unavailable(code: DenialCode = DenialCode.GATE_UNAVAILABLE, explanation: str = "") -> Verdict:
    """Return the denial that is made on this side when the gate gave none."""
    return Verdict(
        outcome=Outcome.DENIED,
        codes=(code,),
        binding=None,
        largest_passing_lots=0,
        permit=None,
        sequence=0,
        snapshot_version=0,
        explanation=explanation or SENTENCES[code][1],
    )


def explain(entry: Sequence[int], handles: Handles) -> str:
    """Return one sentence for a person: the rule, what was measured, the limit, and what would pass instead."""
    words = [int(word) for word in entry]
    code = _code_of(words[HEAD] >> 32 & 0xFFFF)
    if code is None:
        return "The order was denied for a reason that this program is too old to name; read the record itself."
    unit, sentence = SENTENCES[code]
    route = handles.routes[words[ROUTE]] if 0 <= words[ROUTE] < len(handles.routes) else None
    passing = words[PASSING]
    return _capitalised(
        sentence.format(
            instrument=route.instrument if route else "this instrument",
            model=route.model if route else UNKNOWN_NAME,
            scope=_scope_name(words, handles),
            request=to_text(words[REQUEST]) if words[REQUEST] >= 0 else UNKNOWN_NAME,
            parent=to_text(words[PARENT]) if words[PARENT] >= 0 else UNKNOWN_NAME,
            quantity=amount(words[QUANTITY], "lots", handles),
            price=amount(words[PRICE], "ticks", handles),
            trigger=amount(words[TRIGGER], "ticks", handles),
            measured=amount(words[MEASURED], unit, handles),
            limit=amount(words[LIMIT], unit, handles),
            age=_age(words[MEASURED], handles),
            overrun=amount(words[MEASURED] - words[LIMIT], unit, handles),
            phase=_phase_name(words[MEASURED]),
            version=words[VERSION],
            passing=f"at most {amount(passing, 'lots', handles)} would pass now"
            if passing
            else "no quantity would pass now",
        )
    )


def amount(value: int, unit: str, handles: Handles) -> str:
    """Return a number of the gate with its unit, as a person reads it: `1,250.00 USD`, `40 lots`, `2.5 s`."""
    if abs(value) >= NO_LIMIT:
        return "no limit"
    if unit == "micro":
        return f"{micro_to_decimal(value).quantize(Decimal('0.01')):,} {handles.reporting_currency}"
    if unit == "ns":
        places, short = (-9, "s") if abs(value) >= NS_PER_S else (-6, "ms")
        return f"{Decimal(value).scaleb(places).quantize(Decimal('0.001')):,} {short}"
    if unit == "count":
        return f"{value:,}"
    singular = {"lots": "lot", "ticks": "tick"}.get(unit, unit)
    return f"{value:,} {singular if abs(value) == 1 else unit}"


def _binding(words: list[int], code: DenialCode | None, handles: Handles) -> Binding | None:
    if code is None or (words[MEASURED] == 0 and words[LIMIT] == 0):
        return None
    return Binding(
        code=code,
        scope=_scope_name(words, handles),
        measured=words[MEASURED],
        limit=words[LIMIT],
        headroom=words[HEADROOM],
        unit=SENTENCES[code][0],
    )


def _scope_name(words: list[int], handles: Handles) -> str:
    """Return the scope that decided, `desk:crypto`; the firm where a check belongs to no scope."""
    kind, node = words[BINDING] & 0xFF, words[BINDING] >> 8
    if kind == Level.PARENT:
        return f"parent:{to_text(words[PARENT])}"
    if kind < len(SCOPE_KINDS) and 0 <= node < len(handles.scopes):
        return handles.scopes[node]
    return str(FIRM)


def _age(value_ns: int, handles: Handles) -> str:
    """Return an age; what was never stated carries the age of the epoch itself."""
    return "never" if value_ns > NEVER_NS else f"{amount(value_ns, 'ns', handles)} ago"


def _code_of(number: int) -> DenialCode | None:
    return DenialCode(number) if number in _CODES else None


def _phase_name(number: int) -> str:
    return Phase(number).name.lower().replace("_", " ") if number in _PHASES else str(number)


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


_CODES = frozenset(int(code) for code in DenialCode)
_PHASES = frozenset(int(phase) for phase in Phase)
