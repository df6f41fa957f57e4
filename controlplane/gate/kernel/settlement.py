"""What a report does to an order, its reservation and the positions: the only place where a reservation ends.

An order is live until the venue confirms its end. A cancel request changes nothing; an unknown order counts in
full; a fill of an order that the gate doesn't know is booked all the same and puts its strategy into reduce-only.
"""

from controlplane.domain.quantities import PRICE_TICKS_CAP, QUANTITY_LOTS_CAP
from controlplane.domain.reports import ReportKind
from controlplane.domain.states import TradingState
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled
from controlplane.gate.kernel.decision import ALLOWED, DENIED, set_path
from controlplane.gate.kernel.exposure import count_aggressive
from controlplane.gate.kernel.families.behaviour import count_fill
from controlplane.gate.kernel.families.measuring import note_cost, note_fill, note_rejection
from controlplane.gate.kernel.families.own_book import leave_own_book, reprice_own_book
from controlplane.gate.kernel.families.repeats import note_reject
from controlplane.gate.kernel.hashing import fold
from controlplane.gate.kernel.ledger import find, insert, remove, reserve, settle
from controlplane.gate.kernel.parents import release_parent
from controlplane.gate.kernel.valuation import notional_micro
from controlplane.gate.kernel.windows import count

SENT, NOT_SENT, SEND_UNKNOWN = int(ReportKind.SENT), int(ReportKind.NOT_SENT), int(ReportKind.SEND_UNKNOWN)
ACKNOWLEDGED, FILLED = int(ReportKind.ACKNOWLEDGED), int(ReportKind.FILLED)
CANCELLED, REJECTED, EXPIRED = int(ReportKind.CANCELLED), int(ReportKind.REJECTED), int(ReportKind.EXPIRED)
CANCEL_REQUESTED, CANCEL_REJECTED = int(ReportKind.CANCEL_REQUESTED), int(ReportKind.CANCEL_REJECTED)
AMENDED, AMEND_REJECTED = int(ReportKind.AMENDED), int(ReportKind.AMEND_REJECTED)
REDUCE_ONLY = int(TradingState.REDUCE_ONLY)
FIRM, STRATEGY, PARENT = 0, 2, 4


@compiled
def apply_report(s: Words) -> int:
    """Apply the venue report in the record being made; DENIED says that it was malformed or a repeat and changed
    nothing.
    """
    forget_path(s)
    kind = s[a.E_HEAD] >> 8 & 0xFF
    is_good = (
        SENT <= kind <= AMEND_REJECTED
        and 0 <= s[a.E_QUANTITY] <= QUANTITY_LOTS_CAP
        and -PRICE_TICKS_CAP <= s[a.E_PRICE] <= PRICE_TICKS_CAP
        and -a.MONEY_MAX <= s[a.E_FEE] <= a.MONEY_MAX
        and s[a.E_CHILD] > 0
        # The venue's own count is used where an order ends; a fill isn't dropped for it.
        and (kind == FILLED or 0 <= s[a.E_TRIGGER] <= QUANTITY_LOTS_CAP)
    )
    if not is_good:
        return DENIED
    order = find(s, s[a.ORDER_INDEX_AT], 2 * s[a.ORDER_CAPACITY] - 1, s[a.E_CHILD])
    if kind == FILLED:
        return apply_fill(s, order)
    if order == 0:
        return DENIED
    path_of(s, order)
    if kind == NOT_SENT and is_seen_by_venue(s, order):
        return DENIED
    if kind == REJECTED:
        note_rejection(s)
    if kind == REJECTED and s[order + a.ORDER_IS_ENDING] == 0:
        note_reject(s, order, False)
    if kind in (NOT_SENT, CANCELLED, REJECTED, EXPIRED):
        end_order(s, order)
    elif s[order + a.ORDER_IS_ENDING] != 0:
        return ALLOWED  # it has ended, only its missing fills are awaited: a late word changes nothing
    elif kind in (AMENDED, AMEND_REJECTED):
        answer_amend(s, order, kind == AMENDED)
    elif kind in (CANCEL_REQUESTED, CANCEL_REJECTED):
        s[order + a.ORDER_IS_CANCELLING] = 1 if kind == CANCEL_REQUESTED else 0
    else:
        mark_state(s, order, kind)
    return ALLOWED


@compiled
def forget_path(s: Words) -> None:
    """Clear the path of the command before: the digest of a report that touches nothing must not depend on it."""
    for scope in range(a.SCOPES):
        s[a.PATH_NODES + scope] = s[a.PATH_CELLS + scope] = 0


@compiled
def is_seen_by_venue(s: Words, order: int) -> bool:
    """Return whether the venue has answered for an order; then "not sent" contradicts it and frees nothing."""
    state = s[order + a.ORDER_STATE]
    return state in (a.WORKING, a.AMENDING) or s[order + a.ORDER_FILLED] > 0


@compiled
def mark_state(s: Words, order: int, kind: int) -> None:
    """Note how far an order has got; a late word never takes it back, and a lost answer makes it unknown."""
    state = s[order + a.ORDER_STATE]
    if kind == ACKNOWLEDGED and state != a.AMENDING:
        s[order + a.ORDER_STATE] = a.WORKING
    elif kind == SENT and state == a.RESERVED:
        s[order + a.ORDER_STATE] = a.SENT
    elif kind == SEND_UNKNOWN and (state == a.RESERVED or state == a.SENT):
        s[order + a.ORDER_STATE] = a.UNKNOWN


@compiled
def path_of(s: Words, order: int) -> None:
    """Set the path to the scopes of an order."""
    set_path(s, s[a.ROUTES_AT] + s[order + a.ORDER_ROUTE] * a.ROUTE_WORDS, s[order + a.ORDER_PARENT])


@compiled
def apply_fill(s: Words, order: int) -> int:
    """Book a fill once: release what it used of the reservation, then move position, cash, parent and volume."""
    lots = s[a.E_QUANTITY]
    route = s[a.E_ROUTE] if order == 0 else s[order + a.ORDER_ROUTE]
    side = s[a.E_SIDE] if order == 0 else s[order + a.ORDER_SIDE]
    if lots == 0 or s[a.E_EXECUTION] <= 0 or is_repeated(s):
        return DENIED
    if order == 0:
        return book_unknown(s, route, side)
    path_of(s, order)
    parent = s[order + a.ORDER_PARENT]
    s[order + a.ORDER_FILLED] += lots
    s[parent + a.PARENT_FILLED] += lots
    if s[order + a.ORDER_STATE] != a.AMENDING and s[order + a.ORDER_IS_ENDING] == 0:
        s[order + a.ORDER_STATE] = a.WORKING
    resize(s, order, max(0, live_total(s, order) - s[order + a.ORDER_FILLED]))
    instrument = s[s[a.ROUTES_AT] + route * a.ROUTE_WORDS + a.ROUTE_INSTRUMENT]
    book(s, instrument, route, side)
    note_cost(s, parent, instrument, side)
    if s[order + a.ORDER_RESERVED] == 0 and (
        s[order + a.ORDER_STATE] != a.AMENDING or s[order + a.ORDER_IS_ENDING] != 0
    ):
        free_order(s, order)
    return ALLOWED


@compiled
def is_repeated(s: Words) -> bool:
    """Return whether this execution of this child order was seen before, and remember it in the place of the oldest.

    A child order has one venue, so the two numbers name a fill wherever it is reported from and whatever the limits.
    """
    key = fold(fold(FILLED, s[a.E_EXECUTION]), s[a.E_CHILD])
    key = key if key != 0 else 1
    mask = 2 * s[a.EXECUTION_CAPACITY] - 1
    if find(s, s[a.EXECUTION_INDEX_AT], mask, key) != 0:
        return True
    place = s[a.EXECUTIONS_AT] + s[a.EXECUTION_CURSOR]
    if s[place] != 0:
        remove(s, s[a.EXECUTION_INDEX_AT], mask, s[place])
    s[place] = key
    insert(s, s[a.EXECUTION_INDEX_AT], mask, key, place)
    s[a.EXECUTION_CURSOR] = (s[a.EXECUTION_CURSOR] + 1) % s[a.EXECUTION_CAPACITY]
    return False


@compiled
def book_unknown(s: Words, route: int, side: int) -> int:
    """GATE case 16: a fill of an order we don't know moves the position and restricts its strategy; without a route,
    the firm.
    """
    is_bookable = 0 <= route < s[a.ROUTE_COUNT] and (side == 1 or side == -1)
    row = s[a.ROUTES_AT] + route * a.ROUTE_WORDS if is_bookable else s[a.ROUTES_AT]
    if is_bookable:
        set_path(s, row, s[a.PARENTS_AT])
        s[a.PATH_CELLS + PARENT] = 0
        book(s, s[row + a.ROUTE_INSTRUMENT], route, side)
    node = s[row + a.ROUTE_NODES + (STRATEGY if is_bookable else FIRM)]
    if s[node + a.NODE_STATE] < REDUCE_ONLY:
        s[node + a.NODE_STATE] = REDUCE_ONLY
        s[a.NOTICE_COUNT] += 1
    return ALLOWED


@compiled
def book(s: Words, instrument: int, route: int, side: int) -> None:
    """Move the position of every scope on the path and count the fill into our share of the volume."""
    settle(s, instrument, side, s[a.E_QUANTITY], s[a.E_PRICE], s[a.E_FEE])
    count_fill(s, instrument, side)
    index = s[a.E_MONOTONIC] // s[a.PARTICIPATION_BUCKET_NS]
    count(s, s[instrument + a.INSTRUMENT_VOLUME] + a.VOLUME_OWN, index, s[a.E_QUANTITY])
    count(s, s[s[a.ROUTES_AT] + route * a.ROUTE_WORDS + a.ROUTE_VOLUME] + a.VOLUME_OWN, index, s[a.E_QUANTITY])
    note_fill(s, instrument, side)


@compiled
def live_total(s: Words, order: int) -> int:
    """Return the total that still counts: while an amend is unanswered, the larger of old and new."""
    if s[order + a.ORDER_IS_ENDING] != 0:
        return s[order + a.ORDER_TOTAL]
    if s[order + a.ORDER_STATE] == a.AMENDING:
        return max(s[order + a.ORDER_TOTAL], s[order + a.ORDER_OLD_TOTAL])
    return s[order + a.ORDER_TOTAL]


@compiled
def resize(s: Words, order: int, lots: int) -> None:
    """Set the live quantity of an order, with its money, at every scope, at the parent and in the aggressive volume."""
    route = s[a.ROUTES_AT] + s[order + a.ORDER_ROUTE] * a.ROUTE_WORDS
    instrument, side = s[route + a.ROUTE_INSTRUMENT], s[order + a.ORDER_SIDE]
    lots_change = lots - s[order + a.ORDER_RESERVED]
    price = s[order + a.ORDER_VALUE_PRICE]
    if s[order + a.ORDER_STATE] == a.AMENDING and s[order + a.ORDER_OLD_VALUE_PRICE] != 0:
        is_inverse = s[instrument + a.INSTRUMENT_KIND] == a.INVERSE
        old = s[order + a.ORDER_OLD_VALUE_PRICE]
        price = min(price, old) if is_inverse else max(price, old)
    micro = 0 if lots == 0 else notional_micro(s, instrument, side, lots, price)
    if micro < 0 or (lots_change <= 0 and micro > s[order + a.ORDER_MICRO]):
        micro = s[order + a.ORDER_MICRO]
    reserve(s, side, lots_change, micro - s[order + a.ORDER_MICRO], 0)
    count_aggressive(s, order, lots_change)
    s[s[order + a.ORDER_PARENT] + a.PARENT_LIVE] += lots_change
    s[order + a.ORDER_RESERVED], s[order + a.ORDER_MICRO] = lots, micro


@compiled
def answer_amend(s: Words, order: int, is_accepted: bool) -> None:
    """Settle on the new terms, or return to the old ones; an answer nobody waits for, or one to an earlier request,
    changes nothing.

    What the venue has filled counts although its fills are still on their way, be it more than the new total.
    """
    is_late = s[a.E_EXECUTION] != 0 and s[a.E_EXECUTION] != s[order + a.ORDER_AMEND_REQUEST]
    if s[order + a.ORDER_STATE] != a.AMENDING or is_late:
        return
    if is_accepted:
        if s[a.E_QUANTITY] > 0:
            s[order + a.ORDER_TOTAL] = s[a.E_QUANTITY]
    else:
        note_reject(s, order, True)
        s[order + a.ORDER_TOTAL], s[order + a.ORDER_PRICE] = s[order + a.ORDER_OLD_TOTAL], s[order + a.ORDER_OLD_PRICE]
        s[order + a.ORDER_VALUE_PRICE], s[order + a.ORDER_TRIGGER] = (
            s[order + a.ORDER_OLD_VALUE_PRICE],
            s[order + a.ORDER_OLD_TRIGGER],
        )
    s[order + a.ORDER_STATE] = a.WORKING
    reprice_own_book(s, order)
    s[order + a.ORDER_TOTAL] = max(s[order + a.ORDER_TOTAL], s[a.E_TRIGGER])
    lots = max(0, s[order + a.ORDER_TOTAL] - s[order + a.ORDER_FILLED])
    resize(s, order, lots)
    if lots == 0:
        free_order(s, order)


@compiled
def end_order(s: Words, order: int) -> None:
    """Free what the venue says is gone; lots it has filled and we haven't seen yet stay reserved until their fills
    arrive, also when a later report says less or nothing.
    """
    claimed = s[a.E_TRIGGER]
    if s[order + a.ORDER_IS_ENDING] != 0:
        claimed = max(claimed, s[order + a.ORDER_TOTAL])
    unseen = max(0, claimed - s[order + a.ORDER_FILLED])
    if unseen > 0:
        s[order + a.ORDER_TOTAL] = claimed
        s[order + a.ORDER_IS_ENDING], s[order + a.ORDER_IS_CANCELLING], s[order + a.ORDER_STATE] = 1, 1, a.UNKNOWN
        reprice_own_book(s, order)
        resize(s, order, unseen)
    else:
        resize(s, order, 0)
        free_order(s, order)


@compiled
def free_order(s: Words, order: int) -> None:
    """Give the row of a finished order back."""
    reserve(s, s[order + a.ORDER_SIDE], 0, 0, -1)
    leave_own_book(s, order)
    remove(s, s[a.ORDER_INDEX_AT], 2 * s[a.ORDER_CAPACITY] - 1, s[order + a.ORDER_ID])
    s[order + a.ORDER_STATE], s[order + a.ORDER_ID] = a.FREE, 0
    s[order + a.ORDER_NEXT_FREE] = s[a.ORDER_FREE]
    s[a.ORDER_FREE] = order
    s[a.LIVE_COUNT] -= 1
    release_parent(s, s[order + a.ORDER_PARENT])
