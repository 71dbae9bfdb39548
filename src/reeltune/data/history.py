"""The ratings of one user up to a moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from reeltune.data.timelines import Codes, Timelines


@dataclass(frozen=True)
class History:
    """Items with their ratings, oldest first.

    Attributes:
        item_idx: Item indices, shape ``(n,)``.
        rating: Ratings, shape ``(n,)``.
        context: Codes of the context lines under each item, shape ``(n, kinds)``; None if not
            computed.
        user_id: User id, if known. Excludes this user's fold from item statistics.
    """

    item_idx: npt.NDArray[np.int64]
    rating: npt.NDArray[np.float32]
    context: Codes | None = None
    user_id: int | None = None

    @classmethod
    def of(cls, item_idx: Sequence[int], rating: Sequence[float]) -> History:
        """Return a history from plain numbers."""
        return cls(np.asarray(item_idx, dtype=np.int64), np.asarray(rating, dtype=np.float32))

    @classmethod
    def from_timelines(
        cls, timelines: Timelines, events: range, user_id: int | None = None
    ) -> History:
        """Return consecutive events of one timeline.

        Args:
            timelines: All events.
            events: Event indices, oldest first.
            user_id: The user; by default the user of the events.

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
        return cls(items, timelines.rating[span], context, user_id)

    def __len__(self) -> int:
        return len(self.item_idx)

    def last(self, count: int) -> History:
        """Return the newest ``count`` events, or all if there are fewer."""
        first = max(0, len(self) - count)
        context = None if self.context is None else self.context[first:]
        return replace(
            self, item_idx=self.item_idx[first:], rating=self.rating[first:], context=context
        )

    def without(self, index: int) -> History:
        """Return the history without one event, and without codes: later ones have changed."""
        return replace(
            self,
            item_idx=np.delete(self.item_idx, index),
            rating=np.delete(self.rating, index),
            context=None,
        )
