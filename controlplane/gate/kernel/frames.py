"""Writes the finished record as a frame straight into the mapped journal segment, and makes the permit of an allowed
order.

The frame is the one of `journal/record.py`: length and CRC, sequence, epoch and flags, then the 32 words. The length is
written last, so that a reader of the live file never meets half a frame.
"""

from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import LINE_WORDS, WORD_BYTES, Words, compiled, fetch, words_at
from controlplane.gate.kernel.hashing import LOW_32, crc_start, crc_word, fold, fold_scopes
from controlplane.gate.kernel.permit_code import write_code
from controlplane.journal import record

(CURSOR_MAPPING, CURSOR_OFFSET, CURSOR_END, CURSOR_SEQUENCE, CURSOR_EPOCH) = range(5)
ENTRY_IN_FRAME = record.FRAME_HEADER_BYTES // 8
FRAME_WORDS = ENTRY_IN_FRAME + a.ENTRY_WORDS
FRAME_BYTES = FRAME_WORDS * WORD_BYTES
PERMIT_BYTE = a.PERMIT_LOW * WORD_BYTES
CRC_OF_LENGTH = crc_start(record.ENTRY_BYTES)


@compiled
def has_room(s: Words) -> bool:
    """Return whether the segment holds one more frame and the empty word behind it."""
    cursor = words_at(s[a.CURSOR_ADDRESS])
    return cursor[CURSOR_OFFSET] + FRAME_BYTES + 8 <= cursor[CURSOR_END]


@compiled
def write_frame(s: Words) -> int:
    """Append the record being made and return its sequence; the caller has asked `has_room`.

    One pass over the words copies them, folds them into the digest and takes them into the frame's CRC: the two chains
    of dependent steps run beside each other.
    """
    cursor = words_at(s[a.CURSOR_ADDRESS])
    frame = words_at(cursor[CURSOR_MAPPING] + cursor[CURSOR_OFFSET])
    sequence = cursor[CURSOR_SEQUENCE]
    frame[1], frame[2] = sequence, cursor[CURSOR_EPOCH]
    crc = crc_word(crc_word(CRC_OF_LENGTH, sequence), cursor[CURSOR_EPOCH])
    before = s[a.STATE_DIGEST]
    digest = before
    for word in range(record.WORD_DIGEST_BEFORE):
        value = s[a.ENTRY_AT + word]
        frame[ENTRY_IN_FRAME + word] = value
        crc = crc_word(crc, value)
        digest = fold(digest, value)
    digest = fold_scopes(s, digest)
    frame[ENTRY_IN_FRAME + record.WORD_DIGEST_BEFORE] = s[a.E_BEFORE] = before
    frame[ENTRY_IN_FRAME + record.WORD_DIGEST_AFTER] = s[a.E_AFTER] = s[a.STATE_DIGEST] = digest
    crc = crc_word(crc_word(crc, before), digest) ^ LOW_32
    frame[0] = record.ENTRY_BYTES | crc << 32
    cursor[CURSOR_OFFSET] += FRAME_BYTES
    cursor[CURSOR_SEQUENCE] = sequence + 1
    s[a.LAST_SEQUENCE] = sequence
    for line in range(0, FRAME_WORDS, LINE_WORDS):
        fetch(frame, FRAME_WORDS + line)  # where the next record will be written
    return sequence


@compiled
def issue_permit(s: Words, address: int, sequence: int) -> None:
    """Compute the code of the permit for the order in the record being made (`permit.py` states the sixteen words)."""
    words = a.MESSAGE_AT
    s[words], s[words + 1], s[words + 2] = s[a.GATE_ID], words_at(s[a.CURSOR_ADDRESS])[CURSOR_EPOCH], sequence
    s[words + 3], s[words + 4], s[words + 5] = s[a.E_EXPIRY], s[a.E_FENCE], s[a.COMMAND]
    for word in range(10):
        s[words + 6 + word] = s[a.E_REQUEST + word]
    write_code(words_at(s[a.KEY_ADDRESS]), words_at(address + words * WORD_BYTES), words_at(address + PERMIT_BYTE))
