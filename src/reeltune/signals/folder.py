"""Prepared data with signals as context lines, cached on disk: they can take minutes."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np

from reeltune.config import Config
from reeltune.data.folder import CacheKey, PreparedFolder, prepared_data
from reeltune.data.history import ContextSource, NoContext
from reeltune.data.tags import TagSource
from reeltune.data.timelines import Codes
from reeltune.domain import (
    GP_HYPERPARAMETERS,
    PROMPT_VERSION,
    GPHyperparameters,
    SignalKind,
)
from reeltune.errors import RunError, one_line
from reeltune.files import atomic_file
from reeltune.signals.source import SignalSource
from reeltune.signals.target import stars_per_unit

SIGNALS_FILE: Final = "signals.npz"
"""Within ``data.cache_dir``."""

_UNREADABLE: Final = (OSError, BadZipFile, zlib.error, EOFError, KeyError, ValueError, RuntimeError)
"""Raised by numpy and zipfile for damaged files; some header fields raise a RuntimeError."""

_LOGGER: Final = logging.getLogger("reeltune")


def open_prepared(
    config: Config,
    *,
    use_cache: bool = True,
    adapter_process: GPHyperparameters | None = None,
) -> PreparedFolder:
    """Open the prepared folder of a configuration, with the context lines of its prompt.

    Args:
        config: Names the folder, the signals and the cache.
        use_cache: Whether signals are cached.
        adapter_process: Hyperparameters that an adapter learned with; None for those of the data.

    Raises:
        DataError: The folder is missing, incomplete or written in another format version.
    """
    folder = PreparedFolder.open(config.data.prepared_dir)
    cache_dir = config.data.cache_dir if use_cache else None
    return with_signals(folder, config.prompt.signals, cache_dir, adapter_process)


def with_signals(
    folder: PreparedFolder,
    kinds: tuple[SignalKind, ...],
    cache_dir: Path | None = None,
    adapter_process: GPHyperparameters | None = None,
) -> PreparedFolder:
    """Return a prepared folder whose events have signals and tags; without any, the folder itself.

    An adapter's hyperparameters define its prompts, so they are used instead of the data's.
    """
    if not kinds and folder.tags is None:
        return folder
    if "expected" in kinds and adapter_process not in (None, folder.gaussian_process):
        _LOGGER.info("signal expected: hyperparameters of the adapter, not those of the data")
    return folder.with_context(partial(_source, kinds=kinds, cache_dir=cache_dir), adapter_process)


def _source(
    folder: PreparedFolder, *, kinds: tuple[SignalKind, ...], cache_dir: Path | None
) -> ContextSource:
    signals = _signals(folder, kinds, cache_dir) if kinds else NoContext()
    return signals if folder.tags is None else TagSource(folder.tags, folder.ratings, signals)


def _signals(
    folder: PreparedFolder, kinds: tuple[SignalKind, ...], cache_dir: Path | None
) -> SignalSource:
    process = folder.gaussian_process if "expected" in kinds else GP_HYPERPARAMETERS
    settings = replace(folder.prompt_settings, signals=kinds, gaussian_process=process)
    cache = None
    if cache_dir is not None:
        key = {
            **prepared_data(folder),
            "prompt version": PROMPT_VERSION,
            "threshold": settings.threshold,
            "step": settings.scale.step,
            "signals": list(kinds),
        }
        if process != GP_HYPERPARAMETERS:
            key["gaussian process"] = asdict(process)
        if (stars := stars_per_unit(settings)) != 1:
            key["stars per unit"] = stars
        cache = SignalCache(cache_dir / SIGNALS_FILE, CacheKey(key))
    return SignalSource(folder.ratings, folder.items, settings, cache, folder.auxiliary)


@dataclass(frozen=True)
class SignalCache:
    """One file with codes and the key of everything they depend on."""

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
        except (OSError, RunError) as error:
            # The codes are needed now; the cache only saves time in the next run.
            _LOGGER.warning("signals: not cached in %s (%s)", self.path, error)
        return codes

    def look_up(self) -> tuple[Codes | None, str]:
        """Return the codes if they were stored with an equal key; otherwise None and why."""
        if not self.path.is_file():
            return None, "not cached yet"
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                stored, codes = json.loads(str(arrays["key"])), arrays["codes"]
            if not isinstance(stored, dict):
                raise ValueError("its key is no object")
        except _UNREADABLE as error:
            return None, f"unreadable cache: {one_line(error)}"
        changed = self.key.changed_from(stored)
        return (None, f"changed: {', '.join(changed)}") if changed else (codes, "")

    def store(self, codes: Codes) -> None:
        """Write the file atomically."""
        with atomic_file(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, codes=codes, key=np.array(json.dumps(self.key.parts)))
