"""Which films come into question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reeltune.errors import RequestError
from reeltune.recommend.catalogue import Catalogue

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Filters:
    """What a film must be to be judged; None or nothing at all asks for nothing.

    Attributes:
        genres: It has at least one of these, however they are capitalized.
        without_genres: It has none of these.
        year_from: The earliest year; a film without a year has none that fits.
        year_to: The latest year.
        min_ratings: It has been rated so often in the prepared data.
        max_ratings: It has been rated no more often.
    """

    genres: tuple[str, ...] = ()
    without_genres: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    min_ratings: int = 0
    max_ratings: int | None = None

    def rows(self, catalogue: Catalogue) -> Ints:
        """Return the rows of the films that fit, ascending, shape ``(n,)``.

        Raises:
            RequestError: A genre is none that any film has.
        """
        fits = catalogue.ratings >= self.min_ratings
        if self.max_ratings is not None:
            fits = fits & (catalogue.ratings <= self.max_ratings)
        if self.genres:
            fits = fits & _has_any(catalogue, self.genres)
        if self.without_genres:
            fits = fits & ~_has_any(catalogue, self.without_genres)
        if self.year_from is not None or self.year_to is not None:
            fits = fits & self._of_years(catalogue)
        return np.flatnonzero(fits)

    def _of_years(self, catalogue: Catalogue) -> npt.NDArray[np.bool_]:
        earliest = self.year_from if self.year_from is not None else -np.inf
        latest = self.year_to if self.year_to is not None else np.inf
        years = np.array([np.nan if item.year is None else item.year for item in catalogue.items])
        return (years >= earliest) & (years <= latest)


def most_rated(catalogue: Catalogue, rows: Ints, count: int | None) -> Ints:
    """Return the films most often rated, in the order of their rows.

    Args:
        catalogue: Knows how often.
        rows: The films to choose from, ascending.
        count: How many to keep; None keeps all.
    """
    if count is None or count >= len(rows):
        return rows
    order = np.argsort(-catalogue.ratings[rows], kind="stable")[:count]
    return np.sort(rows[order])


def _has_any(catalogue: Catalogue, genres: tuple[str, ...]) -> npt.NDArray[np.bool_]:
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
