"""The invariants of prepared data, each stated once.

``prepare`` requires them of the files it wrote; ``reeltune check`` names the rows that break one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from reeltune.data.columns import CONTEXT, EXAMPLE_SPLITS, SPLITS, TEST, TRAIN, VALIDATION
from reeltune.data.folder import TIMELINES_FILE, PreparedFolder
from reeltune.data.holdout import follows_later_split, rank_items
from reeltune.data.timelines import Bools, Ints, Timelines
from reeltune.errors import DataError

_LARGEST: Final = np.iinfo(np.int64).max

NOT_FOUND: Final = -1
"""The index of an event that does not exist."""


@dataclass(frozen=True)
class EventTable:
    """Every event of a prepared folder, with nothing about it taken for granted.

    Attributes:
        item_id: The item key in the file, which ``timelines.item_idx`` should point at.
    """

    folder: PreparedFolder
    timelines: Timelines
    item_id: Ints

    @classmethod
    def read(cls, folder: PreparedFolder) -> EventTable:
        """Read the events; raise a DataError if there is none, or one without a value."""
        table = cls(folder, folder.ratings, folder.rated_item_id)
        if not len(table):
            raise DataError(
                "holds no event",
                code="no_ratings",
                where=str(folder.path / TIMELINES_FILE),
                hint=f"Run: reeltune prepare --output-dir {folder.path}",
            )
        return table

    def __len__(self) -> int:
        return len(self.item_id)

    @cached_property
    def continues(self) -> Bools:
        """Whether the previous event is of the same user."""
        same = np.zeros(len(self), dtype=np.bool_)
        same[1:] = self.timelines.user_id[1:] == self.timelines.user_id[:-1]
        return same

    @cached_property
    def user_index(self) -> Ints:
        """The number of users before each event's user, by counting rows."""
        return np.cumsum(~self.continues) - 1

    @property
    def users(self) -> int:
        """The number of users."""
        return int(self.user_index[-1]) + 1

    @cached_property
    def earlier(self) -> Ints:
        """The number of earlier events of the user, by counting rows."""
        begins = np.flatnonzero(~self.continues)
        lengths = np.diff(np.append(begins, len(self)))
        return np.arange(len(self)) - np.repeat(begins, lengths)

    def is_in(self, *splits: str) -> Bools:
        """Return whether each event is in one of the splits."""
        return self.timelines.split.is_in(*splits)

    @cached_property
    def item_rank(self) -> Ints:
        """Index of the split that each event's item is held out for, 0 for none."""
        if self.folder.split.kind != "items":
            return np.zeros(len(self), dtype=np.int64)
        # An index that points at no item breaks another invariant.
        item_idx = np.clip(self.timelines.item_idx, 0, len(self.folder.items) - 1)
        return rank_items(item_idx, self.timelines.timestamp, self.folder.split)

    @cached_property
    def follows_later_split(self) -> Bools:
        """Whether the user has rated an item before that is held out for a later split."""
        return follows_later_split(self.user_index, self.item_rank)

    @cached_property
    def held_out(self) -> Bools:
        """Whether each event's rating is hidden from training: held-out rows, items and users."""
        rows = self.is_in(VALIDATION, TEST)
        if self.folder.split.kind == "users":
            return np.isin(self.user_index, self.user_index[rows])
        return rows | (self.item_rank > 0)

    def find(self, user_id: Ints, item_id: Ints) -> Ints:
        """Return the event index of each user and item, or :data:`NOT_FOUND`."""
        users, items, keys, order = self._index
        row, column = _rank(users, user_id), _rank(items, item_id)
        key = row * len(items) + column
        at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        exists = (row >= 0) & (column >= 0) & (keys[at] == key)
        return np.where(exists, order[at], NOT_FOUND)

    @cached_property
    def _index(self) -> tuple[Ints, Ints, Ints, Ints]:
        users, row = np.unique(self.timelines.user_id, return_inverse=True)
        items, column = np.unique(self.item_id, return_inverse=True)
        key = row * len(items) + column
        order = np.argsort(key, kind="stable")
        return users, items, key[order], order


class Violations(NamedTuple):
    """Indices of events that break an invariant in one way, ascending, and what is wrong."""

    events: Ints
    explain: Callable[[int], str]


@dataclass(frozen=True)
class Invariant:
    """A property of every event.

    Attributes:
        name: Stable name, in ``meta.json`` and in the output of ``reeltune check``.
        violations: Yields the events that break it, by kind of violation.
    """

    name: str
    statement: str
    violations: Callable[[EventTable], Iterator[Violations]]
    at_reading: bool = True
    """Whether it is checked whenever the table is read; false if it is slow or harmless."""

    def holds(self, table: EventTable) -> bool:
        """Return whether no event breaks it."""
        return not any(len(kind.events) for kind in self.violations(table))


def _order_in_time(table: EventTable) -> Iterator[Violations]:
    user, time, item = table.timelines.user_id, table.timelines.timestamp, table.item_id
    users, items = table.folder.user_ids, table.folder.item_ids
    same, tied = table.continues[1:], time[1:] == time[:-1]
    back, tie = same & (time[1:] < time[:-1]), same & tied & (item[1:] < item[:-1])
    for broken, explain in (
        (back, lambda i: f"at second {time[i]}, after one at {time[i - 1]}"),
        (tie, lambda i: f"same second as item {items.named(int(item[i - 1]))}, but after it"),
        (user[1:] < user[:-1], lambda i: f"after events of user {users.named(int(user[i - 1]))}"),
    ):
        yield Violations(np.flatnonzero(broken) + 1, explain)


def _positions(table: EventTable) -> Iterator[Violations]:
    position, earlier = table.timelines.position, table.earlier
    yield _violations(
        position != earlier, lambda i: f"position {position[i]}, with {earlier[i]} earlier events"
    )


def _items_once(table: EventTable) -> Iterator[Violations]:
    # One integer per user and item sorts in a fraction of the time of two columns.
    item, width = table.item_id, int(table.item_id.max()) + 1
    if width * table.users > _LARGEST or item.min() < 0:
        ids, item = np.unique(item, return_inverse=True)
        width = len(ids)
    key = table.user_index * width + item
    twice = np.zeros(len(table), dtype=np.bool_)
    ordered = np.sort(key)
    if (ordered[1:] == ordered[:-1]).any():
        order = np.argsort(key, kind="stable")
        twice[order[1:][key[order][1:] == key[order][:-1]]] = True

    def explain(event: int) -> str:
        earlier = np.flatnonzero(key[:event] == key[event])[-1]
        return f"the user has already rated this item, in event {earlier}"

    yield _violations(twice, explain)


def _item_rows(table: EventTable) -> Iterator[Violations]:
    row = table.timelines.item_idx
    ids, names = table.folder.item_keys, table.folder.item_ids
    inside = (row >= 0) & (row < len(ids))
    pointed = ids[np.where(inside, row, 0)]

    def explain(event: int) -> str:
        target = f"item {names.named(int(pointed[event]))}" if inside[event] else "no item"
        return f"points at row {row[event]}, which is {target}"

    yield _violations(~inside | (pointed != table.item_id), explain)


def _known_splits(table: EventTable) -> Iterator[Violations]:
    yield _violations(~table.is_in(*SPLITS), lambda _: f"its split is none of {', '.join(SPLITS)}")


def _context_first(table: EventTable) -> Iterator[Violations]:
    least, earlier, split = table.folder.min_history, table.earlier, table.timelines.split
    early = earlier < least
    yield _violations(
        table.is_in(CONTEXT) & ~early & ~table.follows_later_split,
        lambda i: f"context, with {earlier[i]} earlier events; an example needs {least}",
    )
    yield _violations(
        early & table.is_in(*EXAMPLE_SPLITS),
        lambda i: f"{split[i]}, with {earlier[i]} earlier events; an example needs {least}",
    )


def _splits_in_order(table: EventTable) -> Iterator[Violations]:
    kind = table.folder.split.kind
    if kind == "time":
        yield from _outside_cuts(table, *table.folder.time_cuts)
    elif kind == "items":
        yield from _held_out_items_known(table)
    else:
        yield _out_of_order_within_users(table, whole=kind == "users")


def _held_out_items_known(table: EventTable) -> Iterator[Violations]:
    split, example = table.timelines.split, table.is_in(*EXAMPLE_SPLITS)
    own = np.array([SPLITS.index(name) for name in EXAMPLE_SPLITS])[table.item_rank]
    yield _violations(
        example & (split.codes != own), lambda i: f"{split[i]}, of a {SPLITS[own[i]]} item"
    )
    yield _violations(
        example & table.follows_later_split,
        lambda i: f"{split[i]}, after an item of its user that is held out for a later split",
    )


def _out_of_order_within_users(table: EventTable, *, whole: bool) -> Violations:
    """Return rows of an earlier split than the row before them; of any other split if ``whole``."""
    split = table.timelines.split
    examples = np.flatnonzero(table.is_in(*EXAMPLE_SPLITS))
    user, rank = table.timelines.user_id[examples], split.codes[examples]
    falls = rank[1:] != rank[:-1] if whole else rank[1:] < rank[:-1]
    falls &= user[1:] == user[:-1]

    def explain(event: int) -> str:
        before = int(examples[np.searchsorted(examples, event) - 1])
        item = table.folder.item_ids.named(int(table.item_id[before]))
        return f"{split[event]}, after event {before} (item {item}), which is {split[before]}"

    return Violations(examples[1:][falls], explain)


def _outside_cuts(table: EventTable, validation: int, test: int) -> Iterator[Violations]:
    time, split = table.timelines.timestamp, table.timelines.split

    def explain(event: int) -> str:
        return (
            f"{split[event]}, at second {time[event]}; validation begins at {validation}, test at "
            f"{test}"
        )

    for name, outside in (
        (TRAIN, time >= validation),
        (VALIDATION, (time < validation) | (time >= test)),
        (TEST, time < test),
    ):
        yield _violations(outside & table.is_in(name), explain)


def _on_scale(table: EventTable) -> Iterator[Violations]:
    rating, scale = table.timelines.rating, table.folder.prompt_settings.scale
    off_scale = ~np.isin(rating, np.array(scale.ratings(), dtype=rating.dtype))
    yield _violations(off_scale, lambda i: f"the rating is {rating[i]:g}, but the scale is {scale}")


def _labels(table: EventTable) -> Iterator[Violations]:
    threshold = float(table.folder.meta["settings"]["rating_threshold"])
    rating, liked = table.timelines.rating, table.timelines.liked
    yield _violations(
        liked != (rating >= threshold),
        lambda i: f"a rating of {rating[i]:g} is {'liked' if liked[i] else 'not liked'}",
    )


INVARIANTS: Final = (
    Invariant(
        "order in time",
        "users ascend; events of a user are ordered by time, then by item id",
        _order_in_time,
    ),
    Invariant("positions", "positions count up from 0 within each user", _positions),
    Invariant("items once per user", "no user has rated an item twice", _items_once, False),
    Invariant("item rows", "each event points at the row of its item", _item_rows),
    Invariant("one split per event", f"each event is in one of {', '.join(SPLITS)}", _known_splits),
    Invariant(
        "context first",
        "the context is exactly the events with too few events before them, or after an item of a "
        "later split",
        _context_first,
        at_reading=False,
    ),
    Invariant(
        "splits in order",
        "train before validation before test, within each user or by cuts in time; held-out items "
        "and users are in one split, and no history shows an item of a later split",
        _splits_in_order,
    ),
    Invariant("ratings", "each rating is on the scale", _on_scale),
    Invariant("labels", "liked exactly when the rating reaches the threshold", _labels),
)


def require_invariants(folder: PreparedFolder, timelines: Timelines, item_id: Ints) -> None:
    """Raise a DataError for the first event that breaks an invariant checked at every reading."""
    table = EventTable(folder, timelines, item_id)
    for invariant in INVARIANTS if len(table) else ():
        for kind in invariant.violations(table) if invariant.at_reading else ():
            if len(kind.events):
                raise DataError(
                    f"event {kind.events[0]}: {kind.explain(int(kind.events[0]))}",
                    code="broken_prepared_data",
                    where=str(folder.path / TIMELINES_FILE),
                    hint=f"Prepare the data again; reeltune check {folder.path} lists such events",
                )


def _violations(broken: Bools, explain: Callable[[int], str]) -> Violations:
    return Violations(np.flatnonzero(broken), explain)


def _rank(known: Ints, wanted: Ints) -> Ints:
    """Return the index of each value among sorted ones, or :data:`NOT_FOUND`."""
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, at, NOT_FOUND)
