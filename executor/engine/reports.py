"""Applies what venues say to children, parents and the gate, and chases what they don't say.

The order is fixed: a report is written to the journal, then told to the gate, then changes child and parent here. A
repeated execution changes nothing and is told to nobody. An order that a venue is silent about is unknown: it stays
live in every count, the venue is asked what became of it, and only the venue's word, given twice and confirmed by its
list of working orders, says that it never arrived.
"""

from dataclasses import replace

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.reports import ReportKind, VenueReport
from executor.engine import records
from executor.engine.events import Action, CancelAnswered, CancelChild, QueryChild, QueryWorking, TellGate, WriteRecord
from executor.engine.state import NEVER_NS, ChildWork, EngineState, ParentWork
from executor.orders.child import UNANSWERED, ChildState, Oddity
from executor.orders.child import apply_report as apply_to_child
from executor.orders.parent import absorb_change
from executor.strategies.base import Setback, SetbackKind
from executor.venues.port import OrderStatus, WorkingList

UNKNOWN_ROUTE = -1
"""Handle that no route has; the gate books a fill it can't place against the firm and restricts it."""

SETBACKS = {ReportKind.REJECTED: SetbackKind.REJECTED, ReportKind.NOT_SENT: SetbackKind.REFUSED}


def hear(
    state: EngineState, event: VenueReport | OrderStatus | WorkingList | CancelAnswered, actions: list[Action]
) -> None:
    """Take in whatever a venue or its adapter said."""
    if isinstance(event, VenueReport):
        apply_report(state, event, actions)
    elif isinstance(event, OrderStatus):
        apply_status(state, event, actions)
    elif isinstance(event, WorkingList):
        apply_working_list(state, event, actions)
    else:
        on_cancel_answer(state, event, actions)


def apply_report(state: EngineState, report: VenueReport, actions: list[Action], *, is_recorded: bool = False) -> None:
    """Apply one report, however late, repeated or odd.

    Arguments
        is_recorded  the journal holds it already, under another kind of record
    """
    work = state.children.get(report.child_id)
    receive_ns = report.receive_ns or state.now_ns
    if work is None:
        _apply_stranger(state, replace(report, route=UNKNOWN_ROUTE, receive_ns=receive_ns), actions)
        return
    report = replace(report, route=work.command.route, side=int(work.command.side), receive_ns=receive_ns)
    before = work.child
    try:
        change = apply_to_child(before, report)
    except InvalidRequest as error:
        _apply_malformed(state, work, report, str(error), actions)
        return
    if Oddity.DUPLICATE_EXECUTION in change.oddities:
        state.counts["duplicate_executions"] += 1
        return
    for oddity in change.oddities:
        state.counts[f"oddity {oddity.value}"] += 1
    if not is_recorded:
        actions.append(
            WriteRecord(_record(state, report, work.child.parent_id, tuple(oddity.value for oddity in change.oddities)))
        )
    actions.append(TellGate(report))
    work.child = change.child
    _settle(state, work, report, before_filled_lots=before.filled_lots)
    parent = state.parents[before.parent_id]
    parent.parent = absorb_change(parent.parent, before=before, after=change.child)
    if change.filled is not None:
        parent.misses, parent.is_dirty = 0, True
    elif change.child.has_ended and not before.has_ended:
        _wait_or_ask(state, parent, work, report)


def _wait_or_ask(state: EngineState, parent: ParentWork, work: ChildWork, report: VenueReport) -> None:
    """Ask the strategy again after a child ended; later each time when the venue had nothing for us at that price.

    What a book shows isn't always there for us. Asking again at once would send the same order many times a second.
    """
    if report.kind is not ReportKind.EXPIRED or work.child.filled_lots:
        parent.is_dirty = True
        return
    wait_ns = state.rules.decide_interval_ns << min(parent.misses, state.rules.miss_doublings_max)
    parent.misses += 1
    parent.decide_ns = state.now_ns + wait_ns
    state.look_again(parent.decide_ns)


def _settle(state: EngineState, work: ChildWork, report: VenueReport, *, before_filled_lots: int) -> None:
    """Note what a report means beside quantities: answers owed, setbacks, volume, our own tape."""
    parent = state.parents[work.child.parent_id]
    filled_lots = work.child.filled_lots - before_filled_lots
    if filled_lots:
        parent.filled.add(state.now_ns, filled_lots)
        state.counts["fills"] += 1
        market = state.markets.get(parent.parent.instrument)
        if market is not None:
            market.unreported_lots += filled_lots
            if market.is_usable:
                parent.fill_mids[report.execution_id] = market.mid_half_ticks
    if report.kind in (ReportKind.ACKNOWLEDGED, ReportKind.FILLED):
        parent.setback = None
    elif report.kind in SETBACKS:
        parent.setback = Setback(
            kind=SETBACKS[report.kind],
            at_ns=state.now_ns,
            quantity_lots=work.command.quantity_lots,
            largest_passing_lots=0,
            count=1 if parent.setback is None else parent.setback.count + 1,
        )
    if work.is_settled:
        state.live_children.pop(work.child.child_id, None)
        state.counts[f"children_{work.child.state.value.replace(' ', '_')}"] += 1
        return
    work.not_found_ns, work.not_found_count, work.is_listed = 0, 0, None
    is_owed = work.child.state in UNANSWERED or work.child.awaited_lots or work.child.state is ChildState.CANCEL_PENDING
    # A cancel that comes too late means that the order's end is on its way to us, or was lost on it.
    is_owed = is_owed or report.kind is ReportKind.CANCEL_REJECTED
    work.answer_due_ns = state.now_ns + state.rules.answer_ns_max if is_owed else NEVER_NS
    if report.kind is ReportKind.CANCEL_REJECTED and work.cancel_due_ns != NEVER_NS:
        # Asked about before it is cancelled again: each rejected cancel would put the question off otherwise.
        work.cancel_due_ns = state.now_ns + 2 * state.rules.answer_ns_max
    state.look_again(work.due_ns)


def apply_status(state: EngineState, status: OrderStatus, actions: list[Action]) -> None:
    """Apply a venue's answer about one order: fills we missed, its end, or that it isn't known there."""
    work = state.children.get(status.child_id)
    if work is None:
        state.counts["statuses_of_strangers"] += 1
        return
    if not status.is_found:
        _apply_not_found(state, work, actions)
        return
    for execution in status.executions:
        apply_report(state, replace(execution, receive_ns=state.now_ns), actions)
    if status.ended_by in (ReportKind.CANCELLED, ReportKind.EXPIRED, ReportKind.REJECTED):
        if not work.child.has_ended:
            cumulative_lots = sum(execution.quantity_lots for execution in status.executions)
            apply_report(
                state,
                _own_report(
                    state, work, status.ended_by, exchange_ns=status.exchange_ns, cumulative_lots=cumulative_lots
                ),
                actions,
            )
    elif work.child.state in UNANSWERED:
        apply_report(state, _own_report(state, work, ReportKind.ACKNOWLEDGED, exchange_ns=status.exchange_ns), actions)
    elif not work.is_settled and work.child.state is not ChildState.CANCEL_PENDING and not work.child.awaited_lots:
        work.answer_due_ns = NEVER_NS


def apply_working_list(state: EngineState, listed: WorkingList, actions: list[Action]) -> None:
    """Hold a venue's list of working orders against ours: what it lists and we don't know is counted, never ignored."""
    for work in list(state.live_children.values()):
        if work.not_found_count and listed.exchange_ns:
            work.is_listed = work.child.child_id in listed.child_ids
            _conclude_not_found(state, work, actions)
    strangers = [child_id for child_id in listed.child_ids if child_id not in state.children]
    state.counts["strangers_working"] += len(strangers)


def ask_again(state: EngineState, venue: str) -> None:
    """Have every live order of a venue asked about, since its reports may have been lost with the connection."""
    for work in state.live_children.values():
        if work.venue == venue and work.child.state is not ChildState.REQUESTED:
            work.answer_due_ns = state.now_ns
            state.look_again(state.now_ns)


def want_cancel(state: EngineState, work: ChildWork, reason: str, actions: list[Action]) -> None:
    """Cancel a child that may still be filled, unless a cancel is on its way already."""
    if work.child.has_ended or work.child.state is ChildState.REQUESTED or work.cancel_due_ns != NEVER_NS:
        return
    work.cancel_reason = reason
    _send_cancel(state, work, actions)


def on_cancel_answer(state: EngineState, event: CancelAnswered, actions: list[Action]) -> None:
    """Note that a cancel left; one that didn't is sent again when its time comes."""
    work = state.children[event.child_id]
    if not event.has_left:
        state.counts["cancels_not_sent"] += 1
        return
    state.counts["cancels_sent"] += 1
    if not work.child.has_ended and work.child.state is not ChildState.CANCEL_PENDING:
        apply_report(state, _own_report(state, work, ReportKind.CANCEL_REQUESTED), actions)


def tend(state: EngineState, work: ChildWork, actions: list[Action]) -> None:
    """Do what is due for one live child: withdraw it, cancel it again, or ask the venue what became of it."""
    now_ns = state.now_ns
    if work.child.state is ChildState.REQUESTED:
        return
    if work.cancel_due_ns == NEVER_NS and now_ns >= work.working_until_ns and not work.child.has_ended:
        work.cancel_reason = "its time to work is over"
        _send_cancel(state, work, actions)
    elif work.cancel_due_ns <= now_ns and not work.child.has_ended:
        _send_cancel(state, work, actions)
    if work.answer_due_ns <= now_ns:
        _ask_venue(state, work, actions)


def _send_cancel(state: EngineState, work: ChildWork, actions: list[Action]) -> None:
    work.cancel_due_ns = state.now_ns + state.rules.query_interval_ns
    work.answer_due_ns = min(work.answer_due_ns, state.now_ns + state.rules.answer_ns_max)
    state.look_again(work.due_ns)
    # Minted here and not when it leaves: a gate takes the identifiers of one program in growing order only.
    actions.append(CancelChild(work.child.child_id, state.mint.next(), work.cancel_reason))


def _ask_venue(state: EngineState, work: ChildWork, actions: list[Action]) -> None:
    """Count a silent order as unknown and ask the venue about it, one order at a time and the whole list beside it."""
    if work.child.state in (ChildState.PERMITTED, ChildState.SENT):
        apply_report(state, _own_report(state, work, ReportKind.SEND_UNKNOWN), actions)
    work.answer_due_ns = state.now_ns + state.rules.query_interval_ns
    state.look_again(work.due_ns)
    actions.append(QueryChild(work.child.child_id))
    if work.not_found_count and state.now_ns - state.list_asked_ns >= state.rules.query_interval_ns:
        state.list_asked_ns = state.now_ns
        actions.append(QueryWorking(work.venue))


def _apply_not_found(state: EngineState, work: ChildWork, actions: list[Action]) -> None:
    """Note that the venue doesn't know an order; once is not enough, since it may still be on its way."""
    if work.is_settled:
        return
    work.not_found_count += 1
    if work.not_found_ns == 0:
        work.not_found_ns = state.now_ns
    _conclude_not_found(state, work, actions)


def _conclude_not_found(state: EngineState, work: ChildWork, actions: list[Action]) -> None:
    """End an order that the venue denies knowing, twice over the grace time, and doesn't list either."""
    is_said_twice = work.not_found_count >= 2 and state.now_ns - work.not_found_ns >= state.rules.grace_ns
    if not is_said_twice or work.is_listed is not False:
        return
    # An order that the venue once acknowledged was there; that it is gone is its end, not proof that it never came.
    kind = ReportKind.EXPIRED if work.child.is_acknowledged else ReportKind.NOT_SENT
    state.counts["orders_never_arrived" if kind is ReportKind.NOT_SENT else "orders_lost_by_venue"] += 1
    apply_report(state, _own_report(state, work, kind), actions)


def _apply_stranger(state: EngineState, report: VenueReport, actions: list[Action]) -> None:
    """Record a report about an order we don't know and let the gate book it; it is never dropped."""
    state.counts["reports_of_strangers"] += 1
    actions += [WriteRecord(_record(state, report, 0, ("order unknown",))), TellGate(report)]


def _apply_malformed(state: EngineState, work: ChildWork, report: VenueReport, why: str, actions: list[Action]) -> None:
    """Record a report that can't be counted and ask the venue for the facts."""
    state.counts["malformed_reports"] += 1
    actions.append(WriteRecord(_record(state, report, work.child.parent_id, (f"malformed: {why}",))))
    work.answer_due_ns = state.now_ns
    state.look_again(state.now_ns)


def _own_report(
    state: EngineState, work: ChildWork, kind: ReportKind, *, exchange_ns: int = 0, cumulative_lots: int = 0
) -> VenueReport:
    return VenueReport(
        kind=kind,
        child_id=work.child.child_id,
        exchange_ns=exchange_ns,
        receive_ns=state.now_ns,
        cumulative_lots=cumulative_lots,
    )


def _record(state: EngineState, report: VenueReport, parent_id: int, oddities: tuple[str, ...]) -> records.Record:
    parent = state.parents.get(parent_id)
    market = None if parent is None else state.markets.get(parent.parent.instrument)
    return records.report_received(
        report,
        parent_id=parent_id,
        bid_ticks=0 if market is None else market.bid_ticks,
        ask_ticks=0 if market is None else market.ask_ticks,
        oddities=oddities,
        now_ns=state.now_ns,
    )
