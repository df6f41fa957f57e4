"""What the gate answers: the outcome, every failed check in order of precedence, and what would pass instead."""

from dataclasses import dataclass
from enum import IntEnum


class Outcome(IntEnum):
    ALLOWED = 1
    DENIED = 2


class DenialCode(IntEnum):
    """Why the gate said no. The order of the members is their precedence; numbers are never reused or renumbered.

    There is no code for a route that isn't permitted (16 was kept for one): the routes of the limits are the allow
    list, so a program that asks for another by its names gets no handle, and a number that is no handle is unknown.
    """

    MALFORMED_REQUEST = 1
    ARITHMETIC_OVERFLOW = 2
    REQUEST_ID_REUSED = 3
    GATE_KILLED = 4
    SNAPSHOT_EXPIRED = 5
    ROUTE_UNKNOWN = 6
    PARENT_UNKNOWN = 7
    PARENT_CLOSED = 8
    CHILD_UNKNOWN = 9
    CHILD_NOT_AMENDABLE = 10
    SCOPE_HALTED = 11
    SCOPE_PAUSED = 12
    REDUCE_ONLY_EXCEEDED = 13
    INSTRUMENT_EXPIRED = 14
    INSTRUMENT_RESTRICTED = 15
    MODEL_NOT_APPROVED = 17
    MODEL_DIGEST_MISMATCH = 18
    OUTSIDE_TRADING_HOURS = 19
    PHASE_UNKNOWN = 20
    PHASE_NOT_TRADING = 21
    PRICE_OFF_TICK = 22
    PRICE_OUT_OF_RANGE = 23
    QUANTITY_OFF_LOT = 24
    QUANTITY_BELOW_VENUE_MINIMUM = 25
    QUANTITY_ABOVE_VENUE_MAXIMUM = 26
    PROTECTION_LIMIT_MISSING = 27
    TRIGGER_PRICE_INVALID = 28
    REFERENCE_MISSING = 29
    REFERENCE_STALE = 30
    RATE_MISSING = 31
    PRICE_OUTSIDE_COLLAR = 32
    ORDER_QUANTITY_ABOVE_LIMIT = 33
    ORDER_NOTIONAL_ABOVE_LIMIT = 34
    PARENT_QUANTITY_EXCEEDED = 35
    PARENT_CHILDREN_ABOVE_LIMIT = 36
    PARENT_AMENDS_ABOVE_LIMIT = 37
    LOSS_UNKNOWN = 38
    DAILY_LOSS_ABOVE_LIMIT = 39
    POSITION_ABOVE_LIMIT = 40
    GROSS_NOTIONAL_ABOVE_LIMIT = 41
    NET_NOTIONAL_ABOVE_LIMIT = 42
    OPEN_NOTIONAL_ABOVE_LIMIT = 43
    LIVE_ORDERS_ABOVE_LIMIT = 44
    MESSAGE_RATE_ABOVE_LIMIT = 45
    DENIED_RATE_ABOVE_LIMIT = 46
    PARTICIPATION_UNKNOWN = 47
    PARTICIPATION_ABOVE_LIMIT = 48
    CAPACITY_EXHAUSTED = 49
    PRICE_OUTSIDE_DYNAMIC_COLLAR = 50
    REFERENCES_TOO_FEW = 51
    REFERENCES_DISAGREE = 52
    PRICE_WALKED_TOO_FAR = 53
    SELF_TRADE_POSSIBLE = 55
    DUPLICATE_ORDER = 56
    REJECT_LOOP = 57
    REPEATED_EXECUTION = 58
    CANCEL_RATIO_ABOVE_LIMIT = 59
    TURNOVER_ABOVE_LIMIT = 60
    GATE_UNAVAILABLE = 61
    JOURNAL_UNAVAILABLE = 62
    FILL_VELOCITY_ABOVE_LIMIT = 63
    DRAWDOWN_ABOVE_LIMIT = 73
    LOSS_VELOCITY_ABOVE_LIMIT = 74
    PROBATION_SIZE_EXCEEDED = 75
    BREAKER_OPEN = 77
    MODEL_UNCERTAIN = 78
    SUPERVISION_MISSING = 79
    ORDERS_PER_TRADE_ABOVE_LIMIT = 80
    CONTRACTED_LIMIT_EXCEEDED = 81
    CONTRACTED_NOTIONAL_EXCEEDED = 82


PRECEDENCE: tuple[DenialCode, ...] = tuple(DenialCode)


FIRST_MORE_CODE = 64  # codes from here on stand in the second mask
FIRST_MASK = (1 << FIRST_MORE_CODE - 1) - 1


def codes_of(mask: int, more: int = 0) -> tuple[DenialCode, ...]:
    """Return the codes set in the two masks of failed checks, in order of precedence.

    Arguments
        mask  bit number = code - 1, codes 1 to 63
        more  bit number = code - 64, codes 64 to 126
    """
    both = mask & FIRST_MASK | more << FIRST_MORE_CODE - 1
    return tuple(code for code in PRECEDENCE if both >> (code - 1) & 1)


@dataclass(frozen=True, slots=True)
class Binding:
    """The limit that decided: the first failed check of a denial, or the tightest limit met by an allowed order.

    Fields
        code         check
        scope        where it bound, written `desk:crypto`
        measured     value that was compared with the limit, in the check's own unit
        limit        the limit, same unit
        headroom     limit minus measured; negative when the limit was passed
        unit         "lots", "micro", "ticks", "bps", "count" or "ns"
    """

    code: DenialCode
    scope: str
    measured: int
    limit: int
    headroom: int
    unit: str


@dataclass(frozen=True, slots=True)
class Permit:
    """Single-use proof that the gate allowed exactly one order; worthless once the fence of the machine has moved.

    Fields
        gate_id    number of the gate
        epoch      gate's run; the key changes with it
        sequence   journal sequence of the decision record
        expiry_ns  wall time after which an adapter refuses it
        fence      fence number of the machine at the decision
        code       16 bytes of keyed BLAKE2b over the order and the fields above
    """

    gate_id: int
    epoch: int
    sequence: int
    expiry_ns: int
    fence: int
    code: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer to one command.

    Fields
        outcome               allowed or denied
        codes                 every failed check in order of precedence; empty when allowed
        binding               what decided, with numbers; None when nothing measurable did
        largest_passing_lots  largest total quantity that would have passed, 0 when none would
        permit                present exactly when an order that needs one was allowed
        sequence              journal sequence of the decision, 0 when the gate never saw the request
        snapshot_version      version of the limits used
        explanation           one sentence for a person
    """

    outcome: Outcome
    codes: tuple[DenialCode, ...]
    binding: Binding | None
    largest_passing_lots: int
    permit: Permit | None
    sequence: int
    snapshot_version: int
    explanation: str = ""

    @property
    def is_allowed(self) -> bool:
        return self.outcome is Outcome.ALLOWED
