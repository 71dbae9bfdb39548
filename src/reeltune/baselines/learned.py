"""Baselines that learn from features: logistic regression and gradient boosting (scikit-learn)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from typing import Any, Final

import numpy as np

from reeltune.baselines.features import feature_table
from reeltune.baselines.platt import mean_log_loss
from reeltune.baselines.problem import Answers, Floats, Ints, Labels, Problem
from reeltune.seeds import stream

STRENGTHS: Final = (0.001, 0.01, 0.1, 1.0)
"""Inverse strengths of the logistic regression's L2 penalty: what is tried."""

LEAVES: Final = (8, 32)
"""Leaves of a tree of gradient boosting: what is tried."""

LEAST_ROWS: Final = (20, 200)
"""The fewest rows a leaf may hold: what is tried."""

ROUNDS: Final = 300
"""Trees at most; how many of them are used is chosen."""

LEARNING_RATE: Final = 0.1

ALONE: Final = 200_000
"""Up to how many training rows one thread grows the trees.

Several wait for one another, at work all the while, after every step of a tree. Where something
else keeps the processor busy, that makes a small table many times as slow as one thread is.
"""

Model = Callable[[Floats], Floats]
"""Gives P(Yes), shape ``(n,)``, for features, shape ``(n, features)``."""


@dataclass(frozen=True)
class Tables:
    """Features and labels of the rows; what is to be judged comes without labels."""

    train: Floats
    train_liked: Labels
    validation: Floats
    validation_liked: Labels
    test: Floats


Features = Callable[[Problem, Ints], Floats]
"""Gives what is known of events, shape ``(n, features)``, for their places, shape ``(n,)``."""

Trials = Callable[[Tables], Iterator[tuple[dict[str, Any], Model]]]
"""Gives settings, and the model fitted with them, one after another."""


def logistic_regression(problem: Problem, features: Features = feature_table) -> Answers:
    """Logistic regression on standardized features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def trials(tables: Tables) -> Iterator[tuple[dict[str, Any], Model]]:
        for strength in STRENGTHS:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
            model.fit(tables.train, tables.train_liked)
            yield {"C": strength}, partial(_p_yes, model)

    return _choose(problem, features, trials)


def gradient_boosting(problem: Problem, features: Features = feature_table) -> Answers:
    """Gradient boosting of small trees on histograms of the features (Friedman 2001)."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    state = int(stream(problem.seed, "gradient boosting").integers(2**31))

    def trials(tables: Tables) -> Iterator[tuple[dict[str, Any], Model]]:
        for leaves, least in product(LEAVES, LEAST_ROWS):
            model = HistGradientBoostingClassifier(
                learning_rate=LEARNING_RATE,
                max_iter=ROUNDS,
                max_leaf_nodes=leaves,
                min_samples_leaf=least,
                early_stopping=False,  # pyright: ignore[reportArgumentType]
                random_state=state,
            )
            with threadpool_limits(1 if len(tables.train) <= ALONE else None, "openmp"):
                model.fit(tables.train, tables.train_liked)
                stages = model.staged_predict_proba(tables.validation)
                losses = [mean_log_loss(tables.validation_liked, stage[:, 1]) for stage in stages]
            rounds = int(np.argmin(losses)) + 1
            settings = {"leaves": leaves, "least_rows": least, "rounds": rounds}
            yield settings, partial(_p_yes_after, model, rounds)

    return _choose(problem, features, trials)


def _choose(problem: Problem, features: Features, trials: Trials) -> Answers:
    """Return the answers of the model with the lowest log loss on validation rows."""
    tables = _tables(problem, features)
    tried = []
    for settings, model in trials(tables):
        p_yes = model(tables.validation)
        tried.append((mean_log_loss(tables.validation_liked, p_yes), settings, model, p_yes))
    _, settings, model, p_yes = min(tried, key=lambda trial: trial[0])
    test = model(tables.test) if len(tables.test) else np.empty(0)
    return Answers(p_yes, test, len(problem.train), settings)


def _tables(problem: Problem, features: Features) -> Tables:
    parts = (problem.train, problem.validation, problem.test)
    together = features(problem, np.concatenate(parts))
    cuts = np.cumsum([len(part) for part in parts[:-1]])
    train, validation, test = np.split(together, cuts)
    return Tables(
        train=train,
        train_liked=problem.liked(problem.train),
        validation=validation,
        validation_liked=problem.liked(problem.validation),
        test=test,
    )


def _p_yes(model: Any, table: Floats) -> Floats:
    return model.predict_proba(table)[:, 1]


def _p_yes_after(model: Any, rounds: int, table: Floats) -> Floats:
    """Return P(Yes) by the first trees of a boosted model."""
    return next(islice(model.staged_predict_proba(table), rounds - 1, None))[:, 1]
