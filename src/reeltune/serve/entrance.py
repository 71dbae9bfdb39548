"""Who may ask: the right address, the right token, and nobody through somebody else's browser."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from reeltune.serve.errors import error_response

_JSON: Final = "application/json"


class Entrance:
    """Turns away requests before they are read.

    Args:
        app: What answers the others.
        host: What the service listens on. On loopback only requests addressed to loopback are let
            in: a foreign page whose name was made to point here (DNS rebinding) is not.
        token: What requests must bear; None lets everybody ask.
        open_paths: What may be had without the token.
    """

    def __init__(
        self, app: ASGIApp, host: str, token: str | None, open_paths: Iterable[str]
    ) -> None:
        self._app = app
        self._loopback = is_loopback(host)
        self._token = None if token is None else token.encode("ascii")
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        refused = self._refusal(scope) if scope["type"] == "http" else None
        await (refused or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._loopback and not is_loopback(_name(headers.get("host", ""))):
            return error_response(
                HTTPStatus.MISDIRECTED_REQUEST,
                "wrong_host",
                "the request is addressed to another host",
                where="Host",
                hint="Use the address localhost or 127.0.0.1",
            )
        if self._token is not None and scope["path"] not in self._open_paths:
            given = headers.get("authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                return error_response(
                    HTTPStatus.UNAUTHORIZED,
                    "wrong_token" if given else "missing_token",
                    "the token is wrong" if given else "a token is needed",
                    where="Authorization",
                    hint="Send the header Authorization: Bearer TOKEN",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and kind != _JSON:
            # A foreign page may send other types from a visitor's browser without asking first.
            return error_response(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be JSON",
                where="Content-Type",
                hint=f"Send the header Content-Type: {_JSON}",
            )
        return None


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address is this machine's own, by what it says."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """Return the host of a ``Host`` header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
