"""Baselines on the signals a prompt shows: how much of a result is the signals' own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.baselines.features import feature_table
from reeltune.baselines.learned import gradient_boosting, logistic_regression
from reeltune.baselines.problem import Baseline, BaselineScores, Floats, Ints, Problem
from reeltune.domain import SIGNALS, ContextKind

EXPECTED_ALONE: Final = "expected alone"
SIGNALS_ALONE: Final = "signals alone"
WITH_SIGNALS: Final = "gradient boosting with signals"


def signal_baselines(kinds: Sequence[ContextKind]) -> dict[str, Baseline]:
    """Return the baselines on the context lines of a prompt, by name; none without any.

    Args:
        kinds: The kinds of lines; the problems given to the baselines hold their codes.
    """
    if not kinds:
        return {}
    table = partial(signal_table, kinds=kinds)

    def with_features(problem: Problem, event: Ints) -> Floats:
        return np.column_stack([feature_table(problem, event), table(problem, event)])

    baselines: dict[str, Baseline] = {
        SIGNALS_ALONE: partial(logistic_regression, features=table),
        WITH_SIGNALS: partial(gradient_boosting, features=with_features),
    }
    expected = SIGNALS["expected"]
    if expected in kinds:
        column = list(kinds).index(expected)
        baselines = {EXPECTED_ALONE: partial(expected_alone, column=column), **baselines}
    return baselines


def expected_alone(problem: Problem, column: int) -> BaselineScores:
    """Return the probability of a like as the prompt states it; nothing is fitted.

    Args:
        problem: The rows, with their codes.
        column: The column of ``expected`` in the codes.
    """
    share = np.array(SIGNALS["expected"].shares)[_codes(problem)[:, column]]
    return BaselineScores(share[problem.validation], share[problem.test], len(problem.ratings))


def signal_table(problem: Problem, event: Ints, kinds: Sequence[ContextKind]) -> Floats:
    """Return what the context lines of events state, as numbers.

    Args:
        problem: The data, with their codes.
        event: Event indices, shape ``(n,)``.
        kinds: The kind of each column of the codes.

    Returns:
        The log-odds of each share, and of kinds that state a count its index in
        :data:`reeltune.domain.context_lines.COUNTS`, shape ``(n, columns)``.
    """
    codes = _codes(problem)[event]
    columns: list[Floats] = []
    for kind, code in zip(kinds, codes.T, strict=True):
        share = np.array(kind.shares)[code]
        columns.append(np.log(share / (1 - share)))
        if kind.counts:
            columns.append(np.array(kind.counts, dtype=np.float64)[code])
    return np.column_stack(columns)


def _codes(problem: Problem) -> npt.NDArray[np.integer]:
    codes = problem.timelines.context
    if codes is None:
        raise ValueError("the problem has no codes of context lines")
    return codes
