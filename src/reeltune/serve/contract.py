"""What requests and answers look like as JSON, and the checks that need no data."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from reeltune.domain import HALF_STARS

MOST_QUERY: Final = 200
"""How many characters a search may have."""

MOST_FOUND: Final = 50
"""How many films a search may return."""

MOST_WHY: Final = 5
"""How many ratings may be named for one recommendation."""

ItemId = Annotated[int, Field(ge=0, lt=2**53, description="A film's MovieLens id.")]
Chance = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Year = Annotated[int, Field(ge=0, lt=10_000)]
Genres = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100)]


class Asked(BaseModel):
    """Base of what is asked: an unknown field, and a value of another type, is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Told(BaseModel):
    """Base of what is told."""

    model_config = ConfigDict(frozen=True)


class Rated(Asked):
    """A film somebody has rated."""

    item_id: ItemId
    rating: Annotated[
        float, Field(ge=HALF_STARS.min, le=HALF_STARS.max, multiple_of=HALF_STARS.step)
    ]


class VerdictsRequest(Asked):
    """Will somebody who has rated these films like those?"""

    rated: Annotated[list[Rated], Field(description="Oldest first.")]
    item_ids: Annotated[list[ItemId], Field(description="The films to judge.")]
    base: Annotated[bool, Field(description="Ask the base model, without the adapter, too.")] = (
        False
    )


class ItemFilters(Asked):
    """What a film must be to be judged."""

    genres: Annotated[Genres, Field(description="It has at least one of these.")] = []
    without_genres: Annotated[Genres, Field(description="It has none of these.")] = []
    year_from: Year | None = None
    year_to: Year | None = None
    min_ratings: Annotated[Count, Field(description="It has been rated so often.")] = 0
    max_ratings: Count | None = None


class RecommendationsRequest(Asked):
    """Which films will somebody who has rated these like best?"""

    rated: Annotated[list[Rated], Field(description="Oldest first; these are left out.")]
    top: Annotated[int, Field(ge=1, description="How many films to return.")] = 10
    base: Annotated[bool, Field(description="Ask the base model, without the adapter, too.")] = (
        False
    )
    why: Annotated[
        int,
        Field(ge=0, le=MOST_WHY, description="How many ratings to name for each film returned."),
    ] = 0
    candidates: Annotated[
        int | None,
        Field(ge=1, description="Only so many of the most rated films are judged."),
    ] = None
    filters: ItemFilters = ItemFilters()


class ItemTold(Told):
    """A film."""

    id: int
    title: str
    year: int | None
    genres: list[str]
    ratings: Annotated[int, Field(description="How often it was rated in the prepared data.")]


class Items(Told):
    """Films found."""

    films: list[ItemTold]


class VerdictTold(Told):
    """The chance that somebody will like a film."""

    item_id: int
    p_like: Chance
    p_like_base: Chance | None = None


class VerdictsTold(Told):
    """Verdicts, in the order of the films asked about."""

    verdicts: list[VerdictTold]


class Reason(Told):
    """A rating and what it did to a verdict."""

    film: ItemTold
    rating: float
    moved: Annotated[float, Field(description="The chance with the rating less that without it.")]


class RecommendationTold(Told):
    """A film with its verdict and the ratings that moved it most."""

    film: ItemTold
    p_like: Chance
    p_like_base: Chance | None = None
    why: list[Reason] = []


class RecommendationsTold(Told):
    """Films, the likeliest to be liked first."""

    recommendations: list[RecommendationTold]
    judged: Annotated[int, Field(description="Films that were judged.")]
    fitting: Annotated[
        int, Field(description="Films that fit, of which the most rated are judged.")
    ]


class Scale(Told):
    """The stars that may be given."""

    min: float
    max: float
    step: float


class Limits(Told):
    """The most of each that one request may ask for."""

    candidates: int
    history: int
    top: int


class Health(Told):
    """What is being served."""

    status: str
    model: str
    tuned: bool
    data: Annotated[str, Field(description="Names these films: ids of others mean others.")]
    films: int
    history_len: Annotated[int, Field(description="How many of the newest ratings are shown.")]
    every_rating_counts: Annotated[
        bool, Field(description="Whether ratings that are not shown count in the signals.")
    ]
    scale: Scale
    genres: list[str]
    limits: Limits


class ErrorResponse(Told):
    """Why a request failed; docs/ERRORS.md lists the codes."""

    code: Annotated[str, Field(description="Stable name of the problem.")]
    message: Annotated[str, Field(description="What is wrong.")]
    where: Annotated[str | None, Field(description="The field at fault.")] = None
    hint: Annotated[str | None, Field(description="How to fix it.")] = None
