"""Carries out what the loop wants done, and brings what came of it back to the loop as events.

One event is handled to its end before the next one is looked at. Records are written before anything that leaves the
process, and made durable before it leaves.
"""

from collections import deque
from dataclasses import fields

from controlplane.domain.errors import GateUnavailable, StateConflict
from controlplane.domain.ids import to_text
from controlplane.domain.invariants import require
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.gate.client import ParentOpening
from controlplane.runtime import metrics
from executor.engine import cost, records, submit
from executor.engine.events import (
    Action,
    CancelAnswered,
    CancelChild,
    CloseParent,
    Event,
    GateReturned,
    MachineArmed,
    MachineStopped,
    MeasureParent,
    Observe,
    OpenParent,
    ParentArrived,
    ParentInstruction,
    ParentOpened,
    ParentRefused,
    QueryChild,
    QueryWorking,
    ScopeStateChanged,
    SubmitChild,
    TellGate,
    TimePassed,
    WriteRecord,
)
from executor.engine.loop import on_event
from executor.engine.ports import Ports
from executor.engine.reports import want_cancel
from executor.engine.state import EngineState

STEPS_PER_EVENT_MAX = 10_000


class Engine:
    """The loop with its hands: state inside, ports outside.

    Arguments
        state  everything the loop knows, fresh or rebuilt by `recovery.py`
        ports  journal, gate and venues
    """

    def __init__(self, state: EngineState, ports: Ports) -> None:
        self.state = state
        self.ports = ports

    def handle(self, event: Event, now_ns: int) -> None:
        """Take one event to its end: its actions, what came of them, and the actions of that."""
        events: deque[Event] = deque((event,))
        steps = 0
        while events:
            steps += 1
            require(
                steps <= STEPS_PER_EVENT_MAX,
                f"One event led to more than {STEPS_PER_EVENT_MAX} others; the loop feeds itself.",
            )
            for action in on_event(self.state, events.popleft(), now_ns):
                answer = self._perform(action)
                if answer is not None:
                    events.append(answer)

    def accept(self, instruction: ParentInstruction, now_ns: int) -> int:
        """Return the identifier of a parent order that is ours from now on; the same reference gives the same one.

        Errors
            UnknownReference  the limits don't know its route
            InvalidRequest    its strategy can't work it
            StateConflict     its reference stands for an order with other terms
            GateUnavailable   the gate is away; nothing was recorded, hand it in again
        """
        known = self.state.references.get(instruction.reference) if instruction.reference else None
        if known is not None:
            return self._same_order(known, instruction)
        route = self.ports.gate.handle(instruction.route)
        self.state.clock.advance_to(now_ns)
        parent_id = self.state.mint.next()
        self.handle(ParentArrived(parent_id, instruction, route), now_ns)
        return parent_id

    def _same_order(self, parent_id: int, instruction: ParentInstruction) -> int:
        first = self.state.parents[parent_id].instruction
        names = [field.name for field in fields(first)]
        others = [name for name in names if getattr(first, name) != getattr(instruction, name)]
        if others:
            raise StateConflict(
                f"Expected reference {instruction.reference} to come with the terms of its parent order "
                f"{to_text(parent_id)}, found another {', '.join(others)}; give a new order a reference of its own."
            )
        return parent_id

    def request_cancel(self, child_id: int, reason: str, now_ns: int) -> None:
        """Cancel one child that may still be filled."""
        actions: list[Action] = []
        self.state.clock.advance_to(now_ns)
        want_cancel(self.state, self.state.children[child_id], reason, actions)
        for action in actions:
            answer = self._perform(action)
            if answer is not None:
                self.handle(answer, now_ns)

    def abandon(self) -> None:
        """Send a cancel for everything that may still be filled, without a record: the journal takes no more."""
        for child_id in self.state.live_children:
            self._cancel(CancelChild(child_id, self.state.mint.next(), ""))

    def beat(self, now_ns: int) -> None:
        """Look at what doesn't come by itself: the switch, the gate's notices, the venues' words, the time."""
        self.watch_gate(now_ns)
        for adapter in self.ports.venues.values():
            for message in adapter.poll():
                self.handle(message, now_ns)
        self.handle(TimePassed(), now_ns)

    def watch_gate(self, now_ns: int) -> None:
        """Bring stops into the loop: the kill switch of the machine first, since it needs no gate to be read."""
        gate, state = self.ports.gate, self.state
        fence, is_killed = gate.fence(), gate.is_killed()
        if is_killed != state.is_killed:
            self.handle(MachineStopped(fence) if is_killed else MachineArmed(fence), now_ns)
        for notice in gate.notices():
            if notice.kind == "state":
                self.handle(ScopeStateChanged(notice.scope, notice.state, notice.reason), now_ns)
        if fence != state.fence and not is_killed:
            # A gate that started again, or a halt of some scope; in the first case whoever waited for it may ask now.
            self.handle(GateReturned(fence), now_ns)

    def _perform(self, action: Action) -> Event | None:
        ports = self.ports
        if isinstance(action, Observe):
            ports.gate.observe(action.observation)
        elif isinstance(action, WriteRecord):
            ports.journal.append_json(action.payload)
        elif isinstance(action, TellGate):
            self._tell(action.report)
        elif isinstance(action, SubmitChild):
            return self._submit(action)
        elif isinstance(action, CancelChild):
            return self._cancel(action)
        elif isinstance(action, OpenParent):
            return self._open(action)
        elif isinstance(action, CloseParent):
            ports.journal.commit()
            ports.gate.close_parent(action.parent_id)
        elif isinstance(action, QueryChild):
            ports.venues[self.state.children[action.child_id].venue].request_status(action.child_id)
        elif isinstance(action, QueryWorking):
            ports.venues[action.venue].request_working()
        elif isinstance(action, MeasureParent):
            self._measure(action)
        return None

    def _tell(self, report: VenueReport) -> None:
        self.ports.journal.commit()
        self.ports.gate.report(report)
        work = self.state.children.get(report.child_id)
        if report.kind is ReportKind.FILLED and work is not None:
            metrics.CHILD_FILLED.labels(venue=work.venue).inc()

    def _submit(self, action: SubmitChild) -> Event:
        state = self.state
        work = state.children[action.child_id]
        parent = state.parents[work.child.parent_id]
        market = state.markets.get(parent.parent.instrument)
        requested = records.child_requested(
            work.command,
            venue=work.venue,
            working_until_ns=work.working_until_ns,
            urgency=work.urgency,
            why=work.reason,
            market_lots=0 if market is None else market.others.total - parent.start_lots,
            now_ns=state.now_ns,
        )
        answer = submit.submit(
            work.command, venue=work.venue, requested=requested, ports=self.ports, now_ns=state.now_ns
        )
        if not answer.verdict.is_allowed:
            metrics.CHILD_DENIED.labels(code=answer.verdict.codes[0].name if answer.verdict.codes else "NONE").inc()
        return answer

    def _cancel(self, action: CancelChild) -> Event:
        work = self.state.children[action.child_id]
        command = OrderCommand(
            kind=CommandKind.CANCEL,
            request_id=action.request_id,
            child_id=action.child_id,
            parent_id=work.command.parent_id,
            route=work.command.route,
            side=work.command.side,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GOOD_TILL_CANCEL,
            quantity_lots=0,
            price_ticks=0,
        )
        return CancelAnswered(action.child_id, submit.cancel(command, venue=work.venue, ports=self.ports))

    def _open(self, action: OpenParent) -> Event | None:
        """Make a parent known to the gate; with the gate away it stays closed and is tried again at the next chance."""
        work = self.state.parents[action.parent_id]
        self.ports.journal.commit()
        opening = ParentOpening(action.parent_id, work.route, work.parent.side, work.parent.quantity_lots)
        try:
            self.ports.gate.open_parent(opening)
        except StateConflict as error:
            return ParentRefused(action.parent_id, str(error))
        except GateUnavailable:
            return None
        return ParentOpened(action.parent_id)

    def _measure(self, action: MeasureParent) -> None:
        work = self.state.parents[action.parent_id]
        figures = cost.measure(self.state, work)
        self.ports.journal.append_json(records.tca_computed(action.parent_id, figures, self.state.now_ns))
        self.ports.journal.commit()
