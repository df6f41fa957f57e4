"""The gate behind its socket: nonsense, silence, stops and a failing disk, with the real gate inside."""

import os
import socket
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.errors import (
    InvalidRequest,
    JournalUnavailable,
    NotPermitted,
    PermitInvalid,
    StateConflict,
    UnknownReference,
)
from controlplane.domain.orders import CommandKind, OrderCommand, OrderType, Side, TimeInForce
from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.domain.states import TradingState
from controlplane.gate import protocol, words
from controlplane.gate.client import GateClient, Notice
from controlplane.gate.link import GateControl, Link
from controlplane.gate.permit import SpentPermits, verify
from controlplane.gate.process import listening, only_one
from controlplane.gate.protocol import HEADER, MessageType
from controlplane.gate.server import EXIT_CLOSED, EXIT_JOURNAL, GROUP_RECORDS_MAX, HALT_FILE, peer_uid
from controlplane.gate.switch import Switch
from controlplane.journal.verify import verify as verify_journal
from tests.support.gate_process import PRICE_TICKS, RunningGate, Trader, eventually, running_gate


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGate]:
    """One gate for every test that leaves it as it was."""
    with running_gate(tmp_path_factory.mktemp("gate")) as running:
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RunningGate]:
    """A gate for a test that stops, kills or breaks it."""
    with running_gate(tmp_path) as running:
        yield running


@pytest.fixture
def trader(own: RunningGate) -> Iterator[Trader]:
    client = GateClient.connect(own.socket_path, program=1, seconds_max=5)
    yield Trader.start(client)
    client.close()


def raw(running: RunningGate) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(5)
    connection.connect(str(running.socket_path))
    return connection


def hello(program: int) -> bytes:
    return protocol.json_frame(MessageType.HELLO, {"protocol": 1, "program": program, "wants_permit_key": True})


def all_of(connection: socket.socket) -> bytes:
    found = b""
    while chunk := connection.recv(1 << 16):
        found += chunk
    return found


def is_hung_up(connection: socket.socket) -> bool:
    """Whether the gate has closed its end; found by writing, so that nothing is read."""
    try:
        connection.sendall(protocol.json_frame(MessageType.CONTROL, {"name": "status"}))
    except OSError:
        return True
    return False


def error_in(found: bytes) -> dict[str, Any]:
    length, kind = HEADER.unpack_from(found)
    assert kind == MessageType.ERROR
    assert len(found) == HEADER.size + length
    return protocol.parse_object(found[HEADER.size :])["error"]


def status_of(running: RunningGate) -> dict[str, Any]:
    return GateControl(running.socket_path).control("status")


# --- orders -------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-01")
def test_permit_that_crossed_the_socket_stands_for_its_order_once(own: RunningGate, trader: Trader) -> None:
    order = trader.order()
    verdict = trader.client.decide(order)
    spent = SpentPermits()

    assert verdict.permit is not None
    verify(
        verdict.permit,
        order,
        key=trader.client.permit_key(),
        fence=trader.client.fence(),
        now_ns=verdict.permit.expiry_ns,
    )
    spent.spend(verdict.permit)
    with pytest.raises(PermitInvalid):
        spent.spend(verdict.permit)


def test_denied_order_crosses_the_socket_with_its_codes_numbers_and_sentence(trader: Trader) -> None:
    verdict = trader.client.decide(trader.order(quantity_lots=1_000_000))

    assert DenialCode.ORDER_QUANTITY_ABOVE_LIMIT in verdict.codes
    assert verdict.binding is not None
    assert verdict.binding.measured == 1_000_000
    assert 0 < verdict.largest_passing_lots < 1_000_000
    assert "would pass now" in verdict.explanation
    assert trader.client.decide(trader.order(quantity_lots=verdict.largest_passing_lots)).is_allowed


@pytest.mark.case("GATE-26")
def test_same_request_twice_has_the_same_verdict_and_the_same_permit(trader: Trader) -> None:
    order = trader.order()

    first, second = trader.client.decide(order), trader.client.decide(order)

    assert first == second
    assert len(trader.client.working()) == 1


@pytest.mark.case("EVIDENCE-20")
def test_malformed_order_that_reaches_the_gate_is_decided_and_recorded(shared: RunningGate) -> None:
    connection = raw(shared)
    connection.sendall(hello(9))
    asked = (words.ORDER_DECIDED | 1 << 8, 0, 0, -5, -6, -7, 1 << 40, 9, 0xFFFF, -(1 << 63), (1 << 63) - 1, *[-1] * 5)
    connection.sendall(protocol.command_frame(asked, wants_answer=True))
    buffer = protocol.FrameBuffer(protocol.ANSWER_BYTES_MAX)
    frames: list[protocol.Frame] = []
    while len(frames) < 2:
        frames += buffer.feed(connection.recv(1 << 16))
    connection.close()

    *entry, sequence, permit_code, _epoch = protocol.VERDICT_BODY.unpack(frames[1].body)
    assert entry[0] >> 16 & 0xFFFF == Outcome.DENIED
    assert entry[0] >> 32 & 0xFFFF == DenialCode.MALFORMED_REQUEST
    assert sequence > 0
    assert permit_code == bytes(16)


def test_group_of_orders_that_arrive_together_shares_one_commit_and_keeps_its_order(own: RunningGate) -> None:
    client = GateClient.connect(own.socket_path, program=2, seconds_max=5)
    trader = Trader.start(client, program=2)
    orders = [trader.order() for _ in range(40)]
    client.close()
    connection = raw(own)
    own.meter.groups.clear()

    connection.sendall(
        hello(2) + b"".join(protocol.command_frame(words.command_words(order), wants_answer=True) for order in orders)
    )
    buffer, frames = protocol.FrameBuffer(protocol.ANSWER_BYTES_MAX), []
    while len(frames) < 41:
        frames += buffer.feed(connection.recv(1 << 16))
    connection.close()

    answered = [protocol.VERDICT_BODY.unpack(frame.body)[3] for frame in frames[1:]]
    assert answered == [order.request_id for order in orders]
    eventually(lambda: max(own.meter.groups, default=0) >= 40)  # told once the answers have left


def test_flood_is_made_durable_in_groups_of_bounded_size(own: RunningGate) -> None:
    connection = raw(own)
    flood = protocol.command_frame(words.closing_words(0x777), wants_answer=False) * 2_000

    connection.sendall(hello(2) + flood)

    eventually(lambda: sum(own.meter.groups) >= 2_000)
    assert GROUP_RECORDS_MAX // 2 < max(own.meter.groups) <= GROUP_RECORDS_MAX
    connection.close()


# --- neighbours that misbehave ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "kind", "words_in"),
    [
        (b"GET / HTTP/1.1\r\nHost: gate\r\n\r\n", "InvalidRequest", "type"),
        (HEADER.pack(0xFFFF_FFFF, 4), "InvalidRequest", "4294967295"),
        (HEADER.pack(10, 3) + bytes(10), "InvalidRequest", "type 3"),
        (HEADER.pack(127, 2) + bytes(127), "InvalidRequest", "128 bytes"),
        (protocol.frame(MessageType.COMMAND, bytes(128)), "StateConflict", "HELLO"),
        (hello(1) + protocol.frame(MessageType.COMMAND, struct.pack("<16q", 9, *[0] * 15)), "InvalidRequest", "kind"),
        (protocol.frame(MessageType.HELLO, b"{"), "InvalidRequest", "JSON"),
        (protocol.frame(MessageType.HELLO, b'{"protocol": 2, "program": 1}'), "InvalidRequest", "protocol 1"),
        (protocol.frame(MessageType.HELLO, b'{"protocol": 1, "program": 256}'), "InvalidRequest", "0 to 255"),
        (protocol.frame(MessageType.HELLO, b'{"protocol": 1, "program": true}'), "InvalidRequest", "0 to 255"),
        (protocol.frame(MessageType.HELLO, b'{"protocol": 1, "program": 1, "program": 2}'), "InvalidRequest", "twice"),
    ],
)
def test_nonsense_is_answered_with_one_error_and_the_end_of_the_connection(
    shared: RunningGate, sent: bytes, kind: str, words_in: str
) -> None:
    connection = raw(shared)

    connection.sendall(sent)
    found = all_of(connection)

    error = error_in(found[found.rindex(b'{"error"') - HEADER.size :])
    assert error["type"] == kind
    assert words_in in error["message"]
    assert status_of(shared)["state"] == "ACTIVE"


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"name": "explode"}, InvalidRequest),
        ({"name": "status", "verbose": "yes"}, InvalidRequest),
        ({"name": "set_state", "scope": "desk:crypto", "state": "PAUSED", "reason": "r"}, InvalidRequest),
        ({"name": "set_state", "scope": 5, "state": "PAUSED", "reason": "r", "by": "a"}, InvalidRequest),
        ({"name": "set_state", "scope": "desk:crypto", "state": "SLEEPING", "reason": "r", "by": "a"}, InvalidRequest),
        ({"name": "set_state", "scope": "desk:nobody", "state": "PAUSED", "reason": "r", "by": "a"}, UnknownReference),
        ({"name": "kill", "scope": "firm", "reason": "x" * 2_000, "by": "a"}, InvalidRequest),
        ({"name": "kill", "scope": "firm", "reason": "", "by": "a"}, InvalidRequest),
        ({"name": "lift", "scope": "desk:crypto", "reason": "r", "by": "a", "fence": "nan"}, InvalidRequest),
        ({"name": "lift", "scope": "desk:crypto", "reason": "r", "by": "a"}, StateConflict),
    ],
)
def test_control_request_that_makes_no_sense_is_an_answer_and_the_talk_goes_on(
    shared: RunningGate, fields: dict[str, object], fault: type[Exception]
) -> None:
    with pytest.raises(fault):
        GateControl(shared.socket_path).control(**fields)  # type: ignore[arg-type]

    assert status_of(shared)["state"] == "ACTIVE"


def test_control_body_that_is_not_an_object_is_answered_too(shared: RunningGate) -> None:
    with Link(shared.socket_path, 5) as link:
        link.send(protocol.frame(MessageType.CONTROL, b'{"name": NaN}'))
        link.send(protocol.json_frame(MessageType.CONTROL, {"name": "status"}))

        first, second = link.receive(), link.receive()

    assert protocol.parse_object(first.body)["error"]["type"] == "InvalidRequest"
    assert protocol.parse_object(second.body)["state"] == "ACTIVE"


def test_half_a_message_holds_nobody_up(shared: RunningGate) -> None:
    stalled = raw(shared)
    stalled.sendall(HEADER.pack(128, 2) + bytes(50))

    assert status_of(shared)["state"] == "ACTIVE"
    stalled.close()


def test_message_that_arrives_in_pieces_is_understood(shared: RunningGate) -> None:
    connection = raw(shared)
    for byte in protocol.json_frame(MessageType.CONTROL, {"name": "status"}):
        connection.sendall(bytes([byte]))

    length, kind = HEADER.unpack(connection.recv(HEADER.size, socket.MSG_WAITALL))
    answer = protocol.parse_object(connection.recv(length, socket.MSG_WAITALL))
    connection.close()

    assert (kind, answer["state"]) == (MessageType.CONTROL_ANSWER, "ACTIVE")


def test_neighbour_that_does_not_read_is_hung_up_and_delays_nobody(
    shared: RunningGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.gate.server.UNREAD_BYTES_MAX", 200_000)
    lazy = raw(shared)
    lazy.sendall(protocol.json_frame(MessageType.CONTROL, {"name": "utilisation"}) * 2_000)

    started = time.monotonic()
    answers = [status_of(shared)["state"] for _ in range(20)]
    took = time.monotonic() - started

    assert set(answers) == {"ACTIVE"}
    assert took < 1
    eventually(lambda: is_hung_up(lazy))
    lazy.close()


def test_connections_are_bounded(shared: RunningGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.gate.server.CONNECTIONS_MAX", 3)
    open_ones = [raw(shared) for _ in range(3)]

    found = all_of(raw(shared))

    assert error_in(found)["type"] == "StateConflict"
    for connection in open_ones:
        connection.close()


def test_program_that_connects_again_takes_over(own: RunningGate) -> None:
    first = GateClient.connect(own.socket_path, program=5)
    second = GateClient.connect(own.socket_path, program=5)

    eventually(lambda: first._link is None or first._link.is_over())

    assert second.control("status")["state"] == "ACTIVE"
    assert Trader.start(second, program=5).client.decide(Trader.start(second, program=5).order()).is_allowed


def test_only_the_user_of_the_gate_is_answered(own: RunningGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.gate.server.peer_uid", lambda _connection: os.getuid() + 1)

    found = all_of(raw(own))

    assert error_in(found)["type"] == "NotPermitted"


def test_system_says_who_is_at_the_other_end(shared: RunningGate) -> None:
    here, there = socket.socketpair()

    assert peer_uid(here) == os.getuid()
    here.close()
    there.close()


def test_socket_is_closed_to_all_others(shared: RunningGate) -> None:
    found = shared.socket_path.stat()

    assert stat.S_IMODE(found.st_mode) == 0o600
    assert stat.S_IMODE(shared.socket_path.parent.stat().st_mode) == 0o700


def test_metrics_are_one_control_request_away(shared: RunningGate) -> None:
    assert GateControl(shared.socket_path).control("metrics")["text"].startswith("decisions ")


@pytest.mark.case("EVIDENCE-16")
def test_second_gate_on_the_same_directory_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with (
        only_one(tmp_path),
        pytest.raises(StateConflict, match=f"running as process {os.getpid()}"),
        only_one(tmp_path),
    ):
        pytest.fail("two gates on one directory")


def test_socket_file_left_by_a_killed_gate_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "socket" / "gate.sock"
    with listening(path):
        os.link(path, tmp_path / "kept")
    os.rename(tmp_path / "kept", path)

    with listening(path) as listener:
        assert listener.getsockname() == str(path)

    assert not path.exists()


# --- stops --------------------------------------------------------------------------------------------------------


@pytest.mark.case("GATE-82")
def test_kill_over_the_socket_denies_the_next_order_voids_the_permit_on_its_way_and_is_noticed(
    own: RunningGate, trader: Trader
) -> None:
    on_its_way = trader.order()
    permit = trader.client.decide(on_its_way).permit
    assert permit is not None

    trader.client.control("kill", scope="firm", reason="drill", by="olga")

    assert trader.client.is_killed()
    assert trader.client.decide(trader.order()).codes[0] is DenialCode.GATE_KILLED
    with pytest.raises(PermitInvalid, match="fence"):
        verify(
            permit,
            on_its_way,
            key=trader.client.permit_key(),
            fence=trader.client.fence(),
            now_ns=permit.expiry_ns,
        )
    notices = trader.client.notices()
    assert [(notice.state, notice.reason) for notice in notices] == [(TradingState.HALTED, "drill")]


@pytest.mark.case("GATE-94")
def test_cancel_passes_while_killed_also_of_an_order_nobody_knows(own: RunningGate, trader: Trader) -> None:
    trader.client.control("kill", scope="firm", reason="drill", by="olga")

    verdict = trader.client.decide(cancel(trader, child_id=0x777))

    assert verdict.is_allowed
    assert verdict.permit is None


@pytest.mark.case("GATE-84")
def test_switch_thrown_by_a_shell_is_in_force_at_once_and_noticed_soon(own: RunningGate, trader: Trader) -> None:
    with Switch.open(own.directory / "gate") as shell:
        shell.kill(reason="runaway", by="night desk")

    assert trader.client.decide(trader.order()).codes[0] is DenialCode.GATE_KILLED
    noticed: list[Notice] = []
    eventually(lambda: noticed.extend(trader.client.notices()) or noticed)
    assert noticed[0].reason == "runaway"
    assert status_of(own)["state"] == "KILLED"


@pytest.mark.case("EVIDENCE-56")
def test_file_beside_the_switch_kills(own: RunningGate, trader: Trader) -> None:
    (own.directory / "gate" / HALT_FILE).touch()

    eventually(trader.client.is_killed, seconds_max=2)

    assert trader.client.decide(trader.order()).codes[0] is DenialCode.GATE_KILLED
    assert "file HALT" in Switch.open(own.directory / "gate").last_change().reason


@pytest.mark.case("EVIDENCE-63")
@pytest.mark.parametrize("damage", ["remove", "replace"])
def test_removed_or_replaced_switch_file_kills(own: RunningGate, trader: Trader, damage: str) -> None:
    path = own.directory / "gate" / "switch"
    armed = path.read_bytes()
    path.unlink()
    if damage == "replace":
        path.write_bytes(armed)

    eventually(lambda: status_of(own)["state"] == "KILLED", seconds_max=2)

    assert trader.client.decide(trader.order()).codes[0] is DenialCode.GATE_KILLED
    assert not Switch.open(own.directory / "gate").is_armed()


def test_signal_kills_without_any_request(own: RunningGate, trader: Trader) -> None:
    own.server.ask_kill()

    eventually(trader.client.is_killed, seconds_max=2)

    assert Switch.open(own.directory / "gate").last_change().by == "signal"


@pytest.mark.case("GATE-86")
def test_fill_after_a_kill_is_still_recorded(own: RunningGate, trader: Trader) -> None:
    order = trader.order()
    assert trader.client.decide(order).is_allowed
    trader.client.control("kill", scope="firm", reason="drill", by="olga")

    trader.client.report(
        VenueReport(ReportKind.FILLED, order.child_id, execution_id=1, quantity_lots=1, price_ticks=PRICE_TICKS)
    )

    assert trader.client.flush(2)
    assert trader.client.working() == []


@pytest.mark.case("GATE-91")
def test_lifting_a_kill_takes_two_different_people(own: RunningGate, trader: Trader) -> None:
    trader.client.control("kill", scope="firm", reason="drill", by="olga")

    with pytest.raises(NotPermitted):
        trader.client.control("lift", scope="firm:firm", reason="over", by="olga", second="olga")
    assert trader.client.is_killed()

    trader.client.control("lift", scope="firm:firm", reason="over", by="olga", second="ravi")
    assert not trader.client.is_killed()
    assert trader.client.decide(trader.order()).is_allowed


def test_program_that_comes_later_is_told_what_stands(own: RunningGate, trader: Trader) -> None:
    trader.client.control("set_state", scope="desk:crypto", state="PAUSED", reason="news", by="olga")

    late = GateClient.connect(own.socket_path, program=7)

    assert [(notice.scope, notice.state) for notice in late.notices()] == [("desk:crypto", TradingState.PAUSED)]
    late.close()


# --- the end of a run ---------------------------------------------------------------------------------------------


def test_clean_end_closes_the_record_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with running_gate(tmp_path) as first:
        trader = Trader.start(GateClient.connect(first.socket_path, program=1, seconds_max=5))
        order = trader.order()
        assert trader.client.decide(order).is_allowed
        assert first.stop() == EXIT_CLOSED
    assert verify_journal(tmp_path / "journal" / "gate-0").is_sound

    with running_gate(tmp_path, snapshot=first.gate.state.snapshot) as second:
        client = GateClient.connect(second.socket_path, program=1, seconds_max=5)
        assert [live.child_id for live in client.working()] == [order.child_id]
        client.close()


@pytest.mark.case("EVIDENCE-12")
@pytest.mark.case("GATE-129")
def test_record_that_cannot_be_made_durable_ends_the_gate_and_its_permit_never_leaves(
    own: RunningGate, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise JournalUnavailable("Expected the disk to take the record, found Input/output error; repair it.")

    monkeypatch.setattr(own.gate, "commit", broken)

    verdict = trader.client.decide(trader.order())

    assert verdict.permit is None
    assert verdict.codes == (DenialCode.JOURNAL_UNAVAILABLE,)
    assert "Input/output error" in verdict.explanation
    own.thread.join(timeout=5)
    assert own.exit_status == [EXIT_JOURNAL]
    assert not trader.client.decide(trader.order()).is_allowed


def cancel(trader: Trader, *, child_id: int) -> OrderCommand:
    return OrderCommand(
        kind=CommandKind.CANCEL,
        request_id=trader.mint.next(),
        child_id=child_id,
        parent_id=trader.parent_id,
        route=trader.route,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GOOD_TILL_CANCEL,
        quantity_lots=0,
        price_ticks=0,
    )
