"""Writes the finished record as a frame straight into the mapped journal segment, and makes the permit of an allowed
order.

The frame is the one of `journal/record.py`: length and CRC, sequence, epoch and flags, then the 32 words. The length is
written last, so that a reader of the live file never meets half a frame.
"""

import numpy as np
from numba import carray

from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled, pointer, words_at
from controlplane.gate.kernel.hashing import compress, crc32c
from controlplane.journal import record

(CURSOR_MAPPING, CURSOR_OFFSET, CURSOR_END, CURSOR_SEQUENCE, CURSOR_EPOCH) = range(5)
FRAME_WORDS = record.FRAME_HEADER_BYTES // 8 + a.ENTRY_WORDS
FRAME_BYTES = FRAME_WORDS * 8


@compiled
def has_room(s: Words) -> bool:
    """Return whether the segment holds one more frame and the empty word behind it."""
    cursor = words_at(s[a.CURSOR_ADDRESS], 8)
    return cursor[CURSOR_OFFSET] + FRAME_BYTES + 8 <= cursor[CURSOR_END]


@compiled
def write_frame(s: Words) -> int:
    """Append the record being made and return its sequence; the caller has asked `has_room`."""
    cursor = words_at(s[a.CURSOR_ADDRESS], 8)
    frame = words_at(cursor[CURSOR_MAPPING] + cursor[CURSOR_OFFSET], FRAME_WORDS)
    sequence = cursor[CURSOR_SEQUENCE]
    frame[1], frame[2] = sequence, cursor[CURSOR_EPOCH]
    for word in range(a.ENTRY_WORDS):
        frame[3 + word] = s[a.ENTRY_AT + word]
    frame[0] = record.ENTRY_BYTES | crc32c(record.ENTRY_BYTES, frame[1:], FRAME_WORDS - 1) << 32
    cursor[CURSOR_OFFSET] += FRAME_BYTES
    cursor[CURSOR_SEQUENCE] = sequence + 1
    s[a.LAST_SEQUENCE] = sequence
    return sequence


@compiled
def issue_permit(s: Words, address: int, sequence: int) -> None:
    """Compute the code of the permit for the order in the record being made (`permit.py` states the sixteen words)."""
    cursor = words_at(s[a.CURSOR_ADDRESS], 8)
    words = a.MESSAGE_AT
    s[words], s[words + 1], s[words + 2] = s[a.GATE_ID], cursor[CURSOR_EPOCH], sequence
    s[words + 3], s[words + 4], s[words + 5] = s[a.E_EXPIRY], s[a.E_FENCE], s[a.COMMAND]
    for word in range(10):
        s[words + 6 + word] = s[a.E_REQUEST + word]
    message = carray(pointer(address + words * 8), (16,), np.uint64)
    key = carray(pointer(s[a.KEY_ADDRESS]), (8,), np.uint64)
    code = np.empty(8, dtype=np.uint64)
    compress(key, message, 256, True, code)
    s[a.PERMIT_LOW], s[a.PERMIT_HIGH] = int(np.int64(code[0])), int(np.int64(code[1]))
