"""Each user's top items are the recommendations for that user alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reeltune.bulk.input_table import InputTable
from reeltune.bulk.lookup import Lookup
from reeltune.bulk.tasks import Top
from reeltune.errors import RequestError
from reeltune.recommend.candidates import ALL, Filters
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.pipeline import RecommendationPipeline, RecommendationRequest
from reeltune.recommend.user_ratings import user_history
from tests.errors import raises_error


@pytest.fixture
def score_top(predictor, lookup: Lookup):
    """Score a ``Top`` task and return its rows."""
    catalogue = Catalogue.of(predictor.loaded.folder)

    def call(
        filters: Filters | None = None,
        count: int = 3,
        candidates: int | None = None,
        users: InputTable | None = None,
    ) -> list[dict]:
        task = Top(users, lookup, 3, catalogue, filters or Filters(), count, candidates)
        advanced: list[int] = []
        tables = [task.score(one, predictor, advanced.append) for one in task.slices(task.shards)]
        assert sum(advanced) == task.rows
        return pa.concat_tables(tables).to_pylist()

    return call


def expected(predictor, user_id: int, filters: Filters, count: int, candidates: int | None):
    folder = predictor.loaded.folder
    catalogue = Catalogue.of(folder)
    history = user_history(folder.timelines, user_id)
    request = RecommendationRequest(history, filters, count, candidates or ALL)
    result = RecommendationPipeline.of(predictor, catalogue).recommend(predictor, request)
    return [
        (user_id, rank, one.item.item_id, pytest.approx(one.p_like, abs=1e-6))
        for rank, one in enumerate(result.recommendations, start=1)
    ]


def as_tuples(rows: list[dict]) -> list[tuple]:
    return [tuple(row.values()) for row in rows]


@pytest.mark.parametrize(
    ("filters", "count", "candidates"),
    [
        (Filters(), 3, None),
        (Filters(), 100, None),
        (Filters(), 2, 4),
        (Filters(genres=("drama",), year_from=1950, year_to=2010, min_ratings=2), 3, None),
        (Filters(without_genres=("Drama",), max_ratings=6), 3, 5),
    ],
)
def test_all_users_have_the_recommendations_of_that_user_alone(
    score_top, predictor, lookup, filters, count, candidates
):
    wanted = [
        row
        for user_id in lookup.user_ids.tolist()
        for row in expected(predictor, user_id, filters, count, candidates)
    ]
    assert as_tuples(score_top(filters, count, candidates)) == wanted


def test_listed_users_keep_their_order(score_top, predictor, tmp_path):
    """A repeated user has two results; an unknown user has a row of nulls."""
    users = [31, 1, 31, 999, None]
    pq.write_table(pa.table({"user_id": users, "item_id": [5] * 5}), tmp_path / "users.parquet")
    table = InputTable.open(tmp_path / "users.parquet", {}, pairs=False)
    assert table.ignored == ("item_id",)
    found = as_tuples(score_top(users=table, count=2))
    known = [row for user in (31, 1, 31) for row in expected(predictor, user, Filters(), 2, None)]
    assert found == [*known, (999, None, None, None), (None, None, None, None)]


def test_a_user_who_rated_every_matching_item_has_no_row(score_top, predictor, lookup):
    folder = predictor.loaded.folder
    popular = int(np.bincount(folder.timelines.item_idx).max())
    found = score_top(Filters(min_ratings=popular), count=50)
    fitting = set(np.flatnonzero(np.bincount(folder.timelines.item_idx) >= popular).tolist())
    everything = {
        user_id
        for user, user_id in enumerate(lookup.user_ids.tolist())
        if fitting <= set(lookup.rated(user).tolist())
    }
    assert everything
    assert {row["user_id"] for row in found} == set(lookup.user_ids.tolist()) - everything


def test_an_empty_table_of_users(score_top, tmp_path):
    pq.write_table(pa.table({"user_id": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    assert score_top(users=InputTable.open(tmp_path / "none.parquet", {}, pairs=False)) == []


def test_filters_that_match_no_item_are_an_error(score_top):
    with raises_error(RequestError, "no_matching_items"):
        score_top(Filters(year_from=2030))
