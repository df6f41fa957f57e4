"""What a venue's report does to an order: the only place where a reservation ends.

An order is live until the venue confirms its end (M2). A cancel request changes nothing, an unknown order counts in
full, a late word never takes an order back. A fill is booked whatever it says, once.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.domain.decisions import Outcome
from controlplane.domain.quantities import PRICE_TICKS_CAP, QUANTITY_LOTS_CAP
from controlplane.domain.reports import TERMINAL, ReportKind
from controlplane.domain.scopes import Level
from controlplane.domain.states import TradingState
from controlplane.gate.plain.behaviour import count_fill
from controlplane.gate.plain.book import Book, LiveOrder, Node, OrderState, Path, Place, Pricing
from controlplane.gate.plain.decision import Answer
from controlplane.gate.plain.guarding import note_cost, note_fill, note_rejection
from controlplane.gate.plain.ledger import reserve, resize, settle
from controlplane.gate.plain.money import MONEY_MAX
from controlplane.gate.plain.notices import release_parent
from controlplane.gate.plain.repeats import note_reject
from controlplane.gate.plain.terms import RouteTerms


@dataclass(frozen=True, slots=True)
class Report:
    """A report, straight from the words of the record."""

    kind: int
    child_id: int
    route: int
    side: int
    lots: int
    price_ticks: int
    cumulative_lots: int
    execution_id: int
    fee_micro: int
    monotonic_ns: int
    reason: int

    @classmethod
    def of(cls, words: Sequence[int], *, monotonic_ns: int) -> "Report":
        return cls(
            kind=words[0] >> 8 & 0xFF,
            child_id=words[4],
            route=words[6],
            side=words[7],
            lots=words[9],
            price_ticks=words[10],
            cumulative_lots=words[11],
            execution_id=words[13],
            fee_micro=words[14],
            monotonic_ns=monotonic_ns,
            reason=words[12],
        )

    @property
    def is_well_formed(self) -> bool:
        """Whether every number is inside its range; the venue's own count matters only where it is used."""
        return (
            self.kind in set(ReportKind)
            and 0 <= self.lots <= QUANTITY_LOTS_CAP
            and abs(self.price_ticks) <= PRICE_TICKS_CAP
            and abs(self.fee_micro) <= MONEY_MAX
            and self.child_id > 0
            and (self.kind == ReportKind.FILLED or 0 <= self.cumulative_lots <= QUANTITY_LOTS_CAP)
        )


@dataclass(slots=True)
class Executions:
    """Which fills were booked, by child order and the venue's number; of too many the oldest is forgotten."""

    most: int
    seen: set[tuple[int, int]] = field(default_factory=set)
    order: deque[tuple[int, int]] = field(default_factory=deque)

    def is_repeated(self, report: Report) -> bool:
        """Return whether this fill was seen before, and remember it."""
        key = (report.child_id, report.execution_id)
        if key in self.seen:
            return True
        if len(self.order) == self.most:
            self.seen.remove(self.order.popleft())
        self.seen.add(key)
        self.order.append(key)
        return False


def apply_report(book: Book, report: Report, executions: Executions) -> Answer:
    """Apply a report; a denied answer says that it was malformed, a repeat, or about nothing, and changed nothing."""
    if not report.is_well_formed:
        return Answer(Outcome.DENIED, {})
    order = book.orders.get(report.child_id)
    if report.kind == ReportKind.FILLED:
        if report.lots == 0 or report.execution_id <= 0 or executions.is_repeated(report):
            return Answer(Outcome.DENIED, {})
        return book_unknown(book, report) if order is None else book_fill(book, order, report)
    if order is None:
        return Answer(Outcome.DENIED, {})
    path = book.path_of(order)
    if report.kind == ReportKind.REJECTED:
        note_rejection(book, path)
    return Answer(_move(book, order, report), path)


def _move(book: Book, order: LiveOrder, report: Report) -> Outcome:
    """Let a report that is no fill move its order."""
    is_seen = order.state in (OrderState.WORKING, OrderState.AMENDING) or order.filled_lots > 0
    if report.kind == ReportKind.NOT_SENT and is_seen:
        return Outcome.DENIED  # the venue has answered for it, whatever the sender believes
    if report.kind == ReportKind.REJECTED and not order.is_ending:
        note_reject(book, order, report.monotonic_ns, report.reason, is_amend=False)
    if report.kind in TERMINAL:
        end_order(book, order, report.cumulative_lots)
    elif order.is_ending:
        return Outcome.ALLOWED  # it has ended; only its missing fills are awaited
    elif report.kind == ReportKind.AMENDED:
        answer_amend(book, order, report, order.asked._replace(total_lots=report.lots or order.asked.total_lots))
    elif report.kind == ReportKind.AMEND_REJECTED and order.before is not None:
        if is_awaited(order, report):
            note_reject(book, order, report.monotonic_ns, report.reason, is_amend=True)
        answer_amend(book, order, report, order.before)
    elif report.kind in (ReportKind.CANCEL_REQUESTED, ReportKind.CANCEL_REJECTED):
        order.is_cancelling = report.kind == ReportKind.CANCEL_REQUESTED
    elif report.kind == ReportKind.ACKNOWLEDGED and order.state != OrderState.AMENDING:
        order.state = OrderState.WORKING
    elif report.kind == ReportKind.SENT and order.state == OrderState.RESERVED:
        order.state = OrderState.SENT
    elif report.kind == ReportKind.SEND_UNKNOWN and order.state in (OrderState.RESERVED, OrderState.SENT):
        order.state = OrderState.UNKNOWN
    return Outcome.ALLOWED


def book_fill(book: Book, order: LiveOrder, report: Report) -> Answer:
    """Release what a fill used of the reservation, then move position, cash, parent and volume (GATE cases 12, 18)."""
    path = book.path_of(order)
    order.filled_lots += report.lots
    order.parent.filled_lots += report.lots
    if order.state != OrderState.AMENDING and not order.is_ending:
        order.state = OrderState.WORKING
    total = max(terms.total_lots for terms in (order.asked, order.before) if terms is not None)
    resize(book, order, max(0, total - order.filled_lots))
    _book(book, path, order.route, order.side, report)
    note_cost(book, path, order.parent, order.side, report.lots, report.price_ticks)
    if order.reserved_lots == 0 and order.state != OrderState.AMENDING:
        free(book, order)
    return Answer(Outcome.ALLOWED, path)


def book_unknown(book: Book, report: Report) -> Answer:
    """Book a fill of an order that we don't know and restrict its strategy; without route or side, restrict the firm.

    GATE case 16: the position takes it, nothing is dropped.
    """
    is_bookable = 0 <= report.route < len(book.routes) and report.side in (1, -1)
    if not is_bookable:
        firm = book.nodes[book.routes[0].scopes[Level.FIRM]]
        firm.state = max(firm.state, TradingState.REDUCE_ONLY)
        return Answer(Outcome.ALLOWED, {})
    route = book.routes[report.route]
    path = book.path(route, Place(_nobody(book), None))
    _book(book, path, route, report.side, report)
    strategy = path[Level.STRATEGY].node
    strategy.state = max(strategy.state, TradingState.REDUCE_ONLY)
    return Answer(Outcome.ALLOWED, path)


def _nobody(book: Book) -> Node:
    """Return a scope with nothing in it, in the place of the parent order that nobody knows."""
    firm = book.nodes[book.routes[0].scopes[Level.FIRM]]
    return Node(Level.PARENT, len(book.nodes), firm.limits, firm.messages, firm.denials)


def _book(book: Book, path: Path, route: RouteTerms, side: int, report: Report) -> None:
    settle(book, path, route, side, report.lots, report.price_ticks, report.fee_micro)
    count_fill(book, path, route, side, report.lots, report.price_ticks, report.monotonic_ns)
    for volume in book.volumes_of(route):
        volume.own.count(report.monotonic_ns, report.lots)
    note_fill(book, path, route, side, report.lots, report.price_ticks)


def is_awaited(order: LiveOrder, report: Report) -> bool:
    """Return whether a report answers the amend in flight, as far as it says which one it answers."""
    return order.state == OrderState.AMENDING and report.execution_id in (0, order.amend_request)


def answer_amend(book: Book, order: LiveOrder, report: Report, terms: Pricing) -> None:
    """Settle on some terms: the asked ones, with the venue's total where it says one, or those from before.

    What the venue has filled counts although its fills are still on their way, be it more than the new total. An answer
    that nobody waits for, or one to an earlier request, changes nothing.
    """
    if not is_awaited(order, report):
        return
    order.asked = terms._replace(total_lots=max(terms.total_lots, report.cumulative_lots))
    order.before, order.state = None, OrderState.WORKING
    resize(book, order, max(0, order.asked.total_lots - order.filled_lots))
    if order.reserved_lots == 0:
        free(book, order)


def end_order(book: Book, order: LiveOrder, cumulative_lots: int) -> None:
    """Free an order that the venue says is gone, less what it has filled and we haven't seen.

    That much stays reserved until the fills arrive; a later report that says less, or nothing, doesn't free it.
    """
    claimed = max(cumulative_lots, order.asked.total_lots if order.is_ending else 0)
    if claimed > order.filled_lots:
        order.asked, order.before = order.asked._replace(total_lots=claimed), None
        order.is_ending = order.is_cancelling = True
        order.state = OrderState.UNKNOWN
        resize(book, order, claimed - order.filled_lots)
    else:
        resize(book, order, 0)
        free(book, order)


def free(book: Book, order: LiveOrder) -> None:
    """Forget an order of which nothing is live, and its parent when that was closed and this its last live child."""
    reserve(book.path_of(order), order.side, 0, 0, orders=-1)
    del book.orders[order.child_id]
    release_parent(book, order.parent)
