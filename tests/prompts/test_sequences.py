"""Invariants of token sequences: every operation keeps each prediction's single prompt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.prompts.sequences import NO_BRANCH, Sequences, concatenate_sequences
from reeltune.ragged import Ragged
from tests.prompts.build import lists
from tests.prompts.strategies import Drawn, token_sequences

prompts = st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=6), max_size=5)


def after_asked(sequences: Sequences) -> list[int]:
    """The token after each answer position."""
    return [
        int(sequences.ids[row][place + 1])
        for row, place in zip(
            sequences.row.tolist(), sequences.answer_position.tolist(), strict=True
        )
    ]


def assert_gives(sequences: Sequences, alone: list[list[int]], after: list[int]) -> None:
    """Check single prompts, answers and rows of predictions."""
    assert lists(sequences.alone()) == alone
    assert sequences.prompt_lengths.tolist() == [len(prompt) for prompt in alone]
    assert sequences.answer_count == len(alone)
    assert (np.diff(sequences.row) >= 0).all()
    if sequences.answered:
        assert after_asked(sequences) == after


@given(token_sequences())
def test_every_prediction_has_its_single_prompt(drawn: Drawn):
    assert_gives(drawn.sequences, drawn.alone, drawn.after)
    bounds = drawn.sequences.answer_offsets.tolist()
    assert bounds == [sum(row < i for row in drawn.row) for i in range(len(drawn.sequences) + 1)]


@given(token_sequences(), st.data())
def test_sequences_are_taken_with_their_predictions(drawn: Drawn, data: st.DataObject):
    rows = data.draw(st.lists(st.integers(0, len(drawn.sequences) - 1), min_size=1, max_size=6))
    expected = [i for row in rows for i, own in enumerate(drawn.row) if own == row]
    chosen = np.array(rows, dtype=np.int64)
    assert drawn.sequences.answers_of(chosen).tolist() == expected
    taken = drawn.sequences.take(chosen)
    after = [drawn.after[i] for i in expected] if drawn.sequences.answered else []
    assert_gives(taken, [drawn.alone[i] for i in expected], after)
    assert taken.answered == drawn.sequences.answered
    assert taken.trunk.tolist() == drawn.sequences.trunk[chosen].tolist()
    assert lists(taken.ids) == [drawn.sequences.ids[row].tolist() for row in rows]


@given(token_sequences(), st.integers(1, 30))
def test_divided_sequences_have_the_same_predictions(drawn: Drawn, limit: int):
    divided = drawn.sequences.divided(limit)
    assert_gives(divided, drawn.alone, drawn.after)
    assert divided.answered == drawn.sequences.answered
    for row in range(len(divided)):
        inside = np.flatnonzero(divided.row == row)
        origin = drawn.row[inside[0]]
        assert {drawn.row[i] for i in inside} == {origin}
        trunk = int(divided.trunk[row])
        assert trunk == drawn.sequences.trunk[origin]
        assert (divided.ids[row][:trunk] == drawn.sequences.ids[origin][:trunk]).all()
        # Only what cannot be divided is longer: a single branch, or predictions in the trunk.
        in_trunk = (divided.branch[inside] == NO_BRANCH).any()
        assert len(divided.ids[row]) <= limit or len(inside) == 1 or in_trunk


@given(token_sequences(), st.integers(1, 30))
def test_a_sequence_is_divided_into_no_more_parts_than_needed(drawn: Drawn, limit: int):
    divided = drawn.sequences.divided(limit)
    for row in range(1, len(divided)):
        first = int(np.flatnonzero(divided.row == row)[0])
        if drawn.row[first] == drawn.row[first - 1]:
            behind = 2 if divided.answered else 1
            branch = int(divided.answer_position[first] + behind - divided.branch[first])
            assert len(divided.ids[row - 1]) + branch > limit


@given(token_sequences())
def test_what_fits_is_not_divided(drawn: Drawn):
    longest = int(drawn.sequences.ids.lengths.max())
    assert lists(drawn.sequences.divided(longest).ids) == lists(drawn.sequences.ids)


@pytest.mark.parametrize("answered", [False, True])
@given(st.data())
def test_concatenated_sequences_keep_their_order(answered: bool, data: st.DataObject):
    parts = data.draw(st.lists(token_sequences(answered), min_size=1, max_size=3))
    together = concatenate_sequences([part.sequences for part in parts])
    alone = [prompt for part in parts for prompt in part.alone]
    assert_gives(together, alone, [token for part in parts for token in part.after])
    assert together.answered == answered
    assert lists(together.ids) == [row for part in parts for row in lists(part.sequences.ids)]


@given(prompts, st.booleans())
def test_single_prompts_are_plain_and_themselves(rows: list[list[int]], answered: bool):
    sequences = Sequences.single(Ragged.from_rows(rows), answered)
    assert sequences.plain
    assert len(sequences) == len(rows)
    alone = [row[:-1] if answered else row for row in rows]
    assert_gives(sequences, alone, [row[-1] for row in rows])


@given(token_sequences())
def test_only_rows_of_one_prompt_with_the_answer_at_the_end_are_plain(drawn: Drawn):
    ends = [row.tolist() for row in drawn.sequences.ids]
    if drawn.sequences.answered:
        ends = [row[:-1] for row in ends]
    in_trunk = (drawn.sequences.branch == NO_BRANCH).all()
    assert drawn.sequences.plain == bool(in_trunk and drawn.alone == ends)


def test_empty_sequences():
    none = Sequences.single(Ragged.from_rows([]))
    assert (len(none), none.answer_count, none.plain) == (0, 0, True)
    assert lists(none.alone()) == lists(none.divided(1).alone()) == []


# A trunk 0 1 2, then branches 3 4 and 5 6 7 that leave it after two tokens and after three.
BLOCK = Sequences(
    ids=Ragged.from_rows([[0, 1, 2, 3, 4, 5, 6, 7]]),
    trunk=np.array([3]),
    row=np.array([0, 0]),
    answer_position=np.array([4, 7]),
    branch=np.array([3, 5]),
    leave=np.array([2, 3]),
)


@pytest.mark.parametrize(
    ("limit", "rows"),
    [
        (8, [[0, 1, 2, 3, 4, 5, 6, 7]]),
        (7, [[0, 1, 2, 3, 4], [0, 1, 2, 5, 6, 7]]),
        (1, [[0, 1, 2, 3, 4], [0, 1, 2, 5, 6, 7]]),
    ],
)
def test_a_block_divided_by_hand(limit: int, rows: list[list[int]]):
    divided = BLOCK.divided(limit)
    assert lists(divided.ids) == rows
    assert lists(divided.alone()) == [[0, 1, 3, 4], [0, 1, 2, 5, 6, 7]]


def test_branches_that_just_fill_a_sequence_stay_together():
    # A trunk 0 1 2 with three branches of two tokens, of which two just fit behind it.
    three = Sequences(
        ids=Ragged.from_rows([[0, 1, 2, 3, 4, 5, 6, 7, 8]]),
        trunk=np.array([3]),
        row=np.array([0, 0, 0]),
        answer_position=np.array([4, 6, 8]),
        branch=np.array([3, 5, 7]),
        leave=np.array([3, 3, 3]),
    )
    assert lists(three.divided(7).ids) == [[0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 7, 8]]


def test_a_branch_is_not_plain_even_where_it_is_alone_at_the_end():
    one = replace(
        BLOCK,
        ids=Ragged.from_rows([[0, 1, 2, 3, 4]]),
        **{
            name: getattr(BLOCK, name)[:1] for name in ("row", "answer_position", "branch", "leave")
        },
    )
    assert not one.plain
    trunk = replace(one, trunk=np.array([5]), branch=np.array([NO_BRANCH]), leave=np.array([5]))
    assert trunk.plain
    assert not replace(trunk, answer_position=np.array([3]), leave=np.array([4])).plain
