"""Live updates: what an open page is sent, when, and when no more."""

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2
import pytest

from controlplane.console.live import STREAMS_PER_SESSION_MAX, Streams
from tests.support.console import Desk, served


@dataclass
class Listener:
    """Reads one stream of events in the background."""

    url: str
    cookies: dict[str, str]
    events: list[dict[str, str]] = field(default_factory=list)
    status: int = 0
    is_over: bool = False

    def start(self) -> "Listener":
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def wait_for(self, count: int, *, kind: str = "", seconds: float = 5) -> list[dict[str, str]]:
        """Events of a kind, once there are so many."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = [event for event in list(self.events) if event.get("event", "") == kind]
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"expected {count} events {kind!r}, found {self.events}")

    def _read(self) -> None:
        # A server that ends cuts its streams; that is how most of these tests end.
        with (
            suppress(httpx2.TransportError),
            httpx2.Client(cookies=self.cookies, timeout=20) as client,
            client.stream("GET", self.url) as answer,
        ):
            self.status = answer.status_code
            event: dict[str, str] = {}
            for line in answer.iter_lines():
                if not line:
                    if event:
                        self.events.append(event)
                    event = {}
                elif not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    event[name] = f"{event[name]}\n{value}" if name in event else value
        self.is_over = True


def test_an_open_page_gets_every_panel_first_then_only_what_changed_with_a_beat_each_second(desk: Desk) -> None:
    operator = desk.client()
    with served(desk.app) as url:
        listener = Listener(f"{url}/live?page=/limits", dict(operator.http.cookies)).start()
        listener.wait_for(4, kind="beat", seconds=8)
        first = listener.wait_for(1)
        desk.gate.rows[0]["limit"] = "renamed"
        changed = listener.wait_for(2)[-1]

    assert len(first) == 1, "nothing had changed, yet more than the first message came"
    assert first[0]["data"].count("<hx-partial") == 2
    assert changed["data"].count("<hx-partial") == 1
    assert 'hx-target="#panel-limits"' in changed["data"]
    assert "renamed" in changed["data"]
    beat = json.loads(listener.wait_for(1, kind="beat")[0]["data"])
    assert set(beat["as_of_ns"]) == {"panel-frame", "panel-limits"}


def test_messages_carry_how_far_the_record_had_been_read(desk: Desk) -> None:
    operator = desk.client()
    with served(desk.app) as url:
        listener = Listener(f"{url}/live?page=/orders", dict(operator.http.cookies)).start()
        before = int(listener.wait_for(1)[0]["id"])
        desk.day.parent(reference="a-new-block")
        deadline = time.monotonic() + 5
        while "a-new-block" not in listener.wait_for(1)[-1]["data"] and time.monotonic() < deadline:
            time.sleep(0.05)
        newest = listener.wait_for(1)[-1]

    assert "a-new-block" in newest["data"]
    assert int(newest["id"]) == before + 2


def test_what_a_live_update_carries_is_what_the_first_paint_shows(desk: Desk) -> None:
    operator = desk.client()
    page = operator.get("/limits").text
    with served(desk.app) as url:
        message = Listener(f"{url}/live?page=/limits", dict(operator.http.cookies)).start().wait_for(1)[0]["data"]

    rows = [part.split("</tr>")[0] for part in page.split("<tbody>")[1].split("<tr>")[1:]]
    assert len(rows) == 11
    assert all(" ".join(row.split()) in " ".join(message.split()) for row in rows)


def test_a_stream_ends_when_its_session_does(desk: Desk) -> None:
    operator = desk.client()
    with served(desk.app) as url:
        listener = Listener(f"{url}/live?page=/", dict(operator.http.cookies)).start()
        listener.wait_for(1, kind="beat")
        operator.post_form("/sign-out", {})
        listener.wait_for(1, kind="signed-out")

    assert listener.is_over


def test_more_live_pages_than_a_browser_can_spare_connections_for_are_refused_in_a_sentence(desk: Desk) -> None:
    operator = desk.client()
    with served(desk.app) as url:
        cookies = dict(operator.http.cookies)
        kept = [Listener(f"{url}/live?page=/help", cookies).start() for _ in range(STREAMS_PER_SESSION_MAX)]
        for listener in kept:
            listener.wait_for(1, kind="beat")
        refused = Listener(f"{url}/live?page=/help", cookies).start().wait_for(1, kind="refused")

    assert "close one" in refused[0]["data"]


@pytest.mark.parametrize("page", ["/nowhere", "/api/status", "//attacker.example", "/orders/a/b/c", "http://[x"])
def test_only_pages_have_live_updates(desk: Desk, page: str) -> None:
    answer = desk.client().http.request("GET", "/live", params={"page": page})

    assert answer.status_code == 404


def test_trouble_with_a_page_is_told_and_the_stream_goes_on(desk: Desk) -> None:
    operator = desk.client()
    with served(desk.app) as url:
        listener = Listener(f"{url}/live?page=/orders/00000000000000ff", dict(operator.http.cookies)).start()
        trouble = listener.wait_for(2, kind="trouble")

    assert "No parent order" in trouble[0]["data"]


def test_open_streams_are_counted_for_each_session_and_given_back() -> None:
    streams = Streams()

    assert all(streams.enter(b"mine") for _ in range(STREAMS_PER_SESSION_MAX))
    assert not streams.enter(b"mine")
    assert streams.enter(b"other")
    streams.leave(b"mine")
    assert streams.enter(b"mine")
