"""A scripted local web server, and small editions."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reeltune.fetch.download import RetryPolicy
from reeltune.fetch.editions import Edition, find_edition

RATINGS = "userId,movieId,rating,timestamp\n1,10,4.0,5\n1,20,3.5,6\n2,10,5.0,7\n"
MOVIES = "movieId,title,genres\n10,Heat (1995),Crime\n20,Fargo (1996),Drama\n"


@dataclass
class Page:
    """One file of the server, and the faults of its responses.

    ``cuts``: bytes after which each of the next responses is cut; ``after_cut`` runs then.
    ``shift``, ``piece``: a range is sent from another offset, or with fewer bytes than requested.
    """

    body: bytes
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    heeds_if_range: bool = True
    shift: int = 0
    piece: int | None = None
    status: int = 200
    location: str = ""
    cuts: list[int] = field(default_factory=list)
    after_cut: Callable[[Page], None] = lambda _page: None


@dataclass
class Site:
    """The server: its pages, and the path and headers of every request."""

    url: str
    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def requested_ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.requests]


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""

    def do_GET(self) -> None:
        self.site.requests.append((self.path, dict(self.headers)))
        page = self.site.pages.get(self.path)
        if page is None:
            self.send_error(404)
            return
        if page.status < 400 and page.status != 200:
            self.send_response(page.status)
            self.send_header("Location", page.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if page.status != 200:
            self.send_error(page.status)
            return
        start = self._start(page)
        stop = len(page.body)
        if start is not None and page.piece is not None:
            stop = min(stop, start + page.piece)
        self._send_head(page, start, stop)
        rest = page.body[start or 0 : stop]
        if page.cuts:
            self.wfile.write(rest[: page.cuts.pop(0)])
            page.after_cut(page)
            self.close_connection = True
        else:
            self.wfile.write(rest)

    def _start(self, page: Page) -> int | None:
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if asked is None or not page.ranges:
            return None
        if page.heeds_if_range and condition not in (None, page.etag, page.modified):
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-")) + page.shift

    def _send_head(self, page: Page, start: int | None, stop: int) -> None:
        self.send_response(200 if start is None else 206)
        self.send_header("Content-Length", str(stop - (start or 0)))
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(page.body)}")
        if page.etag:
            self.send_header("ETag", page.etag)
        if page.modified:
            self.send_header("Last-Modified", page.modified)
        self.end_headers()


@pytest.fixture
def site() -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    made = Site(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"site": made})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def hasty() -> RetryPolicy:
    """No pauses."""
    return RetryPolicy(connect_seconds=5.0, read_seconds=5.0, tries=4, pause_seconds=0.0)


def zip_bytes(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@pytest.fixture
def tiny_zip() -> bytes:
    """An edition of three ratings, packed as GroupLens packs."""
    return zip_bytes({"ml-latest-small/ratings.csv": RATINGS, "ml-latest-small/movies.csv": MOVIES})


@pytest.fixture
def tiny_edition(tiny_zip: bytes) -> Edition:
    """``ml-latest-small`` with the checksum and count of :func:`tiny_zip`."""
    return replace(
        find_edition("ml-latest-small"), md5=hashlib.md5(tiny_zip).hexdigest(), ratings=3
    )


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """The same edition as a local folder."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "ratings.csv").write_text(RATINGS)
    (folder / "movies.csv").write_text(MOVIES)
    (folder / "holiday.jpg").write_bytes(b"private")
    return folder
