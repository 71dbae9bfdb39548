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
    from reeltune.recommend.recommender import RecommendationRequest, Recommender

__all__ = [
    "Catalogue",
    "Filters",
    "ItemSummary",
    "RatedItem",
    "Reason",
    "Recommendation",
    "RecommendationRequest",
    "Recommendations",
    "Recommender",
]


def __getattr__(name: str) -> Any:
    if name in ("RecommendationRequest", "Recommender"):  # they load torch
        from reeltune.recommend import recommender

        return getattr(recommender, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
