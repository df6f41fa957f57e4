"""The web service over a fake gate and a day of records, in memory or behind a real socket; a real database for
accounts."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import uvicorn
from fastapi import FastAPI

from controlplane.app import create_app, listening_socket, server_configuration
from controlplane.domain.clock import SystemClock
from controlplane.domain.errors import JournalUnavailable
from controlplane.identity.guard import FORM_TOKEN_HEADER
from controlplane.identity.passwords import Passwords
from controlplane.identity.service import FirstAccount
from controlplane.runtime.database import Database
from controlplane.runtime.settings import Settings
from tests.support.gates import FakeGateControl, working_row
from tests.support.records import NAMES, Day, typical_day


class SwitchableDatabase(Database):
    """A database that can be away without being stopped."""

    is_away = False

    def __init__(self, dsn: str, *, connections_max: int = 10) -> None:
        self.thawed = threading.Event()
        self.thawed.set()
        super().__init__(dsn, connections_max=connections_max)

    def _connect(self):  # type: ignore[no-untyped-def]
        self.thawed.wait()
        if self.is_away:
            import psycopg

            raise psycopg.OperationalError("connection refused")
        return super()._connect()

    def leave(self) -> None:
        """Be away from now on."""
        self.is_away = True
        self.engine.dispose()

    def freeze(self) -> None:
        """Answer nothing and refuse nothing, like a server that was suspended."""
        self.thawed.clear()
        self.engine.dispose()

    def come_back(self) -> None:
        """Answer again."""
        self.is_away = False
        self.thawed.set()


@dataclass
class Recorded:
    """Keeps what the service records; can be told to fail like a full disk."""

    facts: list[dict[str, object]] = field(default_factory=list)
    is_full: bool = False

    def __call__(self, facts: Mapping[str, object]) -> int:
        if self.is_full:
            raise JournalUnavailable("No space is left for the journal; free some, then start again.")
        self.facts.append(dict(facts))
        return len(self.facts)

    def kinds(self) -> list[str]:
        return [str(facts["kind"]) for facts in self.facts]


@dataclass
class Desk:
    """Everything a test of the console holds in its hands."""

    app: FastAPI
    gate: FakeGateControl
    day: Day
    recorded: Recorded
    database: SwitchableDatabase
    passwords: dict[str, str]
    state_directory: Path

    def client(self, name: str | None = "operator") -> "Browser":
        """A browser without scripts, signed in as this person, or as nobody."""
        browser = Browser(self)
        if name is not None:
            browser.sign_in(name)
        return browser

    def poll(self) -> None:
        """Read the gate and the record once, as the background readers do."""
        self.app.state.sources.readings.refresh()
        self.app.state.sources.supervision.poll()

    def go_away(self) -> None:
        """Take the database away from everything."""
        self.database.leave()
        self.day.is_away = True
        self.poll()


class Browser:
    """Sends what a browser without scripts would send, cookies and fetch headers included."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        transport = httpx2.ASGITransport(app=desk.app, client=("127.0.0.1", 50_000))
        self.http = SyncClient(transport)
        self.token = ""

    def sign_in(self, name: str) -> None:
        answer = self.http.request("POST", "/api/session", json={"name": name, "password": self.desk.passwords[name]})
        assert answer.status_code == 201, answer.text
        self.token = answer.json()["form_token"]

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.http.request("GET", path, headers=headers)

    def post_form(
        self, path: str, fields: Mapping[str, str], *, with_token: bool = True, **headers: str
    ) -> httpx2.Response:
        data = dict(fields) | ({"form_token": self.token} if with_token else {})
        sent = {"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1"} | headers
        return self.http.request("POST", path, data=data, headers=sent)

    def post_json(self, path: str, body: object, **headers: str) -> httpx2.Response:
        return self.http.request("POST", path, json=body, headers={FORM_TOKEN_HEADER: self.token} | headers)


class SyncClient:
    """A client over an ASGI application, one event loop for each request."""

    def __init__(self, transport: httpx2.ASGITransport) -> None:
        self._transport = transport
        self.cookies = httpx2.Cookies()

    def request(self, method: str, path: str, **given: object) -> httpx2.Response:
        import anyio

        async def send() -> httpx2.Response:
            async with httpx2.AsyncClient(
                transport=self._transport, base_url="http://127.0.0.1", cookies=self.cookies
            ) as client:
                answer = await client.request(method, path, follow_redirects=False, **given)  # type: ignore[arg-type]
                self.cookies = client.cookies
                return answer

        return anyio.run(send)


def make_desk(
    database: SwitchableDatabase, directory: Path, *, day: Day | None = None, passwords: dict[str, str] | None = None
) -> Desk:
    """The service with two accounts, a fake gate with three working orders, and a typical day.

    Arguments
        passwords  those of the accounts that the database has already
    """
    day = day or typical_day(now_ns=time.time_ns())
    gate = FakeGateControl(time.time_ns)
    settings = Settings(state_directory=directory, http_body_bytes_max=65_536)
    recorded = Recorded()
    app = create_app(
        settings,
        gate,
        database,
        record=recorded,
        clock=SystemClock(),
        names=NAMES,
        index=day,
        passwords=Passwords(time_cost=1, memory_kib=1_024),
    )
    passwords = dict(passwords or {})

    def keep(accounts: tuple[FirstAccount, ...]) -> None:
        passwords.update({account.person.name: account.password for account in accounts})

    app.state.identity.make_first_accounts(keep)
    desk = Desk(app, gate, day, recorded, database, passwords, directory)
    desk.poll()
    with app.state.sources.supervision.reading() as book:
        live = [child for child in book.children.values() if child.state.value in ("working", "partly filled")]
    gate.working.extend(working_row(child.child_id, child.parent_id) for child in live)
    desk.poll()
    return desk


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address of the application behind a real socket on this machine."""
    with listening_socket("127.0.0.1", 0) as listener:
        configuration = server_configuration(app)
        configuration.timeout_graceful_shutdown = 1
        server = uvicorn.Server(configuration)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)
