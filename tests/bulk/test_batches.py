"""Queries are consumed batch by batch, and progress counts every row once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reeltune.bulk.tasks import predict_in_batches, query_batches
from reeltune.data.history import History
from reeltune.scoring.predictor import Query


def query(candidates: int) -> Query:
    return Query(History.of([], []), np.arange(candidates))


@given(sizes=st.lists(st.integers(0, 6), max_size=20), predictions=st.integers(1, 10))
def test_batches_hold_all_queries_and_end_at_the_minimum_size(sizes, predictions):
    queries = [query(size) for size in sizes]
    batches = list(query_batches(queries, predictions))
    assert [each for batch in batches for each in batch] == queries
    candidates = [[len(each.candidates) for each in batch] for batch in batches]
    assert all(sum(batch[:-1]) < predictions for batch in candidates)
    assert all(sum(batch) >= predictions for batch in candidates[:-1])


def test_queries_are_consumed_batch_by_batch(predictor):
    """So queries of a whole shard are never in memory together."""
    made: list[int] = []

    def queries() -> Iterator[Query]:
        for number in range(6):
            made.append(number)
            yield query(2)

    advanced: list[int] = []
    results = predict_in_batches(
        predictor, queries(), lambda each: len(each.candidates), advanced.append, 4
    )
    seen = [(len(made), len(predictions.p_yes)) for _, predictions in results]
    assert seen == [(2, 2), (2, 2), (4, 2), (4, 2), (6, 2), (6, 2)]
    assert sum(advanced) == 12


def test_a_user_counts_as_one_row_however_many_candidates_there_are(predictor):
    advanced: list[int] = []

    def predict(*queries: Query):
        return list(predict_in_batches(predictor, queries, lambda _: 1, advanced.append))

    assert len(predict(query(30), query(0), query(3))) == 3
    assert sum(advanced) == 3
    ((_, nothing),) = predict(query(0))
    assert nothing.p_yes.tolist() == []
    assert sum(advanced) == 4
