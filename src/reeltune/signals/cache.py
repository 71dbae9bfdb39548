"""Signals on all events, kept on disk: of large editions it takes long to make."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from reeltune.data.cache_key import CacheKey
from reeltune.data.folder import Codes
from reeltune.files import atomic_file


@dataclass(frozen=True)
class Kept:
    """What was found.

    Attributes:
        codes: The signals, shape ``(events, kinds)``; None where it has to be made.
        reason: Why it has to be.
    """

    codes: Codes | None
    reason: str = ""


def look_up(path: Path, key: CacheKey) -> Kept:
    """Return what is kept at ``path`` if it was made with an equal key."""
    if not path.is_file():
        return Kept(None, "nothing cached yet")
    try:
        with np.load(path, allow_pickle=False) as kept:
            stored, codes = json.loads(str(kept["key"])), kept["codes"]
    except (BadZipFile, EOFError, KeyError, ValueError) as error:
        return Kept(None, f"the cache cannot be read: {error}")
    changed = key.changed_from(stored)
    return Kept(None, f"changed since: {', '.join(changed)}") if changed else Kept(codes)


def store(path: Path, key: CacheKey, codes: Codes) -> None:
    """Keep signals at ``path``, whole or not at all."""
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, codes=codes, key=np.array(json.dumps(key.parts)))
