"""Models use the attention of packed rows, and only while sharing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from torch.nn.attention.flex_attention import flex_attention
from transformers import AutoModelForCausalLM
from transformers.integrations import flex_attention as transformers_flex

from reeltune.attention.packed import PADDING
from reeltune.attention.packing import TILE
from reeltune.attention.shared import shared_attention, sharing, visibility
from reeltune.attention.tiles import block_mask
from tests.attention.build import lay, packed_rows

SIZE = 16


def attention_of(visible: object, heads: int, packed_shape: torch.Size) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    rows, length = packed_shape
    query, key, value = (
        torch.randn(rows, count, length, SIZE, generator=random) for count in (heads, 2, 2)
    )
    found, weights = shared_attention(
        torch.nn.Module(),
        query,
        key,
        value,
        None,
        visible=visible,  # pyright: ignore[reportArgumentType]
        scaling=0.5,
        dropout=0.0,
        position_ids=None,
    )
    assert weights is None
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("heads", [2, 4, 6])
@settings(max_examples=5)
@given(drawn=packed_rows(trunk=200, branch=60, tile=TILE))
def test_flex_attention_equals_the_cpu_backend(heads, drawn):
    """FlexAttention as PyTorch defines it, without the kernels that need a GPU."""
    packed = lay(drawn).packed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            transformers_flex,
            "compile_friendly_flex_attention",
            lambda query, key, value, training=False, **other: flex_attention(
                query, key, value, **other
            ),
        )
        flex = attention_of(block_mask(packed), heads, packed.ids.shape)
    plain = attention_of(visibility(packed, torch.float32), heads, packed.ids.shape)
    real = packed.parent != PADDING
    torch.testing.assert_close(flex[real], plain[real], rtol=0, atol=1e-5)


def test_sharing_restores_the_attention_of_the_model(tiny_qwen3):
    model = AutoModelForCausalLM.from_pretrained(tiny_qwen3).eval()
    ids = torch.arange(3, 40)[None]
    before, named = model(ids).logits, model.config._attn_implementation
    with sharing(model):
        assert model.config._attn_implementation != named
    with pytest.raises(RuntimeError, match="inside"), sharing(model):
        raise RuntimeError("inside")
    assert model.config._attn_implementation == named
    assert torch.equal(model(ids).logits, before)
