"""Whether a user has liked a film's genres so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.domain import Item
from reeltune.signals.running_statistics import Floats, RunningStatistics

GENRE_PRIOR: Final = 10.0
"""Events without any liking or dislike that are added to each user's own in a genre."""


def genre_affinity(
    table: npt.NDArray[np.bool_],
    item_idx: npt.NDArray[np.integer],
    running: RunningStatistics,
    lift: Floats,
    user_lift: Floats,
) -> Floats:
    """Return how much more the user liked the film's genres than other films, in stars.

    For each genre: the sum, over the user's earlier events of it, of what their lift lies above the
    user's own, divided by their number + :data:`GENRE_PRIOR`. Of the film's genres the mean.

    Args:
        table: Which film has which genre (:func:`genre_table`).
        item_idx: The film of each event, shape ``(events,)``.
        running: Sums over earlier events.
        lift: What the stars of each event lie above its film's mean, shape ``(events,)``.
        user_lift: The user's mean of it before each event, shape ``(events,)``.

    Returns:
        Shape ``(events,)``; 0 for a film without genres.
    """
    found = np.zeros(len(item_idx))
    # One genre at a time: a matrix of events and genres would not fit for the largest editions.
    for has_genre in table.T:
        inside = has_genre[item_idx]
        count = running.earlier(inside)
        above = running.earlier(np.where(inside, lift, 0.0)) - count * user_lift
        found += np.where(inside, above / (count + GENRE_PRIOR), 0.0)
    return found / np.maximum(table.sum(1), 1)[item_idx]


def genre_table(items: Sequence[Item]) -> npt.NDArray[np.bool_]:
    """Return which film has which genre, shape ``(films, genres)``, genres by name."""
    names = sorted({genre for item in items for genre in item.genres})
    column = {name: place for place, name in enumerate(names)}
    table = np.zeros((len(items), len(names)), dtype=np.bool_)
    for row, item in enumerate(items):
        table[row, [column[genre] for genre in item.genres]] = True
    return table
