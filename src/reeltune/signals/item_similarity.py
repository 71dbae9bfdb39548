"""Which films are alike: as others rate them, as they choose them, and by what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from reeltune.data.folder import Timelines
from reeltune.domain import Item
from reeltune.seeds import sample_rows
from reeltune.signals.genres import genre_table
from reeltune.signals.gp_hyperparameters import GPHyperparameters
from reeltune.signals.item_statistics import ITEM_PRIOR, ItemStatistics
from reeltune.signals.target import gp_target
from reeltune.signals.user_features import USER_PRIOR

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MAX_USERS: Final = 10_000
"""Users who are asked which films are alike, drawn where there are more: what a likeness costs
grows with them. What a film is worth by itself, all users say."""

_SEED: Final = 0
"""Who is asked belongs to the data, not to a run."""

_RATERS_PRIOR: Final = 20.0
"""Users without an opinion who are added to those who rated a film."""

_USUAL_FAME: Final = 3.0
"""The logarithm of how many ratings a film has that is neither known nor unknown: 19 of them."""

_GRID: Final = 2.0**20
"""Features lie on a grid of this many steps to one: float64 adds their products without error, so
that a likeness is the same whatever films it is computed beside."""


@dataclass(frozen=True)
class ItemSimilarity:
    """All films, as those see them who ask none of one part of the users.

    Attributes:
        mean: The outcome to expect of each without knowing the user, shape ``(films,)``.
        inverse_count: 1 / (ratings of each + :data:`ITEM_PRIOR`), shape ``(films,)``.
        years: The year of each, shape ``(films,)``.
        features: By name of their weight, what makes films alike: their products are likenesses.
            Each has shape ``(films, features)``, float32.
    """

    mean: Floats
    inverse_count: Floats
    years: Floats
    features: dict[str, csr_array]

    def covariance(self, hyperparameters: GPHyperparameters, items: Ints) -> Floats:
        """Return how alike some films are to each other, shape ``(n, n)``.

        Args:
            hyperparameters: How much each reason weighs.
            items: Film rows, shape ``(n,)``.
        """
        years, which = np.unique(self.years[items], return_inverse=True)
        total = _near(hyperparameters, years, years)[np.ix_(which, which)]
        for name, features in self.features.items():
            own = features[items].astype(np.float64).toarray()
            total += getattr(hyperparameters, name) * (own @ own.T)
        return total

    def weighted_covariance(
        self, hyperparameters: GPHyperparameters, candidates: Ints, items: Ints, weights: Floats
    ) -> Floats:
        """Return the sum over films of how alike each candidate is to it, times its pull.

        Args:
            hyperparameters: How much each reason weighs.
            candidates: Film rows, shape ``(m,)``.
            items: Film rows, shape ``(n,)``.
            weights: Of each of the films, shape ``(n,)``.

        Returns:
            Shape ``(m,)``.
        """
        total = _near(hyperparameters, self.years[candidates], self.years[items]) @ weights
        for name, features in self.features.items():
            own = features[items].astype(np.float64).T @ weights
            total += getattr(hyperparameters, name) * (features[candidates] @ own)
        return total


class ItemSimilarities:
    """Makes, and keeps, the likeness of films that each part of the users sees.

    Args:
        known: All events.
        ratings: Those whose stars may be learned from.
        fold: The fold of each event's user.
        statistics: Of each film without the users of one fold, shape ``(FOLDS + 1, films)``.
        items: All films.
    """

    def __init__(
        self,
        known: Timelines,
        ratings: Ints,
        fold: Ints,
        statistics: ItemStatistics,
        items: Sequence[Item],
    ) -> None:
        users, who = np.unique(known.user_id[ratings], return_inverse=True)
        drawn = sample_rows(len(users), MAX_USERS, _SEED, "users asked which films are alike")
        if len(drawn) < len(users):
            row = np.full(len(users), len(drawn))
            row[drawn] = np.arange(len(drawn))
            kept = row[who] < len(drawn)
            ratings, who = ratings[kept], row[who][kept]
        self._item, self._who = known.item_idx[ratings], who
        self._target = gp_target(known.rating[ratings], known.liked[ratings])
        self._fold = fold[ratings]
        self._shape = (len(items), len(drawn))
        self._statistics = statistics
        self._years = _years(items)
        genres = genre_table(items)
        self._genres = genres / np.sqrt(np.maximum(genres.sum(1, keepdims=True), 1))
        self._made: dict[int, ItemSimilarity] = {}

    def of_fold(self, fold: int) -> ItemSimilarity:
        """Return what those see who ask none of one part; ``FOLDS`` asks all."""
        if fold not in self._made:
            self._made[fold] = self._make(fold)
        return self._made[fold]

    def _make(self, fold: int) -> ItemSimilarity:
        statistics = self._statistics.take(fold)
        mean = gp_target(statistics.rating, statistics.like_rate)
        rating_similarity, co_occurrence = self._rating_features(mean, self._fold != fold)
        features = {
            "rating_similarity": rating_similarity,
            "co_occurrence": co_occurrence,
            "genres": self._genres,
            "popularity": (np.log1p(statistics.count) - _USUAL_FAME)[:, None],
            "mean_rating": (mean - gp_target(statistics.any_rating, statistics.any_like))[:, None],
        }
        return ItemSimilarity(
            mean=mean,
            inverse_count=1 / (statistics.asked + ITEM_PRIOR),
            years=self._years,
            features={name: _on_grid(csr_array(values)) for name, values in features.items()},
        )

    def _rating_features(
        self, mean: Floats, asked: npt.NDArray[np.bool_]
    ) -> tuple[csr_array, csr_array]:
        """Return what each user said of each film above its mean and their own, and who did."""
        above = self._target - mean[self._item]
        weight = np.bincount(self._who) + USER_PRIOR
        above -= (np.bincount(self._who, above) / weight)[self._who]
        item, cells = self._item[asked], (self._item[asked], self._who[asked])
        count = np.bincount(item, minlength=self._shape[0])
        scale = (1 / np.sqrt(count + _RATERS_PRIOR)).astype(np.float32)[item]
        residual = above[asked].astype(np.float32) * scale
        return csr_array((residual, cells), self._shape), csr_array((scale, cells), self._shape)


def _near(hyperparameters: GPHyperparameters, years: Floats, others: Floats) -> Floats:
    """Return how alike films of some years are to films of others, for that alone."""
    apart = np.abs(np.subtract.outer(years, others))
    return hyperparameters.years * np.exp(-apart / hyperparameters.years_length)


def _on_grid(features: csr_array) -> csr_array:
    """Return values below 16 on the grid, where float32 still has room for them."""
    steps = np.rint(features.data.astype(np.float32) * np.float32(_GRID)) / np.float32(_GRID)
    return csr_array((steps, features.indices, features.indptr), features.shape)


def _years(items: Sequence[Item]) -> Floats:
    """Return the year of each film; films without one stand in the middle."""
    known = [item.year for item in items if item.year is not None]
    middle = float(np.median(known)) if known else 0.0
    years = [middle if item.year is None else float(item.year) for item in items]
    return np.array(years, dtype=np.float64)
