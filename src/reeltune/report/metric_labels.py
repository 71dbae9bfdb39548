"""Labels of the metrics in the report, with direction and the reason why one is undefined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reeltune.evaluation.metrics import METRICS
from reeltune.evaluation.result import ScorerResult

ONE_LABEL: Final = "all rows have one label"
NOT_MEASURED: Final = "not measured"

_NO_USER: Final = "no user has rows with both labels"
_NO_ROWS: Final = "no rows"
_NO_YES: Final = "neither a true nor a predicted Yes"

_ECE: Final = (
    "Expected calibration error: mean gap between P(Yes) and share of Yes over bins of P(Yes)."
)
_CHOSEN: Final = "at the threshold chosen on validation rows."
_NDCG: Final = "How high the liked items rank among each user's rows, first ten; 1 is perfect."


@dataclass(frozen=True)
class MetricLabel:
    """One column of the table of scorers.

    Attributes:
        key: As in the results.
        label: In the report.
        higher_is_better: The direction; None if unknown.
        undefined: The reason for a missing value.
        about: Its definition in one sentence.
        has_interval: False for the ECE: it sums absolute gaps, so the chance in each bootstrap
            sample adds to it, and the samples are above the value.
    """

    key: str
    label: str
    higher_is_better: bool | None
    undefined: str
    about: str
    has_interval: bool = True

    @property
    def better(self) -> str:
        """The direction in words."""
        if self.higher_is_better is None:
            return "custom metric"
        return "higher is better" if self.higher_is_better else "lower is better"

    def reason(self, metrics: Mapping[str, object]) -> str:
        """Return why these metrics lack this one."""
        return self.undefined if self.key in metrics else NOT_MEASURED


AUC: Final = MetricLabel(
    "auc", "AUC", True, ONE_LABEL, "Chance that a random Yes row has a higher P(Yes) than a No row."
)
AUC_PER_USER: Final = MetricLabel(
    "auc_per_user_mean", "AUC per user", True, _NO_USER, "Mean over users of the AUC of their rows."
)
METRIC_LABELS: Final = (
    AUC,
    AUC_PER_USER,
    MetricLabel("log_loss", "Log loss", False, _NO_ROWS, "Mean cross-entropy in nats."),
    MetricLabel("brier", "Brier", False, _NO_ROWS, "Mean squared error of P(Yes)."),
    MetricLabel("ece", "ECE", False, _NO_ROWS, _ECE, has_interval=False),
    MetricLabel("accuracy_chosen", "Accuracy", True, _NO_ROWS, f"Share of right answers {_CHOSEN}"),
    MetricLabel("f1_chosen", "F1", True, _NO_YES, f"F1 of the answer Yes {_CHOSEN}"),
    MetricLabel("ndcg_at_10", "NDCG@10", True, _NO_USER, _NDCG),
)


def measured(scorers: list[ScorerResult]) -> list[MetricLabel]:
    """Return the metrics that were measured for at least one scorer, defined or not.

    Custom metrics follow the others, under their names.
    """
    keys = dict.fromkeys(key for scorer in scorers for key in scorer.metrics)
    custom = [
        MetricLabel(key, key, None, "the metric returned NaN", "Defined by the caller.")
        for key in keys
        if key not in METRICS
    ]
    return [*(metric for metric in METRIC_LABELS if metric.key in keys), *custom]
