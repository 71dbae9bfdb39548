"""Text of items as features: TF-IDF reduced by a truncated SVD (latent semantic analysis)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

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
    Tags, if there are any, have as many columns after these.
    """
    documents = [" ".join(item.text) for item in problem.items]
    tables = [_text_columns(problem, event, documents, problem.timelines.item_idx)]
    if problem.tag_texts and (codes := problem.timelines.context) is not None:
        tables.append(_text_columns(problem, event, problem.tag_texts, codes[:, 0]))
    return np.column_stack(tables)


def _text_columns(
    problem: Problem, event: Ints, documents: Sequence[str], row: npt.NDArray[np.integer]
) -> Floats:
    """Return the columns of one text, given the document of each event."""
    vectors = text_vectors(problem, documents, row)
    running = RunningStatistics(problem.timelines.position)
    item = item_statistics(problem.timelines, problem.ratings, len(problem.items), problem.seed)
    lift = problem.rating - item.rating
    affinity = np.zeros(len(row))
    # One component at a time: a matrix of events and components would be large.
    for component in vectors.T:
        values = component[row]
        affinity += running.earlier(lift * values) * values
    affinity /= running.before + USER_PRIOR
    return np.column_stack([vectors[row[event]], affinity[event]])


def text_vectors(
    problem: Problem, documents: Sequence[str], row: npt.NDArray[np.integer]
) -> Floats:
    """Return each document as numbers, shape ``(documents, components)``.

    Words, their weights and the components are those of the documents of training ratings.

    Args:
        problem: The training ratings.
        documents: Texts.
        row: The document of each event.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True)
    known = [documents[index] for index in np.unique(row[problem.ratings])]
    analyze = words.build_analyzer()
    if not any(analyze(document) for document in known):
        return np.zeros((len(documents), 0))
    weights, every = words.fit_transform(known), words.transform(documents)
    if weights.shape[1] <= COMPONENTS:
        return every.toarray()  # pyright: ignore[reportAttributeAccessIssue]
    state = int(stream(problem.seed, "item text").integers(2**31))
    return TruncatedSVD(COMPONENTS, random_state=state).fit(weights).transform(every)
