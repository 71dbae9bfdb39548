"""Packing: every sequence whole, in exactly one row, and no row over its length."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reeltune.attention.packing import TILE, pack, whole_tiles
from reeltune.errors import LengthError
from tests.errors import raises_error

ROW = 40
LENGTHS = st.lists(st.integers(1, ROW), max_size=200).map(lambda found: np.array(found, np.int64))


@given(LENGTHS)
def test_every_sequence_is_in_one_row_and_no_row_is_too_long(lengths):
    rows = pack(lengths, ROW)
    assert sorted(s for row in rows for s in row.tolist()) == list(range(len(lengths)))
    assert all(0 < lengths[row].sum() <= ROW for row in rows)


@given(LENGTHS)
def test_no_two_rows_would_fit_in_one(lengths):
    filled = sorted(int(lengths[row].sum()) for row in pack(lengths, ROW))
    assert len(filled) < 2 or filled[0] + filled[1] > ROW


@given(LENGTHS)
def test_equal_input_gives_equal_rows_the_longest_sequences_first(lengths):
    rows = [row.tolist() for row in pack(lengths, ROW)]
    assert rows == [row.tolist() for row in pack(lengths, ROW)]
    for row in rows:
        assert row == sorted(row, key=lambda sequence: (-lengths[sequence], sequence))


def test_a_sequence_goes_to_the_row_with_the_least_sufficient_space():
    rows = pack(np.array([10, 30, 15, 25]), ROW)
    assert [row.tolist() for row in rows] == [[1, 0], [3, 2]]
    rows = pack(np.array([24, 28, 12]), ROW)
    assert [row.tolist() for row in rows] == [[1, 2], [0]]


def test_packing_leaves_few_tokens_empty():
    lengths = np.random.default_rng(0).integers(200, 2000, size=2000)
    held = len(pack(lengths, 8192)) * 8192
    assert lengths.sum() / held > 0.99


@given(st.integers(1, 10_000))
def test_whole_tiles_are_the_fewest_that_hold_the_tokens(tokens):
    assert whole_tiles(tokens) % TILE == 0
    assert tokens <= whole_tiles(tokens) < tokens + TILE


def test_no_sequences_fill_no_rows():
    assert pack(np.array([], dtype=np.int64), ROW) == []


def test_a_sequence_longer_than_a_row_names_the_setting_and_the_length_it_needs():
    with raises_error(
        LengthError, "sequence_too_long", where="train.pack_length", figures=[41, ROW, 128]
    ):
        pack(np.array([5, 41]), ROW)
