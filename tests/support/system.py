"""A whole trading system on one clock: generated market, simulated venue, embedded gate, real journals, the engine.

Everything that can go wrong between the parts goes wrong here on demand, from a seed: reports that are lost or come
twice, sends whose fate is unknown, connections that are down, a program that dies at a given record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.domain.clock import NS_PER_MS, NS_PER_S, ManualClock
from controlplane.domain.orders import OrderCommand, Side
from controlplane.domain.reports import VenueReport
from controlplane.domain.scopes import Route
from controlplane.gate.embedded import EmbeddedGate
from controlplane.journal.writer import JournalWriter
from controlplane.runtime.settings import Durability
from executor.engine.events import ParentInstruction
from executor.engine.perform import Engine
from executor.engine.ports import Ports
from executor.engine.recovery import Recovered, rebuild, records_of, settle_with_gate
from executor.engine.state import EngineState, MarketWork, ParentWork
from executor.marketdata.quarantine import FeedGuard
from executor.orders.reconcile import Reconciliation, reconcile
from executor.scenarios.in_process import InProcessLink
from executor.scenarios.proof import Proof, prove
from executor.simulation.chance import Chance
from executor.simulation.exchange import Exchange
from executor.simulation.latency import Delay, LatencyModel
from executor.simulation.order_flow import FairPath, FlowProfile, GeneratedFeed
from executor.venues.port import Delivery, SendResult, VenueMessage
from executor.venues.simulated import SimulatedVenue
from tests.support.policies import AS_OF_NS, shipped_policies, shipped_snapshot

VENUE, NAME = "DEMO-SIM", "ETH-PERP"
STEP_NS = 20 * NS_PER_MS
SEGMENT_BYTES = 1 << 20
PROFILE = FlowProfile(arrivals_per_s=40.0, order_lots_mean=2_000.0, market_lots_mean=1_500.0)
LATENCY = LatencyModel(feed_ns=NS_PER_MS, entry=Delay(3 * NS_PER_MS, 0.5), response=Delay(3 * NS_PER_MS, 0.5))


class Died(Exception):
    """The program was killed at this point."""


@dataclass
class Faults:
    """How often what goes wrong, as probabilities."""

    lost_report: float = 0.0
    doubled_report: float = 0.0
    uncertain_send: float = 0.0
    failed_send: float = 0.0
    lost_cancel: float = 0.0


class FaultyLink:
    """A link that loses and doubles from a seed; with `dies_before_order` the program dies as its n-th order leaves."""

    def __init__(self, inner: InProcessLink, faults: Faults, chance: Chance) -> None:
        self._inner = inner
        self._faults = faults
        self._chance = chance
        self.lost = self.doubled = 0
        self.dies_before_order = 0

    def transmit(self, command: OrderCommand, instrument: str) -> SendResult:
        is_cancel = command.quantity_lots == 0
        self.dies_before_order -= not is_cancel
        if self.dies_before_order == 0 and not is_cancel:
            raise Died
        if self._chance.is_hit(self._faults.lost_cancel if is_cancel else self._faults.failed_send):
            return SendResult(Delivery.NOT_SENT, "the link is down")
        if not is_cancel and self._chance.is_hit(self._faults.uncertain_send):
            if self._chance.is_hit(0.5):
                self._inner.transmit(command, instrument)
            return SendResult(Delivery.UNKNOWN, "timed out")
        return self._inner.transmit(command, instrument)

    def request_status(self, child_id: int) -> SendResult:
        return self._inner.request_status(child_id)

    def request_working(self) -> SendResult:
        return self._inner.request_working()

    def receive(self) -> list[VenueMessage]:
        heard: list[VenueMessage] = []
        for message in self._inner.receive():
            if isinstance(message, VenueReport) and self._chance.is_hit(self._faults.lost_report):
                self.lost += 1
                continue
            heard.append(message)
            if isinstance(message, VenueReport) and self._chance.is_hit(self._faults.doubled_report):
                self.doubled += 1
                heard.append(message)
        return heard


class DyingJournal:
    """A journal of a program that dies at its n-th record, before or after it was written."""

    def __init__(self, writer: JournalWriter, dies_at: int, *, is_written: bool) -> None:
        self._writer = writer
        self._left = dies_at
        self._is_written = is_written

    def append_json(self, payload: Mapping[str, object]) -> int:
        self._left -= 1
        if self._left == 0 and not self._is_written:
            raise Died
        sequence = self._writer.append_json(payload)
        if self._left == 0:
            raise Died
        return sequence

    def commit(self) -> None:
        self._writer.commit()


@dataclass
class System:
    """The whole; `start` begins a program over whatever the journals hold, `live` lets time pass."""

    directory: Path
    seed: int = 1
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        self.clock = ManualClock(AS_OF_NS)
        chance = Chance(self.seed)
        policies = shipped_policies()
        self.instrument = next(
            rules.instrument for rules in shipped_snapshot().instruments if rules.instrument.name == NAME
        )
        self.gate = EmbeddedGate.open(
            shipped_snapshot(), directory=self.directory, clock=self.clock, segment_bytes=SEGMENT_BYTES
        )
        self.exchange = Exchange(
            [self.instrument],
            latency=LATENCY,
            seed=self.seed,
            rates_micro=dict.fromkeys(policies.currencies, 1_000_000),
        )
        self.link = FaultyLink(InProcessLink(self.exchange, self.clock), self.faults, chance.split())
        feed = GeneratedFeed(
            self.instrument,
            fair=FairPath(chance.bits(), 3_000.0),
            seed=chance.bits(),
            start_ns=AS_OF_NS,
            profile=PROFILE,
        )
        self._feed, self._guard = feed, FeedGuard(feed.feed, NAME)
        self._events = feed.events()
        self._next = next(self._events)
        self.starts = 0
        self.start()

    def start(self, *, dies_at: int = 0, is_written: bool = True) -> Recovered:
        """Begin a program: journal, recovery, settlement with the gate, engine."""
        self.starts += 1
        log = self.directory / "journal" / "executor-0"
        self.writer = JournalWriter.open(
            log,
            log="executor-0",
            durability=Durability.PROCESS,
            clock=self.clock,
            segment_bytes=SEGMENT_BYTES,
            ballast_bytes=0,
        )
        adapter = SimulatedVenue(
            VENUE, link=self.link, instrument_of=lambda _: NAME, authority=self.gate, clock=self.clock
        )
        self.state = EngineState(instruments={NAME: self.instrument})
        self.state.markets[NAME] = MarketWork(guard=FeedGuard(self._feed.feed, NAME), venue=VENUE)
        found = rebuild(self.state, records_of(log), self.gate)
        self.state.clock.advance_to(self.clock.now_ns)
        settle_with_gate(self.state, found, self.gate)
        journal = DyingJournal(self.writer, dies_at, is_written=is_written) if dies_at else self.writer
        self.engine = Engine(self.state, Ports(journal=journal, gate=self.gate, venues={VENUE: adapter}))
        if self._guard.book.is_ready:
            now_ns = self.clock.now_ns
            self.engine.handle(
                self._guard.book.snapshot(feed=self._feed.feed, exchange_ns=now_ns, receive_ns=now_ns), now_ns
            )
        return found

    def die(self) -> None:
        """End the program as it stands; nothing of its memory survives."""
        self.writer.close()

    def accept(
        self,
        *,
        lots: int = 5_000,
        seconds: int = 8,
        side: Side = Side.BUY,
        strategy: str = "twap",
        reference: str = "",
        parameters: Mapping[str, str] | None = None,
    ) -> ParentWork:
        """Return a parent order that was just handed in."""
        route = next(
            one
            for one in shipped_snapshot().routes
            if (one.instrument, one.venue, one.strategy) == (NAME, VENUE, f"crypto/{strategy}")
        )
        return self.state.parents[
            self.engine.accept(_instruction(route, side, lots, seconds, reference, parameters or {}), self.clock.now_ns)
        ]

    def live(self, seconds: float) -> None:
        """Let market, venue and engine go on for some time."""
        until_ns = self.clock.now_ns + int(seconds * NS_PER_S)
        while self.clock.now_ns < until_ns:
            now_ns = self.clock.now_ns + STEP_NS
            while self._next.receive_ns <= now_ns:
                event = self._next
                self._next = next(self._events)
                self._guard.admit(event)
                self.clock.advance_to(event.receive_ns)
                self.exchange.on_event(event)  # type: ignore[arg-type]
                self.engine.handle(event, self.clock.now_ns)
            self.clock.advance_to(now_ns)
            self.engine.beat(self.clock.now_ns)

    def live_until_death(self, seconds: float, *, lots: int, horizon: int, parameters: Mapping[str, str]) -> None:
        """Hand a block in and let time pass until the program dies of what the test prepared."""
        self.accept(lots=lots, seconds=horizon, reference="block", parameters=parameters)
        self.live(seconds)

    def live_without_program(self, seconds: float) -> None:
        """Let market and venue go on while no program runs."""
        until_ns = self.clock.now_ns + int(seconds * NS_PER_S)
        while self._next.receive_ns <= until_ns:
            self._guard.admit(self._next)
            self.exchange.on_event(self._next)  # type: ignore[arg-type]
            self._next = next(self._events)
        self.exchange.advance(until_ns)
        self.clock.advance_to(until_ns)

    def finish(self, *, seconds_max: float = 60.0) -> None:
        """Let time pass until every parent has ended."""
        deadline_ns = self.clock.now_ns + int(seconds_max * NS_PER_S)
        while self.state.active_parents and self.clock.now_ns < deadline_ns:
            self.live(0.5)

    def reconciled(self) -> dict[int, Reconciliation]:
        """Return where every lot of every parent is, after all accounts were compared."""
        return {
            parent_id: reconcile(work.parent, [child.child for child in self.state.children_of(work)])
            for parent_id, work in self.state.parents.items()
        }

    def venue_lots(self) -> dict[int, int]:
        """Return what the venue filled for each parent, by its own memory."""
        lots: dict[int, int] = {}
        for child_id, work in self.state.children.items():
            found = self.exchange.status(child_id)
            parent_id = work.child.parent_id
            lots[parent_id] = lots.get(parent_id, 0) + (0 if found is None else found.filled_lots)
        return lots

    def prove(self) -> Proof:
        """Return what the journals prove; the system is over afterwards."""
        self.writer.close()
        self.gate.close()
        return prove(self.directory / "journal" / "executor-0", self.directory / "journal" / "gate-0")


def _instruction(
    route: Route, side: Side, lots: int, seconds: int, reference: str, parameters: Mapping[str, str]
) -> ParentInstruction:
    return ParentInstruction(
        reference=reference,
        route=route,
        side=side,
        quantity_lots=lots,
        horizon_ns=seconds * NS_PER_S,
        parameters=tuple(parameters.items()),
    )
