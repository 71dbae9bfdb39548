"""Downloads that resume, are verified, and appear under their name only when complete."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import requests

from reeltune import progress
from reeltune.errors import FetchError
from reeltune.fetch.network_errors import (
    UnreachableError,
    by_hand,
    check_status,
    connection_error,
    disk_errors,
)
from reeltune.files import file_digest, read_object, replace_durably, write_json

_CHUNK_BYTES: Final = 1 << 16
_PARTIAL_CONTENT: Final = 206
_RANGE_NOT_SATISFIABLE: Final = 416
_MD5_FORMS: Final = re.compile(r"MD5 \([^)]*\) = ([0-9a-fA-F]{32})|^([0-9a-fA-F]{32})\b")


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts of a download, connections per file before giving up, and pauses between them."""

    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    tries: int = 4
    pause_seconds: float = 2.0

    @property
    def timeout(self) -> tuple[float, float]:
        """The timeouts as ``requests`` takes them."""
        return (self.connect_seconds, self.read_seconds)


@dataclass(frozen=True)
class FileVersion:
    """The version of a file on a server: size in bytes, ``ETag`` and ``Last-Modified``, if sent."""

    url: str
    size: int | None
    etag: str | None
    modified: str | None

    @classmethod
    def from_headers(cls, url: str, headers: Mapping[str, str]) -> FileVersion:
        """Read the version from a complete response (status 200)."""
        if "Content-Encoding" in headers:  # its offsets and length are not those of the file
            return cls(url, None, None, None)
        length = headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else None
        return cls(url, size, headers.get("ETag"), headers.get("Last-Modified"))

    @property
    def validator(self) -> str | None:
        """The value for ``If-Range``: a strong ETag, else the date (RFC 9110, 13.1.5)."""
        strong = self.etag is not None and not self.etag.startswith("W/")
        return self.etag if strong else self.modified

    def resume_headers(self, offset: int) -> dict[str, str]:
        """Return the request headers for the rest of this version."""
        condition = {"If-Range": self.validator} if self.validator else {}
        return {"Range": f"bytes={offset}-", **condition}

    def continued_by(self, headers: Mapping[str, str], offset: int) -> bool:
        """Return whether a partial response (status 206) continues this version at ``offset``."""
        content_range = headers.get("Content-Range", "").strip()
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range)
        if match is None or int(match[1]) != offset:
            return False
        size = None if match[2] == "*" else int(match[2])
        pairs = (
            (self.size, size),
            (self.etag, headers.get("ETag")),
            (self.modified, headers.get("Last-Modified")),
        )
        return all(old == new for old, new in pairs if old and new)


class PartialFile:
    """``<target>.part`` and, in ``<target>.part.json``, the version of its bytes."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._version_path = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes downloaded so far."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def read_version(self, url: str) -> FileVersion | None:
        """Return the version of the bytes; None if they cannot be continued.

        Raises:
            FetchError: They are not of an earlier download.
        """
        if not self._version_path.is_file():
            if os.path.lexists(self.path):
                raise file_in_the_way(self.path)
            return None
        try:
            version = FileVersion(**read_object(self._version_path))
        except (ValueError, TypeError):  # damaged, or written by another release: start again
            return None
        resumable = version.validator is not None or version.size is not None
        return version if version.url == url and resumable else None

    def restart(self, version: FileVersion) -> None:
        """Discard the bytes and record the version of the next ones."""
        self.remove()
        write_json(self._version_path, asdict(version))

    def remove(self) -> None:
        """Discard the bytes, if they have a version, and it."""
        if not self._version_path.is_file():
            return
        self.path.unlink(missing_ok=True)
        self._version_path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Rename the complete file to its target."""
        replace_durably(self.path, self.target)
        self._version_path.unlink(missing_ok=True)


def file_in_the_way(path: Path) -> FetchError:
    """Return the error for a file that no download wrote, with the name of one."""
    return FetchError(
        "exists and is no download of this file, so it is not replaced",
        code="file_in_the_way",
        where=str(path),
        hint="Move it away, or use a zip file with --from PATH",
    )


class _CutError(Exception):
    """The connection ended before the file did."""


def download(
    url: str,
    target: Path,
    *,
    md5: str | None,
    retry: RetryPolicy | None = None,
) -> None:
    """Download ``url`` to ``target``, resuming from ``<target>.part`` of an earlier call.

    Raises:
        UnreachableError: No connection, or it was cut too often; the bytes so far are kept.
        FetchError: The file does not exist, cannot be written, or its MD5 differs (it is removed).
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = PartialFile(target)
        _transfer_all(url, part, retry or RetryPolicy())
        if md5 is not None and (actual := file_digest(part.path, "md5")) != md5:
            part.remove()
            raise FetchError(
                f"MD5 is {actual}, expected {md5}; the download was removed",
                code="checksum_mismatch",
                where=url,
                hint=f"Try once more; a second failure means a replaced file. {by_hand(url)}",
            )
        part.finish()


def published_md5(url: str, retry: RetryPolicy | None = None) -> str | None:
    """Return the MD5 published as ``<url>.md5``; None if there is none.

    Raises:
        UnreachableError: No connection, or the server failed.
    """
    address = f"{url}.md5"
    try:
        response = requests.get(address, timeout=(retry or RetryPolicy()).timeout)
    except (OSError, ValueError) as error:
        raise connection_error(address, error) from error
    if 400 <= response.status_code < 500:
        return None
    check_status(address, response)
    match = _MD5_FORMS.search(response.text)
    return (match[1] or match[2]).lower() if match else None


def _transfer_all(url: str, part: PartialFile, retry: RetryPolicy) -> None:
    with requests.Session() as session:
        for attempt in range(retry.tries):
            if attempt:
                time.sleep(retry.pause_seconds)
            try:
                _transfer(session, url, part, retry)
            except _CutError:
                continue
            except UnreachableError as error:
                if part.size:
                    error.hint = f"{_kept(part)}. {error.hint}"
                raise
            return
    raise UnreachableError(
        f"the connection was cut {retry.tries} times",
        code="connection_cut",
        where=url,
        hint=_kept(part),
    )


def _kept(part: PartialFile) -> str:
    return f"The first {part.size:,} bytes are kept: run the same command again to resume"


def _transfer(session: requests.Session, url: str, part: PartialFile, retry: RetryPolicy) -> None:
    """Download over one connection.

    Raises:
        _CutError: The file is not complete yet.
    """
    version = part.read_version(url)
    if version is None:
        part.remove()
    elif part.size and part.size == version.size:
        return
    headers = {"Accept-Encoding": "identity"}
    if version is not None and part.size:
        headers |= version.resume_headers(part.size)
    try:
        response = session.get(url, headers=headers, stream=True, timeout=retry.timeout)
    except (OSError, ValueError) as error:
        raise connection_error(url, error) from error
    with response:
        version = _accept(response, url, part, version)
        with progress.show_progress(progress.BYTES) as start:
            task = start(part.target.name, version.size, part.size)
            _write_body(response, part, task.advance)
    if version.size is not None and part.size < version.size:
        raise _CutError


def _accept(
    response: requests.Response, url: str, part: PartialFile, version: FileVersion | None
) -> FileVersion:
    """Return the version that a response continues or starts.

    Raises:
        _CutError: The bytes so far were of another version and are removed.
    """
    status = response.status_code
    if status in (_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE):
        resumed = version is not None and version.continued_by(response.headers, part.size)
        if version is not None and resumed and status == _PARTIAL_CONTENT:
            return version
        part.remove()
        raise _CutError
    check_status(url, response)
    version = FileVersion.from_headers(url, response.headers)
    part.restart(version)
    return version


def _write_body(
    response: requests.Response, part: PartialFile, advance: Callable[[int], None]
) -> None:
    try:
        with part.path.open("ab") as sink:
            for chunk in response.iter_content(_CHUNK_BYTES):
                sink.write(chunk)
                advance(len(chunk))
    except requests.RequestException as error:
        raise _CutError from error
