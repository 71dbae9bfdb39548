"""Requests are read whole before anything is done with them, and given up when the client goes."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reeltune.serve.errors import error_response, shutting_down, unavailable_response

_GONE: Final = "http.disconnect"


class TooLargeError(Exception):
    """A body is longer than allowed."""


class GoneError(Exception):
    """The client has hung up."""


class WholeBodies:
    """Reads a request's body whole, within a size and a time, then lets an application answer.

    The application is cancelled when the client hangs up before it has its answer.

    Args:
        app: The application.
        most_bytes: How long a body may be.
        seconds: How long it may take to arrive.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, seconds: float) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._read(scope, receive)
        except TooLargeError:
            response = error_response(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "body_too_large",
                f"the body is longer than {self._most_bytes} bytes",
                hint="Split the request, or raise serving.max_body_bytes",
            )
            await response(scope, receive, send)
        except TimeoutError:
            response = error_response(
                HTTPStatus.REQUEST_TIMEOUT,
                "body_timed_out",
                f"the body did not arrive within {self._seconds:g} s (serving.receive_timeout_s)",
                headers={"Connection": "close"},
            )
            await response(scope, receive, send)
        except GoneError:
            return
        else:
            await self._answer(scope, body, receive, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        if any(int(length) > self._most_bytes for length in lengths):
            raise TooLargeError
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == _GONE:
                raise GoneError
            body += message.get("body", b"")
            if len(body) > self._most_bytes:
                raise TooLargeError
            more = message.get("more_body", False)
        return bytes(body)

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        given = told = False

        async def telling(message: Message) -> None:
            nonlocal told
            told = True
            await send(message)

        async def whole() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        answering = asyncio.ensure_future(self._app(scope, whole, telling))
        leaving = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            ending = False
        except asyncio.CancelledError:  # the server ends, and has waited as long as it may
            ending = True
        finally:
            leaving.cancel()
            if not answering.done():
                answering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answering
        if ending and not told:
            response = unavailable_response(shutting_down())
            await response(scope, receive, send)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != _GONE:
        pass
