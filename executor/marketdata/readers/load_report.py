"""What a reader found out about a recording while reading it, in numbers and in sentences a person can act on."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from executor.marketdata.events import FaultKind


@dataclass(slots=True)
class LoadReport:
    """Grows while the events are read, and is complete when they are all read.

    Fields
        lines               records read, over all files
        counts              how many of each kind of event were made
        skipped             records that are not events for us, by kind, such as other streams
        faults              unreadable records by kind
        clock_offset_ns     added to every receive time because the recording's clock ran behind the venue's; 0 for none
        feed_latency_ns     median of corrected receive time minus the venue's time; relative to the fastest message
        first_ns, last_ns   receive times of the first and the last event
        levels_compared     LOBSTER: levels of rebuilt book and order book file held against each other
        levels_differing    LOBSTER: of these, how many differed
        levels_revealed     LOBSTER: levels that slid into view and were taken from the file
        crossed_rows        rows or deltas after which the rebuilt book was crossed or locked
        notes               sentences about what was corrected or assumed
    """

    recording: str
    lines: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    faults: Counter[FaultKind] = field(default_factory=Counter)
    clock_offset_ns: int = 0
    feed_latency_ns: int = 0
    first_ns: int = 0
    last_ns: int = 0
    levels_compared: int = 0
    levels_differing: int = 0
    levels_revealed: int = 0
    crossed_rows: int = 0
    notes: list[str] = field(default_factory=list)

    def count(self, kind: str, receive_ns: int) -> None:
        """Count one event."""
        self.counts[kind] += 1
        if not self.first_ns:
            self.first_ns = receive_ns
        self.last_ns = receive_ns

    def as_dict(self) -> Mapping[str, object]:
        """Return the report for `--json`; times in nanoseconds as text, since they pass 2^53."""
        return {
            "recording": self.recording,
            "lines": self.lines,
            "events": dict(sorted(self.counts.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "faults": {kind.value: number for kind, number in sorted(self.faults.items())},
            "clock_offset_ns": str(self.clock_offset_ns),
            "feed_latency_ns": str(self.feed_latency_ns),
            "first_ns": str(self.first_ns),
            "last_ns": str(self.last_ns),
            "levels_compared": self.levels_compared,
            "levels_differing": self.levels_differing,
            "levels_revealed": self.levels_revealed,
            "crossed_rows": self.crossed_rows,
            "notes": list(self.notes),
        }
