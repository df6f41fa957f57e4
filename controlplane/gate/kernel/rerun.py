"""Recorded commands told to the machine again, many at a time: to prove them, or to see what other limits say."""

from typing import Any

from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.compiled import entry, inlined, words_at
from controlplane.gate.kernel.decision import ARMED, SWITCH_FENCE, SWITCH_STATE
from controlplane.gate.kernel.frames import CURSOR_EPOCH, CURSOR_OFFSET, CURSOR_SEQUENCE
from controlplane.gate.kernel.machine import apply
from controlplane.journal import record

KILLED = 2


@entry
def replay_entries(address: int, entries: Any, first_seq: int, epoch: int, cursor: Any, switch: Any) -> int:
    """Return the number of the first recorded command that, applied again, differs in any word; -1 when none does.

    Arguments
        entries  int64 [n, 32], fixed entries as recorded
        cursor   int64 [8], a journal of one frame; switch int64 [8], set to what each record says of it
    """
    s = words_at(address)
    for row in range(len(entries)):
        cursor[CURSOR_SEQUENCE], cursor[CURSOR_EPOCH] = first_seq + row, epoch
        tell(address, entries[row], cursor, switch)
        for word in range(a.ENTRY_WORDS):
            if s[a.ENTRY_AT + word] != entries[row, word]:
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
