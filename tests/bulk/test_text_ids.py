"""Tables with ids of text have the predictions of the same rows with numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reeltune.bulk.input_table import InputRows, InvalidRows
from reeltune.bulk.lookup import UNKNOWN, Lookup
from reeltune.bulk.tasks import Pairs, Top
from reeltune.data.folder import PreparedFolder
from reeltune.recommend.candidates import Filters
from reeltune.recommend.catalogue import Catalogue
from reeltune.scoring.predictor import Predictor
from tests.bulk.build import open_pairs
from tests.prepared_data import text_item, text_user

UNKNOWN_IDS = ["11", "-1", "user", None]


@pytest.fixture
def text_predictor(predictor: Predictor, text_prepared: Path) -> Predictor:
    return Predictor(replace(predictor.loaded, folder=PreparedFolder.open(text_prepared)))


@pytest.fixture
def text_lookup(text_prepared: Path) -> Lookup:
    return Lookup(PreparedFolder.open(text_prepared))


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
)
def test_pairs_of_text_ids(lookup, text_lookup, predictor, text_predictor, tmp_path, kind):
    users, items = [11, 1, 11, 71], [0, 39, 3, 7]
    numbers = pa.table({"user_id": users, "item_id": [3 * row + 1 for row in items]})
    expected = Pairs(None, lookup, 9).score(numbers, predictor, lambda _: None)
    columns = {
        "user_id": [*map(text_user, users), *UNKNOWN_IDS, text_user(1)],
        "item_id": [*map(text_item, items), *[text_item(0)] * 4, "isbn"],
    }
    table = pa.table({name: pa.array(ids).cast(kind) for name, ids in columns.items()})
    path = tmp_path / "in.parquet"
    pq.write_table(table, path)
    task = open_pairs(path, text_lookup, 9)
    (rows,) = task.slices([range(9)])
    scored = task.score(rows, text_predictor, lambda _: None)
    assert {name: scored[name].to_pylist() for name in columns} == columns
    assert scored["p_yes"].to_pylist() == [*expected["p_yes"].to_pylist(), *[None] * 5]
    invalid = InvalidRows()
    invalid.add(rows, InputRows.resolve(rows, text_lookup))
    assert invalid.counts == {"unknown user_id": 3, "missing user_id": 1, "unknown item_id": 1}
    assert "row 8: unknown item_id isbn" in str(invalid.error("in.parquet"))


def test_the_top_items_of_users_with_text_ids(lookup, text_lookup, predictor, text_predictor):
    def top(lookup: Lookup, predictor: Predictor, users: pa.Table) -> pa.Table:
        catalogue = Catalogue.of(predictor.loaded.folder)
        task = Top(None, lookup, 9, catalogue, Filters(), 2, None)
        return task.score(users, predictor, lambda _: None)

    expected = top(lookup, predictor, pa.table({"user_id": [11, 1]})).to_pylist()
    users = pa.table({"user_id": [text_user(11), "x", text_user(1)]})
    found = top(text_lookup, text_predictor, users)
    renamed = [
        row | {"user_id": text_user(row["user_id"]), "item_id": text_item(row["item_id"] // 3)}
        for row in expected
    ]
    unknown = {"user_id": "x", "rank": None, "item_id": None, "p_yes": None}
    assert found.to_pylist() == [*renamed[:2], unknown, *renamed[2:]]
    empty = top(text_lookup, text_predictor, users.slice(0, 0))
    assert empty.schema == found.schema


def test_numbers_and_their_text_are_one_id(lookup, text_lookup):
    numbers = [1, 11, -1, 2**63 - 1]
    expected = [0, 1, UNKNOWN, UNKNOWN]
    for ids in (pa.array(numbers), pa.array(map(str, numbers)), pa.array(["1", "11", "011", ""])):
        assert lookup.users(pa.chunked_array([ids])).tolist() == expected
    assert text_lookup.users(pa.chunked_array([numbers])).tolist() == [UNKNOWN] * 4
    assert np.array_equal(text_lookup.items(text_lookup.item_ids), np.arange(40))
