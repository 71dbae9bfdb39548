"""Ranking: verdicts on many films after one history."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reeltune.data.folder import Timelines
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.sequences import Sequences
from reeltune.prompts.sharing import candidate_sequence
from reeltune.scoring.scorer import Progress, Scorer, Verdicts


def score_candidates(
    scorer: Scorer,
    tokens: PromptTokens,
    timelines: Timelines,
    history: range,
    candidates: npt.NDArray[np.int64],
    progress: Progress | None = None,
) -> Verdicts:
    """Return the verdict on each film, as if each had been asked about alone.

    The history is computed once for every ``scoring.tokens_per_batch`` tokens of candidates: once
    in all where that is large enough.

    Args:
        scorer: The one scorer.
        tokens: Turns events and films into tokens.
        timelines: The events.
        history: Neighbouring events, oldest first.
        candidates: Rows of the films to judge, shape ``(n,)``.
        progress: Told after every batch.
    """
    if tokens.differing:
        prompts = tokens.candidate_prompts(timelines, history, candidates)
        return scorer.score(Sequences.single(prompts), progress)
    sequences = candidate_sequence(
        tokens.pieces, timelines, history.start, history.stop, candidates
    )
    return scorer.score(sequences, progress)
