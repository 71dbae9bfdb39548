"""Evaluation: metrics with intervals over users, ablations, comparisons of scorers."""

from reeltune.evaluation.custom_metrics import CustomMetric
from reeltune.evaluation.intervals import Bootstrap, Interval, bootstrap, bootstrap_auc
from reeltune.evaluation.metrics import Metrics, choose_threshold, measure
from reeltune.evaluation.predictions import PredictionTable, read_predictions, write_predictions
from reeltune.evaluation.result import Evaluation, ScorerResult

__all__ = [
    "Bootstrap",
    "CustomMetric",
    "Evaluation",
    "Interval",
    "Metrics",
    "PredictionTable",
    "ScorerResult",
    "bootstrap",
    "bootstrap_auc",
    "choose_threshold",
    "measure",
    "read_predictions",
    "write_predictions",
]
