"""The attention that packed rows need, as transformers' models call it.

transformers lets an attention function be registered under a name; every model that follows its
attention interface then uses it. What a batch's tokens may see travels as one more keyword of the
model's forward pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.flex_attention import flex_attention_forward

from reeltune.attention.explicit import Stretch, explicit_attention, plan
from reeltune.attention.packed import Packed
from reeltune.attention.tiles import block_mask
from reeltune.errors import ModelError

NAME: Final = "reeltune_shared"

_NOT_DONE: Final = ("softcap", "s_aux", "dropout")
"""What a model may ask of its attention beside the usual."""

Visible = BlockMask | list[Stretch]
"""What every token of a batch may see, in the form the device's backend reads."""


def shared_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    visible: Visible,
    scaling: float,
    **other: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention of packed rows, shape ``(rows, length, heads, size)``.

    Args:
        module: The attention layer.
        query: Shape ``(rows, heads, length, size)``.
        key: Shape ``(rows, key heads, length, size)``.
        value: The same shape.
        attention_mask: Not used: ``visible`` says more.
        visible: From :func:`visibility`.
        scaling: What products of queries and keys are multiplied by.
        other: What the interface hands to every attention function.

    Raises:
        ModelError: The model wants its attention changed in a way that is not done here.
    """
    del attention_mask
    if wanted := [name for name in _NOT_DONE if other.get(name)]:
        raise ModelError(
            f"{type(module).__name__} attends with {', '.join(wanted)}, which excludes sharing "
            "histories",
            code="unsupported_attention",
            hint="Set train.share_history and scoring.share_history to false",
        )
    if isinstance(visible, BlockMask):
        found, _ = flex_attention_forward(module, query, key, value, visible, scaling=scaling)
        return found, None
    return explicit_attention(query, key, value, visible, scaling), None


AttentionInterface.register(NAME, shared_attention)


def visibility(packed: Packed, dtype: torch.dtype) -> Visible:
    """Return what every token of a batch may see, on the batch's device.

    Args:
        packed: The batch.
        dtype: The number type attention is computed in.
    """
    return block_mask(packed) if _has_flex(packed.ids.device) else plan(packed, dtype)


def backend(device: torch.device) -> str:
    """Return which backend packed rows have on a device, and why, as a sentence."""
    if _has_flex(device):
        return "FlexAttention (its kernels skip what no token sees)"
    return "products and softmax written out (faster than PyTorch's masked attention off CUDA)"


def _has_flex(device: torch.device) -> bool:
    return device.type == "cuda"


@contextlib.contextmanager
def sharing(causal: PreTrainedModel) -> Iterator[None]:
    """Let a model read packed rows inside the block."""
    config = causal.config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
