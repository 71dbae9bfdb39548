"""Prepared data with signals as the context lines of its prompts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from reeltune.config import Config
from reeltune.data.cache_key import CacheKey, prepared_data
from reeltune.data.folder import PreparedFolder
from reeltune.domain import PROMPT_VERSION, SignalKind
from reeltune.signals.cache import SIGNALS_FILE, SignalCache
from reeltune.signals.source import SignalSource


def open_prepared(config: Config, *, use_cache: bool = True) -> PreparedFolder:
    """Open the prepared folder of a configuration, with the context lines of its prompt.

    Args:
        config: Names the folder, the signals and the cache.
        use_cache: Whether signals are read from, and written to, the cache.

    Raises:
        DataError: The folder is missing, incomplete or written in another format version.
    """
    folder = PreparedFolder.open(config.data.prepared_dir)
    cache_dir = config.data.cache_dir if use_cache else None
    return with_signals(folder, config.prompt.signals, cache_dir)


def with_signals(
    folder: PreparedFolder, kinds: tuple[SignalKind, ...], cache_dir: Path | None = None
) -> PreparedFolder:
    """Return a prepared folder whose events have signals; without kinds, the folder itself."""
    if not kinds:
        return folder
    return folder.with_context(partial(_source, kinds=kinds, cache_dir=cache_dir))


def _source(
    folder: PreparedFolder, *, kinds: tuple[SignalKind, ...], cache_dir: Path | None
) -> SignalSource:
    settings = folder.prompt_settings
    threshold, step = settings.threshold, settings.scale.step
    cache = None
    if cache_dir is not None:
        key = {
            **prepared_data(folder),
            "prompt version": PROMPT_VERSION,
            "threshold": threshold,
            "step": step,
            "signals": list(kinds),
        }
        cache = SignalCache(cache_dir / SIGNALS_FILE, CacheKey(key))
    return SignalSource(folder.ratings, folder.items, threshold, step, kinds, cache)
