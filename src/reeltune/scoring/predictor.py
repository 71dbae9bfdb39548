"""Queries and their predictions, for recommending, bulk scoring and serving."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.data.history import NOW, History
from reeltune.data.timelines import Codes
from reeltune.errors import LengthError
from reeltune.models.adapter import merged_copy
from reeltune.models.loaded_model import LoadedModel
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import ANSWER_TOKENS
from reeltune.prompts.sequences import Sequences
from reeltune.prompts.sharing import candidate_sequences
from reeltune.ragged import concatenate, offsets_of
from reeltune.scoring.fusion import open_fusion
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.prefixes import PrefixCache
from reeltune.scoring.scorer import Progress, Scorer

_CHECKED_EVENTS: Final = 4
_CHECKED_CANDIDATES: Final = 4


@dataclass(frozen=True)
class Query:
    """Candidates to predict for one history.

    Attributes:
        candidates: Item indices, shape ``(n,)``.
        context: Context codes of the candidates, shape ``(n, kinds)``, if prompts show any.
        asked_at: When they are predicted, in seconds since 1970, shape ``(n,)``, or all now.
    """

    history: History
    candidates: npt.NDArray[np.int64]
    context: Codes | None = None
    asked_at: npt.NDArray[np.int64] | int = NOW


def query_sequences(
    tokens: PromptTokens, queries: Sequence[Query], share_history: bool = True
) -> Sequences:
    """Return the token sequences of all queries, at least one of which has a candidate.

    Each history is one trunk with its candidates as branches. Without ``share_history``, or if
    pieces cannot be used, every candidate has a separate prompt.
    """
    queries = [query for query in queries if len(query.candidates)]
    if tokens.differing or not share_history:
        prompts = [
            tokens.candidate_prompts(query.history, query.candidates, query.context)
            for query in queries
        ]
        return Sequences.single(concatenate(prompts))
    return candidate_sequences(
        tokens.pieces,
        [query.history for query in queries],
        [query.candidates for query in queries],
        [query.context for query in queries],
    )


def score_queries(
    scorer: Scorer,
    tokens: PromptTokens,
    queries: Sequence[Query],
    progress: Progress | None = None,
    share_history: bool = True,
) -> list[Predictions]:
    """Return the predictions for each query's candidates, equal to those of single prompts.

    A history is computed once for every ``scoring.tokens_per_batch`` tokens of its candidates.
    """
    ends = offsets_of(np.array([len(query.candidates) for query in queries], dtype=np.int64))
    if not ends[-1]:
        return [Predictions.none() for _ in queries]
    predictions = scorer.score(query_sequences(tokens, queries, share_history), progress)
    return [predictions[int(start) : int(end)] for start, end in itertools.pairwise(ends)]


def history_note(shown: int, trained: int) -> str | None:
    """Return a warning if a history is shorter than all in training, which had ``trained`` events.

    Args:
        shown: Events of the history that the prompt shows.
        trained: Fewest events shown in training; 0 if nothing was trained.
    """
    if shown >= trained:
        return None
    if not shown:
        return (
            "the model is shown no rating and was not trained on empty histories (the shortest had "
            f"{trained}): predictions are less reliable"
        )
    ratings = "1 rating" if shown == 1 else f"{shown} ratings"
    return (
        f"the model is shown {ratings} and was trained on histories of {trained} or more: "
        "predictions are less reliable"
    )


class Predictor:
    """Predicts queries with one model, which is checked once to share histories exactly.

    Not thread-safe: ``base=True`` switches the adapter off during the call. Where
    ``scoring.merge_adapter`` applies, later changes of the adapter have no effect.

    Args:
        loaded: The model and the data its items come from. With an adapter, predictions are those
            of its fusion, if it applies (:func:`reeltune.scoring.fusion.open_fusion`).
        history_len: How many of the newest events a prompt shows; by default as many as the data
            were prepared with.

    Raises:
        ModelError: The model cannot share histories.
        LengthError: The longest titles would make a prompt longer than ``data.max_length``.
        ModelError: The fusion's files are damaged.
    """

    def __init__(self, loaded: LoadedModel, history_len: int | None = None) -> None:
        self.loaded = loaded
        self._short_histories = 0
        self.history_len = history_len or loaded.folder.history_len
        self._share_history = loaded.config.scoring.share_history
        self._refuse_too_long()
        self.fusion = open_fusion(loaded, self.history_len)
        self._scorer = self._checked_scorer()
        # The same layers without the adapter: checked with it, and not calibrated.
        scoring = loaded.config.scoring
        self._base_scorer = Scorer(loaded.model, loaded.answers, scoring.tokens_per_batch)
        causal, room = self._scorer.head.causal, scoring.prefix_cache_mib * 2**20
        self._prefixes = PrefixCache.for_model(causal, room)
        self._scorer.prefixes = self._base_scorer.prefixes = self._prefixes
        if self.fusion is not None:
            self._features = self.fusion.parts.boosting.features_of(loaded.folder)

    @property
    def longest_prompt(self) -> int:
        """The most tokens a prompt and its answer can have."""
        return self.loaded.tokens.pieces.max_length(self.history_len) + ANSWER_TOKENS

    @property
    def max_history(self) -> int:
        """How many of the newest events of a history can change a prediction."""
        context = self.loaded.folder.context
        whole = context.reads_whole_history or self.fusion is not None
        return sys.maxsize if whole else self.history_len

    @property
    def has_adapter(self) -> bool:
        """Whether there is an adapter."""
        return self.loaded.has_adapter

    def forget_histories(self) -> None:
        """Drop keys and values kept from earlier calls: later predictions do not depend on them.

        With them, predictions are equal up to rounding, and not to the bit.
        """
        if self._prefixes is not None:
            self._prefixes.clear()

    def history_note(self, events: int) -> str | None:
        """Return a warning about predictions from so many events, if training had only more."""
        return history_note(min(events, self.history_len), self.loaded.trained_history)

    def predict(
        self, queries: Sequence[Query], *, base: bool = False, progress: Progress | None = None
    ) -> list[Predictions]:
        """Return the predictions for each query's candidates, in shared forward passes.

        Prompts show the newest :attr:`history_len` events; signals and the fusion use the whole
        history. ``base`` switches the adapter off, and the fusion with it.
        """
        shown = [self._shown(query) for query in queries]
        tokens = self.loaded.tokens
        if not base:
            short = (query for query in shown if self.history_note(len(query.history)))
            self._short_histories += sum(len(query.candidates) for query in short)
            score = partial(
                score_queries, self._scorer, tokens, shown, progress, self._share_history
            )
            if self.fusion is None:
                return score()
            alone = score() if self.fusion.uses_model else [None] * len(shown)
            return [
                self.fusion.predictions(self._features, query, seen.context, model)
                for query, seen, model in zip(queries, shown, alone, strict=True)
            ]
        with self.loaded.without_adapter():
            return score_queries(self._base_scorer, tokens, shown, progress, self._share_history)

    def count_short_histories(self) -> int:
        """Return the predictions since the last call that :meth:`history_note` warns about."""
        count, self._short_histories = self._short_histories, 0
        return count

    def _shown(self, query: Query) -> Query:
        """Return a query as prompts show it: the newest events, with their context lines."""
        history, context = self.loaded.folder.context.of_query(
            query.history, query.candidates, self.history_len, query.asked_at
        )
        return Query(history, query.candidates, context)

    def _checked_scorer(self) -> Scorer:
        """Return a scorer of the model, checked on a few of the first user's events."""
        folder = self.loaded.folder
        shown = range(min(self.history_len, _CHECKED_EVENTS, len(folder.ratings)))
        history = History.from_timelines(folder.ratings, shown)
        query = Query(history, np.arange(min(_CHECKED_CANDIDATES, len(folder.items))))
        sequences = query_sequences(self.loaded.tokens, [self._shown(query)], self._share_history)
        longest = self.longest_prompt - ANSWER_TOKENS
        merge = self.loaded.config.scoring.merge_adapter and self.loaded.adapter_active
        answers = self.fusion is None or self.fusion.uses_model
        merged = merged_copy(self.loaded.model) if merge and answers else None
        return Scorer.checked(self.loaded, sequences, longest, merged)

    def _refuse_too_long(self) -> None:
        longest, limit = self.longest_prompt, self.loaded.config.data.max_length
        if longest > limit:
            raise LengthError(
                f"a prompt with {self.history_len} events can have {longest} tokens, and "
                f"max_length is {limit}",
                code="prompt_too_long",
                where="data.max_length",
                hint=f"Set data.max_length to at least {longest}, or show fewer events",
            )
