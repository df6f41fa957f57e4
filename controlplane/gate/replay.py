"""Decides recorded commands again: to prove that a record follows from its own inputs, or to see what other limits say.

A record holds everything that the deterministic machine was told. Told the same again, under the limits that the
record names, it must write the same 32 words, state digest included; the first word that differs ends the proof.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.errors import ChainBroken, InvalidRequest
from controlplane.gate.kernel import arrays as a
from controlplane.gate.kernel.carry import carry_over, revalue_all
from controlplane.gate.kernel.decision import ARMED, SWITCH_FENCE, SWITCH_STATE
from controlplane.gate.kernel.frames import CURSOR_OFFSET, FRAME_BYTES
from controlplane.gate.kernel.loading import State, build_state
from controlplane.gate.kernel.machine import apply
from controlplane.gate.kernel.rerun import COUNTS, tell_entries
from controlplane.gate.snapshot import Snapshot, plain
from controlplane.journal import record
from controlplane.journal.files.segment import list_logs, list_segments, read_header
from controlplane.journal.reader import Part, batches, parts_of
from controlplane.journal.record import Form, RecordKind

_SNAPSHOT = TypeAdapter(Snapshot)
_CAPACITY = TypeAdapter(a.Capacity)
GATE_LOG = "gate-"

# From the limits that a record names to those that are to be worked with instead.
LimitsOf = Callable[[Snapshot], Snapshot]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first word of a record that doesn't recompute; both values as a person reads them."""

    seq: int
    word: str
    recorded: str
    recomputed: str

    def sentence(self) -> str:
        """Return the difference with what to do about it."""
        return (
            f"Record {self.seq} doesn't recompute: {self.word} is recorded as {self.recorded} and recomputed as "
            f"{self.recomputed}; the record, its limits or this program was altered: compare each with a known copy."
        )


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a log says when it is decided again.

    Fields
        state              after the last record that recomputes; None before the first limits were loaded
        records            that were looked at, the differing one not counted
        decisions          of them, by outcome
        versions           of the limits, in order of their loading
        last_wall_ns, last_monotonic_ns, fence  the last readings of the clocks, the highest fence
        entries_sha256     SHA-256 over the binary entries that recompute, hexadecimal
        difference         the first one, None when every word of every record recomputes
    """

    state: State | None
    records: int
    decisions: Mapping[str, int]
    versions: tuple[int, ...]
    last_wall_ns: int
    last_monotonic_ns: int
    fence: int
    entries_sha256: str
    difference: Difference | None

    @property
    def digest(self) -> str:
        """The digest of the state after the last record, 16 hexadecimal digits; empty before the first limits."""
        return "" if self.state is None else f"{int(self.state.words[a.STATE_DIGEST]) & (1 << 64) - 1:016x}"

    def document(self) -> dict[str, Any]:
        """Return the result as JSON values; the same log gives the same ones on every machine."""
        found = self.difference
        return {
            "is_identical": found is None,
            "records": self.records,
            "decisions": dict(self.decisions),
            "versions": list(self.versions),
            "digest": self.digest,
            "entries_sha256": self.entries_sha256,
            "difference": None if found is None else asdict(found),
            "problem": "" if found is None else found.sentence(),
        }


class Machine:
    """The deterministic machine of a gate with a journal of one frame, a switch and a key of its own: in memory alone.

    Arguments
        capacity  of the gate that wrote the record
    """

    def __init__(self, capacity: a.Capacity, gate_id: int = 0) -> None:
        self.capacity, self._gate_id = capacity, gate_id
        self.state: State | None = None
        self._frame = np.zeros(FRAME_BYTES // 8 + 1, np.int64)
        self.cursor = np.array([self._frame.ctypes.data, 0, self._frame.nbytes, 0, 0, 0, 0, 0], np.int64)
        self.switch = np.zeros(8, np.int64)
        self.switch[SWITCH_STATE], self.switch[SWITCH_FENCE] = ARMED, 1
        self._key = np.zeros(8, np.int64)
        # Only a record under other limits uses these two: orders that don't exist there, and what it counts.
        self.left_out = np.zeros(2, np.int64)
        self.counts = np.zeros(COUNTS, np.int64)

    def load(self, snapshot: Snapshot) -> State:
        """Return the state under new limits; what happened so far is carried over.

        Errors
            SnapshotMismatch, PolicyInvalid  as a gate would refuse them
        """
        fresh = build_state(snapshot, self.capacity)
        fresh.words[a.GATE_ID] = self._gate_id
        fresh.words[a.CURSOR_ADDRESS] = self.cursor.ctypes.data
        fresh.words[a.SWITCH_ADDRESS] = self.switch.ctypes.data
        fresh.words[a.KEY_ADDRESS] = self._key.ctypes.data
        if self.state is not None:
            carry_over(self.state, fresh)
            revalue_all(fresh)
        self.state = fresh
        return fresh

    def apply(self, words: Sequence[int], *, wall_ns: int, monotonic_ns: int) -> tuple[int, ...]:
        """Return the 32 words of the record of one command; the switch and the fence stay as they were."""
        state = self.loaded()
        self.cursor[CURSOR_OFFSET] = 0
        apply(
            state.address, wall_ns, monotonic_ns, words[0], words[3], words[4], words[5], words[6], words[7], words[8],
            words[9], words[10], words[11], words[12], words[13], words[14], words[15],
        )  # fmt: skip
        return self.entry()

    def entry(self) -> tuple[int, ...]:
        """Return the words of the record made last."""
        return tuple(self.loaded().words[a.ENTRY_AT : a.ENTRY_AT + a.ENTRY_WORDS].tolist())

    def prove(self, seqs: Any, entries: Any, epoch: int) -> tuple[int, Difference | None]:
        """Return how many of these records recompute, and the first difference.

        Arguments
            seqs     int64 [n], without a gap
            entries  int64 [n, 32]
        """
        bad = self.tell(entries, 0, first_seq=int(seqs[0]), epoch=epoch)
        if bad < 0:
            return len(entries), None
        return bad, difference_of(int(seqs[bad]), entries[bad].tolist(), self.entry())

    def tell(self, entries: Any, start: int, *, first_seq: int = 0, epoch: int = 0) -> int:
        """Return the number of the first of these entries from `start` on that comes out otherwise, -1 when none does.

        With `first_seq` every word counts, without it only the answer to a request (`kernel/rerun.py`).
        """
        # Entries between JSON records are a view with gaps: made whole, so that the loop is compiled for one form.
        whole = np.ascontiguousarray(entries)
        return tell_entries(
            self.loaded().address, whole, start, first_seq, epoch, self.cursor, self.switch, self.left_out, self.counts
        )

    def begin_again(self, words: Any) -> None:
        """Put the state back to a copy of its words that was taken under the same limits."""
        self.loaded().words[:] = words

    def loaded(self) -> State:
        """Return the state; ChainBroken before the first limits were loaded."""
        if self.state is None:
            raise ChainBroken("Expected the limits before the first decision, found none; restore the journal.")
        return self.state


class Replay:
    """One pass over a gate's log that proves every record; memory for one chunk and one state.

    Arguments
        capacity   of the gate that wrote it; None takes what the log itself says
        limits_of  what to decide under instead of recorded limits; None decides under these
    """

    def __init__(
        self,
        directory: Path,
        *,
        capacity: a.Capacity | None = None,
        gate_id: int = 0,
        limits_of: LimitsOf | None = None,
    ) -> None:
        self._directory, self._capacity, self._gate_id = directory, capacity, gate_id
        self._limits_of = limits_of
        self._machine: Machine | None = None
        self._versions: list[int] = []
        self._decisions = np.zeros(len(Outcome) + 1, np.int64)
        self._records = self._wall_ns = self._monotonic_ns = self._fence = 0
        self._digest = hashlib.sha256()
        self._difference: Difference | None = None

    def run(self, progress: Callable[[int], None] | None = None) -> Replayed:
        """Return what the log says when it is decided again, up to its end or its first difference.

        Arguments
            progress  told the number of records so far, after every chunk

        Errors
            ChainBroken         the log is damaged, or holds a decision before any limits
            JournalUnavailable  the disk doesn't answer
        """
        for batch in batches(self._directory):
            for part in parts_of(batch, self._directory):
                if isinstance(part, Part):
                    self._take_entries(part)
                else:
                    self._take_document(*part)
                if self._difference is not None:
                    return self._result()
            if progress is not None:
                progress(self._records)
        return self._result()

    def _take_document(self, seq: int, found: Mapping[str, Any]) -> None:
        if found.get("kind") == RecordKind.SNAPSHOT_LOADED.text:
            recorded = snapshot_from_json(json.dumps(found["snapshot"]))
            limits = recorded if self._limits_of is None else self._limits_of(recorded)
            self._difference = limits_difference(seq, str(found.get("digest")), recorded, limits)
            if self._difference is not None:
                return
            if self._machine is None:
                self._machine = Machine(self._capacity or capacity_from_json(found), self._gate_id)
            self._machine.load(limits)
            self._versions.append(limits.version)
        self._records += 1

    def _take_entries(self, part: Part) -> None:
        if self._machine is None:
            raise ChainBroken(
                f"Expected the limits before record {part.seqs[0]}, found a decision; restore the journal."
            )
        count, self._difference = self._machine.prove(part.seqs, part.entries, part.epoch)
        proved = part.entries[:count]
        if not count:
            return
        self._digest.update(np.ascontiguousarray(proved).data)
        heads = proved[:, record.WORD_HEAD]
        outcomes = heads[heads & 0xFF == RecordKind.ORDER_DECIDED] >> 16 & 0xFFFF
        self._decisions += np.bincount(outcomes, minlength=len(self._decisions))
        self._records += count
        last = proved[-1]
        self._wall_ns, self._monotonic_ns = int(last[record.WORD_WALL_NS]), int(last[record.WORD_MONOTONIC_NS])
        self._fence = max(self._fence, int(np.abs(proved[:, record.WORD_FENCE]).max()))

    def _result(self) -> Replayed:
        return Replayed(
            state=None if self._machine is None else self._machine.state,
            records=self._records,
            decisions={outcome.name: int(self._decisions[outcome]) for outcome in Outcome},
            versions=tuple(self._versions),
            last_wall_ns=self._wall_ns,
            last_monotonic_ns=self._monotonic_ns,
            fence=self._fence,
            entries_sha256=self._digest.hexdigest(),
            difference=self._difference,
        )


# --- what a log holds


def gate_logs(directory: Path) -> tuple[Path, ...]:
    """Return the logs of gates in a journal, or the one log whose directory this is.

    Errors
        InvalidRequest      there is no log of a gate
        ChainBroken         a header is damaged
        JournalUnavailable  a file can't be read
    """
    logs = (directory,) if list_segments(directory) else list_logs(directory)
    found = tuple(log for log in logs if read_header(log, list_segments(log)[0]).log.startswith(GATE_LOG))
    if not found:
        others = ", ".join(log.name for log in logs)
        raise InvalidRequest(
            f"Expected the log of a gate in {directory}, found {others or 'no segment'}; name a state directory or "
            "the folder of such a log.",
            field="directory",
        )
    return found


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


def capacity_from_json(found: Mapping[str, Any]) -> a.Capacity:
    """Return the capacity that a record of loaded limits names; the usual one where it names none.

    Errors
        ChainBroken when it isn't a capacity
    """
    try:
        return _CAPACITY.validate_python(found.get("capacity", {}))
    except ValidationError as error:
        raise ChainBroken(
            "Expected the capacity of a gate beside its limits, found something else; restore the journal."
        ) from error


# --- differences


def difference_of(seq: int, recorded: Sequence[int], recomputed: Sequence[int]) -> Difference | None:
    """Return the first word in which two entries differ; the outcome and the code stand for the first word."""
    for number, (own, other) in enumerate(zip(recorded, recomputed, strict=True)):
        if own != other:
            return Difference(seq, record.WORDS[number].name, _word_text(number, own), _word_text(number, other))
    return None


def limits_difference(seq: int, digest: str, recorded: Snapshot, limits: Snapshot) -> Difference | None:
    """Return the first field in which limits differ from the recorded ones, or how these differ from their digest."""
    found = recorded.digest().hex()
    if found != digest:
        return Difference(seq, "the digest of the limits", digest, found)
    if limits.digest() == recorded.digest():
        return None
    path, own, other = next(_different_fields("limits", plain(recorded), plain(limits)))
    return Difference(seq, path, str(own), str(other))


def _different_fields(path: str, own: Any, other: Any) -> Iterator[tuple[str, object, object]]:
    if isinstance(own, dict) and isinstance(other, dict):
        for name in own:
            yield from _different_fields(f"{path}.{name}", own[name], other.get(name))
    elif isinstance(own, list) and isinstance(other, list) and len(own) == len(other):
        for number, (one, another) in enumerate(zip(own, other, strict=True)):
            yield from _different_fields(f"{path}[{number}]", one, another)
    elif isinstance(own, list) and isinstance(other, list):
        yield f"the length of {path}", len(own), len(other)
    elif own != other:
        yield path, own, other


def _word_text(number: int, value: int) -> str:
    if number == record.WORD_HEAD:
        head = record.unpack_head(value)
        outcome = Outcome(head.outcome).name if head.outcome in _OUTCOMES else str(head.outcome)
        code = DenialCode(head.code).name if head.code in _CODES else str(head.code)
        # A log of an earlier program is decided again by the program of its time.
        schema = "" if head.schema == record.SCHEMA else f" of schema {head.schema}"
        return f"{record.kind_text(head.kind)} {outcome} {code}{schema}"
    if record.WORDS[number].form is Form.HEX:
        return f"{value & (1 << 64) - 1:016x}"
    return str(value)


_OUTCOMES = frozenset(int(outcome) for outcome in Outcome)
_CODES = frozenset(int(code) for code in DenialCode)

