from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.ragged import Ragged, concatenate, join, offsets_of, repeat_row

Rows = list[list[int]]

row_lists = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5), max_size=8)


@pytest.fixture(autouse=True, scope="module", params=["at once", "in chunks"])
def moved(request: pytest.FixtureRequest) -> Iterator[None]:
    """Values are moved a few hundred thousand at once; here also three at once."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "in chunks":
            patch.setattr("reeltune.ragged._CHUNK_VALUES", 3)
        yield


def plain(ragged: Ragged) -> Rows:
    """The rows as Python lists, after checking that the arrays are well formed."""
    assert ragged.values.dtype == np.int32
    assert ragged.offsets.dtype == np.int64
    assert ragged.offsets[0] == 0
    assert ragged.offsets[-1] == len(ragged.values)
    return [row.tolist() for row in ragged]


@given(row_lists)
def test_round_trip(rows: Rows):
    ragged = Ragged.from_rows(rows)
    assert plain(ragged) == rows
    assert len(ragged) == len(rows)
    assert ragged.lengths.tolist() == [len(row) for row in rows]


@given(row_lists, st.data())
def test_take_chooses_and_repeats_rows(rows: Rows, data: st.DataObject):
    chosen = data.draw(
        st.lists(st.integers(0, len(rows) - 1), max_size=10) if rows else st.just([])
    )
    taken = Ragged.from_rows(rows).take(np.array(chosen, dtype=np.int64))
    assert plain(taken) == [rows[index] for index in chosen]


@given(row_lists, st.data())
def test_spans_run_neighbouring_rows_together(rows: Rows, data: st.DataObject):
    edges = st.tuples(st.integers(0, len(rows)), st.integers(0, len(rows))).map(sorted)
    spans = data.draw(st.lists(edges, max_size=10))
    first, last = (np.array([span[i] for span in spans], dtype=np.int64) for i in (0, 1))
    expected = [[value for row in rows[a:b] for value in row] for a, b in spans]
    assert plain(Ragged.from_rows(rows).spans(first, last)) == expected


@given(st.integers(0, 6), st.integers(1, 4), st.data())
def test_join_runs_equal_rows_of_all_parts_together(count: int, parts: int, data: st.DataObject):
    part = st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=count, max_size=count)
    given_parts = data.draw(st.lists(part, min_size=parts, max_size=parts))
    joined = join(*(Ragged.from_rows(rows) for rows in given_parts))
    assert plain(joined) == [[*chain(*rows)] for rows in zip(*given_parts, strict=True)]


@given(st.lists(row_lists, min_size=1, max_size=4))
def test_concatenate_stacks_rows(parts: list[Rows]):
    stacked = concatenate([Ragged.from_rows(rows) for rows in parts])
    assert plain(stacked) == [*chain(*parts)]


@given(st.lists(st.integers(0, 9), max_size=5), st.integers(0, 5))
def test_repeat_row_repeats(row: list[int], times: int):
    assert plain(repeat_row(np.array(row, dtype=np.int32), times)) == [row] * times


@given(st.lists(st.integers(0, 2**40), max_size=6))
def test_offsets_are_running_totals(lengths: list[int]):
    offsets = offsets_of(np.array(lengths, dtype=np.int64))
    assert offsets.tolist() == [sum(lengths[:i]) for i in range(len(lengths) + 1)]


@pytest.mark.parametrize("row", [-1, 2])
def test_a_missing_row_is_an_error(row: int):
    with pytest.raises(IndexError):
        Ragged.from_rows([[1], [2, 3]])[row]
