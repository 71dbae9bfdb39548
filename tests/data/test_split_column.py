"""Split codes behave like the names they stand for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.columns import SPLITS
from reeltune.data.timelines import UNKNOWN_SPLIT, SplitColumn

NAMES = st.lists(st.sampled_from(SPLITS), max_size=20)


@given(NAMES)
def test_names_come_back(names: list[str]):
    column = SplitColumn.of(names)
    assert column.codes.dtype == np.int8
    assert len(column) == len(names)
    assert column.tolist() == list(column) == np.asarray(column).tolist() == names


@given(NAMES, st.sampled_from(SPLITS), st.sets(st.sampled_from(SPLITS)))
def test_comparisons_are_those_of_names(names: list[str], name: str, several: set[str]):
    column = SplitColumn.of(names)
    assert (column == name).tolist() == [other == name for other in names]
    assert (column != name).tolist() == [other != name for other in names]
    assert column.is_in(*several).tolist() == [other in several for other in names]
    assert (column == SplitColumn.of(names)).all()


@given(NAMES, st.data())
def test_rows_are_taken_like_those_of_an_array(names: list[str], data: st.DataObject):
    column, plain = SplitColumn.of(names), np.array(names, dtype=np.str_)
    some = st.lists(st.integers(0, len(names) - 1)) if names else st.just([])
    rows = np.array(data.draw(some), dtype=np.int64)
    assert column[rows].tolist() == plain[rows].tolist()
    assert column[1:5].tolist() == plain[1:5].tolist()
    assert column[column == "train"].tolist() == plain[plain == "train"].tolist()


@given(st.lists(st.lists(st.sampled_from(SPLITS)), max_size=4), st.booleans())
def test_arrow_columns_are_read_chunk_by_chunk(chunks: list[list[str]], encoded: bool):
    column = pa.chunked_array(chunks, type=pa.string())
    read = SplitColumn.from_arrow(column.dictionary_encode() if encoded else column)
    assert read.tolist() == [name for chunk in chunks for name in chunk]


@pytest.mark.parametrize("other", ["trial", "", "Train"])
def test_another_name_is_in_no_split(other: str):
    column = SplitColumn.of(["train", other])
    assert column.tolist() == ["train", UNKNOWN_SPLIT]
    assert not column.is_in(*SPLITS)[1]
    assert not (column == other).any()
