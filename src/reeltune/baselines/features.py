"""What the learned baselines know of an event: numbers made of what came before it.

Of its own user: earlier events, all of them, as the language model may be shown them. Of its film:
training ratings of other users (see :mod:`reeltune.signals.item_statistics`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from reeltune.baselines.problem import Floats, Ints, Problem
from reeltune.signals.item_statistics import ItemStatistics, item_statistics
from reeltune.signals.running_statistics import RunningStatistics
from reeltune.signals.user_features import USER_PRIOR, genre_affinity, genre_table

RECENT: Final = 15
"""Events that count as recent: the history a prompt has by default."""

FEATURES: Final = {
    "user_rating": "mean stars of the user's earlier events, shrunk to the mean of all",
    "user_like_rate": "share of likes among them, shrunk likewise",
    "user_spread": "standard deviation of their stars, shrunk to 1 star",
    "user_lift": "mean of what their stars lie above their films' mean, shrunk to 0",
    "recent_rating": "as user_rating, of the last 15 events",
    "recent_like_rate": "as user_like_rate, of the last 15 events",
    "recent_lift": "as user_lift, of the last 15 events",
    "user_events": "log(1 + earlier events of the user)",
    "item_rating": "mean stars of the film's training ratings, shrunk to the mean of all",
    "item_like_rate": "share of likes among them, shrunk likewise",
    "item_events": "log(1 + training ratings of the film)",
    "expected_rating": "item_rating + user_lift",
    "genre_affinity": "what the user's earlier stars for the film's genres lie above user_lift",
    "item_year": "the film's year, the mean year where it has none",
    "item_age": "years from the film's year to the event",
    "gap": "log(1 + seconds since the user's event before)",
}
"""Every feature by name, in the order of the columns, with what it is."""


def feature_table(problem: Problem, event: Ints) -> Floats:
    """Return the features of events.

    Args:
        problem: The data.
        event: Places in the timelines, shape ``(n,)``.

    Returns:
        Shape ``(n, len(FEATURES))``, finite.
    """
    table = np.empty((len(event), len(FEATURES)))
    place = {name: column for column, name in enumerate(FEATURES)}
    for name, values in _columns(problem):
        table[:, place[name]] = values[event]
    return table


def _columns(problem: Problem) -> Iterator[tuple[str, Floats]]:
    """Give each feature of all events, one after another: all at once would not fit for 32m."""
    running = RunningStatistics(problem.timelines.position)
    item = item_statistics(problem.timelines, problem.ratings, len(problem.items), problem.seed)
    lift = problem.rating - item.rating
    user_lift = running.earlier(lift) / (running.before + USER_PRIOR)
    yield "user_lift", user_lift
    yield "expected_rating", item.rating + user_lift
    genres, row = genre_table(problem.items), problem.timelines.item_idx
    yield "genre_affinity", genre_affinity(genres, row, running, lift, user_lift)
    yield from _user_columns(problem, running, item)
    yield from _recent_columns(problem, running, item, lift)
    yield "item_rating", item.rating
    yield "item_like_rate", item.like_rate
    yield "item_events", np.log1p(item.count)
    yield from _time_columns(problem)


def _user_columns(
    problem: Problem, running: RunningStatistics, item: ItemStatistics
) -> Iterator[tuple[str, Floats]]:
    weight = running.before + USER_PRIOR
    rating = (running.earlier(problem.rating) + USER_PRIOR * item.any_rating) / weight
    yield "user_rating", rating
    likes = running.earlier(problem.timelines.liked)
    yield "user_like_rate", (likes + USER_PRIOR * item.any_like) / weight
    squares = running.earlier(problem.rating**2) + USER_PRIOR * (1 + item.any_rating**2)
    yield "user_spread", np.sqrt(np.maximum(squares / weight - rating**2, 0))
    yield "user_events", np.log1p(running.before)


def _recent_columns(
    problem: Problem, running: RunningStatistics, item: ItemStatistics, lift: Floats
) -> Iterator[tuple[str, Floats]]:
    weight = np.minimum(running.before, RECENT) + USER_PRIOR
    rating = running.recent(problem.rating, RECENT)
    yield "recent_rating", (rating + USER_PRIOR * item.any_rating) / weight
    likes = running.recent(problem.timelines.liked, RECENT)
    yield "recent_like_rate", (likes + USER_PRIOR * item.any_like) / weight
    yield "recent_lift", running.recent(lift, RECENT) / weight


def _time_columns(problem: Problem) -> Iterator[tuple[str, Floats]]:
    known = problem.timelines
    dated = [item.year for item in problem.items if item.year is not None]
    usual = float(np.mean(dated)) if dated else 0.0
    years = np.array([usual if item.year is None else item.year for item in problem.items], float)
    year = years[known.item_idx]
    yield "item_year", year
    yield "item_age", 1970 + known.timestamp / _YEAR - year
    since = np.diff(known.timestamp, prepend=known.timestamp[:1])
    yield "gap", np.log1p(np.where(known.position > 0, since, 0))


_YEAR: Final = 365.2425 * 86_400
"""Seconds."""
