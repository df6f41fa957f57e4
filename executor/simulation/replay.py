"""Plays feeds in the order in which their events reached us: recorded or generated, from the start or from a moment on.

Every event passes its feed's guard, so what comes out is trusted, and a fault comes out once, at its time. A replay is
a plain iterator of (time, event or fault); `shifted` moves it to another date and pace, `paced` makes it wait for a
clock. Both are for serving a recording as if it happened now.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from heapq import merge

from controlplane.domain.clock import NS_PER_S, Clock
from controlplane.domain.errors import InvalidRequest
from executor.marketdata.events import Fault, Feed, Mark, MarketEvent
from executor.marketdata.quarantine import FeedGuard
from executor.marketdata.validate import ValidationLimits

Item = MarketEvent | Fault
Step = tuple[int, Item]

# No single wait is longer, so that a replay that waits can still be stopped.
WAIT_NS_MAX = NS_PER_S // 10


class Replay:
    """Trusted events of several feeds, merged by the time of receipt.

    `guards` holds each feed's guard with its book, by the feed's name, from before the first step on; playing again
    from the beginning makes new ones.

    Arguments
        feeds     sources, each in receive order; one a feed name
        start_ns  events before this moment build the books and are not handed out; the books are, as snapshots
        limits    how much a feed may deviate
    Errors
        InvalidRequest when two feeds share a name
    """

    def __init__(
        self, feeds: Sequence[Feed], *, start_ns: int | None = None, limits: ValidationLimits | None = None
    ) -> None:
        if len({feed.feed for feed in feeds}) != len(feeds) or not feeds:
            raise InvalidRequest("A replay needs at least one feed, each with a name of its own.", field="feeds")
        self._feeds = tuple(feeds)
        self._start_ns = start_ns
        self._limits = limits or ValidationLimits()
        self.guards = self._fresh_guards()
        self._is_begun = False

    def __iter__(self) -> Iterator[Step]:
        """Yield (time, event or fault) from the beginning; the time never goes back."""
        if self._is_begun:
            self.guards = self._fresh_guards()
        self._is_begun = True
        now_ns, start_ns = 0, self._start_ns
        for item in merge(*(feed.events() for feed in self._feeds), key=_receive_ns):
            if start_ns is not None and item.receive_ns >= start_ns:
                yield from self._books(start_ns)
                now_ns, start_ns = start_ns, None
            for step in self._admitted(item):
                if start_ns is None:
                    now_ns = max(now_ns, step[0])
                    yield now_ns, step[1]

    def _fresh_guards(self) -> dict[str, FeedGuard]:
        return {feed.feed: FeedGuard(feed.feed, feed.instrument_name, self._limits) for feed in self._feeds}

    def _admitted(self, item: Item) -> Iterator[Step]:
        """Yield the faults of feeds that fell silent before the item, then what the item's guard makes of it."""
        for guard in self.guards.values():
            fault = guard.check_age(item.receive_ns)
            if fault is not None:
                yield fault.receive_ns, fault
        admitted = self.guards[item.feed].admit(item)
        if admitted is not None:
            yield item.receive_ns, admitted

    def _books(self, start_ns: int) -> Iterator[Step]:
        for feed, guard in self.guards.items():
            if guard.book.is_ready:
                venue_ns = guard.book.exchange_ns
                yield start_ns, guard.book.snapshot(feed=feed, exchange_ns=venue_ns, receive_ns=start_ns)


def shifted(steps: Iterator[Step], *, begin_ns: int, speed: float = 1.0) -> Iterator[Step]:
    """Yield the same steps with all times moved: the first is at `begin_ns`, the others at their distance over speed.

    Times within an event keep their distance to its receipt, so that latencies stay what they were.

    Errors
        InvalidRequest when speed isn't positive
    """
    if not 0.0 < speed <= 1e6:
        raise InvalidRequest(f"speed must lie above 0 and at most 1,000,000, found {speed}.", field="speed")
    first_ns: int | None = None
    for time_ns, item in steps:
        first_ns = time_ns if first_ns is None else first_ns
        moved_ns = begin_ns + int((time_ns - first_ns) / speed)
        yield moved_ns, _moved(item, moved_ns - item.receive_ns)


def paced(steps: Iterator[Step], *, clock: Clock, sleep: Callable[[float], None]) -> Iterator[Step]:
    """Yield each step once the clock has reached its time; steps that are late come at once.

    Arguments
        clock  whose wall time the steps wait for
        sleep  waits for that many seconds, at most a tenth at a time
    """
    for time_ns, item in steps:
        while (wait_ns := time_ns - clock.wall_ns()) > 0:
            sleep(min(wait_ns, WAIT_NS_MAX) / NS_PER_S)
        yield time_ns, item


def _receive_ns(item: Item) -> int:
    return item.receive_ns


def _moved(item: Item, by_ns: int) -> Item:
    if isinstance(item, Fault):
        return replace(item, receive_ns=item.receive_ns + by_ns)
    moved = replace(item, receive_ns=item.receive_ns + by_ns, exchange_ns=item.exchange_ns + by_ns)
    if isinstance(moved, Mark):
        return replace(moved, funding_ns=moved.funding_ns + by_ns)
    return moved
