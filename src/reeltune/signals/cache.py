"""Signals of all events, cached on disk: for large editions they take minutes to hours."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np

from reeltune.data.cache_key import CacheKey
from reeltune.data.timelines import Codes
from reeltune.files import atomic_file

SIGNALS_FILE: Final = "signals.npz"
"""Within ``data.cache_dir``."""

_LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class SignalCache:
    """One file with codes and the key they were computed with.

    Attributes:
        path: The file.
        key: Everything the codes depend on.
    """

    path: Path
    key: CacheKey

    def codes(self, compute: Callable[[], Codes]) -> Codes:
        """Return the cached codes, shape ``(events, kinds)``, computing them on a miss."""
        codes, reason = self.look_up()
        if codes is not None:
            _LOGGER.info("signals of %s events: cache hit", f"{len(codes):,}")
            return codes
        codes = compute()
        _LOGGER.info("signals of %s events: computed (%s)", f"{len(codes):,}", reason)
        try:
            self.store(codes)
        except OSError as error:
            # The codes are needed now; the cache only saves time in the next run.
            _LOGGER.warning("signals: not cached in %s (%s)", self.path, error.strerror)
        return codes

    def look_up(self) -> tuple[Codes | None, str]:
        """Return the codes if they were stored with an equal key; otherwise None and why."""
        if not self.path.is_file():
            return None, "not cached yet"
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                stored, codes = json.loads(str(arrays["key"])), arrays["codes"]
        except (BadZipFile, EOFError, KeyError, ValueError) as error:
            return None, f"unreadable cache: {error}"
        changed = self.key.changed_from(stored)
        return (None, f"changed: {', '.join(changed)}") if changed else (codes, "")

    def store(self, codes: Codes) -> None:
        """Write the file, whole or not at all."""
        with atomic_file(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, codes=codes, key=np.array(json.dumps(self.key.parts)))
