"""Finds users, items and histories by id, for many table rows at once."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reeltune.data.folder import PreparedFolder
from reeltune.data.history import NOW, History
from reeltune.ragged import Ints

UNKNOWN: Final = -1
"""Index of an id that the prepared data do not have."""


class Lookup:
    """Indexes prepared data by user, item and time.

    A user is an index into :attr:`user_ids`. The *end* of a history is the index, among all events,
    of the first event after it.

    Attributes:
        user_ids: The ids of all users who rated anything, as a column.
        item_ids: The ids of all items, as a column.
        has_times: Whether ratings have times.
    """

    def __init__(self, folder: PreparedFolder) -> None:
        self._timelines, self.has_times = folder.ratings, folder.has_times
        self._user_keys, first = np.unique(self._timelines.user_id, return_index=True)
        self.user_ids = folder.user_ids.arrow(self._user_keys)
        self._first = np.append(first, len(self._timelines))
        self.item_ids = folder.item_ids.arrow(folder.item_keys)

    def users(self, ids: pa.ChunkedArray) -> Ints:
        """Return the index of each user in a column of ids, or ``UNKNOWN``."""
        return _indices(self.user_ids, ids)

    def items(self, ids: pa.ChunkedArray) -> Ints:
        """Return the index of each item in a column of ids, or ``UNKNOWN``."""
        return _indices(self.item_ids, ids)

    def history_ends(self, user: Ints, item_idx: Ints, before: Ints | None = None) -> Ints:
        """Return where the history of each row ends; arrays have the shape ``(n,)``.

        It ends before the user's rating of the item, or else at the end of the timeline; and before
        the first event that is not earlier than ``before``, in seconds since 1970.
        """
        order, keys = self._by_item
        wanted = user * len(self.item_ids) + item_idx
        position = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        end = np.where(keys[position] == wanted, order[position], self._first[user + 1])
        return end if before is None else np.minimum(end, self._first_event_from(user, before))

    def history(self, user: int, end: int, length: int) -> History:
        """Return the newest ``length`` events of a user before ``end``, or fewer."""
        first = max(int(self._first[user]), end - length)
        user_id = int(self._user_keys[user])
        return History.from_timelines(self._timelines, range(first, end), user_id)

    def moments(self, user: Ints, end: Ints, before: Ints | None = None) -> Ints:
        """Return ``before``, or the time of the first event left out if earlier, or ``NOW``."""
        following = np.minimum(end, len(self._timelines) - 1)
        left_out = end < self._first[user + 1]
        moment = np.where(left_out, self._timelines.timestamp[following], NOW)
        return moment if before is None else np.minimum(moment, before)

    def end(self, user: int) -> int:
        """Return the end of a user's whole history."""
        return int(self._first[user + 1])

    def rated(self, user: int) -> npt.NDArray[np.int32]:
        """Return the indices of the items a user has rated."""
        return self._timelines.item_idx[self._first[user] : self._first[user + 1]]

    def _first_event_from(self, user: Ints, seconds: Ints) -> Ints:
        keys, earliest, span = self._by_time
        since = np.clip(seconds, earliest, earliest + span - 1) - earliest
        return np.searchsorted(keys, user * span + since)

    @property
    def _owner(self) -> Ints:
        """The user index of each event."""
        return np.repeat(np.arange(len(self.user_ids)), np.diff(self._first))

    @cached_property
    def _by_item(self) -> tuple[Ints, Ints]:
        """All events ordered by user and item, and their sort keys."""
        keys = self._owner * len(self.item_ids) + self._timelines.item_idx
        order = np.argsort(keys, kind="stable")
        return order, keys[order]

    @cached_property
    def _by_time(self) -> tuple[Ints, int, int]:
        """Sort keys of events by user and time, the earliest time, and the keys per user."""
        times = self._timelines.timestamp
        earliest = int(times.min())
        # One key more than there are seconds, for times after a user's last event.
        span = int(times.max()) - earliest + 2
        return self._owner * span + (times - earliest), earliest, span


def _indices(known: pa.Array, ids: pa.ChunkedArray) -> Ints:
    """Return the index of each id among the known ones; of numbers and text, both as text."""
    if ids.type != known.type:
        known, ids = known.cast(pa.string()), ids.cast(pa.string())
    found = pc.index_in(ids, value_set=known)  # pyright: ignore[reportAttributeAccessIssue]
    return pc.fill_null(found, UNKNOWN).to_numpy().astype(np.int64)
