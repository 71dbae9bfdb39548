"""Statistics of items over training ratings, excluding one fold of the users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.data.columns import CONTEXT, TRAIN
from reeltune.data.timelines import Ints, Timelines
from reeltune.seeds import stream
from reeltune.signals.running_statistics import Floats

FOLDS: Final = 10
"""Folds of users: a training row sees item statistics of the users in other folds.

Excluding only the row itself would reveal its label: of two rows of one item, the one with the
higher rating would see the lower mean, and trees learn that.
"""

ITEM_PRIOR: Final = 5.0
"""Average ratings added to each item's own."""

_ANY_RATING: Final = 3.0
_ANY_LIKE: Final = 0.5
"""One such rating is added to all, so that means exist without any rating."""


@dataclass(frozen=True)
class ItemStatistics:
    """One entry per event, or per excluded fold and item.

    Attributes:
        count: The item's training ratings. With a fold excluded, scaled up to all users.
        rating: The item's mean rating, shrunk to ``any_rating``.
        like_rate: The item's share of likes, shrunk to ``any_like``.
        any_rating: Mean rating of all items.
        any_like: Share of likes of all items.
        used: The item's training ratings outside the excluded fold.
    """

    count: Floats
    rating: Floats
    like_rate: Floats
    any_rating: Floats
    any_like: Floats
    used: Floats

    def take(self, *places: Any) -> ItemStatistics:
        """Return the statistics at some indices of every array."""
        return ItemStatistics(**{name: values[places] for name, values in vars(self).items()})


def training_ratings(known: Timelines, train: Ints) -> Ints:
    """Return the events whose ratings may be learned from, ascending.

    They are the training rows and the context events before a training row of the same user: in a
    split by time, context events of other users may be later than the rows to predict, and with
    held-out items, those after the last training row may be of such an item. ``train`` ascends.
    """
    context = np.flatnonzero(known.split == CONTEXT)
    at = np.searchsorted(train, context)
    context, at = context[at < len(train)], at[at < len(train)]
    learns = known.user_id[train[at]] == known.user_id[context]
    return np.union1d(train, context[learns]).astype(np.int64)


def statistics_without_folds(
    known: Timelines, ratings: Ints, items: int, fold: Ints
) -> ItemStatistics:
    """Return each item's statistics computed without the users of one fold.

    Arrays of shape ``(FOLDS + 1, items)``; the last row excludes nobody. ``fold`` is that of each
    event's user, ``FOLDS`` for auxiliary ones.
    """

    def sums(values: npt.NDArray[Any]) -> tuple[Floats, Floats]:
        """Return sums over each item and over all items, without each fold."""
        cell = fold[ratings] * items + known.item_idx[ratings]
        table = np.bincount(cell, values[ratings], minlength=(FOLDS + 1) * items)
        table = table.reshape(FOLDS + 1, items)
        others = table.sum(0) - table
        others[FOLDS] += table[FOLDS]  # auxiliary users are in no fold, and never excluded
        return others, np.broadcast_to(others.sum(1, keepdims=True), others.shape)

    count, total = sums(np.ones(len(known)))
    rating, all_rating = sums(known.rating.astype(np.float64))
    likes, all_likes = sums(known.liked)
    any_rating = (all_rating + _ANY_RATING) / (total + 1)
    any_like = (all_likes + _ANY_LIKE) / (total + 1)
    return ItemStatistics(
        count=count * len(ratings) / np.maximum(total, 1),
        rating=(rating + ITEM_PRIOR * any_rating) / (count + ITEM_PRIOR),
        like_rate=(likes + ITEM_PRIOR * any_like) / (count + ITEM_PRIOR),
        any_rating=any_rating,
        any_like=any_like,
        used=count,
    )


def excluded_folds(known: Timelines, seed: int) -> Ints:
    """Return the fold of each event's user, and ``FOLDS`` (none) for held-out events."""
    return np.where(known.split.is_in(TRAIN, CONTEXT), assign_folds(known, seed), FOLDS)


def assign_folds(known: Timelines, seed: int) -> Ints:
    """Return the fold of each event's user, 0 to ``FOLDS - 1``, held out or not."""
    first = first_events(known)
    fold = stream(seed, "parts of users").permutation(len(first)) % FOLDS
    return np.repeat(fold, np.diff(np.append(first, len(known))))


def first_events(known: Timelines) -> Ints:
    """Return the first event of each user, ascending."""
    return np.flatnonzero(np.diff(known.user_id, prepend=known.user_id[:1] - 1))
