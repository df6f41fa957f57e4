"""A small working world around the engine: a gate that issues real permits, a venue that keeps what it is sent, a
journal in memory, a market of one instrument, and the hands to move them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from controlplane.domain.clock import NS_PER_MS, NS_PER_S, ManualClock
from controlplane.domain.decisions import DenialCode, Outcome, Permit, Verdict
from controlplane.domain.errors import StateConflict
from controlplane.domain.instruments import Contract, Instrument
from controlplane.domain.orders import CommandKind, OrderCommand, Side
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.domain.scopes import Route
from controlplane.domain.states import TradingState
from controlplane.gate.client import LiveOrder, Notice, ParentOpening
from controlplane.gate.permit import PermitKey, issue
from controlplane.journal.record import decode_json, encode_json
from executor.engine.events import Event, Observation, ParentInstruction
from executor.engine.perform import Engine
from executor.engine.ports import Ports
from executor.engine.state import ChildWork, EngineRules, EngineState, MarketWork, ParentWork
from executor.marketdata.events import BookSnapshot, Trade
from executor.marketdata.quarantine import FeedGuard
from executor.strategies.volume_curve import Session, VolumeCurve
from executor.venues.port import SENT, Delivery, OrderStatus, SendResult, VenueAdapter, VenueMessage, WorkingList

START_NS = 1_700_000_000 * NS_PER_S
VENUE = "SIM"
ROUTE_HANDLE = 7
PERMIT_TTL_NS = 500 * NS_PER_MS

XYZ = Instrument(
    name="XYZ",
    underlying="XYZ",
    contract=Contract.EQUITY,
    currency="USD",
    settlement_currency="USD",
    tick_size=Decimal("0.01"),
    lot_size=Decimal(1),
    multiplier=Decimal(1),
    price_min_ticks=1,
    price_max_ticks=1_000_000,
    quantity_min_lots=1,
    quantity_max_lots=1_000_000,
    lot_step=1,
    tick_bands=(),
    calendar="always",
)
ROUTE = Route("crypto", "crypto/twap", "crypto/twap/schedule", "XYZ", VENUE, "SIM-CLEARING")

VWAP_ROUTE = replace(ROUTE, strategy="crypto/vwap", model="crypto/vwap/schedule")

# One slice: the whole quantity at once, paying the other side, or resting until the end.
AT_ONCE = (("slices", "1"), ("patience_bps", "0"), ("cross_bps", "0"))
RESTING = (("slices", "1"), ("patience_bps", "10000"), ("cross_bps", "10000"))


def denied(code: DenialCode, *, passing: int = 0, sequence: int = 99) -> Verdict:
    """Return a denial with one code."""
    return Verdict(Outcome.DENIED, (code,), None, passing, None, sequence, 1, "denied by the test")


@dataclass
class FakeGate:
    """Allows everything with real permits, unless told otherwise; remembers what it was asked and told."""

    clock: ManualClock
    steps: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    is_away: bool = False
    refuses_parents: bool = False
    killed: bool = False
    current_fence: int = 1
    waiting: list[Notice] = field(default_factory=list)
    live: list[LiveOrder] = field(default_factory=list)
    decided: list[OrderCommand] = field(default_factory=list)
    reports: list[VenueReport] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    opened: list[ParentOpening] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    key: PermitKey = field(default_factory=lambda: PermitKey(0, 1, b"k" * 32))
    sequence: int = 0

    def handle(self, route: Route) -> int:
        return ROUTE_HANDLE

    def open_parent(self, opening: ParentOpening) -> None:
        if self.refuses_parents:
            raise StateConflict("The test's gate refuses parents.")
        self.opened.append(opening)

    def close_parent(self, parent_id: int) -> None:
        self.closed.append(parent_id)

    def decide(self, command: OrderCommand) -> Verdict:
        self.steps.append(f"decide {command.kind.name.lower()}")
        self.decided.append(command)
        if self.is_away:
            return denied(DenialCode.GATE_UNAVAILABLE, sequence=0)
        if self.verdicts and command.kind is CommandKind.NEW:
            return self.verdicts.pop(0)
        self.sequence += 1
        expiry_ns = self.clock.now_ns + PERMIT_TTL_NS
        permit = issue(command, key=self.key, sequence=self.sequence, expiry_ns=expiry_ns, fence=self.current_fence)
        needs_permit = command.kind is not CommandKind.CANCEL
        return Verdict(
            Outcome.ALLOWED, (), None, command.quantity_lots, permit if needs_permit else None, self.sequence, 1
        )

    def report(self, report: VenueReport) -> None:
        self.steps.append(f"report {report.kind.name.lower()}")
        self.reports.append(report)

    def observe(self, observation: Observation) -> None:
        self.observations.append(observation)

    def notices(self) -> list[Notice]:
        found, self.waiting = self.waiting, []
        return found

    def fence(self) -> int:
        return self.current_fence

    def is_killed(self) -> bool:
        return self.killed

    def working(self) -> list[LiveOrder]:
        return self.live

    def permit_key(self) -> PermitKey:
        return self.key

    def halt(self, scope: str, state: TradingState = TradingState.HALTED) -> None:
        """Put a scope into a state, as a person would."""
        self.waiting.append(Notice("state", scope, state, "because the test says so", self.clock.now_ns))

    def kill(self) -> None:
        """Throw the machine's switch."""
        self.killed, self.current_fence = True, self.current_fence + 1


class FakeVenue(VenueAdapter):
    """Keeps what it is sent and says what the test puts into `said`; `deliveries` decide what becomes of messages."""

    def __init__(self, gate: FakeGate, clock: ManualClock) -> None:
        super().__init__(VENUE, authority=gate, clock=clock)
        self.steps = gate.steps
        self.deliveries: list[SendResult] = []
        self.sent: list[OrderCommand] = []
        self.cancelled: list[int] = []
        self.asked: list[int] = []
        self.lists_asked = 0
        self.said: list[VenueMessage] = []
        self.is_deaf_to_cancels = False

    def _transmit(self, command: OrderCommand) -> SendResult:
        self.steps.append("send")
        result = self.deliveries.pop(0) if self.deliveries else SENT
        if result.delivery is not Delivery.NOT_SENT:
            self.sent.append(command)
        return result

    def _transmit_cancel(self, command: OrderCommand) -> SendResult:
        self.steps.append("send cancel")
        if self.is_deaf_to_cancels:
            return SendResult(Delivery.NOT_SENT, "the link is down")
        self.cancelled.append(command.child_id)
        return SENT

    def request_status(self, child_id: int) -> SendResult:
        self.asked.append(child_id)
        return SENT

    def request_working(self) -> SendResult:
        self.lists_asked += 1
        return SENT

    def poll(self) -> list[VenueMessage]:
        found, self.said = self.said, []
        return found


@dataclass
class MemoryJournal:
    """Keeps canonical records in memory; `on_append` may fail, as a disk would."""

    steps: list[str] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    commits: int = 0

    def append_json(self, payload: Mapping[str, object]) -> int:
        self.entries.append(encode_json(payload))
        self.steps.append(f"write {payload['kind']}")
        return len(self.entries)

    def commit(self) -> None:
        self.commits += 1

    @property
    def records(self) -> list[dict[str, object]]:
        return [dict(decode_json(entry)) for entry in self.entries]

    def of_kind(self, kind: str) -> list[dict[str, object]]:
        """Return the records of one kind."""
        return [record for record in self.records if record["kind"] == kind]


class World:
    """The engine with everything around it, on a clock that the test moves."""

    def __init__(
        self, *, instrument: Instrument = XYZ, rules: EngineRules | None = None, bid: int = 9_999, ask: int = 10_001
    ) -> None:
        self.clock = ManualClock(START_NS)
        self.gate = FakeGate(self.clock)
        self.venue = FakeVenue(self.gate, self.clock)
        self.journal = MemoryJournal(self.gate.steps)
        self.instrument = instrument
        self.state = EngineState(instruments={instrument.name: instrument}, rules=rules or EngineRules())
        self.state.fence = self.gate.current_fence
        guard = FeedGuard("feed", instrument.name)
        self.market = MarketWork(guard=guard, venue=VENUE)
        self.state.markets[instrument.name] = self.market
        self.engine = Engine(self.state, Ports(journal=self.journal, gate=self.gate, venues={VENUE: self.venue}))
        self._sequence = 0
        self._executions = 0
        self.quote(bid, ask)

    @property
    def steps(self) -> list[str]:
        """What happened outside the engine, in order: records, questions, messages."""
        return self.gate.steps

    def handle(self, event: Event) -> None:
        """Bring one event in at the present time."""
        self.engine.handle(event, self.clock.now_ns)

    def quote(self, bid: int, ask: int, *, lots: int = 1_000) -> None:
        """Let the market show one level a side."""
        self._sequence += 1
        now_ns = self.clock.now_ns
        self.handle(
            BookSnapshot(self.instrument.name, "feed", now_ns, now_ns, self._sequence, ((bid, lots),), ((ask, lots),))
        )

    def trade(self, lots: int, price: int = 10_000) -> None:
        """Let others trade."""
        self._sequence += 1
        now_ns = self.clock.now_ns
        self.handle(Trade(self.instrument.name, "feed", now_ns, now_ns, self._sequence, price, lots, Side.BUY))

    def accept(
        self,
        *,
        lots: int = 100,
        seconds: int = 60,
        side: Side = Side.BUY,
        parameters: tuple[tuple[str, str], ...] = AT_ONCE,
        **changes: object,
    ) -> ParentWork:
        """Return a parent order that was just handed in."""
        instruction = ParentInstruction(
            reference="",
            route=ROUTE,
            side=side,
            quantity_lots=lots,
            horizon_ns=seconds * NS_PER_S,
            parameters=parameters,
        )
        parent_id = self.engine.accept(replace(instruction, **changes), self.clock.now_ns)  # type: ignore[arg-type]
        return self.state.parents[parent_id]

    def beat(self, milliseconds: int = 0) -> None:
        """Let time pass and everything be looked at, in steps no longer than a tenth of a second."""
        until_ns = self.clock.now_ns + milliseconds * NS_PER_MS
        while True:
            self.engine.beat(self.clock.now_ns)
            if self.clock.now_ns >= until_ns:
                return
            self.clock.advance_to(min(self.clock.now_ns + 100 * NS_PER_MS, until_ns))

    def child(self, number: int = -1) -> ChildWork:
        """Return one of the children, the latest unless told otherwise."""
        return list(self.state.children.values())[number]

    def says(self, kind: ReportKind, number: int = -1, **fields: int) -> None:
        """Let the venue report about a child, and the engine hear it."""
        report = VenueReport(
            kind=kind, child_id=self.child(number).child.child_id, exchange_ns=self.clock.now_ns, **fields
        )
        self.venue.said.append(report)
        self.beat()

    def fills(self, lots: int, number: int = -1, *, price: int = 10_001, execution: int = 0, fee: int = 0) -> None:
        """Let the venue fill a child."""
        self._executions += 1
        self.says(
            ReportKind.FILLED,
            number,
            execution_id=execution or self._executions,
            quantity_lots=lots,
            price_ticks=price,
            fee_micro=fee,
        )

    def status(
        self,
        child_id: int,
        *,
        is_found: bool = True,
        ended_by: ReportKind | None = None,
        executions: tuple[VenueReport, ...] = (),
    ) -> None:
        """Let the venue answer a question about an order."""
        self.venue.said.append(OrderStatus(child_id, is_found, executions, ended_by, 0, 0, self.clock.now_ns))
        self.beat()

    def lists(self, *child_ids: int) -> None:
        """Let the venue state its list of our working orders."""
        self.venue.said.append(WorkingList(frozenset(child_ids), self.clock.now_ns))
        self.beat()


def altered(permit: Permit, **changes: object) -> Permit:
    """Return the permit with fields changed and its code kept."""
    return replace(permit, **changes)  # type: ignore[arg-type]


def rising_curve() -> VolumeCurve:
    """Return a curve for XYZ whose session of four seconds begins with the world and expects 1, 2, 3 and 4."""
    return VolumeCurve("rising", NS_PER_S, (1, 2, 3, 4), (Session(START_NS, START_NS + 4 * NS_PER_S, 0),))
