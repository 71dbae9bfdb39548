"""Similarity of items: by ratings, by who rated them, and by genre, year, popularity and mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.sparse import csr_array

from reeltune.data.timelines import Bools, Ints, Timelines
from reeltune.domain import Item
from reeltune.seeds import sample_rows
from reeltune.signals.item_statistics import FOLDS, ITEM_PRIOR, ItemStatistics
from reeltune.signals.running_statistics import Floats
from reeltune.signals.target import gp_target
from reeltune.signals.user_features import USER_PRIOR, genre_table, item_years

if TYPE_CHECKING:
    from reeltune.signals.gaussian_process import GPHyperparameters

MAX_USERS: Final = 10_000
"""Users that similarities are computed from, sampled if there are more: the cost grows with them.
The data's own users precede auxiliary ones. Item means use all users."""

_SEED: Final = 0
"""The sample belongs to the data, not to a run."""

_RATERS_PRIOR: Final = 20.0
"""Neutral users added to those who rated an item."""

_AVERAGE_POPULARITY: Final = 3.0
"""log(1 + ratings) of an item of average popularity: 19 ratings."""

_GRID: Final = 2.0**20
"""Features are rounded to this many steps per unit: float64 adds their products without error, so
a similarity does not depend on the other items in the batch."""


@dataclass(frozen=True)
class ItemSimilarity:
    """Similarities of all items, computed without the users of one fold.

    Attributes:
        mean: Mean target of each item, shape ``(items,)``.
        inverse_count: 1 / (ratings of each item + :data:`ITEM_PRIOR`), shape ``(items,)``.
        years: Year of each item, shape ``(items,)``.
        features: By hyperparameter, features whose inner products are similarities; each of shape
            ``(items, features)``, float32.
    """

    mean: Floats
    inverse_count: Floats
    years: Floats
    features: dict[str, csr_array]

    def covariance(self, hyperparameters: GPHyperparameters, items: Ints) -> Floats:
        """Return the covariance of items, shape ``(n, n)``."""
        years, which = np.unique(self.years[items], return_inverse=True)
        covariance = year_covariance(hyperparameters, years, years)[np.ix_(which, which)]
        for name, products in self.products(items):
            covariance += getattr(hyperparameters, name) * products
        return covariance

    def products(self, items: Ints) -> Iterator[tuple[str, Floats]]:
        """Yield the similarities of items by hyperparameter, each of shape ``(n, n)``."""
        for name, features in self.features.items():
            own = features[items].astype(np.float64).toarray()
            yield name, own @ own.T

    def weighted_covariance(
        self, hyperparameters: GPHyperparameters, candidates: Ints, items: Ints, weights: Floats
    ) -> Floats:
        """Return the covariance of candidates with items, times a weight of each item.

        Shapes: candidates and result ``(m,)``, items and weights ``(n,)``.
        """
        covariance = (
            year_covariance(hyperparameters, self.years[candidates], self.years[items]) @ weights
        )
        for name, features in self.features.items():
            own = features[items].astype(np.float64).T @ weights
            covariance += getattr(hyperparameters, name) * (features[candidates] @ own)
        return covariance


class ItemSimilarities:
    """Computes and caches the similarities of items without each fold.

    Args:
        known: All events.
        ratings: Events that may be learned from.
        fold: The fold of each event's user; ``FOLDS`` for auxiliary ones, whose ids are higher.
        statistics: Of each item without each fold, shape ``(FOLDS + 1, items)``.
        items: All items.
    """

    def __init__(
        self,
        known: Timelines,
        ratings: Ints,
        fold: Ints,
        statistics: ItemStatistics,
        items: Sequence[Item],
    ) -> None:
        users, user = np.unique(known.user_id[ratings], return_inverse=True)
        own = len(np.unique(user[fold[ratings] < FOLDS]))  # auxiliary users come after them
        drawn = sample_rows(own, MAX_USERS, _SEED, "users asked which films are alike")
        more, left = len(users) - own, MAX_USERS - len(drawn)
        drawn = np.append(drawn, own + sample_rows(more, left, _SEED, "auxiliary users"))
        if len(drawn) < len(users):
            row = np.full(len(users), len(drawn))
            row[drawn] = np.arange(len(drawn))
            kept = row[user] < len(drawn)
            ratings, user = ratings[kept], row[user][kept]
        self._item, self._user = known.item_idx[ratings], user
        self._target = gp_target(known.rating[ratings], known.liked[ratings])
        self._fold = fold[ratings]
        self._shape = (len(items), len(drawn))
        self._statistics = statistics
        self._years = item_years(items, np.nanmedian)
        genres = genre_table(items)
        self._genres = genres / np.sqrt(np.maximum(genres.sum(1, keepdims=True), 1))
        self._cached: dict[int, ItemSimilarity] = {}

    def of_fold(self, fold: int) -> ItemSimilarity:
        """Return the similarities without a fold; ``FOLDS`` excludes nobody."""
        if fold not in self._cached:
            self._cached[fold] = self._compute(fold)
        return self._cached[fold]

    def _compute(self, fold: int) -> ItemSimilarity:
        statistics = self._statistics.take(fold)
        mean = gp_target(statistics.rating, statistics.like_rate)
        rating_similarity, co_occurrence = self._rating_features(mean, self._fold != fold)
        features = {
            "rating_similarity": rating_similarity,
            "co_occurrence": co_occurrence,
            "genres": self._genres,
            "popularity": (np.log1p(statistics.count) - _AVERAGE_POPULARITY)[:, None],
            "mean_rating": (mean - gp_target(statistics.any_rating, statistics.any_like))[:, None],
        }
        return ItemSimilarity(
            mean=mean,
            inverse_count=1 / (statistics.used + ITEM_PRIOR),
            years=self._years,
            features={name: _on_grid(csr_array(values)) for name, values in features.items()},
        )

    def _rating_features(self, mean: Floats, used: Bools) -> tuple[csr_array, csr_array]:
        """Return the residual of each user's rating of each item, and who rated it, both scaled."""
        above = self._target - mean[self._item]
        weight = np.bincount(self._user) + USER_PRIOR
        above -= (np.bincount(self._user, above) / weight)[self._user]
        item, cells = self._item[used], (self._item[used], self._user[used])
        count = np.bincount(item, minlength=self._shape[0])
        scale = (1 / np.sqrt(count + _RATERS_PRIOR)).astype(np.float32)[item]
        residual = above[used].astype(np.float32) * scale
        return csr_array((residual, cells), self._shape), csr_array((scale, cells), self._shape)


def year_covariance(hyperparameters: GPHyperparameters, years: Floats, others: Floats) -> Floats:
    """Return the covariance of items by their years alone, shape ``(years, others)``."""
    apart = np.abs(np.subtract.outer(years, others))
    return hyperparameters.years * np.exp(-apart / hyperparameters.years_length)


def _on_grid(features: csr_array) -> csr_array:
    """Round features to the grid; values below 16 remain exact in float32."""
    steps = np.rint(features.data.astype(np.float32) * np.float32(_GRID)) / np.float32(_GRID)
    return csr_array((steps, features.indices, features.indptr), features.shape)
