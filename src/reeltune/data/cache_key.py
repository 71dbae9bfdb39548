"""Cache keys: a cache is valid while everything it was computed from is unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reeltune.data.folder import ITEMS_FILE, TIMELINES_FILE, PreparedFolder
from reeltune.files import file_digest


@dataclass(frozen=True)
class CacheKey:
    """Everything a cache depends on, by name, so that a miss can report what changed."""

    parts: dict[str, Any]

    def changed_from(self, stored: dict[str, Any]) -> list[str]:
        """Return the names of the entries that differ from a stored key."""
        names = self.parts.keys() | stored.keys()
        return sorted(name for name in names if self.parts.get(name) != stored.get(name))


def table_digests(folder: PreparedFolder) -> dict[str, str]:
    """Return the SHA-256 of each table of prepared data, by file name."""
    return {name: file_digest(folder.path / name) for name in (TIMELINES_FILE, ITEMS_FILE)}


def prepared_data(folder: PreparedFolder) -> dict[str, Any]:
    """Return the entry of a key for the content of prepared data."""
    return {"prepared data": table_digests(folder)}
