"""All baselines on the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reeltune.baselines.factor import item_knn, matrix_factorization
from reeltune.baselines.learned import gradient_boosting, logistic_regression
from reeltune.baselines.problem import Baseline, Floats, Ints, make_problem
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


@dataclass(frozen=True)
class BaselineScores:
    """One baseline on the rows all scorers share.

    Attributes:
        name: As it was asked for.
        validation: P(Yes) on the validation rows, in their order, 0 to 1.
        test: P(Yes) on the rows to judge, likewise.
        settings: What was chosen on the validation rows.
        learned_from: How many events it learned from: training rows for those that learn labels,
            training ratings for those that learn stars.
        seconds: What learning, choosing and judging took.
    """

    name: str
    validation: Floats
    test: Floats
    settings: dict[str, Any]
    learned_from: int
    seconds: float


def score_baselines(
    folder: PreparedFolder,
    validation_event: Ints,
    test_event: Ints,
    *,
    seed: int,
    train_event: Ints | None = None,
    progress: Callable[[str], None] | None = None,
    baselines: Mapping[str, Baseline] = BASELINES,
) -> list[BaselineScores]:
    """Fit baselines on training rows, choose on validation rows, judge both.

    Args:
        folder: The prepared data.
        validation_event: The validation rows, as places among the timelines' events.
        test_event: The rows to judge, likewise; they may be validation rows themselves.
        seed: Decides whatever is random.
        train_event: The rows to learn from; None for all of ``train``.
        progress: Told the name of each baseline before it begins.
        baselines: Which ones, by name.

    Returns:
        In the order of ``baselines``.

    Raises:
        DataError: There is nothing to learn or to choose from.
    """
    problem = make_problem(folder, validation_event, test_event, seed=seed, train_event=train_event)
    found = []
    for name, baseline in baselines.items():
        if progress is not None:
            progress(name)
        began = time.perf_counter()
        answers = baseline(problem)
        found.append(
            BaselineScores(
                name=name,
                validation=answers.validation,
                test=answers.test,
                settings=answers.settings,
                learned_from=answers.learned_from,
                seconds=time.perf_counter() - began,
            )
        )
    return found
