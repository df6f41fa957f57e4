"""A venue's server and a link to it in one thread: the test turns both."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controlplane.domain.clock import NS_PER_S, ManualClock
from executor.marketdata.events import BookSnapshot, MarketEvent
from executor.marketdata.quarantine import FeedGuard
from executor.scenarios.venue_process import VenueServer
from executor.simulation.exchange import Exchange
from executor.simulation.replay import Step
from executor.venues.port import VenueMessage
from executor.venues.simulated import SocketLink
from tests.support.trading import START_NS, XYZ


class VenuePair:
    """One venue of the instrument XYZ with a book of one level a side, and one link."""

    def __init__(
        self, directory: Path, events: list[MarketEvent] | None = None, *, cancels_on_hangup: bool = False
    ) -> None:
        self.clock = ManualClock(START_NS)
        self.path = directory / "v.sock"
        self.guard = FeedGuard("feed", "XYZ")
        book = BookSnapshot("XYZ", "feed", START_NS, START_NS, 1, ((9_999, 500),), ((10_001, 500),))
        self.server = VenueServer(
            "SIM",
            self.path,
            exchange=Exchange([XYZ]),
            steps=self._steps([book, *(events or [])]),
            guards={"feed": self.guard},
            clock=self.clock,
            cancels_on_hangup=cancels_on_hangup,
        )
        self.link = SocketLink(self.path, clock=self.clock)

    def _steps(self, events: list[MarketEvent]) -> Iterator[Step]:
        for event in events:
            self.guard.admit(event)
            yield event.receive_ns, event

    def turn(self, rounds: int = 4, *, seconds: float = 0.0) -> list[VenueMessage]:
        """Return what the link heard after the venue has done some rounds, time moving meanwhile."""
        heard: list[VenueMessage] = []
        for _ in range(rounds):
            self.clock.advance_to(self.clock.now_ns + int(seconds * NS_PER_S / rounds))
            self.server.turn()
            heard += self.link.receive()
        return heard


@contextmanager
def venue_pair(
    directory: Path, events: list[MarketEvent] | None = None, *, cancels_on_hangup: bool = False
) -> Iterator[VenuePair]:
    """Yield a venue with a connected link, and close both."""
    pair = VenuePair(directory, events, cancels_on_hangup=cancels_on_hangup)
    try:
        assert pair.link.connect()
        pair.turn()
        yield pair
    finally:
        pair.link.close()
        pair.server.close()
