"""Tags of items, each with its time: the prompt of an event shows the tags given before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from reeltune.data.badrows import BadRow, DroppedRows
from reeltune.data.history import NOW, ContextSource, History
from reeltune.data.layouts import check_text, column_indices, csv_rows
from reeltune.data.timelines import Codes, Ints, Timelines
from reeltune.domain import Item, plain_text

CSV_COLUMNS: Final = ("movieId", "tag", "timestamp")

MOST_TAGS: Final = 16
"""Tags of a text at most, whatever the budget of tokens."""

_ALWAYS: Final = np.iinfo(np.int64).min
_MOST_DIGITS: Final = 18


class Tag(NamedTuple):
    """A tag that somebody gave an item."""

    item_idx: int
    timestamp: int
    tag: str


@dataclass(frozen=True)
class ItemTags:
    """The texts that the tags of each item make, one after another in time.

    A *version* is such a text and the time after which it holds. The first version of every item is
    empty and holds from the beginning.

    Attributes:
        texts: The text of each version, item after item, the versions of an item by time.
        item_idx: Its item, ascending, shape ``(versions,)``.
        since: The time of the newest tag in it, shape ``(versions,)``.
    """

    texts: Sequence[str]
    item_idx: Ints
    since: Ints

    @classmethod
    def of(cls, tags: Iterable[Tag], items: int) -> ItemTags:
        """Return the versions of so many items; tags come in the order of items and times.

        Tags are compared without case. A text has the most frequent ones first; of equally
        frequent ones, that given first.
        """
        versions = [[(_ALWAYS, "")] for _ in range(items)]
        item, counts, top = -1, Counter[str](), list[str]()
        first: dict[str, int] = {}
        for row in tags:
            if row.item_idx != item:
                item, counts, top, first = row.item_idx, Counter(), [], {}
            name = plain_text(row.tag).casefold()
            counts[name] += 1
            first.setdefault(name, len(first))
            # No other tag can rise now, so the most frequent ones are this one and those before.
            rank = {known: (-counts[known], first[known]) for known in (*top, name)}
            top = sorted(rank, key=rank.__getitem__)[:MOST_TAGS]
            known = versions[item]
            if known[-1][0] == row.timestamp:
                known.pop()
            if (text := ", ".join(top)) != known[-1][1]:
                known.append((row.timestamp, text))
        return cls(
            texts=[text for known in versions for _, text in known],
            item_idx=np.repeat(np.arange(items), [len(known) for known in versions]),
            since=np.array([time for known in versions for time, _ in known], dtype=np.int64),
        )

    def before(self, item_idx: npt.NDArray[np.integer], timestamp: Ints | int) -> Ints:
        """Return the version of each item by the tags given before a time, shape ``(n,)``."""
        times, keys = self._by_item_and_time
        earlier = np.searchsorted(times, timestamp)  # how many times are earlier
        # 32 bits are too few for the key of an item.
        key = item_idx.astype(np.int64) * (len(times) + 1) + earlier
        return np.searchsorted(keys, key, side="right") - 1

    @cached_property
    def _by_item_and_time(self) -> tuple[Ints, Ints]:
        """The distinct times of tags, and a sort key of each version."""
        times = np.unique(self.since[self.since != _ALWAYS])
        rank = np.where(self.since == _ALWAYS, 0, np.searchsorted(times, self.since) + 1)
        return times, self.item_idx * (len(times) + 1) + rank


class TagSource:
    """Adds a column to the codes of another source: the versions of tags, before its columns."""

    def __init__(self, tags: ItemTags, ratings: Timelines, others: ContextSource) -> None:
        self._tags, self._ratings, self._others = tags, ratings, others
        self.reads_whole_history = others.reads_whole_history

    def of_all_events(self) -> Codes:
        """Return the codes of every event; its tags are those given before it."""
        known = self._ratings
        return _joined(
            self._tags.before(known.item_idx, known.timestamp), self._others.of_all_events()
        )

    def of_query(
        self, history: History, candidates: Ints, shown: int, asked_at: Ints | int = NOW
    ) -> tuple[History, Codes]:
        """Return the newest events with their codes, and the codes of candidates.

        Events without times have all tags of their items.
        """
        computed = history.context is None
        history, codes = self._others.of_query(history, candidates, shown, asked_at)
        if computed:
            times = NOW if history.timestamp is None else history.timestamp
            column = self._tags.before(history.item_idx, times)
            history = replace(history, context=_joined(column, history.context))
        return history, _joined(self._tags.before(candidates, asked_at), codes)


def _joined(column: Ints, codes: Codes | None) -> Codes:
    parts = [column.astype(np.int32)[:, None], *([] if codes is None else [codes])]
    return np.concatenate(parts, axis=1)


def read_tags(
    path: Path, items: Sequence[Item], *, skip_bad_rows: bool
) -> tuple[list[Tag], DroppedRows]:
    """Read ``tags.csv``, sorted by item, time and tag, and the rows dropped.

    Raises:
        DataError: It lacks a column, or has a bad row that is not to be skipped.
    """
    check_text(path, by_line=False)
    index = {str(item.item_id): row for row, item in enumerate(items)}
    tags: list[Tag] = []
    bad: list[BadRow] = []
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv_rows(path.name, stream)
        _, header = next(rows, (1, []))
        columns = column_indices(path.name, header, CSV_COLUMNS)
        for line, fields in rows:
            if any(field.strip() for field in fields):
                known = len(fields) == len(header)
                given = [fields[column] for column in columns] if known else fields[:2]
                row = _to_tag(path.name, line, given, index)
                (tags if isinstance(row, Tag) else bad).append(row)  # type: ignore[arg-type]
    dropped = DroppedRows.of(bad, len(tags) + len(bad), skip=skip_bad_rows)
    return sorted(tags), dropped


def _to_tag(name: str, line: int, fields: list[str], index: dict[str, int]) -> Tag | BadRow:
    def bad(reason: str, message: str) -> BadRow:
        return BadRow(name, line, reason, message, ",".join(fields))

    if len(fields) != len(CSV_COLUMNS):
        return bad("tag_field_count", "the row has not as many fields as the header")
    item_id, tag, time = (field.strip() for field in fields)
    if item_id not in index:
        return bad("tag_of_unknown_item", f"no item has the id {item_id[:80]!r}")
    if not (time.isascii() and time.isdigit() and len(time) <= _MOST_DIGITS):
        return bad("tag_time_not_a_number", f"the timestamp is {time[:80]!r}, not whole seconds")
    if not plain_text(tag):
        return bad("empty_tag", "the tag is empty")
    return Tag(index[item_id], int(time), tag)
