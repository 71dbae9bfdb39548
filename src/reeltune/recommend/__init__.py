"""Recommend items of a catalogue: filters, candidates, ranking, base comparison, explanations."""

from typing import TYPE_CHECKING, Any

from reeltune.recommend.candidates import Filters
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.results import (
    ItemSummary,
    RatedItem,
    Reason,
    Recommendation,
    Recommendations,
)

if TYPE_CHECKING:
    from reeltune.recommend.pipeline import RecommendationPipeline, RecommendationRequest

__all__ = [
    "Catalogue",
    "Filters",
    "ItemSummary",
    "RatedItem",
    "Reason",
    "Recommendation",
    "RecommendationPipeline",
    "RecommendationRequest",
    "Recommendations",
]


def __getattr__(name: str) -> Any:
    if name in ("RecommendationRequest", "RecommendationPipeline"):  # they load torch
        from reeltune.recommend import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
