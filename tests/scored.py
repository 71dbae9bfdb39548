"""Scoring a held-out split with a loaded model, as tests of training and scoring need it."""

from __future__ import annotations

from dataclasses import dataclass

from reeltune.evaluation.metrics import Metrics, measure
from reeltune.models.loaded_model import LoadedModel
from reeltune.prompts.rows import TokenRows
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.scorer import Scorer


@dataclass(frozen=True)
class Scored:
    """Rows with predictions and metrics."""

    rows: TokenRows
    predictions: Predictions
    metrics: Metrics


def score_split(loaded: LoadedModel, split: str) -> Scored:
    """Score the rows of a split, with the adapter in its present state."""
    rows = loaded.rows(split)
    predictions = Scorer.checked(loaded, rows.sequences).score(rows.sequences)
    return Scored(rows, predictions, measure(rows.liked, predictions.p_yes, rows.user_id))
