"""LensKit's models for explicit ratings: item kNN and biased matrix factorization.

They learn from training ratings and score an event with all earlier events of its user.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from copy import copy
from functools import cache, partial
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from reeltune.baselines.problem import BaselineScores, Floats, Ints, Problem
from reeltune.baselines.simple import Rating, bias_parts, choose_rating
from reeltune.seeds import stream

if TYPE_CHECKING:
    from lenskit.als import BiasedMFScorer
    from lenskit.data import Dataset
    from lenskit.knn import ItemKNNScorer

FALLBACK_DAMPING: Final = 5.0
"""Of the bias model that replaces a missing score."""

SAVED_NEIGHBOURS: Final = 1000
"""Neighbours stored per item, which bounds the memory."""

NEIGHBOURS: Final = (20, 60)
LEAST_NEIGHBOURS: Final = 3
"""Most neighbours averaged (values tried), and fewest: with fewer, there is no score."""

FACTORS: Final = (8, 32, 64)
PENALTIES: Final = (0.1, 0.2)
"""Values tried: factors per user and item, L2 penalty per rating."""

EPOCHS: Final = 15


def item_knn(problem: Problem) -> BaselineScores:
    """Expect the user's ratings of similar items, by the cosine of mean-centred ratings.

    Deshpande and Karypis (2004), https://doi.org/10.1145/963770.963776.
    """
    from lenskit.knn import ItemKNNConfig, ItemKNNScorer

    prepare_lenskit()
    model = ItemKNNScorer(save_nbrs=SAVED_NEIGHBOURS)
    model.train(ratings_for_lenskit(problem))

    def models() -> Iterator[tuple[dict[str, Any], Rating]]:
        for most in NEIGHBOURS:
            # Similarities do not depend on the number of neighbours, so they are learned once.
            scorer = copy(model)
            scorer.config = ItemKNNConfig(max_nbrs=most, min_nbrs=LEAST_NEIGHBOURS)
            yield {"neighbours": most}, partial(expected_by, scorer, problem)

    return choose_rating(problem, models(), len(problem.ratings))


def matrix_factorization(problem: Problem) -> BaselineScores:
    """Expect overall mean + offsets + product of the user's and the item's factors, by ALS.

    Zhou et al. (2008), https://doi.org/10.1007/978-3-540-68880-8_32. The user's factors are solved
    for each event from all earlier events.
    """
    from lenskit.als import BiasedMFScorer
    from lenskit.training import TrainingOptions

    prepare_lenskit()
    ratings = ratings_for_lenskit(problem)

    def models() -> Iterator[tuple[dict[str, Any], Rating]]:
        for factors, penalty in product(FACTORS, PENALTIES):
            model = BiasedMFScorer(embedding_size=factors, regularization=penalty, epochs=EPOCHS)
            model.train(ratings, TrainingOptions(rng=stream(problem.seed, "factors")))
            settings = {"factors": factors, "penalty": penalty}
            yield settings, partial(expected_by, model, problem)

    return choose_rating(problem, models(), len(problem.ratings))


def ratings_for_lenskit(problem: Problem) -> Dataset:
    """Return the training ratings as LensKit's data; an item's id is its index."""
    from lenskit.data import DatasetBuilder

    known, event = problem.timelines, problem.ratings
    builder = DatasetBuilder()
    table = pa.table(
        {
            "user_id": known.user_id[event],
            "item_id": known.item_idx[event],
            "rating": known.rating[event],
        }
    )
    builder.add_interactions(
        "rating",
        table,
        entities=["user", "item"],
        missing="insert",
        allow_repeats=False,
        default=True,
    )
    return builder.build()


def expected_by(model: ItemKNNScorer | BiasedMFScorer, problem: Problem, event: Ints) -> Floats:
    """Return the expected ratings of events, each with its user's earlier events as history."""
    from lenskit.data import ItemList

    known = problem.timelines
    number = model.items.numbers(known.item_idx, missing="negative")
    # LensKit 2025.8 fails on unknown items in a history: its item kNN raises.
    learned = number >= 0
    before = np.concatenate([[0], np.cumsum(learned)])
    number, rating = number[learned], known.rating[learned]
    rows = np.flatnonzero(learned[event])
    target = event[rows]
    last = before[target]
    first = before[target - known.position[target]]
    scores = np.full(len(event), np.nan)
    for row, begin, end in zip(rows, first, last, strict=True):
        history = ItemList(
            item_nums=number[begin:end], vocabulary=model.items, rating=rating[begin:end]
        )
        item = ItemList(item_nums=number[end : end + 1], vocabulary=model.items)
        score = model(history, item).scores()
        if score is not None:
            scores[row] = score[0]
    fallback = bias_parts(problem, FALLBACK_DAMPING).expected(FALLBACK_DAMPING, event)
    return np.where(np.isfinite(scores), scores, fallback)


@cache
def prepare_lenskit() -> None:
    """Start LensKit's worker threads without changing torch's settings.

    Otherwise LensKit 2025.8 sets torch and the BLAS to fewer threads at its first training.
    """
    import torch
    from lenskit.parallel import effective_cpu_count, initialize

    threads, sharing = torch.get_num_threads(), torch.multiprocessing.get_sharing_strategy()
    log = logging.getLogger("lenskit.parallel.config")
    level = log.level
    # LensKit warns that torch, once used, refuses another number of inter-op threads.
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        initialize(threads=effective_cpu_count(), backend_threads=threads)
    log.setLevel(level)
    torch.multiprocessing.set_sharing_strategy(sharing)
