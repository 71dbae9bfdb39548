"""Which films the same users rate alike: what a user gave to those tells what to expect of one.

Item-based collaborative filtering with adjusted cosines, Sarwar et al. (2001),
https://doi.org/10.1145/371920.372071, shrunk by how many users rated both films.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.data.folder import Timelines
from reeltune.errors import ConfigError
from reeltune.evidence.film_view import FOLDS, FilmView
from reeltune.evidence.taste import USER_PRIOR

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RATERS: Final = 20.0
"""With so many users who rated both films, a likeness counts half."""

DOUBT: Final = 2.0
"""Likenesses of films without anything to say that are added to those of the user's own films."""

MOST_CELLS: Final = 200_000_000
"""Users times films, at most: of their ratings whole tables are made, of 4 bytes each."""


class Alike:
    """Likenesses of films, made of training ratings.

    Args:
        known: All events.
        ratings: Those whose stars may be learned from.
        part: The part of each event's user.
        views: All films as those see them who ask none of one part, shape ``(FOLDS + 1, films)``.

    Raises:
        ConfigError: There are too many users and films.
    """

    def __init__(self, known: Timelines, ratings: Ints, part: Ints, views: FilmView) -> None:
        users, who = np.unique(known.user_id[ratings], return_inverse=True)
        films = views.stars.shape[1]
        if len(users) * films > MOST_CELLS:
            raise ConfigError(
                f"{len(users)} users and {films} films are too many to compare all films",
                where="prompt.evidence",
                mend="Leave expected out: film, user and recent can be told of any edition",
            )
        self._film, self._who = known.film_row[ratings], who
        self._stars = known.stars[ratings].astype(np.float64)
        self._user_part = np.zeros(len(users), dtype=np.int64)
        self._user_part[who] = part[ratings]
        self._views = views
        self._tables: dict[int, _Table] = {}

    def along(self, part: int, film_row: Ints, above: Floats) -> Floats:
        """Return what earlier events add to each event of one user, in stars.

        Args:
            part: The part of the users that is not asked; ``FOLDS`` for none.
            film_row: The user's films in order, shape ``(n,)``.
            above: What the user gave more than was to be expected of film and user, shape ``(n,)``.
        """
        own = self._table(part).films(film_row)
        return _weighted(np.tril(own.likeness(own), -1), above)

    def after(self, film_row: Ints, above: Floats, candidates: Ints) -> Floats:
        """Return what all events of one user add to some films, in stars; nobody is left out.

        Args:
            film_row: The user's films, shape ``(n,)``.
            above: As for :meth:`along`.
            candidates: Film rows, shape ``(m,)``.

        Returns:
            Shape ``(m,)``.
        """
        table = self._table(FOLDS)
        return _weighted(table.films(candidates).likeness(table.films(film_row)), above)

    def _table(self, part: int) -> _Table:
        if part not in self._tables:
            # One part at a time, since a table may take 2 GB; who leaves nobody out is asked again.
            kept = {FOLDS: self._tables[FOLDS]} if FOLDS in self._tables else {}
            self._tables = kept | {part: self._make(part)}
        return self._tables[part]

    def _make(self, part: int) -> _Table:
        above = self._stars - self._views.stars[part][self._film]
        weight = np.bincount(self._who) + USER_PRIOR
        above -= (np.bincount(self._who, above) / weight)[self._who]
        asked = self._user_part[self._who] != part
        cells = self._who[asked], self._film[asked]
        shape = (len(self._user_part), self._views.stars.shape[1])
        values, rated = (np.zeros(shape, dtype=np.float32) for _ in range(2))
        values[cells], rated[cells] = above[asked], 1
        return _Table(values, rated)


@dataclass(frozen=True)
class _Table:
    """Films by the users who rated them; both arrays have shape ``(users, films)``.

    Attributes:
        values: What a user gave above what was to be expected of film and user, else 0.
        rated: 1 where a user has rated a film, else 0.
    """

    values: npt.NDArray[np.float32]
    rated: npt.NDArray[np.float32]

    def films(self, rows: Ints) -> _Table:
        """Return some of the films."""
        return _Table(self.values[:, rows], self.rated[:, rows])

    def likeness(self, other: _Table) -> Floats:
        """Return how alike films are to others, 0 to 1, shape ``(films, others)``."""
        both = self.rated.T @ other.rated
        lengths = ((self.values**2).T @ other.rated) * (self.rated.T @ other.values**2)
        cosine = (self.values.T @ other.values) / np.sqrt(np.maximum(lengths, 1e-6))
        return np.maximum(cosine * (both / (both + RATERS)), 0).astype(np.float64)


def _weighted(likeness: Floats, above: Floats) -> Floats:
    return likeness @ above / (likeness.sum(1) + DOUBT)
