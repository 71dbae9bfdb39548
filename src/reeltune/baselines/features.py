"""Features of events and of queries for the learned baselines.

Computed from all earlier events of the user, and from training ratings of the item by other users
(see :mod:`reeltune.signals.item_statistics`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.baselines.problem import Floats, Ints, Labels, Problem
from reeltune.data.history import NOW, History
from reeltune.signals.item_statistics import (
    FOLDS,
    ItemStatistics,
    assign_folds,
    excluded_folds,
    statistics_without_folds,
)
from reeltune.signals.running_statistics import RunningStatistics
from reeltune.signals.user_features import (
    USER_PRIOR,
    genre_affinity,
    genre_table,
    item_years,
)

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


@dataclass(frozen=True)
class Rows:
    """Events of users, or the ratings of one user and then candidates: arrays with an entry each.

    Attributes:
        timestamp: In seconds since 1970, or ``NOW``.
        gap: Seconds since the user's previous event; 0 without one.
        item: Statistics of the item, without one fold of the users.
    """

    item_idx: npt.NDArray[np.integer]
    rating: Floats
    liked: Labels
    timestamp: Ints
    gap: npt.NDArray[np.number]
    running: RunningStatistics
    item: ItemStatistics

    @cached_property
    def lift(self) -> Floats:
        """Each rating minus the mean of its item."""
        return self.rating - self.item.rating


class FeatureSource:
    """Computes features of events, and equal ones of the queries that events are.

    Args:
        problem: The events, and which ratings may be learned from.
        fold: The fold that the item statistics of each event exclude; those of a query exclude that
            of its user's first event.
    """

    def __init__(self, problem: Problem, fold: Ints) -> None:
        self._problem, self._known, self._fold = problem, problem.timelines, fold
        folds = assign_folds(self._known, problem.seed)
        self._statistics = statistics_without_folds(
            self._known, problem.ratings, len(problem.items), folds
        )
        self._users, self._first = np.unique(self._known.user_id, return_index=True)
        self._genres = genre_table(problem.items)
        self._years = item_years(problem.items, np.nanmean)
        since = np.diff(self._known.timestamp, prepend=self._known.timestamp[:1])
        self._gap = np.where(self._known.position > 0, since, 0)
        self._newest = self._known.timestamp.max(initial=0)
        self.typical_gap = float(np.median(self._gap[problem.train])) if len(problem.train) else 0.0

    def events(self) -> Rows:
        """Return all events."""
        known, running = self._known, RunningStatistics(self._known.position)
        item = self._statistics.take(self._fold, known.item_idx)
        rating = self._problem.rating
        return Rows(known.item_idx, rating, known.liked, known.timestamp, self._gap, running, item)

    def query(self, history: History, candidates: Ints, asked_at: Ints | int = NOW) -> Rows:
        """Return all ratings of a user, and then the candidates.

        At ``NOW`` the age of an item is that at the newest rating of the data. Then, and if the
        history has no times, the gap is the typical one: the median of training rows. Statistics
        of an unknown user exclude no fold.
        """
        events, count = len(history), len(candidates)
        user = np.flatnonzero(self._users == history.user_id)
        fold = self._fold[self._first[user[0]]] if len(user) else FOLDS
        times = np.full(events, NOW) if history.timestamp is None else history.timestamp
        asked, gap = np.broadcast_to(np.int64(asked_at), (count,)), np.zeros(events + count)
        if events:
            unknown = (asked == NOW) | (times[-1] == NOW)
            since = np.maximum(asked, times[-1]) - times[-1]
            gap[events:] = np.where(unknown, self.typical_gap, since)
        item_idx = np.append(history.item_idx, candidates)
        ratings = history.rating.astype(np.float64)
        rating = np.append(ratings, np.zeros(count))  # those of candidates are not used: see below
        liked = np.append(history.rating >= self._problem.threshold, np.zeros(count, np.bool_))
        # Every candidate comes after the last event, not after the candidate before it.
        index = np.minimum(np.arange(events + count), events)
        running, item = RunningStatistics(index, index), self._statistics.take(fold, item_idx)
        return Rows(item_idx, rating, liked, np.append(times, asked), gap, running, item)

    def table(self, rows: Rows, chosen: Ints) -> Floats:
        """Return the features of chosen rows: finite, shape ``(n, len(FEATURES))``."""
        table = np.empty((len(chosen), len(FEATURES)))
        columns = list(FEATURES)
        for name, values in self._columns(rows):
            table[:, columns.index(name)] = values[chosen]
        return table

    def _columns(self, rows: Rows) -> Iterator[tuple[str, Floats]]:
        """Yield the features one by one, for all rows: together they exceed memory for ml-32m."""
        user_lift = rows.running.earlier(rows.lift) / (rows.running.before + USER_PRIOR)
        yield "user_lift", user_lift
        yield "expected_rating", rows.item.rating + user_lift
        affinity = genre_affinity(self._genres, rows.item_idx, rows.running, rows.lift, user_lift)
        yield "genre_affinity", affinity
        yield from _user_columns(rows)
        yield from _recent_columns(rows)
        yield "item_rating", rows.item.rating
        yield "item_like_rate", rows.item.like_rate
        yield "item_events", np.log1p(rows.item.count)
        year = self._years[rows.item_idx]
        yield "item_year", year
        time = np.where(rows.timestamp == NOW, self._newest, rows.timestamp)
        yield "item_age", 1970 + time / YEAR_SECONDS - year
        yield "gap", np.log1p(rows.gap)


def feature_table(problem: Problem, event: Ints) -> Floats:
    """Return the features of events, given by index: finite, shape ``(n, len(FEATURES))``."""
    source = FeatureSource(problem, excluded_folds(problem.timelines, problem.seed))
    return source.table(source.events(), event)


def _user_columns(rows: Rows) -> Iterator[tuple[str, Floats]]:
    running, item = rows.running, rows.item
    weight = running.before + USER_PRIOR
    rating = (running.earlier(rows.rating) + USER_PRIOR * item.any_rating) / weight
    yield "user_rating", rating
    likes = running.earlier(rows.liked)
    yield "user_like_rate", (likes + USER_PRIOR * item.any_like) / weight
    squares = running.earlier(rows.rating**2) + USER_PRIOR * (1 + item.any_rating**2)
    yield "user_spread", np.sqrt(np.maximum(squares / weight - rating**2, 0))
    yield "user_events", np.log1p(running.before)


def _recent_columns(rows: Rows) -> Iterator[tuple[str, Floats]]:
    running, item = rows.running, rows.item
    weight = np.minimum(running.before, RECENT) + USER_PRIOR
    rating = running.recent(rows.rating, RECENT)
    yield "recent_rating", (rating + USER_PRIOR * item.any_rating) / weight
    likes = running.recent(rows.liked, RECENT)
    yield "recent_like_rate", (likes + USER_PRIOR * item.any_like) / weight
    yield "recent_lift", running.recent(rows.lift, RECENT) / weight
