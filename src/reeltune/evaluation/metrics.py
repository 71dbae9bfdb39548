"""What the verdicts are worth: pure functions of labels and P(Yes).

Undefined values are None, never a stand-in: an AUC of rows that all have one label does not exist.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from reeltune.errors import DataError

Labels = npt.NDArray[np.bool_]
Probabilities = npt.NDArray[np.floating[Any]]

THRESHOLD = 0.5
"""P(Yes) from which a verdict reads Yes."""


@dataclass(frozen=True)
class Metrics:
    """One scorer on one set of rows.

    Attributes:
        rows: How many rows were scored.
        positive_rate: Share of rows whose true answer is Yes.
        majority_rate: Accuracy of always giving the more frequent answer; read accuracy beside it.
        auc: Area under the ROC curve over all rows; None unless both labels occur.
        auc_per_user_mean: Mean of the AUC within each user's rows, over users with both labels.
        users_scored: Users that mean is over.
        users_skipped: Users whose rows all have one label.
        accuracy: Share of rows where P(Yes) >= 0.5 agrees with the label.
        f1: F1 of the Yes class at 0.5; 0 when nothing is rightly called Yes but something should
            be, None when there is neither a true nor a predicted Yes.
        log_loss: Mean negative log-likelihood in nats.
        brier: Mean squared difference of P(Yes) and the label.
        yes_rate: Share of rows with the verdict Yes.
    """

    rows: int
    positive_rate: float | None
    majority_rate: float | None
    auc: float | None
    auc_per_user_mean: float | None
    users_scored: int
    users_skipped: int
    accuracy: float | None
    f1: float | None
    log_loss: float | None
    brier: float | None
    yes_rate: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as plain values for JSON."""
        return asdict(self)


def measure(labels: Labels, p_yes: Probabilities, user_id: npt.NDArray[np.int64]) -> Metrics:
    """Compute every metric.

    Args:
        labels: True where the answer is Yes, shape ``(n,)``.
        p_yes: P(Yes), shape ``(n,)``.
        user_id: Whose row it is, shape ``(n,)``.

    Raises:
        DataError: A probability is missing or outside 0 to 1.
    """
    if len(labels) == 0:
        return Metrics(0, None, None, None, None, 0, 0, None, None, None, None, None)
    if not (np.isfinite(p_yes).all() and (p_yes >= 0).all() and (p_yes <= 1).all()):
        bad = int(np.flatnonzero(~(np.isfinite(p_yes) & (p_yes >= 0) & (p_yes <= 1)))[0])
        raise DataError(f"{p_yes[bad]} is not a probability", where=f"verdict of row {bad}")
    said_yes = p_yes >= THRESHOLD
    positive_rate = float(labels.mean())
    per_user = auc_per_user(labels, p_yes, user_id)
    defined = per_user[~np.isnan(per_user)]
    return Metrics(
        rows=len(labels),
        positive_rate=positive_rate,
        majority_rate=max(positive_rate, 1 - positive_rate),
        auc=float(roc_auc_score(labels, p_yes)) if 0 < positive_rate < 1 else None,
        auc_per_user_mean=float(defined.mean()) if len(defined) else None,
        users_scored=len(defined),
        users_skipped=len(per_user) - len(defined),
        accuracy=float(accuracy_score(labels, said_yes)),
        f1=float(f1_score(labels, said_yes)) if (labels | said_yes).any() else None,
        log_loss=float(log_loss(labels, p_yes, labels=[False, True])),
        brier=float(brier_score_loss(labels, p_yes)),
        yes_rate=float(said_yes.mean()),
    )


def auc_per_user(
    labels: Labels, p_yes: Probabilities, user_id: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the AUC within each user's rows, users in ascending order; NaN with one label only.

    The AUC is the Mann-Whitney statistic on average ranks, so ties count one half (Hanley and
    McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747).
    """
    users, group = np.unique(user_id, return_inverse=True)
    # Ranks within groups: shift every group's scores apart by more than their range, rank once.
    # Ranking first keeps ties exact, which adding an offset to the scores themselves would not.
    order = rankdata(p_yes, method="dense")
    rank = rankdata(group * (order.max() + 1.0) + order, method="average")
    sizes = np.bincount(group)
    rank -= (np.cumsum(sizes) - sizes)[group]
    positives = np.bincount(group, weights=labels, minlength=len(users))
    negatives = sizes - positives
    rank_sum = np.bincount(group, weights=rank * labels, minlength=len(users))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)
