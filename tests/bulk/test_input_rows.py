"""Rows that cannot be scored_since stop the run before it begins, or are kept and counted."""

from __future__ import annotations

import json
import re

import pyarrow as pa
import pytest

from reeltune.bulk.input_table import InputRows, InvalidRows
from reeltune.bulk.lookup import Lookup
from reeltune.data.columns import NO_TIMES
from reeltune.data.folder import PreparedFolder
from reeltune.errors import DataError, RequestError
from tests.bulk.build import Row, open_pairs, output_rows, p_yes_alone, write_rows
from tests.errors import raises_error

GOOD, BETTER = Row(1, 1, 10), Row(11, 4, 2_000_000_000)
FAULTY = [
    (Row(None, 1, 10), "missing user_id"),
    (Row(2, 1, 10), "unknown user_id 2"),
    (Row(1, None, 10), "missing item_id"),
    (Row(1, 2, 10), "unknown item_id 2"),
    (Row(1, 1, None), "missing timestamp"),
    (Row(1, 1, 964982703000), "implausible timestamp 964982703000"),
    (Row(-5, -5, 10), "unknown user_id -5"),
]
ROWS = [GOOD, *(row for row, _ in FAULTY), BETTER]


@pytest.mark.parametrize(("row", "fault"), FAULTY)
def test_an_invalid_row_is_reported_before_anything_is_written(bench, tmp_path, row, fault):
    path = write_rows(tmp_path / "in.parquet", [GOOD, GOOD, row], timed=True)
    figures = [f"row 2: {fault}", "1 ", " 3 ", "--skip-unknown"]
    with raises_error(RequestError, "invalid_input_rows", figures=figures) as error:
        bench.score(path, tmp_path / "out")
    assert error.value.where == str(path)
    assert not (tmp_path / "out").exists()


def test_the_first_five_invalid_rows_are_named_and_all_counted(bench, tmp_path):
    rows = [GOOD, *[Row(user, 1) for user in range(2, 10)]]
    path = write_rows(tmp_path / "in.parquet", rows)
    with raises_error(RequestError, "invalid_input_rows", figures=["8 ", " 9 "]) as error:
        bench.score(path, tmp_path / "out")
    assert re.findall(r"row (\d): .*?user_id (\d)", str(error.value)) == [
        (str(row), str(row + 1)) for row in range(1, 6)
    ]
    assert "; 3 " in str(error.value)


def test_skip_unknown_keeps_invalid_rows_with_null(bench, predictor, tmp_path):
    path = write_rows(tmp_path / "in.parquet", ROWS, timed=True)
    record = bench.score(path, tmp_path / "out", skip_unknown=True, rows_per_shard=3).record
    found = output_rows(tmp_path / "out")
    assert [Row(one["user_id"], one["item_id"], one["timestamp"]) for one in found] == ROWS
    assert [one["p_yes"] is None for one in found] == [False, *[True] * 7, False]
    assert found[0]["p_yes"] == pytest.approx(p_yes_alone(predictor, GOOD), abs=1e-6)
    assert found[-1]["p_yes"] == pytest.approx(p_yes_alone(predictor, BETTER), abs=1e-6)
    assert (record["rows"], record["scored"], record["without_p_yes"]) == (9, 2, 7)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["unknown"] == {
        "rows": 7,
        "why": {
            "missing user_id": 1,
            "unknown user_id": 2,
            "missing item_id": 1,
            "unknown item_id": 1,
            "missing timestamp": 1,
            "implausible timestamp": 1,
        },
    }


def test_rows_are_numbered_through_the_whole_file(lookup, tmp_path):
    """Whatever the slices."""
    from reeltune.bulk.input_table import InputRows

    rows = [GOOD] * 7 + [Row(2, 1)]
    pairs = open_pairs(write_rows(tmp_path / "in.parquet", rows), lookup, 5)
    found = InvalidRows()
    for rows_slice in pairs.slices([range(5), range(5, 8)]):
        found.add(rows_slice, InputRows.resolve(rows_slice, lookup))
    assert "row 7: unknown user_id 2" in str(found.error("in.parquet"))
    assert "1 row of 8" in str(found.error("in.parquet"))


def test_a_table_with_only_invalid_rows(bench, tmp_path):
    path = write_rows(tmp_path / "in.parquet", [Row(2, 2), Row(None, None)])
    record = bench.score(path, tmp_path / "out", skip_unknown=True).record
    assert (record["rows"], record["scored"]) == (2, 0)
    assert [one["p_yes"] for one in output_rows(tmp_path / "out")] == [None, None]


def test_times_are_refused_where_ratings_have_none(prepared):
    meta = {**prepared.meta, "tables": {"times": NO_TIMES}}
    lookup = Lookup(PreparedFolder(prepared.path, meta))
    rows = {"user_id": [1], "item_id": [1]}
    assert InputRows.resolve(pa.table(rows), lookup).valid.tolist() == [0]
    with raises_error(DataError, "ratings_without_times"):
        InputRows.resolve(pa.table({**rows, "timestamp": [10]}), lookup)
