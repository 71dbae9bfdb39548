"""Clients that send too much, too slowly or nothing are disconnected; others are answered."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any

import pytest

from tests.serve.running import MOST_BYTES, Running, error_of

pytestmark = pytest.mark.usefixtures("alive_afterwards")


def raw(service: Running, *parts: bytes) -> tuple[int, dict[str, Any]]:
    """Send bytes as they are, and return status and content of the answer."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, json.loads(answer.read())


def head(length: str) -> bytes:
    lines = [
        "POST /predictions HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        length,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_body_with_a_too_large_content_length_is_not_read(strict: Running):
    status, error = raw(strict, head("Content-Length: 1000000000"))
    assert (status, error["code"]) == (413, "body_too_large")
    assert str(MOST_BYTES) in error["message"]


def test_a_too_large_body_is_rejected(strict: Running):
    content = b'{"history": [' + b" " * 300_000
    headers = {"Content-Type": "application/json"}
    answer = strict.client.post("/predictions", content=content, headers=headers)
    error_of(answer, 413, "body_too_large")
    pieces = (content[i : i + 9_000] for i in range(0, len(content), 9_000))
    answer = strict.client.post("/predictions", content=pieces, headers=headers)
    error_of(answer, 413, "body_too_large")


def test_a_body_of_the_largest_size_is_read(strict: Running):
    content = b'{"history": [], "item_ids": [1]}'.ljust(MOST_BYTES)
    headers = {"Content-Type": "application/json"}
    assert strict.client.post("/predictions", content=content, headers=headers).status_code == 200


@pytest.mark.slow
def test_a_slow_body_times_out(strict: Running):
    status, error = raw(strict, head("Content-Length: 100"), b"{")
    assert (status, error["code"]) == (408, "body_timed_out")


@pytest.mark.slow
@pytest.mark.parametrize(
    "begun", [b"", b"GET /health HT", b"POST /predictions HTTP/1.1\r\nHost: x\r\n"]
)
def test_a_connection_with_incomplete_headers_is_closed(strict: Running, begun: bytes):
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as connection:
        connection.sendall(begun)
        assert connection.recv(1) == b""


@pytest.mark.slow
def test_slow_headers_time_out(strict: Running):
    # Each byte comes in time, all of them together do not.
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as connection:
        connection.settimeout(0.2)
        for byte in b"GET /health HTTP/1.1\r\n" + b"X-Long: " + b"y" * 200:
            try:
                connection.sendall(bytes([byte]))
                if connection.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    pytest.fail("the connection is still open")


@pytest.mark.slow
def test_an_endless_rejected_body_times_out(strict: Running):
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as connection:
        connection.sendall(head("Content-Length: 1000000000"))
        began = time.monotonic()
        while time.monotonic() - began < 30:
            try:
                connection.sendall(b" " * 100)
            except ConnectionError:
                return
            time.sleep(0.05)
    pytest.fail("the connection is still open")


def test_garbage_gets_a_400(strict: Running):
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
