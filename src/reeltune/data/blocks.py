"""Blocks: consecutive examples of one user that share one history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reeltune.data.folder import Examples, Timelines
from reeltune.ragged import offsets_of

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Blocks:
    """Examples in blocks; the histories of a block begin with the same event.

    Attributes:
        examples: All examples, block after block; within a block every ``start`` is equal.
        offsets: Block ``b`` has examples ``offsets[b]`` to ``offsets[b + 1] - 1``.
    """

    examples: Examples
    offsets: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1


def cut_blocks(timelines: Timelines, examples: Examples, targets: int) -> Blocks:
    """Group examples into blocks of consecutive events of one user, each example in exactly one.

    The first example of a block has the history it was prepared with; the histories of the others
    begin with the same event, so they grow by one event at a time.

    Args:
        timelines: The events.
        examples: In timeline order.
        targets: The most examples in a block; with 1, every example keeps its own history.
    """
    run = _run_starts(timelines, examples)
    count = len(examples)
    index_in_run = np.arange(count) - np.repeat(run, np.diff(np.append(run, count)))
    first = np.flatnonzero(index_in_run % targets == 0)
    offsets = np.append(first, count).astype(np.int64)
    start = np.repeat(examples.start[first], np.diff(offsets))
    return Blocks(Examples(start=start, target=examples.target), offsets)


def sample_blocks(blocks: Blocks, order: Ints, limit: int) -> Blocks:
    """Return as many blocks as hold ``limit`` examples, in timeline order.

    Args:
        blocks: All blocks.
        order: Block indices by descending priority.
        limit: Examples to keep; the last block kept is truncated to reach it exactly.
    """
    sizes = np.diff(blocks.offsets)
    before = offsets_of(sizes[order])[:-1]
    chosen = order[before < limit]
    lengths = np.minimum(sizes[chosen], limit - before[before < limit])
    by_time = np.argsort(chosen)
    chosen, lengths = chosen[by_time], lengths[by_time]
    offsets = offsets_of(lengths)
    rows = np.arange(offsets[-1]) + np.repeat(blocks.offsets[chosen] - offsets[:-1], lengths)
    return Blocks(blocks.examples.take(rows), offsets)


def _run_starts(timelines: Timelines, examples: Examples) -> Ints:
    """Return the indices of examples at which runs of consecutive events of one user begin."""
    if not len(examples):
        return np.empty(0, dtype=np.int64)
    user = timelines.user_id[examples.target]
    broken = (np.diff(examples.target) != 1) | (np.diff(user) != 0)
    return np.concatenate([[0], np.flatnonzero(broken) + 1]).astype(np.int64)
