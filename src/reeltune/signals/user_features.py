"""Features of a user, from their own earlier events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.domain import Item
from reeltune.signals.running_statistics import Floats, RunningStatistics

GENRE_PRIOR: Final = 10.0
"""Neutral events added to each user's events of a genre."""

USER_PRIOR: Final = 5.0
"""Average events added to each user's own."""

HALF_LIFE: Final = 7.0
"""Number of later events after which an event has half its weight in ``lately``."""

LATELY: Final = 50
"""Newest events used in ``lately``."""

LATELY_PRIOR: Final = 2.0
"""Average events added in ``lately``."""


@dataclass(frozen=True)
class UserFeatures:
    """One entry per event, computed from the user's earlier events.

    Attributes:
        events: Number of earlier events.
        like_rate: Their share of likes, shrunk to that of all users.
        lately: The same, with the newest events weighted most.
    """

    events: Floats
    like_rate: Floats
    lately: Floats

    def take(self, events: slice) -> UserFeatures:
        """Return the features of some events."""
        return UserFeatures(**{name: values[events] for name, values in vars(self).items()})


def user_features(
    running: RunningStatistics, liked: npt.NDArray[np.bool_], any_like: npt.NDArray[Any] | float
) -> UserFeatures:
    """Return the user's features before each event; ``any_like`` is the share of likes of all."""
    newest = _lately(running, np.ones(len(liked))) + LATELY_PRIOR
    own = running.earlier(liked) + USER_PRIOR * any_like
    return UserFeatures(
        events=running.before,
        like_rate=own / (running.before + USER_PRIOR),
        lately=(_lately(running, liked) + LATELY_PRIOR * any_like) / newest,
    )


def _lately(running: RunningStatistics, values: npt.NDArray[Any]) -> Floats:
    return running.decayed(values, HALF_LIFE, LATELY)


def genre_affinity(
    table: npt.NDArray[np.bool_],
    item_idx: npt.NDArray[np.integer],
    running: RunningStatistics,
    lift: Floats,
    user_lift: Floats,
) -> Floats:
    """Return how far the user rates the item's genres above their other items.

    Per genre: the sum of ``lift - user_lift`` over the user's earlier events of the genre, divided
    by their number + :data:`GENRE_PRIOR`. The result is the mean over the item's genres.

    Args:
        table: Genres of each item (:func:`genre_table`).
        item_idx: The item of each event, shape ``(events,)``, as of all others.
        running: Sums over earlier events.
        lift: Each event's rating minus its item's mean.
        user_lift: The user's mean lift before each event.

    Returns:
        Shape ``(events,)``; 0 for an item without genres.
    """
    affinity, genres = np.zeros(len(item_idx)), np.zeros(len(item_idx))
    # One genre at a time: a matrix of events and genres would not fit for the largest editions.
    for has_genre in table.T:
        inside = has_genre[item_idx]
        genres += inside
        count = running.earlier(inside)
        above = running.earlier(np.where(inside, lift, 0.0)) - count * user_lift
        affinity += np.where(inside, above / (count + GENRE_PRIOR), 0.0)
    return affinity / np.maximum(genres, 1)


def genre_table(items: Sequence[Item]) -> npt.NDArray[np.bool_]:
    """Return whether each item has each genre, shape ``(items, genres)``; genres by name."""
    names = sorted({genre for item in items for genre in item.genres})
    column = {name: index for index, name in enumerate(names)}
    table = np.zeros((len(items), len(names)), dtype=np.bool_)
    for row, item in enumerate(items):
        table[row, [column[genre] for genre in item.genres]] = True
    return table


def item_years(items: Sequence[Item], usual: Callable[[Floats], Any]) -> Floats:
    """Return the year of each item, or the usual one where it is unknown, shape ``(items,)``."""
    years = np.array([item.year for item in items], dtype=np.float64)
    unknown = np.isnan(years)
    return np.where(unknown, 0.0 if unknown.all() else usual(years), years)
