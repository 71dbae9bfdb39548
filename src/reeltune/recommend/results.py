"""What the recommender returns; the command line, the HTTP service and files share these types."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ItemSummary:
    """An item of the catalogue; ``ratings`` counts its ratings in the prepared data."""

    item_id: int
    title: str
    year: int | None
    genres: tuple[str, ...]
    ratings: int


@dataclass(frozen=True)
class RatedItem:
    """An item with the rating it was given."""

    item: ItemSummary
    rating: float


@dataclass(frozen=True)
class Reason:
    """A rating of the history and its effect on a recommendation.

    Attributes:
        item: The rated item.
        rating: Its rating.
        effect: P(like) with the rating minus P(like) without it.
    """

    item: ItemSummary
    rating: float
    effect: float


@dataclass(frozen=True)
class Recommendation:
    """A recommended item.

    Attributes:
        item: The item.
        p_like: Predicted probability that the user likes it.
        p_like_base: The base model's prediction; None if not requested.
        reasons: Ratings with the strongest effects, strongest first.
    """

    item: ItemSummary
    p_like: float
    p_like_base: float | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Recommendations:
    """The answer to a request.

    Attributes:
        recommendations: Highest P(like) first.
        scored: Number of candidates that were scored.
        eligible: Number of items that match the filters and are unrated.
        notes: Warnings about the reliability of the predictions.
        history: The ratings shown to the model, oldest first.
        rated: Number of ratings in the whole history.
    """

    recommendations: tuple[Recommendation, ...]
    scored: int
    eligible: int
    notes: tuple[str, ...] = ()
    history: tuple[RatedItem, ...] = ()
    rated: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of the answer; nested objects have the names of the fields."""
        return asdict(self)
