"""FlexAttention's block mask for packed rows.

FlexAttention works in tiles of queries and keys. PyTorch finds the visible tiles by evaluating the
mask for every pair of tokens; here they follow from the bounds of segments, so the work grows with
the number of tiles instead of the square of the row's length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.attention.flex_attention import BlockMask

from reeltune.attention.packed import Packed
from reeltune.attention.packing import TILE


@dataclass(frozen=True)
class Tiles:
    """Visibility of tiles; both arrays have shape ``(rows, query tiles, key tiles)``.

    Attributes:
        partial: Some pair may be visible: the mask is evaluated.
        full: Every pair is visible.
    """

    partial: torch.Tensor
    full: torch.Tensor


def tiles(packed: Packed) -> Tiles:
    """Return the visible tiles of packed rows whose length is a multiple of :data:`TILE`."""
    segment, parent, stop = (_tiled(t) for t in (packed.segment, packed.parent, packed.stop))
    count = segment.shape[1]
    number = torch.arange(count, device=segment.device)
    before = number[None, :] < number[:, None]  # the key tile is before the query tile

    # Segments ascend along a row: two tiles share one if the earlier ends in the segment that the
    # later begins in.
    first, last = segment[..., 0], segment[..., -1]
    within = (before & (last[:, None, :] >= first[:, :, None])) | (number[None] == number[:, None])
    single = first == last
    full_within = before & single[:, None, :] & single[:, :, None]
    full_within = full_within & (first[:, None, :] == first[:, :, None])

    # A tile's branches see their trunks between the start of the first trunk and the last stop.
    branched = parent >= 0
    begins = _begin_of(packed, parent)
    low = torch.where(branched, begins, packed.ids.shape[1]).amin(-1)
    high = stop.amax(-1)
    start = number * TILE
    trunk = (start[None, None, :] + TILE > low[:, :, None]) & (start[None, None] < high[:, :, None])
    same = branched.all(-1) & (parent[..., 0] == parent[..., -1])
    full_trunk = (same[:, :, None] & single[:, None, :]) & (
        first[:, None, :] == parent[..., 0][:, :, None]
    )
    full_trunk = full_trunk & (start[None, None, :] + TILE <= stop.amin(-1)[:, :, None])

    full = full_within | full_trunk
    return Tiles(partial=(within | trunk) & ~full, full=full)


def block_mask(packed: Packed) -> BlockMask:
    """Return FlexAttention's mask of a batch, on its device."""
    buffers = _buffers(packed)
    visible = tiles(packed)
    partial_count, partial = _ordered(visible.partial)
    full_count, full = _ordered(visible.full)
    length = packed.ids.shape[1]
    return BlockMask.from_kv_blocks(
        partial_count,
        partial,
        full_count,
        full,
        BLOCK_SIZE=TILE,
        mask_mod=buffers.sees,
        seq_lengths=(length, length),
    )


class Buffers:
    """The arrays of the mask function, one set per shape, overwritten with each batch.

    A new mask function for each batch would be compiled again for each batch.
    """

    def __init__(self, packed: Packed) -> None:
        segment = self.segment = torch.empty_like(packed.segment)
        parent = self.parent = torch.empty_like(packed.parent)
        stop = self.stop = torch.empty_like(packed.stop)

        def sees(
            row: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
        ) -> torch.Tensor:
            del head
            of_key = segment[row, key]
            within = (segment[row, query] == of_key) & (key <= query)
            return within | ((parent[row, query] == of_key) & (key < stop[row, query]))

        self.sees = sees

    def fill(self, packed: Packed) -> None:
        """Overwrite the arrays with a batch."""
        self.segment.copy_(packed.segment)
        self.parent.copy_(packed.parent)
        self.stop.copy_(packed.stop)


_FILLED: dict[tuple[torch.Size, torch.device], Buffers] = {}


def _buffers(packed: Packed) -> Buffers:
    slot = (packed.ids.shape, packed.ids.device)
    if slot not in _FILLED:
        _FILLED[slot] = Buffers(packed)
    _FILLED[slot].fill(packed)
    return _FILLED[slot]


def _tiled(values: torch.Tensor) -> torch.Tensor:
    return values.view(len(values), -1, TILE)


def _begin_of(packed: Packed, parent: torch.Tensor) -> torch.Tensor:
    """Return the index in its row where the parent of each token begins; shaped as ``parent``."""
    # Segments ascend: a parent begins at the first index whose segment is not below it.
    return torch.searchsorted(packed.segment, packed.parent).view(parent.shape).to(parent.dtype)


def _ordered(chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return, per query tile, the number of chosen key tiles, and the key tiles, chosen first."""
    counts = chosen.sum(-1, dtype=torch.int32)
    order = torch.argsort(chosen.to(torch.int8), dim=-1, descending=True, stable=True)
    return counts[:, None], order.to(torch.int32)[:, None]
