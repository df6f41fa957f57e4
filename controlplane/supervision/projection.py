"""Folds journal records, one at a time and from several logs in any interleaving, into parents and children.

Within one log records arrive in order and each once; a record that was taken in before changes nothing. A fill is told
twice, by the executor and by the gate, and is counted once, by the venue's execution number.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from controlplane.domain.reports import TERMINAL, ReportKind
from controlplane.supervision.orders import Child, Entry, Facts, Fill, Parent, ParentState

PARENTS_MAX = 2_000
CHILDREN_MAX = 60_000
REPORTS_PER_CHILD_MAX = 500
HAPPENED_MAX = 200
MINUTES_MAX = 120
NS_PER_MINUTE = 60_000_000_000

ROUTE_FIELDS = ("desk", "strategy", "model", "instrument", "venue", "counterparty")
SIDE_NAMES = {"1": "buy", "-1": "sell", "BUY": "buy", "SELL": "sell", "buy": "buy", "sell": "sell"}
NO_ID = "0" * 16


@dataclass(slots=True)
class Book:
    """Every order the record spoke of lately.

    Arguments
        routes  names of a gate's route handles, for records that carry the handle alone

    Fields
        positions  how far each log was read
        minutes    allowed and denied decisions by minute since the epoch
        happened   what a person would want to hear of: wall time, sentence, address

    Holds at most 2,000 parents and 60,000 children; finished parents leave first, the oldest before the others. What
    left is folded again from the record when somebody asks for it.
    """

    routes: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    parents: OrderedDict[str, Parent] = field(default_factory=OrderedDict)
    children: dict[str, Child] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    minutes: dict[int, tuple[int, int]] = field(default_factory=dict)
    happened: deque[tuple[int, str, str]] = field(default_factory=lambda: deque(maxlen=HAPPENED_MAX))
    last_ns: int = 0

    def apply(self, entry: Entry) -> None:
        """Take one record in."""
        if entry.seq <= self.positions.get(entry.log, 0):
            return
        self.positions[entry.log] = entry.seq
        self.last_ns = max(self.last_ns, entry.wall_ns)
        fold = _FOLDS.get(entry.kind)
        if fold is not None:
            fold(self, entry)
            self._shrink()
        sentence = _SENTENCES.get(entry.kind)
        if sentence is not None:
            self.happened.append((entry.wall_ns, *sentence(self, entry.facts)))

    def count_decision(self, entry: Entry) -> None:
        """Count a decision in its minute; two hours are kept."""
        minute = entry.wall_ns // NS_PER_MINUTE
        allowed, denied = self.minutes.get(minute, (0, 0))
        is_denied = entry.facts.get("outcome") == "DENIED"
        self.minutes[minute] = (allowed + (not is_denied), denied + is_denied)
        if len(self.minutes) > MINUTES_MAX:
            del self.minutes[min(self.minutes)]

    def child(self, child_id: str, parent_id: str) -> Child:
        """The child order, made when it is new."""
        child = self.children.get(child_id)
        if child is None:
            child = self.children[child_id] = Child(child_id)
        if parent_id != NO_ID and parent_id and not child.parent_id:
            child.parent_id = parent_id
            self.parent(parent_id).children.append(child_id)
        return child

    def parent(self, parent_id: str) -> Parent:
        """The parent order, made when it is new."""
        parent = self.parents.get(parent_id)
        if parent is None:
            parent = self.parents[parent_id] = Parent(parent_id)
        return parent

    def routes_of_parents(self) -> dict[str, dict[str, str]]:
        """The route names of every parent by its identifier."""
        return {parent_id: dict(parent.route) for parent_id, parent in list(self.parents.items())}

    def child_states(self) -> dict[str, str]:
        """The state of every child by its identifier."""
        return {child_id: child.state.value for child_id, child in list(self.children.items())}

    def _shrink(self) -> None:
        while len(self.parents) > PARENTS_MAX or len(self.children) > CHILDREN_MAX:
            finished = (key for key, parent in self.parents.items() if parent.state is ParentState.FINISHED)
            leaving = self.parents.pop(next(finished, next(iter(self.parents))))
            for child_id in leaving.children:
                self.children.pop(child_id, None)


def whole(facts: Facts, name: str) -> int:
    """The whole number under a name, written as a number or as decimal text; 0 when there is none."""
    value = facts.get(name)
    if isinstance(value, bool) or value is None:
        return 0
    if isinstance(value, int):
        return value
    text = str(value)
    return int(text) if text.lstrip("-").isdigit() else 0


def text(facts: Facts, name: str) -> str:
    """The text under a name; empty when there is none."""
    value = facts.get(name)
    return "" if value is None else str(value)


def _parent_accepted(book: Book, entry: Entry) -> None:
    parent = _parent_of(book, entry)
    parent.accepted = entry
    _take_route(parent, entry.facts)
    parent.side = SIDE_NAMES.get(text(entry.facts, "side"), parent.side)
    parent.quantity_lots = whole(entry.facts, "quantity_lots") or parent.quantity_lots


def _parent_opened(book: Book, entry: Entry) -> None:
    parent = _parent_of(book, entry)
    parent.opened = entry
    if not parent.route:
        parent.route = dict(book.routes.get(whole(entry.facts, "route"), {}))
    parent.side = parent.side or SIDE_NAMES.get(text(entry.facts, "side"), "")
    parent.quantity_lots = parent.quantity_lots or whole(entry.facts, "quantity_lots")


def _parent_commanded(book: Book, entry: Entry) -> None:
    parent = _parent_of(book, entry)
    parent.commands.append(entry)
    operation = text(entry.facts, "operation").lower()
    if operation in ("pause", "resume"):
        parent.is_paused = operation == "pause"


def _parent_finished(book: Book, entry: Entry) -> None:
    _parent_of(book, entry).finished = entry


def _tca_computed(book: Book, entry: Entry) -> None:
    _parent_of(book, entry).tca = entry


def _child_requested(book: Book, entry: Entry) -> None:
    child = _child_of(book, entry)
    # Amends and cancels are requests as well; the first is the new order.
    if child.requested is None:
        child.requested = entry
    _take_terms(child, entry.facts)


def _child_denied(book: Book, entry: Entry) -> None:
    child = _child_of(book, entry)
    # A denied amend leaves the order working.
    if child.sent is None and child.denied is None:
        child.denied = entry


def _child_sent(book: Book, entry: Entry) -> None:
    child = _child_of(book, entry)
    if child.sent is None:
        child.sent = entry


def _child_refused(book: Book, entry: Entry) -> None:
    child = _child_of(book, entry)
    if child.sent is None:
        child.refused = entry


def _report_received(book: Book, entry: Entry) -> None:
    child = _child_of(book, entry)
    if len(child.reports) < REPORTS_PER_CHILD_MAX:
        child.reports.append(entry)
    _take_report(book, child, entry, report_kind(entry.facts))


def _report_applied(book: Book, entry: Entry) -> None:
    child = _child_of(book, entry)
    if len(child.applied) < REPORTS_PER_CHILD_MAX:
        child.applied.append(entry)
    _take_report(book, child, entry, report_kind(entry.facts))


def _order_decided(book: Book, entry: Entry) -> None:
    child = _child_of(book, entry)
    child.decisions.append(entry)
    book.count_decision(entry)
    parent = book.parents.get(child.parent_id)
    if parent is not None and entry.facts.get("subkind") != "CANCEL":
        if entry.facts.get("outcome") == "DENIED":
            parent.denied_count += 1
        else:
            parent.allowed_count += 1
    if entry.facts.get("subkind") == "NEW" or not child.quantity_lots:
        _take_terms(child, entry.facts)
        route = book.routes.get(whole(entry.facts, "route"), {})
        child.venue = child.venue or route.get("venue", "")
        child.instrument = child.instrument or route.get("instrument", "")


def report_kind(facts: Facts) -> ReportKind | None:
    """The kind of report that a record tells of; None when this code doesn't know it."""
    for name in ("report", "report_kind", "subkind"):
        value = facts.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value in set(ReportKind):
            return ReportKind(value)
        if isinstance(value, str) and value.upper().replace(" ", "_") in ReportKind.__members__:
            return ReportKind[value.upper().replace(" ", "_")]
    return None


def _take_report(book: Book, child: Child, entry: Entry, kind: ReportKind | None) -> None:
    if kind is None:
        return
    child.last_ns = max(child.last_ns, entry.wall_ns)
    if kind is ReportKind.FILLED:
        _take_fill(book, child, entry)
    elif kind is ReportKind.CANCEL_REQUESTED:
        child.is_cancel_asked = True
    elif kind is ReportKind.CANCEL_REJECTED:
        child.is_cancel_asked = False
    elif kind is ReportKind.AMENDED:
        _take_terms(child, entry.facts)
    elif kind in TERMINAL and child.ended_by is None:
        child.ended_by = kind
    # The two logs tell the same story at different speeds: "sent" after an acknowledgement is old news.
    if kind not in (ReportKind.SENT, ReportKind.CANCEL_REQUESTED) or child.last_report is None:
        child.last_report = kind


def _take_fill(book: Book, child: Child, entry: Entry) -> None:
    execution_id = text(entry.facts, "execution_id")
    if any(fill.execution_id == execution_id for fill in child.fills):
        return
    fill = Fill(
        wall_ns=entry.wall_ns,
        lots=whole(entry.facts, "quantity_lots"),
        price_ticks=whole(entry.facts, "price_ticks"),
        fee_micro=whole(entry.facts, "fee_micro"),
        child_id=child.child_id,
        execution_id=execution_id,
    )
    child.fills.append(fill)
    if child.parent_id:
        book.parent(child.parent_id).fills.append(fill)


def _take_terms(child: Child, facts: Facts) -> None:
    child.side = SIDE_NAMES.get(text(facts, "side"), child.side)
    child.quantity_lots = whole(facts, "quantity_lots") or child.quantity_lots
    child.price_ticks = whole(facts, "price_ticks") or child.price_ticks
    child.order_type = _word(facts, "order_type") or child.order_type
    child.time_in_force = _word(facts, "time_in_force") or child.time_in_force
    child.venue = text(facts, "venue") or child.venue
    child.instrument = text(facts, "instrument") or child.instrument


def _take_route(parent: Parent, facts: Facts) -> None:
    nested = facts.get("route")
    source = nested if isinstance(nested, Mapping) else facts
    found = {name: text(source, name) or text(facts, name) for name in ROUTE_FIELDS}
    parent.route |= {name: value for name, value in found.items() if value}


def _word(facts: Facts, name: str) -> str:
    value = text(facts, name).lower().replace("_", " ")
    return "" if value.isdigit() else value


def _child_of(book: Book, entry: Entry) -> Child:
    child = book.child(text(entry.facts, "child_id"), text(entry.facts, "parent_id"))
    child.last_ns = max(child.last_ns, entry.wall_ns)
    if child.parent_id:
        parent = book.parent(child.parent_id)
        parent.last_ns = max(parent.last_ns, entry.wall_ns)
    return child


def _parent_of(book: Book, entry: Entry) -> Parent:
    parent = book.parent(text(entry.facts, "parent_id"))
    parent.last_ns = max(parent.last_ns, entry.wall_ns)
    return parent


_FOLDS: dict[str, Callable[[Book, Entry], None]] = {
    "ParentAccepted": _parent_accepted,
    "ParentOpened": _parent_opened,
    "ParentCommanded": _parent_commanded,
    "ParentFinished": _parent_finished,
    "TcaComputed": _tca_computed,
    "ChildRequested": _child_requested,
    "ChildDenied": _child_denied,
    "ChildSent": _child_sent,
    "ChildRefused": _child_refused,
    "ReportReceived": _report_received,
    "ReportApplied": _report_applied,
    "OrderDecided": _order_decided,
}


def _about_parent(book: Book, facts: Facts, what: str) -> tuple[str, str]:
    parent_id = text(facts, "parent_id")
    parent = book.parents.get(parent_id)
    named = " ".join(word for word in (parent.side, parent.route.get("instrument", "")) if word) if parent else ""
    reference = text(parent.accepted.facts, "reference") if parent and parent.accepted else ""
    return f"Block {reference or parent_id}{f', {named},' if named else ''} {what}", f"/orders/{parent_id}"


def _about_scope(_: Book, facts: Facts, what: str) -> tuple[str, str]:
    scope = text(facts, "scope") or "firm:firm"
    by = text(facts, "by")
    return f"{scope} {what}{f' by {by}' if by else ''}", f"/stop?scope={quote(scope)}"


def _breaker_changed(book: Book, facts: Facts) -> tuple[str, str]:
    """Return what a breaker did; an alert changes no state of its scope."""
    state = text(facts, "state").lower().replace("_", "-")
    numbers = f"{text(facts, 'measure').lower()} {text(facts, 'value')} against {text(facts, 'limit')}"
    return _about_scope(book, {**facts, "by": ""}, f"has its breaker {text(facts, 'breaker')} {state}: {numbers}")


def _finished(book: Book, facts: Facts) -> tuple[str, str]:
    return _about_parent(book, facts, f"finished: {text(facts, 'state').lower() or 'done'}")


def _commanded(book: Book, facts: Facts) -> tuple[str, str]:
    return _about_parent(book, facts, f"got the command {text(facts, 'operation')} from {text(facts, 'spoken_by')}")


_SENTENCES: dict[str, Callable[[Book, Facts], tuple[str, str]]] = {
    "ParentAccepted": lambda book, facts: _about_parent(book, facts, "was accepted"),
    "ParentFinished": _finished,
    "ParentCommanded": _commanded,
    "HaltSet": lambda book, facts: _about_scope(book, facts, "was stopped"),
    "HaltLifted": lambda book, facts: _about_scope(book, facts, "was lifted"),
    "BreakerChanged": _breaker_changed,
    "MachineKilled": lambda book, facts: _about_scope(book, facts, "was killed"),
    "FeedQuarantined": lambda _, facts: (text(facts, "sentence") or f"Feed {text(facts, 'feed')} is cut off", "/"),
    "RecordsRecovered": lambda *_: ("A program recovered its record after an unclean end", "/"),
}
