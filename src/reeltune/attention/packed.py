"""Packed rows as arrays: for every token, where it stands and what it may see."""

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

    Tokens lie in *segments*: stretches that are causal in themselves, a trunk or a branch. Token
    ``q`` sees token ``k`` of its row when both are in one segment and ``k`` comes no later, or when
    ``k`` is in the parent segment of ``q`` before ``stop[q]``.

    Attributes:
        ids: Token ids, shape ``(rows, length)``.
        position: Position in the single prompt the token belongs to, the same shape.
        segment: Which segment the token lies in; numbers ascend along a row, and padding, which
            fills a row's end, is one more segment.
        parent: The segment a branch's token continues, :data:`NO_PARENT` or :data:`PADDING`.
        stop: Place in the row before which the parent is seen; 0 where there is none.
    """

    ids: torch.Tensor
    position: torch.Tensor
    segment: torch.Tensor
    parent: torch.Tensor
    stop: torch.Tensor

    def to(self, device: torch.device) -> Packed:
        """Return the batch with every array on a device."""
        return Packed(**{n: t.to(device, non_blocking=True) for n, t in vars(self).items()})

    def pin_memory(self) -> Packed:
        """Return the batch in memory a GPU can copy from while it works."""
        return Packed(**{name: t.pin_memory() for name, t in vars(self).items()})


@dataclass(frozen=True)
class LaidOut:
    """Packed rows, and where their verdicts are asked.

    Attributes:
        packed: The rows.
        asked: Flat indices (``row * length + place``) of the tokens that are asked, shape ``(n,)``.
        verdict: Which verdict of the sequences each of them is, shape ``(n,)``.
        tokens: Tokens that are not padding.
    """

    packed: Packed
    asked: torch.Tensor
    verdict: npt.NDArray[np.int64]
    tokens: int


def lay_out(
    sequences: Sequences,
    rows: Sequence[npt.NDArray[np.int64]],
    pad_id: int,
    *,
    length: int | None = None,
) -> LaidOut:
    """Lay sequences out in packed rows.

    Args:
        sequences: What is asked.
        rows: The sequences of each row, as :func:`reeltune.attention.packing.pack` assigns them.
        pad_id: What fills a row up.
        length: Tokens of a row; by default as many as the fullest needs.
    """
    order = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    chosen = sequences.take(order)
    row_of = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    sizes = chosen.ids.lengths
    filled = np.bincount(row_of, weights=sizes, minlength=len(rows)).astype(np.int64)
    width = length or int(filled.max())
    # Where each sequence begins in its row, and in the flattened batch.
    begun = chosen.ids.offsets[:-1] - (np.cumsum(filled) - filled)[row_of]
    flat = row_of * width + begun
    shape = (len(rows), width)
    token = np.arange(chosen.ids.offsets[-1]) + np.repeat(flat - chosen.ids.offsets[:-1], sizes)
    segment, parent, stop, position = _relations(chosen, begun)

    def place(values: npt.NDArray[np.integer], padding: int) -> torch.Tensor:
        # 32 bits hold every value and halve what attention reads.
        out = np.full(shape, padding, dtype=np.int32)
        out.reshape(-1)[token] = values
        return torch.from_numpy(out)

    packed = Packed(
        ids=place(chosen.ids.values, pad_id).long(),
        position=place(position, 0).long(),
        segment=place(segment, int(segment[-1]) + 1),
        parent=place(parent, PADDING),
        stop=place(stop, 0),
    )
    return LaidOut(
        packed=packed,
        asked=torch.from_numpy(flat[chosen.row] + chosen.asked),
        verdict=sequences.verdicts_of(order),
        tokens=int(sizes.sum()),
    )


def _relations(
    chosen: Sequences, begun: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], ...]:
    """Return segment, parent, stop and position of every token, sequence after sequence.

    Segments are numbered through the batch, which keeps them apart within every row.
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
    place = np.arange(offsets[-1]) - np.repeat(starts, sizes)
    segment = np.repeat(np.arange(len(starts)), sizes)
    return segment, parent[segment], stop[segment], place + first[segment]
