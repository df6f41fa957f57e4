"""The compiled ways into a gate: orders and messages in, clocks read, decided, recorded, answered in one call.

The kernel knows no clock, no durability and no socket; this is the thin shell around it, compiled as well, since on
this path a reading of the clock or an attribute of the writer in Python costs as much as ten checks. Python is needed
again only where a call says so: NO_ROOM, NOT_COMMITTED, or a message that is no plain command.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from controlplane.domain.clock import NS_PER_S, Clock, SystemClock
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import WORD_BYTES, Words, compiled, entry, inlined, words_at
from controlplane.gate.kernel.frames import CURSOR_EPOCH, CURSOR_OFFSET, CURSOR_SEQUENCE, FRAME_BYTES
from controlplane.gate.kernel.loading import State
from controlplane.gate.kernel.machine import (
    ANSWER_WORDS,
    INPUT_WORDS,
    MEASURE_APPLIED,
    NO_ROOM,
    ORDER_DECIDED,
    PARENT_CLOSED,
    apply,
    apply_batch,
)
from controlplane.gate.protocol import COMMAND_TAG, VERDICT_HEADER, WANTS_ANSWER
from controlplane.journal.writer import JournalWriter

# A bit of the answer, not of the record: the writer itself has to commit.
NOT_COMMITTED = 1 << 49
CURSOR_COMMITTED_OFFSET, CURSOR_COMMITTED_SEQUENCE, CURSOR_QUIET_END = 5, 6, 7
WALL, STEADY = 0, 1  # clock numbers of Linux: CLOCK_REALTIME, CLOCK_MONOTONIC
# Messages as words: the header is one, then the command, or record, sequence, permit code (2) and run.
COMMAND_WORDS = 1 + INPUT_WORDS
VERDICT_WORDS = 1 + a.ENTRY_WORDS + 4
ASKED, TOLD = COMMAND_TAG | WANTS_ANSWER << 32, COMMAND_TAG


class Batch:
    """Commands that are decided together, and their answers; made once and filled again each time.

    Fields
        commands  int64 [size, 16], the input words of `words.py`
        answers   int64 [size, 4]: head, sequence, and the two words of the permit code
    """

    def __init__(self, size: int) -> None:
        self.commands: Any = np.zeros((size, INPUT_WORDS), np.int64)
        self.answers: Any = np.zeros((size, ANSWER_WORDS), np.int64)
        self.commands_at, self.answers_at = self.commands.ctypes.data, self.answers.ctypes.data


class Mailbox:
    """Room for what arrives on a socket and for the answers to it, at addresses that compiled code knows.

    Fields
        arrived        bytes as they were read, for `socket.recv_into`
        answers        VERDICT messages as bytes, and `answer_words` as 64-bit words
        messages_max   how many answers there is room for
    """

    def __init__(self, arrived_bytes: int, messages_max: int) -> None:
        arrived = np.zeros(arrived_bytes // WORD_BYTES, np.int64)
        answers = np.zeros(messages_max * VERDICT_WORDS, np.int64)
        self.messages_max = messages_max
        self.arrived, self.answers = arrived.data.cast("B"), answers.data.cast("B")
        self.answer_words = answers.data
        self.arrived_at, self.answers_at = arrived.ctypes.data, answers.ctypes.data


class OneCall:
    """The compiled ways into one gate; `gate` makes it again for every state."""

    def __init__(self, state: State, writer: JournalWriter, clock: Clock, steady_offset_ns: int) -> None:
        self._address, self._words, self._writer, self._clock = state.address, state.words, writer, clock
        self._offset_ns = self._words[a.STEADY_OFFSET_NS] = steady_offset_ns
        self._must_tell_time = not can_read(clock)
        self._words[a.GIVEN_WALL_NS] = 0
        self._decide, self._answer = callable_of(decide_now, 12), callable_of(answer_frames, 4)
        self._apply_batch = callable_of(apply_batch, 6)
        # `decide_order` without the step of Python around it, for who looks at NOT_COMMITTED and calls `completed`.
        self.decide: Callable[..., int] = (
            self._decide_as_told if self._must_tell_time else partial(self._decide, self._address)
        )

    def decide_order(self, *order: int) -> int:
        """Return the head of one decision, recorded and committed, without building a verdict.

        Arguments
            order  eleven whole numbers below 2**63, at whose types nothing looks: command kind, request, child, parent,
                   route, side, order type with time in force from bit 8 on, lots, price, trigger, model digest
        Errors
            JournalUnavailable, finally: this gate decides nothing more
        """
        head = self.decide(*order)
        return self.completed(head, order) if head & NOT_COMMITTED else head

    def completed(self, head: int, order: tuple[int, ...]) -> int:
        """Return the head of a committed decision where `decide` gave NOT_COMMITTED; no answer leaves before."""
        while head == NO_ROOM:
            self._writer.roll()
            head = self.decide(*order)
        if head & NOT_COMMITTED:
            self._writer.commit()
        return head & ~NOT_COMMITTED

    def decide_batch(self, batch: Batch, count: int) -> None:
        """Apply the first `count` commands of a batch at one reading of the clocks, and commit them together.

        Errors
            JournalUnavailable, finally: none of the answers counts
        """
        wall_ns, steady_ns = self._clock.wall_ns(), self._clock.monotonic_ns() + self._offset_ns
        done = 0
        while True:
            done += self._apply_batch(
                self._address,
                wall_ns,
                steady_ns,
                batch.commands_at + done * INPUT_WORDS * WORD_BYTES,
                count - done,
                batch.answers_at + done * ANSWER_WORDS * WORD_BYTES,
            )
            if done == count:
                break
            self._writer.roll()
        self._writer.commit()

    def answer(self, messages_at: int, count: int, answers_at: int) -> tuple[int, int]:
        """Return how many messages were taken, and how many answers were written; nothing is committed yet.

        Stops before the first message that is no COMMAND of a kind that a program may send.

        Arguments
            messages_at  address of `count` whole messages of the size of a COMMAND
            answers_at   address of room for as many VERDICT messages
        Errors
            JournalUnavailable when the next segment can't be made
        """
        if self._must_tell_time:
            self._tell_time()
        taken = answered = 0
        while True:
            found = self._answer(
                self._address,
                messages_at + taken * COMMAND_WORDS * WORD_BYTES,
                count - taken,
                answers_at + answered * VERDICT_WORDS * WORD_BYTES,
            )
            taken, answered = taken + (found & 0xFFFFFFFF), answered + (found >> 32)
            if taken == count or self._writer.has_room(FRAME_BYTES + WORD_BYTES):
                return taken, answered
            self._writer.roll()

    def _decide_as_told(self, *order: int) -> int:
        self._tell_time()
        return self._decide(self._address, *order)

    def _tell_time(self) -> None:
        self._words[a.GIVEN_WALL_NS] = self._clock.wall_ns()
        self._words[a.GIVEN_STEADY_NS] = self._clock.monotonic_ns() + self._offset_ns


def can_read(clock: Clock) -> bool:
    """Return whether compiled code may read this clock itself: the machine's own, under the numbers of Linux."""
    return type(clock) is SystemClock and sys.platform == "linux"


@intrinsic
def clock_ns(_typing_context: Any, clock: Any) -> Any:
    """Return a clock of the machine in nanoseconds, as `time.time_ns` and `time.monotonic_ns` read it."""

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        word, number = ir.IntType(64), ir.IntType(32)
        pair = cgutils.alloca_once(builder, word, size=2)
        read = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(number, (number, word.as_pointer())), "clock_gettime"
        )
        builder.call(read, (builder.trunc(given[0], number), pair))
        seconds, rest = builder.load(pair), builder.load(builder.gep(pair, [ir.Constant(word, 1)]))
        return builder.add(builder.mul(seconds, ir.Constant(word, NS_PER_S)), rest)

    return signature(types.int64, types.int64), generate


@compiled
def wall_ns(s: Words) -> int:
    """Return wall time: the one that the state was told, or else the machine's."""
    return s[a.GIVEN_WALL_NS] if s[a.GIVEN_WALL_NS] != 0 else clock_ns(WALL)


@compiled
def steady_ns(s: Words) -> int:
    """Return the gate's time that never steps."""
    return s[a.GIVEN_STEADY_NS] if s[a.GIVEN_WALL_NS] != 0 else clock_ns(STEADY) + s[a.STEADY_OFFSET_NS]


@entry
def decide_now(
    address: int, kind: int, request_id: int, child_id: int, parent_id: int, route: int, side: int, order_type: int,
    quantity_lots: int, price_ticks: int, trigger_ticks: int, model_digest: int,
) -> int:  # fmt: skip
    """Return the head of the record of one order decided at this instant, with NOT_COMMITTED or as NO_ROOM."""
    s = words_at(address)
    head = apply(
        address, wall_ns(s), steady_ns(s), kind << 8 | ORDER_DECIDED, request_id, child_id, parent_id, route, side,
        order_type, quantity_lots, price_ticks, trigger_ticks, model_digest, 0, 0, 0,
    )  # fmt: skip
    if head == NO_ROOM or commit_in_memory(s):
        return head
    return head | NOT_COMMITTED


@compiled
def commit_in_memory(s: Words) -> bool:
    """Return whether what was recorded is committed now: so it is where a record in the mapping counts as durable,
    until the writer has its own work to do.
    """
    cursor = words_at(s[a.CURSOR_ADDRESS])
    if cursor[CURSOR_OFFSET] > cursor[CURSOR_QUIET_END]:
        return False
    cursor[CURSOR_COMMITTED_OFFSET] = cursor[CURSOR_OFFSET]
    cursor[CURSOR_COMMITTED_SEQUENCE] = cursor[CURSOR_SEQUENCE] - 1
    return True


@inlined
def is_from_outside(kind: int) -> bool:
    """Return whether a program may send this kind; `protocol.KINDS_FROM_OUTSIDE` lists the same ones."""
    return ORDER_DECIDED <= kind <= PARENT_CLOSED or kind == MEASURE_APPLIED


@entry
def answer_frames(address: int, messages_address: int, count: int, answers_address: int) -> int:
    """Return how many messages were taken, and from bit 32 on how many answers were written.

    Fewer than asked when the journal needs a new segment, or the next message is none that may be applied.
    """
    s = words_at(address)
    answered = 0
    for number in range(count):
        c = words_at(messages_address + number * COMMAND_WORDS * WORD_BYTES)
        kind = c[1] & 0xFF
        if (c[0] != ASKED and c[0] != TOLD) or not is_from_outside(kind):
            return number | answered << 32
        head = apply(
            address, wall_ns(s), steady_ns(s), c[1], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11], c[12], c[13],
            c[14], c[15], c[16],
        )  # fmt: skip
        if head == NO_ROOM:
            return number | answered << 32
        if c[0] == ASKED or kind == ORDER_DECIDED:
            write_verdict(s, words_at(answers_address + answered * VERDICT_WORDS * WORD_BYTES))
            answered += 1
    return count | answered << 32


@compiled
def write_verdict(s: Words, answer: Words) -> None:
    """Write the VERDICT message of the record made last, or found again."""
    answer[0] = VERDICT_HEADER
    for word in range(a.ENTRY_WORDS):
        answer[1 + word] = s[a.ENTRY_AT + word]
    answer[1 + a.ENTRY_WORDS] = s[a.LAST_SEQUENCE]
    answer[2 + a.ENTRY_WORDS], answer[3 + a.ENTRY_WORDS] = s[a.PERMIT_LOW], s[a.PERMIT_HIGH]
    answer[4 + a.ENTRY_WORDS] = words_at(s[a.CURSOR_ADDRESS])[CURSOR_EPOCH]


def callable_of(function: Any, arguments: int) -> Callable[..., int]:
    """Return the machine code of an entry that takes so many words, without the dispatcher that looks at the type of
    each argument first; what is passed must be whole numbers.
    """
    wanted = (types.int64,) * arguments
    function.compile(wanted)
    made: Callable[..., int] = function.overloads[wanted].entry_point
    return made
