"""Predict P(Yes): the scorer, queries and their predictions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reeltune.scoring.predictions import Predictions as Predictions
    from reeltune.scoring.predictor import Predictor as Predictor
    from reeltune.scoring.predictor import Query as Query
    from reeltune.scoring.scorer import Scorer as Scorer

_MODULES = {
    "Predictions": "predictions",
    "Predictor": "predictor",
    "Query": "predictor",
    "Scorer": "scorer",
}
__all__ = ["Predictions", "Predictor", "Query", "Scorer"]


def __getattr__(name: str) -> object:
    """Import the public names on first use: some of them load torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
