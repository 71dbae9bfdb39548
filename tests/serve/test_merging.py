"""Parts of questions as fewest questions, and the answers as if each had been asked alone."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from reeltune.asking.judge import Judge
from reeltune.data.history import History
from reeltune.scoring.ranking import Question
from reeltune.serve.merging import judge_parts
from reeltune.serve.passes import Part, Waiting
from tests.asking.build import ROUNDING, random_candidates, random_history
from tests.serve.build import Recorder, told


def part(history: History, candidates: list[int], start: int = 0, *, base: bool = False) -> Part:
    asked = Question(history, np.array(candidates))
    loop = asyncio.new_event_loop()
    one = Waiting(asked, base, 1, np.ones(len(candidates), dtype=np.int64), loop.create_future())
    loop.close()
    return Part(one, start, len(candidates))


def recorder() -> Recorder:
    found = Recorder()
    found.may_answer.set()
    return found


FIRST, SECOND = History.of([1], [4.0]), History.of([2], [4.0])


def test_one_history_is_one_question_and_a_candidate_is_judged_once():
    judge = recorder()
    parts = [part(FIRST, [5, 3]), part(SECOND, [3]), part(FIRST, [9, 3, 7], 1), part(FIRST, [3])]
    found = judge_parts(judge, parts)
    ((questions, base),) = judge.passes
    assert not base
    assert [one.history for one in questions] == [FIRST, SECOND]
    assert [one.candidates.tolist() for one in questions] == [[3, 5, 7], [3]]
    expected = [[105, 103], [203], [103, 107], [103]]
    assert [one.yes_logit.tolist() for one in found] == expected


def test_both_models_are_asked_once_each():
    judge = recorder()
    parts = [part(FIRST, [5]), part(FIRST, [5], base=True), part(SECOND, [4], base=True)]
    found = judge_parts(judge, parts)
    assert [(len(questions), base) for questions, base in judge.passes] == [(1, False), (2, True)]
    for one, asked in zip(found, parts, strict=True):
        expected = told(asked.waiting.question, asked.waiting.base)
        assert one.log_odds.tolist() == expected.log_odds.tolist()


@pytest.mark.parametrize("other", [History.of([1], [4.5]), History.of([1, 1], [4.0, 4.0])])
def test_histories_that_differ_in_stars_or_length_are_not_one(other):
    judge = recorder()
    judge_parts(judge, [part(FIRST, [5]), part(other, [5])])
    assert len(judge.passes[0][0]) == 2


def test_gathered_verdicts_are_those_of_each_question_alone(served_judge: Judge):
    random = np.random.default_rng(3)
    films = len(served_judge.subject.folder.items)
    histories = [random_history(random, films, count) for count in (0, 2, 5, 5)]
    parts = [
        part(
            histories[i % 4],
            random_candidates(random, films, 1 + i % 5).tolist(),
            base=i % 3 == 0,
        )
        for i in range(16)
    ]
    found = judge_parts(served_judge, parts)
    alone = [
        served_judge.verdicts([one.waiting.question], base=one.waiting.base)[0] for one in parts
    ]
    for one, expected in zip(found, alone, strict=True):
        np.testing.assert_allclose(one.p_yes, expected.p_yes, atol=ROUNDING, rtol=0)
    # Otherwise anything would pass for equal.
    assert np.std([one.p_yes[0] for one in alone]) > 100 * ROUNDING
