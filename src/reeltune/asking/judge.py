"""Questions put to a loaded model, as often as one likes: what recommending and serving share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np

from reeltune.asking.subject import Subject
from reeltune.data.history import History
from reeltune.errors import LengthError
from reeltune.prompts.rows import ANSWER_TOKENS, Layout
from reeltune.scoring.ranking import Question, question_sequences, score_questions
from reeltune.scoring.scorer import Progress, Scorer, Verdicts

_PROVEN_ON: Final = 4
"""How many films the proof asks about."""


class Judge:
    """Answers questions with one model, proven once to share histories exactly.

    With ``scoring.share_history`` false none are shared: for models that cannot.

    One thread may use it at a time: :attr:`base` switches the adapter off for a moment.

    Args:
        subject: The model and the data its films come from.
        history_len: How many of the newest events are shown; by default as many as the data were
            prepared with, which is the fewest the model has learned from.

    Raises:
        ModelError: The model cannot share histories.
        LengthError: The longest titles would make a prompt longer than ``data.max_length``.
    """

    def __init__(self, subject: Subject, history_len: int | None = None) -> None:
        self.subject = subject
        self.history_len = history_len or subject.folder.history_len
        self._layout: Layout = subject.config.scoring.layout
        self._refuse_too_long()
        self._scorer = self._proven()

    @property
    def longest_prompt(self) -> int:
        """The most tokens a prompt and its answer can have."""
        return self.subject.tokens.pieces.max_length(self.history_len) + ANSWER_TOKENS

    @property
    def remembered(self) -> int:
        """How many of a history's newest events change a prediction, shown or not."""
        context = self.subject.folder.context
        return sys.maxsize if context.reads_whole_history else self.history_len

    @property
    def tuned(self) -> bool:
        """Whether there is an adapter, so that the base model is another judge."""
        return self.subject.tuned

    def verdicts(
        self,
        questions: Sequence[Question],
        *,
        base: bool = False,
        progress: Progress | None = None,
    ) -> list[Verdicts]:
        """Return the verdicts on each question's candidates, all in shared passes.

        Args:
            questions: Of each history the newest :attr:`history_len` events are shown; signals is
                made of all of it.
            base: Ask the base model, without the adapter.
            progress: Told after every batch.
        """
        shown = [self._shown(one) for one in questions]
        tokens = self.subject.tokens
        if not base:
            return score_questions(self._scorer, tokens, shown, progress, self._layout)
        with self.subject.without_adapter():
            return score_questions(self._base_scorer, tokens, shown, progress, self._layout)

    def prove_base(self) -> None:
        """Prove the base model's verdicts now, and not within the first question for them."""
        with self.subject.without_adapter():
            _ = self._base_scorer

    def _shown(self, question: Question) -> Question:
        """Return a question as it is asked: the newest events, with the signals there is."""
        history, codes = self.subject.folder.context.of_query(
            question.history, question.candidates, self.history_len
        )
        return Question(history, question.candidates, codes)

    @cached_property
    def _base_scorer(self) -> Scorer:
        return self._proven()

    def _proven(self) -> Scorer:
        """Return a scorer on the model as it is now, proven on the first user's own films."""
        folder = self.subject.folder
        shown = range(min(self.history_len, len(folder.ratings)))
        history = History.from_timelines(folder.ratings, shown)
        question = Question(history, np.arange(min(_PROVEN_ON, len(folder.items))))
        asked = question_sequences(self.subject.tokens, [self._shown(question)], self._layout)
        return self.subject.scorer(asked)

    def _refuse_too_long(self) -> None:
        longest, limit = self.longest_prompt, self.subject.config.data.max_length
        if longest > limit:
            raise LengthError(
                f"a prompt with {self.history_len} events can have {longest} tokens, and "
                f"max_length is {limit}",
                where="data.max_length",
                hint=f"Set data.max_length to at least {longest}, or show fewer events",
            )
