"""The long-running executor, assembled: gate over its socket, venues over theirs, journal, recovery, intake, the loop.

One thread turns the loop. Whatever ends this process, the journal says what was in flight, the venues say what became
of it, and the next start goes on from there.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Self

import uvicorn

from controlplane.domain.clock import Clock, SystemClock
from controlplane.domain.errors import (
    FeedUnavailable,
    GateUnavailable,
    InvalidRequest,
    JournalUnavailable,
    RequestError,
    VenueUnavailable,
)
from controlplane.domain.ids import from_text, to_text
from controlplane.domain.scopes import Route
from controlplane.gate.client import GateClient
from controlplane.journal.writer import SEGMENT_BYTES, JournalWriter
from controlplane.runtime.logs import get_logger
from controlplane.runtime.settings import Durability
from executor.engine import recovery
from executor.engine.events import Operation, OperatorSpoke, VenueReturned
from executor.engine.perform import Engine
from executor.engine.ports import Ports
from executor.engine.state import EngineState, MarketWork
from executor.intake.command_line import HandedIn, Inbox
from executor.intake.rest import IntakeRules, accept_parent, create_app, parse_body
from executor.marketdata.quarantine import FeedGuard
from executor.venues.simulated import SimulatedVenue, SocketLink

LOG = "executor-0"
PROGRAM = 1
TURN_SECONDS_MAX = 0.01
CONNECT_SECONDS_MAX = 15.0
CONNECT_POLL_SECONDS = 0.1
WIND_DOWN_SECONDS_MAX = 5.0
INBOX_SECONDS = 0.05
ANSWER_SECONDS_MAX = 5.0
DOOR_SECONDS_MAX = 10.0
DOOR_POLL_SECONDS = 0.02

log = get_logger("executor")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How an executor runs.

    Fields
        state_directory  where the journal and the inbox are
        gate_socket      where the gate listens
        venue_sockets    where each venue listens, by its name in routes
        parents_max      end by itself after so many parent orders have finished; 0 for never
    """

    state_directory: Path
    gate_socket: Path
    venue_sockets: Mapping[str, Path]
    durability: Durability = Durability.PROCESS
    parents_max: int = 0
    segment_bytes: int = SEGMENT_BYTES


class Executor:
    """The program; made by `open`, turned by `run`."""

    def __init__(
        self, engine: Engine, gate: GateClient, journal: JournalWriter, links: Mapping[str, SocketLink], inbox: Inbox,
        rules: IntakeRules, clock: Clock, options: RunOptions,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.stopping = Flag()
        self._gate = gate
        self._journal = journal
        self._links = links
        self._connections = dict.fromkeys(links, 0)
        self._inbox = inbox
        self._inbox_at = 0.0
        self._rules = rules
        self._clock = clock
        self._options = options
        self._finished_before = sum(work.is_finished for work in engine.state.parents.values())

    @classmethod
    def open(cls, options: RunOptions, rules: IntakeRules) -> Self:
        """Return an executor that has met its gate and its venues, with everything in its journal restored.

        Errors
            GateUnavailable, VenueUnavailable  nobody listens there
            JournalUnavailable                 another executor holds the journal, or the disk refuses
            EvidenceError                      the journal contradicts itself
        """
        clock = SystemClock()
        directory = options.state_directory / "journal" / LOG
        # The journal first: a second executor stops here, before the gate would take it for the first one come back.
        journal = JournalWriter.open(
            directory, log=LOG, durability=options.durability, clock=clock, segment_bytes=options.segment_bytes
        )
        with ExitStack() as undone:
            undone.callback(journal.close)
            gate = _meet_gate(options.gate_socket)
            undone.callback(gate.close)
            routes = [route for route in rules.routes if route.venue in options.venue_sockets]
            state = _fresh_state(rules, routes)
            found = recovery.rebuild(state, recovery.records_of(directory), gate)
            handles = {gate.handle(route): route.instrument for route in routes}
            links = {name: SocketLink(path, clock=clock) for name, path in options.venue_sockets.items()}
            venues = {
                name: SimulatedVenue(name, link=link, instrument_of=handles.__getitem__, authority=gate, clock=clock)
                for name, link in links.items()
            }
            for link in links.values():
                link.require_connection(CONNECT_SECONDS_MAX)
            state.clock.advance_to(clock.wall_ns())
            retold = recovery.settle_with_gate(state, found, gate)
            undone.pop_all()
        log.info("executor_ready", records=found.records, unknown=len(found.unknown), retold=retold)
        engine = Engine(state, Ports(journal=journal, gate=gate, venues=venues))
        inbox = Inbox(options.state_directory / "executor")
        return cls(engine, gate, journal, links, inbox, rules, clock, options)

    def run(self) -> None:
        """Turn until told to stop, then cancel what works, wait a moment for the venues' word, and close."""
        try:
            while not self.stopping.is_set() and not self._is_done():
                self.turn()
            self._wind_down()
        except JournalUnavailable:
            # What can't be recorded can't be worked; the venues' word about it is asked for at the next start.
            self.engine.abandon()
            raise
        finally:
            self.close()

    def turn(self) -> None:
        """Do one round: what the market and the venues said, what the gate says, what was handed in, what is due."""
        for link in self._links.values():
            link.wait(TURN_SECONDS_MAX / len(self._links))
        self._hear_venues()
        self.engine.beat(self._clock.wall_ns())
        if time.monotonic() - self._inbox_at >= INBOX_SECONDS:
            self._inbox_at = time.monotonic()
            for handed_in in self._inbox.take():
                self._take(handed_in)
        self._journal.commit()

    def close(self) -> None:
        """Give gate, venues and journal back."""
        for link in self._links.values():
            link.close()
        self._gate.close()
        with suppress(JournalUnavailable):
            # A journal that failed has said so already, and has nothing left to close.
            self._journal.close()

    def _hear_venues(self) -> None:
        for name, link in self._links.items():
            events = link.market_events()
            if link.connection_count != self._connections[name]:
                self._connections[name] = link.connection_count
                self.engine.handle(VenueReturned(name), self._clock.wall_ns())
            for event in events:
                self.engine.handle(event, self._clock.wall_ns())

    def _take(self, handed_in: HandedIn) -> None:
        """Carry out one order or operator's word of the inbox; what has to wait for gate or market stays there."""
        try:
            fields = parse_body(handed_in.body)
            is_word = "operation" in fields
            outcome = self._obey(fields) if is_word else self._accept(fields, handed_in.reference)
        except (GateUnavailable, FeedUnavailable) as error:
            log.info("order_waits", reference=handed_in.reference, reason=str(error))
        except RequestError as error:
            self._inbox.refuse(handed_in.reference, error)
        else:
            self._journal.commit()
            self._inbox.answer(handed_in.reference, outcome)

    def _accept(self, fields: Mapping[str, object], reference: str) -> dict[str, object]:
        instruction = accept_parent({**fields, "reference": reference}, self._rules)
        if instruction.route.venue not in self._links:
            raise InvalidRequest(
                f"Expected an order for {', '.join(self._links)}, found one for {instruction.route.venue}; "
                "start this executor with that venue too.",
                field="venue",
            )
        market = self.engine.state.markets[instruction.route.instrument]
        if reference not in self.engine.state.references and not market.is_usable:
            raise FeedUnavailable(f"No sound book of {instruction.route.instrument} has arrived yet.")
        parent_id = self.engine.accept(instruction, self._clock.wall_ns())
        log.info("parent_accepted", parent_id=to_text(parent_id), reference=reference)
        return {"parent_id": to_text(parent_id), "reference": reference}

    def _obey(self, fields: Mapping[str, object]) -> dict[str, object]:
        spoken = operator_word(fields)
        self.engine.handle(spoken, self._clock.wall_ns())
        return {"parent_id": to_text(spoken.parent_id), "operation": spoken.operation.value}

    def _is_done(self) -> bool:
        finished = sum(work.is_finished for work in self.engine.state.parents.values())
        wanted = self._options.parents_max
        return bool(wanted) and finished - self._finished_before >= wanted and not self.engine.state.active_parents

    def _wind_down(self) -> None:
        """Cancel what works and wait for the venues' word; parents stay as they are and go on at the next start."""
        state = self.engine.state
        deadline = time.monotonic() + WIND_DOWN_SECONDS_MAX
        for work in state.active_parents.values():
            work.is_held = True
        for child in list(state.live_children.values()):
            self.engine.request_cancel(child.child.child_id, "the executor stops", self._clock.wall_ns())
        while state.live_children and time.monotonic() < deadline:
            for link in self._links.values():
                link.wait(TURN_SECONDS_MAX)
            self._hear_venues()
            self.engine.beat(self._clock.wall_ns())
        self._gate.flush(1.0)
        log.info("executor_stopped", left_working=len(state.live_children))


def operator_word(fields: Mapping[str, object]) -> OperatorSpoke:
    """Return an operator's word about a parent order as it was handed in.

    Errors
        InvalidRequest when a field is missing, unknown or malformed; names it
    """
    names = ("operation", "parent_id", "reason", "by", "reference")
    for name in fields:
        if name not in names:
            raise InvalidRequest(
                f"{name[:40]!r} is no field of an operator's word; fields are {', '.join(names)}.", field=name[:40]
            )
    operations = [operation.value for operation in Operation]
    if fields.get("operation") not in operations:
        raise InvalidRequest(
            f"operation must be one of {', '.join(operations)}, found {str(fields.get('operation'))[:40]!r}.",
            field="operation",
        )
    for name in ("parent_id", "reason", "by"):
        value = fields.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= 400:
            raise InvalidRequest(f"{name} must be text of 1 to 400 letters, found {str(value)[:40]!r}.", field=name)
    return OperatorSpoke(
        parent_id=from_text(str(fields["parent_id"])),
        operation=Operation(str(fields["operation"])),
        reason=str(fields["reason"]),
        spoken_by=str(fields["by"]),
    )


def _fresh_state(rules: IntakeRules, routes: Iterable[Route]) -> EngineState:
    """Return an empty state with a market for every instrument that the venues list."""
    state = EngineState(instruments=dict(rules.instruments), volume_curves=dict(rules.volume_curves), program=PROGRAM)
    for route in routes:
        if route.instrument not in state.markets:
            guard = FeedGuard(route.venue, route.instrument)
            state.markets[route.instrument] = MarketWork(guard=guard, venue=route.venue)
    return state


def _meet_gate(path: Path) -> GateClient:
    """Return a client that has met its gate; a gate that is just starting gets some seconds."""
    deadline = time.monotonic() + CONNECT_SECONDS_MAX
    while True:
        try:
            return GateClient.connect(path, program=PROGRAM)
        except GateUnavailable:
            if time.monotonic() >= deadline:
                raise
            time.sleep(CONNECT_POLL_SECONDS)


@contextmanager
def serving(directory: Path, port: int) -> Iterator[None]:
    """Serve `POST /parents` on the loopback while the body of the `with` runs."""
    inbox = Inbox(directory)

    def hand_in(body: bytes) -> Mapping[str, object]:
        return inbox.wait(inbox.put(parse_body(body)), ANSWER_SECONDS_MAX)

    server = uvicorn.Server(uvicorn.Config(create_app(hand_in), host="127.0.0.1", port=port, log_config=None))
    thread = Thread(target=server.run, name="intake", daemon=True)
    thread.start()
    try:
        log.info("intake_ready", address=_address(server))
        yield
    finally:
        server.should_exit = True
        thread.join(DOOR_SECONDS_MAX)


def _address(server: uvicorn.Server) -> str:
    """Return the address that the server listens on, once it does; VenueUnavailable when it doesn't come up."""
    deadline = time.monotonic() + DOOR_SECONDS_MAX
    while not server.started:
        if time.monotonic() >= deadline or server.should_exit:
            raise VenueUnavailable("The web door did not open; choose another port with --http-port.")
        time.sleep(DOOR_POLL_SECONDS)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    return f"http://{host}:{port}"
