"""The keyed code of a permit: BLAKE2b (RFC 7693) over one block of 128 bytes, with a key that was taken in before.

The steps are written once. Run over plain integers they take in the key when a gate starts; run over a builder of
machine code they become one straight line without a loop or a table, which is what a permit on the order path costs
least by. `hashlib` judges both in the tests.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from controlplane.gate.kernel.compiled import WORDS

MASK = (1 << 64) - 1
BLOCK_BYTES = 128
PERMIT_BYTES = 16
# The parameters of RFC 7693 section 2.5 for a 32-byte key and a 16-byte code, sequential mode.
PARAMETERS = 0x01010000 | 32 << 8 | PERMIT_BYTES
START = (
    0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
)  # fmt: skip
ORDERS = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
ROUNDS = 12
# Of each round: four columns, then four diagonals of the sixteen working words.
STEPS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip


class Arithmetic(Protocol):
    """Unsigned 64-bit words: numbers, or instructions that will make them."""

    def constant(self, value: int) -> Any: ...

    def add(self, first: Any, second: Any) -> Any: ...

    def xor(self, first: Any, second: Any) -> Any: ...

    def turn_right(self, value: Any, bits: int) -> Any: ...


def compressed(
    state: Sequence[Any], message: Sequence[Any], do: Arithmetic, *, counted_bytes: int, is_last: bool
) -> list[Any]:
    """Return the eight words of the state after one block.

    Arguments
        state          eight words, before the block
        message        the sixteen words of the block
        counted_bytes  bytes hashed so far, this block included
    """
    v = [*state, *(do.constant(word) for word in START)]
    v[12] = do.xor(v[12], do.constant(counted_bytes))
    if is_last:
        v[14] = do.xor(v[14], do.constant(MASK))
    for number in range(ROUNDS):
        order = ORDERS[number % len(ORDERS)]
        for step, (w, x, y, z) in enumerate(STEPS):
            v[w] = do.add(do.add(v[w], v[x]), message[order[2 * step]])
            v[z] = do.turn_right(do.xor(v[z], v[w]), 32)
            v[y] = do.add(v[y], v[z])
            v[x] = do.turn_right(do.xor(v[x], v[y]), 24)
            v[w] = do.add(do.add(v[w], v[x]), message[order[2 * step + 1]])
            v[z] = do.turn_right(do.xor(v[z], v[w]), 16)
            v[y] = do.add(v[y], v[z])
            v[x] = do.turn_right(do.xor(v[x], v[y]), 63)
    return [do.xor(state[word], do.xor(v[word], v[word + 8])) for word in range(8)]


class _Numbers:
    """Arithmetic over Python's integers."""

    def constant(self, value: int) -> int:
        return value

    def add(self, first: int, second: int) -> int:
        return (first + second) & MASK

    def xor(self, first: int, second: int) -> int:
        return first ^ second

    def turn_right(self, value: int, bits: int) -> int:
        return value >> bits | value << (64 - bits) & MASK


class _Instructions:
    """Arithmetic that writes machine code."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder
        word = self._word = ir.IntType(64)
        self._turn = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(word, (word, word, word)), "llvm.fshr.i64"
        )

    def constant(self, value: int) -> Any:
        return ir.Constant(self._word, value)

    def add(self, first: Any, second: Any) -> Any:
        return self._builder.add(first, second)

    def xor(self, first: Any, second: Any) -> Any:
        return self._builder.xor(first, second)

    def turn_right(self, value: Any, bits: int) -> Any:
        return self._builder.call(self._turn, (value, value, self.constant(bits)))


def keyed_state(key: bytes) -> Any:
    """Return the state after the key block, uint64 [8], for a key of 32 bytes and a code of 16."""
    block = np.frombuffer(key.ljust(BLOCK_BYTES, b"\0"), np.uint64).tolist()
    state = [START[0] ^ PARAMETERS, *START[1:]]
    return np.array(compressed(state, block, _Numbers(), counted_bytes=BLOCK_BYTES, is_last=False), np.uint64)


@intrinsic
def write_code(_typing_context: Any, key: Any, message: Any, code: Any) -> Any:
    """Write the two words of the code of the sixteen words of a message under a keyed state (all `Words`)."""

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        def place(words: Any, number: int) -> Any:
            return builder.gep(words, [ir.Constant(ir.IntType(64), number)], inbounds=True)

        state = [builder.load(place(given[0], number)) for number in range(8)]
        block = [builder.load(place(given[1], number)) for number in range(16)]
        made = compressed(state, block, _Instructions(builder), counted_bytes=2 * BLOCK_BYTES, is_last=True)
        for number in range(2):
            builder.store(made[number], place(given[2], number))
        return context.get_dummy_value()

    return signature(types.none, WORDS, WORDS, WORDS), generate
