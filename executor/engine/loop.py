"""One event in, actions out. Deterministic: the same state, event and time give the same state and actions.

Nothing here waits, reads a clock or touches a socket; `perform.py` carries the actions out and brings what came of
them back as further events. A parent's strategy is asked when something of its changed and at a steady pace besides;
every child it wants goes through `place`, becomes in flight, and is submitted.
"""

from itertools import accumulate

from controlplane.domain.decisions import DenialCode
from controlplane.domain.errors import StateConflict
from controlplane.domain.orders import CommandKind, OrderCommand
from controlplane.domain.reports import VenueReport
from controlplane.domain.states import TradingState
from executor.engine import commands, market, records, reports, stops
from executor.engine.events import (
    Action,
    CancelAnswered,
    ChildAnswered,
    CloseParent,
    Event,
    GateReturned,
    MachineArmed,
    MachineStopped,
    MeasureParent,
    OpenParent,
    OperatorSpoke,
    ParentArrived,
    ParentOpened,
    ParentRefused,
    ScopeStateChanged,
    SubmitChild,
    VenueReturned,
    WriteRecord,
    strategy_name,
)
from executor.engine.state import NEVER_NS, ChildWork, EngineState, ParentWork
from executor.engine.view import top_of_book, view_of
from executor.marketdata.events import BookDelta, BookSnapshot, Fault, Mark, OrderMessage, Quote, Status, Trade
from executor.orders.child import decide_child, request_child
from executor.orders.intent import ChildIntent
from executor.orders.parent import ParentAct, ParentState, absorb_change, accept_parent, act_on_parent, place_child
from executor.orders.reconcile import reconcile
from executor.routing.router import RoutedOrder, route
from executor.strategies.base import Assignment, Setback, SetbackKind
from executor.strategies.slices import ScheduledStrategy
from executor.strategies.table import build_strategy
from executor.venues.port import OrderStatus, WorkingList

MARKET_EVENTS = (BookDelta, Quote, Trade, BookSnapshot, OrderMessage, Mark, Status, Fault)

# A denial with one of these says that the parent's scope is stopped; what works for it must go as well.
STOP_CODES = frozenset({DenialCode.GATE_KILLED, DenialCode.SCOPE_HALTED})


def on_event(state: EngineState, event: Event, now_ns: int) -> list[Action]:
    """Return what has to be done because of one event; the state has already changed accordingly.

    Arguments
        event   what happened
        now_ns  wall time at which it is handled; time that stands before the last event's counts as that
    """
    state.clock.advance_to(now_ns)
    actions: list[Action] = []
    if isinstance(event, MARKET_EVENTS):
        market.hear(state, event, actions)
    else:
        _handle(state, event, actions)
    if state.now_ns >= state.due_ns:
        pass_time(state, actions)
    return actions


def _handle(state: EngineState, event: Event, actions: list[Action]) -> None:
    if isinstance(event, VenueReport | OrderStatus | WorkingList | CancelAnswered):
        reports.hear(state, event, actions)
    elif isinstance(event, ChildAnswered):
        _on_answer(state, event, actions)
    elif isinstance(event, ParentArrived):
        _on_arrival(state, event, actions)
    elif isinstance(event, ParentOpened):
        _on_opened(state, event)
    elif isinstance(event, ParentRefused):
        _on_refused(state, event)
    elif isinstance(event, OperatorSpoke):
        commands.obey(state, event, actions)
    elif isinstance(event, ScopeStateChanged):
        stops.on_scope_state(state, event, actions)
    elif isinstance(event, MachineStopped):
        stops.on_machine_stopped(state, event, actions)
    elif isinstance(event, MachineArmed | GateReturned):
        stops.on_free(state, event)
    elif isinstance(event, VenueReturned):
        market.start_afresh(state, event.venue)
        reports.ask_again(state, event.venue)
    state.look_again(state.now_ns)


def pass_time(state: EngineState, actions: list[Action]) -> None:
    """Do everything that is due by now: ends of parents, withdrawals, questions to silent venues, decisions."""
    state.due_ns = NEVER_NS
    for child in list(state.live_children.values()):
        if child.due_ns <= state.now_ns:
            reports.tend(state, child, actions)
        state.look_again(child.due_ns)
    for work in list(state.active_parents.values()):
        _tend_parent(state, work, actions)
    market.observe_due(state, actions)


def _tend_parent(state: EngineState, work: ParentWork, actions: list[Action]) -> None:
    """Start, ask, expire or finish one parent, whatever its time has come for."""
    now_ns = state.now_ns
    if work.parent.state is ParentState.ACCEPTED and work.is_open:
        work.parent = act_on_parent(work.parent, ParentAct.START)
    elif not work.is_open and not work.parent.has_ended and now_ns >= work.decide_ns:
        work.decide_ns = now_ns + state.rules.query_interval_ns
        actions.append(OpenParent(work.parent.parent_id))
    if now_ns >= work.parent.end_ns and work.parent.state in (
        ParentState.ACCEPTED,
        ParentState.ACTIVE,
        ParentState.PAUSED,
    ):
        work.parent = act_on_parent(work.parent, ParentAct.EXPIRE)
        for child in state.children_of(work):
            reports.want_cancel(state, child, "the parent's horizon is over", actions)
    if work.parent.state is ParentState.ACTIVE and (work.is_dirty or now_ns >= work.decide_ns):
        _ask(state, work, actions)
    if work.parent.has_ended and not work.is_finished and all(child.is_settled for child in state.children_of(work)):
        _finish(state, work, actions)
    if now_ns < work.parent.end_ns:
        is_waiting = work.parent.state is ParentState.ACTIVE or not work.is_open
        state.look_again(min(work.decide_ns, work.parent.end_ns) if is_waiting else work.parent.end_ns)


def _ask(state: EngineState, work: ParentWork, actions: list[Action]) -> None:
    """Ask the strategy what it wants, unless the market can't be shown or a scope is stopped; place what it wants."""
    work.decide_ns = state.now_ns + state.rules.decide_interval_ns
    work.is_dirty = False
    seen = state.markets.get(work.parent.instrument)
    if seen is None or not seen.is_usable or work.parent.unplaced_lots <= 0:
        return
    if work.is_held or state.trading_state(work) >= TradingState.PAUSED:
        state.counts["asks_withheld"] += 1
        return
    for intent in work.strategy.decide(view_of(state, work, seen)):
        routed = route(
            intent,
            venue=work.venue,
            book=top_of_book(seen),
            instrument=work.instrument,
            worst_price_ticks=work.parent.limit_price_ticks,
        )
        if routed is not None:
            market.observe(state, seen, actions, is_forced=True)
            place(state, work, intent, routed, actions)


def place(
    state: EngineState, work: ParentWork, intent: ChildIntent, routed: RoutedOrder, actions: list[Action]
) -> None:
    """Make the intent a child in flight and have it submitted."""
    child_id = state.mint.next()
    command = OrderCommand(
        kind=CommandKind.NEW,
        request_id=child_id,
        child_id=child_id,
        parent_id=work.parent.parent_id,
        route=work.route,
        side=routed.side,
        order_type=routed.order_type,
        time_in_force=routed.time_in_force,
        quantity_lots=routed.quantity_lots,
        price_ticks=routed.price_ticks,
    )
    child = request_child(
        child_id=child_id, parent_id=work.parent.parent_id, side=routed.side, quantity_lots=routed.quantity_lots
    )
    work.parent = place_child(work.parent, child)
    state.add_child(
        ChildWork(
            child=child,
            command=command,
            venue=routed.venue,
            working_until_ns=routed.working_until_ns,
            urgency=intent.urgency.value,
            reason=intent.reason.value,
            answer_due_ns=state.now_ns + state.rules.answer_ns_max,
        )
    )
    state.counts["children_requested"] += 1
    actions.append(SubmitChild(child_id))


def _on_arrival(state: EngineState, event: ParentArrived, actions: list[Action]) -> None:
    """Take a parent order in, record it, make it known to the gate."""
    instruction = event.instruction
    if instruction.reference and instruction.reference in state.references:
        raise StateConflict(
            f"Reference {instruction.reference} was used for an earlier parent order; "
            "send a new order under a new reference."
        )
    instrument = state.instruments[instruction.route.instrument]
    seen = state.markets.get(instrument.name)
    bid_ticks, ask_ticks = (0, 0) if seen is None else (seen.bid_ticks, seen.ask_ticks)
    work = parent_work(state, event, now_ns=state.now_ns, bid_ticks=bid_ticks, ask_ticks=ask_ticks)
    if seen is not None:
        work.start_lots, work.start_turnover = seen.others.total, seen.turnover_half_tick_lots
    state.add_parent(work)
    state.counts["parents_accepted"] += 1
    record = records.parent_accepted(
        event.parent_id,
        instruction,
        start_ns=work.parent.start_ns,
        end_ns=work.parent.end_ns,
        bid_ticks=bid_ticks,
        ask_ticks=ask_ticks,
        schedule=schedule_of(work),
        expected_volumes=work.strategy.expected_volumes if isinstance(work.strategy, ScheduledStrategy) else (),
        now_ns=state.now_ns,
    )
    actions.append(WriteRecord(record))


def schedule_of(work: ParentWork) -> tuple[tuple[int, int], ...]:
    """Return (moment, lots to be done by then) of a strategy that plans ahead; nothing for one that follows volume."""
    strategy = work.strategy
    if not isinstance(strategy, ScheduledStrategy):
        return ()
    planned = accumulate(strategy.plan(work.parent.quantity_lots // work.instrument.lot_step, 0))
    return tuple(
        (strategy.grid.start_of(index + 1), steps * work.instrument.lot_step) for index, steps in enumerate(planned)
    )


def parent_work(
    state: EngineState,
    event: ParentArrived,
    *,
    now_ns: int,
    bid_ticks: int,
    ask_ticks: int,
    expected_volumes: tuple[int, ...] = (),
) -> ParentWork:
    """Return a parent with the strategy that will work it.

    Arguments
        expected_volumes   of its slices, as recorded when it was accepted; empty for a new one
    Errors
        InvalidRequest when the strategy can't work such a quantity, horizon or parameter
    """
    instruction = event.instruction
    instrument = state.instruments[instruction.route.instrument]
    end_ns = now_ns + instruction.horizon_ns
    assignment = Assignment(
        quantity_lots=instruction.quantity_lots,
        lot_step=instrument.lot_step,
        start_ns=now_ns,
        end_ns=end_ns,
        volume_curve=state.volume_curves.get(instrument.name),
        expected_volumes=expected_volumes,
    )
    return ParentWork(
        parent=accept_parent(
            parent_id=event.parent_id,
            instrument=instrument.name,
            side=instruction.side,
            quantity_lots=instruction.quantity_lots,
            limit_price_ticks=instruction.limit_ticks or None,
            accepted_ns=now_ns,
            start_ns=now_ns,
            end_ns=end_ns,
        ),
        instruction=instruction,
        instrument=instrument,
        route=event.route,
        strategy=build_strategy(strategy_name(instruction.route.strategy), dict(instruction.parameters), assignment),
        arrival_bid_ticks=bid_ticks,
        arrival_ask_ticks=ask_ticks,
    )


def _on_opened(state: EngineState, event: ParentOpened) -> None:
    work = state.parents[event.parent_id]
    work.is_open, work.decide_ns = True, state.now_ns


def _on_refused(state: EngineState, event: ParentRefused) -> None:
    """End a parent that the gate won't have; nothing of it was ever placed."""
    work = state.parents[event.parent_id]
    work.finish_reason = event.reason
    if not work.parent.has_ended:
        work.parent = act_on_parent(work.parent, ParentAct.CANCEL)


def _on_answer(state: EngineState, event: ChildAnswered, actions: list[Action]) -> None:
    """Take in what the gate said, and when it allowed the child, what the adapter says became of it."""
    child = state.children[event.child_id]
    work = state.parents[child.child.parent_id]
    before = child.child
    child.child = decide_child(before, is_allowed=event.verdict.is_allowed)
    work.parent = absorb_change(work.parent, before=before, after=child.child)
    if event.report is not None:
        reports.apply_report(state, event.report, actions, is_recorded=True)
        return
    state.live_children.pop(event.child_id, None)
    state.counts["children_denied"] += 1
    for code in event.verdict.codes:
        state.counts[f"denied {code.name}"] += 1
    count = 1 if work.setback is None else work.setback.count + 1
    work.setback = Setback(
        kind=SetbackKind.DENIED,
        at_ns=state.now_ns,
        quantity_lots=child.command.quantity_lots,
        largest_passing_lots=event.verdict.largest_passing_lots,
        count=count,
    )
    if STOP_CODES.intersection(event.verdict.codes):
        stops.cancel_working(state, work, "the gate says that the scope is halted", actions)
    # Asked again at once, so that a smaller order can follow; the strategy waits by itself after the first.
    work.is_dirty = count < state.rules.denials_in_a_row_max


def _finish(state: EngineState, work: ParentWork, actions: list[Action]) -> None:
    """Reconcile a parent that has ended, record its end, close it at the gate, have its cost reckoned."""
    work.is_finished = True
    parent_id = work.parent.parent_id
    state.active_parents.pop(parent_id, None)
    result = reconcile(work.parent, [child.child for child in state.children_of(work)])
    seen = state.markets.get(work.parent.instrument)
    record = records.parent_finished(
        result,
        state=work.parent.state.value,
        reason=work.finish_reason,
        children=len(work.children),
        bid_ticks=0 if seen is None else seen.bid_ticks,
        ask_ticks=0 if seen is None else seen.ask_ticks,
        now_ns=state.now_ns,
    )
    actions += [WriteRecord(record), CloseParent(parent_id), MeasureParent(parent_id)]
