"""Questions are taken a turn at a time, and progress counts every row once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reeltune.bulk.turns import answers, in_turns
from reeltune.data.history import History
from reeltune.scoring.ranking import Question


def asked(count: int) -> Question:
    return Question(History.of([], []), np.arange(count))


@given(sizes=st.lists(st.integers(0, 6), max_size=20), verdicts=st.integers(1, 10))
def test_turns_hold_all_questions_and_little_more_than_they_need(sizes, verdicts):
    questions = [asked(size) for size in sizes]
    turns = list(in_turns(questions, verdicts))
    assert [one for turn in turns for one in turn] == questions
    held = [[len(one.candidates) for one in turn] for turn in turns]
    assert all(sum(turn[:-1]) < verdicts for turn in held)
    assert all(sum(turn) >= verdicts for turn in held[:-1])


def test_questions_are_made_when_their_turn_comes(judge):
    """So that those of a whole shard are never held at once."""
    made: list[int] = []

    def questions() -> Iterator[Question]:
        for number in range(6):
            made.append(number)
            yield asked(2)

    told: list[int] = []
    found = answers(judge, questions(), lambda one: len(one.candidates), told.append, 4)
    seen = [(len(made), len(verdicts.p_yes)) for _, verdicts in found]
    assert seen == [(2, 2), (2, 2), (4, 2), (4, 2), (6, 2), (6, 2)]
    assert sum(told) == 12


def test_a_user_counts_as_one_row_however_many_films_are_judged(judge):
    told: list[int] = []
    assert len(list(answers(judge, [asked(30), asked(0), asked(3)], lambda _: 1, told.append))) == 3
    assert sum(told) == 3
    ((_, nothing),) = answers(judge, [asked(0)], lambda _: 1, told.append)
    assert nothing.p_yes.tolist() == []
    assert sum(told) == 4
