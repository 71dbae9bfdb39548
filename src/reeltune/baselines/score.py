"""All baselines on the same rows, including those on the signals of the prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from reeltune.baselines.boosting import prompt_table, signal_columns
from reeltune.baselines.learned import gradient_boosting, logistic_regression
from reeltune.baselines.lenskit_models import item_knn, matrix_factorization
from reeltune.baselines.problem import (
    Baseline,
    BaselineScores,
    Floats,
    Ints,
    Problem,
    make_problem,
)
from reeltune.baselines.sequence_model import sequence_model
from reeltune.baselines.simple import bias_model, item_mean, majority, user_running_mean
from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import Codes
from reeltune.domain import SIGNALS, ContextKind

SEQUENCE_MODEL: Final = "sequence model"

BASELINES: Final[dict[str, Baseline]] = {
    "majority": majority,
    "item mean": item_mean,
    "user running mean": user_running_mean,
    "bias model": bias_model,
    "item kNN": item_knn,
    "matrix factorization": matrix_factorization,
    "logistic regression": logistic_regression,
    "gradient boosting": gradient_boosting,
    SEQUENCE_MODEL: sequence_model,
}
"""By name, the simplest first."""

EXPECTED_ALONE: Final = "expected alone"
SIGNALS_ALONE: Final = "signals alone"
WITH_SIGNALS: Final = "gradient boosting with signals"
WITH_TEXT: Final = "gradient boosting with text"
WITH_BOTH: Final = "gradient boosting with signals and text"


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
        validation_event: The validation rows, as indices among the timelines' events.
        test_event: The rows to score, likewise; they may be validation rows.
        train_event: The rows to learn from; None for all of ``train``.
        progress: Called with the name of each baseline before it is fitted.

    Raises:
        DataError: There is nothing to learn or choose from, or a row is of the wrong split.
    """
    problem = make_problem(folder, validation_event, test_event, seed=seed, train_event=train_event)
    scores = {}
    for name, baseline in baselines.items():
        if progress is not None:
            progress(name)
        started = time.perf_counter()
        scores[name] = replace(baseline(problem), seconds=time.perf_counter() - started)
    return scores


def signal_baselines(kinds: Sequence[ContextKind]) -> dict[str, Baseline]:
    """Return the baselines on the context lines of a prompt: how good are the signals alone?

    Args:
        kinds: The kinds of lines; the timelines of the problem hold their codes.
    """
    if not kinds:
        return {}
    signals = partial(signal_table, kinds=kinds)
    table = partial(prompt_table, kinds=kinds, item_text=False)
    baselines: dict[str, Baseline] = {
        SIGNALS_ALONE: partial(logistic_regression, features=signals),
        WITH_SIGNALS: partial(gradient_boosting, features=table),
    }
    expected = SIGNALS["expected"]
    if expected in kinds:
        column = list(kinds).index(expected) - len(kinds)  # tags may come before
        baselines = {EXPECTED_ALONE: partial(expected_alone, column=column), **baselines}
    return baselines


def text_baselines(kinds: Sequence[ContextKind]) -> dict[str, Baseline]:
    """Return the baseline on the item text of a prompt, and on its signals if it shows any."""
    table = partial(prompt_table, kinds=kinds, item_text=True)
    return {WITH_BOTH if kinds else WITH_TEXT: partial(gradient_boosting, features=table)}


def expected_alone(problem: Problem, column: int) -> BaselineScores:
    """Return P(Yes) as the prompt states it, in a column of the codes; nothing is fitted."""
    share = np.array(SIGNALS["expected"].shares)[_codes(problem)[:, column]]
    return BaselineScores(share[problem.validation], share[problem.test], len(problem.ratings))


def signal_table(problem: Problem, event: Ints, kinds: Sequence[ContextKind]) -> Floats:
    """Return the context lines of events as numbers, shape ``(n, columns)``."""
    return signal_columns(_codes(problem)[event], kinds)


def _codes(problem: Problem) -> Codes:
    codes = problem.timelines.context
    if codes is None:
        raise ValueError("the problem has no codes of context lines")
    return codes
