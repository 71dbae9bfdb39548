"""Filters on the items that may be recommended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reeltune.errors import RequestError
from reeltune.recommend.catalogue import Catalogue

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Filters:
    """Conditions on an item; the defaults match every item.

    Attributes:
        genres: It has at least one of these; case is ignored.
        without_genres: It has none of these.
        year_from: First year; excludes items without a year.
        year_to: Last year; excludes items without a year.
        min_ratings: Fewest ratings in the prepared data.
        max_ratings: Most ratings in the prepared data.
    """

    genres: tuple[str, ...] = ()
    without_genres: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    min_ratings: int = 0
    max_ratings: int | None = None

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
            matches = matches & self._in_years(catalogue)
        return np.flatnonzero(matches)

    def _in_years(self, catalogue: Catalogue) -> Bools:
        first = self.year_from if self.year_from is not None else -np.inf
        last = self.year_to if self.year_to is not None else np.inf
        years = np.array([np.nan if item.year is None else item.year for item in catalogue.items])
        return (years >= first) & (years <= last)


def _has_any(catalogue: Catalogue, genres: tuple[str, ...]) -> Bools:
    known = {genre.casefold(): genre for item in catalogue.items for genre in item.genres}
    unknown = [genre for genre in genres if genre.casefold() not in known]
    if unknown:
        raise RequestError(
            f"no film has the genre {unknown[0]!r}",
            code="unknown_genre",
            hint=f"Choose from {', '.join(sorted(known.values()))}",
        )
    wanted = {genre.casefold() for genre in genres}
    return np.array(
        [any(genre.casefold() in wanted for genre in item.genres) for item in catalogue.items]
    )
