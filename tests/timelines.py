"""Timelines for tests: by hand, or random ones of several users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st

from reeltune.data.timelines import Blocks, Examples, SplitColumn, Timelines
from reeltune.domain import HALF_STARS

_T = TypeVar("_T")


def timelines_of(
    item_idx: Sequence[int],
    rating: Sequence[float],
    user_id: Sequence[int] | None = None,
    split: Sequence[str] | None = None,
) -> Timelines:
    """Events in order; by default training events of one user."""
    count = len(item_idx)
    users = np.array(user_id if user_id is not None else [1] * count, dtype=np.int64)
    begun = np.searchsorted(users, users)
    return Timelines(
        user_id=users,
        position=(np.arange(count) - begun).astype(np.int32),
        item_idx=np.array(item_idx, dtype=np.int32),
        rating=np.array(rating, dtype=np.float32),
        timestamp=np.arange(count, dtype=np.int64),
        liked=np.array(rating, dtype=np.float32) >= 4.0,
        split=SplitColumn.of(split if split is not None else ["train"] * count),
    )


@st.composite
def random_timelines(draw: st.DrawFn, items: int = 1) -> Timelines:
    """Up to three users, with training events among others."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    count = sum(sizes)

    split = st.sampled_from(["train", "train", "train", "test"])
    return timelines_of(
        draw(_many(st.integers(0, items - 1), count)),
        draw(_many(st.sampled_from(HALF_STARS.ratings()), count)),
        np.repeat(np.arange(1, len(sizes) + 1), sizes).tolist(),
        draw(_many(split, count)),
    )


def _many(values: st.SearchStrategy[_T], count: int) -> st.SearchStrategy[list[_T]]:
    return st.lists(values, min_size=count, max_size=count)


def examples_of(timelines: Timelines, history_len: int) -> Examples:
    """The training events, each with all of its history up to a length."""
    target = np.flatnonzero(timelines.split == "train").astype(np.int64)
    shown = np.minimum(timelines.position[target].astype(np.int64), history_len)
    return Examples(start=target - shown, target=target)


def stretches(blocks: Blocks) -> list[Examples]:
    """The examples of each block."""
    return [
        blocks.examples.take(np.arange(first, last))
        for first, last in zip(blocks.offsets, blocks.offsets[1:], strict=False)
    ]
