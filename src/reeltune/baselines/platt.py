"""From an expected rating to P(Yes): Platt scaling, and the choice of a model by log loss.

Platt (1999), "Probabilistic outputs for support vector machines", with his smoothed targets. Fitted
by scikit-learn's logistic regression; its ``CalibratedClassifierCV`` needs a classifier with both
classes, where this one takes any scores and labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from reeltune.baselines.problem import BaselineScores, Floats, Ints, Labels, Problem

Rating = Callable[[Ints], Floats]
"""Returns the expected ratings of events, shape ``(n,)``."""

Curve = Callable[[Floats], Floats]


def fit_platt(score: Floats, liked: Labels) -> Curve:
    """Fit a logistic curve to scores and labels.

    Args:
        score: Finite, shape ``(n,)``, at least one.
        liked: The labels.

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
    model = LogisticRegression(C=np.inf).fit(
        np.tile(column(score), (2, 1)),
        np.repeat([True, False], len(score)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    return lambda values: model.predict_proba(column(values))[:, 1] if len(values) else values


def choose_rating(
    problem: Problem, models: Iterable[tuple[dict[str, Any], Rating]], learned_from: int
) -> BaselineScores:
    """Return the scores of the model whose P(Yes) has the lowest log loss on validation rows.

    Args:
        problem: The rows.
        models: Settings and the model made with them, at least one.
        learned_from: Events they learned from.
    """
    liked = problem.liked(problem.validation)
    best, lowest = None, np.inf
    for settings, rating in models:
        score = rating(problem.validation)
        curve = fit_platt(score, liked)
        loss = mean_log_loss(liked, curve(score))
        if loss < lowest:
            best, lowest = (settings, rating, curve, score), loss
    assert best is not None
    settings, rating, curve, score = best
    return BaselineScores(curve(score), curve(rating(problem.test)), learned_from, settings)


def mean_log_loss(liked: Labels, p_yes: Floats) -> float:
    """Return the mean log loss in nats; one label alone is allowed."""
    from sklearn.metrics import log_loss

    return float(log_loss(liked, p_yes, labels=[False, True]))
