"""FlexAttention's block mask for packed rows, read off their structure.

FlexAttention works in tiles of queries and keys. PyTorch can find out which tiles matter by asking
the mask about every pair of tokens; here that follows from where segments begin and end, so the
work grows with the number of tiles and not with the square of the row's length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.attention.flex_attention import BlockMask

from reeltune.attention.packed import Packed
from reeltune.attention.packing import TILE


@dataclass(frozen=True)
class Tiles:
    """Which tiles hold a visible pair; both arrays have shape ``(rows, query tiles, key tiles)``.

    Attributes:
        partial: At least one pair may be visible, and the mask has to be asked.
        full: Every pair is visible.
    """

    partial: torch.Tensor
    full: torch.Tensor


def tiles(packed: Packed) -> Tiles:
    """Return which tiles of packed rows matter.

    Args:
        packed: Rows whose length is a multiple of :data:`TILE`.
    """
    segment, parent, stop = (_tiled(t) for t in (packed.segment, packed.parent, packed.stop))
    count = segment.shape[1]
    number = torch.arange(count, device=segment.device)
    before = number[None, :] < number[:, None]  # the key tile lies before the query tile

    # Segments ascend along a row, so two tiles share one where the earlier ends in the one the
    # later begins in.
    first, last = segment[..., 0], segment[..., -1]
    own = (before & (last[:, None, :] >= first[:, :, None])) | (number[None] == number[:, None])
    one = first == last
    full_own = before & one[:, None, :] & one[:, :, None]
    full_own = full_own & (first[:, None, :] == first[:, :, None])

    # What a tile's branches see of their trunks lies between the first trunk's begin and the last
    # place any of them stops at.
    branched = parent >= 0
    begins = _begin_of(packed, parent)
    low = torch.where(branched, begins, packed.ids.shape[1]).amin(-1)
    high = stop.amax(-1)
    start = number * TILE
    above = (start[None, None, :] + TILE > low[:, :, None]) & (start[None, None] < high[:, :, None])
    same = branched.all(-1) & (parent[..., 0] == parent[..., -1])
    full_above = (same[:, :, None] & one[:, None, :]) & (
        first[:, None, :] == parent[..., 0][:, :, None]
    )
    full_above = full_above & (start[None, None, :] + TILE <= stop.amin(-1)[:, :, None])

    full = full_own | full_above
    return Tiles(partial=(own | above) & ~full, full=full)


def block_mask(packed: Packed) -> BlockMask:
    """Return FlexAttention's mask of a batch, on the batch's device."""
    buffers = _buffers(packed)
    found = tiles(packed)
    partial_count, partial = _ordered(found.partial)
    full_count, full = _ordered(found.full)
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
    """The arrays the mask function reads, one set per shape, filled anew with each batch.

    A mask function made anew for each batch would be compiled anew for each batch.
    """

    def __init__(self, packed: Packed) -> None:
        segment = self.segment = torch.empty_like(packed.segment)
        parent = self.parent = torch.empty_like(packed.parent)
        stop = self.stop = torch.empty_like(packed.stop)

        def sees(
            row: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
        ) -> torch.Tensor:
            del head
            theirs = segment[row, key]
            own = (segment[row, query] == theirs) & (key <= query)
            return own | ((parent[row, query] == theirs) & (key < stop[row, query]))

        self.sees = sees

    def fill(self, packed: Packed) -> None:
        """Take over a batch."""
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
    """Return where the parent of each token begins in its row; shaped as ``parent``."""
    # Segments ascend: a parent begins at the first place whose segment is not below it.
    found = torch.searchsorted(packed.segment, packed.parent)
    return found.view(parent.shape).to(parent.dtype)


def _ordered(chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return, for each query tile, how many key tiles are chosen, and their numbers first."""
    counts = chosen.sum(-1, dtype=torch.int32)
    order = torch.argsort(chosen.to(torch.int8), dim=-1, descending=True, stable=True)
    return counts[:, None], order.to(torch.int32)[:, None]
