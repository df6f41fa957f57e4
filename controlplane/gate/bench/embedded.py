"""Times of the gate inside the caller's process: one order a call, 64 in one call, and what each part of a call takes.

The parts are timed as calls of their own, from which a call that does nothing is taken off; what is left of the whole
are the checks, the ledger and the memory they touch. "Without" figures are the whole less such parts.
"""

import time
from typing import Any

import numpy as np

from controlplane.domain.reports import ReportKind, VenueReport
from controlplane.gate.bench.desk import LIVE, Desk, arguments_of, check_allowed, percentiles, quiet, settle
from controlplane.gate.gate import Gate
from controlplane.gate.kernel.arrays import ENTRY_WORDS
from controlplane.gate.kernel.compiled import entry, words_at
from controlplane.gate.kernel.frames import FRAME_WORDS
from controlplane.gate.kernel.hashing import crc_word
from controlplane.gate.kernel.permit_code import keyed_state, write_code
from controlplane.gate.one_call import NOT_COMMITTED, STEADY, WALL, Batch, callable_of, clock_ns

GROUP = 64
PART_CALLS, PART_REPEATS = 2_000, 10
DECIDED = 1  # the kind of an order in the first input word


def time_one_by_one(gate: Gate, desk: Desk, orders: int) -> list[int]:
    """Nanoseconds of each decision with clocks, record, permit and commit."""
    taken: list[int] = []
    live: list[int] = []
    decide, completed = gate.one_call.decide, gate.one_call.completed
    with quiet():
        for _ in range(orders):
            order = arguments_of(desk.order())
            started = time.perf_counter_ns()
            head = decide(*order)
            if head & NOT_COMMITTED:
                head = completed(head, order)
            taken.append(time.perf_counter_ns() - started)
            check_allowed(head)
            live.append(order[2])
            if len(live) == LIVE:
                settle(gate, desk, live)
    settle(gate, desk, live)
    return taken


def time_batches(gate: Gate, desk: Desk, batches: int) -> list[int]:
    """Nanoseconds an order where 64 are decided in one call and share one commit."""
    taken, batch = [], Batch(GROUP)
    with quiet():
        for _ in range(batches):
            live = [fill(batch, number, desk) for number in range(GROUP)]
            started = time.perf_counter_ns()
            gate.one_call.decide_batch(batch, GROUP)
            taken.append((time.perf_counter_ns() - started) // GROUP)
            for head in batch.answers[:, 0].tolist():
                check_allowed(head)
            settle(gate, desk, live)
    return taken


def fill(batch: Batch, number: int, desk: Desk) -> int:
    """Write the desk's next order into a batch; returns its identifier."""
    kind, *order = arguments_of(desk.order())
    batch.commands[number, 0], batch.commands[number, 3:13] = kind << 8 | DECIDED, order
    return order[1]


def time_parts(gate: Gate, desk: Desk) -> dict[str, int]:
    """Median nanoseconds of each part of one decision."""
    message, key, room = np.arange(64, dtype=np.int64), keyed_state(bytes(32)), np.zeros(64, np.int64)
    places = (key.ctypes.data, message.ctypes.data, room.ctypes.data)
    nothing = median_of(callable_of(no_part, 3), places)
    order = arguments_of(desk.order())
    many = median_of(callable_of(no_part_of_twelve, 12), (0, *order))
    return {
        "timer_and_empty_call": nothing,
        "passing_12_words": many - nothing,
        "reading_2_clocks": median_of(callable_of(part_clocks, 3), places) - nothing,
        "record_copy_and_crc": median_of(callable_of(part_crc, 3), places) - nothing,
        "record_copy_alone": median_of(callable_of(part_copy, 3), places) - nothing,
        "permit": median_of(callable_of(part_permit, 3), places) - nothing,
        "commit_from_python": median_of(gate.commit, ()) - nothing,
    }


def time_reports(gate: Gate, desk: Desk, reports: int) -> list[int]:
    """Nanoseconds of each report that ends an order, from its values."""
    taken = []
    with quiet():
        for _ in range(reports // LIVE):
            live = []
            for _ in range(LIVE):
                order = arguments_of(desk.order())
                check_allowed(gate.one_call.decide_order(*order))
                live.append(order[2])
            for child_id in live:
                report = VenueReport(ReportKind.NOT_SENT, child_id)
                started = time.perf_counter_ns()
                gate.report(report)
                taken.append(time.perf_counter_ns() - started)
            settle(gate, desk, [])
    return taken


def median_of(function: Any, arguments: tuple[int, ...]) -> int:
    """Return the median nanoseconds of a call in its quietest repetition, the timer's own included."""
    medians = []
    with quiet():
        for _ in range(PART_REPEATS):
            taken = []
            for _ in range(PART_CALLS):
                started = time.perf_counter_ns()
                function(*arguments)
                taken.append(time.perf_counter_ns() - started)
            medians.append(percentiles(taken)["p50_ns"])
    return min(medians)


@entry
def no_part(key: int, message: int, room: int) -> int:
    """A call that does nothing."""
    return key + message + room


@entry
def no_part_of_twelve(
    first: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int, i: int, j: int, k: int, last: int
) -> int:
    """A call with as many words as an order has, that does nothing."""
    return first + b + c + d + e + f + g + h + i + j + k + last


@entry
def part_clocks(key: int, message: int, room: int) -> int:
    """Read both clocks."""
    return clock_ns(WALL) + clock_ns(STEADY) + key + message + room


@entry
def part_copy(key: int, message: int, room: int) -> int:
    """Copy a record."""
    source, target = words_at(message), words_at(room)
    for word in range(ENTRY_WORDS):
        target[word] = source[word]
    return key


@entry
def part_crc(key: int, message: int, room: int) -> int:
    """Copy a record and take every word of its frame into the CRC."""
    source, target = words_at(message), words_at(room)
    for word in range(ENTRY_WORDS):
        target[word] = source[word]
    crc = key
    for word in range(FRAME_WORDS - 1):
        crc = crc_word(crc, source[word])
    return crc


@entry
def part_permit(key: int, message: int, room: int) -> int:
    """Make the code of a permit."""
    write_code(words_at(key), words_at(message), words_at(room))
    return 0
