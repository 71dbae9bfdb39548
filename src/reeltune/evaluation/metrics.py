"""Metrics of predictions: pure functions of labels, P(Yes) and users; None where undefined."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np

from reeltune.evaluation.predictions import Floats, Ints, Labels, Probabilities, probabilities
from reeltune.ragged import auc_per_user

PER_USER_METRICS: Final = frozenset({"auc_per_user_mean", "ndcg_at_10"})
"""Means over the users whose rows have both labels."""

THRESHOLD: Final = 0.5
"""P(Yes) from which the answer is Yes, unless another threshold was chosen."""

ECE_BINS: Final = 15
ECE_EDGES: Final[Floats] = np.arange(ECE_BINS + 1) / ECE_BINS

NDCG_RANKS: Final = 10


@dataclass(frozen=True)
class Metrics:
    """Metrics of one scorer; formulas are in ``docs/EVALUATION.md``.

    Attributes:
        rows: Number of rows.
        positive_rate: Share of rows whose label is Yes.
        majority_rate: Accuracy of always predicting the more frequent label.
        auc: Area under the ROC curve over all rows; None unless both labels occur.
        auc_per_user_mean: Mean of the AUC of each user's rows, over users with both labels.
        ndcg_at_10: Mean of nDCG@10 of each user's rows, over the same users.
        users_scored: Number of those users.
        users_skipped: Users whose rows have one label.
        accuracy: At threshold 0.5.
        f1: F1 of Yes at 0.5; None if there is neither a true nor a predicted Yes.
        accuracy_chosen: At the threshold chosen on validation rows; None without one.
        f1_chosen: F1 of Yes at that threshold; None without one, or as ``f1``.
        log_loss: Mean negative log-likelihood in nats.
        brier: Mean squared difference of P(Yes) and label.
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


METRICS: Final = tuple(
    field.name
    for field in fields(Metrics)
    if field.name not in ("rows", "users_scored", "users_skipped")
)


def measure(
    labels: Labels, p_yes: Probabilities, user_id: Ints, threshold: float | None = None
) -> Metrics:
    """Compute every metric of ``n`` rows; each array has shape ``(n,)``.

    >>> measure(np.array([True, False]), np.array([0.8, 0.3]), np.array([7, 7])).auc
    1.0

    Args:
        threshold: Of the ``_chosen`` metrics, chosen on other rows with :func:`choose_threshold`.

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


def user_indices(user_id: Ints) -> Ints:
    """Return each row's user as an index, 0 to ``users - 1``, in the order of the ids."""
    return np.unique(user_id, return_inverse=True)[1]


class MetricSums:
    """Sums over each user's rows, from which all metrics follow under any weights of users.

    Only the AUC over all rows is not made of such sums; see :class:`WeightedAuc`. The arguments are
    those of :func:`measure`, with indices of users.
    """

    def __init__(
        self, labels: Labels, p_yes: Probabilities, user: Ints, threshold: float | None
    ) -> None:
        exact = probabilities(labels, p_yes)
        auc = auc_per_user(labels, exact, user)
        scored = ~np.isnan(auc)
        row_sums = (
            np.ones(len(labels)),
            labels,
            *_yes_and_hits(labels, exact, THRESHOLD),
            *_yes_and_hits(labels, exact, threshold),
            _nats(labels, exact),
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
            weights: How often each user counts, shape ``(samples, users)``.
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


def _nats(labels: Labels, p_yes: Floats) -> Floats:
    """Return the log loss of each row, clipped as in scikit-learn: it is always finite."""
    p_true = np.where(labels, p_yes, 1 - p_yes)
    return -np.log(np.maximum(p_true, np.finfo(np.float64).eps))


def _yes_and_hits(labels: Labels, p_yes: Floats, threshold: float | None) -> tuple[Floats, Floats]:
    """Return 0 or 1 for predicted Yes and for true positives; NaN without a threshold."""
    if threshold is None:
        undefined = np.full(len(labels), np.nan)
        return undefined, undefined
    yes = (p_yes >= threshold).astype(np.float64)
    return yes, yes * labels


class WeightedAuc:
    """The AUC of one scorer's rows under any weights of the users.

    The Mann-Whitney statistic: the share of pairs of a Yes row and a No row in which the Yes row
    has the higher score, ties counting one half (Hanley and McNeil 1982,
    https://doi.org/10.1148/radiology.143.1.7063747). Rows are sorted once, so each set of weights
    costs time linear in the rows. Scores need not be probabilities; ``user`` holds indices.
    """

    def __init__(self, labels: Labels, scores: Floats, user: Ints) -> None:
        order = np.argsort(scores)
        yes, no = order[labels[order]], order[~labels[order]]
        self._user_of_yes, self._user_of_no = user[yes], user[no]
        # How many No rows have a lower score than each Yes row, and how many no higher one.
        self._lower = np.searchsorted(scores[no], scores[yes], side="left")
        self._not_higher = np.searchsorted(scores[no], scores[yes], side="right")

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """Return ``{"auc": ...}``, shape ``(samples,)``; NaN where one label has no weight."""
        no = np.zeros((len(weights), len(self._user_of_no) + 1))
        np.cumsum(np.take(weights, self._user_of_no, axis=1), axis=1, out=no[:, 1:])
        yes = np.take(weights, self._user_of_yes, axis=1)
        beaten = np.take(no, self._lower, axis=1)
        beaten += np.take(no, self._not_higher, axis=1)
        won = np.einsum("ij,ij->i", yes, beaten) / 2
        with np.errstate(invalid="ignore"):
            return {"auc": won / (yes.sum(axis=1) * no[:, -1])}


class WeightedLogLoss:
    """The log loss of one scorer's rows under any weights of the users, given as indices."""

    def __init__(self, labels: Labels, p_yes: Floats, user: Ints) -> None:
        self._nats = np.bincount(user, weights=_nats(labels, p_yes))
        self._rows = np.bincount(user)

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """Return ``{"log_loss": ...}`` in nats, shape ``(samples,)``; NaN without rows."""
        with np.errstate(invalid="ignore"):
            return {"log_loss": (weights @ self._nats) / (weights @ self._rows)}


def ndcg_per_user(labels: Labels, p_yes: Floats, user: Ints) -> Floats:
    """Return nDCG@10 of each user's rows, ranked by P(Yes), shape ``(users,)``; NaN for one label.

    A liked item at rank ``i``, from 1, gains ``1 / log2(i + 1)``; the sum is divided by that of the
    best order (Järvelin and Kekäläinen 2002, https://doi.org/10.1145/582415.582418). Tied rows
    share the mean gain of their ranks, the expectation over all their orders (McSherry and Najork
    2008, https://doi.org/10.1007/978-3-540-78646-7_38).
    """
    order = np.lexsort((-p_yes, user))
    liked, p_yes, user = labels[order].astype(np.float64), p_yes[order], user[order]
    sizes = np.bincount(user)
    rank = np.arange(len(user)) - (np.cumsum(sizes) - sizes)[user]
    gain = np.where(rank < NDCG_RANKS, 1 / np.log2(rank + 2), 0.0)
    # Runs of equal P(Yes) within a user.
    begins = np.flatnonzero(
        (np.diff(user, prepend=-1) != 0) | (np.diff(p_yes, prepend=np.nan) != 0)
    )
    lengths = np.diff(begins, append=len(user))
    gained = np.add.reduceat(liked, begins) * np.add.reduceat(gain, begins) / lengths
    positives = np.bincount(user, weights=liked).astype(np.int64)
    best = np.cumsum(1 / np.log2(np.arange(NDCG_RANKS) + 2))
    ideal = best[np.clip(positives, 1, NDCG_RANKS) - 1]
    both = (positives > 0) & (positives < sizes)
    return np.where(both, np.bincount(user[begins], weights=gained) / ideal, np.nan)


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
    """Return the expected calibration error (ECE), shape ``(samples,)``; NaN without rows.

    The mean over rows of the gap between mean P(Yes) and share of Yes in the row's bin (Naeini,
    Cooper and Hauskrecht 2015, https://doi.org/10.1609/aaai.v29i1.9602).

    Args:
        gaps: :func:`calibration_gaps` summed over users, shape ``(samples, bins)``.
        rows: Shape ``(samples,)``.
    """
    with np.errstate(invalid="ignore"):
        return np.abs(gaps).sum(axis=1) / rows


def choose_threshold(labels: Labels, p_yes: Probabilities) -> float:
    """Return the threshold of highest accuracy on validation rows, as near to 0.5 as possible.

    All thresholds between two neighbouring values of P(Yes) predict the same. Of each such interval
    the candidate is 0.5 if it contains 0.5, else its midpoint; of several candidates with the
    highest accuracy the one nearest to 0.5 is chosen, of two equally near the lower. It is 0.5
    unless both labels occur.

    >>> choose_threshold(np.array([False, True]), np.array([0.625, 0.875]))
    0.75

    Raises:
        DataError: The shapes differ, or a value is not a probability.
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
