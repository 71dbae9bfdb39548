"""A service that answers on loopback, in a thread of the test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from reeltune.config.schema import ServingSection
from reeltune.scoring.predictor import Predictor
from reeltune.serve.app import make_app
from reeltune.serve.server import listen, make_server, url_of

TOKEN = "a-token-for-tests-0123456789"
MOST_BYTES = 20_000
"""The longest body that the service with narrow limits reads."""


@dataclass(frozen=True)
class Running:
    """A service and where it is.

    Attributes:
        client: Asks it.
        port: Where it listens.
    """

    client: httpx.Client
    port: int

    def post(self, path: str, **fields: Any) -> httpx.Response:
        """Post fields as JSON."""
        return self.client.post(path, json=fields)

    def value(self, line: str) -> float:
        """Return one figure of /metrics; 0 where nothing was counted yet."""
        lines = self.client.get("/metrics").text.splitlines()
        found = [one.rpartition(" ")[2] for one in lines if one.startswith(f"{line} ")]
        return float(found[0]) if found else 0.0


@contextlib.contextmanager
def running(predictor: Predictor, token: str | None = None, **settings: Any) -> Iterator[Running]:
    """Serve inside the block.

    Args:
        predictor: Which model answers.
        token: What requests must bear; the client bears it.
        settings: Keys of the section ``serving``.
    """
    serving = ServingSection(port=0, **settings)
    listener = listen(serving)
    server = make_server(make_app(predictor, serving, token), serving)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        # A connection that is kept may be closed by the service just as it is used again.
        once = httpx.Limits(max_keepalive_connections=0)
        url = url_of(listener)
        with httpx.Client(base_url=url, headers=headers, timeout=60, limits=once) as client:
            yield Running(client, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def error_of(
    response: httpx.Response, status: int, code: str, *, where: str | None = None
) -> dict[str, Any]:
    """Return an error response, checked for its schema, its status, its code and its place."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()
    assert error.keys() == {"code", "message", "where", "hint"}
    assert error["message"]
    assert (error["code"], error["where"]) == (code, where), error
    assert "Traceback" not in response.text
    return error
