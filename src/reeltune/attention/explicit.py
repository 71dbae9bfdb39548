"""Attention over packed rows without a fused kernel: the CPU backend.

PyTorch's fused attention on a CPU computes every pair of a masked row, and its backward pass is
slower than plain matrix products. Here queries are processed in short chunks, each with only the
keys it may see. Without gradients a chunk is fused; else softmax and backward pass are written out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from reeltune.attention.packed import NO_PARENT, PADDING, Packed

_QUERIES: Final = 128
"""Queries per chunk: enough for efficient products, few enough to see mostly the same keys."""


@dataclass(frozen=True)
class QueryChunk:
    """The queries ``first`` to ``last - 1`` of those computed in a batch row, and their keys.

    Attributes:
        keys: Index ranges of the keys, each ``(first, after last)``.
        mask: 0 where a query sees a key, else minus infinity; shape ``(queries, keys)``.
    """

    row: int
    first: int
    last: int
    keys: tuple[tuple[int, int], ...]
    mask: torch.Tensor


def plan(
    packed: Packed, dtype: torch.dtype, known: npt.NDArray[np.bool_] | None = None
) -> list[QueryChunk]:
    """Divide packed rows on the CPU into chunks of queries of some dtype, without padding.

    Args:
        packed: The rows.
        dtype: Of the queries.
        known: The tokens without queries, the first ones of trunks, shape ``(length,)``; for a
            single row.
    """
    chunks = []
    for row in range(len(packed.ids)):
        before = np.zeros(packed.ids.shape[1] + 1, dtype=np.int64)
        if known is not None:
            np.cumsum(known, out=before[1:])
        segment, parent = packed.segment[row].numpy(), packed.parent[row].numpy()
        stop = packed.stop[row].numpy()
        bounds = np.flatnonzero(np.diff(segment, prepend=-1))
        begins = dict(zip(segment[bounds].tolist(), bounds.tolist(), strict=True))
        for start, last in _query_spans(segment, parent, bounds):
            first = start + int(before[last] - before[start])
            if first == last:
                continue
            keys = [(begins[int(segment[first])], last)]
            if parent[first] != NO_PARENT:
                keys.insert(0, (begins[int(parent[first])], int(stop[first:last].max())))
            index = np.concatenate([np.arange(*span) for span in keys])
            query = np.arange(first, last)[:, None]
            within = (segment[first:last, None] == segment[index]) & (index <= query)
            trunk = (parent[first:last, None] == segment[index]) & (index < stop[first:last, None])
            mask = torch.from_numpy(np.where(within | trunk, 0.0, -np.inf)).to(dtype)
            skipped = int(before[last])
            chunks.append(QueryChunk(row, first - skipped, last - skipped, tuple(keys), mask))
    return chunks


def _query_spans(
    segment: np.ndarray[Any, Any], parent: np.ndarray[Any, Any], bounds: np.ndarray[Any, Any]
) -> list[tuple[int, int]]:
    """Divide a row into spans of one trunk's tokens, or of whole branches of one trunk."""
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
    chunks: list[QueryChunk],
    scale: float,
) -> torch.Tensor:
    """Return the attention of packed rows, shape ``(rows, length, heads, size)``; 0 at padding.

    Args:
        query: Shape ``(rows, heads, length, size)``.
        key: Shape ``(rows, key heads, keys, size)``; query heads share them in equal groups.
        value: The same shape; its size is that of the result.
        chunks: From :func:`plan`.
        scale: Factor of the products of queries and keys.
    """
    rows, heads, length, size = query.shape
    groups = key.shape[1]
    out = query.new_zeros(rows, length, heads, value.shape[-1])
    for chunk in chunks:
        count = chunk.last - chunk.first
        queries = query[chunk.row, :, chunk.first : chunk.last]
        visible = [
            torch.cat([t[chunk.row, :, a:b] for a, b in chunk.keys], dim=1) for t in (key, value)
        ]
        if torch.is_grad_enabled() or query.device.type != "cpu":
            # The query heads of a group become more queries of its key head.
            queries, mask = queries.reshape(groups, -1, size), chunk.mask.repeat(heads // groups, 1)
            attended = _MaskedAttention.apply(queries, *visible, mask, scale)
        else:
            # Nearly all keys of a chunk are visible, so the fused kernel computes little in vain.
            inputs = (each[None] for each in (queries, *visible))
            attended = torch.nn.functional.scaled_dot_product_attention(
                *inputs, attn_mask=chunk.mask, scale=scale, enable_gqa=True
            )
        out[chunk.row, chunk.first : chunk.last] = attended.view(heads, count, -1).transpose(0, 1)
    return out


class _MaskedAttention(torch.autograd.Function):
    """``softmax(scale * q k^T + mask) v``; only the softmax is saved for the backward pass."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        expanded = mask.expand(len(query), *mask.shape)
        scores = torch.baddbmm(expanded, query, key.transpose(1, 2), alpha=scale)
        weights = torch.softmax(scores, dim=-1)
        ctx.save_for_backward(query, key, value, weights)
        ctx.scale = scale
        return weights @ value

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        query, key, value, weights = ctx.saved_tensors
        # PyTorch does not pass products of strided 16-bit arrays to the fast library.
        gradient = gradient.contiguous()
        to_value = weights.transpose(1, 2) @ gradient
        to_weights = gradient @ value.transpose(1, 2)
        to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
        to_query = (to_scores @ key).mul_(ctx.scale)
        to_key = (to_scores.transpose(1, 2) @ query).mul_(ctx.scale)
        return to_query, to_key, to_value, None, None
