"""How well a rebuilt book agrees with what the venue itself recorded beside it.

Binance publishes best quotes with the update id of the book they belong to. A diff that ends with update u must leave
the same best prices and sizes as the last quote of an update up to u, because a quote is sent on every change of the
best level. Receive order doesn't matter to the comparison: it waits until a quote beyond u was seen. The order book
file of LOBSTER is compared by its reader, level by level and row by row.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from executor.marketdata.book import Book
from executor.marketdata.events import BookDelta, BookSnapshot, Fault, MarketEvent, Quote
from executor.marketdata.quarantine import FeedGuard
from executor.marketdata.readers.binance import BinanceReader
from executor.marketdata.readers.lobster import LobsterReader

# Books that wait for a later quote; a feed whose quotes stop loses the oldest, which then stay undecided.
WAITING_MAX = 10_000

BestLevels = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The outcome of a comparison.

    Fields
        compared          diffs (Binance) or levels (LOBSTER) held against the venue's own
        mismatching       of these, how many differ in any price or size
        compared_same_id  Binance: comparisons where quote and diff carry the very same update id
        mismatching_same_id
        passing           Binance: mismatches followed by agreement at the next diff: the venue had quoted a change
                          a few updates before it closed the diff without it
        undecided         Binance: diffs without a quote before and after them
        crossed           books that were crossed or locked
        faults            faults found on the way
    """

    recording: str
    method: str
    compared: int
    mismatching: int
    compared_same_id: int
    mismatching_same_id: int
    passing: int
    undecided: int
    crossed: int
    faults: int

    @property
    def mismatch_frac(self) -> float:
        """Share of mismatches, 0 when nothing could be compared."""
        return self.mismatching / self.compared if self.compared else 0.0

    def as_dict(self) -> Mapping[str, object]:
        """Return the outcome for `--json`."""
        return {
            "recording": self.recording,
            "method": self.method,
            "compared": self.compared,
            "mismatching": self.mismatching,
            "mismatch_frac": self.mismatch_frac,
            "compared_same_id": self.compared_same_id,
            "mismatching_same_id": self.mismatching_same_id,
            "passing": self.passing,
            "undecided": self.undecided,
            "crossed": self.crossed,
            "faults": self.faults,
        }


@dataclass(frozen=True, slots=True)
class _Rebuilt:
    sequence: int
    best: BestLevels


class QuoteAgreement:
    """Compares while events pass by; feed it every trusted event together with the book after it."""

    def __init__(self, recording: str) -> None:
        self.recording = recording
        self.faults = 0
        self._waiting: deque[_Rebuilt] = deque()
        self._quotes: deque[Quote] = deque()
        self._counts = {"compared": 0, "mismatching": 0, "compared_same_id": 0, "mismatching_same_id": 0, "passing": 0}
        self._was_mismatch = False
        self._undecided = 0
        self._crossed = 0

    def on_event(self, event: MarketEvent, book: Book) -> None:
        """Take in one event and the book after it."""
        if isinstance(event, Quote):
            self._quotes.append(event)
            self._settle()
        elif isinstance(event, BookDelta | BookSnapshot):
            self._crossed += book.is_crossed or book.is_locked
            if isinstance(event, BookDelta):
                best = (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)
                self._waiting.append(_Rebuilt(book.sequence, best))
                self._settle()

    def result(self) -> Agreement:
        """Return the outcome so far; books that still wait for a quote count as undecided."""
        return Agreement(
            recording=self.recording,
            method="best levels after each diff against the last quote of an update id up to the diff's last",
            undecided=self._undecided + len(self._waiting),
            crossed=self._crossed,
            faults=self.faults,
            **self._counts,
        )

    def _settle(self) -> None:
        """Compare every waiting book that has a quote beyond it, and forget the quotes that no later book needs."""
        while self._waiting and self._quotes and self._waiting[0].sequence < self._quotes[-1].sequence:
            self._compare(self._waiting.popleft())
        if len(self._waiting) > WAITING_MAX:
            self._waiting.popleft()
            self._undecided += 1
        if len(self._quotes) > WAITING_MAX:
            self._quotes.popleft()

    def _compare(self, rebuilt: _Rebuilt) -> None:
        quotes = self._quotes
        while len(quotes) > 1 and quotes[1].sequence <= rebuilt.sequence:
            quotes.popleft()
        quote = quotes[0]
        if quote.sequence > rebuilt.sequence:
            self._undecided += 1
            return
        is_mismatch = rebuilt.best != (quote.bid_ticks, quote.bid_lots, quote.ask_ticks, quote.ask_lots)
        is_same_id = quote.sequence == rebuilt.sequence
        self._counts["compared"] += 1
        self._counts["compared_same_id"] += is_same_id
        self._counts["mismatching"] += is_mismatch
        self._counts["mismatching_same_id"] += is_mismatch and is_same_id
        self._counts["passing"] += self._was_mismatch and not is_mismatch
        self._was_mismatch = is_mismatch


def check_binance(reader: BinanceReader) -> Agreement:
    """Return how the book rebuilt from a Binance recording agrees with its recorded best quotes; reads all of it."""
    guard = FeedGuard(reader.feed, reader.instrument_name)
    agreement = QuoteAgreement(reader.feed)
    for item in reader.events():
        trusted = guard.admit(item)
        if isinstance(trusted, Fault):
            agreement.faults += 1
        elif trusted is not None:
            agreement.on_event(trusted, guard.book)
    return agreement.result()


def check_lobster(reader: LobsterReader) -> Agreement:
    """Return how the book rebuilt from LOBSTER messages agrees with the order book file; reads all of it."""
    faults = sum(isinstance(item, Fault) for item in reader.events())
    report = reader.report
    return Agreement(
        recording=reader.feed,
        method="every level that a row's book with the next message applied and the next row both show",
        compared=report.levels_compared,
        mismatching=report.levels_differing,
        compared_same_id=0,
        mismatching_same_id=0,
        passing=0,
        undecided=0,
        crossed=report.crossed_rows,
        faults=faults,
    )
