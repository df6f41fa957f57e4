"""Cuts a bad feed off with its reason, and lets it back when what was wrong is put right.

One guard stands before one feed and owns the book built from what it let through, so that nobody sees a level that
was not checked.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from executor.marketdata.book import Book
from executor.marketdata.events import BookDelta, BookSnapshot, Fault, FaultKind, MarketEvent, OrderMessage, Remedy
from executor.marketdata.validate import FeedHistory, ValidationLimits, check_age, check_book, check_event


class FeedState(StrEnum):
    """Whether what a feed says is passed on."""

    HEALTHY = "healthy"
    QUARANTINED = "quarantined"


@dataclass(slots=True)
class FeedGuard:
    """Passes trusted events on, applies them to its book, and withholds the rest.

    Fields
        fault           the reason of the present quarantine, None while healthy
        faults          how often each kind of fault was found, quarantine or not
        withheld_count  events that were not passed on
        resync_count    quarantines that ended
    """

    feed: str
    instrument: str
    limits: ValidationLimits = field(default_factory=ValidationLimits)
    book: Book = field(init=False)
    history: FeedHistory = field(init=False)
    fault: Fault | None = field(init=False, default=None)
    faults: Counter[FaultKind] = field(init=False, default_factory=Counter)
    withheld_count: int = field(init=False, default=0)
    resync_count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.book = Book(self.instrument)
        self.history = FeedHistory.empty(self.limits)

    @property
    def state(self) -> FeedState:
        """Healthy or quarantined."""
        return FeedState.HEALTHY if self.fault is None else FeedState.QUARANTINED

    def admit(self, item: MarketEvent | Fault) -> MarketEvent | Fault | None:
        """Return the event when it is trusted, the fault it brought to light, or None when it was withheld silently.

        A fault whose remedy is to withhold leaves the feed healthy. Events of a quarantined feed are withheld until
        its remedy arrives: a snapshot starts book and history afresh, a stale feed is heard again at once.
        """
        if isinstance(item, Fault):
            return self._distrust(item)
        was_cut_off = self.fault is not None
        if self.fault is not None and not self._ends_quarantine(self.fault, item):
            self.withheld_count += 1
            return None
        fault = check_event(item, self.book, self.history, self.limits)
        if fault is None and isinstance(item, BookDelta | OrderMessage | BookSnapshot):
            self.book.apply(item)
            fault = check_book(self.book, item)
        if fault is not None:
            self.withheld_count += 1
            return self._distrust(fault)
        self.history.note(item)
        self.resync_count += was_cut_off
        return item

    def check_age(self, now_ns: int) -> Fault | None:
        """Return a fault, and quarantine the feed, when it has been silent for too long; None while it is in order."""
        if self.fault is not None:
            return None
        fault = check_age(self.history, feed=self.feed, instrument=self.instrument, now_ns=now_ns, limits=self.limits)
        return None if fault is None else self._distrust(fault)

    def _distrust(self, fault: Fault) -> Fault | None:
        self.faults[fault.kind] += 1
        if fault.remedy is Remedy.WITHHOLD:
            return fault
        is_first = self.fault is None
        if is_first or fault.remedy is Remedy.SNAPSHOT:
            self.fault = fault
        if fault.remedy is Remedy.SNAPSHOT:
            self.book.clear()
        return fault if is_first else None

    def _ends_quarantine(self, fault: Fault, event: MarketEvent) -> bool:
        if fault.remedy is Remedy.SNAPSHOT:
            if not isinstance(event, BookSnapshot):
                return False
            self.history = FeedHistory.empty(self.limits)
        self.fault = None
        return True
