"""Beyond accuracy: coverage, popularity, novelty and diversity of the top tens of rated rows.

A scorer predicts held-out rows, not the whole catalogue: a top ten holds the ten highest P(Yes) of
one user's rows. Of these metrics LensKit 2025.8 has precision alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.data.folder import PreparedFolder
from reeltune.evaluation.breakdowns import training_events, training_ratings
from reeltune.evaluation.intervals import BOOTSTRAP_SAMPLES, interval_of, resample
from reeltune.evaluation.metrics import user_indices
from reeltune.evaluation.predictions import Floats, Ints, PredictionTable
from reeltune.evaluation.result import TopTen
from reeltune.seeds import stream
from reeltune.signals.user_features import genre_table

LENGTH: Final = 10


def top_ten(
    folder: PreparedFolder,
    predictions: PredictionTable,
    seed: int,
    samples: int = BOOTSTRAP_SAMPLES,
) -> TopTen | None:
    """Measure every scorer's top tens; None if no user has more than ten rows.

    Rows of equal P(Yes) are in one random order, the same for every scorer.
    """
    user = user_indices(predictions.user_id)
    chosen = np.bincount(user)[user] > LENGTH
    if not chosen.any():
        return None
    user, timelines = user_indices(user[chosen]), folder.timelines
    items, item = np.unique(timelines.item_idx[predictions.event[chosen]], return_inverse=True)
    genres = np.packbits(genre_table([folder.items[i] for i in items]), axis=1)
    ratings = training_ratings(folder, predictions)[chosen].astype(np.float64)
    users = len(np.unique(timelines.user_id[training_events(folder)]))
    of_rows = {
        "precision_at_10": predictions.liked[chosen].astype(np.float64),
        "popularity": ratings,
        "novelty": self_information(ratings, users),
    }
    sizes = np.bincount(user)
    of_users = {name: np.bincount(user, weights=v) / sizes for name, v in of_rows.items()}
    tie = stream(seed, "top ten").permutation(len(chosen))[chosen]
    lists, coverage = {}, {}
    for name, p_yes in predictions.p_yes.items():
        top = highest(user, p_yes[chosen], tie)
        lists[name] = {metric: values[top].mean(axis=1) for metric, values in of_rows.items()}
        lists[name]["diversity"] = diversity(genres[item[top]])
        coverage[name] = len(np.unique(item[top])) / len(items)
    all_rows = {name: float(values.mean()) for name, values in of_users.items()}
    popularity = of_users["popularity"]
    resampled = resample(
        {name: [partial(means, values, popularity)] for name, values in lists.items()},
        np.arange(len(sizes)),
        seed,
        samples,
    )
    metrics = {
        name: {
            metric: interval_of(value, resampled.samples[name][metric], counted)
            for metric, value in resampled.values[name].items()
            for counted in [int((~np.isnan(values.get(metric, popularity))).sum())]
        }
        for name, values in lists.items()
    }
    return TopTen(len(sizes), len(user), len(items), all_rows, coverage, metrics)


def highest(user: Ints, p_yes: Floats, tie: Ints, length: int = LENGTH) -> Ints:
    """Return the rows of each user's highest P(Yes), shape ``(users, length)``.

    Every user has as many. Of equal P(Yes), the row of the lower ``tie`` is first.
    """
    order, sizes = np.lexsort((tie, -p_yes, user)), np.bincount(user)
    return order[(np.cumsum(sizes) - sizes)[:, None] + np.arange(length)].astype(np.int64)


def self_information(ratings: Floats, users: int) -> Floats:
    """Return -log2 of the share of the training users who rated an item, in bits.

    Zhou et al. 2010, https://doi.org/10.1073/pnas.1000488107. An item without ratings would be
    infinite; it counts as rated by one user.
    """
    return np.log2(max(users, 1)) - np.log2(np.maximum(ratings, 1))


def diversity(genres: npt.NDArray[np.uint8]) -> Floats:
    """Return the mean of 1 - Jaccard index of the genres over the pairs of each list.

    The complement of intra-list similarity (Ziegler et al. 2005,
    https://doi.org/10.1145/1060745.1060754). Pairs with an item without genres are left out; NaN
    where none remains. ``genres`` has one bit per genre, shape ``(lists, items, bytes)``.
    """
    total, pairs = np.zeros((2, len(genres)))
    for i, j in combinations(range(genres.shape[1]), 2):
        one, other = genres[:, i], genres[:, j]
        shared = np.bitwise_count(one & other).sum(axis=1)
        either = np.bitwise_count(one | other).sum(axis=1)
        pairs += (known := one.any(axis=1) & other.any(axis=1))
        total += known * (1 - shared / np.maximum(either, 1))
    with np.errstate(invalid="ignore"):
        return total / pairs


def means(lists: Mapping[str, Floats], popularity: Floats, weights: Floats) -> dict[str, Floats]:
    """Return the mean of each metric, and the popularity lift, shape ``(samples,)``.

    The lift is the popularity of the top tens over that of all rows, minus 1 (Abdollahpouri et al.
    2020, https://doi.org/10.1145/3383313.3418487). ``lists`` has values of users by metric, those
    that are NaN left out of the mean, ``popularity`` the mean of each user's rows, and ``weights``
    how often each user counts, shape ``(samples, users)``.
    """
    with np.errstate(invalid="ignore"):
        lift = (weights @ lists["popularity"]) / (weights @ popularity) - 1
        return {"popularity_lift": lift} | {
            name: (weights @ np.nan_to_num(values)) / (weights @ ~np.isnan(values))
            for name, values in lists.items()
        }
