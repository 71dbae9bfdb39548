"""Split columns read as split names; blocks hold each example once and are sampled whole."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.columns import SPLITS
from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import (
    UNKNOWN_SPLIT,
    Blocks,
    Examples,
    SplitColumn,
    Timelines,
    cut_blocks,
    sample_blocks,
)
from tests.timelines import examples_of, random_timelines, stretches, timelines_of

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


targets_each = st.integers(1, 6)


def rows_of(examples: Examples) -> list[tuple[int, int]]:
    """Start and target of every example."""
    return list(zip(examples.start.tolist(), examples.target.tolist(), strict=True))


@st.composite
def cuts(draw: st.DrawFn) -> tuple[Timelines, Examples, int, Blocks]:
    """Events, the examples among them, the most targets of a block, and the blocks."""
    timelines = draw(random_timelines())
    examples = examples_of(timelines, draw(st.integers(1, 4)))
    targets = draw(targets_each)
    return timelines, examples, targets, cut_blocks(timelines, examples, targets)


@given(cuts())
def test_every_example_is_in_exactly_one_block_in_order(
    cut: tuple[Timelines, Examples, int, Blocks],
):
    _, examples, _, blocks = cut
    assert blocks.examples.target.tolist() == examples.target.tolist()
    assert blocks.offsets[0] == 0
    assert blocks.offsets[-1] == len(examples)
    assert (np.diff(blocks.offsets) > 0).all()
    assert len(blocks) == len(stretches(blocks))


@given(cuts())
def test_a_block_is_a_stretch_of_one_timeline_with_one_start(
    cut: tuple[Timelines, Examples, int, Blocks],
):
    timelines, examples, targets, blocks = cut
    own_start = dict(zip(examples.target.tolist(), examples.start.tolist(), strict=True))
    for block in stretches(blocks):
        first = int(block.target[0])
        assert 1 <= len(block) <= targets
        assert block.target.tolist() == list(range(first, first + len(block)))
        assert set(block.start.tolist()) == {own_start[first]}
        shown = timelines.user_id[block.start[0] : block.target[-1] + 1]
        assert len(set(shown.tolist())) == 1


@pytest.mark.slow
@given(cuts())
def test_a_block_ends_only_where_it_is_full_or_the_next_example_is_elsewhere(
    cut: tuple[Timelines, Examples, int, Blocks],
):
    timelines, _, targets, blocks = cut
    for block, following in pairwise(stretches(blocks)):
        last, after = int(block.target[-1]), int(following.target[0])
        same_user = timelines.user_id[last] == timelines.user_id[after]
        assert len(block) == targets or after != last + 1 or not same_user


@given(random_timelines(), st.integers(1, 4))
def test_blocks_of_one_change_nothing(timelines: Timelines, history_len: int):
    examples = examples_of(timelines, history_len)
    blocks = cut_blocks(timelines, examples, 1)
    assert rows_of(blocks.examples) == rows_of(examples)
    assert blocks.offsets.tolist() == list(range(len(examples) + 1))


@given(cuts(), st.data())
def test_a_sample_is_whole_blocks_but_one(
    cut: tuple[Timelines, Examples, int, Blocks], data: st.DataObject
):
    _, examples, _, blocks = cut
    order = data.draw(st.permutations(range(len(blocks))))
    limit = data.draw(st.integers(1, len(examples) + 2))
    sample = sample_blocks(blocks, np.array(order, dtype=np.int64), limit)
    found = [rows_of(block) for block in stretches(sample)]

    # The first blocks of the order until there are enough, the last of them cut.
    every = [rows_of(block) for block in stretches(blocks)]
    room, expected = limit, {}
    for number in order:
        if room > 0:
            expected[number] = every[number][:room]
            room -= len(every[number])
    assert found == [expected[number] for number in sorted(expected)]
    assert len(sample.examples) == min(limit, len(examples))
    assert (np.diff(sample.examples.target) > 0).all()


def test_no_example_makes_no_block():
    timelines = timelines_of([0, 0], [4.0, 2.0], split=["context", "test"])
    blocks = cut_blocks(timelines, examples_of(timelines, 3), 5)
    assert (len(blocks), len(blocks.examples), blocks.offsets.tolist()) == (0, 0, [0])
    assert len(sample_blocks(blocks, np.empty(0, dtype=np.int64), 3)) == 0


def test_two_users_of_five_events_by_hand():
    timelines = timelines_of(
        [0] * 10, [4.0] * 10, [1] * 5 + [2] * 5, ["context", *["train"] * 4] * 2
    )
    blocks = cut_blocks(timelines, examples_of(timelines, 2), 3)
    assert blocks.offsets.tolist() == [0, 3, 4, 7, 8]
    first = [(0, 1), (0, 2), (0, 3), (2, 4)]
    assert rows_of(blocks.examples) == first + [(start + 5, target + 5) for start, target in first]


def test_histories_of_a_prepared_folder_grow_by_one_event_at_a_time(prepared: PreparedFolder):
    blocks = cut_blocks(prepared.timelines, prepared.examples("train"), 4)
    longest = 0
    for block in stretches(blocks):
        shown = block.target - block.start
        assert shown.tolist() == list(range(shown[0], shown[0] + len(block)))
        assert shown[0] <= prepared.history_len
        longest = max(longest, int(shown[-1]))
    assert longest == prepared.history_len + 3
