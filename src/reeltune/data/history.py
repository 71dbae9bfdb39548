"""What somebody has rated so far, whoever they are: a user of an edition, or a visitor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from reeltune.data.folder import Codes, Timelines


@dataclass(frozen=True)
class History:
    """Films with the stars they were given, oldest first.

    Attributes:
        item_idx: Which films, as rows of the edition's films, shape ``(n,)``.
        rating: In steps of half a star, shape ``(n,)``.
        signals: What was known of each event before it happened, shape ``(n, kinds)``; None where
            nobody asked.
        user_id: Whose it is, where that is a user of the prepared data: nobody is told something
            that was learned from themselves.
    """

    item_idx: npt.NDArray[np.int64]
    rating: npt.NDArray[np.float32]
    signals: Codes | None = None
    user_id: int | None = None

    @classmethod
    def of(cls, item_idx: Sequence[int], rating: Sequence[float]) -> History:
        """Return a history from plain numbers."""
        return cls(np.asarray(item_idx, dtype=np.int64), np.asarray(rating, dtype=np.float32))

    @classmethod
    def from_timelines(
        cls, timelines: Timelines, events: range, user_id: int | None = None
    ) -> History:
        """Return neighbouring events of one timeline.

        Args:
            timelines: All events.
            events: Places among them, oldest first.
            user_id: Whose timeline it is; where there are events they say so themselves.

        Raises:
            ValueError: There are no events and nobody says whose.
        """
        if user_id is None:
            if not len(events):
                raise ValueError("nobody says whose empty history this is")
            user_id = int(timelines.user_id[events.start])
        span = slice(events.start, events.stop)
        signals = None if timelines.signals is None else timelines.signals[span]
        items = timelines.item_idx[span].astype(np.int64)
        return cls(items, timelines.rating[span], signals, user_id)

    def __len__(self) -> int:
        return len(self.item_idx)

    def last(self, count: int) -> History:
        """Return the newest ``count`` events, or all if there are fewer."""
        first = max(0, len(self) - count)
        signals = None if self.signals is None else self.signals[first:]
        return replace(
            self, item_idx=self.item_idx[first:], rating=self.rating[first:], signals=signals
        )

    def without(self, place: int) -> History:
        """Return the history as if one event had not happened.

        What was known of events after it has changed: their signals is to be told anew.
        """
        return replace(
            self,
            item_idx=np.delete(self.item_idx, place),
            rating=np.delete(self.rating, place),
            signals=None,
        )
