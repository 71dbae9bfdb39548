"""What the prompt tells, without any language model: how much of a result is the signals's.

A model that is told signals has an advantage over baselines that are not. These are told the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.baselines.features import feature_table
from reeltune.baselines.learned import gradient_boosting, logistic_regression
from reeltune.baselines.problem import Answers, Baseline, Floats, Ints, Problem
from reeltune.domain import CHANCE_STEPS, SHARE_STEPS, SignalKind

EXPECTED_ALONE: Final = "expected alone"
SIGNALS_ALONE: Final = "signals alone"
WITH_SIGNALS: Final = "gradient boosting with signals"


def signals_baselines(kinds: Sequence[SignalKind]) -> dict[str, Baseline]:
    """Return the baselines of what a prompt tells, by name; none where it tells nothing.

    Args:
        kinds: What the signals tells. The problems that are given to the baselines have it.
    """
    if not kinds:
        return {}
    told = partial(signals_table, kinds=kinds)

    def beside_features(problem: Problem, event: Ints) -> Floats:
        return np.column_stack([feature_table(problem, event), told(problem, event)])

    found: dict[str, Baseline] = {
        SIGNALS_ALONE: partial(logistic_regression, features=told),
        WITH_SIGNALS: partial(gradient_boosting, features=beside_features),
    }
    if "expected" in kinds:
        column = list(kinds).index("expected")
        found = {EXPECTED_ALONE: partial(expected_alone, column=column), **found}
    return found


def expected_alone(problem: Problem, column: int) -> Answers:
    """The chance of a like that the prompt tells, as it tells it; nothing is fitted.

    Args:
        problem: The rows, with their signals.
        column: Where the signals has it.
    """
    codes = _codes(problem)[:, column]
    return Answers(
        _share(codes[problem.validation], CHANCE_STEPS),
        _share(codes[problem.test], CHANCE_STEPS),
        len(problem.ratings),
    )


def signals_table(problem: Problem, event: Ints, kinds: Sequence[SignalKind]) -> Floats:
    """Return what the signals on events says, as numbers.

    Args:
        problem: The data, with its signals.
        event: Places in the timelines, shape ``(n,)``.
        kinds: What the signals tells.

    Returns:
        The log-odds of each share and chance, and of those that tell a count its entry among
        :data:`reeltune.domain.COUNTS`, shape ``(n, columns)``.
    """
    codes = _codes(problem)[event]
    columns = [
        column for place, kind in enumerate(kinds) for column in numbers_of(kind, codes[:, place])
    ]
    return np.column_stack(columns)


def numbers_of(kind: SignalKind, codes: npt.NDArray[np.integer]) -> list[Floats]:
    """Return what entries of one kind of signals say, as numbers, shape ``(n,)`` each."""
    if kind in ("film", "user"):
        count = (codes // SHARE_STEPS).astype(np.float64)
        return [_log_odds(_share(codes % SHARE_STEPS, SHARE_STEPS)), count]
    return [_log_odds(_share(codes, CHANCE_STEPS if kind == "expected" else SHARE_STEPS))]


def _codes(problem: Problem) -> npt.NDArray[np.integer]:
    codes = problem.timelines.signals
    if codes is None:
        raise ValueError("the problem has no signals")
    return codes


def _share(codes: npt.NDArray[np.integer], steps: int) -> Floats:
    """Return shares told in steps; at either end half a step from certainty."""
    last = steps - 1
    return np.clip(codes, 0.5, last - 0.5) / last


def _log_odds(share: Floats) -> Floats:
    return np.log(share / (1 - share))
