"""Whole items or whole users that are held out: which ones, and what may precede a row."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.data.columns import EXAMPLE_SPLITS
from reeltune.data.settings import SplitSettings
from reeltune.data.timelines import Bools, Ints

_RANKS: Final = len(EXAMPLE_SPLITS)
"""A rank is an index into :data:`EXAMPLE_SPLITS`: 0 for train, 1 for validation, 2 for test."""


def rank_items(item_idx: npt.NDArray[np.integer], timestamp: Ints, split: SplitSettings) -> Ints:
    """Return the rank of each event's item, shape ``(events,)``.

    Rated items are ordered by their first rating, those of one second by index. The last
    ``floor(n * test share)`` of them are test items, the ``floor(n * validation share)`` before
    them validation items.
    """
    first = np.full(int(item_idx.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, item_idx, timestamp)
    rated = np.flatnonzero(np.bincount(item_idx))
    rank = np.zeros(len(first), dtype=np.int64)
    rank[rated[np.argsort(first[rated], kind="stable")]] = _ranks(len(rated), split)
    return rank[item_idx]


def rank_users(user_ids: Sequence[int | str], split: SplitSettings) -> Ints:
    """Return the rank of each user, shape ``(users,)``; shares as in :func:`rank_items`.

    Users are ordered by a hash of their ids as given, so equal data hold out equal users on every
    machine, and hardly any user changes sides when others join.
    """
    digests = [sha256(f"held-out users: {user}".encode()).digest() for user in user_ids]
    rank = np.zeros(len(digests), dtype=np.int64)
    rank[sorted(range(len(digests)), key=digests.__getitem__)] = _ranks(len(digests), split)
    return rank


def follows_later_split(user: Ints, rank: Ints) -> Bools:
    """Return whether an earlier event of the same user has a higher rank; users ascend."""
    # The largest key so far is of the same user, since that user's keys exceed all before.
    key = user * _RANKS + rank
    return np.maximum.accumulate(key) > key


def _ranks(count: int, split: SplitSettings) -> Ints:
    """Return the ranks of ``count`` items or users in order, ascending."""
    test = count * split.test_share.numerator // split.test_share.denominator
    validation = count * split.val_share.numerator // split.val_share.denominator
    return np.repeat(np.arange(_RANKS), [count - test - validation, validation, test])
