"""Item text as features: TF-IDF reduced by a truncated SVD (latent semantic analysis)."""

from __future__ import annotations

from typing import Final

import numpy as np

from reeltune.baselines.problem import Floats, Ints, Problem
from reeltune.seeds import stream
from reeltune.signals.item_statistics import item_statistics
from reeltune.signals.running_statistics import RunningStatistics
from reeltune.signals.user_features import USER_PRIOR

COMPONENTS: Final = 32
"""Dimensions of a text at most."""


def text_table(problem: Problem, event: Ints) -> Floats:
    """Return the text of events' items as numbers, shape ``(n, components + 1)``.

    The last column is the affinity of the user to the text: its dot product with the mean of the
    texts of the user's earlier items, each weighted by its rating minus the item's mean rating.
    """
    vectors, item_idx = text_vectors(problem), problem.timelines.item_idx
    running = RunningStatistics(problem.timelines.position)
    item = item_statistics(problem.timelines, problem.ratings, len(problem.items), problem.seed)
    lift = problem.rating - item.rating
    affinity = np.zeros(len(item_idx))
    # One component at a time: a matrix of events and components would be large.
    for component in vectors.T:
        values = component[item_idx]
        affinity += running.earlier(lift * values) * values
    affinity /= running.before + USER_PRIOR
    return np.column_stack([vectors[item_idx[event]], affinity[event]])


def text_vectors(problem: Problem) -> Floats:
    """Return the text of each item as numbers, shape ``(items, components)``.

    Words, their weights and the components are those of items with training ratings.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    documents = [" ".join(item.text) for item in problem.items]
    words = TfidfVectorizer(sublinear_tf=True)
    known = [documents[row] for row in np.unique(problem.timelines.item_idx[problem.ratings])]
    analyze = words.build_analyzer()
    if not any(analyze(document) for document in known):
        return np.zeros((len(documents), 0))
    weights, every = words.fit_transform(known), words.transform(documents)
    if weights.shape[1] <= COMPONENTS:
        return every.toarray()
    state = int(stream(problem.seed, "item text").integers(2**31))
    return TruncatedSVD(COMPONENTS, random_state=state).fit(weights).transform(every)
