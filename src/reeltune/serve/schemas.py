"""JSON of requests and responses, and the checks that need no data.

The responses of ``/recommendations`` are those of :mod:`reeltune.recommend.results`.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, FailFast, Field, PlainValidator

from reeltune.domain import RatingScale
from reeltune.recommend.results import ItemSummary

MAX_QUERY_LENGTH: Final = 200
MAX_ITEMS_FOUND: Final = 50
MAX_REASONS: Final = 5


def _check_item_id(given: object) -> int | str:
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise ValueError("an id is a whole number or text")
    if isinstance(given, int) and not -(2**63) <= given < 2**63:
        raise ValueError("a number of more than 64 bits is no id")
    return given


# Not a union, whose errors name a member of it beside the field.
ItemId = Annotated[
    int | str,
    PlainValidator(_check_item_id, json_schema_input_type=int | str),
    Field(description="An id of the data, as GET /items gives it."),
]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Year = Annotated[int, Field(ge=0, lt=10_000)]
Genres = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100)]
WithBase = Annotated[bool, Field(description="Also predict with the base model, without adapter.")]


class RequestModel(BaseModel):
    """Base of requests: unknown fields and values of another type are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ResponseModel(BaseModel):
    """Base of responses."""

    model_config = ConfigDict(frozen=True)


class RatedItem(RequestModel):
    """An item with its rating."""

    item_id: ItemId
    rating: Annotated[float, Field(description="On the scale that /health tells.")]


RatedItems = Annotated[list[RatedItem], FailFast()]
"""One error is enough: a body can hold a hundred thousand."""


class PredictionsRequest(RequestModel):
    """Will a user with this history like these items?"""

    history: Annotated[RatedItems, Field(description="Ratings, oldest first.")]
    item_ids: Annotated[
        list[ItemId],
        FailFast(),
        Field(description="The items to predict; one of the history, from the ratings before it."),
    ]
    base: WithBase = False


class FiltersRequest(RequestModel):
    """Conditions on the items to recommend."""

    genres: Annotated[Genres, Field(description="At least one of these genres.")] = []
    without_genres: Annotated[Genres, Field(description="None of these genres.")] = []
    year_from: Year | None = None
    year_to: Year | None = None
    min_ratings: Annotated[Count, Field(description="Fewest ratings in the prepared data.")] = 0
    max_ratings: Annotated[
        Count | None, Field(description="Most ratings in the prepared data.")
    ] = None


class RecommendationsRequest(RequestModel):
    """Which items will a user with this history like best?"""

    history: Annotated[
        RatedItems, Field(description="Ratings, oldest first; not recommended again.")
    ]
    top_k: Annotated[int, Field(ge=1, description="Number of recommendations.")] = 10
    base: WithBase = False
    reasons: Annotated[
        int, Field(ge=0, le=MAX_REASONS, description="Ratings to name per recommendation.")
    ] = 0
    candidates: Annotated[
        int | None, Field(ge=1, description="Most candidates to score, most rated first.")
    ] = None
    filters: FiltersRequest = FiltersRequest()


class ItemsResponse(ResponseModel):
    """Items found."""

    items: list[ItemSummary]


class Prediction(ResponseModel):
    """The probability that the user likes an item."""

    item_id: int | str
    p_like: Probability
    p_like_base: Probability | None = None


class PredictionsResponse(ResponseModel):
    """Predictions, in the order of the request."""

    predictions: list[Prediction]
    notes: Annotated[
        list[str], Field(description="Warnings about the reliability of the predictions.")
    ]


class LimitsResponse(ResponseModel):
    """The most of each that one request may ask for."""

    candidates: int
    history: int
    top_k: int


class SaidRating(ResponseModel):
    """A rating of the scale, and how it is said."""

    rating: float
    said: Annotated[str, Field(description='In words, such as "4.5 stars" or "8 of 10".')]
    label: Annotated[str, Field(description="Beside its item, such as 4.5 or liked.")]


class DomainResponse(ResponseModel):
    """What items and ratings are called."""

    name: str
    item: Annotated[str, Field(description="An item.")]
    items: Annotated[str, Field(description="Several items.")]
    noun: Annotated[str, Field(description="What an item is given: stars, or a rating.")]
    ratings: Annotated[list[SaidRating], Field(description="Every rating, lowest first.")]


class HealthResponse(ResponseModel):
    """What is served."""

    status: str
    model: str
    tuned: Annotated[bool, Field(description="Whether the model has an adapter.")]
    fused: Annotated[
        bool, Field(description="Whether the fusion answers, and not the model alone.")
    ]
    data: Annotated[
        str, Field(description="Identifies the data: the same ids mean other items in other data.")
    ]
    items: Annotated[int, Field(description="Number of items.")]
    history_len: Annotated[int, Field(description="How many of the newest ratings prompts show.")]
    uses_all_ratings: Annotated[
        bool, Field(description="Whether older ratings count in signals or in the fusion.")
    ]
    scale: RatingScale
    domain: DomainResponse
    genres: list[str]
    limits: LimitsResponse


class ErrorResponse(ResponseModel):
    """Why a request failed; docs/ERRORS.md lists the codes."""

    code: Annotated[str, Field(description="Stable name of the problem.")]
    message: Annotated[str, Field(description="What is wrong.")]
    where: Annotated[str | None, Field(description="The field at fault.")] = None
    hint: Annotated[str | None, Field(description="How to fix it.")] = None
