"""Times every request by its route pattern, never by its address: an address holds identifiers without number."""

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.runtime import metrics

FindPattern = Callable[[str, str], str | None]


class Timing:
    """Observes `cp_http_request_seconds`. Live updates never end, so they are not timed.

    Arguments
        find_pattern  the route pattern of a method and a path; None when nothing is there
    """

    def __init__(self, app: ASGIApp, *, find_pattern: FindPattern) -> None:
        self.app = app
        self._find_pattern = find_pattern

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/live":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = "500"

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        finally:
            pattern = self._find_pattern(scope["method"], scope["path"]) or "none"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            metrics.HTTP_REQUEST_SECONDS.labels(method=method, route=pattern, status=status).observe(
                time.perf_counter() - started
            )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
