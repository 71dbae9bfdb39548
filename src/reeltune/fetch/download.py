"""Downloads that resume, are verified, and appear under their name only when complete."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
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
from reeltune.fetch.partial_file import FileVersion, PartialFile
from reeltune.files import file_digest

_CHUNK_BYTES: Final = 1 << 16
_PARTIAL_CONTENT: Final = 206
_RANGE_NOT_SATISFIABLE: Final = 416
_MD5_FORMS: Final = re.compile(r"MD5 \([^)]*\) = ([0-9a-fA-F]{32})|^([0-9a-fA-F]{32})\b")


@dataclass(frozen=True)
class RetryPolicy:
    """Time limits of a download, and how often a cut connection is resumed.

    Attributes:
        connect_seconds: Limit for making a connection.
        read_seconds: Limit for the next bytes to arrive.
        tries: Connections made for one file before giving up.
        pause_seconds: Wait before resuming.
    """

    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    tries: int = 4
    pause_seconds: float = 2.0

    @property
    def timeout(self) -> tuple[float, float]:
        """The two limits in the form of ``requests``."""
        return (self.connect_seconds, self.read_seconds)


class _CutError(Exception):
    """The connection ended before the file did."""


def download(
    url: str,
    target: Path,
    *,
    md5: str | None,
    retry: RetryPolicy | None = None,
    show_progress: bool = False,
) -> None:
    """Download ``url`` to ``target``, resuming what an earlier call left in ``<target>.part``.

    Args:
        url: The address.
        target: The file to write; its folder is created.
        md5: The expected MD5; None when it is not known.
        retry: Time limits and number of tries.
        show_progress: Show progress on standard error.

    Raises:
        UnreachableError: No connection, or it was cut too often; the bytes so far are kept.
        FetchError: The file is not there, cannot be written, or has another checksum (it is
            removed).
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = PartialFile(target)
        _transfer_all(url, part, retry or RetryPolicy(), show_progress)
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
    """Return the MD5 published beside a file as ``<url>.md5``, None when there is none.

    Raises:
        UnreachableError: No connection, or the server failed.
    """
    address = f"{url}.md5"
    try:
        response = requests.get(address, timeout=(retry or RetryPolicy()).timeout)
    except OSError as error:
        raise connection_error(address, error) from error
    if 400 <= response.status_code < 500:
        return None
    check_status(address, response)
    found = _MD5_FORMS.search(response.text)
    return (found[1] or found[2]).lower() if found else None


def _transfer_all(url: str, part: PartialFile, retry: RetryPolicy, show_progress: bool) -> None:
    with requests.Session() as session:
        for attempt in range(retry.tries):
            if attempt:
                time.sleep(retry.pause_seconds)
            try:
                _transfer(session, url, part, retry, show_progress)
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


def _transfer(
    session: requests.Session, url: str, part: PartialFile, retry: RetryPolicy, show_progress: bool
) -> None:
    """Make one connection and write its body.

    Raises:
        _CutError: The file is not complete yet; the bytes are in the partial file.
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
    except OSError as error:
        raise connection_error(url, error) from error
    with response:
        version = _accept(response, url, part, version)
        with progress.show_progress(progress.BYTES, shown=show_progress) as start:
            task = start(part.target.name, version.size, part.size)
            _write_body(response, part, task.advance)
    if version.size is not None and part.size < version.size:
        raise _CutError


def _accept(
    response: requests.Response, url: str, part: PartialFile, version: FileVersion | None
) -> FileVersion:
    """Return the version that a response continues, or begins anew.

    Raises:
        _CutError: It does neither: the bytes so far are of another version and were removed.
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
