"""Attention over packed rows for transformers' models.

An attention function registered in transformers works for every model that follows its attention
interface. A batch's visibility is passed as a keyword of the model's forward pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import torch
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.flex_attention import flex_attention_forward

from reeltune.attention.explicit import QueryChunk, explicit_attention, plan
from reeltune.attention.packed import Packed
from reeltune.attention.tiles import block_mask
from reeltune.errors import ModelError

NAME: Final = "reeltune_shared"

_UNSUPPORTED: Final = ("softcap", "s_aux", "position_bias", "dropout")
"""Variants of attention that models request and that are not implemented here."""

NOT_SHARED_HINT: Final = (
    "Set train.share_history and scoring.share_history to false and train.pairwise_weight to 0"
)

Layers = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values, each of shape ``(key heads, tokens, size)``, layer by layer."""


@dataclass(frozen=True)
class KnownTokens:
    """Tokens of one packed row whose keys and values have been computed before.

    Attributes:
        known: Which they are, shape ``(length,)``: the first ones of some trunks.
        layers: Their keys and values.
        kept: The tokens, known or not, whose keys and values are to be returned.
        returned: Those, once the row has passed through the model.
    """

    known: torch.Tensor
    layers: Layers
    kept: torch.Tensor
    returned: Layers = field(default_factory=list)

    def complete(self, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values of the whole row, given those of the next layer's new tokens."""
        layer = len(self.returned)
        if self.layers:
            before_key, before_value = self.layers[layer]
            key = torch.cat([before_key[None], key], dim=2)[:, :, self._order]
            value = torch.cat([before_value[None], value], dim=2)[:, :, self._order]
        self.returned.append((key[0, :, self.kept], value[0, :, self.kept]))
        return key, value

    @cached_property
    def _order(self) -> torch.Tensor | slice:
        """The index of every token among the known ones followed by the others."""
        if bool(self.known[: int(self.known.sum())].all()):  # as with a single trunk
            return slice(None)
        return torch.argsort(torch.argsort(~self.known, stable=True))


Visible = BlockMask | list[QueryChunk]
"""The visibility of a batch, in the form of the device's backend."""


def shared_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    visible: Visible | None = None,
    scaling: float | None = None,
    windows: Callable[[int | None], None] | None = None,
    known: KnownTokens | None = None,
    **other: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention of packed rows, by transformers' attention interface.

    Shapes are those of :func:`reeltune.attention.explicit.explicit_attention`; ``visible`` is from
    :func:`visibility`. If ``windows`` is given, it is called with the layer's sliding window and
    nothing is computed. The arguments lack the tokens that are ``known``.

    Raises:
        ModelError: The model requests a variant of attention that is not implemented.
    """
    del attention_mask
    wanted = [n for n in _UNSUPPORTED if isinstance(g := other.get(n), torch.Tensor) or g]
    if wanted or visible is None:
        reason = f"attends with {', '.join(wanted)}" if wanted else "is not given what is visible"
        raise not_shareable(module, reason)
    if windows is not None:
        windows(other.get("sliding_window"))
        rows, heads, length, _ = query.shape
        return value.new_zeros(rows, length, heads, value.shape[-1]), None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if isinstance(visible, BlockMask):
        attended, _ = flex_attention_forward(module, query, key, value, visible, scaling=scale)
        return attended, None
    if known is not None:
        key, value = known.complete(key, value)
    return explicit_attention(query, key, value, visible, scale), None


AttentionInterface.register(NAME, shared_attention)


def not_shareable(module: torch.nn.Module, reason: str) -> ModelError:
    """Return the error for a model, or its attention, that cannot share histories."""
    return ModelError(
        f"{type(module).__name__} {reason}, so histories cannot be shared",
        code="histories_not_shareable",
        where=getattr(getattr(module, "config", None), "name_or_path", None) or None,
        hint=NOT_SHARED_HINT,
    )


def visibility(packed: Packed, dtype: torch.dtype, known: KnownTokens | None = None) -> Visible:
    """Return the visibility of a batch, on its device, for attention in ``dtype``.

    With ``known`` tokens, which only the CPU's backend can leave out, it is that of the others.
    """
    if packed.ids.device.type == "cuda":
        return block_mask(packed)
    return plan(packed, dtype, None if known is None else known.known.numpy())


def backend(device: torch.device) -> str:
    """Return the attention backend of a device, with the reason."""
    if device.type == "cuda":
        return "FlexAttention (its kernels skip what no token sees)"
    return "chunks of queries with the keys they see (faster than PyTorch's masked attention)"


@contextlib.contextmanager
def sharing(causal: PreTrainedModel) -> Iterator[None]:
    """Use attention over packed rows inside the block."""
    config = causal.config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
