"""From the error tree to HTTP, and what every request must pass before a route sees it.

An error is answered as a problem document (RFC 9457): `type`, `title`, `status`, `detail`, and where they apply
`field`, `rule` and `incident`. Bodies have a largest size, and JSON is read strictly: a key given twice or a NaN is
refused, since two readers could take such a body for two different orders.
"""

import json
import os
import signal
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.domain import errors
from controlplane.runtime import metrics
from controlplane.runtime.logs import get_logger

PROBLEM_TYPE = "application/problem+json"
RETRY_SECONDS = 5
NESTING_MAX = 32
INTEGER_DIGITS_MAX = 40  # twice what any field of ours can hold

# The nearest class of an error's ancestry that stands here decides.
STATUS_OF: dict[type[errors.ControlPlaneError], HTTPStatus] = {
    errors.InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.PolicyInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownReference: HTTPStatus.NOT_FOUND,
    errors.NotPermitted: HTTPStatus.FORBIDDEN,
    errors.SameApprover: HTTPStatus.FORBIDDEN,
    errors.StateConflict: HTTPStatus.CONFLICT,
    errors.RequestError: HTTPStatus.BAD_REQUEST,
    errors.DependencyError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.EvidenceError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

log = get_logger("runtime.http")


class MalformedBody(errors.InvalidRequest):
    """A body that is not the JSON it claims to be; answered with 400, where a well-formed wrong value gets 422."""


class BodyTooLarge(errors.InvalidRequest):
    """A body over the size that the settings allow."""


class UnsupportedBody(errors.InvalidRequest):
    """A body of another media type than the route takes."""


STATUS_OF[UnsupportedBody] = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
STATUS_OF[MalformedBody] = HTTPStatus.BAD_REQUEST
STATUS_OF[BodyTooLarge] = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@dataclass(frozen=True, slots=True)
class Problem:
    """One error in the form that a caller receives."""

    status: HTTPStatus
    kind: str
    detail: str
    extra: dict[str, str]

    def response(self) -> JSONResponse:
        """The problem as an HTTP answer; a retry time goes with 503."""
        body = {
            "type": f"urn:controlplane:error:{self.kind}",
            "title": self.kind,
            "status": int(self.status),
            "detail": self.detail,
            **self.extra,
        }
        headers = {"Retry-After": str(RETRY_SECONDS)} if self.status is HTTPStatus.SERVICE_UNAVAILABLE else None
        return JSONResponse(body, status_code=self.status, media_type=PROBLEM_TYPE, headers=headers)


def problem_of(error: errors.ControlPlaneError) -> Problem:
    """The answer to an error of the tree.

    Errors
        the error itself when it is an InvariantBroken: nobody answers for a bug, the connection ends
    """
    if isinstance(error, errors.InvariantBroken):
        raise error
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    extra: dict[str, str] = {}
    if isinstance(error, errors.InvalidRequest) and error.field is not None:
        extra["field"] = error.field
    if isinstance(error, errors.NotPermitted):
        extra["rule"] = error.rule
    if isinstance(error, errors.EvidenceError):
        extra["incident"] = uuid.uuid4().hex
    return Problem(status, type(error).__name__, str(error), extra)


def strict_json_loads(body: bytes) -> object:
    """The value of a JSON body, read so that every reader would read the same.

    Errors
        MalformedBody for bytes that are not UTF-8, not JSON, hold a key twice, a NaN or an infinity, an integer of
        more than 40 digits, or nest deeper than 32 levels
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except UnicodeDecodeError as error:
        raise MalformedBody(
            f"Expected a body in UTF-8, found byte {error.start} to be none; encode it again."
        ) from None
    except json.JSONDecodeError as error:
        raise MalformedBody(
            f"Expected a JSON body, found {error.msg} at line {error.lineno} column {error.colno}; correct it."
        ) from None
    except RecursionError:
        raise MalformedBody(_too_deep()) from None
    if _depth_exceeds(value, NESTING_MAX):
        raise MalformedBody(_too_deep())
    return value


def install(app: FastAPI, *, body_bytes_max: int) -> None:
    """Give an application the error table and the body rules; every route then simply raises."""
    install_error_handlers(app)
    app.add_middleware(BodyRules, body_bytes_max=body_bytes_max)


def install_error_handlers(app: FastAPI, *, stop_process: Callable[[], None] | None = None) -> None:
    """Give an application the error table alone.

    Arguments
        stop_process  what ends this process after a broken invariant; by default the signal that asks it to end
    """

    async def answer(request: Request, error: Exception) -> Response:
        if not isinstance(error, errors.ControlPlaneError):
            raise error
        problem = problem_of(error)
        _write_log(request, error, problem)
        return problem.response()

    async def answer_validation(_: Request, error: Exception) -> Response:
        first: dict[str, Any] = error.errors()[0] if isinstance(error, RequestValidationError) else {}
        field = ".".join(str(part) for part in first.get("loc", ()) if part != "body")
        found = repr(first.get("input"))[:80]
        detail = f"Expected a valid value for {field or 'the body'}, found {found}: {first.get('msg')}; correct it."
        extra = {"field": field} if field else {}
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "InvalidRequest", detail, extra).response()

    async def answer_plain(_: Request, error: Exception) -> Response:
        status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.BAD_REQUEST
        detail = str(error.detail) if isinstance(error, HTTPException) else status.phrase
        return Problem(status, status.phrase.replace(" ", ""), detail, {}).response()

    app.add_exception_handler(errors.ControlPlaneError, answer)
    app.add_exception_handler(RequestValidationError, answer_validation)
    app.add_exception_handler(HTTPException, answer_plain)
    app.add_middleware(StopOnBrokenInvariant, stop_process=stop_process or _ask_process_to_end)


class StopOnBrokenInvariant:
    """Ends the process after a bug showed itself: nobody knows what else it believes by then."""

    def __init__(self, app: ASGIApp, *, stop_process: Callable[[], None]) -> None:
        self.app = app
        self.stop_process = stop_process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except errors.InvariantBroken as error:
            log.critical("invariant_broken", path=scope.get("path", ""), detail=str(error))
            self.stop_process()
            raise


class BodyRules:
    """Reads a request's body before any route does: refuses one that is too large or whose JSON is not strict."""

    def __init__(self, app: ASGIApp, *, body_bytes_max: int) -> None:
        self.app = app
        self.body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        media_type = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        try:
            body = await self._read(headers.get(b"content-length", b""), receive)
            # A body without a type is taken for JSON by some frameworks, so it has to pass as well.
            if body and (media_type in (b"", b"application/json") or media_type.endswith(b"+json")):
                strict_json_loads(body)
        except (BodyTooLarge, MalformedBody) as error:
            await problem_of(error).response()(scope, receive, send)
            return
        if body is not None:
            await self.app(scope, _replay(body, receive), send)

    async def _read(self, declared: bytes, receive: Receive) -> bytes | None:
        """The whole body, or None when the caller left before its end.

        Errors
            BodyTooLarge as soon as it is known
        """
        if declared.isdigit() and int(declared) > self.body_bytes_max:
            raise self._too_large()
        chunks: list[bytes] = []
        length = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            chunk = message.get("body", b"")
            length += len(chunk)
            if length > self.body_bytes_max:
                raise self._too_large()
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(
            f"Expected a body of at most {self.body_bytes_max} bytes, found a larger one; send less at a time."
        )


def _replay(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _write_log(request: Request, error: errors.ControlPlaneError, problem: Problem) -> None:
    facts = {"path": request.url.path, "error": problem.kind, "detail": problem.detail, **problem.extra}
    if isinstance(error, errors.EvidenceError):
        log.error("request_failed", **facts)
    elif isinstance(error, errors.DependencyError):
        metrics.DEPENDENCY_ERRORS.labels(error=problem.kind).inc()
        log.warning("request_failed", **facts)
    else:
        log.info("request_refused", **facts)


def _ask_process_to_end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _object_without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    seen: dict[str, object] = {}
    for key, value in pairs:
        if key in seen:
            raise MalformedBody(f"Expected every key once, found {key[:80]!r} twice; remove one.", field=key[:80])
        seen[key] = value
    return seen


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedBody(f"Expected numbers, found {name}, which JSON doesn't have; correct the value.")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise MalformedBody(f"Expected numbers within range, found {text[:40]}; correct the value.")
    return value


def _bounded(text: str) -> int:
    if len(text) > INTEGER_DIGITS_MAX:
        raise MalformedBody(f"Expected integers of at most {INTEGER_DIGITS_MAX} digits, found {len(text)}; correct it.")
    return int(text)


def _depth_exceeds(value: object, levels: int) -> bool:
    """Whether containers nest deeper than so many levels; walks level by level, so depth costs no stack."""
    row = [value]
    for _ in range(levels + 1):
        row = [child for item in row for child in _children(item)]
        if not row:
            return False
    return True


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _too_deep() -> str:
    return f"Expected at most {NESTING_MAX} levels of nesting, found more; send a flatter body."
