"""What something kept on disk was made from: it is used only while all of that is equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reeltune.data.folder import ITEMS_FILE, TIMELINES_FILE, PreparedFolder
from reeltune.files import file_digest


@dataclass(frozen=True)
class CacheKey:
    """Everything the kept thing depends on, named, so that a miss can say what changed."""

    parts: dict[str, Any]

    def changed_from(self, stored: dict[str, Any]) -> list[str]:
        """Return the names of the parts that differ from a stored key."""
        names = self.parts.keys() | stored.keys()
        return sorted(name for name in names if self.parts.get(name) != stored.get(name))


def prepared_data(folder: PreparedFolder) -> dict[str, Any]:
    """Return the part of a key that is the content of prepared data."""
    digests = {name: file_digest(folder.path / name) for name in (TIMELINES_FILE, ITEMS_FILE)}
    return {"prepared data": digests}
