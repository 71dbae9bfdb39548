"""Every feature of one event by its definition, with loops; the vectorized ones must be equal."""

from __future__ import annotations

from math import log1p, sqrt

import numpy as np

from reeltune.baselines.features import RECENT, USER_PRIOR
from reeltune.baselines.problem import Problem
from reeltune.signals.item_statistics import ITEM_PRIOR, excluded_folds
from reeltune.signals.user_features import GENRE_PRIOR


class Naive:
    """Looks at one event at a time."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.known = problem.timelines
        self.rating = problem.timelines.rating.tolist()
        self.liked = problem.timelines.liked.tolist()
        self.part = excluded_folds(problem.timelines, problem.seed).tolist()

    def asked(self, event: int) -> list[int]:
        """Training ratings of the users in other folds."""
        ratings = self.problem.ratings.tolist()
        return [other for other in ratings if self.part[other] != self.part[event]]

    def item(self, event: int) -> tuple[float, float, float, float, float]:
        """Scaled count, stars and like rate of the film; stars and like rate of all."""
        asked = self.asked(event)
        row = self.known.item_idx
        same = [other for other in asked if row[other] == row[event]]
        any_rating = (sum(self.rating[i] for i in asked) + 3.0) / (len(asked) + 1)
        any_like = (sum(self.liked[i] for i in asked) + 0.5) / (len(asked) + 1)
        weight = len(same) + ITEM_PRIOR
        return (
            len(same) * len(self.problem.ratings) / max(len(asked), 1),
            (sum(self.rating[i] for i in same) + ITEM_PRIOR * any_rating) / weight,
            (sum(self.liked[i] for i in same) + ITEM_PRIOR * any_like) / weight,
            any_rating,
            any_like,
        )

    def lift(self, event: int) -> float:
        return self.rating[event] - self.item(event)[1]

    def features(self, event: int) -> dict[str, float]:
        earlier = list(range(event - int(self.known.position[event]), event))
        recent = earlier[-RECENT:]
        count, rating, like_rate, any_rating, any_like = self.item(event)

        def shrunk(values: list[float], to: float) -> float:
            return (sum(values) + USER_PRIOR * to) / (len(values) + USER_PRIOR)

        user_rating = shrunk([self.rating[i] for i in earlier], any_rating)
        user_lift = shrunk([self.lift(i) for i in earlier], 0.0)
        square = shrunk([self.rating[i] ** 2 for i in earlier], 1 + any_rating**2)
        return {
            "user_rating": user_rating,
            "user_like_rate": shrunk([self.liked[i] for i in earlier], any_like),
            "user_spread": sqrt(max(square - user_rating**2, 0.0)),
            "user_lift": user_lift,
            "recent_rating": shrunk([self.rating[i] for i in recent], any_rating),
            "recent_like_rate": shrunk([self.liked[i] for i in recent], any_like),
            "recent_lift": shrunk([self.lift(i) for i in recent], 0.0),
            "user_events": log1p(len(earlier)),
            "item_rating": rating,
            "item_like_rate": like_rate,
            "item_events": log1p(count),
            "expected_rating": rating + user_lift,
            "genre_affinity": self.affinity(event, earlier, user_lift),
            **self.times(event),
        }

    def affinity(self, event: int, earlier: list[int], user_lift: float) -> float:
        items, row = self.problem.items, self.known.item_idx
        genres = items[row[event]].genres
        found = []
        for genre in genres:
            inside = [i for i in earlier if genre in items[row[i]].genres]
            above = sum(self.lift(i) - user_lift for i in inside)
            found.append(above / (len(inside) + GENRE_PRIOR))
        return float(np.mean(found)) if found else 0.0

    def times(self, event: int) -> dict[str, float]:
        years = [item.year for item in self.problem.items]
        year = years[self.known.item_idx[event]]
        if year is None:
            year = float(np.mean([one for one in years if one is not None]))
        time = self.known.timestamp
        since = int(time[event] - time[event - 1]) if self.known.position[event] else 0
        return {
            "item_year": year,
            "item_age": 1970 + time[event] / (365.2425 * 24 * 3600) - year,
            "gap": log1p(since),
        }
