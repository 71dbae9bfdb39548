"""A service under siege answers or disconnects, and its log stays short."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from reeltune.scoring.predictor import Predictor
from reeltune.serve import server
from reeltune.serve.schemas import PredictionsRequest
from tests.serve.running import Running, running

resource = pytest.importorskip("resource")

BODY = b'{"history": [], "item_ids": [1]}'
CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: %d" % len(BODY)


@pytest.fixture
def nothing_logged(strict: Running, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The service still answers, and neither an error nor a traceback was logged."""
    yield
    assert strict.post("/predictions", history=[], item_ids=[1]).status_code == 200
    assert caplog.get_records("call") == []


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


def request(
    *headers: bytes, start: bytes = b"POST /predictions HTTP/1.1", body: bytes = b""
) -> bytes:
    lines = [start, b"Host: 127.0.0.1", b"Content-Type: application/json", *headers, b"", body]
    return b"\r\n".join(lines)


HEALTH = request(start=b"GET /health HTTP/1.1")
CLOSING = request(b"Connection: close", start=b"GET /health HTTP/1.1")


def statuses(service: Running, *parts: bytes) -> list[int]:
    """Send bytes, and return the statuses of all responses until the service disconnects."""
    received = b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(0.05 if len(parts) > 1 else 0)
            while piece := connection.recv(65536):
                received += piece
        except ConnectionError:
            pass
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.usefixtures("nothing_logged")
@pytest.mark.parametrize(
    "smuggling",
    [
        request(CHUNKED, LENGTH, body=chunks(BODY)),
        request(LENGTH, CHUNKED, body=chunks(BODY)),
        request(CHUNKED, b"Content-Length: 4", start=b"GET /health HTTP/1.1", body=chunks()),
        request(LENGTH, b"Content-Length: 3", body=BODY),
        request(b"Content-Length: -1", body=BODY),
        request(b"Content-Length: +32", body=BODY),
        request(b"Content-Length: 0x20", body=BODY),
        request(b"Content-Length: " + b"9" * 5_000, body=BODY),
        request(b"Transfer-Encoding: identity", body=BODY),
        request(b"Transfer-Encoding: gzip, chunked", body=chunks(BODY)),
        request(b"Transfer-Encoding: xchunked", body=chunks(BODY)),
        request(CHUNKED, CHUNKED, body=chunks(BODY)),
        request(b"Transfer-Encoding : chunked", body=chunks(BODY)),
        request(CHUNKED, body=b"zz\r\n"),
        request(CHUNKED, body=b"-5\r\n"),
        request(CHUNKED, body=b"f" * 30 + b"\r\n"),
        request(CHUNKED, body=b"1;" + b"x" * 100_000),
        request(CHUNKED, body=b"3\r\nabcdef\r\n"),
        request(b"X: " + b"y" * 300_000),
        request(b"no colon"),
        request(b"X: \0"),
        request(b"Host: 127.0.0.1"),
        HEALTH.replace(b"Host: 127.0.0.1\r\n", b""),
        b"GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_requests_of_unclear_length_get_a_400_and_are_disconnected(
    strict: Running, smuggling: bytes
):
    assert statuses(strict, smuggling + HEALTH) == [400]


@pytest.mark.usefixtures("nothing_logged")
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([HEALTH + b"garbage\r\n\r\n"], [200, 400]),
        ([HEALTH, b"garbage\r\n\r\n"], [200, 400]),
        ([request(LENGTH, body=BODY) + b"garbage\r\n\r\n"], [200, 400]),
        ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], [421, 400]),
        ([request(CHUNKED, body=b"3\r\nabc\r\n"), b"zz\r\n"], [400]),
        ([request(CHUNKED, start=b"PUT /nothing HTTP/1.1", body=b"zz\r\n")], [400]),
        ([request(CHUNKED, start=b"POST /x HTTP/1.1\r\nContent-Type: x", body=b"zz\r\n")], [400]),
        ([request(CHUNKED, body=chunks(b"x" * 30_000)[:-5]), b"zz\r\n"], [413]),
    ],
)
def test_garbage_at_any_moment_is_not_an_error_of_the_service(
    strict: Running, parts: list[bytes], expected: list[int]
):
    assert statuses(strict, *parts) == expected


@pytest.mark.usefixtures("nothing_logged")
def test_clients_that_leave_at_any_moment_are_not_an_error(strict: Running):
    whole = request(LENGTH, body=BODY)
    for length in range(1, len(whole) + 1, 7):
        with socket.create_connection(("127.0.0.1", strict.port)) as connection:
            connection.sendall(whole[:length])
    assert statuses(strict, CLOSING) == [200]


@pytest.mark.usefixtures("nothing_logged")
def test_pipelined_requests_are_answered_one_after_the_other(strict: Running):
    posted = request(LENGTH, body=BODY)
    assert statuses(strict, (posted + HEALTH) * 8 + CLOSING) == [200] * 17


@pytest.mark.usefixtures("nothing_logged")
@pytest.mark.parametrize(
    "host",
    [b"localhost:[", b"localhost:80/page.js?", b"localhost:1@x", b"[::1]x", b"localhost:\xff"],
)
@pytest.mark.parametrize("path", [b"/", b"/docs", b"/openapi.json", b"/health", b"/nothing"])
def test_a_strange_host_changes_no_path(strict: Running, host: bytes, path: bytes):
    sent = CLOSING.replace(b"127.0.0.1", host).replace(b"/health", path)
    assert statuses(strict, sent) in ([404 if path == b"/nothing" else 200], [421])


@pytest.mark.usefixtures("nothing_logged")
@pytest.mark.parametrize("method", [b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"X" * 9_000])
def test_other_methods_are_refused(strict: Running, method: bytes):
    for path, expected in ((b"/health", 405), (b"/predictions", 405), (b"*", 404)):
        sent = CLOSING.replace(b"GET /health", method + b" " + path).replace(
            b"Content-Type: application/json\r\n", b""
        )
        assert statuses(strict, sent) == [expected]


@pytest.mark.usefixtures("nothing_logged")
def test_a_field_given_twice_is_refused_at_any_depth(strict: Running):
    headers = {"Content-Type": "application/json"}
    for content, where in (
        ('{"history": [], "item_ids": [1], "item_ids": [4]}', "item_ids"),
        ('{"history": [{"item_id": 1, "rating": 1, "rating": 5}], "item_ids": [4]}', "rating"),
    ):
        answer = strict.client.post("/predictions", content=content, headers=headers)
        assert answer.status_code == 422
        assert (answer.json()["code"], answer.json()["where"]) == ("duplicate_field", where)


@pytest.mark.usefixtures("nothing_logged")
def test_json_of_any_depth_gets_an_answer(strict: Running):
    # The parser's limit depends on the depth of the stack, which differs between two readers.
    headers = {"Content-Type": "application/json"}
    for depth in [*range(850, 1_000, 3), 4_000]:
        content = b'{"history": %s%s, "item_ids": []}' % (b"[" * depth, b"]" * depth)
        answer = strict.client.post("/predictions", content=content, headers=headers)
        assert answer.status_code in (400, 422)


def test_a_list_of_mistakes_costs_one_error():
    with pytest.raises(ValidationError) as caught:
        PredictionsRequest.model_validate({"history": [1] * 10_000, "item_ids": [None] * 10_000})
    assert caught.value.error_count() == 2


@pytest.mark.slow
def test_more_connections_than_memory_is_meant_for_get_a_503(
    served_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "_MAX_CONNECTIONS", 5)
    with running(served_predictor, receive_timeout_s=1) as service:
        slow = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(5)]
        assert statuses(service, CLOSING) == [503]
        for connection in slow:
            assert connection.recv(1) == b""
            connection.close()
        assert statuses(service, CLOSING) == [200]


def test_without_file_descriptors_new_clients_get_a_503_and_one_line_is_logged(
    service: Running, caplog: pytest.LogCaptureFixture
):
    # No connection may time out meanwhile, which would free its descriptor: not the strict service.
    clients = [socket.socket() for _ in range(60)]
    kept, last = clients[0], clients[-1]
    kept.connect(("127.0.0.1", service.port))
    kept.sendall(HEALTH)
    assert kept.recv(9) == b"HTTP/1.1 "
    free = os.dup(0)
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 5, limits[1]))
    try:
        refused = 0
        for client in clients[1:-1]:
            client.settimeout(10)
            client.connect(("127.0.0.1", service.port))
        for client in clients[8:-1]:
            refused += client.recv(100).startswith(b"HTTP/1.1 503 ")
        kept.sendall(HEALTH.replace(b"/health", b"/page.js"))
        kept.settimeout(10)
        received = b""
        while b"/** The page" not in received:
            received += (piece := kept.recv(65536))
            assert piece, received
        for client in clients[:-1]:
            client.close()
        last.settimeout(10)
        last.connect(("127.0.0.1", service.port))
        last.sendall(CLOSING)
        assert last.recv(13) == b"HTTP/1.1 200 "
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for client in clients:
            client.close()
    assert refused == len(clients[8:-1])
    (record,) = caplog.get_records("call")
    assert record.name == "reeltune"
    assert record.exc_info is None


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_logged")
def test_idle_clients_do_not_keep_others_out(strict: Running):
    idle = [socket.create_connection(("127.0.0.1", strict.port)) for _ in range(300)]
    assert statuses(strict, CLOSING) == [200]
    for client in idle:
        client.settimeout(30)
        assert client.recv(1) == b""
        client.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is an option of Linux")
@pytest.mark.usefixtures("nothing_logged")
def test_a_client_that_never_reads_is_disconnected(strict: Running):
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", strict.port))
        client.settimeout(1)
        sent = HEALTH.replace(b"/health", b"/openapi.json") * 100
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                client.sendall(sent)
            except TimeoutError:
                continue
            except ConnectionError:
                return
    pytest.fail("the connection is still open")
