"""Intervals by resampling users: how far a figure would move with other users.

Rows of one user are alike, so users are drawn, not rows (the cluster bootstrap; Field and Welsh
2007, https://doi.org/10.1111/j.1467-9868.2007.00593.x). A difference between two scorers on the
same rows is drawn with the same users for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.evaluation.metrics import Labels, Probabilities
from reeltune.seeds import stream

DRAWS: Final = 1000
_AT_ONCE: Final = 100


@dataclass(frozen=True)
class Interval:
    """A figure and the middle 95 % of its draws.

    Attributes:
        value: On the rows themselves.
        low: The 2.5th percentile.
        high: The 97.5th percentile.
        draws: How many draws the figure was defined in.
    """

    value: float
    low: float
    high: float
    draws: int


def auc_difference(
    labels: Labels,
    p_yes: Probabilities,
    other: Probabilities,
    user_id: npt.NDArray[np.int64],
    seed: int,
    draws: int = DRAWS,
) -> Interval | None:
    """Return the AUC of ``p_yes`` less that of ``other``, with its interval over users.

    Args:
        labels: True where the answer is Yes, shape ``(n,)``.
        p_yes: P(Yes) of one scorer, shape ``(n,)``.
        other: P(Yes) of another on the same rows.
        user_id: Whose row it is, shape ``(n,)``.
        seed: Decides the draws.
        draws: How often users are drawn.

    Returns:
        None where all rows have one label.
    """
    if labels.all() or not labels.any():
        return None
    users, group = np.unique(user_id, return_inverse=True)
    random = stream(seed, "bootstrap")
    even = np.full(len(users), 1.0 / len(users))
    found = []
    for first in range(0, draws, _AT_ONCE):
        times = random.multinomial(len(users), even, size=min(_AT_ONCE, draws - first))
        weights = times[:, group].astype(np.float64)
        found.append(weighted_auc(labels, p_yes, weights) - weighted_auc(labels, other, weights))
    drawn = np.concatenate(found)
    drawn = drawn[~np.isnan(drawn)]
    once = np.ones((1, len(labels)))
    value = weighted_auc(labels, p_yes, once) - weighted_auc(labels, other, once)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(float(value[0]), float(low), float(high), len(drawn))


def weighted_auc(
    labels: Labels, p_yes: Probabilities, weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the AUC under each set of weights: the weighted Mann-Whitney statistic.

    Args:
        labels: Shape ``(n,)``.
        p_yes: Shape ``(n,)``; ties count one half.
        weights: How often each row counts, shape ``(draws, n)``.

    Returns:
        Shape ``(draws,)``; NaN where one label has no weight.
    """
    order = np.argsort(p_yes, kind="stable")
    begins = np.flatnonzero(np.diff(p_yes[order], prepend=np.nan) != 0)
    positive = np.add.reduceat((weights * labels)[:, order], begins, axis=1)
    negative = np.add.reduceat((weights * ~labels)[:, order], begins, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return (positive * below).sum(1) / (positive.sum(1) * negative.sum(1))
