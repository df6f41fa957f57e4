"""Assembles the web service: the only file that names every area. `create_app` builds it, `serve` runs it."""

import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response

from controlplane.console.answers import Answers
from controlplane.console.assets import digest_of_all, load_assets
from controlplane.console.doors import Doors
from controlplane.console.measurements import measurements
from controlplane.console.render import Renderer
from controlplane.console.routes import DOORS as CONSOLE_DOORS
from controlplane.console.routes import Console
from controlplane.console.sources import Sources
from controlplane.console.timing import Timing
from controlplane.domain.clock import Clock, SystemClock
from controlplane.domain.errors import InvalidRequest
from controlplane.gate.link import GateControl
from controlplane.gate.switch import Switch
from controlplane.halts import api as halts_api
from controlplane.halts.readings import GateControl as ControlPort
from controlplane.halts.readings import GateReadings
from controlplane.halts.service import Halts
from controlplane.halts.service_log import ServiceLog, past_records
from controlplane.identity import api as identity_api
from controlplane.identity.access import Access
from controlplane.identity.first_accounts import write_first_passwords
from controlplane.identity.guard import Guard
from controlplane.identity.passwords import Passwords
from controlplane.identity.service import FirstAccount, Identity
from controlplane.limits.compile import compile_snapshot
from controlplane.policy.load import load_policies
from controlplane.runtime import http, metrics, postgres
from controlplane.runtime.database import Database
from controlplane.runtime.logs import configure_logs, get_logger
from controlplane.runtime.settings import Settings
from controlplane.supervision import api as supervision_api
from controlplane.supervision.index import RecordIndex
from controlplane.supervision.journal_index import JournalIndex
from controlplane.supervision.service import Supervision
from controlplane.supervision.units import Names

VERSION = "0.1.0"
OPENAPI_PATH = "/api/openapi.json"
KILL_COMMAND = "controlplane kill"
GRACE_SECONDS = 3

DOORS: dict[tuple[str, str], Access] = {
    **CONSOLE_DOORS,
    ("GET", OPENAPI_PATH): Access.SIGNED_IN,
    ("GET", "/metrics"): Access.MACHINE,
    ("GET", "/healthz"): Access.MACHINE,
    ("POST", "/api/session"): Access.PUBLIC,
    ("GET", "/api/session"): Access.SIGNED_IN,
    ("DELETE", "/api/session"): Access.STOP,
    ("GET", "/api/orders"): Access.SIGNED_IN,
    ("GET", "/api/orders/{parent_id}"): Access.SIGNED_IN,
    ("GET", "/api/children/{child_id}"): Access.SIGNED_IN,
    ("GET", "/api/decisions"): Access.SIGNED_IN,
    ("GET", "/api/decisions/{place}"): Access.SIGNED_IN,
    ("GET", "/api/limits/utilisation"): Access.SIGNED_IN,
    ("GET", "/api/status"): Access.SIGNED_IN,
    ("GET", "/api/halts"): Access.SIGNED_IN,
    ("POST", "/api/halts"): Access.STOP,
    ("POST", "/api/halts/{stop_id}/reason"): Access.ACT,
    ("POST", "/api/halts/lifts"): Access.ACT,
    ("POST", "/api/halts/lifts/{lift_id}/confirm"): Access.ACT,
    ("POST", "/api/halts/lifts/{lift_id}/withdraw"): Access.ACT,
    ("POST", "/api/halts/resume"): Access.ACT,
}

Recorder = Callable[[Mapping[str, object]], object]
Show = Callable[[str], object]

log = get_logger("app")


def create_app(
    settings: Settings,
    gate: ControlPort,
    database: Database,
    *,
    record: Recorder,
    clock: Clock | None = None,
    names: Names | None = None,
    index: RecordIndex | None = None,
    passwords: Passwords | None = None,
) -> FastAPI:
    """The web service over a gate and a database; its background readers live as long as its lifespan.

    Arguments
        gate      control requests of this machine's gate
        database  migrated; accounts, sessions and the index over the journal
        record    writes one entry to the service's own log
        names     names behind the numbers of records; read from the policies when left out
        index     search index; the one in the database when left out

    Errors
        PolicyInvalid    the policies can't be read and no names were given
        InvariantBroken  a route has no line in the table of doors
    """
    clock = clock or SystemClock()
    identity = Identity(database, record=record, clock=clock, passwords=passwords or Passwords())
    readings = GateReadings(gate, clock)
    supervision = Supervision(
        index or JournalIndex(database), names=names or names_of_policies(settings, clock), clock=clock
    )
    halts = Halts(
        gate,
        readings=readings,
        record=record,
        clock=clock,
        throw_switch=switch_of(settings),
        parents=supervision.routes_of_parents,
    )
    for facts in past_records(settings.journal_directory):
        halts.board.apply(facts)
    sources = Sources(
        environment=settings.environment.value,
        clock=clock,
        readings=readings,
        halts=halts,
        supervision=supervision,
        is_database_up=lambda: supervision.following.is_up(clock.wall_ns()),
        kill_command=KILL_COMMAND,
    )
    return _assembled(settings, gate, sources, identity)


def _assembled(settings: Settings, gate: ControlPort, sources: Sources, identity: Identity) -> FastAPI:
    app = FastAPI(
        title="Control plane",
        version=VERSION,
        openapi_url=OPENAPI_PATH,
        docs_url=None,  # its viewer would come from another host
        redoc_url=None,
        lifespan=_lifespan_of(sources.readings, sources.supervision),
    )
    app.state.identity, app.state.sources = identity, sources
    _add_routes(app, gate, sources, identity, settings)
    _add_layers(app, settings, sources, identity)
    return app


def _add_routes(app: FastAPI, gate: ControlPort, sources: Sources, identity: Identity, settings: Settings) -> None:
    def answer_metrics() -> Response:
        return Response(measurements(gate, settings.state_directory), media_type=metrics.CONTENT_TYPE)

    def answer_health() -> dict[str, bool]:
        return {"gate_answers": not sources.readings.get("status").error, "database_answers": sources.is_database_up()}

    app.add_api_route("/metrics", answer_metrics, methods=["GET"], include_in_schema=False)
    app.add_api_route("/healthz", answer_health, methods=["GET"], include_in_schema=False)
    for router in (
        identity_api.router(identity),
        supervision_api.router(sources.supervision, sources.readings, environment=sources.environment),
        halts_api.router(sources.halts, sources.readings),
    ):
        # One flat list of routes, so that the table of doors can be held against every one of them.
        app.router.routes.extend(router.routes)


def _add_layers(app: FastAPI, settings: Settings, sources: Sources, identity: Identity) -> None:
    """The console, and around everything, from the inside out: body rules, doors, timing."""
    assets = load_assets()
    renderer = Renderer(
        environment=sources.environment, asset_digest=digest_of_all(assets), kill_command=sources.kill_command
    )
    Console(sources, identity=identity, renderer=renderer, assets=assets).install(app)
    http.install(app, body_bytes_max=settings.http_body_bytes_max)
    answers = Answers(renderer)
    answers.install(app)
    doors = Doors(app.routes, DOORS)
    app.state.doors = doors
    app.add_middleware(
        Guard,
        identity=identity,
        find_door=doors.find,
        refuse=answers.refuse,
        listening=settings.http_host,
        body_bytes_max=settings.http_body_bytes_max,
    )
    app.add_middleware(Timing, find_pattern=doors.pattern)


def _lifespan_of(
    readings: GateReadings, supervision: Supervision
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        readings.start()
        supervision.start()
        try:
            yield
        finally:
            readings.stop()
            supervision.stop()

    return lifespan


def names_of_policies(settings: Settings, clock: Clock) -> Names:
    """The names behind the numbers of records, from the policies that the gate loads as well."""
    policies = load_policies(settings.policy_directory)
    return Names.of(compile_snapshot(policies, as_of_ns=clock.wall_ns(), version=1))


def switch_of(settings: Settings) -> Callable[[str, str], object]:
    """What throws the kill switch of this machine without its gate, given reason and person."""
    directory = settings.state_directory / "gate"

    def throw(reason: str, by: str) -> object:
        with Switch.open(directory) as switch:
            return switch.kill(reason=reason, by=by)

    return throw


def make_first_accounts(identity: Identity, state_directory: Path, show: Show) -> None:
    """Return once accounts exist; those made now are written to a file that only this user can read, and shown once."""

    def hand_over(accounts: tuple[FirstAccount, ...]) -> None:
        path = write_first_passwords(state_directory, accounts)
        show(f"First start: two accounts were made; their passwords also stand in {path}")
        for account in accounts:
            show(f"  {account.person.name:<14} {account.password}")

    identity.make_first_accounts(hand_over)


def serve(settings: Settings, *, show: Show) -> int:
    """The exit status of the web service after it was told to end.

    Arguments
        show  tells whoever started it where the console is, and the first passwords; never a log
    Errors
        InvalidRequest  the address is in use or can't be listened on; whatever a dependency says at the start
    """
    configure_logs(level=settings.log_level, form=settings.log_format)
    clock = SystemClock()
    dsn = settings.dsn.get_secret_value() if settings.dsn is not None else None
    with (
        listening_socket(settings.http_host, settings.http_port) as listener,
        postgres.start(settings.postgres_directory, dsn=dsn) as cluster,
        Database(cluster.dsn, connections_max=20) as database,
        ServiceLog.open(settings.journal_directory, durability=settings.durability, clock=clock) as service_log,
    ):
        database.migrate()
        app = create_app(settings, GateControl(settings.gate_socket), database, record=service_log.record, clock=clock)
        make_first_accounts(app.state.identity, settings.state_directory, show)
        app.state.identity.recall_sessions()
        host, port = listener.getsockname()[:2]
        show(f"Console: http://{f'[{host}]' if ':' in host else host}:{port}/")
        log.info("service_started", host=host, port=port)
        uvicorn.Server(server_configuration(app)).run(sockets=[listener])
    return 0


def server_configuration(app: FastAPI) -> uvicorn.Config:
    """How the HTTP server runs: no websockets, no trust in proxies' headers, nothing about itself in answers."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


@contextlib.contextmanager
def listening_socket(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens on the address.

    Errors
        InvalidRequest when another program has it, or the address is none of this machine's
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise InvalidRequest(_cannot_listen(host, port, error), field="http_port") from error
        listener.listen(128)
        yield listener
    finally:
        listener.close()


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is in use by another program; stop that program, or choose another port with "
            "CONTROLPLANE_HTTP_PORT (0 takes any free one)."
        )
    return (
        f"Expected to listen on {host} port {port}, found: {error.strerror}; correct CONTROLPLANE_HTTP_HOST or "
        "CONTROLPLANE_HTTP_PORT."
    )
