"""Blocks: stretches of one timeline whose examples share one history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reeltune.data.folder import Examples, Timelines
from reeltune.ragged import offsets_of

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Blocks:
    """Examples cut into stretches; each stretch shows its events from the same one on.

    Attributes:
        examples: All examples, stretch after stretch; within a stretch every ``start`` is equal.
        offsets: Where each stretch's examples begin, and their number: shape ``(b + 1,)``.
    """

    examples: Examples
    offsets: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1


def cut_blocks(timelines: Timelines, examples: Examples, targets: int) -> Blocks:
    """Cut examples into blocks of consecutive events of one user, each example in exactly one.

    The history of a block's first example is its own; those after it keep its first event, so that
    their histories grow by one event at a time.

    Args:
        timelines: The events.
        examples: In timeline order.
        targets: The most examples of a block; with 1, every example keeps its own history.
    """
    run = _run_starts(timelines, examples)
    count = len(examples)
    place = np.arange(count) - np.repeat(run, np.diff(np.append(run, count)))
    first = np.flatnonzero(place % targets == 0)
    offsets = np.append(first, count).astype(np.int64)
    start = np.repeat(examples.start[first], np.diff(offsets))
    return Blocks(Examples(start=start, target=examples.target), offsets)


def sample_blocks(blocks: Blocks, order: Ints, limit: int) -> Blocks:
    """Return the first blocks of an order, in timeline order, that hold ``limit`` examples.

    Args:
        blocks: What is chosen from.
        order: Block numbers, the ones to keep first.
        limit: How many examples to keep; the last block kept is cut to it.
    """
    sizes = np.diff(blocks.offsets)
    before = offsets_of(sizes[order])[:-1]
    kept = order[before < limit]
    room = np.minimum(sizes[kept], limit - before[before < limit])
    by_time = np.argsort(kept)
    kept, room = kept[by_time], room[by_time]
    offsets = offsets_of(room)
    rows = np.arange(offsets[-1]) + np.repeat(blocks.offsets[kept] - offsets[:-1], room)
    return Blocks(blocks.examples.take(rows), offsets)


def _run_starts(timelines: Timelines, examples: Examples) -> Ints:
    """Return where runs of consecutive events of one user begin among the examples."""
    if not len(examples):
        return np.empty(0, dtype=np.int64)
    user = timelines.user_id[examples.target]
    broken = (np.diff(examples.target) != 1) | (np.diff(user) != 0)
    return np.concatenate([[0], np.flatnonzero(broken) + 1]).astype(np.int64)
