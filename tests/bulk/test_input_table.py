"""Reading the input table: errors, slices and memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.bulk import input_table as table_module
from reeltune.bulk.input_table import InputTable, cut_slices
from reeltune.bulk.tasks import P_YES, Pairs
from reeltune.errors import DataError
from tests.bulk.build import Row, write_rows
from tests.errors import raises_error

NEEDED = ("user_id", "item_id")
SCHEMA = pa.schema([("user_id", pa.int64())])


def numbered(first: int, count: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array(range(first, first + count), pa.int64())], schema=SCHEMA)


@given(
    sizes=st.lists(st.integers(0, 5), max_size=12),
    cuts=st.lists(st.integers(0, 40), max_size=8, unique=True),
    kept=st.lists(st.booleans(), min_size=7, max_size=7),
)
def test_slices_hold_the_wanted_rows(sizes, cuts, kept):
    total = sum(sizes)
    edges = sorted(cut for cut in cuts if cut <= total)
    wanted = [range(a, b) for (a, b), keep in zip(pairwise(edges), kept, strict=False) if keep]
    first = np.cumsum([0, *sizes]).tolist()
    batches = [(at, numbered(at, size)) for at, size in zip(first, sizes, strict=False)]
    found = cut_slices(batches, wanted, SCHEMA)
    assert [rows_slice["user_id"].to_pylist() for rows_slice in found] == [list(w) for w in wanted]


def test_memory_holds_one_shard_and_two_batches():
    """What Arrow holds is counted whenever a batch comes in."""
    batch_rows, shard_rows, row_bytes = 1000, 5000, 8
    before = pa.total_allocated_bytes()
    held: list[int] = []

    def batches() -> Iterator[tuple[int, pa.RecordBatch]]:
        for first in range(0, 100_000, batch_rows):
            yield first, numbered(first, batch_rows)
            held.append(pa.total_allocated_bytes() - before)

    shards = [range(start, start + shard_rows) for start in range(0, 100_000, shard_rows)]
    slices = cut_slices(batches(), shards, SCHEMA)
    for shard in shards:
        assert next(slices).num_rows == len(shard)
    slack = 1.1  # buffers are rounded up
    assert max(held) <= slack * row_bytes * (shard_rows + 2 * batch_rows)
    assert max(held) >= row_bytes * (shard_rows - batch_rows)


def test_a_shard_is_freed_before_the_next_is_read(bench, tmp_path, monkeypatch):
    """From beginning to end, with predictions that cost nothing."""
    shard_rows, row_bytes = 200_000, 16
    random = np.random.default_rng(0)
    columns = [random.choice([1, 11, 21], 6 * shard_rows), random.choice([1, 4, 7], 6 * shard_rows)]
    pq.write_table(pa.table(columns, list(NEEDED)), tmp_path / "in.parquet")

    def scored(_, table, *rest):
        return table.append_column(P_YES, pa.array(np.zeros(table.num_rows)))

    monkeypatch.setattr(Pairs, "score", scored)
    before = pa.total_allocated_bytes()
    held: list[int] = []
    read = InputTable._as_read

    def counting(table, batch):
        held.append(pa.total_allocated_bytes() - before)
        return read(table, batch)

    monkeypatch.setattr(InputTable, "_as_read", counting)
    bench.score(tmp_path / "in.parquet", tmp_path / "out", rows_per_shard=shard_rows)
    shard_bytes = shard_rows * row_bytes
    # Beside a shard: what decoding needs, two pages of a megabyte.
    assert shard_bytes < max(held) < 2.2 * shard_bytes


def test_unneeded_row_groups_are_not_read(tmp_path, monkeypatch):
    path = write_rows(tmp_path / "in", [Row(n, n) for n in range(60)], row_group_size=10)
    read: list[int] = []
    whole = pq.ParquetFile.iter_batches

    def listening(file, size, groups, columns):
        read.extend(groups)
        return whole(file, size, groups, columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", listening)
    found = InputTable.open(path, {}, pairs=True).slices([range(12, 18), range(38, 42)])
    assert [one["item_id"].to_pylist() for one in found] == [[*range(12, 18)], [*range(38, 42)]]
    assert read == [1, 3, 4]


def test_a_large_row_group_is_decoded_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(table_module, "_BATCH_ROWS", 8)
    path = write_rows(tmp_path / "in", [Row(n, n) for n in range(50)])
    sizes: list[int] = []
    original = InputTable._as_read

    def listening(table, batch):
        sizes.append(batch.num_rows)
        return original(table, batch)

    monkeypatch.setattr(InputTable, "_as_read", listening)
    next(InputTable.open(path, {}, pairs=True).slices([range(20)]))
    assert sizes == [8, 8, 8]


def test_a_large_row_group_is_not_read_ahead(tmp_path):
    """What Arrow holds after the first rows of a row group of 16 MB."""
    random = np.random.default_rng(0).integers(0, 2**62, (2, 1_000_000))
    pq.write_table(pa.table(dict(zip(NEEDED, random, strict=True))), tmp_path / "in")
    table = InputTable.open(tmp_path / "in", {}, pairs=True)
    assert pq.read_metadata(tmp_path / "in").num_row_groups == 1
    before = pa.total_allocated_bytes()
    slices = table.slices([range(1000), range(1000, 2000)])
    assert next(slices).num_rows == 1000
    assert pa.total_allocated_bytes() - before < 8 << 20


@pytest.mark.parametrize(
    ("columns", "code", "figures"),
    [
        ({"user_id": [1]}, "missing_columns", ["item;", "user_id"]),
        (
            {"user_id": [1], "userId": [1], "item_id": [1]},
            "ambiguous_column",
            ["user_id", "userId"],
        ),
        ({"uid": [1], "username": [1], "item_id": [1]}, "ambiguous_column", ["uid", "username"]),
        ({"user_id": [1.0], "item_id": [1]}, "wrong_column_type", ["user_id", "double"]),
        ({"user_id": [1], "movieId": [b"1"]}, "wrong_column_type", ["movieId", "binary"]),
        ({"user_id": [True], "item_id": [1]}, "wrong_column_type", ["user_id", "bool"]),
        ({"user_id": pa.array([1], pa.uint64()), "item_id": [1]}, "wrong_column_type", ["uint64"]),
        ({"user_id": [1], "item_id": [1], "timestamp": [1.5]}, "wrong_column_type", ["1970"]),
        ({"user_id": [1], "item_id": [1], "timestamp": ["x"]}, "wrong_column_type", ["1970"]),
        ({}, "missing_columns", ["user and item;"]),
    ],
)
def test_invalid_columns_are_errors(tmp_path, columns, code, figures):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table(columns), path)
    with raises_error(DataError, code, figures=figures) as error:
        InputTable.open(path, {}, pairs=True)
    assert error.value.where == str(path)


def test_a_file_that_is_not_parquet_is_an_error(tmp_path):
    (tmp_path / "in.csv").write_text("user_id,item_id\n1,1\n")
    for path in (tmp_path / "in.csv", tmp_path / "missing", tmp_path):
        with raises_error(DataError, "not_parquet", where=str(path)):
            InputTable.open(path, {}, pairs=True)


def test_a_file_that_shrinks_during_reading_is_an_error(tmp_path):
    path = write_rows(tmp_path / "in", [Row(n, n) for n in range(9)])
    table = InputTable.open(path, {}, pairs=True)
    write_rows(path, [Row(n, n) for n in range(5)])
    with raises_error(DataError, "input_changed", where=str(path)):
        list(table.slices([range(6)]))


def test_a_count_of_rows_that_differs_from_the_row_groups_is_refused(tmp_path):
    path, other = tmp_path / "pairs.parquet", []
    pq.write_table(pa.table({"user_id": [1, 2], "item_id": [3, 4]}), path)
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for place in range(footer, footer + 200):
        damaged = bytearray(content)
        damaged[place] ^= 4  # two rows, written as 4, become none
        try:
            rows = pq.ParquetFile(pa.BufferReader(bytes(damaged))).metadata.num_rows
        except (pa.ArrowInvalid, OSError):
            continue
        if rows != 2:
            other.append(bytes(damaged))
    assert other
    for damaged in other:
        path.write_bytes(damaged)
        with raises_error(DataError, "not_parquet", where=str(path)):
            InputTable.open(path, {}, pairs=True)
