"""Gradient boosting with all that a prompt shows, kept to predict events and queries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.baselines.features import FeatureSource, Rows
from reeltune.baselines.item_text import TextProjection, fit_texts, text_columns, text_vectors
from reeltune.baselines.learned import Tables, fit_boosting
from reeltune.baselines.problem import Floats, Ints, Problem, make_problem
from reeltune.baselines.trees import Arrays, BoostedTrees, damaged_boosting
from reeltune.data.columns import TRAIN
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import NOW, History
from reeltune.data.timelines import Codes, Timelines
from reeltune.domain import RENAMED_SIGNALS, SIGNALS, ContextKind
from reeltune.errors import one_line
from reeltune.signals.item_statistics import assign_folds

_NO_EVENTS: Final = np.empty(0, dtype=np.int64)


def signal_columns(codes: Codes, kinds: Sequence[ContextKind]) -> Floats:
    """Return codes of at least one kind as numbers; a column of tags before them is left out.

    The log-odds of each share, and of kinds that state a count its index among the counts.
    """
    columns: list[Floats] = []
    for kind, code in zip(kinds, codes[:, -len(kinds) :].T, strict=True):
        share = np.array(kind.shares)[code]
        columns.append(np.log(share / (1 - share)))
        if kind.counts:
            columns.append(np.array(kind.counts, dtype=np.float64)[code])
    return np.column_stack(columns)


class PromptFeatures:
    """Computes the features of events and queries, with numbers of texts and signals.

    A query has those of the event it is: statistics of items never include the user's fold.
    """

    def __init__(
        self, problem: Problem, kinds: Sequence[ContextKind], texts: Sequence[TextProjection]
    ) -> None:
        self._problem, self._kinds = problem, kinds
        self.source = FeatureSource(problem, assign_folds(problem.timelines, problem.seed))
        self._vectors = text_vectors(problem, texts)

    def of_events(self, event: Ints) -> Floats:
        """Return the features of events, given by index, shape ``(n, features)``."""
        codes = self._problem.timelines.context_of(event)
        return self._table(self.source.events(), event, codes)

    def of_query(
        self, history: History, candidates: Ints, codes: Codes | None, asked_at: Ints | int = NOW
    ) -> Floats:
        """Return the features of candidates, shape ``(n, features)``."""
        rows = self.source.query(history, candidates, asked_at)
        return self._table(rows, np.arange(len(history), len(rows.item_idx)), codes)

    def _table(self, rows: Rows, chosen: Ints, codes: Codes | None) -> Floats:
        tables = [self.source.table(rows, chosen)]
        tables += text_columns(self._problem, rows, chosen, self._vectors)
        if self._kinds and codes is not None:
            tables.append(signal_columns(codes, self._kinds))
        return np.column_stack(tables)


def prompt_table(
    problem: Problem, event: Ints, kinds: Sequence[ContextKind], item_text: bool
) -> Floats:
    """Return the features of events with the signals and the item text of a prompt."""
    texts = fit_texts(problem) if item_text else []
    return PromptFeatures(problem, kinds, texts).of_events(event)


@dataclass(frozen=True)
class BoostingModel:
    """Gradient boosting with the signals and text of a prompt, as a run keeps it; JSON settings."""

    trees: BoostedTrees
    texts: Sequence[TextProjection]
    settings: dict[str, Any]

    @classmethod
    def fit(
        cls,
        folder: PreparedFolder,
        kinds: Sequence[ContextKind],
        validation_event: Ints,
        seed: int,
        item_text: bool,
    ) -> BoostingModel:
        """Fit to all training rows, and choose settings on validation rows, given by index.

        ``kinds`` are those of the folder's codes. Errors are those of :func:`make_problem`.
        """
        problem = make_problem(folder, validation_event, _NO_EVENTS, seed=seed)
        texts = fit_texts(problem) if item_text else []
        features = PromptFeatures(problem, kinds, texts)
        tables = Tables.of(problem, lambda _, event: features.of_events(event))
        trees, settings = fit_boosting(tables, seed)
        names = [kind.name for kind in kinds]
        settings |= {"learned_from": len(problem.train), "seed": seed, "signals": names}
        return cls(trees, texts, settings | {"typical_gap": features.source.typical_gap})

    def features_of(self, folder: PreparedFolder) -> PromptFeatures:
        """Return what computes the features of queries; made once for all of them."""
        return self._features(folder, folder.ratings)

    def of_events(self, folder: PreparedFolder, event: Ints) -> Floats:
        """Return the log-odds of events, given by index, shape ``(n,)``; errors as of a query."""
        return self.trees.log_odds(self._features(folder, folder.timelines).of_events(event))

    def of_query(
        self,
        features: PromptFeatures,
        history: History,
        candidates: Ints,
        codes: Codes | None,
        asked_at: Ints | int = NOW,
    ) -> Floats:
        """Return the log-odds of candidates, given by item index, shape ``(n,)``.

        The history has all ratings of the user, also those that a prompt does not show. ``codes``
        are of the candidates, shape ``(n, kinds)``. :meth:`FeatureSource.query` explains ``NOW``.

        Raises:
            ModelError: The data have other features than the model was fitted to.
        """
        return self.trees.log_odds(features.of_query(history, candidates, codes, asked_at))

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return arrays to store; none needs pickle."""
        arrays = {"settings": np.array(json.dumps(self.settings)), **self.trees.to_arrays()}
        for index, text in enumerate(self.texts):
            arrays |= {f"{name}_{index}": np.array(v) for name, v in text._asdict().items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays, where: str | None = None) -> BoostingModel:
        """Return the model of :meth:`to_arrays`.

        Raises:
            ModelError: An array is missing or damaged; ``where`` has them.
        """
        trees, texts = BoostedTrees.from_arrays(arrays, where), []
        try:
            settings = json.loads(str(arrays["settings"]))
            names: list[Any] = [RENAMED_SIGNALS.get(name, name) for name in settings["signals"]]
            settings["signals"] = [SIGNALS[name].name for name in names]
            _ = int(settings["seed"])
            for index in range(sum(name.startswith("words_") for name in arrays)):
                words, *numbers = (arrays[f"{name}_{index}"] for name in TextProjection._fields)
                texts.append(TextProjection(str(words), *numbers))
        except (KeyError, TypeError, ValueError) as error:
            raise damaged_boosting(one_line(error), where) from None
        return cls(trees, texts, settings)

    def _features(self, folder: PreparedFolder, known: Timelines) -> PromptFeatures:
        train, none = np.flatnonzero(known.split == TRAIN), _NO_EVENTS
        seed, threshold = self.settings["seed"], folder.prompt_settings.threshold
        rows = (train, none, none, seed, folder.tags, threshold)
        kinds = [SIGNALS[name] for name in self.settings["signals"]]
        return PromptFeatures(Problem(known, folder.items, *rows), kinds, self.texts)
