"""Candidates: filters on items, and how many of the matching items are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from reeltune.config.arguments import check_values
from reeltune.data.timelines import Bools, Ints
from reeltune.errors import RequestError
from reeltune.recommend.catalogue import Catalogue

DEFAULT_CANDIDATES: Final = 100
"""Number of candidates scored by default without a CUDA device.

A model of 135 million parameters scores 10 to 20 candidates a second on two cores.
"""

ALL: Final = "all"
CandidateCount = PositiveInt | Literal["all"]


@dataclass(frozen=True)
class Filters:
    """Conditions on an item; the defaults match every item.

    Attributes:
        genres: It has at least one of these; case is ignored.
        without_genres: It has none of these.
        year_from: First year; this and ``year_to`` exclude items without a year.
        year_to: Last year.
        min_ratings: Fewest ratings in the prepared data.
        max_ratings: Most ratings in the prepared data.
    """

    genres: Sequence[str] = ()
    without_genres: Sequence[str] = ()
    year_from: int | None = None
    year_to: int | None = None
    min_ratings: NonNegativeInt = 0
    max_ratings: NonNegativeInt | None = None

    def __post_init__(self) -> None:
        check_values(Filters, "Filters", vars(self))
        for name in ("genres", "without_genres"):  # lists cannot be hashed
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def matching(self, catalogue: Catalogue) -> Ints:
        """Return the indices of the matching items, ascending.

        Raises:
            RequestError: No item has one of the genres.
        """
        matches = catalogue.ratings >= self.min_ratings
        if self.max_ratings is not None:
            matches = matches & (catalogue.ratings <= self.max_ratings)
        if self.genres:
            matches = matches & _has_any(catalogue, self.genres)
        if self.without_genres:
            matches = matches & ~_has_any(catalogue, self.without_genres)
        if self.year_from is not None or self.year_to is not None:
            first = -np.inf if self.year_from is None else self.year_from
            last = np.inf if self.year_to is None else self.year_to
            years = np.array([item.year for item in catalogue.items], dtype=np.float64)
            matches = matches & (years >= first) & (years <= last)
        return np.flatnonzero(matches)


def _has_any(catalogue: Catalogue, genres: Sequence[str]) -> Bools:
    known = {genre.casefold(): genre for item in catalogue.items for genre in item.genres}
    if unknown := [genre for genre in genres if genre.casefold() not in known]:
        raise RequestError(
            f"no {catalogue.words.domain.item} has the genre {unknown[0]!r}",
            code="unknown_genre",
            hint=f"Choose from {', '.join(sorted(known.values()))}"
            if known
            else "The data have no genres: leave this filter out",
        )
    wanted = {genre.casefold() for genre in genres}
    return np.array(
        [any(genre.casefold() in wanted for genre in item.genres) for item in catalogue.items]
    )


@dataclass(frozen=True)
class CandidateLimit:
    """How many candidates are scored, and why; the reason is logged."""

    count: CandidateCount
    reason: str


def default_limit(device_type: str) -> CandidateLimit:
    """Return the limit for a request that sets none, by the type of the model's device."""
    if device_type == "cuda":
        return CandidateLimit(ALL, "a CUDA device scores thousands in seconds")
    return CandidateLimit(DEFAULT_CANDIDATES, "default without a CUDA device")


@dataclass(frozen=True)
class ItemPool:
    """Items that match filters, most rated first; ties in catalogue order.

    ``size`` is the number of items in the catalogue.
    """

    items: Ints
    size: int

    @classmethod
    def most_rated_first(cls, catalogue: Catalogue, items: Ints) -> ItemPool:
        """Return a pool of items, given ascending."""
        order = np.argsort(-catalogue.ratings[items], kind="stable")
        return cls(items[order], len(catalogue.items))

    def without(self, rated: Ints) -> Ints:
        """Return the items that are not among ``rated``, most rated first."""
        keep = np.ones(self.size, dtype=np.bool_)
        keep[rated] = False
        return self.items[keep[self.items]]


def most_rated(eligible: Ints, count: CandidateCount) -> Ints:
    """Return the first ``count`` of the eligible items, ascending by index."""
    return np.sort(eligible if count == ALL else eligible[:count])
