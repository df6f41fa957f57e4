"""The compiled ways into a gate: the same answers as the way through values, and committed when they say so."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.domain.clock import Clock, ManualClock, SystemClock
from controlplane.domain.orders import OrderCommand
from controlplane.gate import protocol, words
from controlplane.gate.bench.desk import Desk, arguments_of, without_counting
from controlplane.gate.gate import Gate
from controlplane.gate.one_call import NOT_COMMITTED, Batch, Mailbox, is_from_outside
from controlplane.journal.reader import scan
from controlplane.journal.writer import SEGMENT_BYTES_MIN
from controlplane.runtime.settings import Durability
from tests.support.gate_process import current_snapshot

ALLOWED = 1


def opened(folder: Path, clock: Clock, durability: Durability = Durability.PROCESS) -> tuple[Gate, Desk]:
    """Return a gate with journal files of the smallest size, and a desk whose orders pass."""
    limits = without_counting(current_snapshot())
    gate = Gate.open(limits, directory=folder, clock=clock, durability=durability, segment_bytes=SEGMENT_BYTES_MIN)
    return gate, Desk(gate, limits, clock)


@pytest.fixture(params=["machine's clock", "told time"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return SystemClock() if request.param == "machine's clock" else ManualClock(SystemClock().wall_ns())


@pytest.fixture
def gate_and_desk(tmp_path: Path, clock: Clock) -> Iterator[tuple[Gate, Desk]]:
    gate, desk = opened(tmp_path, clock)
    yield gate, desk
    gate.close()


def test_an_order_in_one_call_is_recorded_word_for_word_and_committed(gate_and_desk: tuple[Gate, Desk]) -> None:
    gate, desk = gate_and_desk
    order = desk.order()

    head = gate.one_call.decide_order(*arguments_of(order))

    assert head >> 16 & 0xFFFF == ALLOWED
    assert tuple(gate.entry[3:13].tolist()) == words.command_words(order)[3:13]
    assert gate.permit_code != bytes(16)
    assert gate.writer.committed_seq == gate.sequence == gate.writer.next_seq - 1


def test_the_clocks_of_one_call_are_those_of_the_gate(gate_and_desk: tuple[Gate, Desk]) -> None:
    gate, desk = gate_and_desk
    before = gate.clock.wall_ns(), gate.clock.monotonic_ns() + gate._monotonic_offset

    gate.one_call.decide_order(*arguments_of(desk.order()))

    after = gate.clock.wall_ns(), gate.clock.monotonic_ns() + gate._monotonic_offset
    assert all(low <= told <= high for low, told, high in zip(before, gate.entry[1:3].tolist(), after, strict=True))


def test_orders_go_on_from_segment_to_segment_without_a_gap(tmp_path: Path) -> None:
    gate, desk = opened(tmp_path, SystemClock())
    first = gate.writer.next_seq

    heads = [gate.one_call.decide_order(*arguments_of(desk.order())) for _ in range(1_500)]

    assert {head >> 16 & 0xFFFF for head in heads} == {ALLOWED}
    assert gate.writer.committed_seq == gate.writer.next_seq - 1 >= first + 1_499
    gate.close()
    assert [record.seq for record in scan(tmp_path / "journal" / "gate-0")] == list(range(1, gate.writer.next_seq))


def test_where_the_disk_is_waited_for_a_decision_is_not_committed_by_itself(tmp_path: Path) -> None:
    gate, desk = opened(tmp_path, SystemClock(), Durability.DISK)
    order, before = arguments_of(desk.order()), gate.writer.committed_seq

    head = gate.one_call.decide(*order)
    was_committed = gate.writer.committed_seq
    found = gate.one_call.completed(head, order)

    assert head & NOT_COMMITTED
    assert was_committed == before
    assert found == head & ~NOT_COMMITTED
    assert gate.writer.committed_seq == gate.sequence
    gate.close()


def test_a_batch_is_answered_in_its_order_over_the_end_of_a_segment(gate_and_desk: tuple[Gate, Desk]) -> None:
    gate, desk = gate_and_desk
    batch, sequences = Batch(400), []
    for _ in range(2):
        for number in range(400):
            batch.commands[number] = words.command_words(desk.order())
        gate.one_call.decide_batch(batch, 400)
        sequences += batch.answers[:, 1].tolist()

    assert set((batch.answers[:, 0] >> 16 & 0xFFFF).tolist()) == {ALLOWED}
    assert sequences == sorted(set(sequences))
    assert gate.writer.committed_seq == sequences[-1] == gate.sequence
    assert batch.answers[-1, 2:].tobytes() == gate.permit_code


def message(order: OrderCommand) -> bytes:
    """Return an order as it arrives on a socket."""
    return protocol.command_frame(words.command_words(order), wants_answer=True)


def test_messages_are_answered_as_the_protocol_writes_them_and_a_repeat_is_counted_once(
    gate_and_desk: tuple[Gate, Desk],
) -> None:
    gate, desk = gate_and_desk
    box, order = Mailbox(4_096, 8), desk.order()
    arrived = message(order) * 2 + message(desk.order())
    box.arrived[: len(arrived)] = arrived
    before = dict(gate.tally.outcomes)

    taken, answered, heads = gate.answer(box, 0, 3)

    frames = protocol.FrameBuffer(protocol.ANSWER_BYTES_MAX).feed(bytes(box.answers[: 3 * protocol.VERDICT_BYTES]))
    bodies = [protocol.VERDICT_BODY.unpack(frame.body) for frame in frames]
    assert (taken, answered, len(heads)) == (3, 3, 3)
    assert bodies[2] == (*gate.entry.tolist(), gate.sequence, gate.permit_code, gate.epoch)
    assert (bodies[0][0], bodies[0][3:]) == (bodies[1][0], bodies[1][3:])  # but for the clocks, the first verdict
    assert gate.tally.outcomes[ALLOWED] == before.get(ALLOWED, 0) + 2


@pytest.mark.parametrize(
    "foreign",
    [
        protocol.HEADER.pack(128, protocol.MessageType.HELLO) + bytes(128),
        protocol.HEADER.pack(120, protocol.MessageType.COMMAND) + bytes(128),
        protocol.HEADER.pack(128, protocol.MessageType.COMMAND) + struct.pack("<16q", words.SCOPE_STATE_SET, *[0] * 15),
        protocol.HEADER.pack(128, protocol.MessageType.COMMAND) + bytes(128),
    ],
)
def test_nothing_but_a_plain_command_is_applied(gate_and_desk: tuple[Gate, Desk], foreign: bytes) -> None:
    gate, desk = gate_and_desk
    box = Mailbox(4_096, 8)
    arrived = message(desk.order()) + foreign + message(desk.order())
    box.arrived[: len(arrived)] = arrived
    before = gate.writer.next_seq

    taken, answered, _ = gate.answer(box, 0, 3)

    assert (taken, answered, gate.writer.next_seq) == (1, 1, before + 1)


def test_compiled_answers_take_the_kinds_of_the_protocol_and_no_others() -> None:
    taken = {kind for kind in range(256) if is_from_outside(kind)}

    assert taken == protocol.KINDS_FROM_OUTSIDE
