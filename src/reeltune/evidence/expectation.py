"""What to expect of a user and a film: one Gaussian process along each user's timeline.

What a user says of a film above its mean is taken as a sum of parts. Each part is alike between two
events for a reason of its own: they are near in the timeline, other users rate both films alike,
the same users rate both, they share genres or years, they are equally known or praised. The
expectation of an event is the mean of that process given all earlier events of the user: Rasmussen
and Williams (2006), chapter 2, https://gaussianprocess.org/gpml/.

How much each part weighs is what makes ratings most likely. ``benchmarks.fit_expectation`` finds it
on training ratings alone. The weights in use were fitted before there was that command, on the
whole timelines of 150 users; docs/experiments/evidence.md has both side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular

from reeltune.data.folder import Timelines
from reeltune.errors import ConfigError
from reeltune.evidence.film_view import FILM_PRIOR, FilmView
from reeltune.evidence.genres import genre_table
from reeltune.evidence.taste import USER_PRIOR
from reeltune.prompts.renderer import Film

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MOST_CELLS: Final = 200_000_000
"""Users times films, at most: of their ratings whole tables are made, of 8 bytes each."""

_RATERS_PRIOR: Final = 20.0
"""Users without an opinion who are added to those who rated a film."""

_USUAL_FAME: Final = 3.0
"""The logarithm of how many ratings a film has that is neither known nor unknown: 19 of them."""

_HALF_A_STAR: Final = 0.5
"""The next step below the threshold, on MovieLens' scale since 2003."""

_SPREAD: Final = 0.4
"""How far above the middle between likes and the rest an outcome lies whose odds are e to 1."""

_GRID: Final = 2.0**20
"""Features lie on a grid of this many steps to one: float64 adds their products without error, so
that a likeness is the same whatever films it is computed beside."""


@dataclass(frozen=True)
class Weights:
    """How much each part varies, in units of the outcome squared, and how far it reaches.

    Attributes:
        mood: What lasts for many events in a row.
        mood_length: After so many events 37 % of it is left.
        moment: What lasts for a few.
        moment_length: After so many events 37 % of it is left.
        tastes: Films that others rate alike.
        raters: Films that the same users have rated.
        genres: Films of the same genres.
        years: Films of about the same year.
        years_length: After so many years 37 % of it is left.
        fame: Films about as well known.
        praise: Films with about the same mean.
        noise: What is peculiar to one event.
        doubt: What the mean of a film may be wrong by, times the ratings it rests on.
    """

    mood: float = 0.0542
    mood_length: float = 67.6
    moment: float = 0.0879
    moment_length: float = 0.873
    tastes: float = 0.1853
    raters: float = 0.2685
    genres: float = 0.0377
    years: float = 0.1098
    years_length: float = 70.6
    fame: float = 0.0028
    praise: float = 0.1704
    noise: float = 0.2231
    doubt: float = 2.0415


WEIGHTS: Final = Weights()


def outcome(stars: npt.NDArray[Any], like: npt.NDArray[Any]) -> Floats:
    """Return what is expected: half the stars, and 1 more for a like.

    Stars alone would ask as much about the step from 1 to 2 as about the one that decides; a like
    alone forgets by how much.

    Args:
        stars: Of each event, or means of them.
        like: Whether each is a like, or shares of likes; the same shape.
    """
    return stars.astype(np.float64) / 2 + like


def chance(expected: Floats, threshold: float) -> Floats:
    """Return how likely a like is, given the outcome to expect; any shape.

    Args:
        expected: The outcome to expect.
        threshold: Stars from which a film counts as liked.
    """
    least_liked, most_disliked = threshold / 2 + 1, (threshold - _HALF_A_STAR) / 2
    middle = (least_liked + most_disliked) / 2
    return 1 / (1 + np.exp((middle - expected) / _SPREAD))


class Expectation:
    """What to expect, from training ratings and from the user's own earlier events.

    Args:
        known: All events.
        ratings: Those whose stars may be learned from.
        part: The part of each event's user.
        views: All films as those see them who ask none of one part, shape ``(FOLDS + 1, films)``.
        films: All films.

    Attributes:
        weights: How much each part of the process weighs.

    Raises:
        ConfigError: There are too many users and films.
    """

    def __init__(
        self,
        known: Timelines,
        ratings: Ints,
        part: Ints,
        views: FilmView,
        films: Sequence[Film],
    ) -> None:
        users, who = np.unique(known.user_id[ratings], return_inverse=True)
        if len(users) * len(films) > MOST_CELLS:
            raise ConfigError(
                f"{len(users)} users and {len(films)} films are too many to compare all films",
                where="prompt.evidence",
                mend="Leave expected out: film, user and recent can be told of any edition",
            )
        self.weights = WEIGHTS
        self._film, self._who = known.film_row[ratings], who
        self._outcome = outcome(known.stars, known.liked)[ratings]
        self._user_part = np.zeros(len(users), dtype=np.int64)
        self._user_part[who] = part[ratings]
        self._views = views
        genres = genre_table(films)
        self._genres = genres / np.sqrt(np.maximum(genres.sum(1, keepdims=True), 1))
        self._years = _years(films)
        # A table may take 2 GB; small ones are all kept.
        self._most_tables = max(1, MOST_CELLS // max(1, len(users) * len(films)))
        self._tables: dict[int, _Table] = {}

    def along(self, part: int, film_row: Ints, outcomes: Floats) -> Floats:
        """Return the outcome to expect of each event of one user, from all earlier ones.

        Args:
            part: The part of the users that is not asked; ``FOLDS`` for none.
            film_row: The user's films in order, shape ``(n,)``.
            outcomes: What came of them, shape ``(n,)``.
        """
        table = self._table(part)
        root, news = self._news(table, film_row, outcomes)
        return table.mean[film_row] + np.tril(root, -1) @ news

    def after(self, part: int, film_row: Ints, outcomes: Floats, candidates: Ints) -> Floats:
        """Return the outcome to expect of some films after all events of one user.

        Args:
            part: As for :meth:`along`.
            film_row: The user's films in order, shape ``(n,)``.
            outcomes: What came of them, shape ``(n,)``.
            candidates: Film rows, shape ``(m,)``.

        Returns:
            Shape ``(m,)``.
        """
        table, weights = self._table(part), self.weights
        found = table.mean[candidates]
        if len(film_row) == 0:
            return found
        root = self._root(table, film_row)
        pull = cho_solve((root, True), outcomes - table.mean[film_row])
        for name, features in table.features.items():
            own = features[film_row].T.astype(np.float64) @ pull
            found = found + getattr(weights, name) * (features[candidates] @ own)
        ago = len(film_row) - np.arange(len(film_row))
        return found + self._near_years(candidates, film_row) @ pull + self._near(ago) @ pull

    def surprise(self, part: int, film_row: Ints, outcomes: Floats) -> float:
        """Return the negative logarithm of how likely one user's outcomes are, all together.

        Args:
            part: As for :meth:`along`.
            film_row: The user's films in order, shape ``(n,)``.
            outcomes: What came of them, shape ``(n,)``.
        """
        root, news = self._news(self._table(part), film_row, outcomes)
        volume = np.log(np.diag(root)).sum() + len(film_row) * np.log(2 * np.pi) / 2
        return float(news @ news / 2 + volume)

    def reweighted(self, weights: Weights) -> Expectation:
        """Return the same with other weights; what it is made of is shared."""
        other = copy(self)
        other.weights = weights
        return other

    def _news(self, table: _Table, film_row: Ints, outcomes: Floats) -> tuple[Floats, Floats]:
        """Return :meth:`_root`, and what each outcome tells that no earlier one did, ``(n,)``."""
        root = self._root(table, film_row)
        return root, solve_triangular(root, outcomes - table.mean[film_row], lower=True)

    def _root(self, table: _Table, film_row: Ints) -> Floats:
        """Return the lower Cholesky factor of the covariance of a user's events, ``(n, n)``."""
        place = np.arange(len(film_row))
        covariance = self._near(np.abs(np.subtract.outer(place, place)))
        covariance += self._near_years(film_row, film_row)
        for name, features in table.features.items():
            own = features[film_row].astype(np.float64)
            covariance += getattr(self.weights, name) * (own @ own.T)
        covariance[place, place] += self.weights.noise + self.weights.doubt * table.doubt[film_row]
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)

    def _near(self, events: Ints) -> Floats:
        """Return the covariance of events so many events apart."""
        weights = self.weights
        mood = weights.mood * np.exp(-events / weights.mood_length)
        return mood + weights.moment * np.exp(-events / weights.moment_length)

    def _near_years(self, films: Ints, others: Ints) -> Floats:
        apart = np.abs(np.subtract.outer(self._years[films], self._years[others]))
        return self.weights.years * np.exp(-apart / self.weights.years_length)

    def _table(self, part: int) -> _Table:
        if part not in self._tables:
            if len(self._tables) >= self._most_tables:
                del self._tables[next(iter(self._tables))]
            self._tables[part] = self._make(part)
        return self._tables[part]

    def _make(self, part: int) -> _Table:
        view = self._views.take(part)
        mean = outcome(view.stars, view.like_rate)
        above = self._outcome - mean[self._film]
        weight = np.bincount(self._who) + USER_PRIOR
        above -= (np.bincount(self._who, above) / weight)[self._who]
        asked = self._user_part[self._who] != part
        cells = self._film[asked], self._who[asked]
        tastes, raters = (
            np.zeros((len(mean), len(self._user_part)), dtype=np.float32) for _ in range(2)
        )
        tastes[cells], raters[cells] = above[asked], 1
        count = raters.sum(1, dtype=np.float64)
        scale = (1 / np.sqrt(count + _RATERS_PRIOR))[:, None].astype(np.float32)
        tastes *= scale
        raters *= scale
        features = {
            "tastes": tastes,
            "raters": raters,
            "genres": self._genres,
            "fame": (np.log1p(view.count) - _USUAL_FAME)[:, None],
            "praise": (mean - outcome(view.any_stars, view.any_like))[:, None],
        }
        on_grid = {name: _on_grid(values) for name, values in features.items()}
        return _Table(mean, 1 / (count + FILM_PRIOR), on_grid)


@dataclass(frozen=True)
class _Table:
    """All films, as those see them who ask none of one part of the users.

    Attributes:
        mean: The outcome to expect of each without knowing the user, shape ``(films,)``.
        doubt: 1 divided by how many ratings that rests on, with those of the average film that are
            added to them, shape ``(films,)``.
        features: By name of their weight, what makes films alike: their products are likenesses.
            Each has shape ``(films, features)``.
    """

    mean: Floats
    doubt: Floats
    features: dict[str, npt.NDArray[np.float32]]


def _on_grid(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return values below 16 on the grid, where float32 still has room for them."""
    steps = values.astype(np.float32)
    steps *= _GRID
    np.rint(steps, out=steps)
    steps /= _GRID
    return steps


def _years(films: Sequence[Film]) -> Floats:
    """Return the year of each film; films without one stand in the middle."""
    known = [film.year for film in films if film.year is not None]
    middle = float(np.median(known)) if known else 0.0
    years = [middle if film.year is None else float(film.year) for film in films]
    return np.array(years, dtype=np.float64)
