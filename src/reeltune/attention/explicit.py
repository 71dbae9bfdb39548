"""Attention over packed rows where no fused kernel knows masks: the CPU's backend.

PyTorch's fused attention on a CPU computes every pair of a masked row, and its backward pass is
slower than plain matrix products. Here queries are taken in short stretches, each with only the
keys it may see, and the products and the softmax are written out, with the backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from reeltune.attention.packed import NO_PARENT, PADDING, Packed

_QUERIES: Final = 128
"""Queries taken together: enough for efficient products, few enough to see much alike."""


@dataclass(frozen=True)
class Stretch:
    """Some neighbouring queries of one row and the keys they may see.

    Attributes:
        row: Which row.
        first: Place of the first query.
        last: The place after the last query.
        keys: Stretches of places, each from its first to the one after its last.
        hidden: 0 where a query sees a key, else minus infinity; shape ``(queries, keys)``.
    """

    row: int
    first: int
    last: int
    keys: tuple[tuple[int, int], ...]
    hidden: torch.Tensor


def plan(packed: Packed, dtype: torch.dtype) -> list[Stretch]:
    """Cut packed rows into stretches of queries, leaving padding out.

    Args:
        packed: The batch, on the CPU.
        dtype: The number type of the queries.
    """
    stretches = []
    for row in range(len(packed.ids)):
        segment, parent = packed.segment[row].numpy(), packed.parent[row].numpy()
        stop = packed.stop[row].numpy()
        bounds = np.flatnonzero(np.diff(segment, prepend=-1))
        begins = dict(zip(segment[bounds].tolist(), bounds.tolist(), strict=True))
        for first, last in _query_spans(segment, parent, bounds):
            keys = [(begins[int(segment[first])], last)]
            if parent[first] != NO_PARENT:
                keys.insert(0, (begins[int(parent[first])], int(stop[first:last].max())))
            place = np.concatenate([np.arange(*span) for span in keys])
            query = np.arange(first, last)[:, None]
            own = (segment[first:last, None] == segment[place]) & (place <= query)
            above = (parent[first:last, None] == segment[place]) & (place < stop[first:last, None])
            hidden = np.where(own | above, 0.0, -np.inf)
            stretches.append(
                Stretch(row, first, last, tuple(keys), torch.from_numpy(hidden).to(dtype))
            )
    return stretches


def _query_spans(
    segment: np.ndarray[Any, Any], parent: np.ndarray[Any, Any], bounds: np.ndarray[Any, Any]
) -> list[tuple[int, int]]:
    """Cut a row into spans of one trunk's tokens, or of whole branches of one trunk."""
    spans: list[tuple[int, int]] = []
    ends = np.append(bounds[1:], len(segment)).tolist()
    begin = 0
    for i, (first, last) in enumerate(zip(bounds.tolist(), ends, strict=True)):
        if parent[first] == NO_PARENT:
            spans += [(at, min(at + _QUERIES, last)) for at in range(first, last, _QUERIES)]
            begin = last
        elif parent[first] != PADDING:
            more = i + 1 < len(ends) and parent[last] == parent[first]
            if last - begin >= _QUERIES or not more:
                spans.append((begin, last))
                begin = last
    return spans


def explicit_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    stretches: list[Stretch],
    scale: float,
) -> torch.Tensor:
    """Return the attention of packed rows.

    Args:
        query: Shape ``(rows, heads, length, size)``.
        key: Shape ``(rows, key heads, length, size)``; query heads share them in equal groups.
        value: The same shape.
        stretches: From :func:`plan`.
        scale: What products of queries and keys are multiplied by.

    Returns:
        Shape ``(rows, length, heads, size)``; 0 at padding.
    """
    rows, heads, length, size = query.shape
    groups = key.shape[1]
    out = query.new_zeros(rows, length, heads, size)
    for s in stretches:
        count = s.last - s.first
        # The query heads of a group become more queries of its key head.
        asked = query[s.row, :, s.first : s.last].reshape(groups, -1, size)
        seen = [torch.cat([t[s.row, :, a:b] for a, b in s.keys], dim=1) for t in (key, value)]
        hidden = s.hidden.repeat(heads // groups, 1)
        found = _Softmaxed.apply(asked, *seen, hidden, scale)
        out[s.row, s.first : s.last] = found.view(heads, count, size).transpose(0, 1)
    return out


class _Softmaxed(torch.autograd.Function):
    """``softmax(scale * q k^T + hidden) v``, keeping only the softmax for the backward pass."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        hidden: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        shared = hidden.expand(len(query), *hidden.shape)
        scores = torch.baddbmm(shared, query, key.transpose(1, 2), alpha=scale)
        weights = torch.softmax(scores, dim=-1)
        ctx.save_for_backward(query, key, value, weights)
        ctx.scale = scale
        return weights @ value

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        query, key, value, weights = ctx.saved_tensors
        # Products of strided 16-bit arrays are not left to the fast library.
        gradient = gradient.contiguous()
        to_value = weights.transpose(1, 2) @ gradient
        to_weights = gradient @ value.transpose(1, 2)
        to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
        to_query = (to_scores @ key).mul_(ctx.scale)
        to_key = (to_scores.transpose(1, 2) @ query).mul_(ctx.scale)
        return to_query, to_key, to_value, None, None
