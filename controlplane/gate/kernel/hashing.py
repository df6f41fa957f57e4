"""Small compiled digests: the state fold, the index hash, CRC32C of a frame, and the keyed code of a permit.

The standard forms are checked against the reference implementations in the tests: CRC32C (Castagnoli, RFC 3720
appendix B.4) against the `crc32c` package, BLAKE2b (RFC 7693) against `hashlib`.
"""

from typing import Any

import numpy as np

from controlplane.gate.kernel.compiled import Words, compiled, inlined

FOLD_FACTOR = 0x2545F4914F6CDD1D
INDEX_FACTOR = 0x1E3779B97F4A7C15
LOW_32 = 0xFFFFFFFF


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
_IV = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    dtype=np.uint64,
)  # fmt: skip
_SIGMA = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ],
    dtype=np.int64,
)
BLOCK_BYTES = 128
PERMIT_BYTES = 16


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


@compiled
def crc32c(first: int, words: Words, count: int) -> int:
    """Return the CRC32C of a 32-bit value followed by `count` little-endian 64-bit words."""
    crc = np.uint32(LOW_32) ^ np.uint32(first)
    crc = _CRC[3, crc & 0xFF] ^ _CRC[2, (crc >> 8) & 0xFF] ^ _CRC[1, (crc >> 16) & 0xFF] ^ _CRC[0, crc >> 24]
    for position in range(count):
        word = words[position]
        low = crc ^ np.uint32(word & LOW_32)
        high = np.uint32((word >> 32) & LOW_32)
        crc = (
            _CRC[7, low & 0xFF] ^ _CRC[6, (low >> 8) & 0xFF] ^ _CRC[5, (low >> 16) & 0xFF] ^ _CRC[4, low >> 24]
            ^ _CRC[3, high & 0xFF] ^ _CRC[2, (high >> 8) & 0xFF] ^ _CRC[1, (high >> 16) & 0xFF] ^ _CRC[0, high >> 24]
        )  # fmt: skip
    return int(np.int64(crc ^ np.uint32(LOW_32)))


@inlined
def _mix(v: Any, w: Any, x: Any, y: Any, first: Any, second: Any) -> Any:
    """Return four words of the working state after one mixing step with two words of the message."""
    v = v + w + first
    y = y ^ v
    y = (y >> np.uint64(32)) | (y << np.uint64(32))
    x = x + y
    w = w ^ x
    w = (w >> np.uint64(24)) | (w << np.uint64(40))
    v = v + w + second
    y = y ^ v
    y = (y >> np.uint64(16)) | (y << np.uint64(48))
    x = x + y
    w = w ^ x
    w = (w >> np.uint64(63)) | (w << np.uint64(1))
    return v, w, x, y


@compiled
def compress(state: Any, message: Any, counter: int, is_last: bool, out: Any) -> None:
    """Write into `out` the BLAKE2b state after one block.

    Arguments
        state    uint64 [8], state before the block
        message  uint64 [16], the block
        counter  bytes hashed so far, this block included
        is_last  whether this is the final block
        out      uint64 [8]; may be `state` itself
    """
    # Sixteen plain variables stay in registers; an array of them would live in memory and take four times as long.
    v0, v1, v2, v3, v4, v5, v6, v7 = state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
    v8, v9, v10, v11, v12, v13, v14, v15 = _IV[0], _IV[1], _IV[2], _IV[3], _IV[4], _IV[5], _IV[6], _IV[7]
    v12 = v12 ^ np.uint64(counter)
    if is_last:
        v14 = ~v14
    for turn in range(12):
        s = _SIGMA[turn]
        v0, v4, v8, v12 = _mix(v0, v4, v8, v12, message[s[0]], message[s[1]])
        v1, v5, v9, v13 = _mix(v1, v5, v9, v13, message[s[2]], message[s[3]])
        v2, v6, v10, v14 = _mix(v2, v6, v10, v14, message[s[4]], message[s[5]])
        v3, v7, v11, v15 = _mix(v3, v7, v11, v15, message[s[6]], message[s[7]])
        v0, v5, v10, v15 = _mix(v0, v5, v10, v15, message[s[8]], message[s[9]])
        v1, v6, v11, v12 = _mix(v1, v6, v11, v12, message[s[10]], message[s[11]])
        v2, v7, v8, v13 = _mix(v2, v7, v8, v13, message[s[12]], message[s[13]])
        v3, v4, v9, v14 = _mix(v3, v4, v9, v14, message[s[14]], message[s[15]])
    out[0], out[1], out[2], out[3] = state[0] ^ v0 ^ v8, state[1] ^ v1 ^ v9, state[2] ^ v2 ^ v10, state[3] ^ v3 ^ v11
    out[4], out[5], out[6], out[7] = state[4] ^ v4 ^ v12, state[5] ^ v5 ^ v13, state[6] ^ v6 ^ v14, state[7] ^ v7 ^ v15


def keyed_state(key: bytes) -> Any:
    """Return the BLAKE2b state after the key block, uint64 [8], for a 32-byte key and a 16-byte code."""
    state = _IV.copy()
    state[0] ^= np.uint64(0x01010000 ^ (len(key) << 8) ^ PERMIT_BYTES)
    block = np.frombuffer(key.ljust(BLOCK_BYTES, b"\0"), dtype=np.uint64)
    compress(state, block, BLOCK_BYTES, False, state)
    return state
