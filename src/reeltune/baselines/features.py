"""Features of an event for the learned baselines.

Computed from all earlier events of its user, and from training ratings of its item by other users
(see :mod:`reeltune.signals.item_statistics`).
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
"""Events that count as recent: the default history length of a prompt."""

FEATURES: Final = {
    "user_rating": "mean of the user's earlier ratings, shrunk to the overall mean",
    "user_like_rate": "share of likes among them, shrunk likewise",
    "user_spread": "standard deviation of these ratings, shrunk to 1",
    "user_lift": "mean of these ratings minus their items' means, shrunk to 0",
    "recent_rating": "as user_rating, of the last 15 events",
    "recent_like_rate": "as user_like_rate, of the last 15 events",
    "recent_lift": "as user_lift, of the last 15 events",
    "user_events": "log(1 + earlier events of the user)",
    "item_rating": "mean of the item's training ratings, shrunk to the overall mean",
    "item_like_rate": "share of likes among them, shrunk likewise",
    "item_events": "log(1 + training ratings of the item)",
    "expected_rating": "item_rating + user_lift",
    "genre_affinity": "the user's earlier ratings of the item's genres minus user_lift",
    "item_year": "year of the item, or the mean year",
    "item_age": "years from that to the event",
    "gap": "log(1 + seconds since the user's previous event)",
}
"""Features with their definitions, in the order of the columns."""

YEAR_SECONDS: Final = 365.2425 * 86_400


def feature_table(problem: Problem, event: Ints) -> Floats:
    """Return the features of events, given by index: finite, shape ``(n, len(FEATURES))``."""
    table = np.empty((len(event), len(FEATURES)))
    columns = list(FEATURES)
    for name, values in _columns(problem):
        table[:, columns.index(name)] = values[event]
    return table


def _columns(problem: Problem) -> Iterator[tuple[str, Floats]]:
    """Yield the features one by one, for all events: together they exceed memory for ml-32m."""
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
    yield "item_age", 1970 + known.timestamp / YEAR_SECONDS - year
    since = np.diff(known.timestamp, prepend=known.timestamp[:1])
    yield "gap", np.log1p(np.where(known.position > 0, since, 0))
