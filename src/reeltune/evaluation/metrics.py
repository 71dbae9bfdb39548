"""Metrics of predictions: pure functions of labels, P(Yes) and users.

An undefined value is None, never a stand-in: rows that all have one label have no AUC.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from reeltune.evaluation.arrays import (
    THRESHOLD,
    Floats,
    Ints,
    Labels,
    Probabilities,
    probabilities,
    user_indices,
)
from reeltune.evaluation.ranking import WeightedAuc, auc_per_user, ndcg_per_user

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
"""Names of the metrics, explained by :class:`Metrics`."""

PER_USER_METRICS: Final = frozenset({"auc_per_user_mean", "ndcg_at_10"})
"""Means over the users whose rows have both labels."""

ECE_BINS: Final = 15
ECE_EDGES: Final[Floats] = np.arange(ECE_BINS + 1) / ECE_BINS


@dataclass(frozen=True)
class Metrics:
    """Metrics of one scorer; formulas are in ``docs/EVALUATION.md``.

    Attributes:
        rows: Number of rows.
        positive_rate: Share of rows whose true answer is Yes.
        majority_rate: Accuracy of always giving the more frequent answer.
        auc: Area under the ROC curve over all rows; None unless both labels occur.
        auc_per_user_mean: Mean of the AUC of each user's rows, over users with both labels.
        ndcg_at_10: Mean of nDCG@10 of each user's rows, over the same users.
        users_scored: Number of those users.
        users_skipped: Users whose rows have one label.
        accuracy: Share of rows where P(Yes) >= 0.5 agrees with the label.
        f1: F1 of Yes at 0.5; 0 if there are true or predicted Yes rows but none is right, None if
            there is neither.
        accuracy_chosen: Accuracy at the threshold chosen on validation rows; None without one.
        f1_chosen: F1 of Yes at that threshold; None without one, or as ``f1``.
        log_loss: Mean negative log-likelihood in nats.
        brier: Mean squared difference of P(Yes) and the label.
        ece: Expected calibration error over 15 bins of equal width.
        yes_rate: Share of rows where P(Yes) >= 0.5.
    """

    rows: int
    positive_rate: float | None
    majority_rate: float | None
    auc: float | None
    auc_per_user_mean: float | None
    ndcg_at_10: float | None
    users_scored: int
    users_skipped: int
    accuracy: float | None
    f1: float | None
    accuracy_chosen: float | None
    f1_chosen: float | None
    log_loss: float | None
    brier: float | None
    ece: float | None
    yes_rate: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as plain values for JSON."""
        return asdict(self)


def measure(
    labels: Labels, p_yes: Probabilities, user_id: Ints, threshold: float | None = None
) -> Metrics:
    """Compute every metric.

    >>> measure(np.array([True, False]), np.array([0.8, 0.3]), np.array([7, 7])).auc
    1.0

    Args:
        labels: True where the answer is Yes, shape ``(n,)``.
        p_yes: Shape ``(n,)``.
        user_id: Shape ``(n,)``.
        threshold: P(Yes) from which the ``_chosen`` metrics count a Yes, chosen on other rows with
            :func:`choose_threshold`.

    Raises:
        DataError: The shapes differ, or a value is not a probability.
    """
    sums = MetricSums(labels, p_yes, user_indices(user_id), threshold)
    values = {
        name: None if np.isnan(value[0]) else float(value[0])
        for name, value in sums.metrics(np.ones((1, sums.users))).items()
    }
    return Metrics(
        rows=len(labels),
        users_scored=sums.users_scored,
        users_skipped=sums.users - sums.users_scored,
        **values,
    )


class MetricSums:
    """What each user contributes to the metrics, to compute them under any weights of users.

    All metrics but the AUC over all rows are made of sums over rows or users, so a set of weights
    is a matrix product. The arguments are those of :func:`measure`, with indices of users.

    Attributes:
        users: Number of users.
        users_scored: Users whose rows have both labels.
    """

    def __init__(
        self, labels: Labels, p_yes: Probabilities, user: Ints, threshold: float | None
    ) -> None:
        exact = probabilities(labels, p_yes)
        auc = auc_per_user(labels, exact, user)
        scored = ~np.isnan(auc)
        p_true = np.where(labels, exact, 1 - exact)
        row_sums = (
            np.ones(len(labels)),
            labels,
            *_yes_and_hits(labels, exact, THRESHOLD),
            *_yes_and_hits(labels, exact, threshold),
            # Clipped as in scikit-learn: a certain, wrong prediction has a finite loss.
            -np.log(np.maximum(p_true, np.finfo(np.float64).eps)),
            (exact - labels) ** 2,
        )
        self._auc = WeightedAuc(labels, exact, user)
        self._sums = np.column_stack(
            [
                *(np.bincount(user, weights=values) for values in row_sums),
                scored,
                np.where(scored, auc, 0),
                np.where(scored, ndcg_per_user(labels, exact, user), 0),
            ]
        )
        self._gaps = calibration_gaps(labels, exact, user)
        self.users = len(auc)
        self.users_scored = int(scored.sum())

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """Return every metric for each set of weights, shape ``(samples,)``; NaN where undefined.

        Args:
            weights: How often each user counts, shape ``(samples, users)``. A user of weight ``k``
                counts as ``k`` users with the same rows.
        """
        rows, positives, yes, hits, yes_chosen, hits_chosen, nats, squares, scored, auc, ndcg = (
            weights @ self._sums
        ).T
        with np.errstate(invalid="ignore"):
            rate = positives / rows
            values = (
                rate,
                np.maximum(rate, 1 - rate),
                self._auc.metrics(weights)["auc"],
                auc / scored,
                ndcg / scored,
                (rows - positives - yes + 2 * hits) / rows,
                2 * hits / (yes + positives),
                (rows - positives - yes_chosen + 2 * hits_chosen) / rows,
                2 * hits_chosen / (yes_chosen + positives),
                nats / rows,
                squares / rows,
                calibration_error(weights @ self._gaps, rows),
                yes / rows,
            )
        return dict(zip(METRICS, values, strict=True))


def _yes_and_hits(labels: Labels, p_yes: Floats, threshold: float | None) -> tuple[Floats, Floats]:
    """Return 0 or 1 for predicted Yes and for true positives; NaN without a threshold."""
    if threshold is None:
        undefined = np.full(len(labels), np.nan)
        return undefined, undefined
    yes = (p_yes >= threshold).astype(np.float64)
    return yes, yes * labels


def bin_of(p_yes: Probabilities) -> Ints:
    """Return the calibration bin of each P(Yes): an edge belongs to the bin above, 1 to the last.

    >>> bin_of(np.array([0.0, 0.2, 1.0])).tolist()
    [0, 3, 14]
    """
    return np.searchsorted(ECE_EDGES[1:-1], p_yes, side="right")


def calibration_gaps(labels: Labels, p_yes: Floats, user: Ints) -> Floats:
    """Return the sum of P(Yes) minus label of each user's rows in each bin, ``(users, bins)``."""
    users = int(user.max(initial=-1)) + 1
    gaps = np.bincount(
        user * ECE_BINS + bin_of(p_yes), weights=p_yes - labels, minlength=users * ECE_BINS
    )
    return gaps.reshape(users, ECE_BINS).astype(np.float64, copy=False)


def calibration_error(gaps: Floats, rows: Floats) -> Floats:
    """Return the expected calibration error (ECE).

    The mean over rows of the gap between mean P(Yes) and share of Yes in the row's bin (Naeini,
    Cooper and Hauskrecht 2015, https://doi.org/10.1609/aaai.v29i1.9602). A bin's share of the rows
    times the difference of its means is the difference of its sums divided by all rows.

    Args:
        gaps: :func:`calibration_gaps` summed over users, shape ``(samples, bins)``.
        rows: Shape ``(samples,)``.

    Returns:
        Shape ``(samples,)``; NaN without rows.
    """
    with np.errstate(invalid="ignore"):
        return np.abs(gaps).sum(axis=1) / rows


def choose_threshold(labels: Labels, p_yes: Probabilities) -> float:
    """Return the threshold of highest accuracy on these rows, as near to 0.5 as possible.

    All thresholds between two neighbouring values of P(Yes) predict the same. Of each such interval
    the candidate is 0.5 if it contains 0.5, else its midpoint; of several candidates with the
    highest accuracy the one nearest to 0.5 is chosen, of two equally near the lower.

    >>> choose_threshold(np.array([False, True]), np.array([0.625, 0.875]))
    0.75

    Args:
        labels: Of validation rows, never of the rows that are reported; shape ``(n,)``.
        p_yes: Shape ``(n,)``.

    Returns:
        From 0 to 1; 0.5 unless both labels occur.

    Raises:
        DataError: A value is not a probability.
    """
    exact = probabilities(labels, p_yes)
    if labels.all() or not labels.any():
        return THRESHOLD
    values, index = np.unique(exact, return_inverse=True)
    rows, likes = np.bincount(index), np.bincount(index, weights=labels)
    # Interval i goes from values[i - 1], excluded, to values[i]; above the last, nothing is a Yes.
    low, high = np.append(0.0, values), np.append(values, 1.0)
    right = np.append(0.0, np.cumsum(rows - likes)) + likes.sum() - np.append(0.0, np.cumsum(likes))
    right[low == 1] = -1.0  # a P(Yes) of 1 is a Yes at every threshold
    middle = low + (high - low) / 2
    # Neighbours in float64 have no midpoint.
    middle = np.where(middle > low, middle, high)
    threshold = np.where((low < THRESHOLD) & (high >= THRESHOLD), THRESHOLD, middle)
    best = threshold[right == right.max()]
    return float(best[np.argmin(np.abs(best - THRESHOLD))])
