"""What training ratings say of films: to everybody, or to users who are not asked themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.data.columns import CONTEXT, TRAIN
from reeltune.data.folder import Timelines
from reeltune.seeds import stream

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FOLDS: Final = 10
"""Parts the users are dealt into: a training row sees films as the users of other parts rate them.

Leaving out only the row itself would give its label away: of two rows of one film, the one whose
user gave more stars would see the lower mean, and trees find that.
"""

ITEM_PRIOR: Final = 5.0
"""Ratings of the average film that are added to each film's own."""

_ANY_RATING: Final = 3.0
_ANY_LIKE: Final = 0.5
"""One rating like this is added to all, so that there is a mean even without any."""


@dataclass(frozen=True)
class ItemStatistics:
    """All arrays have one entry per event, or per part of the users and film.

    Attributes:
        count: Training ratings of the film. Where a part of the users is left out, it is scaled up
            as if all had been asked.
        rating: Mean stars of the film, shrunk to ``any_rating``.
        like_rate: Share of likes of the film, shrunk to ``any_like``.
        any_rating: Mean stars of all films.
        any_like: Share of likes of all films.
        asked: Training ratings of the film by those who are asked.
    """

    count: Floats
    rating: Floats
    like_rate: Floats
    any_rating: Floats
    any_like: Floats
    asked: Floats

    def take(self, *places: Any) -> ItemStatistics:
        """Return the view at the given places of every array."""
        return ItemStatistics(**{name: values[places] for name, values in vars(self).items()})


def training_ratings(known: Timelines, train: Ints) -> Ints:
    """Return the events whose stars may be learned from, ascending.

    They are the training rows and what comes before the first of them in each user's timeline
    without being a candidate. A user without a training row adds nothing: in a split by time, that
    user's first events may be later than the rows to judge.

    Args:
        known: All events.
        train: The training rows, as places among them.
    """
    learns = np.isin(known.user_id, known.user_id[train])
    before = np.flatnonzero((known.split == CONTEXT) & learns)
    return np.union1d(train, before).astype(np.int64)


def item_statistics(known: Timelines, ratings: Ints, items: int, seed: int) -> ItemStatistics:
    """Return what is known of each event's film.

    Held-out events see all training ratings. Events of ``train`` and ``context`` see those of users
    in other parts than their own user's, so nothing here depends on a training row's own user.

    Args:
        known: All events.
        ratings: Those whose stars may be learned from (:func:`training_ratings`).
        items: How many films there are.
        seed: Decides the parts.
    """
    fold = excluded_folds(known, seed)
    return statistics_without_folds(known, ratings, items, fold).take(fold, known.item_idx)


def statistics_without_folds(
    known: Timelines, ratings: Ints, items: int, fold: Ints
) -> ItemStatistics:
    """Return all films as those see them who ask none of one part of the users.

    Args:
        known: All events.
        ratings: Those whose stars may be learned from.
        items: How many films there are.
        fold: The part of each event's user (:func:`excluded_folds`).

    Returns:
        Arrays of shape ``(FOLDS + 1, films)``; the last row leaves nobody out.
    """

    def sums(values: npt.NDArray[Any]) -> tuple[Floats, Floats]:
        """Return sums over each film and over all films, each part left out."""
        cell = fold[ratings] * items + known.item_idx[ratings]
        table = np.bincount(cell, values[ratings], minlength=(FOLDS + 1) * items)
        table = table.reshape(FOLDS + 1, items)
        others = table.sum(0) - table
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
        asked=count,
    )


def excluded_folds(known: Timelines, seed: int) -> Ints:
    """Return the part each event's user is in, and ``FOLDS`` for held-out events: in none."""
    return np.where(is_not_held_out(known), assign_folds(known, seed), FOLDS)


def assign_folds(known: Timelines, seed: int) -> Ints:
    """Return the part each event's user is in, 0 to ``FOLDS - 1``, held out or not."""
    users, which = np.unique(known.user_id, return_inverse=True)
    return (stream(seed, "parts of users").permutation(len(users)) % FOLDS)[which]


def is_not_held_out(known: Timelines) -> npt.NDArray[np.bool_]:
    """Return which events are not held out."""
    return (known.split == TRAIN) | (known.split == CONTEXT)
