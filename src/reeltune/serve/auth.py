"""Access control: the host a request is addressed to, its token, and strict browser headers."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection
from http import HTTPStatus
from typing import Final

from fastapi.security import HTTPBearer
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reeltune.serve.errors import error_response

BEARER: Final = HTTPBearer(auto_error=False)

_JSON: Final = "application/json"

_SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class AuthMiddleware:
    """Reject requests with a wrong host, token or content type before their body is read.

    FastAPI checks ``HTTPBearer`` dependencies after reading the body, and starlette's
    ``TrustedHostMiddleware`` answers in plain text and knows host names, but not 127.0.0.0/8.

    Args:
        app: The application.
        host: The address the service listens on. On loopback, requests must be addressed to
            loopback: a foreign page whose name resolves to it (DNS rebinding) is rejected.
        token: None admits all.
        open_paths: Paths that need no token.
    """

    def __init__(
        self, app: ASGIApp, host: str, token: str | None, open_paths: Collection[str]
    ) -> None:
        self._app = app
        self._loopback = is_loopback(host)
        self._token = token
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        response = await self._rejection(HTTPConnection(scope)) if scope["type"] == "http" else None
        await (response or self._app)(scope, receive, send)

    async def _rejection(self, request: HTTPConnection) -> Response | None:
        if {"content-length", "transfer-encoding"} <= set(request.headers):
            # Proxies differ in which they believe, and then in where the next request begins.
            return error_response(
                HTTPStatus.BAD_REQUEST,
                "two_body_lengths",
                "the request has both Content-Length and Transfer-Encoding",
                headers={"Connection": "close"},
            )
        if self._loopback and not is_loopback(_without_port(request.headers.get("host", ""))):
            return error_response(
                HTTPStatus.MISDIRECTED_REQUEST,
                "wrong_host",
                "the request is addressed to another host",
                where="Host",
                hint="Use the address localhost or 127.0.0.1",
            )
        if request.scope["path"] not in self._open_paths and not await self._has_token(request):
            given = bool(request.headers.get("authorization"))
            return error_response(
                HTTPStatus.UNAUTHORIZED,
                "wrong_token" if given else "missing_token",
                "the token is wrong" if given else "a token is needed",
                where="Authorization",
                hint="Send the header Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": "Bearer"},
            )
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.scope["method"] == "POST" and content_type != _JSON:
            # A foreign page can post other types from a visitor's browser without a CORS preflight.
            return error_response(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be JSON",
                where="Content-Type",
                hint=f"Send the header Content-Type: {_JSON}",
            )
        return None

    async def _has_token(self, request: HTTPConnection) -> bool:
        if self._token is None:
            return True
        found = await BEARER(request)
        if found is None or found.scheme != "Bearer":
            return False
        return hmac.compare_digest(found.credentials.encode("latin-1"), self._token.encode("ascii"))


class SecurityHeadersMiddleware:
    """Add headers that keep browsers strict to every response, and forbid caching by default."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_SECURITY_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


def is_loopback(host: str) -> bool:
    """Return whether a host is ``localhost`` or a loopback address, without resolving it."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
