"""Every answer bears the headers that keep browsers strict, and is counted and timed."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reeltune.serve.measuring import Measures

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_OTHER: Final = "other"
"""The route of requests for what does not exist: clients invent paths without end."""

_HUNG_UP: Final = 499
"""The status counted for a client that did not wait, as nginx counts it."""


class Observed:
    """Sets headers, counts and times.

    Args:
        app: What answers.
        measures: Told of every request.
        paths: The paths that exist.
    """

    def __init__(self, app: ASGIApp, measures: Measures, paths: Collection[str]) -> None:
        self._app = app
        self._measures = measures
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = _HUNG_UP
        began = time.perf_counter()

        async def strict(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, strict)
        finally:
            route = scope["path"] if scope["path"] in self._paths else _OTHER
            self._measures.request(route, status, time.perf_counter() - began)
