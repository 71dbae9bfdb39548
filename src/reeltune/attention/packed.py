"""Packed rows as arrays: position and visibility of every token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from reeltune.prompts.sequences import NO_BRANCH, Sequences

NO_PARENT = -1
"""The parent of a trunk's tokens."""

PADDING = -2
"""The parent of padding."""


@dataclass(frozen=True)
class Packed:
    """A batch of packed rows.

    Rows consist of *segments*: trunks and branches. Token ``q`` sees token ``k`` of its row if both
    are in one segment and ``k <= q``, or if ``k`` is in the parent segment of ``q`` before
    ``stop[q]``.

    Attributes:
        ids: Token ids, shape ``(rows, length)``.
        position: Position in the single prompt the token belongs to, the same shape.
        segment: The token's segment, ascending along a row; the padding at a row's end is one more.
        parent: The segment a branch continues, :data:`NO_PARENT` or :data:`PADDING`.
        stop: Index in the row before which the parent is visible; 0 without a parent.
    """

    ids: torch.Tensor
    position: torch.Tensor
    segment: torch.Tensor
    parent: torch.Tensor
    stop: torch.Tensor

    def to(self, device: torch.device) -> Packed:
        """Return the batch on a device."""
        return Packed(**{n: t.to(device, non_blocking=True) for n, t in vars(self).items()})

    def pin_memory(self) -> Packed:
        """Return the batch in pinned memory, which a GPU copies from asynchronously."""
        return Packed(**{name: t.pin_memory() for name, t in vars(self).items()})


@dataclass(frozen=True)
class PackedBatch:
    """Packed rows with their answer positions.

    Attributes:
        answer_position: Flat indices, ``row * length + index``, shape ``(n,)``.
        answer_index: Index of each one's prediction among those of the sequences, shape ``(n,)``.
        tokens: Tokens without padding.
    """

    packed: Packed
    answer_position: torch.Tensor
    answer_index: npt.NDArray[np.int64]
    tokens: int


def pack_sequences(
    sequences: Sequences,
    rows: Sequence[npt.NDArray[np.int64]],
    pad_id: int,
    *,
    length: int | None = None,
) -> PackedBatch:
    """Write sequences into packed rows.

    Args:
        sequences: The sequences.
        rows: The sequences of each row, from :func:`reeltune.attention.packing.pack`.
        pad_id: The padding token.
        length: Tokens of a row; by default those of the fullest.
    """
    order = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    chosen = sequences.take(order)
    row_of = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    sizes = chosen.ids.lengths
    filled = np.bincount(row_of, weights=sizes, minlength=len(rows)).astype(np.int64)
    width = length or int(filled.max())
    # The start of each sequence in its row, and in the flattened batch.
    begun = chosen.ids.offsets[:-1] - (np.cumsum(filled) - filled)[row_of]
    flat = row_of * width + begun
    shape = (len(rows), width)
    token = np.arange(chosen.ids.offsets[-1]) + np.repeat(flat - chosen.ids.offsets[:-1], sizes)
    segment, parent, stop, position = _relations(chosen, begun)

    def scatter(values: npt.NDArray[np.integer], padding: int) -> torch.Tensor:
        # 32 bits hold every value and halve what attention reads.
        out = np.full(shape, padding, dtype=np.int32)
        out.reshape(-1)[token] = values
        return torch.from_numpy(out)

    packed = Packed(
        ids=scatter(chosen.ids.values, pad_id).long(),
        position=scatter(position, 0).long(),
        segment=scatter(segment, int(segment[-1]) + 1),
        parent=scatter(parent, PADDING),
        stop=scatter(stop, 0),
    )
    return PackedBatch(
        packed=packed,
        answer_position=torch.from_numpy(flat[chosen.row] + chosen.answer_position),
        answer_index=sequences.answers_of(order),
        tokens=int(sizes.sum()),
    )


def _relations(
    chosen: Sequences, begun: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], ...]:
    """Return segment, parent, stop and position of every token, sequence after sequence.

    Segments are numbered through the batch, so they are distinct within every row.
    """
    offsets = chosen.ids.offsets
    branched = np.flatnonzero(chosen.branch != NO_BRANCH)
    row = chosen.row[branched]
    starts = np.concatenate([offsets[:-1], offsets[row] + chosen.branch[branched]])
    count = len(chosen)
    order = np.argsort(starts, kind="stable")
    number = np.empty(len(starts), dtype=np.int64)
    number[order] = np.arange(len(starts))
    none = np.full(count, NO_PARENT)
    parent = np.concatenate([none, number[row]])[order]
    stop = np.concatenate([np.zeros(count, np.int64), begun[row] + chosen.leave[branched]])[order]
    first = np.concatenate([np.zeros(count, np.int64), chosen.leave[branched]])[order]
    starts = starts[order]
    sizes = np.diff(np.append(starts, offsets[-1]))
    index = np.arange(offsets[-1]) - np.repeat(starts, sizes)
    segment = np.repeat(np.arange(len(starts)), sizes)
    return segment, parent[segment], stop[segment], index + first[segment]
