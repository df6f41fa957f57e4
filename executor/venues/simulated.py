"""The simulated venue, in this process or over a Unix socket; both ways through one adapter and one permit door.

`SimulatedVenue` is the adapter. A `VenueLink` carries its messages: the one of an in-process exchange is made where a
run is assembled, `SocketLink` here speaks to the venue's own process. The venue takes a child once however often it is
sent, so a message whose fate is unknown may be asked about and never needs to be sent again.
"""

import select
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from controlplane.domain.clock import Clock
from controlplane.domain.errors import InvalidRequest, VenueUnavailable
from controlplane.domain.orders import CommandKind, OrderCommand
from executor.marketdata.events import MarketEvent
from executor.venues import market_wire, wire
from executor.venues.port import SENT, Delivery, PermitAuthority, SendResult, VenueAdapter, VenueMessage

READ_BYTES = 1 << 16
SEND_SECONDS_MAX = 1.0
RECONNECT_SECONDS = 0.5
MESSAGES_WAITING_MAX = 1 << 18


class VenueLink(Protocol):
    """Carries messages to a simulated venue and brings its answers."""

    def transmit(self, command: OrderCommand, instrument: str) -> SendResult:
        """Return what became of a new order, amend or cancel."""
        ...

    def request_status(self, child_id: int) -> SendResult:
        """Ask what became of one order."""
        ...

    def request_working(self) -> SendResult:
        """Ask for the list of our working orders."""
        ...

    def receive(self) -> list[VenueMessage]:
        """Return what has arrived since the last call, oldest first, without waiting."""
        ...


class SimulatedVenue(VenueAdapter):
    """Adapter of a simulated venue.

    Arguments
        link           carries the messages
        instrument_of  name of the instrument that a route's handle stands for
    """

    def __init__(
        self,
        venue: str,
        *,
        link: VenueLink,
        instrument_of: Callable[[int], str],
        authority: PermitAuthority,
        clock: Clock,
    ) -> None:
        super().__init__(venue, authority=authority, clock=clock)
        self._link = link
        self._instrument_of = instrument_of

    def _transmit(self, command: OrderCommand) -> SendResult:
        return self._link.transmit(command, self._instrument_of(command.route))

    def _transmit_cancel(self, command: OrderCommand) -> SendResult:
        return self._link.transmit(command, self._instrument_of(command.route))

    def request_status(self, child_id: int) -> SendResult:
        return self._link.request_status(child_id)

    def request_working(self) -> SendResult:
        return self._link.request_working()

    def poll(self) -> list[VenueMessage]:
        return self._link.receive()


class SocketLink:
    """One connection to the venue's process; connects by itself and again after a loss.

    Market data of the venue arrives over the same connection and is kept apart, for `market_events`.

    Arguments
        path      Unix socket of the venue
        clock     source of receive times
        on_hello  called with the venue's greeting after every connection
    """

    def __init__(
        self, path: Path, *, clock: Clock, on_hello: Callable[[Mapping[str, object]], None] | None = None
    ) -> None:
        self._path = path
        self._clock = clock
        self._on_hello = on_hello
        self._socket: socket.socket | None = None
        self._buffer = wire.LineBuffer()
        self._messages: list[VenueMessage] = []
        self._events: list[MarketEvent] = []
        self._retry_at = 0.0
        self.fault_count = 0
        self.connection_count = 0

    @property
    def is_connected(self) -> bool:
        return self._socket is not None

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 while there is no connection."""
        return -1 if self._socket is None else self._socket.fileno()

    def connect(self) -> bool:
        """Return whether there is a connection now; after a failed attempt the next ones fail at once for a while."""
        if self._socket is not None:
            return True
        if time.monotonic() < self._retry_at:
            return False
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(SEND_SECONDS_MAX)
        try:
            connection.connect(str(self._path))
            connection.sendall(wire.encode({"type": "hello", "protocol": wire.PROTOCOL}))
        except OSError:
            connection.close()
            self._retry_at = time.monotonic() + RECONNECT_SECONDS
            return False
        self._socket, self._buffer = connection, wire.LineBuffer()
        self.connection_count += 1
        return True

    def require_connection(self, seconds_max: float) -> None:
        """Return when the venue greets us within the time; VenueUnavailable otherwise."""
        deadline = time.monotonic() + seconds_max
        while time.monotonic() < deadline:
            if self.connect():
                return
            time.sleep(RECONNECT_SECONDS / 10)
        raise VenueUnavailable(
            f"Expected a venue at {self._path}, found none within {seconds_max:g} s; start `executor venue`."
        )

    def wait(self, seconds_max: float) -> None:
        """Return when something has arrived or the time is over."""
        if self._socket is None:
            time.sleep(min(seconds_max, RECONNECT_SECONDS / 10))
            return
        select.select([self._socket], [], [], seconds_max)

    def transmit(self, command: OrderCommand, instrument: str) -> SendResult:
        result = self._send(wire.command_message(command, instrument))
        if command.kind is CommandKind.CANCEL and result.delivery is Delivery.UNKNOWN:
            # Half a line is no cancel; the venue drops it with the connection, so it may be called not sent.
            return SendResult(Delivery.NOT_SENT, result.reason)
        return result

    def request_status(self, child_id: int) -> SendResult:
        return self._send({"type": "status", "child_id": child_id})

    def request_working(self) -> SendResult:
        return self._send({"type": "working"})

    def receive(self) -> list[VenueMessage]:
        self._read()
        messages, self._messages = self._messages, []
        return messages

    def market_events(self) -> list[MarketEvent]:
        """Return the market events that have arrived since the last call, oldest first, without waiting."""
        self._read()
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Hang up. Orders stay at the venue."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: Mapping[str, object]) -> SendResult:
        """Return SENT once the whole line is with the system, NOT_SENT when none of it is, UNKNOWN in between."""
        if not self.connect() or self._socket is None:
            return SendResult(Delivery.NOT_SENT, f"the venue at {self._path} can't be reached")
        line, sent = wire.encode(message), 0
        self._socket.settimeout(SEND_SECONDS_MAX)
        try:
            while sent < len(line):
                sent += self._socket.send(line[sent:])
        except OSError as error:
            self.close()
            delivery = Delivery.UNKNOWN if sent else Delivery.NOT_SENT
            return SendResult(delivery, f"the connection to the venue broke: {error.strerror or error}")
        return SENT

    def _read(self) -> None:
        self.connect()
        # What was read may have ended the connection, so it is looked at anew each time.
        while self._socket is not None and len(self._messages) + len(self._events) < MESSAGES_WAITING_MAX:
            self._socket.settimeout(0)
            try:
                chunk = self._socket.recv(READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                chunk = b""
            if not chunk:
                self.close()
                return
            self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        try:
            messages = self._buffer.feed(chunk)
        except InvalidRequest:
            # What follows can't be told apart any more; a new connection starts afresh and the orders are asked about.
            self.fault_count += 1
            self.close()
            return
        for message in messages:
            try:
                self._dispatch(message)
            except (InvalidRequest, ValueError):
                self.fault_count += 1

    def _dispatch(self, message: Mapping[str, object]) -> None:
        kind = wire.text(message, "type")
        if kind == "report":
            self._messages.append(wire.report_from(message))
        elif kind == "status":
            self._messages.append(wire.status_from(message))
        elif kind == "working":
            self._messages.append(wire.working_from(message))
        elif kind == "hello":
            if self._on_hello is not None:
                self._on_hello(message)
        else:
            self._events.append(market_wire.event_from(message, receive_ns=self._clock.wall_ns()))
