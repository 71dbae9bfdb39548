"""Prepared data with the signals that a prompt tells."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from reeltune.config import Config
from reeltune.data.cache_key import CacheKey, prepared_data
from reeltune.data.folder import Codes, PreparedFolder, Timelines
from reeltune.domain import PROMPT_VERSION, SignalKind
from reeltune.signals.cache import look_up, store
from reeltune.signals.source import SignalSource

SIGNALS_FILE: Final = "signals.npz"
"""Within ``data.cache_dir``: the signals on all events."""

_LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderWithSignals(PreparedFolder):
    """Prepared data whose events come with what was known before each.

    Attributes:
        kinds: What is told.
        cache_dir: Where the signals on all events is kept; None keeps none.
    """

    kinds: tuple[SignalKind, ...] = ()
    cache_dir: Path | None = None

    @property
    def timelines(self) -> Timelines:
        """All events with their signals."""
        return self._with_signals

    @cached_property
    def _with_signals(self) -> Timelines:
        return replace(self.ratings, signals=self._of_events())

    @cached_property
    def signals(self) -> SignalSource:
        """Tells what is known of films asked about after any history."""
        settings = self.prompt_settings
        return SignalSource(
            self.ratings, self.items, settings.threshold, settings.scale.step, self.kinds
        )

    def _of_events(self) -> Codes:
        """Return the signals on every event, from the cache where it is fresh."""
        if self.cache_dir is None:
            return self.signals.of_events()
        path, key = self.cache_dir / SIGNALS_FILE, self._key
        found = look_up(path, key)
        if found.codes is not None:
            _LOGGER.info("signals on %s events: from the cache", f"{len(found.codes):,}")
            return found.codes
        _LOGGER.info("signals on %s events: made (%s)", f"{len(self.ratings):,}", found.reason)
        codes = self.signals.of_events()
        try:
            store(path, key, codes)
        except OSError as error:
            # It has taken long to make, and is needed now: the cache only spares it next time.
            _LOGGER.warning("signals: not kept in %s (%s)", path, error.strerror)
        return codes

    @property
    def _key(self) -> CacheKey:
        return CacheKey(
            {
                **prepared_data(self),
                "prompt version": PROMPT_VERSION,
                "threshold": self.prompt_settings.threshold,
                "step": self.prompt_settings.scale.step,
                "signals": list(self.kinds),
            }
        )


def open_prepared(config: Config) -> PreparedFolder:
    """Open the prepared folder a configuration names, with the signals its prompt tells.

    Raises:
        DataError: It is missing, incomplete or written in another format version.
    """
    folder = PreparedFolder.open(config.data.prepared_dir)
    return with_signals(folder, config.prompt.signals, config.data.cache_dir)


def with_signals(
    folder: PreparedFolder, kinds: tuple[SignalKind, ...], cache_dir: Path | None = None
) -> PreparedFolder:
    """Return a prepared folder whose events have signals, if there is any to tell."""
    return FolderWithSignals(folder.path, folder.meta, kinds, cache_dir) if kinds else folder
