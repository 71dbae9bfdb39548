"""Slices with equal histories are predicted together, and as if each had been alone."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from reeltune.data.history import History
from reeltune.scoring.predictor import Predictor, Query
from reeltune.serve.batch_plan import PendingQuery, QuerySlice
from reeltune.serve.batching import predict_batch
from tests.scoring.models import ROUNDING, random_candidates, random_history
from tests.serve.queries import Recorder, predictions_of


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
