"""Keeps open pages up to date: once a second the panels that changed, and a beat that says the connection lives.

A page that hears no beat marks itself stale; after a cut it gets every panel afresh before it unmarks. Each message
carries how far the record had been read, and a panel ignores a message that is older than what it shows.
"""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from threading import Lock

import anyio
from anyio import to_thread
from sse_starlette import EventSourceResponse, ServerSentEvent

from controlplane.console.panels import Page, Panel
from controlplane.console.render import Renderer
from controlplane.domain.errors import ControlPlaneError

INTERVAL_SECONDS = 1.0
# A browser keeps six connections to one host; the others must stay free for a stop.
STREAMS_PER_SESSION_MAX = 4
STREAMS_MAX = 128
PING_SECONDS = 15

# Reads the page again: the page, the frame's panel and the wall time.
ReadAgain = Callable[[], tuple[Page, Panel, int]]


class Streams:
    """Counts open streams, so that neither a session nor all of them together take too many."""

    def __init__(self) -> None:
        self._open: dict[bytes, int] = {}
        self._lock = Lock()

    def enter(self, session: bytes) -> bool:
        """Whether one more may be opened; it is counted then."""
        with self._lock:
            mine = self._open.get(session, 0)
            if mine >= STREAMS_PER_SESSION_MAX or sum(self._open.values()) >= STREAMS_MAX:
                return False
            self._open[session] = mine + 1
            return True

    def leave(self, session: bytes) -> None:
        """One that was counted has ended."""
        with self._lock:
            left = self._open.get(session, 0) - 1
            if left > 0:
                self._open[session] = left
            else:
                self._open.pop(session, None)


@dataclass(slots=True)
class Watch:
    """What one open page has been sent."""

    read_again: ReadAgain
    renderer: Renderer
    shown: dict[str, str] = field(default_factory=dict)

    def changes(self) -> tuple[str, dict[str, object], int]:
        """The message with what changed (empty when nothing did), the beat, and the record's sequence."""
        page, frame, now_ns = self.read_again()
        panels = [frame, *page.panels]
        changed = [panel for panel in panels if self.shown.get(panel.id) != panel.fingerprint(now_ns)]
        self.shown |= {panel.id: panel.fingerprint(now_ns) for panel in panels}
        message = self.renderer.updates(changed, now_ns=now_ns, sequence=page.sequence)
        beat: dict[str, object] = {
            "now_ns": str(now_ns),
            "as_of_ns": {panel.id: str(panel.as_of_ns) for panel in panels if panel.interval_ns},
        }
        return message, beat, page.sequence


def stream(
    watch: Watch, *, session: bytes, streams: Streams, is_signed_in: Callable[[], bool]
) -> EventSourceResponse:
    """The endless answer to one open page."""
    return EventSourceResponse(_events(watch, session, streams, is_signed_in), ping=PING_SECONDS)


async def _events(
    watch: Watch, session: bytes, streams: Streams, is_signed_in: Callable[[], bool]
) -> AsyncIterator[ServerSentEvent]:
    if not streams.enter(session):
        yield ServerSentEvent(
            event="refused",
            data=f"At most {STREAMS_PER_SESSION_MAX} pages can be live at once; close one or reload this one by hand.",
        )
        return
    try:
        while is_signed_in():
            try:
                message, beat, sequence = await to_thread.run_sync(watch.changes)
            except ControlPlaneError as error:
                yield ServerSentEvent(event="trouble", data=str(error))
            else:
                if message:
                    yield ServerSentEvent(data=message, id=str(sequence))
                yield ServerSentEvent(event="beat", data=json.dumps(beat))
            await anyio.sleep(INTERVAL_SECONDS)
        yield ServerSentEvent(event="signed-out", data="Your session has ended; sign in again.")
    finally:
        streams.leave(session)
