"""Addresses of the console: each page, its JSON twin, its live updates, the forms, and the static files."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qsl

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from controlplane.console.assets import Asset
from controlplane.console.forms import local_path, parse_form, required
from controlplane.console.live import Streams, Watch, stream
from controlplane.console.pages import block, child, decision, decisions, guide, limits, orders, situation, stop
from controlplane.console.pages.frame import frame_panel
from controlplane.console.panels import Page, Panel
from controlplane.console.render import Renderer
from controlplane.console.sources import Sources, Visit
from controlplane.console.views import link
from controlplane.domain.errors import ControlPlaneError, DatabaseUnavailable, UnknownReference
from controlplane.halts.authority import rung_of
from controlplane.halts.service import Press
from controlplane.identity.access import Access
from controlplane.identity.guard import Visitor, cookie_header, session_cookie, session_of, visitor_of
from controlplane.identity.people import form_token
from controlplane.identity.service import Identity, TooManyAttempts, WrongPassword

ReadPage = Callable[..., Page]

STOP_FIELDS = frozenset({"rung", "scope", "key"})
REASON_FIELDS = frozenset({"stop_id", "phrase", "reason"})
LIFT_FIELDS = frozenset({"scope", "reason", "key"})
CONFIRM_FIELDS = frozenset({"lift_id", "typed_scope"})
WITHDRAW_FIELDS = frozenset({"lift_id"})
SIGN_IN_FIELDS = frozenset({"name", "password", "next"})
YEAR_SECONDS = 31_536_000
STOP_PATH = "/stop"
STOP_THREADS = 8


@dataclass(frozen=True, slots=True)
class PageDoor:
    """One page: its address with names for its parts, and what reads it."""

    path: str
    read: ReadPage

    @property
    def json_path(self) -> str:
        return f"{self.path}.json"

    def match(self, path: str) -> dict[str, str] | None:
        """The named parts of an address of this page; None for other addresses."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path)
        return None if found is None else found.groupdict()


PAGES = (
    PageDoor("/", situation.read),
    PageDoor("/orders", orders.read),
    PageDoor("/orders/{parent_id}", block.read),
    PageDoor("/orders/{parent_id}/children/{child_id}", child.read),
    PageDoor("/limits", limits.read),
    PageDoor("/decisions", decisions.read),
    PageDoor("/decisions/{place}", decision.read),
    PageDoor("/stop", stop.read),
    PageDoor("/help", guide.read),
)

# What the doors of the console ask; `app.py` adds those of the REST interface.
DOORS: dict[tuple[str, str], Access] = {
    **{("GET", door.path): Access.SIGNED_IN for door in PAGES},
    **{("GET", door.json_path): Access.SIGNED_IN for door in PAGES},
    ("GET", "/glossary"): Access.SIGNED_IN,
    ("GET", "/live"): Access.SIGNED_IN,
    ("GET", "/sign-in"): Access.PUBLIC,
    ("POST", "/sign-in"): Access.PUBLIC,
    ("POST", "/sign-out"): Access.STOP,
    ("POST", "/stop"): Access.STOP,
    ("POST", "/stop/reason"): Access.ACT,
    ("POST", "/stop/lift"): Access.ACT,
    ("POST", "/stop/lift/confirm"): Access.ACT,
    ("POST", "/stop/lift/withdraw"): Access.ACT,
    ("POST", "/stop/resume"): Access.ACT,
    ("GET", "/static/{digest}/{name:path}"): Access.PUBLIC,
}


class Console:
    """The routes of the console over its sources."""

    def __init__(
        self, sources: Sources, *, identity: Identity, renderer: Renderer, assets: dict[str, Asset]
    ) -> None:
        self._sources = sources
        self._identity = identity
        self._renderer = renderer
        self._assets = assets
        self._streams = Streams()
        # Threads of their own, so that no number of requests stuck in a frozen database holds up a stop.
        self._stop_limiter = CapacityLimiter(STOP_THREADS)

    def install(self, app: FastAPI) -> None:
        """Add every route to the application; none of them is part of the documented interface for programs."""
        for door in PAGES:
            # The twin first: its address would otherwise be taken for a name that ends in .json.
            app.add_route(door.json_path, self._twin_of(door), methods=["GET"], include_in_schema=False)
            app.add_route(door.path, self._page_of(door), methods=["GET"], include_in_schema=False)
        for method, path, endpoint in (
            ("GET", "/glossary", self._glossary),
            ("GET", "/live", self._live),
            ("GET", "/sign-in", self._sign_in_page),
            ("POST", "/sign-in", self._sign_in),
            ("POST", "/sign-out", self._sign_out),
            ("POST", "/stop", self._stop),
            ("POST", "/stop/reason", self._reason),
            ("POST", "/stop/lift", self._lift),
            ("POST", "/stop/lift/confirm", self._confirm),
            ("POST", "/stop/lift/withdraw", self._withdraw),
            ("POST", "/stop/resume", self._resume),
            ("GET", "/static/{digest}/{name:path}", self._static),
        ):
            app.add_route(path, endpoint, methods=[method], include_in_schema=False)

    def _page_of(self, door: PageDoor) -> Callable[[Request], Awaitable[Response]]:
        def render(request: Request) -> Response:
            visitor = visitor_of(request.scope)
            visit = self._visit(request.url.path, dict(request.query_params), visitor)
            page = door.read(self._sources, visit, **request.path_params)
            return HTMLResponse(self._rendered(page, visit, visitor))

        async def answer(request: Request) -> Response:
            limiter = self._stop_limiter if door.path == STOP_PATH else None
            return await to_thread.run_sync(render, request, limiter=limiter)

        return answer

    def _twin_of(self, door: PageDoor) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            visitor = visitor_of(request.scope)
            path = request.url.path.removesuffix(".json") or "/"
            visit = self._visit(path, dict(request.query_params), visitor)
            page = door.read(self._sources, visit, **request.path_params)
            return JSONResponse(page.plain(visit.now_ns, self._sources.environment))

        return answer

    def _glossary(self, _: Request) -> Response:
        return RedirectResponse("/help#glossary", status_code=303)

    def _rendered(self, page: Page, visit: Visit, visitor: Visitor) -> str:
        frame = frame_panel(self._sources, visit)
        return self._renderer.page(page, visit=visit, frame=frame, form_token=form_token(visitor.secret))

    def _visit(self, path: str, query: dict[str, str], visitor: Visitor) -> Visit:
        person = visitor.session.person if visitor.session is not None else None
        # The page with the stop buttons never waits for the database, not even for one that is only slow.
        if visitor.session is not None and path != STOP_PATH and self._sources.is_database_up():
            self._identity.keep_seen(visitor.session)
        return Visit(path, query, person, self._sources.clock.wall_ns())

    def _live(self, request: Request) -> Response:
        visitor = visitor_of(request.scope)
        session = session_of(visitor)
        path, _, filters = request.query_params.get("page", "/").partition("?")
        query = dict(parse_qsl(filters))
        for door in PAGES:
            parts = door.match(path)
            if parts is not None:
                break
        else:
            raise UnknownReference(f"No page has the address {path[:80]!r}; only pages have live updates.")

        def read_again() -> tuple[Page, Panel, int]:
            visit = Visit(path, query, session.person, self._sources.clock.wall_ns())
            return door.read(self._sources, visit, **parts), frame_panel(self._sources, visit), visit.now_ns

        return stream(
            Watch(read_again, self._renderer),
            session=session.digest,
            streams=self._streams,
            is_signed_in=lambda: self._identity.remembered(visitor.secret) is not None,
        )

    def _static(self, request: Request) -> Response:
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise UnknownReference("No static file has this name.")
        etag = f'"{asset.digest[:32]}"'
        headers = {"cache-control": f"public, max-age={YEAR_SECONDS}, immutable", "etag": etag}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.body, media_type=asset.media_type, headers=headers)

    def _sign_in_page(self, request: Request) -> Response:
        return HTMLResponse(self._sign_in_body(local_path(request.query_params.get("next", "/")), ""))

    async def _sign_in(self, request: Request) -> Response:
        fields = parse_form(await request.body(), allowed=SIGN_IN_FIELDS)
        wanted = local_path(fields.get("next", "/"))
        visitor = visitor_of(request.scope)
        try:
            signed_in = await run_in_threadpool(
                self._identity.sign_in,
                required(fields, "name"),
                fields.get("password", ""),
                address=visitor.caller.address,
                replaces=visitor.secret or None,
            )
        except WrongPassword as error:
            return HTMLResponse(self._sign_in_body(wanted, str(error)), status_code=401)
        except TooManyAttempts as error:
            headers = {"retry-after": str(error.wait_seconds)}
            return HTMLResponse(self._sign_in_body(wanted, str(error)), status_code=429, headers=headers)
        except DatabaseUnavailable as error:
            return HTMLResponse(self._sign_in_body(wanted, str(error)), status_code=503)
        response = RedirectResponse(wanted, status_code=303)
        response.headers["set-cookie"] = session_cookie(visitor, signed_in.secret)
        return response

    def _sign_in_body(self, wanted: str, error: str) -> str:
        return self._renderer.plain("sign_in", wanted=wanted, error=error)

    def _sign_out(self, request: Request) -> Response:
        visitor = visitor_of(request.scope)
        # It is over in this process, and the guard knows it no longer, whatever database and journal say.
        with suppress(ControlPlaneError):
            self._identity.sign_out(visitor.secret)
        response = RedirectResponse("/sign-in", status_code=303)
        response.headers["set-cookie"] = cookie_header("", host=visitor.caller.host, seconds=0)
        return response

    async def _stop(self, request: Request) -> Response:
        fields = parse_form(await request.body(), allowed=STOP_FIELDS)
        press = Press(
            rung_of(required(fields, "rung")), required(fields, "scope"), _name(request), required(fields, "key")
        )
        pressed = await to_thread.run_sync(self._sources.halts.press, press, limiter=self._stop_limiter)
        return RedirectResponse(link("/stop", "panel-result", stop=pressed.stop_id), status_code=303)

    async def _reason(self, request: Request) -> Response:
        fields = parse_form(await request.body(), allowed=REASON_FIELDS)
        reason = fields.get("reason", "").strip() or fields.get("phrase", "")
        stop_id = required(fields, "stop_id")
        await run_in_threadpool(self._sources.halts.give_reason, stop_id, reason=reason, by=_name(request))
        return RedirectResponse(link("/stop", "panel-result", stop=stop_id), status_code=303)

    async def _lift(self, request: Request) -> Response:
        fields = parse_form(await request.body(), allowed=LIFT_FIELDS)
        lift = await run_in_threadpool(
            self._sources.halts.ask_lift,
            scope=required(fields, "scope"),
            reason=fields.get("reason", ""),
            by=_name(request),
            key=required(fields, "key"),
        )
        return RedirectResponse(link("/stop", "lift", scope=lift.scope), status_code=303)

    async def _confirm(self, request: Request) -> Response:
        fields = parse_form(await request.body(), allowed=CONFIRM_FIELDS)
        lift = await run_in_threadpool(
            self._sources.halts.confirm_lift,
            required(fields, "lift_id"),
            by=_name(request),
            typed_scope=fields.get("typed_scope", ""),
        )
        return RedirectResponse(link("/stop", "lift", scope=lift.scope), status_code=303)

    async def _withdraw(self, request: Request) -> Response:
        fields = parse_form(await request.body(), allowed=WITHDRAW_FIELDS)
        lift = await run_in_threadpool(
            self._sources.halts.withdraw_lift, required(fields, "lift_id"), by=_name(request)
        )
        return RedirectResponse(link("/stop", "lift", scope=lift.scope), status_code=303)

    async def _resume(self, request: Request) -> Response:
        fields = parse_form(await request.body(), allowed=LIFT_FIELDS)
        scope = required(fields, "scope")
        await run_in_threadpool(
            self._sources.halts.resume,
            scope=scope,
            reason=fields.get("reason", ""),
            by=_name(request),
            key=required(fields, "key"),
        )
        return RedirectResponse(link("/stop", scope=scope), status_code=303)


def _name(request: Request) -> str:
    return session_of(visitor_of(request.scope)).person.name
