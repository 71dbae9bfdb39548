"""What each user adds to the metrics, so that users can be counted any number of times.

Every metric but one is made of sums over rows or users, and a draw of users is a matrix product.
The AUC over all rows pairs rows of different users; it has sorted rows instead.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from reeltune.evaluation.calibration_error import calibration_error, gaps_per_user
from reeltune.evaluation.ranked_rows import RankedRows
from reeltune.evaluation.ranking_metrics import auc_per_user, ndcg_per_user
from reeltune.evaluation.verdict_arrays import (
    THRESHOLD,
    Floats,
    Labels,
    Probabilities,
    Users,
    probabilities,
)

METRICS: Final = (
    "positive_rate",
    "majority_rate",
    "auc",
    "auc_per_user_mean",
    "ndcg_at_10",
    "accuracy",
    "f1",
    "accuracy_chosen",
    "f1_chosen",
    "log_loss",
    "brier",
    "ece",
    "yes_rate",
)
"""The metrics of a scorer, as :class:`reeltune.evaluation.metrics.Metrics` explains them."""

MEANS_OVER_USERS: Final = frozenset({"auc_per_user_mean", "ndcg_at_10"})
"""Those that only users with rows of both labels have a part in."""

_SUMS: Final = 11
"""Columns before those of the bins."""


class UserSums:
    """One scorer's verdicts, ready to be measured with any number of every user.

    Args:
        labels: True where the answer is Yes, shape ``(n,)``.
        p_yes: P(Yes), shape ``(n,)``.
        user: The number of the row's user, 0 to ``users - 1``, shape ``(n,)``.
        threshold: P(Yes) from which the scorer says Yes, chosen on other rows; None leaves what
            needs one undefined.

    Attributes:
        users: How many users there are.
        users_scored: How many of them have rows of both labels.

    Raises:
        DataError: There are more or fewer verdicts than labels, or one is not a probability.
    """

    def __init__(
        self, labels: Labels, p_yes: Probabilities, user: Users, threshold: float | None
    ) -> None:
        found = probabilities(labels, p_yes)
        auc = auc_per_user(labels, found, user)
        scored = ~np.isnan(auc)
        truth = np.where(labels, found, 1 - found)
        of_rows = (
            np.ones(len(labels)),
            labels,
            *_said(labels, found, THRESHOLD),
            *_said(labels, found, threshold),
            # A certain and wrong verdict costs as much as in scikit-learn, not without end.
            -np.log(np.maximum(truth, np.finfo(np.float64).eps)),
            (found - labels) ** 2,
        )
        self._ranked = RankedRows(labels, found, user)
        self._sums = np.column_stack(
            [
                *(np.bincount(user, weights=added) for added in of_rows),
                scored,
                np.where(scored, auc, 0),
                np.where(scored, ndcg_per_user(labels, found, user), 0),
                gaps_per_user(labels, found, user),
            ]
        )
        self.users = len(auc)
        self.users_scored = int(scored.sum())

    def measured(self, times: Floats) -> dict[str, Floats]:
        """Return every metric of every draw.

        Args:
            times: How often each user counts, shape ``(draws, users)``. A user counted several
                times is as many users with the same rows.

        Returns:
            By the names of :data:`METRICS`, each of shape ``(draws,)``; NaN where undefined.
        """
        sums = times @ self._sums
        rows, positives, said, hits, said_chosen, hits_chosen, *others = sums[:, :_SUMS].T
        nats, squares, scored, auc, ndcg = others
        with np.errstate(invalid="ignore"):
            rate = positives / rows
            found = (
                rate,
                np.maximum(rate, 1 - rate),
                self._ranked.auc(times),
                auc / scored,
                ndcg / scored,
                (rows - positives - said + 2 * hits) / rows,
                2 * hits / (said + positives),
                (rows - positives - said_chosen + 2 * hits_chosen) / rows,
                2 * hits_chosen / (said_chosen + positives),
                nats / rows,
                squares / rows,
                calibration_error(sums[:, _SUMS:], rows),
                said / rows,
            )
        return dict(zip(METRICS, found, strict=True))


def _said(labels: Labels, p_yes: Floats, threshold: float | None) -> tuple[Floats, Floats]:
    """Return, as 1 or 0, which rows are called Yes and which of them rightly; NaN undecided."""
    if threshold is None:
        undecided = np.full(len(labels), np.nan)
        return undecided, undecided
    said = (p_yes >= threshold).astype(np.float64)
    return said, said * labels
