"""Every user's best films are those that recommending finds for that user alone."""

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
def ask(predictor, lookup: Lookup):
    """Call with what is asked, get the rows."""
    catalogue = Catalogue.of(predictor.loaded.folder)

    def call(
        filters: Filters | None = None,
        count: int = 3,
        candidates: int | None = None,
        users: InputTable | None = None,
    ) -> list[dict]:
        task = Top(users, lookup, 3, catalogue, filters or Filters(), count, candidates)
        told: list[int] = []
        tables = [task.score(one, predictor, told.append) for one in task.slices(task.shards)]
        assert sum(told) == task.rows
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
def test_all_users_in_order_each_with_their_films(
    ask, predictor, lookup, filters, count, candidates
):
    wanted = [
        row
        for user_id in lookup.user_ids.tolist()
        for row in expected(predictor, user_id, filters, count, candidates)
    ]
    assert as_tuples(ask(filters, count, candidates)) == wanted


def test_listed_users_in_the_order_listed(ask, predictor, tmp_path):
    """One who is listed twice is answered twice; one nobody knows has a row without films."""
    users = [31, 1, 31, 999, None]
    pq.write_table(pa.table({"user_id": users, "item_id": [5] * 5}), tmp_path / "users.parquet")
    table = InputTable.open(tmp_path / "users.parquet", ("user_id",))
    assert table.ignored == ("item_id",)
    found = as_tuples(ask(users=table, count=2))
    known = [row for user in (31, 1, 31) for row in expected(predictor, user, Filters(), 2, None)]
    assert found == [*known, (999, None, None, None), (None, None, None, None)]


def test_who_has_rated_all_that_fit_gets_nothing(ask, predictor, lookup):
    folder = predictor.loaded.folder
    popular = int(np.bincount(folder.timelines.item_idx).max())
    found = ask(Filters(min_ratings=popular), count=50)
    fitting = set(np.flatnonzero(np.bincount(folder.timelines.item_idx) >= popular).tolist())
    everything = {
        user_id
        for user, user_id in enumerate(lookup.user_ids.tolist())
        if fitting <= set(lookup.rated(user).tolist())
    }
    assert everything
    assert {row["user_id"] for row in found} == set(lookup.user_ids.tolist()) - everything


def test_no_users_at_all(ask, tmp_path):
    pq.write_table(pa.table({"user_id": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    assert ask(users=InputTable.open(tmp_path / "none.parquet", ("user_id",))) == []


def test_filters_that_no_film_fits(ask):
    with raises_error(RequestError, "no_matching_items"):
        ask(Filters(year_from=2030))
