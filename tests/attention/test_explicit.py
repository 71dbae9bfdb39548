"""The CPU's attention equals a softmax over the dense mask, and so do its gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reeltune.attention.explicit import explicit_attention, plan
from reeltune.attention.packed import PADDING
from tests.attention.build import block, lay, numbered, packed_rows, visible

SIZE = 4
SCALE = 0.7
HEADS = ((1, 1), (4, 4), (4, 2), (3, 1))
# Rounding, as a share of the largest entry: a gradient adds up hundreds of terms.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def dense_attention(query, key, value, seen):
    """Softmax over every pair of a row; shape ``(rows, length, heads, size)``, 0 at padding."""
    groups = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    scores = SCALE * query @ key.transpose(-1, -2)
    weights = scores.masked_fill(~seen[:, None], -torch.inf).softmax(-1)
    return (weights.nan_to_num(0.0) @ value).transpose(1, 2)


def attended(attend, tensors, upstream):
    """The result of an attention function and the gradients of its inputs."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    out = attend(*leaves)
    return [out.detach(), *torch.autograd.grad((out * upstream).sum(), leaves)]


def check(drawn, heads, dtype, seed):
    sequences, rows, length = drawn
    packed = lay(drawn).packed
    random = torch.Generator().manual_seed(seed)
    tensors = [
        torch.randn(len(rows), count, length, SIZE, generator=random, dtype=dtype)
        for count in (heads[0], heads[1], heads[1])
    ]
    upstream = torch.randn(len(rows), length, heads[0], SIZE, generator=random, dtype=dtype)
    seen, chunks = visible(sequences, rows, length), plan(packed, dtype)
    found = attended(
        lambda query, key, value: explicit_attention(query, key, value, chunks, SCALE),
        tensors,
        upstream,
    )
    expected = attended(
        lambda query, key, value: dense_attention(query, key, value, seen), tensors, upstream
    )
    for one, other in zip(found, expected, strict=True):
        size = max(1.0, other.abs().max().item())
        torch.testing.assert_close(one, other, rtol=0, atol=TOLERANCE[dtype] * size)
    assert (found[0][packed.parent == PADDING] == 0).all()
    with torch.no_grad():  # by another kernel
        fused = explicit_attention(*tensors, chunks, SCALE)
    torch.testing.assert_close(fused, expected[0], rtol=0, atol=TOLERANCE[dtype])
    assert (fused[packed.parent == PADDING] == 0).all()


@pytest.mark.slow
@given(packed_rows(), st.sampled_from(HEADS), st.integers(0, 99))
def test_equals_the_dense_softmax(drawn, heads, seed):
    check(drawn, heads, torch.float64, seed)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
@settings(max_examples=8)
@given(drawn=packed_rows(trunk=200, branch=90), heads=st.sampled_from(HEADS))
def test_equals_the_dense_softmax_with_several_chunks_per_row(drawn, heads, dtype):
    check(drawn, heads, dtype, 0)


@given(packed_rows(trunk=60, branch=30))
def test_chunks_contain_every_token_once_and_no_padding(drawn):
    _, rows, length = drawn
    packed = lay(drawn).packed
    counted = torch.zeros(len(rows), length, dtype=torch.int64)
    for chunk in plan(packed, torch.float32):
        counted[chunk.row, chunk.first : chunk.last] += 1
    assert torch.equal(counted, (packed.parent != PADDING).long())


def test_many_short_branches_are_taken_together_with_the_keys_they_share():
    """100 branches of 4 tokens on a trunk of 50 take a few products, not one for each."""
    sequences = numbered([block(50, [(50, 4)] * 100)])
    chunks = plan(lay((sequences, [np.array([0])], 450)).packed, torch.float32)
    spans = [(chunk.first, chunk.last) for chunk in chunks]
    assert spans == [(0, 50), (50, 178), (178, 306), (306, 434), (434, 450)]
    assert [chunk.keys for chunk in chunks[1:]] == [((0, 50), span) for span in spans[1:]]
