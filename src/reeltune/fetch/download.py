"""Downloads that resume, are checked, and appear under their name only when complete."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reeltune.errors import FetchError
from reeltune.fetch.part_file import PartFile, ServerMark
from reeltune.fetch.trouble import (
    UnreachableError,
    check_status,
    disk_errors,
    explain,
    other_means,
)
from reeltune.files import file_digest

if TYPE_CHECKING:
    import requests
    from rich.progress import Progress

_CHUNK_BYTES: Final = 1 << 16
_PARTIAL: Final = 206
_RANGE_REFUSED: Final = 416
_MD5_FORMS: Final = re.compile(r"MD5 \([^)]*\) = ([0-9a-fA-F]{32})|^([0-9a-fA-F]{32})\b")


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to go on after a cut connection.

    Attributes:
        connect_seconds: Limit for a connection to be made.
        read_seconds: Limit for the next bytes to arrive.
        tries: Connections made for one file before giving up for now.
        pause_seconds: Wait before going on after a cut.
    """

    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    tries: int = 4
    pause_seconds: float = 2.0

    @property
    def timeout(self) -> tuple[float, float]:
        """The two limits as ``requests`` takes them."""
        return (self.connect_seconds, self.read_seconds)


class _CutError(Exception):
    """The connection ended before the file did."""


def download(
    url: str,
    target: Path,
    *,
    md5: str | None,
    patience: Patience | None = None,
    show_progress: bool = False,
) -> None:
    """Download ``url`` to ``target``, going on where an earlier call stopped.

    Args:
        url: The address.
        target: The file to write; its folder is made. Unfinished bytes lie in ``<target>.part``.
        md5: The MD5 the file must have; None when it is not known.
        patience: Time limits and number of tries.
        show_progress: Draw a progress bar on standard error.

    Raises:
        UnreachableError: The server could not be talked to, or the connection was cut too often;
            what came is kept for the next call.
        FetchError: The file is not there, cannot be written, or has another checksum (it is
            removed).
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(url, target, md5, patience or Patience(), show_progress)


def _download(
    url: str, target: Path, md5: str | None, patience: Patience, show_progress: bool
) -> None:
    part = PartFile(target)
    _transfer_all(url, part, patience, show_progress)
    if md5 is not None and (found := file_digest(part.path, "md5")) != md5:
        part.remove()
        raise FetchError(
            f"MD5 is {found}, expected {md5}; the download was removed",
            where=url,
            hint=f"Try once more; if it happens again the file was replaced. {other_means(url)}",
        )
    part.finish(target)


def published_md5(url: str, patience: Patience | None = None) -> str | None:
    """Return the MD5 published beside a file as ``<url>.md5``, None when there is none.

    Raises:
        UnreachableError: The server could not be talked to.
    """
    import requests

    address = f"{url}.md5"
    try:
        response = requests.get(address, timeout=(patience or Patience()).timeout)
    except OSError as error:
        raise explain(address, error) from error
    if 400 <= response.status_code < 500:
        return None
    check_status(address, response)
    found = _MD5_FORMS.search(response.text)
    return (found[1] or found[2]).lower() if found else None


def _transfer_all(url: str, part: PartFile, patience: Patience, show_progress: bool) -> None:
    import requests

    with requests.Session() as session:
        for attempt in range(patience.tries):
            if attempt:
                time.sleep(patience.pause_seconds)
            try:
                _transfer(session, url, part, patience, show_progress)
            except _CutError:
                continue
            except UnreachableError as error:
                if not part.size:
                    raise
                hint = f"{_kept(part)}. {error.hint}"
                raise UnreachableError(error.message, where=error.where, hint=hint) from error
            return
    raise UnreachableError(
        f"the connection was cut {patience.tries} times", where=url, hint=_kept(part)
    )


def _kept(part: PartFile) -> str:
    return f"The first {part.size:,} bytes are kept: run the same command again to go on"


def _transfer(
    session: requests.Session, url: str, part: PartFile, patience: Patience, show_progress: bool
) -> None:
    """Make one connection and write what it brings.

    Raises:
        _CutError: The file is not complete yet; what came is in the part file.
    """
    begun = part.read_mark(url)
    if begun is None:
        part.remove()
    elif part.size and part.size == begun.size:
        return
    headers = _request_headers(part.size, begun)
    try:
        response = session.get(url, headers=headers, stream=True, timeout=patience.timeout)
    except OSError as error:
        raise explain(url, error) from error
    with response:
        mark = _accept(response, url, part, begun)
        with _progress_bar(show_progress) as progress:
            task = progress.add_task(part.name, total=mark.size, completed=part.size)
            _write_body(response, part, lambda count: progress.advance(task, count))
    if mark.size is not None and part.size < mark.size:
        raise _CutError


def _request_headers(have: int, begun: ServerMark | None) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if begun is not None and have:
        headers["Range"] = f"bytes={have}-"
        if begun.validator:
            headers["If-Range"] = begun.validator
    return headers


def _accept(
    response: requests.Response, url: str, part: PartFile, begun: ServerMark | None
) -> ServerMark:
    """Decide whether an answer goes on with the part file or begins it anew.

    Raises:
        _CutError: It does neither: the bytes so far are of another version and were removed.
    """
    if response.status_code in (_PARTIAL, _RANGE_REFUSED):
        partial = response.status_code == _PARTIAL
        if partial and begun is not None and begun.continued_by(response.headers, part.size):
            return begun
        part.remove()
        raise _CutError
    check_status(url, response)
    part.remove()
    mark = ServerMark.of(url, response.headers)
    part.write_mark(mark)
    return mark


def _write_body(
    response: requests.Response, part: PartFile, advance: Callable[[int], None]
) -> None:
    import requests

    try:
        with part.path.open("ab") as sink:
            for chunk in response.iter_content(_CHUNK_BYTES):
                sink.write(chunk)
                advance(len(chunk))
    except requests.RequestException as error:
        raise _CutError from error


def _progress_bar(shown: bool) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
    )
