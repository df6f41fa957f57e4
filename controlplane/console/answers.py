"""What went wrong, as a page for people and as a problem document for programs; and the way to the sign-in page."""

from inspect import isawaitable
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from controlplane.console.render import Renderer
from controlplane.domain.errors import ControlPlaneError, InvariantBroken, UnknownReference
from controlplane.identity.access import SAFE_METHODS
from controlplane.identity.guard import STATUS_OF as DOOR_STATUS
from controlplane.identity.guard import NotSignedIn
from controlplane.identity.service import TooManyAttempts
from controlplane.runtime.http import Problem, problem_of

MACHINE_PATHS = ("/api/", "/metrics", "/live", "/static/")


class Answers:
    """Answers to errors, in the form that whoever asked can read."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def refuse(self, scope: Scope, error: ControlPlaneError) -> ASGIApp:
        """The answer to a request that the guard didn't let through."""

        async def answer(inner: Scope, receive: Receive, send: Send) -> None:
            await self.response(scope, error)(inner, receive, send)

        return answer

    def response(self, scope: Scope, error: ControlPlaneError) -> Response:
        """The answer to an error."""
        path = scope["path"]
        problem = problem_with_door_status(error)
        if path.startswith(MACHINE_PATHS) or path.endswith(".json"):
            return self._for_programs(problem, error)
        if isinstance(error, NotSignedIn) and scope["method"] in SAFE_METHODS:
            query = scope.get("query_string", b"").decode("latin-1")
            wanted = path + (f"?{query}" if query else "")
            return RedirectResponse(f"/sign-in?next={quote(wanted, safe='')}", status_code=303)
        return self._for_people(problem, path)

    def install(self, app: FastAPI) -> None:
        """Let pages answer with pages; what programs ask keeps the answers that were installed before."""
        for_programs = app.exception_handlers[ControlPlaneError]
        plain_for_programs = app.exception_handlers[HTTPException]

        async def answer(request: Request, error: Exception) -> Response:
            if isinstance(error, ControlPlaneError) and not isinstance(error, InvariantBroken):
                return self.response(request.scope, error)
            return await _answered(for_programs(request, error))

        async def answer_plain(request: Request, error: Exception) -> Response:
            path = request.url.path
            if isinstance(error, HTTPException) and error.status_code == 404 and not path.startswith(MACHINE_PATHS):
                return self.response(request.scope, UnknownReference(f"No page has the address {path[:120]}."))
            return await _answered(plain_for_programs(request, error))

        app.add_exception_handler(ControlPlaneError, answer)
        app.add_exception_handler(HTTPException, answer_plain)

    def _for_programs(self, problem: Problem, error: ControlPlaneError) -> Response:
        response: Response = problem.response()
        if isinstance(error, TooManyAttempts):
            response.headers["retry-after"] = str(error.wait_seconds)
        if problem.status == 401:
            response.headers["www-authenticate"] = 'Session realm="controlplane"'
        return response

    def _for_people(self, problem: Problem, path: str) -> Response:
        body = self._renderer.plain(
            "problem",
            status=int(problem.status),
            title=problem.status.phrase,
            detail=problem.detail,
            extra=problem.extra,
            path=path,
        )
        headers = {"retry-after": "5"} if problem.status == 503 else None
        return HTMLResponse(body, status_code=problem.status, headers=headers)


def problem_with_door_status(error: ControlPlaneError) -> Problem:
    """The problem document of an error, with the statuses that belong to the doors."""
    problem = problem_of(error)
    status = next((DOOR_STATUS[kind] for kind in type(error).__mro__ if kind in DOOR_STATUS), problem.status)
    return Problem(status, problem.kind, problem.detail, problem.extra)


async def _answered(answer: Any) -> Response:
    """The response of a handler, which may be a plain or an asynchronous function."""
    response = await answer if isawaitable(answer) else answer
    if not isinstance(response, Response):
        raise TypeError(f"Expected a response from the handler of an error, found {type(response).__name__}.")
    return response
