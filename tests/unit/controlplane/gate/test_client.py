"""The client of the gate process: bounded waits, denials made on this side, reports kept until they are answered."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.errors import (
    GateUnavailable,
    InvalidRequest,
    NotPermitted,
    SnapshotMismatch,
    StateConflict,
    UnknownReference,
)
from controlplane.domain.observations import Phase, PhaseObserved
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.domain.scopes import Route
from controlplane.domain.states import TradingState
from controlplane.gate import protocol, words
from controlplane.gate.client import GateClient, LiveOrder, Notice, ParentOpening
from controlplane.gate.link import GateControl
from controlplane.gate.protocol import REQUEST_BYTES_MAX, Frame, FrameBuffer, MessageType
from controlplane.gate.switch import Switch
from controlplane.gate.words import Handles
from controlplane.journal import record
from controlplane.runtime.sockets import make_private, socket_directory

ROUTE = Route("crypto", "pov", "none", "BTCUSDT", "sim", "clearer")
HANDLES = Handles((ROUTE,), ("BTCUSDT",), ("sim",), ("USD",), ("firm:firm",), "USD")
KEY = "11" * 32


@dataclass(slots=True)
class ScriptedGate:
    """A gate process in a thread that answers everything with one verdict and can be told to misbehave.

    `received` holds the words of every command over all connections, in the order of arrival.
    """

    path: Path
    directory: Path
    received: list[words.Words] = field(default_factory=list)
    hellos: list[dict[str, object]] = field(default_factory=list)
    handles: Handles = HANDLES
    epoch: int = 1
    outcome: Outcome = Outcome.ALLOWED
    is_silent: bool = False
    hangs_up_after: int = 1_000_000
    pushes: bytes = b""
    control_answer: dict[str, object] = field(default_factory=dict)
    raw_answer: bytes = b""
    slices: int = 0
    _listener: socket.socket | None = None
    _connections: list[socket.socket] = field(default_factory=list)

    def start(self) -> None:
        make_private(self.path.parent)
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(8)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.hang_up()
        self.path.unlink(missing_ok=True)

    def hang_up(self) -> None:
        # Closing alone leaves a connection up while its thread still reads from it.
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = FrameBuffer(REQUEST_BYTES_MAX)
        try:
            while chunk := connection.recv(1 << 16):
                for frame in buffer.feed(chunk):
                    answer = self._answer(frame)
                    if len(self.received) >= self.hangs_up_after:
                        connection.shutdown(socket.SHUT_RDWR)
                        return
                    self._send(connection, answer)
        except OSError:
            return

    def _send(self, connection: socket.socket, answer: bytes) -> None:
        step = self.slices or len(answer) or 1
        for at in range(0, len(answer), step):
            connection.sendall(answer[at : at + step])

    def _answer(self, frame: Frame) -> bytes:
        if frame.type is MessageType.HELLO:
            self.hellos.append(protocol.parse_object(frame.body))
            return b"" if self.is_silent else self.raw_answer or self._hello()
        if frame.type is MessageType.CONTROL:
            return protocol.json_frame(MessageType.CONTROL_ANSWER, self.control_answer)
        self.received.append(protocol.command_words_of(frame.body))
        if self.is_silent or not frame.wants_answer:
            return b""
        return self.pushes + self._verdict(self.received[-1])

    def _hello(self) -> bytes:
        return protocol.json_frame(
            MessageType.HELLO,
            {
                "protocol": 1,
                "gate_id": 0,
                "epoch": self.epoch,
                "directory": str(self.directory),
                "names": words.handles_to_json(self.handles),
                "permit_key": KEY,
                "notices": [],
            },
        )

    def _verdict(self, asked: words.Words) -> bytes:
        entry = [*asked, *[0] * (record.WORD_COUNT - len(asked))]
        entry[0] |= int(self.outcome) << 16
        body = protocol.verdict_body(entry, sequence=len(self.received), permit_code=b"c" * 16, epoch=self.epoch)
        return protocol.frame(MessageType.VERDICT, body)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[ScriptedGate]:
    scripted = ScriptedGate(socket_directory(tmp_path) / "gate.sock", tmp_path / "gate")
    scripted.start()
    yield scripted
    scripted.stop()


@pytest.fixture
def client(gate: ScriptedGate) -> Iterator[GateClient]:
    connected = GateClient.connect(gate.path, program=3, seconds_max=0.2)
    yield connected
    connected.close()


def order(child_id: int = 0x103, *, kind: CommandKind = CommandKind.NEW, quantity_lots: int = 5) -> OrderCommand:
    return OrderCommand(
        kind, child_id, child_id, 0x203, 0, Side.BUY, OrderType.LIMIT, TimeInForce.GOOD_TILL_CANCEL, quantity_lots, 100
    )


def filled(execution_id: int) -> VenueReport:
    return VenueReport(ReportKind.FILLED, 0x103, execution_id=execution_id, quantity_lots=1, price_ticks=100, route=0)


def executions(gate: ScriptedGate) -> list[int]:
    return [asked[13] for asked in gate.received if asked[0] & 0xFF == words.REPORT_APPLIED]


def wait_until(gate: ScriptedGate, count: int) -> None:
    deadline = time.monotonic() + 5
    while len(gate.received) < count and time.monotonic() < deadline:
        time.sleep(0.002)
    assert len(gate.received) >= count


def test_client_says_who_it_is_and_learns_names_and_key(gate: ScriptedGate, client: GateClient) -> None:
    assert gate.hellos == [{"protocol": 1, "program": 3, "wants_permit_key": True}]
    assert client.handle(ROUTE) == 0
    assert client.permit_key().secret.hex() == KEY
    with pytest.raises(UnknownReference):
        client.handle(Route("rates", "pov", "none", "BTCUSDT", "sim", "clearer"))


def test_allowed_order_comes_back_with_its_permit(gate: ScriptedGate, client: GateClient) -> None:
    verdict = client.decide(order())

    assert verdict.is_allowed
    assert verdict.permit is not None
    assert (verdict.permit.gate_id, verdict.permit.epoch, verdict.permit.sequence) == (0, 1, 1)
    assert gate.received == [words.command_words(order())]


def test_answer_that_arrives_byte_by_byte_is_the_same_answer(gate: ScriptedGate, client: GateClient) -> None:
    gate.slices = 1

    assert client.decide(order()).is_allowed


def test_absent_gate_denies_at_once_and_nothing_waits(tmp_path: Path) -> None:
    client = GateClient(tmp_path / "none.sock", program=1)
    started = time.monotonic()

    verdicts = [client.decide(order()) for _ in range(200)]

    assert time.monotonic() - started < 0.5
    assert {verdict.codes for verdict in verdicts} == {(DenialCode.GATE_UNAVAILABLE,)}
    assert {(verdict.sequence, verdict.permit) for verdict in verdicts} == {(0, None)}
    assert "controlplane gate" in verdicts[0].explanation


def test_first_meeting_with_an_absent_gate_is_raised(tmp_path: Path) -> None:
    with pytest.raises(GateUnavailable, match="controlplane gate"):
        GateClient.connect(tmp_path / "none.sock", program=1)


@pytest.mark.case("EVIDENCE-15")
def test_silent_gate_costs_one_bounded_wait_and_then_denies_at_once(gate: ScriptedGate, client: GateClient) -> None:
    gate.is_silent = True
    started = time.monotonic()

    first = client.decide(order())
    waited = time.monotonic() - started
    later = [client.decide(order(0x203 + (number << 8))) for number in range(50)]

    assert 0.15 < waited < 1.0
    assert time.monotonic() - started < waited + 0.2
    assert first.codes == (DenialCode.GATE_UNAVAILABLE,)
    assert {verdict.codes for verdict in later} == {(DenialCode.GATE_UNAVAILABLE,)}


def test_client_finds_a_gate_that_came_back(gate: ScriptedGate, client: GateClient) -> None:
    gate.stop()
    assert not client.decide(order()).is_allowed
    gate.epoch = 2
    gate.start()
    time.sleep(0.12)

    verdict = client.decide(order(0x303))

    assert verdict.is_allowed
    assert verdict.permit is not None
    assert (verdict.permit.epoch, client.permit_key().epoch) == (2, 2)


def test_calls_in_the_meantime_do_not_put_the_next_attempt_off_for_ever(gate: ScriptedGate, client: GateClient) -> None:
    gate.stop()
    client.decide(order())
    gate.start()
    deadline = time.monotonic() + 2

    is_back = False
    while not is_back and time.monotonic() < deadline:
        client.report(filled(1))
        is_back = client.decide(order(0x403)).is_allowed
        time.sleep(0.005)

    assert is_back


@pytest.mark.case("EVIDENCE-1")
def test_permit_that_may_have_been_lost_on_the_way_is_disowned_when_the_gate_is_back(
    gate: ScriptedGate, client: GateClient
) -> None:
    gate.hangs_up_after = 1
    lost = client.decide(order())
    gate.hangs_up_after = 1_000_000
    time.sleep(0.12)

    client.decide(order(0x503))

    assert lost.codes == (DenialCode.GATE_UNAVAILABLE,)
    reports = [asked for asked in gate.received if asked[0] & 0xFF == words.REPORT_APPLIED]
    assert [(asked[0] >> 8 & 0xFF, asked[4]) for asked in reports] == [(ReportKind.NOT_SENT, 0x103)]


def test_amend_that_may_have_been_lost_returns_to_its_old_terms(gate: ScriptedGate, client: GateClient) -> None:
    gate.hangs_up_after = 1
    client.decide(order(kind=CommandKind.AMEND))
    gate.hangs_up_after = 1_000_000

    assert client.flush(2)

    assert gate.received[-1][0] >> 8 & 0xFF == ReportKind.AMEND_REJECTED


def test_reports_wait_in_order_for_a_gate_that_is_away_and_arrive_before_the_next_order(
    gate: ScriptedGate, client: GateClient
) -> None:
    gate.stop()
    for execution_id in (1, 2, 3):
        client.report(filled(execution_id))
    assert client.unanswered_count == 3
    gate.start()
    time.sleep(0.12)

    assert client.decide(order()).is_allowed

    assert executions(gate) == [1, 2, 3]
    assert gate.received[-1] == words.command_words(order())
    assert client.unanswered_count == 0


def test_report_that_was_not_answered_is_sent_again_over_the_next_connection(
    gate: ScriptedGate, client: GateClient
) -> None:
    client.report(filled(1))
    assert client.flush(2)
    gate.is_silent = True
    client.report(filled(2))
    client.report(filled(3))
    wait_until(gate, 3)
    gate.is_silent = False
    gate.hang_up()

    assert client.flush(3)

    assert executions(gate) == [1, 2, 3, 2, 3]


def test_end_of_a_parent_order_keeps_its_place_among_the_reports(gate: ScriptedGate, client: GateClient) -> None:
    gate.stop()
    client.report(filled(1))
    client.close_parent(0x203)
    gate.start()

    assert client.flush(3)

    assert [asked[0] & 0xFF for asked in gate.received] == [words.REPORT_APPLIED, words.PARENT_CLOSED]


def test_thousands_of_waiting_reports_are_handed_over_without_both_ends_waiting_for_each_other(
    gate: ScriptedGate, client: GateClient
) -> None:
    gate.stop()
    for execution_id in range(1, 5_001):
        client.report(filled(execution_id))
    gate.start()

    assert client.flush(10)

    assert executions(gate) == list(range(1, 5_001))


def test_unanswered_reports_are_bounded(gate: ScriptedGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.gate.client.UNANSWERED_MAX", 5)
    gate.stop()
    client = GateClient(gate.path, program=1)
    for execution_id in range(5):
        client.report(filled(execution_id))

    with pytest.raises(GateUnavailable, match="stop trading"):
        client.report(filled(6))


def test_parent_order_that_the_gate_denies_is_a_conflict(gate: ScriptedGate, client: GateClient) -> None:
    opening = ParentOpening(0x203, 0, Side.SELL, 500)
    client.open_parent(opening)
    gate.outcome = Outcome.DENIED

    with pytest.raises(StateConflict, match="0000000000000203"):
        client.open_parent(opening)

    assert gate.received[0] == words.opening_words(parent_id=0x203, route=0, side=-1, quantity_lots=500)


def test_parent_order_cannot_be_opened_while_the_gate_is_away(gate: ScriptedGate, client: GateClient) -> None:
    gate.stop()

    with pytest.raises(GateUnavailable):
        client.open_parent(ParentOpening(0x203, 0, Side.SELL, 500))


def test_observation_is_sent_without_waiting_and_dropped_while_the_gate_is_away(
    gate: ScriptedGate, client: GateClient
) -> None:
    client.observe(PhaseObserved("BTCUSDT", Phase.CONTINUOUS, 5))
    wait_until(gate, 1)
    gate.stop()
    for _ in range(10):
        client.observe(PhaseObserved("BTCUSDT", Phase.CONTINUOUS, 6))

    with pytest.raises(UnknownReference):
        client.observe(PhaseObserved("DOGE", Phase.CONTINUOUS, 7))
    assert [asked[0] & 0xFF for asked in gate.received] == [words.PHASE_APPLIED]
    assert client.unanswered_count == 0


def test_notices_pushed_between_answers_are_kept_for_whoever_asks(gate: ScriptedGate, client: GateClient) -> None:
    row = {"kind": "state", "scope": "desk:crypto", "state": "HALTED", "reason": "loss", "wall_ns": 9}
    gate.pushes = protocol.json_frame(MessageType.NOTICE, {"notices": [row]})

    assert client.decide(order()).is_allowed

    assert client.notices() == [Notice("state", "desk:crypto", TradingState.HALTED, "loss", 9)]
    assert client.notices() == []


def test_gate_that_knows_other_names_after_its_restart_is_not_traded_through(
    gate: ScriptedGate, client: GateClient
) -> None:
    """A handle taken before the restart would stand for another route."""
    gate.stop()
    gate.handles = Handles(
        (Route("crypto", "twap", "none", "BTCUSDT", "sim", "clearer"), ROUTE),
        HANDLES.instruments,
        HANDLES.venues,
        HANDLES.currencies,
        HANDLES.scopes,
        "USD",
    )
    gate.start()
    time.sleep(0.12)

    verdict = client.decide(order())

    assert verdict.codes == (DenialCode.GATE_UNAVAILABLE,)
    assert "restart this program" in verdict.explanation
    time.sleep(0.12)
    with pytest.raises(SnapshotMismatch):
        client.open_parent(ParentOpening(0x203, 0, Side.SELL, 500))


def test_gate_that_only_knows_more_names_is_traded_through(gate: ScriptedGate, client: GateClient) -> None:
    more = Route("crypto", "twap", "none", "BTCUSDT", "sim", "clearer")
    gate.stop()
    gate.handles = Handles((ROUTE, more), ("BTCUSDT", "ETHUSDT"), ("sim",), ("USD",), ("firm:firm",), "USD")
    gate.start()
    time.sleep(0.12)

    assert client.decide(order()).is_allowed
    assert client.handle(more) == 1


def test_fence_and_kill_are_read_from_the_machine_even_while_the_gate_is_away(
    gate: ScriptedGate, client: GateClient
) -> None:
    machine = Switch.start(gate.directory, is_first_start=True)
    assert (client.fence(), client.is_killed()) == (1, False)
    gate.stop()

    machine.kill(reason="stop", by="a")

    assert (client.fence(), client.is_killed()) == (2, True)


def test_client_that_never_met_its_gate_counts_the_machine_as_killed(tmp_path: Path) -> None:
    client = GateClient(tmp_path / "none.sock", program=1)

    assert client.is_killed()
    assert client.fence() == 0
    with pytest.raises(GateUnavailable):
        client.permit_key()


def test_order_with_a_number_that_no_gate_can_hold_is_denied_as_malformed(
    gate: ScriptedGate, client: GateClient
) -> None:
    verdict = client.decide(order(quantity_lots=1 << 70))

    assert verdict.codes == (DenialCode.MALFORMED_REQUEST,)
    assert gate.received == []


def test_control_answers_come_back_and_faults_are_raised_by_their_class(gate: ScriptedGate, client: GateClient) -> None:
    gate.control_answer = {"state": "ACTIVE"}
    assert client.control("status") == {"state": "ACTIVE"}

    gate.control_answer = protocol.error_payload(NotPermitted("two people"))
    with pytest.raises(NotPermitted, match="two people"):
        GateControl(gate.path).control("lift", scope="firm:firm")


def test_live_orders_come_back_as_values(gate: ScriptedGate, client: GateClient) -> None:
    row = {
        "child_id": "0000000000000103",
        "parent_id": "0000000000000203",
        "route": 0,
        "side": -1,
        "remaining_lots": 4,
        "reserved_lots": 5,
        "price_ticks": 100,
        "state": "unknown",
    }
    gate.control_answer = {"rows": [row]}

    assert client.working() == [LiveOrder(0x103, 0x203, 0, -1, 4, 5, 100, "unknown")]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        protocol.frame(MessageType.HELLO, b"[]"),
        protocol.frame(MessageType.HELLO, b"{}"),
        protocol.frame(
            MessageType.HELLO, b'{"names": {}, "gate_id": 0, "epoch": 1, "permit_key": "zz", "directory": "/"}'
        ),
        protocol.frame(MessageType.NOTICE, b'{"notices": []}'),
        protocol.json_frame(MessageType.ERROR, protocol.error_payload(InvalidRequest("expected protocol 2"))),
    ],
    ids=["not ours", "not an object", "empty", "bad key", "wrong type", "an error"],
)
def test_gate_that_answers_nonsense_is_treated_as_away(gate: ScriptedGate, answer: bytes) -> None:
    gate.raw_answer = answer
    client = GateClient(gate.path, program=1, seconds_max=0.2)

    verdict = client.decide(order())

    assert not verdict.is_allowed
    assert verdict.sequence == 0
    assert verdict.explanation
