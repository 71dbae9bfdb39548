"""Predictions: the logits of Yes and No, and the P(Yes) they amount to."""

from reeltune.scoring.scorer import Verdicts as Predictions

__all__ = ["Predictions"]
