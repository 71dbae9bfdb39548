"""Requests that are still being answered when the server ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from reeltune.serve.request_body import RequestBodyMiddleware

SCOPE: Scope = {"type": "http", "headers": [], "method": "POST", "path": "/predictions"}


async def ended(begins: list[Message]) -> list[Any]:
    """Return the messages of an app that hangs after its first ones, once the server stops."""
    sent: list[Any] = []
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        for message in begins:
            await send(message)
        begun.set()
        await asyncio.Event().wait()

    given = iter([{"type": "http.request", "body": b"{}", "more_body": False}])

    async def receive() -> Message:
        for message in given:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    task = asyncio.create_task(RequestBodyMiddleware(app, 100, 5)(SCOPE, receive, send))
    await begun.wait()
    task.cancel()
    await task
    return sent


def test_waiting_requests_get_a_503_when_the_server_ends():
    start, body = asyncio.run(ended([]))
    assert start["status"] == 503
    assert (b"retry-after" in dict(start["headers"])) is True
    assert json.loads(body["body"])["code"] == "shutting_down"


@pytest.mark.parametrize("status", [200, 404])
def test_a_started_response_is_not_followed_by_a_503(status: int):
    begun: Message = {"type": "http.response.start", "status": status, "headers": []}
    assert asyncio.run(ended([begun])) == [begun]
