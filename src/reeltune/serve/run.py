"""Running the application: the socket, the token, the signals."""

from __future__ import annotations

import errno
import os
import signal
import socket
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from reeltune.config.schema import ServingSection
from reeltune.errors import ConfigError
from reeltune.runs.log import LOGGER
from reeltune.serve.entrance import is_loopback
from reeltune.serve.patience import PatientProtocol

SHORTEST_TOKEN: Final = 16
"""The fewest characters of a token."""


def read_token(serving: ServingSection) -> str | None:
    """Return the token of the environment, or None on loopback where there is none.

    Raises:
        ConfigError: It is missing where others can ask, or can be guessed or not be sent.
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
    if len(token) < SHORTEST_TOKEN or not all("!" <= char <= "~" for char in token):
        raise ConfigError(
            f"the token must be at least {SHORTEST_TOKEN} ASCII characters, without spaces",
            code="weak_token",
            where=serving.token_env,
            hint=f"export {serving.token_env}=$(openssl rand -hex 32)",
        )
    return token


def listen(serving: ServingSection) -> socket.socket:
    """Return the socket that requests come in at.

    Raises:
        ConfigError: The address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    # asyncio sends small answers at once only where a socket names its protocol.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((serving.host, serving.port))
        listener.listen()
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        raise ConfigError(
            f"cannot listen on {serving.host} port {serving.port} ({error.strerror or error})",
            code="port_in_use" if taken else "host_unavailable",
            where="serving.port" if taken else "serving.host",
            hint="Give another with --port; 0 takes any that is free"
            if taken
            else "Give an address of this machine with --host",
        ) from None
    return listener


def address(listener: socket.socket) -> str:
    """Return where a browser finds what a socket listens for."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def server_of(app: ASGIApp, serving: ServingSection) -> uvicorn.Server:
    """Return the server, which has yet to be run.

    Args:
        app: What answers.
        serving: How long clients and the end may take.
    """
    config = uvicorn.Config(
        app,
        # Errors go where Python's logging sends them, to standard error. Warnings are about what
        # strangers send, without end if they like.
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http=PatientProtocol,
        timeout_keep_alive=serving.receive_timeout_s,
        timeout_graceful_shutdown=serving.shutdown_s,
    )
    return uvicorn.Server(config)


def run(app: ASGIApp, listener: socket.socket, serving: ServingSection) -> None:
    """Answer requests until SIGTERM or SIGINT, then finish those that were accepted.

    Args:
        app: What answers.
        listener: Where requests come in.
        serving: How long clients and the end may take.
    """
    server = server_of(app, serving)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn stops at these signals and then raises them again, for whoever handled them before.
    before = {sign: signal.signal(sign, stop) for sign in (signal.SIGTERM, signal.SIGINT)}
    try:
        LOGGER.info("serving at %s (stop with Ctrl+C)", address(listener))
        server.run(sockets=[listener])
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
