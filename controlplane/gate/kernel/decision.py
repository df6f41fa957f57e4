"""One order in, one decision out: every check over the flat state, the reservation, the record and the permit,
compiled.

`decide` is the column of conditions; after its last line a reservation can no longer fail. The plain-Python twin of all
of this is `reference.py`.
"""

from controlplane.domain.clock import NS_PER_US
from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.decisions import Outcome
from controlplane.domain.ids import ID_MAX, PROGRAM_BITS
from controlplane.domain.orders import CommandKind, OrderType, TimeInForce
from controlplane.domain.quantities import PRICE_TICKS_CAP, QUANTITY_LOTS_CAP
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel import checks, denials, exposure
from controlplane.gate.kernel.compiled import LINE_WORDS, Words, compiled, fetch, seldom, words_at
from controlplane.gate.kernel.exposure import count_aggressive
from controlplane.gate.kernel.families.behaviour import check_behaviour, count_cancel, count_entry
from controlplane.gate.kernel.families.factors import check_contracted
from controlplane.gate.kernel.families.guards import check_guards
from controlplane.gate.kernel.families.measuring import note_denial
from controlplane.gate.kernel.families.own_book import check_self_trade, enter_own_book, reprice_own_book
from controlplane.gate.kernel.families.prices import check_prices
from controlplane.gate.kernel.families.repeats import check_repeats, note_order
from controlplane.gate.kernel.ledger import find, insert, place_of, reserve
from controlplane.gate.kernel.requests import recall
from controlplane.gate.kernel.windows import count

NEW, AMEND, CANCEL, QUOTE = (
    int(CommandKind.NEW),
    int(CommandKind.AMEND),
    int(CommandKind.CANCEL),
    int(CommandKind.QUOTE_ACCEPTANCE),
)
ALLOWED, DENIED = int(Outcome.ALLOWED), int(Outcome.DENIED)
ARMED = 1
ID_AHEAD_US_MAX = 60_000_000  # a program whose clock is a minute ahead, or that mints a million a second
SWITCH_STATE, SWITCH_FENCE = 1, 2
LIMIT, MARKET, STOP = int(OrderType.LIMIT), int(OrderType.MARKET), int(OrderType.STOP)
POST_ONLY = int(TimeInForce.POST_ONLY)


@compiled
def decide(s: Words) -> int:
    """Return the outcome of the order in the record being made; the bit REPEATED when it had been decided before.

    Errors
        none: whatever arrives gets a verdict, and an unknown or malformed input is a denial
    """
    fetch_places(s)
    start_decision(s)
    if not check_shape(s):
        return settle_verdict(s)
    repeated = recall(s)
    if repeated != 0:
        return repeated
    if s[a.COMMAND] == CANCEL:
        return accept_cancel(s)
    check_machine(s)
    if s[a.FAILED_RANK] == a.NO_LIMIT and find_order(s):
        checks.prove_reduction(s)
        checks.check_states(s)
        if s[a.IS_GUARDED] != 0:
            check_guards(s)
        checks.check_instrument(s)
        checks.check_phase(s)
        checks.check_grid(s)
        checks.choose_reference(s)
        checks.check_rate(s)
        checks.check_collar(s)
        check_prices(s)
        check_self_trade(s)
        check_repeats(s)
        if checks.value_order(s):
            check_limits(s)
    return settle_verdict(s)


@compiled
def fetch_places(s: Words) -> None:
    """Have the places near where the two identifiers of this request stand or will stand, and its route."""
    fetch(s, s[a.REQUEST_INDEX_AT] + place_of(s[a.E_REQUEST], 2 * s[a.REQUEST_CAPACITY] - 1))
    fetch(s, s[a.ORDER_INDEX_AT] + place_of(s[a.E_CHILD], 2 * s[a.ORDER_CAPACITY] - 1))
    route = s[a.ROUTES_AT] + s[a.E_ROUTE] * a.ROUTE_WORDS
    for line in range(0, a.ROUTE_WORDS, LINE_WORDS):
        fetch(s, route + line)


@compiled
def fetch_path(s: Words) -> None:
    """Have everything near that the checks of this order will read: among thousands of instruments each row is cold,
    and asked for one after the other they would be waited for one after the other.
    """
    for line in range(0, a.INSTRUMENT_WORDS, LINE_WORDS):
        fetch(s, s[a.INSTRUMENT] + line)
    fetch(s, s[a.ORDER_FREE])
    fetch(s, s[s[a.ROUTE_ROW] + a.ROUTE_VOLUME])
    for scope in range(a.SCOPES):
        node, cell = s[a.PATH_NODES + scope], s[a.PATH_CELLS + scope]
        fetch(s, cell)
        fetch(s, cell + LINE_WORDS)
        fetch(s, node)
        fetch(s, node + LINE_WORDS)
        fetch(s, node + 2 * LINE_WORDS)
        fetch(s, node + a.NODE_DENIED)


@compiled
def start_decision(s: Words) -> None:
    """Clear the scratch words of the last decision and read the request into them."""
    for word in range(a.SCRATCH_AT, a.MESSAGE_AT):
        s[word] = 0
    s[a.NOW_NS], s[a.MONOTONIC_NS] = s[a.E_WALL], s[a.E_MONOTONIC]
    s[a.SIDE], s[a.TOTAL_LOTS], s[a.PRICE], s[a.TRIGGER] = s[a.E_SIDE], s[a.E_QUANTITY], s[a.E_PRICE], s[a.E_TRIGGER]
    s[a.TYPE], s[a.FORCE] = s[a.E_TYPE] & 0xFF, s[a.E_TYPE] >> 8
    s[a.COMMAND] = s[a.E_HEAD] >> 8 & 0xFF
    s[a.FAILED_RANK] = s[a.STRICT_LOTS] = s[a.ORDER_BOUND] = s[a.STRICT_BOUND] = s[a.LOOSE_BOUND] = a.NO_LIMIT
    s[a.MESSAGE_INDEX] = s[a.MONOTONIC_NS] // s[a.MESSAGE_BUCKET_NS]
    s[a.DENIED_INDEX] = s[a.MONOTONIC_NS] // s[a.DENIED_BUCKET_NS]
    s[a.VOLUME_INDEX] = s[a.MONOTONIC_NS] // s[a.PARTICIPATION_BUCKET_NS]


@compiled
def check_shape(s: Words) -> bool:
    """GT02: every word inside its range, and only meaningful combinations; False when nothing else can be judged."""
    kind = s[a.COMMAND]
    is_good = (
        NEW <= kind <= QUOTE
        and 0 < s[a.E_REQUEST] <= ID_MAX
        and not is_from_the_future(s)
        and 0 < s[a.E_CHILD] <= ID_MAX
        and 0 <= s[a.E_PARENT] <= ID_MAX
    )
    if is_good and kind != CANCEL:
        force = s[a.FORCE]
        is_good = (
            (s[a.SIDE] == 1 or s[a.SIDE] == -1)
            and LIMIT <= s[a.TYPE] <= STOP
            and 1 <= force <= POST_ONLY
            and 0 < s[a.TOTAL_LOTS] <= QUANTITY_LOTS_CAP
            and -PRICE_TICKS_CAP <= s[a.PRICE] <= PRICE_TICKS_CAP
            and -PRICE_TICKS_CAP <= s[a.TRIGGER] <= PRICE_TICKS_CAP
            and (s[a.TRIGGER] == 0 or s[a.TYPE] == STOP)
            and not (force == POST_ONLY and s[a.TYPE] != LIMIT)
            and s[a.E_MODEL] >= 0
            and s[a.E_ROUTE] >= 0
            and (kind == AMEND or s[a.E_REQUEST] == s[a.E_CHILD])
        )
    if not is_good:
        denials.deny(s, Code.MALFORMED_REQUEST, denials.NO_SCOPE, 0, 0)
    return is_good


@compiled
def is_from_the_future(s: Words) -> bool:
    """Return whether an identifier claims to be minted later than now: accepted, it would use up all until then."""
    return (s[a.E_REQUEST] >> PROGRAM_BITS) > s[a.NOW_NS] // NS_PER_US + ID_AHEAD_US_MAX


@compiled
def check_machine(s: Words) -> None:
    """GT48: the kill switch of the machine, read from its mapping, and the age of the limits."""
    switch = words_at(s[a.SWITCH_ADDRESS])
    if switch[SWITCH_STATE] != ARMED:
        denials.deny(s, Code.GATE_KILLED, denials.FIRM, 0, ARMED)
    if s[a.NOW_NS] >= s[a.SNAPSHOT_EXPIRES_NS]:
        denials.deny(s, Code.SNAPSHOT_EXPIRED, denials.FIRM, s[a.NOW_NS], s[a.SNAPSHOT_EXPIRES_NS])


@compiled
def find_order(s: Words) -> bool:
    """Find route, parent and, for an amend, the order itself; False (and a failed check) when one is missing."""
    route = s[a.E_ROUTE]
    if route < 0 or route >= s[a.ROUTE_COUNT]:
        denials.deny(s, Code.ROUTE_UNKNOWN, denials.NO_SCOPE, route, s[a.ROUTE_COUNT])
        return False
    s[a.ROUTE_ROW] = s[a.ROUTES_AT] + route * a.ROUTE_WORDS
    s[a.INSTRUMENT] = s[s[a.ROUTE_ROW] + a.ROUTE_INSTRUMENT]
    parent = find(s, s[a.PARENT_INDEX_AT], 2 * s[a.PARENT_CAPACITY] - 1, s[a.E_PARENT])
    if (
        parent == 0
        or not is_same_business(s, s[parent + a.PARENT_ROUTE], s[a.ROUTE_ROW])
        or s[parent + a.PARENT_SIDE] != s[a.SIDE]
    ):
        denials.deny(s, Code.PARENT_UNKNOWN, denials.PARENT, 0, 0)
        return False
    set_path(s, s[a.ROUTE_ROW], parent)
    fetch_path(s)
    if s[parent + a.PARENT_STATE] != a.PARENT_OPEN:
        denials.deny(s, Code.PARENT_CLOSED, denials.PARENT, 0, 0)
    s[a.NEW_LOTS] = s[a.TOTAL_LOTS]
    if s[a.COMMAND] == AMEND:
        return find_amended(s)
    return True


@compiled
def is_same_business(s: Words, first: int, second: int) -> bool:
    """Return whether two routes differ at most in venue and counterparty."""
    for scope in range(denials.MODEL + 1):
        if s[first + a.ROUTE_NODES + scope] != s[second + a.ROUTE_NODES + scope]:
            return False
    return s[first + a.ROUTE_INSTRUMENT] == s[second + a.ROUTE_INSTRUMENT]


@compiled
def find_amended(s: Words) -> bool:
    """M4, GT14: read the working order that an amend changes; the live part counts as the larger of old and new."""
    seldom()
    order = find(s, s[a.ORDER_INDEX_AT], 2 * s[a.ORDER_CAPACITY] - 1, s[a.E_CHILD])
    if order == 0:
        denials.deny(s, Code.CHILD_UNKNOWN, denials.NO_SCOPE, 0, 0)
        return False
    is_same = s[order + a.ORDER_ROUTE] == s[a.E_ROUTE] and s[order + a.ORDER_PARENT] == s[a.PARENT_ROW]
    if s[order + a.ORDER_STATE] != a.WORKING or s[order + a.ORDER_IS_CANCELLING] != 0 or not is_same:
        denials.deny(s, Code.CHILD_NOT_AMENDABLE, denials.NO_SCOPE, s[order + a.ORDER_STATE], a.WORKING)
        return False
    s[a.ORDER_ROW], s[a.IS_AMEND] = order, 1
    s[a.OLD_LOTS], s[a.OLD_MICRO], s[a.FILLED] = (
        s[order + a.ORDER_RESERVED],
        s[order + a.ORDER_MICRO],
        s[order + a.ORDER_FILLED],
    )
    wanted = max(0, s[a.TOTAL_LOTS] - s[a.FILLED])
    s[a.NEW_LOTS] = max(s[a.OLD_LOTS], wanted)
    is_same_price = s[order + a.ORDER_PRICE] == s[a.PRICE] and s[order + a.ORDER_TRIGGER] == s[a.TRIGGER]
    s[a.IS_REPRICED] = 0 if is_same_price else 1
    s[a.IS_SIZE_DOWN] = 1 if wanted <= s[a.OLD_LOTS] and is_same_price else 0
    return True


@compiled
def set_path(s: Words, route: int, parent: int) -> None:
    """Write the nine nodes and cells that an order of this route and parent touches."""
    for scope in range(a.SCOPES):
        s[a.PATH_NODES + scope] = s[route + a.ROUTE_NODES + scope]
        s[a.PATH_CELLS + scope] = s[route + a.ROUTE_CELLS + scope]
    slot = (parent - s[a.PARENTS_AT]) // a.PARENT_WORDS
    s[a.PARENT_ROW] = parent
    s[a.PATH_NODES + denials.PARENT] = s[a.PARENT_NODE_FIRST] + slot * a.NODE_WORDS
    s[a.PATH_CELLS + denials.PARENT] = s[a.PARENT_CELL_FIRST] + slot * a.CELL_WORDS


@compiled
def check_limits(s: Words) -> None:
    """Every limit at every level and cross dimension; all are looked at, the tightest answer wins."""
    exposure.check_parent(s)
    for scope in range(a.SCOPES):
        if scope != denials.INSTRUMENT and scope != denials.UNDERLYING:
            exposure.check_cell(s, scope)
        exposure.check_money(s, scope)
        exposure.check_loss(s, scope)
        exposure.check_rates_of_messages(s, scope)
    exposure.check_participation(s)
    check_behaviour(s)
    if s[a.IS_GUARDED] != 0:
        check_contracted(s)
    if s[a.IS_AMEND] == 0 and s[a.ORDER_FREE] == 0:
        denials.deny(s, Code.CAPACITY_EXHAUSTED, denials.FIRM, s[a.LIVE_COUNT], s[a.ORDER_CAPACITY])


@compiled
def settle_verdict(s: Words) -> int:
    """Count the message, take the reservation when nothing failed, and write what would have passed when something
    did.
    """
    s[a.E_BID], s[a.E_ASK], s[a.E_AGE] = s[a.BID], s[a.ASK], s[a.AGE]
    if s[a.FAILED_RANK] != a.NO_LIMIT:
        s[a.E_PASSING] = denials.largest_passing(s)
        s[a.E_HEAD] |= DENIED << 16 | s[a.FAILED_RANK] << 32
        count_denial(s)
        return DENIED
    # From here on nothing can fail.
    s[a.E_PASSING] = denials.largest_passing(s)
    write_binding(s)
    s[a.E_HEAD] |= ALLOWED << 16
    s[a.E_EXPIRY] = s[a.NOW_NS] + s[a.PERMIT_TTL_NS]
    count_message(s)
    if s[a.IS_AMEND] != 0:
        take_amend(s)
    else:
        take_order(s)
    return ALLOWED


@compiled
def write_binding(s: Words) -> None:
    """Write the limit that came nearest to denying an allowed order."""
    scope = s[a.BOUND_SCOPE]
    s[a.E_BINDING] = scope | denials.scope_node(s, scope) << 8
    s[a.E_MEASURED], s[a.E_LIMIT] = s[a.BOUND_MEASURED], s[a.BOUND_LIMIT]
    s[a.E_HEAD] |= s[a.BOUND_CODE] << 32


@compiled
def count_message(s: Words) -> None:
    """Spend one message of every scope's budget."""
    for scope in range(a.SCOPES):
        node = s[a.PATH_NODES + scope]
        if node != 0 and s[node + a.NODE_MESSAGES_MAX] != a.NO_LIMIT:
            count(s, node + a.NODE_MESSAGES, s[a.MESSAGE_INDEX], 1)


@compiled
def count_denial(s: Words) -> None:
    """Count a denied command in its own window; one denied only because of that window doesn't prolong it."""
    seldom()
    if s[a.ROUTE_ROW] == 0 or s[a.FAILED_RANK] == Code.DENIED_RATE_ABOVE_LIMIT:
        return
    for scope in range(a.SCOPES):
        node = s[a.PATH_NODES + scope]
        if node != 0 and s[node + a.NODE_DENIED_MAX] != a.NO_LIMIT:
            count(s, node + a.NODE_DENIED, s[a.DENIED_INDEX], 1)
    note_denial(s)


@compiled
def accept_cancel(s: Words) -> int:
    """GATE case 94: a cancel is counted, marks the order when we know it, and always passes.

    That of an order nobody knows is a message too (GT28): it counts where its route says that it goes.
    """
    seldom()
    order = find(s, s[a.ORDER_INDEX_AT], 2 * s[a.ORDER_CAPACITY] - 1, s[a.E_CHILD])
    if order != 0:
        set_path(s, s[a.ROUTES_AT] + s[order + a.ORDER_ROUTE] * a.ROUTE_WORDS, s[order + a.ORDER_PARENT])
        count_cancel(s, order)
        s[order + a.ORDER_IS_CANCELLING] = 1
    elif 0 <= s[a.E_ROUTE] < s[a.ROUTE_COUNT]:
        set_path(s, s[a.ROUTES_AT] + s[a.E_ROUTE] * a.ROUTE_WORDS, s[a.PARENTS_AT])
        s[a.PATH_NODES + denials.PARENT] = s[a.PATH_CELLS + denials.PARENT] = 0
    count_message(s)
    # An identifier used before is refused to orders alone; nothing holds a cancel back.
    s[a.E_FAILED] = s[a.E_MORE] = s[a.E_SCOPES] = s[a.E_BINDING] = s[a.E_MEASURED] = s[a.E_LIMIT] = 0
    s[a.E_HEAD] |= ALLOWED << 16
    return ALLOWED


@compiled
def take_order(s: Words) -> None:
    """Give the order a row and reserve its exposure at every scope: all or none, and before a permit exists."""
    order = s[a.ORDER_FREE]
    s[a.ORDER_FREE] = s[order + a.ORDER_NEXT_FREE]
    s[a.LIVE_COUNT] += 1
    s[order + a.ORDER_ID], s[order + a.ORDER_STATE], s[order + a.ORDER_PARENT] = (
        s[a.E_CHILD],
        a.RESERVED,
        s[a.PARENT_ROW],
    )
    s[order + a.ORDER_ROUTE], s[order + a.ORDER_SIDE], s[order + a.ORDER_TYPE] = s[a.E_ROUTE], s[a.SIDE], s[a.E_TYPE]
    s[order + a.ORDER_TOTAL], s[order + a.ORDER_FILLED], s[order + a.ORDER_RESERVED] = s[a.TOTAL_LOTS], 0, s[a.NEW_LOTS]
    s[order + a.ORDER_PRICE], s[order + a.ORDER_TRIGGER], s[order + a.ORDER_MICRO] = (
        s[a.PRICE],
        s[a.TRIGGER],
        s[a.NEW_MICRO],
    )
    s[order + a.ORDER_VALUE_PRICE], s[order + a.ORDER_OLD_VALUE_PRICE] = s[a.VALUE_PRICE], 0
    s[order + a.ORDER_IS_CANCELLING], s[order + a.ORDER_IS_ENDING] = 0, 0
    s[order + a.ORDER_IS_AGGRESSIVE] = checks.is_aggressive(s)
    insert(s, s[a.ORDER_INDEX_AT], 2 * s[a.ORDER_CAPACITY] - 1, s[a.E_CHILD], order)
    s[s[a.PARENT_ROW] + a.PARENT_CHILDREN] += 1
    s[s[a.PARENT_ROW] + a.PARENT_LIVE] += s[a.NEW_LOTS]
    reserve(s, s[a.SIDE], s[a.NEW_LOTS], s[a.NEW_MICRO], 1)
    count_aggressive(s, order, s[a.NEW_LOTS])
    enter_own_book(s, order)
    note_order(s)
    count_entry(s)


@compiled
def take_amend(s: Words) -> None:
    """Keep the old terms for a refusal by the venue, and reserve the larger of both until it answers."""
    seldom()
    order = s[a.ORDER_ROW]
    change = s[a.NEW_LOTS] - s[a.OLD_LOTS]
    count_aggressive(s, order, -s[a.OLD_LOTS])
    s[order + a.ORDER_OLD_TOTAL], s[order + a.ORDER_OLD_PRICE] = s[order + a.ORDER_TOTAL], s[order + a.ORDER_PRICE]
    s[order + a.ORDER_OLD_VALUE_PRICE], s[order + a.ORDER_OLD_TRIGGER] = (
        s[order + a.ORDER_VALUE_PRICE],
        s[order + a.ORDER_TRIGGER],
    )
    s[order + a.ORDER_TOTAL], s[order + a.ORDER_PRICE], s[order + a.ORDER_TRIGGER] = (
        s[a.TOTAL_LOTS],
        s[a.PRICE],
        s[a.TRIGGER],
    )
    s[order + a.ORDER_VALUE_PRICE], s[order + a.ORDER_STATE] = s[a.VALUE_PRICE], a.AMENDING
    s[order + a.ORDER_AMEND_REQUEST] = s[a.E_REQUEST]
    s[order + a.ORDER_RESERVED], s[order + a.ORDER_MICRO] = s[a.NEW_LOTS], s[a.NEW_MICRO]
    s[order + a.ORDER_IS_AGGRESSIVE] = max(s[order + a.ORDER_IS_AGGRESSIVE], checks.is_aggressive(s))
    s[s[a.PARENT_ROW] + a.PARENT_AMENDS] += 1
    s[s[a.PARENT_ROW] + a.PARENT_LIVE] += change
    reserve(s, s[a.SIDE], change, s[a.NEW_MICRO] - s[a.OLD_MICRO], 0)
    count_aggressive(s, order, s[a.NEW_LOTS])
    reprice_own_book(s, order)
