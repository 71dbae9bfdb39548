"""The interface between prompts and whatever computes their context lines."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from reeltune.data.history import History
from reeltune.data.timelines import Codes

Ints = npt.NDArray[np.int64]


class ContextSource(Protocol):
    """Computes codes of context lines, each from what was known before the event."""

    @property
    def reads_whole_history(self) -> bool:
        """Whether events that a prompt does not show change its context lines."""
        ...

    def of_all_events(self) -> Codes | None:
        """Return the codes of every event of the prepared data, shape ``(events, kinds)``."""
        ...

    def of_query(
        self, history: History, candidates: Ints, shown: int
    ) -> tuple[History, Codes | None]:
        """Return the newest events of a history with their codes, and the codes of candidates.

        Args:
            history: All ratings of the user; codes it already has are kept.
            candidates: Item indices, shape ``(n,)``.
            shown: The most events to return.

        Returns:
            The history, and codes of shape ``(n, kinds)``.
        """
        ...


class NoContext:
    """The source of prompts without context lines."""

    reads_whole_history = False

    def of_all_events(self) -> None:
        """Return nothing."""

    def of_query(self, history: History, candidates: Ints, shown: int) -> tuple[History, None]:
        """Return the newest events."""
        del candidates
        return history.last(shown), None
