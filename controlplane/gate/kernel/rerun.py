"""Recorded commands told to the machine again, many at a time: to prove them, or to see what other limits say.

Both are one function, since every function that Python calls carries the whole machine and takes as long to compile.
"""

from typing import Any

from controlplane.domain.decisions import Outcome
from controlplane.domain.reports import ReportKind
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import Words, compiled, entry, inlined, words_at
from controlplane.gate.kernel.decision import ARMED, SWITCH_FENCE, SWITCH_STATE
from controlplane.gate.kernel.frames import CURSOR_EPOCH, CURSOR_OFFSET, CURSOR_SEQUENCE
from controlplane.gate.kernel.hashing import index_hash
from controlplane.gate.kernel.machine import apply
from controlplane.journal import record
from controlplane.journal.record import RecordKind

KILLED = 2
ORDER_DECIDED, REPORT_APPLIED = int(RecordKind.ORDER_DECIDED), int(RecordKind.REPORT_APPLIED)
FILLED, DENIED = int(ReportKind.FILLED), int(Outcome.DENIED)
# What a pass under other limits counts.
(SAME_ALLOWED, SAME_DENIED, OTHER_REASON, LEFT_OUT_ALLOWED, LEFT_OUT_DENIED, LEFT_OUT_REPORTS,
 LEFT_OUT_FILLS) = range(7)  # fmt: skip
COUNTS = 7


@entry
def tell_entries(
    address: int, entries: Any, start: int, first_seq: int, epoch: int, cursor: Any, switch: Any, left_out: Any,
    counts: Any,
) -> int:  # fmt: skip
    """Return the number of the first command that comes out otherwise, its record made; -1 when none does.

    With a sequence every word counts: that is the proof of a record. Without one only the answer to a request does, and
    what is said of an order on the list isn't told at all: that is a record under other limits.

    Arguments
        entries    int64 [n, 32], as recorded, with the names' numbers of the limits in use
        start      first of them to be told
        first_seq  sequence of the first of them, 0 under other limits; epoch of the run that wrote them
        cursor     int64 [8], a journal of one frame
        switch     int64 [8], set to what each record says of it
        left_out   int64 [power of two], child orders that don't exist here
        counts     int64 [COUNTS], added to under other limits
    """
    s = words_at(address)
    for row in range(start, len(entries)):
        if first_seq == 0 and is_left_out(entries[row], left_out, counts):
            continue
        cursor[CURSOR_SEQUENCE], cursor[CURSOR_EPOCH] = first_seq + row, epoch
        tell(address, entries[row], cursor, switch)
        if is_otherwise(s, entries[row]) if first_seq != 0 else is_answered_otherwise(s, entries[row], counts):
            return row
    return -1


@inlined
def tell(address: int, e: Any, cursor: Any, switch: Any) -> None:
    """Apply the command of one recorded entry, with the switch as its record says."""
    cursor[CURSOR_OFFSET] = 0
    fence = e[record.WORD_FENCE]
    switch[SWITCH_STATE], switch[SWITCH_FENCE] = ARMED if fence > 0 else KILLED, abs(fence)
    apply(
        address, e[1], e[2], e[0], e[3], e[4], e[5], e[6], e[7], e[8], e[9], e[10], e[11], e[12], e[13], e[14], e[15]
    )  # fmt: skip


@compiled
def is_otherwise(s: Words, recorded: Any) -> bool:
    """Return whether any word of the record made differs from what was recorded."""
    differing = 0
    for word in range(a.ENTRY_WORDS):
        differing |= s[a.ENTRY_AT + word] ^ recorded[word]
    return differing != 0


@compiled
def is_answered_otherwise(s: Words, recorded: Any, counts: Any) -> bool:
    """Return whether a request got the other answer; one that got the same is counted."""
    head, answer = recorded[record.WORD_HEAD], s[a.E_HEAD]
    if head & 0xFF != ORDER_DECIDED:
        return False
    if (head ^ answer) >> 16 & 0xFFFF != 0:
        return True
    if head >> 16 & 0xFFFF != DENIED:
        counts[SAME_ALLOWED] += 1
        return False
    counts[SAME_DENIED] += 1
    if (head ^ answer) >> 32 & 0xFFFF != 0:
        counts[OTHER_REASON] += 1
    return False


# --- orders that don't exist here


@compiled
def is_left_out(recorded: Any, left_out: Any, counts: Any) -> bool:
    """Return whether a request or a report is about an order on the list, and count it then."""
    head = recorded[record.WORD_HEAD]
    kind = head & 0xFF
    if kind not in (ORDER_DECIDED, REPORT_APPLIED) or not is_listed(left_out, recorded[record.WORD_CHILD_ID]):
        return False
    if kind == ORDER_DECIDED:
        counts[LEFT_OUT_DENIED if head >> 16 & 0xFFFF == DENIED else LEFT_OUT_ALLOWED] += 1
        return True
    counts[LEFT_OUT_REPORTS] += 1
    if head >> 8 & 0xFF == FILLED:
        counts[LEFT_OUT_FILLS] += 1
    return True


@compiled
def is_listed(left_out: Any, child_id: int) -> bool:
    """Return whether a child order is on the list; 0 names none."""
    mask = len(left_out) - 1
    place = index_hash(child_id) & mask
    while left_out[place] != 0:
        if left_out[place] == child_id:
            return True
        place = (place + 1) & mask
    return False


@entry
def list_order(left_out: Any, child_id: int) -> None:
    """Put a child order on the list; the caller keeps at least half of the places free."""
    mask = len(left_out) - 1
    place = index_hash(child_id) & mask
    while left_out[place] not in (0, child_id):
        place = (place + 1) & mask
    left_out[place] = child_id
