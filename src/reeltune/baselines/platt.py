"""From a score to P(Yes): a logistic regression of one variable.

Platt (1999), "Probabilistic outputs for support vector machines", with his targets: each label
counts as a little less than certain, so that there is an answer for any labels and scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from reeltune.baselines.problem import Answers, Floats, Ints, Labels, Problem

Rating = Callable[[Ints], Floats]
"""Gives the stars to expect for events, shape ``(n,)`` each."""

Curve = Callable[[Floats], Floats]


def fit_platt(score: Floats, liked: Labels) -> Curve:
    """Fit the curve to scores and labels.

    Args:
        score: Finite, shape ``(n,)``, at least one.
        liked: The labels.

    Returns:
        What turns scores into probabilities strictly between 0 and 1.
    """
    from sklearn.linear_model import LogisticRegression

    yes = int(liked.sum())
    high, low = (yes + 1) / (yes + 2), 1 / (len(liked) - yes + 2)
    target = np.where(liked, high, low)
    middle, spread = score.mean(), score.std() or 1.0

    def column(values: Floats) -> Floats:
        return ((values - middle) / spread)[:, None]

    # A target between 0 and 1 is a row of either label, weighted.
    model = LogisticRegression(C=np.inf).fit(
        np.tile(column(score), (2, 1)),
        np.repeat([True, False], len(score)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    return lambda values: model.predict_proba(column(values))[:, 1] if len(values) else values


def choose_rating(
    problem: Problem, models: Iterable[tuple[dict[str, Any], Rating]], learned_from: int
) -> Answers:
    """Return the answers of the model whose P(Yes) has the lowest log loss on validation rows.

    Args:
        problem: The rows.
        models: Settings, and the model made with them; asked for one after another.
        learned_from: How many events they learned from.
    """
    liked = problem.liked(problem.validation)
    best, lowest = None, np.inf
    for settings, rating in models:
        score = rating(problem.validation)
        curve = fit_platt(score, liked)
        loss = mean_log_loss(liked, curve(score))
        if loss < lowest:
            best, lowest = (settings, rating, curve, score), loss
    if best is None:
        raise ValueError("no model to choose from")
    settings, rating, curve, score = best
    return Answers(curve(score), curve(rating(problem.test)), learned_from, settings)


def mean_log_loss(liked: Labels, p_yes: Floats) -> float:
    """Return the mean log loss in nats, one label or both."""
    from sklearn.metrics import log_loss

    return float(log_loss(liked, p_yes, labels=[False, True]))
