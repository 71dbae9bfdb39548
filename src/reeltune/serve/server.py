"""The server process: token, socket, timeouts, signals."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from typing import Final

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


def listen(serving: ServingSection) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigError: The port is in use, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    # asyncio switches off Nagle's algorithm only for sockets whose protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((serving.host, serving.port))
        listener.listen()
    except OSError as error:
        listener.close()
        in_use = error.errno == errno.EADDRINUSE
        raise ConfigError(
            f"cannot listen on {serving.host} port {serving.port} ({error.strerror or error})",
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
        timeout_keep_alive=serving.receive_timeout_s,
        timeout_graceful_shutdown=serving.shutdown_s,
    )
    return uvicorn.Server(config)


def run(app: ASGIApp, listener: socket.socket, serving: ServingSection) -> None:
    """Serve until SIGTERM, Ctrl+C or Ctrl+Break, then finish the requests that were accepted."""
    server = make_server(app, serving)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises these signals again after stopping, for the handlers that were set before.
    previous = {number: signal.signal(number, stop) for number in HANDLED_SIGNALS}
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
