"""Small compiled digests: of the state, carried forward with every record; of a table's key; of a frame (CRC32C).

CRC32C (Castagnoli, RFC 3720 appendix B.4) is one instruction a word where the processor has it and eight table look-ups
elsewhere; the tests check both forms against the `crc32c` package.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled, inlined
from controlplane.journal.record import RecordKind

FOLD_FACTOR = 0x2545F4914F6CDD1D
INDEX_FACTOR = 0x1E3779B97F4A7C15
LOW_32 = 0xFFFFFFFF
ORDER_DECIDED, REPORT_APPLIED = int(RecordKind.ORDER_DECIDED), int(RecordKind.REPORT_APPLIED)
REFERENCE_APPLIED, DAY_ROLLED = int(RecordKind.REFERENCE_APPLIED), int(RecordKind.DAY_ROLLED)


def _crc_tables() -> Any:
    """Return the eight tables for slicing-by-8 with the reflected Castagnoli polynomial, uint32 [8, 256]."""
    tables = np.zeros((8, 256), dtype=np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        tables[0, byte] = value
    for byte in range(256):
        for row in range(1, 8):
            previous = int(tables[row - 1, byte])
            tables[row, byte] = (previous >> 8) ^ int(tables[0, previous & 0xFF])
    return tables


_CRC = _crc_tables()


@inlined
def fold(digest: int, value: int) -> int:
    """Return the digest carried forward over one more word (64-bit, wrapping)."""
    mixed = (digest ^ value) * FOLD_FACTOR
    return mixed ^ ((mixed >> 32) & LOW_32)


@inlined
def index_hash(key: int) -> int:
    """Return the hash of a table key; its low bits choose the bucket."""
    mixed = key * INDEX_FACTOR
    return mixed ^ ((mixed >> 32) & LOW_32)


def crc_start(first: int) -> int:
    """Return the running CRC32C, not yet inverted, after one 32-bit value that a frame begins with."""
    crc = LOW_32 ^ first
    return int(_CRC[3, crc & 0xFF] ^ _CRC[2, crc >> 8 & 0xFF] ^ _CRC[1, crc >> 16 & 0xFF] ^ _CRC[0, crc >> 24])


def crc_by_table(crc: int, word: int) -> int:
    """Return the running CRC32C carried forward over one little-endian 64-bit word, by tables."""
    low, high = (crc ^ word) & LOW_32, (word >> 32) & LOW_32
    return int(
        _CRC[7, low & 0xFF] ^ _CRC[6, (low >> 8) & 0xFF] ^ _CRC[5, (low >> 16) & 0xFF] ^ _CRC[4, low >> 24]
        ^ _CRC[3, high & 0xFF] ^ _CRC[2, (high >> 8) & 0xFF] ^ _CRC[1, (high >> 16) & 0xFF] ^ _CRC[0, high >> 24]
    )  # fmt: skip


@intrinsic
def crc_word(_typing_context: Any, crc: Any, word: Any) -> Any:
    """Return the running CRC32C carried forward over one 64-bit word: one instruction where there is one."""

    def generate(context: Any, builder: Any, made: Any, given: Any) -> Any:
        triple, _processor, features = context.codegen().magic_tuple()
        wide, narrow = ir.IntType(64), ir.IntType(32)
        if triple.startswith("x86_64") and "+crc32" in features.split(","):
            step = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(wide, (wide, wide)), "llvm.x86.sse42.crc32.64.64"
            )
            return builder.call(step, given)
        if triple.startswith("aarch64") and "+crc" in features.split(","):
            step = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(narrow, (narrow, wide)), "llvm.aarch64.crc32cx"
            )
            return builder.zext(builder.call(step, (builder.trunc(given[0], narrow), given[1])), wide)
        return context.compile_internal(builder, crc_by_table, made, given)

    return signature(types.int64, types.int64, types.int64), generate


@compiled
def fold_scopes(s: Words, digest: int) -> int:
    """Return a digest that already holds the words of a record, after the scopes of its command."""
    kind = s[a.E_HEAD] & 0xFF
    if kind in (ORDER_DECIDED, REPORT_APPLIED):
        for scope in range(a.SCOPES):
            node, cell = s[a.PATH_NODES + scope], s[a.PATH_CELLS + scope]
            if node != 0:
                digest = fold(digest, node_word(s, node))
            if cell != 0:
                digest = fold(digest, cell_word(s, cell))
    elif REFERENCE_APPLIED <= kind <= DAY_ROLLED:
        digest = fold(digest, node_word(s, s[a.NODES_AT]))
    if s[a.GUARD_DIGEST] != 0:
        digest = fold(digest, s[a.GUARD_DIGEST])
    return digest


@inlined
def node_word(s: Words, node: int) -> int:
    """Return one word that changes with any amount of a node."""
    amounts = (
        s[node + a.NODE_LONG] + 3 * s[node + a.NODE_SHORT] + 5 * s[node + a.NODE_GROSS] + 7 * s[node + a.NODE_OPEN_BUY]
    )
    rest = (
        11 * s[node + a.NODE_OPEN_SELL]
        + 13 * s[node + a.NODE_LIVE]
        + 17 * s[node + a.NODE_VALUE]
        + 19 * s[node + a.NODE_STATE]
    )
    return amounts + rest


@inlined
def cell_word(s: Words, cell: int) -> int:
    """Return one word that changes with any quantity of a cell."""
    lots = s[cell + a.CELL_POSITION] + 3 * s[cell + a.CELL_BUY] + 5 * s[cell + a.CELL_SELL]
    return lots + 7 * s[cell + a.CELL_CASH_RAW] + 11 * s[cell + a.CELL_FEES_MICRO] + 13 * s[cell + a.CELL_VALUE]
