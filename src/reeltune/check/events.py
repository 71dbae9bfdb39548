"""The events of a prepared folder as guards look at them: nothing about them is taken on trust."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from reeltune.check.findings import PREPARE_AGAIN, SHOWN, Finding, Offenders
from reeltune.data.columns import Columns
from reeltune.data.folder import TIMELINES_FILE, PreparedFolder, Timelines
from reeltune.errors import DataError

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

UNKNOWN = -1
"""In place of an event that does not exist."""


@dataclass(frozen=True)
class Events:
    """Every event of a prepared folder; all arrays have one entry per event.

    Attributes:
        folder: Where they come from.
        timelines: What training and evaluation read.
        item_id: The film as the file names it, which ``timelines.item_idx`` should point at.
    """

    folder: PreparedFolder
    timelines: Timelines
    item_id: Ints

    @classmethod
    def read(cls, folder: PreparedFolder) -> Events:
        """Read the events.

        Raises:
            DataError: There is no event, or one without a value.
        """
        path = folder.path / TIMELINES_FILE
        table = pq.read_table(path)
        if not table.num_rows:
            raise DataError(
                "holds no event", code="no_ratings", where=str(path), hint=PREPARE_AGAIN
            )
        for name in table.column_names:
            if table[name].null_count:
                row = table[name].is_null().index(True).as_py()
                raise DataError(
                    f"event {row} has no {name}",
                    code="missing_values",
                    where=str(path),
                    hint=PREPARE_AGAIN,
                )
        return cls(folder, folder.timelines, table[Columns.ITEM].to_numpy())

    def __len__(self) -> int:
        return len(self.item_id)

    @cached_property
    def continues(self) -> Bools:
        """Whether the event before is of the same user."""
        same = np.zeros(len(self), dtype=np.bool_)
        same[1:] = self.timelines.user_id[1:] == self.timelines.user_id[:-1]
        return same

    @cached_property
    def place(self) -> Ints:
        """Events of the user before this one, by counting rows."""
        begins = np.flatnonzero(~self.continues)
        lengths = np.diff(np.append(begins, len(self)))
        return np.arange(len(self)) - np.repeat(begins, lengths)

    def is_in(self, *splits: str) -> Bools:
        """Return whether each event is in one of the splits."""
        return np.isin(self.timelines.split, splits)

    def name(self, event: int, what: str) -> Finding:
        """Return a finding about one event."""
        user, item = self.timelines.user_id[event], self.item_id[event]
        return Finding(what, int(user), int(item), int(event))

    def offenders(self, bad: Bools, say: Callable[[int], str]) -> Offenders:
        """Count events and name the first few.

        Args:
            bad: Whether each event is wrong.
            say: What is wrong with the event at a place.
        """
        places = np.flatnonzero(bad)
        first = (self.name(int(event), say(int(event))) for event in places[:SHOWN])
        return Offenders(len(places), tuple(first))

    def find(self, user_id: Ints, item_id: Ints) -> Ints:
        """Return the event of each user and film, or :data:`UNKNOWN`; shape as the arguments."""
        users, items, keys, order = self._index
        row, column = _rank(users, user_id), _rank(items, item_id)
        key = row * len(items) + column
        at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        found = (row >= 0) & (column >= 0) & (keys[at] == key)
        return np.where(found, order[at], UNKNOWN)

    @cached_property
    def _index(self) -> tuple[Ints, Ints, Ints, Ints]:
        users, row = np.unique(self.timelines.user_id, return_inverse=True)
        items, column = np.unique(self.item_id, return_inverse=True)
        key = row * len(items) + column
        order = np.argsort(key, kind="stable")
        return users, items, key[order], order


def _rank(known: Ints, asked: Ints) -> Ints:
    """Return the place of each value among sorted ones, or :data:`UNKNOWN`."""
    at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.where(known[at] == asked, at, UNKNOWN)
