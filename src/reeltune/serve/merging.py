"""Parts of several questions as fewest questions: what is asked twice is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from reeltune.scoring.ranking import Question
from reeltune.scoring.scorer import Verdicts
from reeltune.serve.passes import Part, Shown


class Answering(Protocol):
    """Answers questions, in one thread at a time: a :class:`reeltune.asking.judge.Judge`."""

    def verdicts(self, questions: Sequence[Question], *, base: bool = False) -> list[Verdicts]:
        """Return the verdicts on each question's candidates."""
        ...


def judge_parts(judge: Answering, parts: Sequence[Part]) -> list[Verdicts]:
    """Return the verdicts on every part's candidates, as if each part had been asked alone.

    Parts with the same history are one question, and a candidate they share is judged once. The
    tuned and the base model are each asked once at most.

    Args:
        judge: Gives the verdicts.
        parts: In any number.
    """
    found: dict[Part, Verdicts] = {}
    for base in (False, True):
        found |= _of_model(judge, [part for part in parts if part.waiting.base is base], base)
    return [found[part] for part in parts]


def _of_model(judge: Answering, parts: Sequence[Part], base: bool) -> dict[Part, Verdicts]:
    alike: dict[Shown, list[Part]] = {}
    for part in parts:
        alike.setdefault(part.waiting.shown, []).append(part)
    if not alike:
        return {}
    groups = list(alike.values())
    films = [np.unique(np.concatenate([_candidates(p) for p in group])) for group in groups]
    questions = [
        Question(group[0].waiting.question.history, candidates)
        for group, candidates in zip(groups, films, strict=True)
    ]
    verdicts = judge.verdicts(questions, base=base)
    return {
        part: told.take(np.searchsorted(candidates, _candidates(part)))
        for group, candidates, told in zip(groups, films, verdicts, strict=True)
        for part in group
    }


def _candidates(part: Part) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return part.waiting.question.candidates[part.start : part.stop]
