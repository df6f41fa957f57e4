"""The log of what was done to the record itself: exports and retirements. Whoever does one opens it for that moment."""

import time
from collections.abc import Mapping
from pathlib import Path

from controlplane.domain.clock import Clock
from controlplane.domain.errors import JournalUnavailable
from controlplane.journal.writer import SEGMENT_BYTES_MIN, JournalWriter
from controlplane.runtime.settings import Durability

EVIDENCE_LOG = "evidence-0"
TURN_SECONDS_MAX = 10.0
TURN_SECONDS = 0.1


def record_deed(journal_directory: Path, facts: Mapping[str, object], *, clock: Clock) -> int:
    """Return the sequence under which a deed is durably on record; waits for others that are writing theirs.

    Errors
        InvalidRequest      the facts aren't a record
        ChainBroken         the log contradicts itself
        JournalUnavailable  the log can't be written, or is busy for ten seconds
    """
    deadline = time.monotonic() + TURN_SECONDS_MAX
    while True:
        try:
            writer = JournalWriter.open(
                journal_directory / EVIDENCE_LOG,
                log=EVIDENCE_LOG,
                durability=Durability.DISK,
                clock=clock,
                segment_bytes=SEGMENT_BYTES_MIN,
                ballast_bytes=0,
            )
        except JournalUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(TURN_SECONDS)
            continue
        with writer:
            seq = writer.append_json(facts)
            writer.commit()
            return seq
