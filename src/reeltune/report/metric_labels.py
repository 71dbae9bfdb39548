"""The metrics the report shows: their names for people, which way is better, when they are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reeltune.evaluation.result import ScorerResult

ONE_LABEL: Final = "all rows have one label"
NOT_MEASURED: Final = "not measured"

_NO_USER: Final = "no user has rows with both labels"
_NO_ROWS: Final = "no rows"


@dataclass(frozen=True)
class MetricLabel:
    """One column of the table of scorers.

    Attributes:
        key: As in the results.
        label: For people.
        higher_is_better: Whether a larger value is the better one.
        undefined: Why there may be no value.
        about: What it is, in one sentence.
        has_interval: Whether draws of users tell how far it would move. An expected calibration
            error is a sum of absolute gaps: it grows in every draw, by as much as there is chance
            in the bins, so draws lie above it and differences of two say little.
    """

    key: str
    label: str
    higher_is_better: bool
    undefined: str
    about: str
    has_interval: bool = True

    @property
    def better(self) -> str:
        """Which way is better, in words."""
        return "higher is better" if self.higher_is_better else "lower is better"


AUC: Final = MetricLabel(
    "auc",
    "AUC",
    True,
    ONE_LABEL,
    "The chance that a random Yes row has a higher P(Yes) than a random No row; 0.5 is guessing.",
)

AUC_PER_USER: Final = MetricLabel(
    "auc_per_user_mean",
    "AUC per user",
    True,
    _NO_USER,
    "The same within each user's rows, then the mean over users: choosing for one person.",
)

METRIC_LABELS: Final = (
    AUC,
    AUC_PER_USER,
    MetricLabel(
        "log_loss",
        "Log loss",
        False,
        _NO_ROWS,
        "Mean of minus the log of the probability given to the true answer, in nats.",
    ),
    MetricLabel(
        "brier", "Brier", False, _NO_ROWS, "Mean squared difference of P(Yes) and the answer."
    ),
    MetricLabel(
        "ece",
        "ECE",
        False,
        _NO_ROWS,
        "Expected calibration error: how far P(Yes) is from the share of Yes, over bins of P(Yes).",
        has_interval=False,
    ),
    MetricLabel(
        "accuracy_chosen",
        "Accuracy",
        True,
        _NO_ROWS,
        "Share of rows answered rightly at the threshold chosen on validation rows.",
    ),
    MetricLabel(
        "f1_chosen",
        "F1",
        True,
        "neither a true nor a predicted Yes",
        "F1 of the answer Yes at the threshold chosen on validation rows.",
    ),
    MetricLabel(
        "ndcg_at_10",
        "NDCG@10",
        True,
        _NO_USER,
        "How near the top of each user's rows the liked films are, first ten places; 1 is perfect.",
    ),
)


def measured(scorers: list[ScorerResult]) -> list[MetricLabel]:
    """Return the metrics at least one scorer was measured by, defined or not."""
    return [metric for metric in METRIC_LABELS if any(metric.key in s.metrics for s in scorers)]
