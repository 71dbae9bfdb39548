"""Packed rows keep the position and visibility of every token of their sequences."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given

from reeltune.attention.packed import NO_PARENT, PADDING, pack_sequences
from reeltune.prompts.sequences import NO_BRANCH
from tests.attention.build import (
    PAD_ID,
    TRUNK,
    block,
    conversation,
    lay,
    numbered,
    packed_rows,
    read_visible,
    tokens_of,
    visible,
)


@given(packed_rows())
def test_tokens_have_the_positions_of_their_sequences(drawn):
    sequences, rows, _ = drawn
    packed = lay(drawn).packed
    for number, row in enumerate(rows):
        tokens = tokens_of(sequences, row)
        segments = packed.segment[number].tolist()
        segment_of = {
            (token.sequence, token.branch): segment
            for token, segment in zip(tokens, segments, strict=False)
        }
        assert len(set(segment_of.values())) == len(segment_of)
        assert segments == sorted(segments)
        for place, token in enumerate(tokens):
            assert packed.ids[number, place] == token.id
            assert packed.position[number, place] == token.position
            assert segments[place] == segment_of[token.sequence, token.branch]
            if token.branch == TRUNK:
                parent, stop = NO_PARENT, 0
            else:
                parent, stop = segment_of[token.sequence, TRUNK], token.begin + token.leave
            assert packed.parent[number, place] == parent
            assert packed.stop[number, place] == stop


@given(packed_rows())
def test_padding_is_one_more_segment_that_continues_nothing(drawn):
    sequences, rows, length = drawn
    packed = lay(drawn).packed
    for number, row in enumerate(rows):
        filled = int(sequences.ids.lengths[row].sum())
        segments = packed.segment[number].tolist()
        padding = set(segments[filled:])
        assert len(padding) == (filled < length)
        assert not padding & set(segments[:filled])
        for values, filler in ((packed.ids, PAD_ID), (packed.parent, PADDING), (packed.stop, 0)):
            assert (values[number, filled:] == filler).all()


@given(packed_rows())
def test_visibility_by_arrays_equals_the_definition(drawn):
    sequences, rows, length = drawn
    packed = lay(drawn).packed
    real = packed.parent != PADDING
    pairs = real[:, :, None] | real[:, None, :]
    assert torch.equal(read_visible(packed) & pairs, visible(sequences, rows, length))


@given(packed_rows())
def test_every_prediction_has_one_answer_position(drawn):
    sequences, rows, length = drawn
    laid = lay(drawn)
    order = np.concatenate(rows)
    assert laid.answer_index.tolist() == [
        v for s in order for v in np.flatnonzero(sequences.row == s)
    ]
    last_tokens = [
        sequences.ids[sequences.row[v]][sequences.answer_position[v]]
        for v in laid.answer_index.tolist()
    ]
    assert laid.packed.ids.flatten()[laid.answer_position].tolist() == last_tokens
    assert laid.tokens == int((laid.packed.parent != PADDING).sum())
    assert laid.tokens == len(sequences.ids.values)
    assert laid.packed.ids.shape == (len(rows), length)


@given(packed_rows())
def test_a_prediction_sees_exactly_its_single_prompt(drawn):
    sequences, _, length = drawn
    laid = lay(drawn)
    seen, alone = read_visible(laid.packed), sequences.alone()
    for position, prediction in zip(
        laid.answer_position.tolist(), laid.answer_index.tolist(), strict=True
    ):
        row, place = divmod(position, length)
        keys = seen[row, place]
        assert laid.packed.ids[row, keys].tolist() == alone[prediction].tolist()
        assert laid.packed.position[row, keys].tolist() == list(range(len(alone[prediction])))


def test_without_a_length_rows_are_as_long_as_the_fullest():
    sequences = numbered([conversation(7, [6]), block(4, [(4, 2), (2, 3)]), conversation(3, [0])])
    rows = [np.array([1]), np.array([0, 2])]
    laid = pack_sequences(sequences, rows, PAD_ID)
    assert laid.packed.ids.shape == (2, 10)
    assert laid.packed.ids[0].tolist() == [*range(8, 17), PAD_ID]


def test_a_block_by_hand():
    """A conversation of 2 tokens, then a trunk of 3 with branches after 3 and after 1 of them."""
    sequences = numbered([conversation(2, [1]), block(3, [(3, 2), (1, 1)])])
    assert (sequences.branch == [NO_BRANCH, 3, 5]).all()
    laid = pack_sequences(sequences, [np.array([0, 1])], PAD_ID, length=10)
    packed = laid.packed
    assert packed.ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 0, 0]]
    assert packed.position.tolist() == [[0, 1, 0, 1, 2, 3, 4, 1, 0, 0]]
    assert packed.segment.tolist() == [[0, 0, 1, 1, 1, 2, 2, 3, 4, 4]]
    assert packed.parent.tolist() == [[-1, -1, -1, -1, -1, 1, 1, 1, -2, -2]]
    assert packed.stop.tolist() == [[0, 0, 0, 0, 0, 5, 5, 3, 0, 0]]
    assert laid.answer_position.tolist() == [1, 6, 7]
    assert laid.answer_index.tolist() == [0, 1, 2]
    assert laid.tokens == 8
