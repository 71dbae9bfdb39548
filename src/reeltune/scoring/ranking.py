"""Ranking: verdicts on many films after one history, and after many histories at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reeltune.data.folder import Codes
from reeltune.data.history import History
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import BLOCKS, SINGLE, Layout
from reeltune.prompts.sequences import Sequences
from reeltune.prompts.sharing import candidate_sequences
from reeltune.ragged import concatenate, offsets_of
from reeltune.scoring.scorer import Progress, Scorer, Verdicts


@dataclass(frozen=True)
class Question:
    """Which of these films will somebody with this history like?

    Attributes:
        history: What they have rated.
        candidates: Rows of the films to judge, shape ``(n,)``.
        context: On each candidate, shape ``(n, kinds)``; needed where the prompt tells any.
    """

    history: History
    candidates: npt.NDArray[np.int64]
    context: Codes | None = None


def question_sequences(
    tokens: PromptTokens, questions: Sequence[Question], layout: Layout = BLOCKS
) -> Sequences:
    """Return what asks all questions, verdict after verdict in their order.

    Each history is one trunk with its candidates as branches. Where token pieces do not add up to
    whole prompts, every candidate has a prompt of its own.

    Args:
        tokens: Turns films into tokens.
        questions: At least one of them has a candidate.
        layout: ``single`` gives every candidate a prompt of its own.
    """
    asked = [question for question in questions if len(question.candidates)]
    if tokens.differing or layout == SINGLE:
        prompts = [
            tokens.candidate_prompts(one.history, one.candidates, one.context) for one in asked
        ]
        return Sequences.single(concatenate(prompts))
    return candidate_sequences(
        tokens.pieces,
        [one.history for one in asked],
        [one.candidates for one in asked],
        [one.context for one in asked],
    )


def score_questions(
    scorer: Scorer,
    tokens: PromptTokens,
    questions: Sequence[Question],
    progress: Progress | None = None,
    layout: Layout = BLOCKS,
) -> list[Verdicts]:
    """Return the verdicts on each question's candidates, as if each had been asked about alone.

    Different questions share forward passes. A history is computed once for every
    ``scoring.tokens_per_batch`` tokens of its candidates: once in all where that is large enough.

    Args:
        scorer: The one scorer.
        tokens: Turns films into tokens.
        questions: In any number; a question without candidates has no verdicts.
        progress: Told after every batch.
        layout: ``single`` shares no history.
    """
    ends = offsets_of(np.array([len(one.candidates) for one in questions], dtype=np.int64))
    if not ends[-1]:
        return [Verdicts.none() for _ in questions]
    verdicts = scorer.score(question_sequences(tokens, questions, layout), progress)
    return [verdicts.part(int(a), int(b)) for a, b in itertools.pairwise(ends)]


def score_candidates(
    scorer: Scorer,
    tokens: PromptTokens,
    history: History,
    candidates: npt.NDArray[np.int64],
    progress: Progress | None = None,
) -> Verdicts:
    """Return the verdict on each film after one history, as if each had been asked about alone.

    Args:
        scorer: The one scorer.
        tokens: Turns films into tokens.
        history: What has been rated.
        candidates: Rows of the films to judge, shape ``(n,)``.
        progress: Told after every batch.
    """
    return score_questions(scorer, tokens, [Question(history, candidates)], progress)[0]
