"""Collaborative signals: what is known about an event before it happens."""

from reeltune.signals.folder import open_prepared, with_signals
from reeltune.signals.source import SignalSource

__all__ = ["SignalSource", "open_prepared", "with_signals"]
