"""The server process: token, socket, timeouts, signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import time
from typing import Any, Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import HANDLED_SIGNALS

from reeltune.config.schema import ServingSection
from reeltune.errors import ConfigError
from reeltune.runs.log import LOGGER
from reeltune.serve.auth import is_loopback

MIN_TOKEN_LENGTH: Final = 16

_MAX_CONNECTIONS: Final = 2000  # with more, requests get status 503: each may hold a whole body
_WARNING_INTERVAL_S: Final = 10.0
_UNAVAILABLE: Final = b"HTTP/1.1 503 \r\nRetry-After: 2\r\nConnection: close\r\n\r\n"
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def read_token(serving: ServingSection) -> str | None:
    """Return the token from the environment; None on loopback, where it is optional.

    Raises:
        ConfigError: It is missing though other machines can connect, too short, or not ASCII.
    """
    token = os.environ.get(serving.token_env)
    if token is None:
        if is_loopback(serving.host):
            return None
        raise ConfigError(
            f"other machines can reach {serving.host}, so a token is needed",
            code="token_required",
            where=serving.token_env,
            hint=f"export {serving.token_env}=$(openssl rand -hex 32), or listen on 127.0.0.1",
        )
    if len(token) < MIN_TOKEN_LENGTH or not all("!" <= char <= "~" for char in token):
        raise ConfigError(
            f"the token must be at least {MIN_TOKEN_LENGTH} ASCII characters, without spaces",
            code="weak_token",
            where=serving.token_env,
            hint=f"export {serving.token_env}=$(openssl rand -hex 32)",
        )
    return token


class Listener(socket.socket):
    """A listening socket that rejects connections while no file descriptor is left.

    asyncio (Python 3.11) would log thousands of tracebacks, and accept nothing for a second.
    """

    def __init__(self, family: int) -> None:
        # asyncio switches off Nagle's algorithm only for sockets whose protocol is named.
        super().__init__(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._spare = socket.socket()
        self._next_warning = 0.0

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection, or raise ``BlockingIOError`` after rejecting one."""
        try:
            if self._spare.fileno() < 0:
                self._spare = socket.socket()
            return super().accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            if time.monotonic() > self._next_warning:
                self._next_warning = time.monotonic() + _WARNING_INTERVAL_S
                LOGGER.warning("new connections get status 503: %s", error.strerror)
        self._spare.close()
        with contextlib.suppress(OSError), super().accept()[0] as connection:
            connection.sendall(_UNAVAILABLE)
        raise BlockingIOError

    def close(self) -> None:
        """Close the socket."""
        self._spare.close()
        super().close()


def listen(serving: ServingSection) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigError: The port is in use, or the host is not an address of this machine.
    """
    listener = Listener(socket.AF_INET6 if ":" in serving.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "linux":  # the kernel drops clients that do not read their responses
        timeout = min(serving.receive_timeout_s * 1000, 2**31 - 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout)
    try:
        listener.bind((serving.host, serving.port))
        listener.listen()
    except (OSError, TypeError) as error:  # TypeError: a name that IDNA cannot encode
        listener.close()
        in_use = getattr(error, "errno", None) == errno.EADDRINUSE
        raise ConfigError(
            f"cannot listen on {serving.host} port {serving.port} ({error})",
            code="port_in_use" if in_use else "host_unavailable",
            where="serving.port" if in_use else "serving.host",
            hint="Give another with --port; 0 takes any free port"
            if in_use
            else "Give an address of this machine with --host",
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address to open in a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(app: ASGIApp, serving: ServingSection) -> uvicorn.Server:
    """Return a uvicorn server for an application."""
    config = uvicorn.Config(
        app,
        # Errors go to Python's logging. Warnings are about what clients send, and without bound.
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http=HeaderTimeoutProtocol,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=serving.receive_timeout_s,
        timeout_graceful_shutdown=serving.shutdown_s,
    )
    return uvicorn.Server(config)


def run(app: ASGIApp, listener: socket.socket, serving: ServingSection) -> None:
    """Serve until SIGTERM, SIGHUP or Ctrl+C, then finish the requests that were accepted."""
    server = make_server(app, serving)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises these signals again after stopping, for the handlers that were set before.
    numbers: set[int] = set(HANDLED_SIGNALS)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.add(signal.SIGHUP)  # the terminal was closed
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        LOGGER.info("serving at %s (stop with Ctrl+C)", url_of(listener))
        server.run(sockets=[listener])
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class HeaderTimeoutProtocol(H11Protocol):
    """uvicorn's protocol with a timeout for request headers, which uvicorn (0.54) lacks.

    A client has ``timeout_keep_alive`` seconds for the headers, counted from their first byte or
    from the connection, and again for the rest of a body that was rejected.
    """

    _timeout: asyncio.TimerHandle | None = None

    def connection_made(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, transport: asyncio.Transport
    ) -> None:
        """Start the timeout of the first request."""
        super().connection_made(transport)
        self._start_timeout()

    def data_received(self, data: bytes) -> None:
        """Stop the timeout once the headers are complete."""
        super().data_received(data)
        rejected = self.cycle is not None and self.cycle.response_complete
        state = self.conn.their_state
        if state is not h11.IDLE and not (rejected and state is h11.SEND_BODY):
            self._stop_timeout()
        elif self._timeout is None:
            self._start_timeout()

    def send_400_response(self, msg: str) -> None:
        """Reject what is not HTTP; if a response has been sent already, only disconnect."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        self.transport.close()
        if self.cycle is not None:  # there is nobody for its response any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout."""
        self._stop_timeout()
        super().connection_lost(exc)

    def _start_timeout(self) -> None:
        self._timeout = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _stop_timeout(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
