"""From MovieLens ids to histories: which events a user had before a moment."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History

Ints = npt.NDArray[np.int64]

UNKNOWN: Final = -1
"""What stands for an id that the prepared data do not have."""


class Lookup:
    """Finds users, films and what came before, for many rows at once.

    A *cut* is a place among the timelines' events: a user's history is what they have before it.

    Args:
        folder: The prepared data.
    """

    def __init__(self, folder: PreparedFolder) -> None:
        self._timelines = folder.ratings
        self.user_ids, first = np.unique(self._timelines.user_id, return_index=True)
        self._first = np.append(first, len(self._timelines))
        self.item_ids = np.array([item.item_id for item in folder.items], dtype=np.int64)
        self._item_order = np.argsort(self.item_ids)

    def users(self, ids: Ints) -> Ints:
        """Return each user's place among :attr:`user_ids`, or ``UNKNOWN``."""
        return _places(self.user_ids, np.arange(len(self.user_ids)), ids)

    def items(self, ids: Ints) -> Ints:
        """Return each film's row, or ``UNKNOWN``."""
        return _places(self.item_ids[self._item_order], self._item_order, ids)

    def cuts(self, user: Ints, item_idx: Ints, before: Ints | None = None) -> Ints:
        """Return where the history of each row ends.

        That is before the user's rating of the film, if there is one; at the end of the timeline
        otherwise; and, with times, no later than the first event that is not before that time.

        Args:
            user: Places among :attr:`user_ids`, shape ``(n,)``.
            item_idx: Rows of the films, shape ``(n,)``.
            before: Seconds since 1970; None where no times are given.
        """
        order, keys = self._rated
        wanted = user * len(self.item_ids) + item_idx
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        cut = np.where(keys[place] == wanted, order[place], self._first[user + 1])
        return cut if before is None else np.minimum(cut, self._at(user, before))

    def history(self, user: int, cut: int, length: int) -> History:
        """Return the newest events of a user before a cut, at most ``length``."""
        first = max(int(self._first[user]), cut - length)
        user_id = int(self.user_ids[user])
        return History.from_timelines(self._timelines, range(first, cut), user_id)

    def end(self, user: int) -> int:
        """Return the cut after everything a user has rated."""
        return int(self._first[user + 1])

    def rated(self, user: int) -> npt.NDArray[np.int32]:
        """Return the rows of the films a user has rated."""
        return self._timelines.item_idx[self._first[user] : self._first[user + 1]]

    def _at(self, user: Ints, seconds: Ints) -> Ints:
        """Return the place of each user's first event that is not before a time."""
        keys, earliest, span = self._times
        since = np.clip(seconds, earliest, earliest + span - 1) - earliest
        return np.searchsorted(keys, user * span + since)

    @property
    def _owner(self) -> Ints:
        """Whose event each one is, as a place among :attr:`user_ids`."""
        return np.repeat(np.arange(len(self.user_ids)), np.diff(self._first))

    @cached_property
    def _rated(self) -> tuple[Ints, Ints]:
        """All events in the order of user and film, and the number that orders them."""
        keys = self._owner * len(self.item_ids) + self._timelines.item_idx
        order = np.argsort(keys, kind="stable")
        return order, keys[order]

    @cached_property
    def _times(self) -> tuple[Ints, int, int]:
        """The number that orders events by user and time, the earliest time, and seconds a user."""
        times = self._timelines.timestamp
        earliest = int(times.min())
        # One more than the last time: where somebody is after all of a user's events.
        span = int(times.max()) - earliest + 2
        return self._owner * span + (times - earliest), earliest, span


def _places(known: Ints, rows: Ints, ids: Ints) -> Ints:
    """Return what row each id has; ``known`` ascends and ``rows`` are its rows."""
    place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[place] == ids, rows[place], UNKNOWN)
