"""Whether a log on disk is what was written, judged from its files alone: no database, no running program.

Every frame, header, seal, JSON record and blob is checked. The first thing that can't be is named with file, offset and
sequence. A torn tail is told apart from damage: it means that a writer ended in the middle of a record that nobody was
told about, and the next opening puts it aside.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controlplane.domain.decisions import DenialCode, Outcome
from controlplane.domain.errors import ChainBroken, InvalidRequest
from controlplane.journal.canonical import JsonValue
from controlplane.journal.files.blobs import document
from controlplane.journal.files.directory import read_copied_mark, shortened
from controlplane.journal.files.frames import Int64s
from controlplane.journal.files.segment import list_logs, list_segments
from controlplane.journal.reader import Batch
from controlplane.journal.record import (
    FIRST_JSON_KIND,
    SCHEMA,
    WORD_HEAD,
    Head,
    RecordKind,
    kind_text,
    unpack_head,
)
from controlplane.journal.walk import Fault, walk


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What the verification of one log found.

    Fields
        directory  of the log
        log        its name
        is_sound   whether nothing contradicts anything; a torn tail is sound
        records    whole records up to the end or the first fault; also the last sequence, since they begin with 1
        segments   files
        epochs     runs of the writer
        chain      chain value of the last segment up to the last whole record, hexadecimal
        torn_bytes bytes of a record that was being written when the writer ended, 0 when there are none
        copied_seq highest sequence that PostgreSQL was known to hold a copy of
        kinds      records by kind
        outcomes   gate decisions by outcome
        codes      gate denials by the first code
        problem    the first fault as one sentence, empty when sound
        segment, offset, seq  where it is; -1 when sound
        is_complete  whether all of it was looked at before the time was over
    """

    directory: Path
    log: str
    is_sound: bool
    records: int
    segments: int
    epochs: int
    chain: str
    torn_bytes: int
    copied_seq: int
    kinds: dict[str, int]
    outcomes: dict[str, int]
    codes: dict[str, int]
    problem: str
    segment: int
    offset: int
    seq: int
    is_complete: bool = True

    def document(self) -> dict[str, JsonValue]:
        """The report as JSON values."""
        return {
            "log": self.log,
            "is_sound": self.is_sound,
            "records": self.records,
            "segments": self.segments,
            "epochs": self.epochs,
            "chain": self.chain,
            "torn_bytes": self.torn_bytes,
            "copied_seq": self.copied_seq,
            "kinds": dict(self.kinds),
            "outcomes": dict(self.outcomes),
            "codes": dict(self.codes),
            "problem": self.problem,
            "segment": self.segment,
            "offset": self.offset,
            "seq": self.seq,
            "is_complete": self.is_complete,
        }

    def lines(self) -> list[str]:
        """The report for a terminal, one sentence a line."""
        judgement = "sound" if self.is_sound else "NOT SOUND"
        if self.is_sound and not self.is_complete:
            judgement = "NOT FINISHED, sound so far"
        size = f"{self.records} records, {self.segments} segments, {self.epochs} epochs"
        lines = [f"{self.log}: {judgement}, {size}, chain {self.chain[:16]}"]
        if self.torn_bytes:
            lines.append(f"{self.log}: {self.torn_bytes} bytes of an unfinished record; opening puts them aside")
        if self.outcomes:
            counts = ", ".join(f"{count} {name.lower()}" for name, count in self.outcomes.items())
            lines.append(f"{self.log}: decisions {counts}")
        if self.problem:
            lines.append(f"{self.log}: {self.problem}")
        return lines


def verify_journal(directory: Path, *, is_time_over: Callable[[], bool] | None = None) -> tuple[VerifyReport, ...]:
    """Return one report for each log in a journal directory, or for the one log whose directory this is.

    Arguments
        is_time_over  asked again and again; what isn't looked at when it says yes is not judged

    Errors
        InvalidRequest      there is no log
        JournalUnavailable  a file can't be read
    """
    logs = (directory,) if list_segments(directory) else list_logs(directory)
    if not logs:
        raise InvalidRequest(f"Expected a journal in {directory}, found no segment; name the directory of a log.")
    return tuple(verify(log, is_time_over=is_time_over) for log in logs)


def verify(directory: Path, *, is_time_over: Callable[[], bool] | None = None) -> VerifyReport:
    """Return what the files of one log say; reads all of it with memory for one chunk.

    Arguments
        is_time_over  as for `verify_journal`

    Errors
        JournalUnavailable when a file can't be read
    """
    contents = _Contents(directory, is_time_over or (lambda: False))
    # Read first: a copy that is made while we walk is not ahead of what we then find.
    copied_seq, problem = _copied(directory)
    state = walk(directory, visit=contents.visit)
    is_complete = state.fault is not OUT_OF_TIME
    fault = state.fault if is_complete else None
    if fault is not None:
        problem = fault.sentence(directory)
    elif is_complete and state.last_seq < copied_seq:
        problem = str(shortened(directory, last_seq=state.last_seq, copied_seq=copied_seq))
        fault = Fault(max(state.segments - 1, 0), state.end_offset, state.last_seq + 1, "the log ends here")
    remainder = state.remainder
    return VerifyReport(
        directory=directory,
        log=state.log or directory.name,
        is_sound=not problem,
        records=state.records,
        segments=state.segments,
        epochs=state.epochs,
        chain=state.chain.hex(),
        torn_bytes=remainder.length if fault is None and remainder is not None else 0,
        copied_seq=copied_seq,
        kinds=contents.kinds(),
        outcomes=contents.outcomes(),
        codes=contents.codes(),
        problem=problem,
        segment=fault.segment if fault is not None else -1,
        offset=fault.offset if fault is not None else -1,
        seq=fault.seq if fault is not None else -1,
        is_complete=is_complete,
    )


def _copied(directory: Path) -> tuple[int, str]:
    try:
        return read_copied_mark(directory), ""
    except ChainBroken as error:
        return 0, str(error)


# Ends a walk without accusing anything.
OUT_OF_TIME = Fault(-1, -1, -1, "the time is over")


class _Contents:
    """Checks what stands in the records and counts it."""

    def __init__(self, directory: Path, is_time_over: Callable[[], bool]) -> None:
        self.directory = directory
        self._is_time_over = is_time_over
        self._heads: Counter[int] = Counter()
        self._json_kinds: Counter[str] = Counter()

    def visit(self, batch: Batch) -> Fault | None:
        """Count a batch; the first record in it that can't be ends the walk, and so does the end of the time."""
        if self._is_time_over():
            return OUT_OF_TIME
        seqs, words = batch.binary()
        if seqs.size:
            fault = self._binary_fault(batch, seqs, words[:, WORD_HEAD])
            if fault is not None:
                return fault
        for record in batch.json_records():
            try:
                payload = document(self.directory, record.entry)
            except (InvalidRequest, ChainBroken) as error:
                return Fault(record.segment, record.offset, record.seq, f"expected a readable record, found: {error}")
            self._json_kinds[str(payload["kind"])] += 1
        return None

    def kinds(self) -> dict[str, int]:
        """Records by kind, in order of the kinds' numbers; JSON kinds that this program doesn't know come last."""
        counts: Counter[str] = Counter(self._json_kinds)
        for head, count in self._heads.items():
            counts[kind_text(unpack_head(head).kind)] += count
        order = {kind.text: int(kind) for kind in RecordKind}
        return dict(sorted(counts.items(), key=lambda item: (order.get(item[0], 1 << 16), item[0])))

    def outcomes(self) -> dict[str, int]:
        """Gate decisions by outcome."""
        counts: Counter[int] = Counter()
        for head, count in self._decisions():
            counts[head.outcome] += count
        return {
            (Outcome(number).name if number in _OUTCOMES else str(number)): counts[number] for number in sorted(counts)
        }

    def codes(self) -> dict[str, int]:
        """Gate denials by first code, in order of precedence."""
        counts: Counter[int] = Counter()
        for head, count in self._decisions():
            if head.code and head.outcome == Outcome.DENIED:
                counts[head.code] += count
        return {(DenialCode(code).name if code in _CODES else str(code)): counts[code] for code in sorted(counts)}

    def _decisions(self) -> list[tuple[Head, int]]:
        heads = [(unpack_head(head), count) for head, count in self._heads.items()]
        return [(head, count) for head, count in heads if head.kind == RecordKind.ORDER_DECIDED]

    def _binary_fault(self, batch: Batch, seqs: Int64s, heads: Int64s) -> Fault | None:
        kinds, schemas = heads & 0xFF, heads >> 56 & 0xFF
        is_wrong = (kinds == 0) | (kinds >= FIRST_JSON_KIND) | (schemas == 0) | (schemas > SCHEMA)
        if is_wrong.any():
            index = int(np.argmax(is_wrong))
            found_kind = f"found kind {kinds[index]} of schema {schemas[index]}"
            reason = f"expected a binary record of schema 1 to {SCHEMA}, {found_kind}"
            seq = int(seqs[index])
            offset = batch.base + int(batch.offsets[seq - batch.first_seq])
            return Fault(batch.segment, offset, seq, reason)
        found, counts = np.unique(heads, return_counts=True)
        self._heads.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        return None


_OUTCOMES = frozenset(int(outcome) for outcome in Outcome)
_CODES = frozenset(int(code) for code in DenialCode)
