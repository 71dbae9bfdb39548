"""Hyperparameters of the Gaussian process, by maximum likelihood on training ratings.

``benchmarks.fit_gaussian_process`` fitted them on ratings of ml-latest-small that neither the split
by user nor that by time holds out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class GPHyperparameters:
    """Variances of the terms of the process, in units of the target squared, and length scales.

    Attributes:
        long_term: Drift of the user over many events.
        long_term_length: Events after which 37 % of it is left.
        short_term: Drift over a few events.
        short_term_length: Events after which 37 % of it is left.
        rating_similarity: Items that other users rate alike.
        co_occurrence: Items that the same users have rated.
        genres: Items of the same genres.
        years: Items of about the same year.
        years_length: Years after which 37 % of it is left.
        popularity: Items with about as many ratings.
        mean_rating: Items with about the same mean.
        noise: Independent noise of each event.
        item_mean_variance: Variance of an item's mean, times the ratings it is computed from.
    """

    long_term: float = 0.0402
    long_term_length: float = 46.97
    short_term: float = 0.0781
    short_term_length: float = 1.172
    rating_similarity: float = 0.1937
    co_occurrence: float = 0.2618
    genres: float = 0.0466
    years: float = 0.1264
    years_length: float = 84.59
    popularity: float = 0.0020
    mean_rating: float = 0.1704
    noise: float = 0.2356
    item_mean_variance: float = 2.6619


GP_HYPERPARAMETERS: Final = GPHyperparameters()
