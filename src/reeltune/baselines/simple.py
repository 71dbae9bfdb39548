"""Baselines that expect a rating: means, the bias model, and P(Yes) from them by Platt scaling."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Final

import numpy as np

from reeltune.baselines.problem import (
    BaselineScores,
    Floats,
    Ints,
    Labels,
    Problem,
    mean_log_loss,
)
from reeltune.signals.running_statistics import RunningStatistics

Rating = Callable[[Ints], Floats]
"""Returns the expected ratings of events, shape ``(n,)``."""

Curve = Callable[[Floats], Floats]

DAMPING: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Values tried: ratings equal to the overall mean that are added to those of an item or user."""


def fit_platt(score: Floats, liked: Labels) -> Curve:
    """Fit a logistic curve to scores and labels, with the smoothed targets of Platt (1999).

    scikit-learn's ``CalibratedClassifierCV`` needs rows of both labels; this does not.

    Returns:
        Maps scores to probabilities strictly between 0 and 1.
    """
    from sklearn.linear_model import LogisticRegression

    yes = int(liked.sum())
    high, low = (yes + 1) / (yes + 2), 1 / (len(liked) - yes + 2)
    target = np.where(liked, high, low)
    mean, spread = score.mean(), score.std() or 1.0

    def column(values: Floats) -> Floats:
        return ((values - mean) / spread)[:, None]

    # A target between 0 and 1 is a weighted row of either label.
    model: Any = LogisticRegression(C=np.inf)
    model.fit(
        np.tile(column(score), (2, 1)),
        np.repeat([True, False], len(score)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    return lambda values: model.predict_proba(column(values))[:, 1] if len(values) else values


def choose_rating(
    problem: Problem, models: Iterable[tuple[dict[str, Any], Rating]], learned_from: int
) -> BaselineScores:
    """Return the scores of the model with the lowest log loss on validation rows.

    Args:
        models: Settings and the expected ratings under them, at least one.
        learned_from: Number of events they learned from.
    """
    liked = problem.liked(problem.validation)

    def trials() -> Iterator[tuple[float, dict[str, Any], Rating, Curve, Floats]]:
        for settings, rating in models:
            score = rating(problem.validation)
            curve = fit_platt(score, liked)
            p_yes = curve(score)
            yield mean_log_loss(liked, p_yes), settings, rating, curve, p_yes

    # Iterated, since each model may hold arrays of all events.
    _, settings, rating, curve, p_yes = min(trials(), key=itemgetter(0))
    return BaselineScores(p_yes, curve(rating(problem.test)), learned_from, settings)


def majority(problem: Problem) -> BaselineScores:
    """Predict the share of likes among the training rows."""
    share = float(problem.liked(problem.train).mean())
    validation, test = (np.full(len(event), share) for event in (problem.validation, problem.test))
    return BaselineScores(validation, test, len(problem.train))


def item_mean(problem: Problem) -> BaselineScores:
    """Expect the mean of the item's training ratings, shrunk to the overall mean."""
    overall, item_idx = overall_mean(problem), problem.timelines.item_idx
    models = (
        ({"item_damping": d}, (overall + item_offsets(problem, d))[item_idx].__getitem__)
        for d in DAMPING
    )
    return choose_rating(problem, models, len(problem.ratings))


def user_running_mean(problem: Problem) -> BaselineScores:
    """Expect the mean of the user's own earlier ratings, shrunk to the overall mean."""
    running = RunningStatistics(problem.timelines.position)
    above = running.earlier(problem.rating - overall_mean(problem))
    models = (({"user_damping": d}, (above / (running.before + d)).__getitem__) for d in DAMPING)
    return choose_rating(problem, models, len(problem.ratings))


def bias_model(problem: Problem) -> BaselineScores:
    """Expect overall mean + item offset + user offset (Koren, Bell and Volinsky 2009).

    LensKit's ``BiasScorer`` gives the same, but scores one history at a time: too slow for 49
    settings.
    """
    models = (
        ({"item_damping": item, "user_damping": user}, partial(parts.expected, user))
        for item in DAMPING
        for parts in [bias_parts(problem, item)]
        for user in DAMPING
    )
    return choose_rating(problem, models, len(problem.ratings))


@dataclass(frozen=True)
class BiasParts:
    """The summands of the bias model, one entry per event.

    Attributes:
        without_user: Overall mean plus item offset.
        above: Sum over the user's earlier events of rating minus ``without_user``.
        before: Number of these events.
    """

    without_user: Floats
    above: Floats
    before: Floats

    def expected(self, user_damping: float, event: Ints) -> Floats:
        """Return the expected ratings of events."""
        user_offset = self.above[event] / (self.before[event] + user_damping)
        return self.without_user[event] + user_offset


def bias_parts(problem: Problem, item_damping: float) -> BiasParts:
    """Return the summands of the bias model for one damping of items."""
    offset = item_offsets(problem, item_damping)[problem.timelines.item_idx]
    without_user = overall_mean(problem) + offset
    running = RunningStatistics(problem.timelines.position)
    return BiasParts(without_user, running.earlier(problem.rating - without_user), running.before)


def overall_mean(problem: Problem) -> float:
    """Return the mean of all training ratings."""
    return float(problem.rating[problem.ratings].mean())


def item_offsets(problem: Problem, damping: float) -> Floats:
    """Return each item's damped mean of training ratings minus the overall mean; 0 without any."""
    item = problem.timelines.item_idx[problem.ratings]
    above = problem.rating[problem.ratings] - overall_mean(problem)
    count = np.bincount(item, minlength=len(problem.items))
    return np.bincount(item, above, minlength=len(problem.items)) / (count + damping)
