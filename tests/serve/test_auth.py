"""Access control: by address on loopback, elsewhere by token, never through a foreign page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reeltune.scoring.predictor import Predictor
from reeltune.serve.auth import is_loopback
from tests.serve.running import TOKEN, Running, error_of, running

OPEN = ("/", "/page.js", "/page.css", "/favicon.svg", "/health")
CLOSED = ("/items", "/metrics", "/openapi.json", "/docs")


@pytest.fixture(scope="module")
def guarded(served_predictor: Predictor) -> Iterator[Running]:
    """A service that wants a token."""
    with running(served_predictor, TOKEN) as found:
        yield found


@pytest.mark.parametrize("path", OPEN)
def test_the_page_needs_no_token(guarded: Running, path: str):
    assert guarded.client.get(path, headers={"Authorization": ""}).status_code == 200


@pytest.mark.parametrize("path", CLOSED)
def test_other_paths_need_the_token(guarded: Running, path: str):
    assert guarded.client.get(path).status_code == 200
    answer = guarded.client.get(path, headers={"Authorization": ""})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "missing_token"


@pytest.mark.parametrize(
    "given",
    [
        TOKEN,
        f"bearer {TOKEN}",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer",
        "Bearer \xe9\xe9\xe9",
    ],
)
def test_a_wrong_token_is_refused(guarded: Running, given: str):
    headers = {"Authorization": given.encode("latin-1")}
    answer = guarded.client.post(
        "/predictions", json={"history": [], "item_ids": []}, headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_token")


def test_a_wrong_token_is_refused_before_the_body_is_read(guarded: Running):
    body = b" " * 5_000_000
    headers = {"Authorization": "Bearer wrong", "Content-Type": "application/json"}
    assert guarded.client.post("/predictions", content=body, headers=headers).status_code == 401


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:99", "[::1]:8000"])
def test_requests_addressed_to_loopback_are_answered(service: Running, host: str):
    assert service.client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "127.0.0.1@evil.example",
        "192.168.0.1",
        "[::2]",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/", "/health", "/items"])
def test_requests_addressed_to_other_hosts_are_rejected(service: Running, host: str, path: str):
    answer = service.client.get(path, headers={"Host": host})
    error_of(answer, 421, "wrong_host", where="Host")


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/predictions", "/recommendations"])
def test_a_foreign_page_cannot_post(service: Running, kind: str, path: str):
    content = b'{"history": [], "item_ids": []}'
    answer = service.client.post(path, content=content, headers={"Content-Type": kind})
    error_of(answer, 415, "unsupported_media_type", where="Content-Type")


def test_cors_preflight_is_not_allowed(service: Running):
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = service.client.options("/predictions", headers=headers)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_content_types_are_accepted(service: Running, kind: str):
    content = b'{"history": [], "item_ids": []}'
    answer = service.client.post("/predictions", content=content, headers={"Content-Type": kind})
    assert answer.json()["predictions"] == []


@pytest.mark.parametrize("path", [*OPEN, *CLOSED, "/nothing"])
def test_responses_have_strict_headers(service: Running, path: str):
    headers = service.client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/favicon.svg", "image/svg+xml"),
    ],
)
def test_files_of_the_page_have_their_types(service: Running, path: str, kind: str):
    assert service.client.get(path).headers["content-type"] == kind


def test_browsers_check_whether_files_of_the_page_have_changed(service: Running):
    first = service.client.get("/page.js")
    assert first.headers["cache-control"] == "no-cache"
    again = service.client.get("/page.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert service.client.get("/health").headers["cache-control"] == "no-store"


def test_the_token_is_declared_where_it_is_needed(guarded: Running, service: Running):
    def with_token(one: Running) -> set[str]:
        paths = one.client.get("/openapi.json").json()["paths"]
        operations = ((path, *methods.values()) for path, methods in paths.items())
        return {path for path, operation in operations if "security" in operation}

    assert with_token(guarded) == {"/items", "/predictions", "/recommendations", "/metrics"}
    assert with_token(service) == set()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("example.org", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_is_loopback(host: str, expected: bool):
    assert is_loopback(host) is expected
