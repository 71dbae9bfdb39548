"""An unfinished download beside its target, and the version of the file its bytes belong to."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from reeltune.files import replace_durably, write_json


@dataclass(frozen=True)
class FileVersion:
    """What tells one version of a file on a server from another.

    Attributes:
        url: The address of the file.
        size: Bytes of the whole file; None when the server did not send it.
        etag: ``ETag``, as sent.
        modified: ``Last-Modified``, as sent.
    """

    url: str
    size: int | None
    etag: str | None
    modified: str | None

    @classmethod
    def from_headers(cls, url: str, headers: Mapping[str, str]) -> FileVersion:
        """Read the version from a complete response (status 200)."""
        length = headers.get("Content-Length")
        # The length of an encoded body is not the length of the file.
        known = length and "Content-Encoding" not in headers
        return cls(
            url=url,
            size=int(length) if known and length else None,
            etag=headers.get("ETag"),
            modified=headers.get("Last-Modified"),
        )

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
        """Tell whether a partial response (status 206) continues this version at ``offset``."""
        form = r"bytes (\d+)-(\d+)/(\d+|\*)"
        found = re.fullmatch(form, headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != offset:
            return False
        if self.size is not None and found[3] != "*" and int(found[3]) != self.size:
            return False
        now = (headers.get("ETag"), headers.get("Last-Modified"))
        then = (self.etag, self.modified)
        return all(a == b for a, b in zip(now, then, strict=True) if a and b)


class PartialFile:
    """``<target>.part`` and, beside it, the version of the file on the server.

    Args:
        target: Path of the finished file.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._version_path = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes downloaded so far."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def read_version(self, url: str) -> FileVersion | None:
        """Return the version that the bytes belong to; None when they cannot be continued."""
        if not self._version_path.is_file():
            return None
        try:
            version = FileVersion(**json.loads(self._version_path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):  # damaged, or written by another release: start again
            return None
        resumable = version.validator is not None or version.size is not None
        return version if version.url == url and resumable else None

    def restart(self, version: FileVersion) -> None:
        """Discard the bytes and record the version of those that follow."""
        self.remove()
        write_json(self._version_path, asdict(version))

    def remove(self) -> None:
        """Discard the bytes and their version."""
        self.path.unlink(missing_ok=True)
        self._version_path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Rename the complete file to its target."""
        replace_durably(self.path, self.target)
        self._version_path.unlink(missing_ok=True)
