"""The ratings of one user up to a moment, and the interface to what computes context lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from reeltune.data.timelines import Codes, Floats, Ints, Timelines

NOW: Final = np.iinfo(np.int64).max
"""A time after everything that is known."""


@dataclass(frozen=True)
class History:
    """Items with their ratings, oldest first.

    Attributes:
        context: Codes of the context lines under each item, shape ``(n, kinds)``; None if not
            computed.
        user_id: Key of the user, if known. Excludes this user's fold from item statistics.
        timestamp: When each item was rated, in seconds since 1970, shape ``(n,)``, if known.
    """

    item_idx: Ints
    rating: Floats
    context: Codes | None = None
    user_id: int | None = None
    timestamp: Ints | None = None

    @classmethod
    def of(cls, item_idx: Sequence[int], rating: Sequence[float]) -> History:
        """Return a history from plain numbers."""
        return cls(np.asarray(item_idx, dtype=np.int64), np.asarray(rating, dtype=np.float32))

    @classmethod
    def from_timelines(
        cls, timelines: Timelines, events: range, user_id: int | None = None
    ) -> History:
        """Return consecutive events of one timeline, oldest first.

        Raises:
            ValueError: There are neither events nor a user id.
        """
        if user_id is None:
            if not len(events):
                raise ValueError("an empty history needs a user id")
            user_id = int(timelines.user_id[events.start])
        span = slice(events.start, events.stop)
        context = None if timelines.context is None else timelines.context[span]
        items = timelines.item_idx[span].astype(np.int64)
        times = timelines.timestamp[span]
        return cls(items, timelines.rating[span], context, user_id, times)

    def __len__(self) -> int:
        return len(self.item_idx)

    def last(self, count: int) -> History:
        """Return the newest ``count`` events, or all if there are fewer."""
        return self.take(slice(max(0, len(self) - count), None))

    def without(self, index: int) -> History:
        """Return the history without one event, and without codes: later ones have changed."""
        return replace(self.take(np.delete(np.arange(len(self)), index)), context=None)

    def take(self, events: slice | Ints) -> History:
        """Return some of the events, given by their indices."""
        return replace(
            self,
            item_idx=self.item_idx[events],
            rating=self.rating[events],
            context=None if self.context is None else self.context[events],
            timestamp=None if self.timestamp is None else self.timestamp[events],
        )


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
        self, history: History, candidates: Ints, shown: int, asked_at: Ints | int = NOW
    ) -> tuple[History, Codes | None]:
        """Return the newest ``shown`` events with their codes, and the codes of candidates.

        Args:
            history: All ratings of the user; codes it already has are kept.
            candidates: Item indices, shape ``(n,)``.
            shown: The most events to return.
            asked_at: When candidates are predicted, in seconds since 1970, shape ``(n,)`` if not
                all at once.
        """
        ...


class NoContext:
    """The source of prompts without context lines."""

    reads_whole_history = False

    def of_all_events(self) -> None:
        """Return nothing."""

    def of_query(
        self, history: History, candidates: Ints, shown: int, asked_at: Ints | int = NOW
    ) -> tuple[History, None]:
        """Return the newest events."""
        del candidates, asked_at
        return history.last(shown), None
