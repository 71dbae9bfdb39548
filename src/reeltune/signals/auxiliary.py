"""Auxiliary ratings: training ratings of another edition, for the statistics of the same items.

Its users are other people: whoever could be a user of these data is left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from reeltune.data.columns import TRAIN, Columns
from reeltune.data.folder import AUXILIARY_FILE, PreparedFolder
from reeltune.data.invariants import NOT_FOUND, EventTable
from reeltune.data.timelines import Bools, Ints, Timelines
from reeltune.domain.items import Item, titles_of
from reeltune.errors import DataError
from reeltune.signals.item_statistics import training_ratings

SAME_TITLES: Final = 0.9  # the share of common ids from which equal ids are equal items
MIN_RATINGS: Final = 5  # with fewer, users cannot be told apart
ALIKE: Final = 0.75  # no chance: equal ratings, of those of the user with fewer
IDENTICAL: Final = 3  # no chance: ratings that are equal in time, too


def match_items(here: Sequence[Item], there: Sequence[Item]) -> tuple[Ints, str, int]:
    """Return each item's index here or -1, what they are matched by, and how many are ambiguous.

    They are matched by id if equal ids have the same title and year, else by title and year. A
    title is compared with and without its brackets; items with one name are ambiguous.
    """
    called: defaultdict[tuple[str, int | None], set[int]] = defaultdict(set)
    for index, item in enumerate(here):
        for title in titles_of(item.title):
            called[title, item.year].add(index)
    found: list[set[int]] = [
        set().union(*(called.get((title, item.year), ()) for title in titles_of(item.title)))
        for item in there
    ]
    index_of = {item.item_id: index for index, item in enumerate(here)}
    by_id = [index_of.get(item.item_id, NOT_FOUND) for item in there]
    equal = [index in known for index, known in zip(by_id, found, strict=True) if index >= 0]
    if equal and sum(equal) >= SAME_TITLES * len(equal):
        return np.array(by_id), "id", 0
    times = Counter(index for indices in found for index in indices)
    clear = [len(indices) == 1 and times[min(indices)] == 1 for indices in found]
    matched = [min(i) if one else NOT_FOUND for i, one in zip(found, clear, strict=True)]
    return np.array(matched), "title and year", sum(map(bool, found)) - sum(clear)


def usable_ratings(
    known: Timelines, table: EventTable, own: Timelines
) -> tuple[Timelines, dict[str, int]]:
    """Return the ratings that may join the statistics of these data, with users from 0.

    ``known`` are all events of other data, with ``item_idx`` of these data, or -1; users are
    compared with those of ``own``. Also returned: how many are left out for which first reason.
    """
    cold = np.unique(table.timelines.item_idx[table.item_rank > 0])
    held_out = np.ones(len(known), dtype=np.bool_)
    held_out[training_ratings(known, np.flatnonzero(known.split == TRAIN))] = False
    reasons = {
        "held-out ratings": held_out,
        "ratings of items without a match": known.item_idx == NOT_FOUND,
        "ratings of items held out here": np.isin(known.item_idx, cold),
    }
    if table.folder.split.kind == "time":
        reasons["ratings of the time held out here"] = known.timestamp >= table.folder.time_cuts[0]
    kept, left_out = np.ones(len(known), dtype=np.bool_), {}
    for reason, events in reasons.items():
        left_out[reason] = int((kept & events).sum())
        kept &= ~events
    known = known.take(np.flatnonzero(kept))
    possible = possible_users(known, own.take(np.flatnonzero(~np.isin(own.item_idx, cold))))
    left_out["ratings of possible users of these data"] = int(possible.sum())
    left_out["possible users of these data"] = len(np.unique(known.user_id[possible]))
    known = known.take(np.flatnonzero(~possible))
    return replace(known, user_id=np.unique(known.user_id, return_inverse=True)[1]), left_out


def possible_users(known: Timelines, own: Timelines) -> Bools:
    """Return of each event of other data whether its user could be one of these data's.

    They could with fewer than :data:`MIN_RATINGS`; or if they share with one user here
    :data:`ALIKE` of the ratings of the one with fewer, or :data:`IDENTICAL` with their times.
    """
    user, own_user = (np.unique(one.user_id, return_inverse=True)[1] for one in (known, own))
    count, own_count = np.bincount(user), np.bincount(own_user)
    possible = count < MIN_RATINGS
    cell, own_cell, same = np.zeros_like(user), np.zeros_like(own_user), np.array(len(own) > 0)
    for name in ("item_idx", "rating", "timestamp") if same else ():
        rank, at, equal = _ranked(getattr(own, name), getattr(known, name))
        width = rank.max() + 1
        own_cell, cell, found = _ranked(own_cell * width + rank, cell * width + at)
        same = same & equal & found
        if name == "item_idx":
            continue
        cells, ones = own_cell.max() + 1, np.ones(len(known) + len(own))
        theirs = csr_array((ones[: same.sum()], (user[same], cell[same])), (len(count), cells))
        ours = csr_array((ones[: len(own)], (own_cell, own_user)), (cells, len(own_count)))
        step = max(1, 20_000_000 // len(own_count))  # pairs of users
        for first in range(0, len(count), step):
            pairs = (theirs[first : first + step] @ ours).tocoo()
            there = first + pairs.coords[0]
            fewer = np.minimum(count[there], own_count[pairs.coords[1]])
            least = np.where(fewer < MIN_RATINGS, np.inf, ALIKE * fewer)
            least = np.minimum(fewer, IDENTICAL) if name == "timestamp" else least
            possible[there[pairs.data >= least]] = True
    return possible[user]


def _ranked(own: npt.NDArray[Any], others: npt.NDArray[Any]) -> tuple[Ints, Ints, Bools]:
    """Return the ranks of values among their distinct ones, then of others, and which occur."""
    values, rank = np.unique(own, return_inverse=True)
    at = np.minimum(np.searchsorted(values, others), len(values) - 1)
    return rank, at, values[at] == others


def add_auxiliary(
    folder: PreparedFolder, notify: Callable[[str], None], *, other: PreparedFolder
) -> dict[str, Any]:
    """Write the usable ratings of other data; return the section ``auxiliary`` of ``meta.json``.

    Raises a DataError if scales or thresholds differ, needed times are missing, or none is usable.
    """
    here, there = folder.prompt_settings, other.prompt_settings
    scales = sorted((set(settings.scale.ratings()) for settings in (here, there)), key=len)
    highest, threshold = there.scale_max, there.threshold
    if not scales[0] <= scales[1] or (highest, threshold) != (here.scale_max, here.threshold):
        raise _unusable(
            other,
            f"ratings are {there.scale}, liked from {there.threshold:g}, instead of {here.scale} "
            f"and {here.threshold:g}",
        )
    if folder.split.kind == "time" and not other.has_times:
        raise _unusable(other, "the ratings have no times, which a split by time needs")
    item_idx, matched_by, ambiguous = match_items(folder.items, other.items)
    known = replace(other.ratings, item_idx=item_idx[other.ratings.item_idx].astype(np.int32))
    table = EventTable.read(folder)
    own = table.timelines.take(np.flatnonzero(np.isin(table.timelines.item_idx, item_idx)))
    ratings, left_out = usable_ratings(known, table, own)
    matched = int((item_idx != NOT_FOUND).sum())
    counts = {
        f"items matched by {matched_by}": matched,
        "ambiguous items": ambiguous,
        "items not here": len(item_idx) - matched - ambiguous,
        "ratings used": len(ratings),
        "users of these": len(np.unique(ratings.user_id)),
    } | {f"left out, {reason}": count for reason, count in left_out.items()}
    listed = "; ".join(f"{name}: {count:,}" for name, count in counts.items())
    notify(f"Signals from {other.meta['edition']}: {listed}")
    if not len(ratings):
        raise _unusable(other, "no rating is usable")
    names = (Columns.USER, Columns.ITEM_IDX, Columns.RATING, Columns.TIMESTAMP)
    rows = pa.table({name: vars(ratings)[name] for name in names})
    pq.write_table(rows, folder.path / AUXILIARY_FILE, compression="zstd")
    return {"edition": other.meta["edition"], "ratings": len(ratings), "counts": counts}


def _unusable(other: PreparedFolder, message: str) -> DataError:
    return DataError(
        message,
        code="unusable_signals_from",
        where=str(other.path),
        hint="Give --signals-from data of the same items, scale and threshold, or leave it out",
    )
