"""FlexAttention's mask: no visible pair is skipped, no hidden pair is taken for visible."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.nn.attention.flex_attention import BlockMask, create_mask

from reeltune.attention.packing import TILE
from reeltune.attention.tiles import block_mask, tiles
from tests.attention.build import block, conversation, lay, numbered, packed_rows, read_visible

LONG = packed_rows(trunk=300, branch=100, tile=TILE)


def by_tile(seen: torch.Tensor) -> torch.Tensor:
    """Pairs of tokens as pairs of tiles: ``(rows, query tiles, TILE, key tiles, TILE)``."""
    count = seen.shape[1] // TILE
    return seen.view(len(seen), count, TILE, count, TILE)


def dense(mask: BlockMask, rows: int, length: int) -> torch.Tensor:
    """The mask function of every pair: shape ``(rows, length, length)``."""
    return create_mask(mask.mask_mod, rows, 1, length, length, device="cpu")[:, 0]


@settings(max_examples=25)
@given(LONG)
def test_visible_pairs_are_in_visible_tiles_and_full_tiles_have_no_hidden_pair(drawn):
    packed = lay(drawn).packed
    pairs, found = by_tile(read_visible(packed)), tiles(packed)
    some, every = pairs.any(4).any(2), pairs.all(4).all(2)
    assert not (some & ~(found.partial | found.full)).any()
    assert not (found.full & ~every).any()
    assert not (found.partial & found.full).any()


@pytest.mark.slow
@settings(max_examples=25)
@given(LONG)
def test_the_block_mask_equals_the_visibility_of_the_rows(drawn):
    packed = lay(drawn).packed
    mask, expected = block_mask(packed), read_visible(packed)
    rows, length = packed.ids.shape
    assert mask.BLOCK_SIZE == (TILE, TILE)
    assert mask.shape == (rows, 1, length, length)
    assert torch.equal(dense(mask, rows, length), expected)
    found = tiles(packed)
    assert torch.equal(mask.to_dense()[:, 0].bool(), found.partial | found.full)
    assert mask.full_kv_num_blocks is not None
    assert mask.full_kv_indices is not None
    full = BlockMask.from_kv_blocks(mask.full_kv_num_blocks, mask.full_kv_indices)
    assert torch.equal(full.to_dense()[:, 0].bool(), found.full)


def test_invisible_tiles_are_skipped():
    """Two blocks, each a trunk of two tiles and two branches of one: most tiles stay out."""
    one = [block(2 * TILE, [(2 * TILE, TILE), (TILE, TILE)])]
    packed = lay((numbered(one * 2), [np.array([0, 1])], 8 * TILE)).packed
    found = tiles(packed)
    block_full = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]]).bool()
    own = torch.eye(4).bool()
    for begin in (0, 4):
        part = slice(begin, begin + 4)
        assert torch.equal(found.full[0, part, part], block_full)
        assert torch.equal(found.partial[0, part, part], own)
    assert not found.full[0, 4:, :4].any()
    assert not found.partial[0, 4:, :4].any()


@pytest.mark.parametrize("rows", [1, 2])
def test_batches_of_one_shape_share_a_mask_function(rows):
    first = numbered([conversation(TILE, [5])] * 2 * rows)
    second = numbered([block(TILE, [(40, TILE)])] * rows)
    batches = [
        lay((first, list(np.arange(2 * rows).reshape(rows, 2)), 2 * TILE)).packed,
        lay((second, list(np.arange(rows)[:, None]), 2 * TILE)).packed,
    ]
    functions = []
    for packed in batches:
        mask = block_mask(packed)
        functions.append(mask.mask_mod)
        assert torch.equal(dense(mask, rows, 2 * TILE), read_visible(packed))
    assert functions[0] is functions[1]
    assert not torch.equal(read_visible(batches[0]), read_visible(batches[1]))


def test_batches_of_different_shapes_do_not_share_a_mask_function():
    packed = [
        lay((numbered([conversation(TILE, [0])]), [np.array([0])], length)).packed
        for length in (TILE, 2 * TILE)
    ]
    masks = [block_mask(one) for one in packed]
    for mask, one in zip(masks, packed, strict=True):
        assert torch.equal(dense(mask, 1, one.ids.shape[1]), read_visible(one))
