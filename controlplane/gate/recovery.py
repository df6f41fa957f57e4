"""Rebuilds the state of a gate from its journal, and shows on the way that every decision recomputes to the same bytes.

The records hold everything the state machine was told, so running it again over them gives the state it was in. The
digest that each record carries is compared with the one recomputed; the first difference stops the start.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from controlplane.domain.errors import ChainBroken
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.carry import carry_over, revalue_all
from controlplane.gate.kernel.compiled import ADDRESSABLE, entry, words_at
from controlplane.gate.kernel.decision import ARMED, SWITCH_FENCE, SWITCH_STATE
from controlplane.gate.kernel.frames import CURSOR_EPOCH, CURSOR_OFFSET, CURSOR_SEQUENCE, FRAME_BYTES
from controlplane.gate.kernel.loading import State, build_state
from controlplane.gate.kernel.machine import apply
from controlplane.gate.snapshot import Snapshot
from controlplane.journal import record
from controlplane.journal.files.blobs import document
from controlplane.journal.reader import Batch, batches
from controlplane.journal.record import RecordKind

_SNAPSHOT = TypeAdapter(Snapshot)
KILLED = 2


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a journal says: the state, or None before the first limits were loaded, and the last readings of the
    clocks.
    """

    state: State | None
    records: int
    last_wall_ns: int
    last_monotonic_ns: int
    fence: int


def recover(directory: Path, *, capacity: a.Capacity, gate_id: int) -> Recovered:
    """Return the state after every record of a gate's log.

    Errors
        ChainBroken when the log is damaged, or a decision doesn't recompute to what was recorded
    """
    rebuild = _Rebuild(capacity, gate_id)
    for batch in batches(directory):
        rebuild.take(batch, directory)
    return rebuild.result()


def snapshot_from_json(document: str | bytes) -> Snapshot:
    """Return the snapshot whose canonical bytes these are.

    Errors
        ChainBroken when they are not a snapshot of limits
    """
    try:
        return _SNAPSHOT.validate_json(document)
    except ValidationError as error:
        raise ChainBroken(
            f"Expected the limits a gate worked with, found {error.error_count()} fields that don't fit; "
            "restore the journal."
        ) from error


class _Rebuild:
    """Runs the machine over recorded commands with a journal of one frame, a switch and a key of its own."""

    def __init__(self, capacity: a.Capacity, gate_id: int) -> None:
        self._capacity, self._gate_id = capacity, gate_id
        self._state: State | None = None
        self._frame = np.zeros(FRAME_BYTES // 8 + 1, np.int64)
        self._cursor = np.array([self._frame.ctypes.data, 0, self._frame.nbytes, 0, 0, 0, 0, 0], np.int64)
        self._switch = np.zeros(8, np.int64)
        self._key = np.zeros(8, np.int64)
        self._records = self._wall_ns = self._monotonic_ns = self._fence = 0

    def take(self, batch: Batch, directory: Path) -> None:
        """Run one batch of records: fixed entries in compiled code, JSON ones that concern the limits here."""
        seqs, entries = batch.binary()
        done = 0
        for index in np.flatnonzero(batch.flags):
            before = int(np.searchsorted(seqs, batch.first_seq + index))
            self._take_entries(seqs[done:before], entries[done:before], batch.epoch)
            done = before
            start = int(batch.offsets[index]) + record.FRAME_HEADER_BYTES
            self._take_document(document(directory, batch.chunk[start : start + int(batch.lengths[index])].tobytes()))
        self._take_entries(seqs[done:], entries[done:], batch.epoch)

    def _take_document(self, found: Mapping[str, Any]) -> None:
        self._records += 1
        if found.get("kind") != RecordKind.SNAPSHOT_LOADED.text:
            return
        fresh = build_state(snapshot_from_json(json.dumps(found["snapshot"])), self._capacity)
        self._connect(fresh)
        if self._state is not None:
            carry_over(self._state, fresh)
            revalue_all(fresh)
        self._state = fresh

    def _connect(self, state: State) -> None:
        state.words[a.GATE_ID] = self._gate_id
        state.words[a.CURSOR_ADDRESS] = self._cursor.ctypes.data
        state.words[a.SWITCH_ADDRESS] = self._switch.ctypes.data
        state.words[a.KEY_ADDRESS] = self._key.ctypes.data

    def _take_entries(self, seqs: Any, entries: Any, epoch: int) -> None:
        if not len(entries):
            return
        if self._state is None:
            raise ChainBroken(f"Expected the limits before record {seqs[0]}, found a decision; restore the journal.")
        # Entries between JSON records are a view with gaps: made whole, so that the loop is compiled for one form.
        whole = np.ascontiguousarray(entries)
        bad = replay_entries(self._state.address, whole, int(seqs[0]), epoch, self._cursor, self._switch)
        if bad >= 0:
            raise ChainBroken(
                f"Record {seqs[0] + bad} doesn't recompute to what it says; the journal or this program was altered: "
                "compare both with a known copy, don't start the gate."
            )
        last = entries[-1]
        self._records += len(entries)
        self._wall_ns, self._monotonic_ns = int(last[record.WORD_WALL_NS]), int(last[record.WORD_MONOTONIC_NS])
        self._fence = max(self._fence, int(np.abs(entries[:, record.WORD_FENCE]).max()))

    def result(self) -> Recovered:
        return Recovered(self._state, self._records, self._wall_ns, self._monotonic_ns, self._fence)


@entry
def replay_entries(address: int, entries: Any, first_seq: int, epoch: int, cursor: Any, switch: Any) -> int:
    """Return the number of the first recorded command that, applied again, differs in any word; -1 when none does.

    Arguments
        entries  int64 [n, 32], fixed entries as recorded
        cursor   int64 [8], a journal of one frame; switch int64 [8], set to what each record says of it
    """
    s = words_at(address, ADDRESSABLE)
    for row in range(len(entries)):
        e = entries[row]
        cursor[CURSOR_OFFSET], cursor[CURSOR_SEQUENCE], cursor[CURSOR_EPOCH] = 0, first_seq + row, epoch
        fence = e[record.WORD_FENCE]
        switch[SWITCH_STATE], switch[SWITCH_FENCE] = ARMED if fence > 0 else KILLED, abs(fence)
        apply(
            address, e[1], e[2], e[0], e[3], e[4], e[5], e[6], e[7], e[8], e[9], e[10], e[11], e[12], e[13], e[14],
            e[15]
        )  # fmt: skip
        for word in range(a.ENTRY_WORDS):
            if s[a.ENTRY_AT + word] != e[word]:
                return row
    return -1
