"""All baselines on the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from reeltune.baselines.learned import gradient_boosting, logistic_regression
from reeltune.baselines.lenskit_models import item_knn, matrix_factorization
from reeltune.baselines.problem import Baseline, BaselineScores, Ints, make_problem
from reeltune.baselines.simple import bias_model, item_mean, majority, user_running_mean
from reeltune.data.folder import PreparedFolder

BASELINES: Final[dict[str, Baseline]] = {
    "majority": majority,
    "item mean": item_mean,
    "user running mean": user_running_mean,
    "bias model": bias_model,
    "item kNN": item_knn,
    "matrix factorization": matrix_factorization,
    "logistic regression": logistic_regression,
    "gradient boosting": gradient_boosting,
}
"""Every baseline by name, from the simplest to the strongest."""


def score_baselines(
    folder: PreparedFolder,
    validation_event: Ints,
    test_event: Ints,
    *,
    seed: int,
    train_event: Ints | None = None,
    progress: Callable[[str], None] | None = None,
    baselines: Mapping[str, Baseline] = BASELINES,
) -> dict[str, BaselineScores]:
    """Fit baselines on training rows, choose their settings on validation rows, score both.

    Args:
        folder: The prepared data.
        validation_event: The validation rows, as indices among the timelines' events.
        test_event: The rows to score, likewise; they may be validation rows themselves.
        seed: Determines whatever is random.
        train_event: The rows to learn from; None for all of ``train``.
        progress: Called with the name of each baseline before it is fitted.
        baselines: Which ones, by name.

    Returns:
        By name, in the order of ``baselines``.

    Raises:
        DataError: There is nothing to learn or to choose from.
    """
    problem = make_problem(folder, validation_event, test_event, seed=seed, train_event=train_event)
    scores = {}
    for name, baseline in baselines.items():
        if progress is not None:
            progress(name)
        started = time.perf_counter()
        scores[name] = replace(baseline(problem), seconds=time.perf_counter() - started)
    return scores
