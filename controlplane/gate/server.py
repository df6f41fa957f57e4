"""The loop of the gate process: one thread, its neighbours' sockets, one commit for everything that arrived together.

Whatever is ready is read and applied in the order of arrival; then the journal is made durable once, and only then do
the answers leave. A neighbour that sends nonsense gets one ERROR and is hung up; one that doesn't read is hung up; the
gate goes on. Thrown switches, removed switch files and signals are noticed within a tenth of a second, and act at once.
"""

import os
import select
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from controlplane.domain.errors import (
    ControlPlaneError,
    InvalidRequest,
    JournalUnavailable,
    NotPermitted,
    StateConflict,
)
from controlplane.domain.scopes import FIRM
from controlplane.gate import protocol, words
from controlplane.gate.gate import Gate
from controlplane.gate.link import Patience, peer_uid
from controlplane.gate.one_call import Mailbox
from controlplane.gate.protocol import REQUEST_BYTES_MAX, Frame, FrameBuffer, MessageType
from controlplane.gate.switch import Switch
from controlplane.gate.view import notice_row, order_row, standing_rows

GROUP_RECORDS_MAX = 256
TICK_SECONDS = 0.1
READ_BYTES = 1 << 16
CONNECTIONS_MAX = 64
# What may wait for a neighbour that doesn't read; one control answer may be as long as a frame allows.
UNREAD_BYTES_MAX = 2 * protocol.JSON_ANSWER_BYTES_MAX
# Standing beside the switch, a file of this name stops the machine: the way that needs nothing but `touch`.
HALT_FILE = "HALT"
EXIT_CLOSED, EXIT_JOURNAL = 0, 3


class Meter(Protocol):
    """Where the loop says what it did; nothing depends on the answer."""

    def decided(self, outcome: int, code: int, elapsed_ns: int) -> None:
        """One order was answered."""

    def committed(self, records: int, elapsed_ns: int) -> None:
        """One group of records was made durable."""

    def happened(self, event: str, **facts: object) -> None:
        """Something that a person who diagnoses wants to read."""

    def render(self) -> dict[str, Any]:
        """Return everything counted so far, for the control request `metrics`."""


@dataclass(slots=True, eq=False)
class Connection:
    """One neighbour: what it sent and is incomplete or not looked at yet, what waits for the commit, what may leave."""

    socket: socket.socket
    requests: FrameBuffer = field(default_factory=lambda: FrameBuffer(REQUEST_BYTES_MAX))
    waiting: deque[Frame] = field(default_factory=deque)
    program: int | None = None
    held: bytearray = field(default_factory=bytearray)
    released: bytearray = field(default_factory=bytearray)
    is_ending: bool = False
    is_clogged: bool = False


class GateServer:
    """The loop of one gate process.

    Arguments
        gate       opened, used by this thread alone
        listener   bound and listening
        directory  of the gate: its switch, and the HALT file when somebody made one
        meter      told of decisions, commits and events
    """

    def __init__(self, gate: Gate, listener: socket.socket, directory: Path, meter: Meter) -> None:
        self._gate = gate
        self._meter = meter
        self._directory = directory
        self._listener = listener
        self._connections: dict[int, Connection] = {}
        # Neighbours whose next message waits for its turn: control requests are answered one a turn.
        self._busy: set[Connection] = set()
        self._poll, self._patience = select.poll(), Patience()
        self._switch = Switch.open(directory)
        self._box = Mailbox(READ_BYTES, GROUP_RECORDS_MAX)
        self._is_stopping = False
        self._kill_asked = self._has_answered = False
        self._applied = 0
        # Orders of this group: the head of each record and when its bytes were read.
        self._decided: list[tuple[int, int]] = []
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer, listener):
            end.setblocking(False)

    def run(self) -> int:
        """Serve until asked to stop; returns the exit status, EXIT_JOURNAL when the record can't be kept any more."""
        self._poll.register(self._listener, select.POLLIN)
        self._poll.register(self._wake_reader, select.POLLIN)
        tick_at = 0.0
        try:
            while not self._is_stopping:
                found = self._look(tick_at)
                for connection in list(self._busy):
                    self._work(connection, time.perf_counter_ns())
                for descriptor, _events in found:
                    self._attend(descriptor)
                if time.monotonic() >= tick_at:
                    self._tick()
                    tick_at = time.monotonic() + TICK_SECONDS
                self._release()
        except JournalUnavailable as error:
            self._give_up(error)
            return EXIT_JOURNAL
        finally:
            self._hang_up_all()
        return EXIT_CLOSED

    def stop(self) -> None:
        """End the loop after what is in hand; safe from a signal handler and from another thread."""
        self._is_stopping = True
        self._wake()

    def ask_kill(self) -> None:
        """Kill at the next turn of the loop, or take note of a switch that was thrown; safe from a signal handler."""
        self._kill_asked = True
        self._wake()

    # --- what arrives ---------------------------------------------------------------------------------------------

    def _look(self, tick_at: float) -> list[tuple[int, int]]:
        """Return the descriptors with news; who got an answer often asks again at once."""
        if self._busy:
            return self._poll.poll(0)
        found = self._patience.look(self._poll.poll) if self._has_answered else []
        self._has_answered = False
        return found or self._poll.poll(max(0.0, 1_000 * (tick_at - time.monotonic())))

    def _attend(self, descriptor: int) -> None:
        if descriptor == self._listener.fileno():
            self._accept()
        elif descriptor == self._wake_reader.fileno():
            with suppress(BlockingIOError):
                self._wake_reader.recv(READ_BYTES)
            if self._kill_asked:
                self._kill_asked = False
                self._kill(reason="signal SIGUSR1", by="signal")
        elif (connection := self._connections.get(descriptor)) is not None and connection not in self._busy:
            self._read(connection)

    def _accept(self) -> None:
        try:
            accepted, _address = self._listener.accept()
        except OSError:
            return  # the caller left before we came, or we are out of descriptors; it will come again
        accepted.setblocking(False)
        connection = Connection(accepted)
        self._connections[accepted.fileno()] = connection
        self._poll.register(accepted, select.POLLIN)
        if peer_uid(accepted) != os.getuid():
            self._refuse(connection, NotPermitted("Only programs of the gate's own user may talk to it.", rule="peer"))
        elif len(self._connections) > CONNECTIONS_MAX:
            self._refuse(connection, StateConflict(f"The gate serves {CONNECTIONS_MAX} connections; close one first."))

    def _read(self, connection: Connection) -> None:
        try:
            length = connection.socket.recv_into(self._box.arrived)
        except BlockingIOError:
            return
        except OSError:
            length = 0
        if not length:
            self._drop(connection)
            return
        arrived_ns = time.perf_counter_ns()
        done = 0
        if connection.program is not None and not connection.waiting and connection.requests.is_empty:
            done = self._answer_plain(connection, length, arrived_ns)
        if done < length:
            connection.waiting += connection.requests.feed(self._box.arrived[done:length])
            self._work(connection, arrived_ns)

    def _answer_plain(self, connection: Connection, length: int, arrived_ns: int) -> int:
        """Answer the commands that stand whole at the start of what arrived; returns up to where."""
        box, done = self._box, 0
        while count := min((length - done) // protocol.COMMAND_BYTES, box.messages_max):
            taken, answered, heads = self._gate.answer(box, done, count)
            done += taken * protocol.COMMAND_BYTES
            self._applied += taken
            connection.held += box.answers[: answered * protocol.VERDICT_BYTES]
            self._decided += [(head, arrived_ns) for head in heads]
            if self._applied >= GROUP_RECORDS_MAX:
                self._release()
            if taken < count or connection.is_ending:
                break
        return done

    def _work(self, connection: Connection, arrived_ns: int) -> None:
        """Take what waits, in order; after a control request the others have their turn first."""
        self._busy.discard(connection)
        while connection.waiting and not connection.is_ending:
            frame = connection.waiting.popleft()
            self._handle(connection, frame, arrived_ns)
            if self._applied >= GROUP_RECORDS_MAX:
                self._release()
            if frame.type is MessageType.CONTROL and connection.waiting:
                self._busy.add(connection)
                return
        if connection.requests.fault is not None and not connection.is_ending:
            self._refuse(connection, connection.requests.fault)

    def _handle(self, connection: Connection, frame: Frame, arrived_ns: int) -> None:
        try:
            if frame.type is MessageType.COMMAND:
                self._command(connection, frame, arrived_ns)
            elif frame.type is MessageType.CONTROL:
                connection.held += self._control(frame.body)
            else:
                self._hello(connection, frame.body)
        except (InvalidRequest, StateConflict) as error:
            self._refuse(connection, error)

    def _command(self, connection: Connection, frame: Frame, arrived_ns: int) -> None:
        if connection.program is None:
            raise StateConflict("Expected HELLO before the first command, found none; say which program you are.")
        asked = protocol.command_words_of(frame.body)
        head = self._gate.apply(asked)
        self._applied += 1
        is_order = head & 0xFF == words.ORDER_DECIDED
        if is_order:
            self._decided.append((head, arrived_ns))
        if frame.wants_answer or is_order:
            connection.held += protocol.frame(
                MessageType.VERDICT,
                protocol.verdict_body(
                    self._gate.entry.tolist(),
                    sequence=self._gate.sequence,
                    permit_code=self._gate.permit_code,
                    epoch=self._gate.epoch,
                ),
            )

    def _control(self, body: bytes) -> bytes:
        """Return the answer to a control request; what the gate says no to is an answer too, and the talk goes on."""
        try:
            name, fields = protocol.control_request_of(body)
            return protocol.json_frame(MessageType.CONTROL_ANSWER, self._answer(name, fields))
        except JournalUnavailable:
            raise
        except ControlPlaneError as error:
            return protocol.json_frame(MessageType.CONTROL_ANSWER, protocol.error_payload(error))

    def _answer(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        if name == "metrics":
            return self._meter.render()
        if name == "live_orders":
            return {"rows": [order_row(order) for order in self._gate.working()]}
        self._applied += 1
        return self._gate.control(name, fields)

    def _hello(self, connection: Connection, body: bytes) -> None:
        program, wants_key = protocol.hello_of(body)
        for other in [other for other in self._connections.values() if other.program == program]:
            # A program that came back may find the gate before the end of its old connection was noticed.
            self._refuse(other, StateConflict(f"Program {program} connected again; this connection is over."))
        connection.program = program
        key = self._gate.permit_key()
        connection.held += protocol.json_frame(
            MessageType.HELLO,
            {
                "protocol": protocol.VERSION,
                "gate_id": key.gate_id,
                "epoch": key.epoch,
                "directory": str(self._directory),
                "names": words.handles_to_json(self._gate.state.handles),
                "permit_key": key.secret.hex() if wants_key else None,
                "notices": standing_rows(self._gate.control("status", {})["states"]),
            },
        )

    # --- time and stops -------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if not self._switch.is_intact():
            self._kill(reason="the switch file was removed, replaced or damaged", by="gate")
            self._switch.close()
            self._switch = Switch.open(self._directory)
        elif self._switch.is_armed() and os.path.lexists(self._directory / HALT_FILE):
            self._kill(reason=f"the file {HALT_FILE} was found beside the switch", by="file")
        self._gate.pass_time()
        self._applied += 1

    def _kill(self, *, reason: str, by: str) -> None:
        """Stop the machine; a switch that is thrown already only has to be noticed, which every turn does."""
        if self._switch.is_armed() or not self._switch.is_intact():
            try:
                self._gate.control("kill", {"scope": str(FIRM), "reason": reason, "by": by})
            except OSError as error:
                # The page that the gate reads is killed all the same; only the file couldn't be put right.
                self._meter.happened("switch_file_not_restored", message=str(error))
            self._applied += 1
            self._meter.happened("gate_killed", reason=reason, by=by)

    # --- what leaves ----------------------------------------------------------------------------------------------

    def _release(self) -> None:
        """Make what was applied durable, then let the answers go.

        Errors
            JournalUnavailable, and then no answer of this group has left
        """
        notices = self._gate.notices()
        if notices:
            pushed = protocol.json_frame(MessageType.NOTICE, {"notices": [notice_row(notice) for notice in notices]})
            for connection in self._connections.values():
                if connection.program is not None:
                    connection.held += pushed
        records, started, self._applied = self._applied, time.perf_counter_ns(), 0
        if records or notices:
            self._gate.commit()
        committed_ns = time.perf_counter_ns() - started
        for connection in list(self._connections.values()):
            if connection.held or connection.released or connection.is_ending:
                connection.released += connection.held
                connection.held.clear()
                self._send(connection)
        # Counting costs more than deciding, so the answers leave first.
        if records or notices:
            self._meter.committed(records, committed_ns)
        now = time.perf_counter_ns()
        for head, arrived_ns in self._decided:
            self._meter.decided(head >> 16 & 0xFFFF, head >> 32 & 0xFFFF, now - arrived_ns)
        self._decided.clear()

    def _send(self, connection: Connection) -> None:
        try:
            while connection.released:
                self._has_answered = True
                del connection.released[: connection.socket.send(connection.released)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)
            return
        if connection.is_ending or len(connection.released) > UNREAD_BYTES_MAX:
            self._drop(connection)
            return
        if bool(connection.released) is not connection.is_clogged:
            connection.is_clogged = not connection.is_clogged
            self._poll.modify(connection.socket, select.POLLIN | (select.POLLOUT if connection.is_clogged else 0))

    def _refuse(self, connection: Connection, error: ControlPlaneError) -> None:
        """Answer with one ERROR; the connection ends once it has left."""
        connection.held += protocol.json_frame(MessageType.ERROR, protocol.error_payload(error))
        connection.is_ending = True
        connection.program = None
        self._meter.happened("connection_refused", error=type(error).__name__, message=str(error))

    def _drop(self, connection: Connection) -> None:
        self._connections.pop(connection.socket.fileno(), None)
        self._busy.discard(connection)
        with suppress(KeyError, ValueError):
            self._poll.unregister(connection.socket)
        connection.socket.close()

    def _give_up(self, error: JournalUnavailable) -> None:
        """Answer nobody but with the fault: what was asked since the last commit counts as not decided."""
        self._meter.happened("journal_unavailable", message=str(error))
        for connection in list(self._connections.values()):
            connection.held.clear()
            self._refuse(connection, error)
            connection.released += connection.held
            self._send(connection)
        with suppress(JournalUnavailable):
            told = {"by": "gate", "reason": str(error), "fence": self._gate.fence()}
            self._gate.writer.append_final({"kind": "MachineKilled", "scope": "machine"} | told)

    def _hang_up_all(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._switch.close()
        for end in (self._wake_reader, self._wake_writer):
            end.close()

    def _wake(self) -> None:
        with suppress(OSError):
            self._wake_writer.send(b"\0")
