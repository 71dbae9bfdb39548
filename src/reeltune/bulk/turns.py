"""Questions put to the judge a turn at a time, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from reeltune.asking.judge import Judge
from reeltune.scoring.ranking import Question
from reeltune.scoring.scorer import Progress, Verdicts

Advance = Callable[[int], None]
"""Told how many more rows are done."""

_VERDICTS: Final = 1 << 14
"""How many verdicts a turn has at least: enough to fill the passes of a large GPU."""


def answers(
    judge: Judge,
    questions: Iterable[Question],
    rows: Callable[[Question], int],
    advance: Advance,
    verdicts: int = _VERDICTS,
) -> Iterator[tuple[Question, Verdicts]]:
    """Yield each question with the verdicts on its candidates.

    Args:
        judge: Gives the verdicts.
        questions: Taken as they are needed.
        rows: How many rows a question stands for.
        advance: Told while a turn is under way.
        verdicts: How many a turn has at least.
    """
    for turn in in_turns(questions, verdicts):
        counted = _counted(advance, sum(map(rows, turn)))
        found = judge.verdicts(turn, progress=counted)
        counted(1, 1)
        yield from zip(turn, found, strict=True)


def in_turns(questions: Iterable[Question], verdicts: int) -> Iterator[list[Question]]:
    """Yield questions in lists that end once they ask for so many verdicts."""
    turn: list[Question] = []
    asked = 0
    for question in questions:
        turn.append(question)
        asked += len(question.candidates)
        if asked >= verdicts:
            yield turn
            turn, asked = [], 0
    if turn:
        yield turn


def _counted(advance: Advance, rows: int) -> Progress:
    """Return what turns the part of a turn that is done into rows."""
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = rows * done // total
        advance(now - told)
        told = now

    return tell
