"""One order in one call: clocks read, decided, recorded and committed, without a step of Python in between.

The kernel knows no clock and no durability; this is the thin shell around it, compiled as well, since on this path a
reading of the clock or an attribute of the writer in Python costs as much as ten checks. Python is needed again only
when the head that comes back says so: NO_ROOM, or NOT_COMMITTED.
"""

import sys
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from controlplane.domain.clock import NS_PER_S, Clock, SystemClock
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled, entry, words_at
from controlplane.gate.kernel.frames import CURSOR_OFFSET, CURSOR_SEQUENCE
from controlplane.gate.kernel.machine import NO_ROOM, ORDER_DECIDED, apply

# A bit of the answer, not of the record: the writer itself has to commit.
NOT_COMMITTED = 1 << 49
CURSOR_COMMITTED_OFFSET, CURSOR_COMMITTED_SEQUENCE, CURSOR_QUIET_END = 5, 6, 7
WALL, STEADY = 0, 1  # clock numbers of Linux: CLOCK_REALTIME, CLOCK_MONOTONIC


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


@entry
def decide_now(
    address: int, kind: int, request_id: int, child_id: int, parent_id: int, route: int, side: int, order_type: int,
    quantity_lots: int, price_ticks: int, trigger_ticks: int, model_digest: int,
) -> int:  # fmt: skip
    """Return the head of the record of one order decided at this instant, with NOT_COMMITTED or as NO_ROOM."""
    s = words_at(address)
    head = apply(
        address, clock_ns(WALL), clock_ns(STEADY) + s[a.STEADY_OFFSET_NS], kind << 8 | ORDER_DECIDED, request_id,
        child_id, parent_id, route, side, order_type, quantity_lots, price_ticks, trigger_ticks, model_digest, 0, 0, 0,
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


def callable_of(function: Any, arguments: int) -> Callable[..., int]:
    """Return the machine code of an entry that takes so many words, without the dispatcher that looks at the type of
    each argument first; what is passed must be whole numbers.
    """
    wanted = (types.int64,) * arguments
    function.compile(wanted)
    made: Callable[..., int] = function.overloads[wanted].entry_point
    return made
