"""What the verdicts are worth: pure functions of labels, P(Yes) and users.

Undefined values are None, never a stand-in: an AUC of rows that all have one label does not exist.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reeltune.evaluation.user_sums import UserSums
from reeltune.evaluation.verdict_arrays import THRESHOLD, Labels, Probabilities, number_users

__all__ = ["THRESHOLD", "Labels", "Metrics", "Probabilities", "measure"]


@dataclass(frozen=True)
class Metrics:
    """One scorer on one set of rows; formulas are in ``docs/EVALUATION.md``.

    Attributes:
        rows: How many rows were scored.
        positive_rate: Share of rows whose true answer is Yes.
        majority_rate: Accuracy of always giving the more frequent answer; read accuracy beside it.
        auc: Area under the ROC curve over all rows; None unless both labels occur.
        auc_per_user_mean: Mean of the AUC within each user's rows, over users with both labels.
        ndcg_at_10: Mean of the nDCG of the first ten places of each user's rows, over the same
            users.
        users_scored: Users those two means are over.
        users_skipped: Users whose rows all have one label.
        accuracy: Share of rows where P(Yes) >= 0.5 agrees with the label.
        f1: F1 of the Yes class at 0.5; 0 when nothing is rightly called Yes but something should
            be, None when there is neither a true nor a predicted Yes.
        accuracy_chosen: Accuracy at the threshold chosen on validation rows; None without one.
        f1_chosen: F1 of the Yes class at that threshold; None without one, or as ``f1``.
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
    labels: Labels,
    p_yes: Probabilities,
    user_id: npt.NDArray[np.int64],
    threshold: float | None = None,
) -> Metrics:
    """Compute every metric.

    Args:
        labels: True where the answer is Yes, shape ``(n,)``.
        p_yes: P(Yes), shape ``(n,)``.
        user_id: Whose row it is, shape ``(n,)``.
        threshold: P(Yes) from which the scorer says Yes in the ``_chosen`` metrics, chosen on
            other rows with :func:`reeltune.evaluation.thresholds.choose_threshold`.

    Raises:
        DataError: There are more or fewer verdicts than labels, or one is missing or outside 0
            to 1.
    """
    sums = UserSums(labels, p_yes, number_users(user_id), threshold)
    found = {
        name: None if np.isnan(value[0]) else float(value[0])
        for name, value in sums.measured(np.ones((1, sums.users))).items()
    }
    return Metrics(
        rows=len(labels),
        users_scored=sums.users_scored,
        users_skipped=sums.users - sums.users_scored,
        **found,
    )
