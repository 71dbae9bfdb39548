"""Request bodies are read in full, within limits; no field or parameter is given twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reeltune.errors import RequestError
from reeltune.serve.errors import error_response, response_of, shutting_down

_DISCONNECT: Final = "http.disconnect"


async def unique_fields(request: Request) -> None:
    """Refuse JSON with a field given twice, of which the parser keeps the last."""
    try:
        json.loads(await request.body() or b"null", object_pairs_hook=_refuse_duplicates)
    except RecursionError:
        raise HTTPException(HTTPStatus.BAD_REQUEST) from None


async def known_parameters(request: Request) -> None:
    """Refuse unknown parameters in an address, and those given twice."""
    given = request.query_params.multi_items()
    _refuse_duplicates(given)
    known = [each.alias for each in request.scope["route"].dependant.query_params]
    for name, _ in given:
        if name not in known:
            raise RequestError(
                "there is no such parameter",
                code="unknown_parameter",
                where=name[:100],
                hint=f"Known are: {', '.join(known) or 'none'}",
            )


def _refuse_duplicates(fields: Sequence[tuple[str, Any]]) -> None:
    for name, count in Counter(name for name, _ in fields).items():
        if count > 1:
            raise RequestError("it is given twice", code="duplicate_field", where=name[:100])


class RequestBodyMiddleware:
    """Read each request's body within ``max_bytes`` and ``timeout`` seconds, then run the app.

    The application is cancelled when the client disconnects before it has its response.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._read(scope, receive)
        except TimeoutError:
            body = error_response(
                HTTPStatus.REQUEST_TIMEOUT,
                "body_timed_out",
                f"the body did not arrive within {self._timeout:g} s (serving.receive_timeout_s)",
                headers={"Connection": "close"},
            )
        if isinstance(body, Response):
            await body(scope, receive, send)
        elif body is not None:
            await self._run(scope, body, receive, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | Response | None:
        """Return the body, an error if it is too large, or None if the client disconnects."""
        body = bytearray()
        lengths = [int(value) for name, value in scope["headers"] if name == b"content-length"]
        length = max(lengths, default=0)
        more = True
        while more and length <= self._max_bytes:
            message = await receive()
            if message["type"] == _DISCONNECT:
                return None
            body += message.get("body", b"")
            length = max(length, len(body))
            more = message.get("more_body", False)
        if length <= self._max_bytes:
            return bytes(body)
        return error_response(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body_too_large",
            f"the body is longer than {self._max_bytes} bytes",
            hint="Split the request, or raise serving.max_body_bytes",
        )

    async def _run(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Run the application until it ends, the client disconnects, or the server stops."""
        body_given = response_started = False

        async def receive_body() -> Message:
            nonlocal body_given
            if body_given:
                return await receive()
            body_given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send_and_note_start(message: Message) -> None:
            nonlocal response_started
            response_started = True
            await send(message)

        running = asyncio.ensure_future(self._app(scope, receive_body, send_and_note_start))
        disconnect = asyncio.ensure_future(_wait_for_disconnect(receive))
        stopping = False
        try:
            await asyncio.wait((running, disconnect), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the server stops, its grace period being over
            stopping = True
        finally:
            disconnect.cancel()
            running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        if stopping and not response_started:
            await response_of(shutting_down())(scope, receive, send)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != _DISCONNECT:
        pass
