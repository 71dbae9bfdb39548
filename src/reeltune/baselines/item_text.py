"""Text of items as features: TF-IDF reduced by a truncated SVD (latent semantic analysis)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from reeltune.baselines.features import Rows
from reeltune.baselines.problem import Floats, Ints, Problem
from reeltune.seeds import stream
from reeltune.signals.user_features import USER_PRIOR

COMPONENTS: Final = 32
"""Dimensions of a text at most."""


class TextProjection(NamedTuple):
    """Words that count, joined by spaces; the weight of each; components, shape ``(n, words)``."""

    words: str
    idf: Floats
    components: Floats

    @classmethod
    def fit(cls, known: Sequence[str], seed: int) -> TextProjection:
        """Learn words, their weights and the components from texts."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        # Any, since the type checker infers what scikit-learn returns from its code, for seconds.
        vectorizer: Any = TfidfVectorizer(sublinear_tf=True)
        analyze = vectorizer.build_analyzer()
        if not any(analyze(document) for document in known):
            return cls("", np.zeros(0), np.zeros((0, 0)))
        weights = vectorizer.fit_transform(known)
        components: Any = np.eye(weights.shape[1])
        if len(components) > COMPONENTS:
            state = int(stream(seed, "item text").integers(2**31))
            svd: Any = TruncatedSVD(COMPONENTS, random_state=state)
            components = svd.fit(weights).components_
        words, idf = vectorizer.get_feature_names_out(), np.asarray(vectorizer.idf_, np.float64)
        return cls(" ".join(words), idf, components)

    def vectors(self, documents: Sequence[str]) -> Floats:
        """Return each document as numbers, shape ``(documents, components)``."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        if not self.words:
            return np.zeros((len(documents), 0))
        vectorizer: Any = TfidfVectorizer(sublinear_tf=True, vocabulary=self.words.split(" "))
        vectorizer.idf_ = self.idf
        return vectorizer.transform(documents) @ self.components.T


def text_vectors(problem: Problem, texts: Sequence[TextProjection]) -> list[Floats]:
    """Return each document as numbers, for every projection."""
    return [text.vectors(each) for text, each in zip(texts, _documents(problem), strict=False)]


def fit_texts(problem: Problem) -> list[TextProjection]:
    """Return a projection of items' text, and one of tags if there are any; of training ratings."""
    rated = problem.timelines.take(problem.ratings)
    places = zip(
        _documents(problem), _places(problem, rated.item_idx, rated.timestamp), strict=True
    )
    return [
        TextProjection.fit([texts[index] for index in np.unique(place)], problem.seed)
        for texts, place in places
    ]


def text_columns(
    problem: Problem, rows: Rows, chosen: Ints, vectors: Sequence[Floats]
) -> list[Floats]:
    """Return each text of chosen rows as numbers, shape ``(n, components + 1)``.

    The last column is the affinity of the user to the text: its dot product with the mean of the
    texts of the user's earlier items, each weighted by its rating minus the item's mean rating.
    """
    columns = []
    for documents, place in zip(
        vectors, _places(problem, rows.item_idx, rows.timestamp), strict=False
    ):
        affinity = np.zeros(len(place))
        # One component at a time: a matrix of events and components would be large.
        for component in documents.T:
            values = component[place]
            affinity += rows.running.earlier(rows.lift * values) * values
        affinity /= rows.running.before + USER_PRIOR
        columns.append(np.column_stack([documents[place[chosen]], affinity[chosen]]))
    return columns


def _documents(problem: Problem) -> list[list[str]]:
    """Return the texts of all items and, if there are tags, those of :class:`ItemTags`."""
    texts = [[" ".join(item.text) for item in problem.items]]
    return texts if problem.tags is None else [*texts, list(problem.tags.texts)]


def _places(
    problem: Problem, item_idx: npt.NDArray[np.integer], timestamp: Ints
) -> list[npt.NDArray[np.integer]]:
    """Return which of each :func:`_documents` an item has at a time, shape ``(n,)``."""
    tags = problem.tags
    return [item_idx] if tags is None else [item_idx, tags.before(item_idx, timestamp)]
