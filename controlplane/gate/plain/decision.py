"""One order in, one verdict out: find what it is about, look at every limit, reserve, or say what would pass.

After the last check nothing can fail: the reservation is taken at every scope, and only then an allowed verdict exists.
"""

from dataclasses import dataclass

from controlplane.domain.clock import NS_PER_US
from controlplane.domain.decisions import DenialCode as Code
from controlplane.domain.decisions import Outcome
from controlplane.domain.ids import ID_MAX, PROGRAM_BITS
from controlplane.domain.orders import CommandKind, OrderType, TimeInForce
from controlplane.domain.quantities import PRICE_TICKS_CAP, QUANTITY_LOTS_CAP, ceil_div
from controlplane.domain.scopes import Level
from controlplane.gate.plain import behaviour, checks, guards, prices, repeats, sizes
from controlplane.gate.plain.book import Book, LiveOrder, OrderState, Path, Pricing
from controlplane.gate.plain.case import Case, Request
from controlplane.gate.plain.findings import Finding
from controlplane.gate.plain.guarding import note_denial
from controlplane.gate.plain.ledger import count_aggressive, reserve
from controlplane.gate.plain.windows import WINDOW_PARTS
from controlplane.gate.snapshot import NO_LIMIT, Snapshot

# A program whose clock is a minute ahead, or that mints a million a second, goes no further.
ID_AHEAD_US_MAX = 60_000_000


@dataclass(slots=True)
class Answer:
    """What the record of a command says besides the command itself.

    Fields
        path     scopes that the command could have touched
        decided  the failed check that comes first, or the limit that came nearest to an allowed order
    """

    outcome: Outcome
    path: Path
    decided: Finding | None = None
    failed_mask: int = 0
    failed_mask_more: int = 0
    scopes_mask: int = 0
    passing_lots: int = 0
    bid_ticks: int = 0
    ask_ticks: int = 0
    age_ns: int = 0
    expiry_ns: int = 0
    notional_micro: int = 0


def is_well_formed(request: Request) -> bool:
    """GT02: every number inside its range, and only combinations that mean something."""
    is_known = request.kind in set(CommandKind) and not _is_from_the_future(request)
    has_names = 0 < request.request_id <= ID_MAX and 0 < request.child_id <= ID_MAX and 0 <= request.parent_id <= ID_MAX
    if not (is_known and has_names):
        return False
    if request.kind == CommandKind.CANCEL:
        return True
    return (
        request.side in (1, -1)
        and request.order_type in set(OrderType)
        and request.time_in_force in set(TimeInForce)
        and 0 < request.total_lots <= QUANTITY_LOTS_CAP
        and abs(request.price_ticks) <= PRICE_TICKS_CAP
        and abs(request.trigger_ticks) <= PRICE_TICKS_CAP
        and (request.trigger_ticks == 0 or request.order_type == OrderType.STOP)
        and (request.time_in_force != TimeInForce.POST_ONLY or request.order_type == OrderType.LIMIT)
        and request.model_digest >= 0
        and request.route >= 0
        # A new order carries its own identifier, so that asking twice for it is seen.
        and (request.is_amend or request.request_id == request.child_id)
    )


def _is_from_the_future(request: Request) -> bool:
    """Return whether an identifier claims to be minted later than now: accepted, it would use up all until then."""
    minted_us = request.request_id >> PROGRAM_BITS
    return minted_us > request.now_ns // NS_PER_US + ID_AHEAD_US_MAX


def decide(
    book: Book, request: Request, snapshot: Snapshot, *, is_reused: bool, highest_id: int, orders_max: int
) -> Answer:
    """Return the answer to a well-formed or malformed order, amend, cancel or quote acceptance.

    Arguments
        is_reused   the identifier was used before, for something else or too long ago to tell
        highest_id  highest identifier of the program that asks
    """
    case = Case(book, request)
    findings = case.findings
    if not is_well_formed(request):
        findings.deny(Code.MALFORMED_REQUEST, None)
        return _denied(case)
    if request.kind == CommandKind.CANCEL:
        return _accept_cancel(book, request)
    if is_reused:
        findings.deny(Code.REQUEST_ID_REUSED, None, request.request_id, highest_id)
    if not request.is_armed:
        findings.deny(Code.GATE_KILLED, Level.FIRM, 0, 1)
    if request.now_ns >= snapshot.expires_ns:
        findings.deny(Code.SNAPSHOT_EXPIRED, Level.FIRM, request.now_ns, snapshot.expires_ns)
    if not findings.failed and find_order(case):
        _check(case, snapshot, orders_max=orders_max)
    return _denied(case) if findings.failed else _allow(case, snapshot)


def find_order(case: Case) -> bool:
    """Find route, parent and, for an amend, the order itself; False (and a failed check) when one is missing."""
    book, request, findings = case.book, case.request, case.findings
    if not 0 <= request.route < len(book.routes):
        findings.deny(Code.ROUTE_UNKNOWN, None, request.route, len(book.routes))
        return False
    case.route = book.routes[request.route]
    parent = book.parents.get(request.parent_id)
    if parent is None or parent.route.business != case.route.business or parent.side != request.side:
        findings.deny(Code.PARENT_UNKNOWN, Level.PARENT)
        return False
    case.parent, findings.path = parent, book.path(case.route, parent.place)
    if not parent.is_open:
        findings.deny(Code.PARENT_CLOSED, Level.PARENT)
    return find_amended(case) if request.is_amend else True


def find_amended(case: Case) -> bool:
    """GT14: only a working order, of this route and parent and not being cancelled or amended, can be amended."""
    order = case.book.orders.get(case.request.child_id)
    if order is None:
        case.findings.deny(Code.CHILD_UNKNOWN, None)
        return False
    is_same = order.route is case.route and order.parent is case.parent
    if order.state != OrderState.WORKING or order.is_cancelling or not is_same:
        case.findings.deny(Code.CHILD_NOT_AMENDABLE, None, order.state, OrderState.WORKING)
        return False
    case.amended = order
    return True


def _check(case: Case, snapshot: Snapshot, *, orders_max: int) -> None:
    """Make every check; none stops another, but what can't be valued isn't measured against limits."""
    checks.prove_reduction(case)
    checks.check_states(case)
    guards.check_guards(case)
    checks.check_instrument(case)
    checks.check_hours(case, is_phase_required=snapshot.is_phase_required, phase_age_ns_max=snapshot.phase_age_ns_max)
    checks.check_grid(case)
    checks.choose_reference(case)
    checks.check_rate(case, rate_age_ns_max=snapshot.rate_age_ns_max)
    checks.check_collar(case)
    walk_part_ns = ceil_div(snapshot.walk_window_ns, WINDOW_PARTS)
    prices.check_prices(case, walk_part_ns=walk_part_ns, hold_ns=snapshot.disagreement_hold_ns)
    repeats.check_self_trade(case)
    repeats.check_repeats(case)
    if checks.value_order(case):
        sizes.check_limits(case, volume_age_ns_max=snapshot.volume_age_ns_max)
        guards.check_contracted(case)
        if case.amended is None and len(case.book.orders) >= orders_max:
            case.findings.deny(Code.CAPACITY_EXHAUSTED, Level.FIRM, len(case.book.orders), orders_max)


def _denied(case: Case) -> Answer:
    """Return a denial with every failed check, and count it where the order's way is known.

    An order denied by nothing but the count of denials isn't counted: else the count would keep itself up for ever.
    """
    findings = case.findings
    if case.route is not None and findings.first.code is not Code.DENIED_RATE_ABOVE_LIMIT:
        for place in findings.path.values():
            if place.node.limits.denied_count_max != NO_LIMIT:
                place.node.denials.count(case.request.monotonic_ns, 1)
        note_denial(case.book, findings.path, findings.first.code)
    return _answer(case, Outcome.DENIED, findings.first, sizes.largest_passing(case))


def _allow(case: Case, snapshot: Snapshot) -> Answer:
    """Take the reservation and return the allowed answer with the limit that came nearest."""
    answer = _answer(case, Outcome.ALLOWED, sizes.tightest(case).finding, sizes.largest_passing(case))
    answer.expiry_ns = case.request.now_ns + snapshot.permit_ttl_ns
    count_message(case.findings.path, case.request.monotonic_ns)
    if case.amended is not None:
        _take_amend(case, case.amended)
    else:
        _take_order(case)
    return answer


def _answer(case: Case, outcome: Outcome, decided: Finding, passing_lots: int) -> Answer:
    findings = case.findings
    return Answer(
        outcome,
        findings.path,
        decided,
        findings.failed_mask,
        findings.failed_mask_more,
        findings.scopes_mask,
        passing_lots,
        case.bid_ticks,
        case.ask_ticks,
        case.age_ns,
        notional_micro=case.total_micro,
    )


def _accept_cancel(book: Book, request: Request) -> Answer:
    """GATE case 94: a cancel always passes; it marks its order where we know it, and counts where it goes (GT28)."""
    order = book.orders.get(request.child_id)
    path: Path = {}
    if order is not None:
        path = book.path_of(order)
        if not order.is_cancelling:
            behaviour.count_cancel(path, request.monotonic_ns)
        order.is_cancelling = True
    elif 0 <= request.route < len(book.routes):
        path = book.path_without_parent(book.routes[request.route])
    count_message(path, request.monotonic_ns)
    return Answer(Outcome.ALLOWED, path)


def count_message(path: Path, monotonic_ns: int) -> None:
    """Spend one message of every scope's budget."""
    for place in path.values():
        if place.node.limits.message_count_max != NO_LIMIT:
            place.node.messages.count(monotonic_ns, 1)


def _take_order(case: Case) -> None:
    """Make the order live, with its whole exposure reserved."""
    request, parent = case.request, case.known_parent
    order = LiveOrder(
        request.child_id,
        parent,
        case.known_route,
        request.side,
        asked=_pricing(case),
        reserved_lots=request.total_lots,
        reserved_micro=case.counted_micro,
        is_aggressive=case.is_aggressive,
        type_word=request.type_word,
    )
    case.book.orders[order.child_id] = order
    parent.children += 1
    parent.live_lots += order.reserved_lots
    reserve(case.findings.path, order.side, order.reserved_lots, order.reserved_micro, orders=1)
    count_aggressive(case.book, order, order.reserved_lots)
    repeats.note_order(case)
    behaviour.count_entry(case)


def _take_amend(case: Case, order: LiveOrder) -> None:
    """Keep the old terms for a rejection by the venue, and reserve the larger of both until it answers (M4)."""
    lots, lots_change, micro_change = case.counted_lots, case.lots_change, case.micro_change
    counted_micro, is_aggressive = case.counted_micro, case.is_aggressive
    count_aggressive(case.book, order, -order.reserved_lots)
    order.before, order.asked, order.state = order.asked, _pricing(case), OrderState.AMENDING
    order.amend_request = case.request.request_id
    order.reserved_lots, order.reserved_micro = lots, counted_micro
    order.is_aggressive |= is_aggressive
    order.parent.amends += 1
    order.parent.live_lots += lots_change
    reserve(case.findings.path, order.side, lots_change, micro_change)
    count_aggressive(case.book, order, lots)


def _pricing(case: Case) -> Pricing:
    request = case.request
    return Pricing(request.total_lots, request.price_ticks, request.trigger_ticks, case.value_ticks)
