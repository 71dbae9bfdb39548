"""Baselines on features: logistic regression and gradient boosting (scikit-learn)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from operator import itemgetter
from typing import Any, Final

import numpy as np

from reeltune.baselines.features import feature_table
from reeltune.baselines.problem import (
    BaselineScores,
    Floats,
    Ints,
    Labels,
    Problem,
    mean_log_loss,
)
from reeltune.baselines.trees import BoostedTrees
from reeltune.blas import one_blas_thread
from reeltune.seeds import stream

STRENGTHS: Final = (0.001, 0.01, 0.1, 1.0)
"""Values of ``C`` tried: inverse strength of the L2 penalty."""

LEAVES: Final = (8, 32)
LEAST_ROWS: Final = (20, 200)
"""Values tried: leaves of a tree, and the fewest rows of a leaf."""

ROUNDS: Final = 300
"""Trees at most; the number used is chosen."""

LEARNING_RATE: Final = 0.1

ONE_THREAD_ROWS: Final = 200_000
"""Up to this many training rows, one thread fits: several threads that wait for one another after
every step can be many times slower on a small table."""

Features = Callable[[Problem, Ints], Floats]
"""Maps indices of events, shape ``(n,)``, to their features, shape ``(n, features)``."""


@dataclass(frozen=True)
class Tables:
    """Features and labels of the rows."""

    train: Floats
    train_liked: Labels
    validation: Floats
    validation_liked: Labels
    test: Floats

    @classmethod
    def of(cls, problem: Problem, features: Features) -> Tables:
        """Compute the features of all rows at once."""
        folds = (problem.train, problem.validation, problem.test)
        table = features(problem, np.concatenate(folds))
        train, validation, test = np.split(table, np.cumsum([len(fold) for fold in folds[:-1]]))
        liked = (problem.liked(fold) for fold in folds[:-1])
        return cls(train, next(liked), validation, next(liked), test)

    def scores(self, p_yes: Callable[[Floats], Floats], settings: dict[str, Any]) -> BaselineScores:
        """Return P(Yes) of the rows by a model that maps features to it."""
        test = p_yes(self.test) if len(self.test) else np.empty(0)
        return BaselineScores(p_yes(self.validation), test, len(self.train), settings)


def logistic_regression(problem: Problem, features: Features = feature_table) -> BaselineScores:
    """Logistic regression on standardized features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    tables, tried = Tables.of(problem, features), []
    few = len(tables.train) <= ONE_THREAD_ROWS
    for strength in STRENGTHS:
        model: Any = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        with one_blas_thread() if few else contextlib.nullcontext():
            model.fit(tables.train, tables.train_liked)
        p_yes = model.predict_proba(tables.validation)[:, 1]
        tried.append((mean_log_loss(tables.validation_liked, p_yes), {"C": strength}, model))
    _, settings, model = min(tried, key=itemgetter(0))
    return tables.scores(lambda table: model.predict_proba(table)[:, 1], settings)


def gradient_boosting(problem: Problem, features: Features = feature_table) -> BaselineScores:
    """Gradient boosting of small trees on histograms of the features (Friedman 2001)."""
    tables = Tables.of(problem, features)
    trees, settings = fit_boosting(tables, problem.seed)
    return tables.scores(trees.p_yes, settings)


def fit_boosting(tables: Tables, seed: int) -> tuple[BoostedTrees, dict[str, Any]]:
    """Return the trees with the lowest log loss on validation rows, and their settings."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    state, tried = int(stream(seed, "gradient boosting").integers(2**31)), []
    for leaves, least in product(LEAVES, LEAST_ROWS):
        model: Any = HistGradientBoostingClassifier(
            learning_rate=LEARNING_RATE,
            max_iter=ROUNDS,
            max_leaf_nodes=leaves,
            min_samples_leaf=least,
            early_stopping=False,  # pyright: ignore[reportArgumentType]
            random_state=state,
        )
        with threadpool_limits(1 if len(tables.train) <= ONE_THREAD_ROWS else None, "openmp"):
            model.fit(tables.train, tables.train_liked)
            stages = model.staged_predict_proba(tables.validation)
            losses = [mean_log_loss(tables.validation_liked, stage[:, 1]) for stage in stages]
        rounds = int(np.argmin(losses)) + 1
        settings = {"leaves": leaves, "least_rows": least, "rounds": rounds}
        tried.append((min(losses), settings, model))
    _, settings, model = min(tried, key=itemgetter(0))
    return BoostedTrees.of(model, settings["rounds"]), settings
