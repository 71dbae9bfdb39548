"""What the prompt tells, without any language model: how much of a result is the evidence's.

A model that is told evidence has an advantage over baselines that are not. These are told the same.
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
from reeltune.domain import CHANCE_STEPS, SHARE_STEPS, Evidence

EXPECTED_ALONE: Final = "expected alone"
EVIDENCE_ALONE: Final = "evidence alone"
WITH_EVIDENCE: Final = "gradient boosting with evidence"


def evidence_baselines(kinds: Sequence[Evidence]) -> dict[str, Baseline]:
    """Return the baselines of what a prompt tells, by name; none where it tells nothing.

    Args:
        kinds: What the evidence tells. The problems that are given to the baselines have it.
    """
    if not kinds:
        return {}
    told = partial(evidence_table, kinds=kinds)

    def beside_features(problem: Problem, event: Ints) -> Floats:
        return np.column_stack([feature_table(problem, event), told(problem, event)])

    found: dict[str, Baseline] = {
        EVIDENCE_ALONE: partial(logistic_regression, features=told),
        WITH_EVIDENCE: partial(gradient_boosting, features=beside_features),
    }
    if "expected" in kinds:
        column = list(kinds).index("expected")
        found = {EXPECTED_ALONE: partial(expected_alone, column=column), **found}
    return found


def expected_alone(problem: Problem, column: int) -> Answers:
    """The chance of a like that the prompt tells, as it tells it; nothing is fitted.

    Args:
        problem: The rows, with their evidence.
        column: Where the evidence has it.
    """
    codes = _codes(problem)[:, column]
    return Answers(
        _share(codes[problem.validation], CHANCE_STEPS),
        _share(codes[problem.test], CHANCE_STEPS),
        len(problem.ratings),
    )


def evidence_table(problem: Problem, event: Ints, kinds: Sequence[Evidence]) -> Floats:
    """Return what the evidence on events says, as numbers.

    Args:
        problem: The data, with its evidence.
        event: Places in the timelines, shape ``(n,)``.
        kinds: What the evidence tells.

    Returns:
        The log-odds of each share and chance, and of those that tell a count its entry among
        :data:`reeltune.domain.COUNTS`, shape ``(n, columns)``.
    """
    codes = _codes(problem)[event]
    columns = [
        column for place, kind in enumerate(kinds) for column in numbers_of(kind, codes[:, place])
    ]
    return np.column_stack(columns)


def numbers_of(kind: Evidence, codes: npt.NDArray[np.integer]) -> list[Floats]:
    """Return what entries of one kind of evidence say, as numbers, shape ``(n,)`` each."""
    if kind in ("film", "user"):
        count = (codes // SHARE_STEPS).astype(np.float64)
        return [_log_odds(_share(codes % SHARE_STEPS, SHARE_STEPS)), count]
    return [_log_odds(_share(codes, CHANCE_STEPS if kind == "expected" else SHARE_STEPS))]


def _codes(problem: Problem) -> npt.NDArray[np.integer]:
    codes = problem.timelines.evidence
    if codes is None:
        raise ValueError("the problem has no evidence")
    return codes


def _share(codes: npt.NDArray[np.integer], steps: int) -> Floats:
    """Return shares told in steps; at either end half a step from certainty."""
    last = steps - 1
    return np.clip(codes, 0.5, last - 0.5) / last


def _log_odds(share: Floats) -> Floats:
    return np.log(share / (1 - share))
