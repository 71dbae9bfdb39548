"""A download that is not finished yet, kept beside its target so that it can be resumed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from reeltune.files import write_json


@dataclass(frozen=True)
class ServerMark:
    """What tells one version of a file on a server from another.

    Attributes:
        url: Where the file was asked for.
        size: Bytes of the whole file; None when the server did not say.
        etag: The server's name for this version.
        modified: ``Last-Modified``, as sent.
    """

    url: str
    size: int | None
    etag: str | None
    modified: str | None

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str]) -> ServerMark:
        """Read the mark of a complete answer (status 200)."""
        length = headers.get("Content-Length")
        # The length of an encoded body is not the length of the file.
        known = length is not None and "Content-Encoding" not in headers
        return cls(
            url=url,
            size=int(length) if known and length else None,
            etag=headers.get("ETag"),
            modified=headers.get("Last-Modified"),
        )

    @property
    def validator(self) -> str | None:
        """What to send as ``If-Range``: a strong ETag, else the date (RFC 9110, 13.1.5)."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified

    def continued_by(self, headers: Mapping[str, str], have: int) -> bool:
        """Tell whether a partial answer (status 206) goes on at byte ``have`` of this version."""
        form = r"bytes (\d+)-(\d+)/(\d+|\*)"
        found = re.fullmatch(form, headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != have:
            return False
        if self.size is not None and found[3] != "*" and int(found[3]) != self.size:
            return False
        now = (headers.get("ETag"), headers.get("Last-Modified"))
        then = (self.etag, self.modified)
        return all(a == b for a, b in zip(now, then, strict=True) if a and b)


class PartFile:
    """``<target>.part`` and, beside it, what the server said about the file.

    Args:
        target: Where the finished file will lie.
    """

    def __init__(self, target: Path) -> None:
        self.name = target.name
        self.path = target.with_name(f"{target.name}.part")
        self._mark_path = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that are here already."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def read_mark(self, url: str) -> ServerMark | None:
        """Return the mark of the version that the bytes belong to, None when unknown."""
        if not self._mark_path.is_file():
            return None
        try:
            mark = ServerMark(**json.loads(self._mark_path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):  # damaged, or written by another release: start again
            return None
        resumable = mark.validator is not None or mark.size is not None
        return mark if mark.url == url and resumable else None

    def write_mark(self, mark: ServerMark) -> None:
        """Note which version the bytes that follow belong to."""
        write_json(self._mark_path, asdict(mark))

    def remove(self) -> None:
        """Forget what was downloaded so far."""
        self.path.unlink(missing_ok=True)
        self._mark_path.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Give the complete file its name."""
        self.path.replace(target)
        self._mark_path.unlink(missing_ok=True)
