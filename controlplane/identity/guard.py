"""Stands in front of every route: finds out who knocks, and opens only doors that a table names.

A plain ASGI callable, because the usual middleware decorators don't see websockets. What it checks, in this order:
the name the caller uses for us, the door, the session, and for everything that may change something, that the request
came from one of our own pages and carries the form token of the session. It fails closed: no line in the table, no
entry.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs

from anyio import to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.domain.clock import NS_PER_S
from controlplane.domain.errors import (
    ControlPlaneError,
    DatabaseUnavailable,
    InvalidRequest,
    NotPermitted,
    UnknownReference,
)
from controlplane.identity.access import SAFE_METHODS, Access, Caller, host_of, is_loopback_host, is_own_host
from controlplane.identity.people import AGE_NS_MAX, Session, is_form_token
from controlplane.identity.service import Identity, TooManyAttempts, WrongPassword

SECURE_COOKIE = "__Host-controlplane"
# A browser keeps a Secure cookie only where it trusts the connection. On plain HTTP to this machine some don't, so that
# one case gets a name of its own, without the promise that the prefix makes.
LOOPBACK_COOKIE = "controlplane_loopback"
FORM_TOKEN_FIELD = "form_token"  # noqa: S105 - the name of a field, not its content
FORM_TOKEN_HEADER = "x-form-token"  # noqa: S105 - the name of a header
FORM_TYPE = "application/x-www-form-urlencoded"

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            b"form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not no-referrer: under it a browser sends its forms with the origin "null", and the guard would refuse them.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")

Refuse = Callable[[Scope, ControlPlaneError], ASGIApp]
FindDoor = Callable[[str, str], Access | None]


class NotSignedIn(NotPermitted):
    """Nobody is signed in; answered with 401, or with the way to the sign-in page."""


class ForeignHost(InvalidRequest):
    """The caller used a name that isn't ours; answered with 421."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who made a request. `secret` is the session's own and goes nowhere but into form tokens and cookies."""

    caller: Caller
    session: Session | None
    secret: str
    is_database_away: bool = False


class Guard:
    """The application with doors.

    Arguments
        app             everything behind the doors
        identity        who is who
        find_door       what a method and a path need; None when nothing is there
        refuse          the answer to a refused request, as an application
        listening       address that the server listens on
        body_bytes_max  largest form that is read to find its token
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        identity: Identity,
        find_door: FindDoor,
        refuse: Refuse,
        listening: str,
        body_bytes_max: int,
    ) -> None:
        self.app = app
        self._identity = identity
        self._find_door = find_door
        self._refuse = refuse
        self._listening = listening
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            # We offer no websocket; a handshake is answered before anything looks at it.
            await send({"type": "websocket.close", "code": 1008, "reason": "no websocket is offered here"})
            return
        headers = headers_of(scope)
        caller = caller_of(scope, headers)
        send = _with_headers(send, is_secure=not is_loopback_host(caller.host))
        try:
            visitor = await self._visit(scope, caller, headers)
            scope.setdefault("state", {})["visitor"] = visitor
            if scope["method"] not in SAFE_METHODS:
                receive = await self._check_origin(headers, receive, visitor)
        except ControlPlaneError as error:
            await self._refuse(scope, error)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _visit(self, scope: Scope, caller: Caller, headers: Mapping[str, str]) -> Visitor:
        if not is_own_host(caller.host, listening=self._listening):
            raise ForeignHost(
                f"Expected a request for this service by one of its own names, found {caller.host[:80]!r}; open it "
                "by the "
                "address that the service printed when it started."
            )
        access = self._find_door(scope["method"], scope["path"])
        secret = secret_of(headers, caller.host)
        session, is_database_away = await self._session(secret)
        visitor = Visitor(caller, session, secret, is_database_away)
        scope.setdefault("state", {})["visitor"] = visitor
        if access is Access.PUBLIC or (access is Access.MACHINE and caller.is_this_machine):
            return visitor
        if session is None:
            if is_database_away and secret:
                raise DatabaseUnavailable(
                    "The database doesn't answer, and this process doesn't know your session from memory; stop from a "
                    "shell on the machine with `controlplane kill`, or sign in when the database is back."
                )
            raise NotSignedIn("Nobody is signed in; sign in first.", rule="signed-in")
        if access is None:
            # After the question who asks: a stranger shall not learn which addresses exist.
            what = f"{scope['path'][:120]} with the method {scope['method'][:10]}"
            raise UnknownReference(f"Nothing has the address {what}.")
        if access is Access.ACT and await to_thread.run_sync(self._is_database_away):
            raise DatabaseUnavailable(
                "The database doesn't answer, so nothing but stopping is possible now; try again when it is back."
            )
        return visitor

    async def _session(self, secret: str) -> tuple[Session | None, bool]:
        """The living session, and whether the database had to be asked and didn't answer."""
        if not secret:
            return None, False
        session = self._identity.remembered(secret)
        if session is not None:
            return session, False
        try:
            return await to_thread.run_sync(self._identity.find, secret), False
        except DatabaseUnavailable:
            return None, True

    def _is_database_away(self) -> bool:
        return not self._identity.is_database_reachable()

    async def _check_origin(self, headers: Mapping[str, str], receive: Receive, visitor: Visitor) -> Receive:
        """The body to read on with, once it is certain that one of our own pages or a program sent the request.

        Errors
            NotPermitted for a foreign origin, or a missing or wrong form token
        """
        site = headers.get("sec-fetch-site", "")
        if site not in ("", "same-origin"):
            raise NotPermitted(
                "The request came from a page of another site and was not looked at; use this service's own pages.",
                rule="same-origin",
            )
        origin = headers.get("origin", "")
        if origin and origin.partition("://")[2].lower() != headers.get("host", "").strip().lower():
            raise NotPermitted(
                f"The request came from {origin[:80]} and was not looked at; use this service's own pages.",
                rule="same-origin",
            )
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if visitor.session is None:
            # Signing in has no session to bind a token to. A foreign page can't send JSON without asking first, and a
            # browser that sends a form says where it comes from.
            if media_type == FORM_TYPE and not (site or origin):
                raise NotPermitted(
                    "The form doesn't say which page it came from; use the sign-in page.", rule="same-origin"
                )
            return receive
        token = headers.get(FORM_TOKEN_HEADER, "")
        if not token and media_type == FORM_TYPE:
            body, receive = await _read_body(receive, self._body_bytes_max)
            token = parse_qs(body.decode("utf-8", "replace")).get(FORM_TOKEN_FIELD, [""])[-1]
        if not is_form_token(token, visitor.secret):
            raise NotPermitted(
                "The request doesn't carry this session's form token; reload the page and press again, or send the "
                "token "
                f"that GET /api/session names in the header {FORM_TOKEN_HEADER}.",
                rule="form-token",
            )
        return receive


def visitor_of(scope: Scope) -> Visitor:
    """Who made the request that is being answered; the guard noted it before any route was asked."""
    visitor = scope.get("state", {}).get("visitor")
    if not isinstance(visitor, Visitor):
        raise NotPermitted("The request did not pass the guard, so nobody may answer it.")
    return visitor


def session_of(visitor: Visitor) -> Session:
    """The visitor's session; NotSignedIn when a door that is open to all is asked for something personal."""
    if visitor.session is None:
        raise NotSignedIn("Nobody is signed in; sign in first.", rule="signed-in")
    return visitor.session


def headers_of(scope: Scope) -> dict[str, str]:
    """The headers of a request by lower-case name; of a header given twice the first, and no cookie but the first
    line."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return found


def caller_of(scope: Scope, headers: Mapping[str, str]) -> Caller:
    """Where the request came from."""
    client = scope.get("client")
    is_forwarded = any(name in headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via"))
    return Caller(client[0] if client else "", host_of(headers.get("host", "")), is_forwarded)


def cookie_name(host: str) -> str:
    """The name of the session's cookie for a caller who reaches us by this name."""
    return LOOPBACK_COOKIE if is_loopback_host(host) else SECURE_COOKIE


def cookie_header(secret: str, *, host: str, seconds: int) -> str:
    """The Set-Cookie header that gives a browser its session, or takes it away when `seconds` is 0."""
    secure = "" if is_loopback_host(host) else "; Secure"
    return f"{cookie_name(host)}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def session_cookie(visitor: Visitor, secret: str) -> str:
    """The header that hands a new session to the visitor's browser."""
    return cookie_header(secret, host=visitor.caller.host, seconds=AGE_NS_MAX // NS_PER_S)


def secret_of(headers: Mapping[str, str], host: str) -> str:
    """The session's secret that the request carries; empty when it carries none."""
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == cookie_name(host) and 0 < len(value) <= 128:
            return value
    return ""


def undeclared(routes: Iterable[tuple[str, str]], doors: Mapping[tuple[str, str], Access]) -> list[str]:
    """The routes that no line of the table names, as `GET /orders`."""
    return sorted(f"{method} {path}" for method, path in routes if (method, path) not in doors)


async def _read_body(receive: Receive, bytes_max: int) -> tuple[bytes, Receive]:
    """The whole body, and a `receive` that gives it again; more than `bytes_max` is left to the body rules behind
    us."""
    messages: list[Message] = []
    body = b""
    while True:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body", False) or len(body) > bytes_max:
            break

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return body[:bytes_max], again


def _with_headers(send: Send, *, is_secure: bool) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message.get("headers", [])}
            added = [pair for pair in SECURITY_HEADERS if pair[0] not in present]
            if is_secure:
                added.append(HSTS)
            if b"cache-control" not in present:
                added.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return send_with_headers


STATUS_OF: dict[type[ControlPlaneError], HTTPStatus] = {
    NotSignedIn: HTTPStatus.UNAUTHORIZED,
    ForeignHost: HTTPStatus.MISDIRECTED_REQUEST,
    WrongPassword: HTTPStatus.UNAUTHORIZED,
    TooManyAttempts: HTTPStatus.TOO_MANY_REQUESTS,
}
