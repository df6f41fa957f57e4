"""The simulated venue as a program of its own: `executor venue`.

It plays a recording or a generated market on the clock of the machine, matches the orders it is sent against it, and
keeps them whatever becomes of whoever sent them. One thread, one socket, any number of listeners; every listener hears
every report, since one executor trades here.
"""

import selectors
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.domain.clock import NS_PER_MS, NS_PER_S, Clock
from controlplane.domain.errors import InvalidRequest, StateConflict, VenueUnavailable
from controlplane.domain.observations import Phase
from controlplane.domain.orders import CommandKind
from controlplane.domain.reports import ReportKind, VenueReport
from executor.marketdata.events import BookSnapshot, Fault, MarketEvent, Status, Trade
from executor.marketdata.quarantine import FeedGuard
from executor.scenarios.in_process import carry_out, status_of, working_of
from executor.simulation.exchange import Exchange
from executor.simulation.replay import Step
from executor.venues import market_wire, wire
from executor.venues.port import OrderStatus

BOOK_LEVELS = 10
BOOK_MOVED_NS = 20 * NS_PER_MS
BOOK_STILL_NS = 250 * NS_PER_MS
PHASE_NS = NS_PER_S
WAIT_SECONDS_MAX = 0.01
STEPS_PER_TURN_MAX = 2_000
READ_BYTES = 1 << 16
OUT_BYTES_MAX = 16 << 20
CLIENTS_MAX = 16


@dataclass(slots=True)
class _Client:
    """One listener: what it sent and isn't a line yet, what it hasn't been told yet."""

    connection: socket.socket
    lines: wire.LineBuffer = field(default_factory=wire.LineBuffer)
    out: bytearray = field(default_factory=bytearray)
    is_greeted: bool = False


@dataclass(slots=True)
class _Shown:
    """One instrument's book as the listeners know it."""

    guard: FeedGuard
    sequence: int = 0
    shown_ns: int = 0
    phase_ns: int = 0
    levels: tuple[object, object] = ((), ())


class VenueServer:
    """The venue behind its socket.

    Arguments
        name               as it stands in routes
        path               Unix socket to listen on; one that nobody listens on any more is taken over
        steps              (time, event) on the machine's clock, as `simulation/replay.py` yields them
        guards             of the feeds in `steps`, by feed, for the books
        cancels_on_hangup  cancel every working order when a listener's connection ends
    """

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        exchange: Exchange,
        steps: Iterator[Step],
        guards: Mapping[str, FeedGuard],
        clock: Clock,
        cancels_on_hangup: bool = False,
    ) -> None:
        self.name = name
        self.orders_taken = 0
        self.is_stopping = False
        self._exchange = exchange
        self._steps = steps
        self._guards = guards
        self._clock = clock
        self._cancels_on_hangup = cancels_on_hangup
        self._next: Step | None = None
        self._has_ended = False
        self._shown: dict[str, _Shown] = {}
        self._clients: dict[int, _Client] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = _listen(path)
        self._path = path
        self._selector.register(self._listener, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until `is_stopping`; returns with the socket removed."""
        try:
            while not self.is_stopping:
                self.turn()
        finally:
            self.close()

    def turn(self) -> None:
        """Do one round: the market up to now, what listeners sent, what they are owed."""
        now_ns = self._clock.wall_ns()
        self._play(now_ns)
        for key, _ in self._selector.select(0 if self._is_behind(now_ns) else WAIT_SECONDS_MAX):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fd in self._clients:
                self._read(self._clients[key.fd])
        now_ns = self._clock.wall_ns()
        for report in self._exchange.advance(now_ns):
            self._tell(wire.report_message(report))
        self._show(now_ns)
        for client in list(self._clients.values()):
            self._flush(client)

    def close(self) -> None:
        """Hang up on everybody."""
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    # --- the market ---------------------------------------------------------------------------------------------------

    def _play(self, now_ns: int) -> None:
        for _ in range(STEPS_PER_TURN_MAX):
            if self._next is None and not self._has_ended:
                self._next = next(self._steps, None)
                self._has_ended = self._next is None
            if self._next is None or self._next[0] > now_ns:
                return
            _, item = self._next
            self._next = None
            if isinstance(item, Fault):
                continue
            self._exchange.on_event(item)
            self._pass_on(item)

    def _is_behind(self, now_ns: int) -> bool:
        return self._next is not None and self._next[0] <= now_ns

    def _pass_on(self, event: MarketEvent) -> None:
        if event.instrument not in self._shown:
            self._shown[event.instrument] = _Shown(self._guards[event.feed])
        if isinstance(event, Trade | Status):
            self._tell(market_wire.event_message(event))

    def _show(self, now_ns: int) -> None:
        """Tell everybody of books that moved, and of those that stand still from time to time."""
        for name, shown in self._shown.items():
            book = shown.guard.book
            if not book.is_ready or shown.guard.fault is not None:
                continue
            levels = (book.bids.levels(BOOK_LEVELS), book.asks.levels(BOOK_LEVELS))
            age_ns = now_ns - shown.shown_ns
            if age_ns < (BOOK_MOVED_NS if levels != shown.levels else BOOK_STILL_NS):
                continue
            shown.shown_ns, shown.levels, shown.sequence = now_ns, levels, shown.sequence + 1
            snapshot = BookSnapshot(
                instrument=name,
                feed=self.name,
                exchange_ns=now_ns,
                receive_ns=now_ns,
                sequence=shown.sequence,
                bids=levels[0],
                asks=levels[1],
            )
            self._tell(market_wire.event_message(snapshot))
            if now_ns - shown.phase_ns >= PHASE_NS:
                shown.phase_ns = now_ns
                status = Status(name, self.name, now_ns, now_ns, shown.sequence, Phase.CONTINUOUS)
                self._tell(market_wire.event_message(status))

    # --- listeners ------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        if len(self._clients) >= CLIENTS_MAX:
            connection.close()
            return
        connection.setblocking(False)
        self._clients[connection.fileno()] = _Client(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, client: _Client) -> None:
        try:
            chunk = client.connection.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._drop(client)
            return
        try:
            messages = client.lines.feed(chunk)
        except InvalidRequest:
            self._drop(client)
            return
        for message in messages:
            self._obey(client, message)

    def _obey(self, client: _Client, message: Mapping[str, object]) -> None:
        try:
            kind = wire.text(message, "type")
            if kind == "hello":
                client.is_greeted = True
                self._send(client, {"type": "hello", "protocol": wire.PROTOCOL, "venue": self.name})
            elif kind == "status":
                child_id = wire.whole(message, "child_id")
                self._send(client, wire.status_message(self._status(child_id)))
            elif kind == "working":
                self._send(client, wire.working_message(working_of(self._exchange, self._clock.wall_ns())))
            else:
                self._take_order(message)
        except (InvalidRequest, KeyError, ValueError) as error:
            self._send(client, {"type": "refused", "reason": str(error)})

    def _take_order(self, message: Mapping[str, object]) -> None:
        """Give the exchange an order, amend or cancel; a child that is here already is not taken a second time."""
        command = wire.command_from(message)
        now_ns = self._clock.wall_ns()
        instrument = "" if command.kind is CommandKind.CANCEL else wire.text(message, "instrument")
        try:
            carry_out(self._exchange, command, instrument, now_ns)
            self.orders_taken += command.kind is CommandKind.NEW
        except StateConflict:
            self._tell(wire.status_message(self._status(command.child_id)))
        except (InvalidRequest, VenueUnavailable):
            rejected = VenueReport(
                kind=ReportKind.REJECTED, child_id=command.child_id, exchange_ns=now_ns, side=int(command.side)
            )
            self._tell(wire.report_message(rejected))

    def _status(self, child_id: int) -> OrderStatus:
        return status_of(child_id, self._exchange.status(child_id), self._clock.wall_ns())

    def _tell(self, message: Mapping[str, object]) -> None:
        for client in list(self._clients.values()):
            if client.is_greeted:
                self._send(client, message)

    def _send(self, client: _Client, message: Mapping[str, object]) -> None:
        client.out += wire.encode(message)
        if len(client.out) > OUT_BYTES_MAX:
            # Whoever doesn't listen for so long starts afresh and asks; the venue's memory is not theirs.
            self._drop(client)

    def _flush(self, client: _Client) -> None:
        if not client.out:
            return
        try:
            sent = client.connection.send(client.out)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(client)
            return
        del client.out[:sent]

    def _drop(self, client: _Client) -> None:
        descriptor = client.connection.fileno()
        if self._clients.pop(descriptor, None) is None:
            return
        self._selector.unregister(client.connection)
        client.connection.close()
        if self._cancels_on_hangup and not self.is_stopping:
            self._exchange.cancel_all(self._clock.wall_ns())


def _listen(path: Path) -> socket.socket:
    """Return a listening socket at a path.

    Errors
        VenueUnavailable when somebody listens there already, or the path can't be used
    """
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(str(path))
    except OSError:
        path.unlink(missing_ok=True)
    else:
        raise VenueUnavailable(f"Expected {path} to be free, found a venue that listens there; stop it first.")
    finally:
        probe.close()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        listener.listen(CLIENTS_MAX)
    except OSError as error:
        listener.close()
        raise VenueUnavailable(
            f"The venue can't listen at {path}: {error.strerror}; name another state folder."
        ) from None
    listener.setblocking(False)
    return listener
