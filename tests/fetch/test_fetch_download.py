"""Downloads: whatever the connection does, the target is the served file or does not exist."""

from __future__ import annotations

import hashlib
import random
import shutil
import socket
import ssl
import subprocess
import threading
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from reeltune.errors import FetchError
from reeltune.fetch.download import FileVersion, RetryPolicy, download, published_md5
from reeltune.fetch.network_errors import UnreachableError
from tests.errors import raises_error

from .conftest import Page, Site

BODY = random.Random(1).randbytes(400_000)
MD5 = hashlib.md5(BODY).hexdigest()


def leftovers(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path != target)


def test_good_file(site: Site, tmp_path: Path, hasty: RetryPolicy) -> None:
    site.pages["/a.zip"] = Page(BODY)
    target = tmp_path / "new" / "a.zip"
    download(f"{site.url}/a.zip", target, md5=MD5, retry=hasty)
    assert target.read_bytes() == BODY
    assert leftovers(target) == []


def test_wrong_checksum_names_both_and_leaves_nothing(
    site: Site, tmp_path: Path, hasty: RetryPolicy
) -> None:
    site.pages["/a.zip"] = Page(b"something else")
    target = tmp_path / "a.zip"
    figures = [MD5, hashlib.md5(b"something else").hexdigest()]
    with raises_error(FetchError, "checksum_mismatch", where="/a.zip", figures=figures):
        download(f"{site.url}/a.zip", target, md5=MD5, retry=hasty)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", range(8))
def test_any_cuts_on_any_server_give_the_served_bytes(
    site: Site, tmp_path: Path, hasty: RetryPolicy, seed: int
) -> None:
    draw = random.Random(seed)
    cuts = [draw.randrange(len(BODY)) for _ in range(3)]
    site.pages["/a.zip"] = Page(
        BODY,
        etag=draw.choice(['"one"', 'W/"one"', None]),
        modified=draw.choice(["Wed, 01 Jan 2020 00:00:00 GMT", None]),
        ranges=draw.random() < 0.7,
        cuts=cuts,
    )
    target = tmp_path / "a.zip"
    download(f"{site.url}/a.zip", target, md5=None, retry=hasty)
    assert target.read_bytes() == BODY
    assert leftovers(target) == []


def test_cut_connection_resumes_where_it_stopped(
    site: Site, tmp_path: Path, hasty: RetryPolicy
) -> None:
    site.pages["/a.zip"] = Page(BODY, cuts=[300_000])
    download(f"{site.url}/a.zip", tmp_path / "a.zip", md5=MD5, retry=hasty)
    first, second = site.requests
    assert "Range" not in first[1]
    resumed_at = int(second[1]["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < resumed_at <= 300_000
    assert second[1]["If-Range"] == '"one"'


def test_what_came_is_kept_for_the_next_call(
    site: Site, tmp_path: Path, hasty: RetryPolicy
) -> None:
    page = site.pages["/a.zip"] = Page(BODY, cuts=[200_000, 0, 0, 0])
    target = tmp_path / "a.zip"
    with raises_error(UnreachableError, "connection_cut", where="/a.zip", figures=[4]) as caught:
        download(f"{site.url}/a.zip", target, md5=MD5, retry=hasty)
    kept = (tmp_path / "a.zip.part").stat().st_size
    assert kept > 0
    assert f"{kept:,}" in str(caught.value.hint)
    assert not target.exists()
    site.requests.clear()
    assert page.cuts == []
    download(f"{site.url}/a.zip", target, md5=MD5, retry=hasty)
    assert site.requested_ranges() == [f"bytes={kept}-"]
    assert target.read_bytes() == BODY


def test_a_later_refusal_reports_the_kept_bytes(
    site: Site, tmp_path: Path, hasty: RetryPolicy
) -> None:
    def break_down(page: Page) -> None:
        page.status = 503

    site.pages["/a.zip"] = Page(BODY, cuts=[200_000], after_cut=break_down)
    with raises_error(UnreachableError, "server_failed", figures=[503]) as caught:
        download(f"{site.url}/a.zip", tmp_path / "a.zip", md5=MD5, retry=hasty)
    kept = (tmp_path / "a.zip.part").stat().st_size
    assert f"{kept:,}" in str(caught.value.hint)


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("new_body", [BODY[::-1], BODY[::-1][:250_000], BODY[:100] + BODY])
def test_file_changed_on_the_server_is_started_again(
    site: Site, tmp_path: Path, hasty: RetryPolicy, heeds_if_range: bool, new_body: bytes
) -> None:
    def change(page: Page) -> None:
        page.body, page.etag = new_body, '"two"'

    site.pages["/a.zip"] = Page(
        BODY, cuts=[200_000], after_cut=change, heeds_if_range=heeds_if_range
    )
    target = tmp_path / "a.zip"
    download(f"{site.url}/a.zip", target, md5=None, retry=hasty)
    assert target.read_bytes() == new_body


def test_changed_size_is_detected_without_etag_or_date(
    site: Site, tmp_path: Path, hasty: RetryPolicy
) -> None:
    def grow(page: Page) -> None:
        page.body = BODY[::-1] + b"more"

    site.pages["/a.zip"] = Page(BODY, etag=None, cuts=[200_000], after_cut=grow)
    target = tmp_path / "a.zip"
    download(f"{site.url}/a.zip", target, md5=None, retry=hasty)
    assert target.read_bytes() == BODY[::-1] + b"more"


def test_server_that_gives_a_range_in_pieces(
    site: Site, tmp_path: Path, hasty: RetryPolicy
) -> None:
    site.pages["/a.zip"] = Page(BODY, cuts=[150_000], piece=150_000)
    target = tmp_path / "a.zip"
    download(f"{site.url}/a.zip", target, md5=None, retry=hasty)
    assert target.read_bytes() == BODY
    assert len(site.requests) > 2


def test_response_for_another_offset_is_not_appended(
    site: Site, tmp_path: Path, hasty: RetryPolicy
) -> None:
    site.pages["/a.zip"] = Page(BODY, cuts=[200_000], shift=-1)
    target = tmp_path / "a.zip"
    download(f"{site.url}/a.zip", target, md5=MD5, retry=hasty)
    assert target.read_bytes() == BODY


def test_bytes_of_unknown_version_are_discarded(
    site: Site, tmp_path: Path, hasty: RetryPolicy
) -> None:
    site.pages["/a.zip"] = Page(BODY)
    (tmp_path / "a.zip.part").write_bytes(b"who knows")
    (tmp_path / "a.zip.part.json").write_text("{not json")
    download(f"{site.url}/a.zip", tmp_path / "a.zip", md5=MD5, retry=hasty)
    assert site.requested_ranges() == [None]


@pytest.mark.parametrize("header", [{"Content-Encoding": "gzip"}, {"Content-Length": "many"}])
def test_a_length_that_is_not_that_of_the_file_is_not_used(header: dict[str, str]) -> None:
    headers = {"Content-Length": "10", "ETag": '"a"', "Last-Modified": "now"} | header
    version = FileVersion.from_headers("url", headers)
    assert version.size is None
    assert (version.validator is None) == ("Content-Encoding" in header)


@pytest.mark.parametrize(
    ("status", "location", "code"),
    [
        (302, "file:///etc/passwd", "invalid_url"),
        (302, "http://[bad", "invalid_url"),
        (302, "", "file_not_on_server"),
        (204, "", "file_not_on_server"),
    ],
)
def test_another_answer_than_a_file_is_an_error(
    site: Site, tmp_path: Path, hasty: RetryPolicy, status: int, location: str, code: str
) -> None:
    site.pages["/a.zip"] = Page(b"", status=status, location=location)
    with raises_error(FetchError, code, where="/a.zip"):
        download(f"{site.url}/a.zip", tmp_path / "a.zip", md5=None, retry=hasty)
    assert leftovers(tmp_path / "a.zip") == []


def test_complete_part_file_needs_no_second_transfer(
    site: Site, tmp_path: Path, hasty: RetryPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["/a.zip"] = Page(BODY)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("reeltune.fetch.download.file_digest", _interrupt)
        download(f"{site.url}/a.zip", tmp_path / "a.zip", md5=MD5, retry=hasty)
    download(f"{site.url}/a.zip", tmp_path / "a.zip", md5=MD5, retry=hasty)
    assert len(site.requests) == 1
    assert (tmp_path / "a.zip").read_bytes() == BODY


def _interrupt(*_args: object) -> str:
    raise KeyboardInterrupt


def test_missing_file(site: Site, tmp_path: Path, hasty: RetryPolicy) -> None:
    with raises_error(FetchError, "file_not_on_server", where="/a.zip", figures=[404, "--from"]):
        download(f"{site.url}/a.zip", tmp_path / "a.zip", md5=None, retry=hasty)
    assert list(tmp_path.iterdir()) == []


def test_refused_connection(tmp_path: Path, hasty: RetryPolicy) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        # Bound but not listening, so that no other process can take it.
        url = f"http://127.0.0.1:{port}/a"
        refused = raises_error(
            UnreachableError, "connection_refused", where="127.0.0.1", figures=[url, "--from"]
        )
        with refused:
            download(url, tmp_path / "a", md5=None, retry=hasty)


def test_name_that_does_not_resolve(
    tmp_path: Path, hasty: RetryPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with raises_error(UnreachableError, "host_not_found", where="films.test"):
        download("http://films.test/a.zip", tmp_path / "a", md5=None, retry=hasty)


def test_silent_server(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        with raises_error(UnreachableError, "server_timeout", where="127.0.0.1"):
            download(url, tmp_path / "a", md5=None, retry=RetryPolicy(5.0, 0.1, 1, 0.0))


def test_proxy_that_is_not_there(
    tmp_path: Path, hasty: RetryPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with raises_error(UnreachableError, "proxy_failed", where="films.test"):
        download("http://films.test/a.zip", tmp_path / "a", md5=None, retry=hasty)


def test_address_that_makes_no_sense(tmp_path: Path, hasty: RetryPolicy) -> None:
    with raises_error(FetchError, "invalid_url", where="nonsense", figures=["--base-url"]):
        download("nonsense", tmp_path / "a", md5=None, retry=hasty)


def test_untrusted_certificate_is_explained(tmp_path: Path, hasty: RetryPolicy) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url = f"https://127.0.0.1:{server.server_address[1]}/a"
        with raises_error(UnreachableError, "tls_certificate_refused", figures=["--from"]):
            download(url, tmp_path / "a", md5=None, retry=hasty)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_unwritable_place_is_one_clear_error(
    site: Site, tmp_path: Path, hasty: RetryPolicy
) -> None:
    site.pages["/a.zip"] = Page(BODY)
    (tmp_path / "file").write_text("not a folder")
    with raises_error(FetchError, "cannot_write", figures=["--into"]):
        download(f"{site.url}/a.zip", tmp_path / "file" / "a.zip", md5=None, retry=hasty)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"MD5 (ml-latest.zip) = {MD5}\n", MD5),
        (f"MD5 (ml-latest.zip) = {MD5.upper()}\n", MD5),
        (f"{MD5}  ml-latest.zip\n", MD5),
        ("<html>Please log in</html>", None),
        ("", None),
    ],
)
def test_published_md5(site: Site, hasty: RetryPolicy, text: str, expected: str | None) -> None:
    site.pages["/a.zip.md5"] = Page(text.encode())
    assert published_md5(f"{site.url}/a.zip", hasty) == expected


def test_no_published_md5(site: Site, hasty: RetryPolicy) -> None:
    assert published_md5(f"{site.url}/a.zip", hasty) is None
    site.pages["/a.zip.md5"] = Page(b"", status=500)
    with raises_error(UnreachableError, "server_failed", figures=[500]):
        published_md5(f"{site.url}/a.zip", hasty)
