"""Queries of many clients share batches, and cancelled ones are not computed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from reeltune.data.history import History
from reeltune.scoring.predictor import Predictor, Query
from reeltune.serve.batch_plan import BatchSize, PendingQuery, QuerySlice, TokenCounts
from reeltune.serve.batching import Batcher, predict_batch
from reeltune.serve.errors import UnavailableError
from reeltune.serve.metrics import Metrics
from tests.errors import raises_error
from tests.scoring.models import ROUNDING, random_candidates, random_history
from tests.serve.queries import Recorder, predictions_of, query

Test = Callable[[Batcher, Recorder], Awaitable[None]]


@pytest.fixture
def run_with_batcher(served_predictor: Predictor) -> Callable[..., None]:
    """Runs a test with a batcher whose predictor is a :class:`Recorder`."""
    counts = TokenCounts(served_predictor.loaded.tokens, served_predictor.history_len, True)

    def run(test: Test, most_tokens: int = 10_000, queries: int = 100) -> None:
        async def inside() -> None:
            predictor = Recorder()
            size = BatchSize(1e9, most_tokens)
            size.update(1, 1.0)
            batcher = Batcher(predictor, counts, size, queries, Metrics())
            async with batcher.running():
                try:
                    await test(batcher, predictor)
                finally:
                    predictor.may_return.set()

        asyncio.run(asyncio.wait_for(inside(), 60))

    return run


async def batch_started(predictor: Recorder) -> None:
    """Wait until a batch runs; call it again for the next one."""
    assert await asyncio.to_thread(predictor.called.wait, 30)
    predictor.called.clear()


def test_queries_that_arrive_during_a_batch_share_the_next_one(run_with_batcher):
    async def test(batcher: Batcher, predictor: Recorder) -> None:
        first = batcher.submit(query(0))
        await batch_started(predictor)
        others = [batcher.submit(query(i, [i, i + 1])) for i in range(1, 6)]
        predictor.may_return.set()
        assert (await first).yes_logit.tolist() == [0]
        for i, each in enumerate(others, 1):
            assert (await each).yes_logit.tolist() == predictions_of(
                query(i, [i, i + 1]), False
            ).yes_logit.tolist()
        assert [len(queries) for queries, _ in predictor.batches] == [1, 5]

    run_with_batcher(test)


def test_the_number_of_queries_per_batch_is_limited(run_with_batcher):
    async def test(batcher: Batcher, predictor: Recorder) -> None:
        predictor.may_return.set()
        await asyncio.gather(*(batcher.submit(query(i)) for i in range(4)))
        assert [len(queries) for queries, _ in predictor.batches] == [1] * 4

    run_with_batcher(test, queries=1)


def test_a_long_query_is_split_over_batches(run_with_batcher):
    async def test(batcher: Batcher, predictor: Recorder) -> None:
        predictor.may_return.set()
        items = list(range(39, -1, -1))
        found = await batcher.submit(query(1, items))
        assert found.yes_logit.tolist() == [100 + item for item in items]
        assert len(predictor.batches) > 3

    run_with_batcher(test, most_tokens=1)


def test_a_short_query_is_answered_before_a_long_one_that_came_first(run_with_batcher):
    async def test(batcher: Batcher, predictor: Recorder) -> None:
        long = batcher.submit(query(1, range(40)))
        await batch_started(predictor)
        short = batcher.submit(query(2, [7]))
        predictor.may_return.set()
        assert (await short).yes_logit.tolist() == [207]
        assert not long.done()
        assert len((await long).yes_logit) == 40

    run_with_batcher(test, most_tokens=1)


def test_a_cancelled_query_is_not_computed(run_with_batcher):
    async def test(batcher: Batcher, predictor: Recorder) -> None:
        first = batcher.submit(query(0))
        await batch_started(predictor)
        gone, kept = batcher.submit(query(1)), batcher.submit(query(2))
        gone.cancel()
        predictor.may_return.set()
        await asyncio.gather(first, kept)
        histories = [
            int(each.history.item_idx[0]) for queries, _ in predictor.batches for each in queries
        ]
        assert histories == [0, 2]

    run_with_batcher(test)


def test_the_rest_of_a_cancelled_query_is_not_computed(run_with_batcher):
    async def test(batcher: Batcher, predictor: Recorder) -> None:
        long = batcher.submit(query(1, range(40)))
        await batch_started(predictor)
        long.cancel()
        predictor.may_return.set()
        await batcher.submit(query(2))
        assert [int(queries[0].history.item_idx[0]) for queries, _ in predictor.batches] == [1, 2]

    run_with_batcher(test, most_tokens=1)


def test_cancelling_during_a_batch_leaves_other_queries_alone(run_with_batcher):
    async def test(batcher: Batcher, predictor: Recorder) -> None:
        gone = batcher.submit(query(1, [5]))
        await batch_started(predictor)
        gone.cancel()
        predictor.may_return.set()
        assert (await batcher.submit(query(2, [5]))).yes_logit.tolist() == [205]

    run_with_batcher(test)


def test_an_error_fails_its_batch_and_not_the_next(run_with_batcher):
    async def test(batcher: Batcher, predictor: Recorder) -> None:
        predictor.may_return.set()
        predictor.error = MemoryError("all gone")
        together = [batcher.submit(query(i)) for i in range(3)]
        for found in await asyncio.gather(*together, return_exceptions=True):
            assert isinstance(found, MemoryError)
        predictor.error = None
        assert (await batcher.submit(query(3, [4]))).yes_logit.tolist() == [304]

    run_with_batcher(test)


def test_a_query_without_candidates_is_answered_at_once(run_with_batcher):
    async def test(batcher: Batcher, predictor: Recorder) -> None:
        assert len((await batcher.submit(query(0, []))).yes_logit) == 0
        assert predictor.batches == []

    run_with_batcher(test)


def test_shutting_down_finishes_the_batch_and_fails_waiting_queries(run_with_batcher):
    outcome: dict[str, Any] = {}

    async def test(batcher: Batcher, predictor: Recorder) -> None:
        outcome["batcher"] = batcher
        outcome["running"] = batcher.submit(query(0))
        await batch_started(predictor)
        outcome["waiting"] = batcher.submit(query(1))
        outcome["cancelled"] = batcher.submit(query(2))
        outcome["cancelled"].cancel()
        predictor.may_return.set()

    run_with_batcher(test)
    error = outcome["waiting"].exception()
    assert isinstance(error, UnavailableError)
    assert error.code == "shutting_down"
    assert outcome["cancelled"].cancelled()
    with raises_error(UnavailableError, "shutting_down"):
        outcome["batcher"].submit(query(2))


def test_queries_submitted_during_the_delay_share_a_batch(run_with_batcher):
    async def test(batcher: Batcher, predictor: Recorder) -> None:
        predictor.may_return.set()
        await asyncio.sleep(0)  # the worker begins to wait
        first = batcher.submit(query(0))
        await asyncio.sleep(0)  # the worker sees the first query
        await asyncio.gather(first, batcher.submit(query(1)))
        assert [len(queries) for queries, _ in predictor.batches] == [2]

    run_with_batcher(test)


def query_slice(
    history: History, candidates: list[int], start: int = 0, *, base: bool = False
) -> QuerySlice:
    query = Query(history, np.array(candidates))
    loop = asyncio.new_event_loop()
    each = PendingQuery(
        query, base, 1, np.ones(len(candidates), dtype=np.int64), loop.create_future()
    )
    loop.close()
    return QuerySlice(each, start, len(candidates))


def recorder() -> Recorder:
    found = Recorder()
    found.may_return.set()
    return found


FIRST, SECOND = History.of([1], [4.0]), History.of([2], [4.0])


def test_equal_histories_become_one_query_and_a_candidate_is_predicted_once():
    predictor = recorder()
    batch = [
        query_slice(FIRST, [5, 3]),
        query_slice(SECOND, [3]),
        query_slice(FIRST, [9, 3, 7], 1),
        query_slice(FIRST, [3]),
    ]
    found = predict_batch(predictor, batch)
    ((queries, base),) = predictor.batches
    assert not base
    assert [each.history for each in queries] == [FIRST, SECOND]
    assert [each.candidates.tolist() for each in queries] == [[3, 5, 7], [3]]
    expected = [[105, 103], [203], [103, 107], [103]]
    assert [each.yes_logit.tolist() for each in found] == expected


def test_each_model_is_called_once():
    predictor = recorder()
    batch = [
        query_slice(FIRST, [5]),
        query_slice(FIRST, [5], base=True),
        query_slice(SECOND, [4], base=True),
    ]
    found = predict_batch(predictor, batch)
    assert [(len(queries), base) for queries, base in predictor.batches] == [(1, False), (2, True)]
    for each, part in zip(found, batch, strict=True):
        expected = predictions_of(part.pending.query, part.pending.base)
        assert each.log_odds.tolist() == expected.log_odds.tolist()


@pytest.mark.parametrize("other", [History.of([1], [4.5]), History.of([1, 1], [4.0, 4.0])])
def test_histories_that_differ_in_ratings_or_length_are_not_merged(other):
    predictor = recorder()
    predict_batch(predictor, [query_slice(FIRST, [5]), query_slice(other, [5])])
    assert len(predictor.batches[0][0]) == 2


def test_batched_predictions_equal_those_of_single_queries(served_predictor: Predictor):
    random = np.random.default_rng(3)
    items = len(served_predictor.loaded.folder.items)
    histories = [random_history(random, items, count) for count in (0, 2, 5, 5)]
    batch = [
        query_slice(
            histories[i % 4],
            random_candidates(random, items, 1 + i % 5).tolist(),
            base=i % 3 == 0,
        )
        for i in range(16)
    ]
    found = predict_batch(served_predictor, batch)
    alone = [
        served_predictor.predict([each.pending.query], base=each.pending.base)[0] for each in batch
    ]
    for each, expected in zip(found, alone, strict=True):
        np.testing.assert_allclose(each.p_yes, expected.p_yes, atol=ROUNDING, rtol=0)
    # Otherwise the comparison would prove nothing.
    assert np.std([each.p_yes[0] for each in alone]) > 100 * ROUNDING
