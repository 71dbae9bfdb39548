"""Questions that come at the same time share passes; those nobody waits for are not computed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reeltune.asking.judge import Judge
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form
from reeltune.scoring.ranking import Question, question_sequences
from reeltune.serve.batch_size import BatchSize, TokenCounts
from reeltune.serve.errors import UnavailableError
from reeltune.serve.gathering import Gatherer
from reeltune.serve.metrics import Metrics
from tests.asking.build import drawn_subject, random_candidates, random_history
from tests.errors import raises_error
from tests.serve.build import Recorder, question, told

Test = Callable[[Gatherer, Recorder], Awaitable[None]]


@pytest.fixture
def gather(served_judge: Judge) -> Callable[..., None]:
    """Runs a test with a gatherer whose judge is a :class:`Recorder`."""
    costs = TokenCounts(served_judge.subject.tokens, served_judge.history_len, "blocks")

    def run(test: Test, most_tokens: int = 10_000, questions: int = 100) -> None:
        async def inside() -> None:
            judge = Recorder()
            pace = BatchSize(1e9, most_tokens)
            pace.update(1, 1.0)
            gatherer = Gatherer(judge, costs, pace, questions, Metrics())
            async with gatherer.working():
                try:
                    await test(gatherer, judge)
                finally:
                    judge.may_answer.set()

        asyncio.run(asyncio.wait_for(inside(), 60))

    return run


async def begun(judge: Recorder) -> None:
    """Wait until a pass is being computed, and let the next one be waited for."""
    assert await asyncio.to_thread(judge.asked.wait, 30)
    judge.asked.clear()


def test_what_waits_while_a_pass_runs_shares_the_next_one(gather):
    async def test(gatherer: Gatherer, judge: Recorder) -> None:
        first = gatherer.ask(question(0))
        await begun(judge)
        others = [gatherer.ask(question(i, [i, i + 1])) for i in range(1, 6)]
        judge.may_answer.set()
        assert (await first).yes_logit.tolist() == [0]
        for i, one in enumerate(others, 1):
            assert (await one).yes_logit.tolist() == told(
                question(i, [i, i + 1]), False
            ).yes_logit.tolist()
        assert [len(questions) for questions, _ in judge.passes] == [1, 5]

    gather(test)


def test_questions_a_pass_is_limited_to_are_answered_one_by_one(gather):
    async def test(gatherer: Gatherer, judge: Recorder) -> None:
        judge.may_answer.set()
        await asyncio.gather(*(gatherer.ask(question(i)) for i in range(4)))
        assert [len(questions) for questions, _ in judge.passes] == [1] * 4

    gather(test, questions=1)


def test_a_long_question_is_answered_in_parts_that_add_up(gather):
    async def test(gatherer: Gatherer, judge: Recorder) -> None:
        judge.may_answer.set()
        films = list(range(39, -1, -1))
        found = await gatherer.ask(question(1, films))
        assert found.yes_logit.tolist() == [100 + film for film in films]
        assert len(judge.passes) > 3

    gather(test, most_tokens=1)


def test_a_short_question_is_answered_before_a_long_one_that_came_first(gather):
    async def test(gatherer: Gatherer, judge: Recorder) -> None:
        long = gatherer.ask(question(1, range(40)))
        await begun(judge)
        short = gatherer.ask(question(2, [7]))
        judge.may_answer.set()
        assert (await short).yes_logit.tolist() == [207]
        assert not long.done()
        assert len((await long).yes_logit) == 40

    gather(test, most_tokens=1)


def test_what_nobody_waits_for_is_not_computed(gather):
    async def test(gatherer: Gatherer, judge: Recorder) -> None:
        first = gatherer.ask(question(0))
        await begun(judge)
        gone, kept = gatherer.ask(question(1)), gatherer.ask(question(2))
        gone.cancel()
        judge.may_answer.set()
        await asyncio.gather(first, kept)
        asked = [int(one.history.item_idx[0]) for questions, _ in judge.passes for one in questions]
        assert asked == [0, 2]

    gather(test)


def test_the_rest_of_a_long_question_is_not_computed_when_nobody_waits(gather):
    async def test(gatherer: Gatherer, judge: Recorder) -> None:
        long = gatherer.ask(question(1, range(40)))
        await begun(judge)
        long.cancel()
        judge.may_answer.set()
        await gatherer.ask(question(2))
        assert [int(questions[0].history.item_idx[0]) for questions, _ in judge.passes] == [1, 2]

    gather(test, most_tokens=1)


def test_who_goes_during_a_pass_leaves_the_others_their_answers(gather):
    async def test(gatherer: Gatherer, judge: Recorder) -> None:
        gone = gatherer.ask(question(1, [5]))
        await begun(judge)
        gone.cancel()
        judge.may_answer.set()
        assert (await gatherer.ask(question(2, [5]))).yes_logit.tolist() == [205]

    gather(test)


def test_an_error_is_told_to_those_it_concerns_and_the_next_are_answered(gather):
    async def test(gatherer: Gatherer, judge: Recorder) -> None:
        judge.may_answer.set()
        judge.error = MemoryError("all gone")
        together = [gatherer.ask(question(i)) for i in range(3)]
        for found in await asyncio.gather(*together, return_exceptions=True):
            assert isinstance(found, MemoryError)
        judge.error = None
        assert (await gatherer.ask(question(3, [4]))).yes_logit.tolist() == [304]

    gather(test)


def test_no_candidates_are_answered_at_once(gather):
    async def test(gatherer: Gatherer, judge: Recorder) -> None:
        assert len((await gatherer.ask(question(0, []))).yes_logit) == 0
        assert judge.passes == []

    gather(test)


def test_at_the_end_the_pass_ends_and_what_waits_is_refused(gather):
    outcome: dict[str, Any] = {}

    async def test(gatherer: Gatherer, judge: Recorder) -> None:
        outcome["gatherer"] = gatherer
        outcome["begun"] = gatherer.ask(question(0))
        await begun(judge)
        outcome["waiting"] = gatherer.ask(question(1))
        outcome["given up"] = gatherer.ask(question(2))
        outcome["given up"].cancel()
        judge.may_answer.set()

    gather(test)
    error = outcome["waiting"].exception()
    assert isinstance(error, UnavailableError)
    assert error.code == "shutting_down"
    assert outcome["given up"].cancelled()
    with raises_error(UnavailableError, "shutting_down"):
        outcome["gatherer"].ask(question(2))


def test_pace_gives_as_many_tokens_as_were_computed_in_the_time():
    pace = BatchSize(target_seconds=2.0, max_tokens=500)
    assert pace.tokens == 1
    for _ in range(50):
        pace.update(30, 0.3)
    assert pace.tokens == pytest.approx(200, abs=1)
    for _ in range(50):
        pace.update(1000, 0.1)
    assert pace.tokens == 500
    for _ in range(50):
        pace.update(10, 60.0)
    assert pace.tokens == 1


def test_the_first_to_ask_waits_for_others_for_a_small_part_of_a_pass():
    pace = BatchSize(target_seconds=1.0, max_tokens=500)
    assert pace.delay == 0
    for _ in range(50):
        pace.update(30, 0.4)
    assert pace.delay == pytest.approx(0.02)
    for _ in range(50):
        pace.update(30, 60.0)
    assert pace.delay == 0.05


def test_who_asks_in_that_moment_is_in_the_same_pass(gather):
    async def test(gatherer: Gatherer, judge: Recorder) -> None:
        judge.may_answer.set()
        await asyncio.sleep(0)  # the worker begins to wait
        first = gatherer.ask(question(0))
        await asyncio.sleep(0)  # the worker sees the first question
        await asyncio.gather(first, gatherer.ask(question(1)))
        assert [len(questions) for questions, _ in judge.passes] == [2]

    gather(test)


@pytest.mark.parametrize("form", ["window", "interview"])
def test_costs_are_the_tokens_that_are_read(prepared: PreparedFolder, tiny_qwen3: Path, form: Form):
    random = np.random.default_rng(5)
    tokens = drawn_subject(prepared, tiny_qwen3, form).tokens
    for count in (0, 1, 5):
        history = random_history(random, 40, count)
        candidates = random_candidates(random, 40, 7)
        asked = question_sequences(tokens, [Question(history, candidates)])
        trunk, branches = TokenCounts(tokens, len(history), "blocks").of(history, candidates)
        assert (trunk, trunk + branches.sum()) == (asked.trunk[0], len(asked.ids.values))
        nothing, whole = TokenCounts(tokens, len(history), "single").of(history, candidates)
        assert (nothing, whole.tolist()) == (0, (trunk + branches).tolist())
        assert whole.tolist() == asked.prompt_lengths.tolist()
