"""Results of a request; the command line, the Python API, the HTTP service and files share them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class JsonObject:
    """Base of the result types."""

    def to_dict(self: DataclassInstance) -> dict[str, Any]:
        """Return the JSON object, with the names of the fields."""
        return json.loads(json.dumps(asdict(self)))


@dataclass(frozen=True)
class ItemSummary(JsonObject):
    """An item of the catalogue; ``ratings`` counts its ratings in the prepared data."""

    item_id: int | str
    title: str
    year: int | None
    genres: tuple[str, ...]
    ratings: int


@dataclass(frozen=True)
class RatedItem(JsonObject):
    """An item with the rating it was given."""

    item: ItemSummary
    rating: float


@dataclass(frozen=True)
class Reason(JsonObject):
    """A rating of the history; its effect is P(like) with it minus P(like) without it."""

    item: ItemSummary
    rating: float
    effect: float


@dataclass(frozen=True)
class Recommendation(JsonObject):
    """A recommended item with its P(like), that of the base model if requested, and reasons."""

    item: ItemSummary
    p_like: float
    p_like_base: float | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Recommendations(JsonObject):
    """The response to a request.

    Attributes:
        recommendations: Highest P(like) first; reasons with the strongest effect first.
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
