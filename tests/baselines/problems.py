"""Random problems for tests: timelines whose rows are split as ``prepare`` splits them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from reeltune.baselines.problem import Problem
from reeltune.data.timelines import SplitColumn, Timelines
from reeltune.domain import Item

SPLITS = ("context", "train", "validation", "test")
GENRES = ("Comedy", "Drama", "War")


def random_problem(seed: int, users: int = 6, items: int = 14, cold: int = 2) -> Problem:
    """Users of 5 to 11 events, cut in time, as the ``user`` split does.

    The last ``cold`` films occur in held-out events only.
    """
    random = np.random.default_rng(seed)
    parts = [_timeline(random, 10 * user + 3, items, cold) for user in range(users)]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    user_id, position, item_idx, rating, timestamp, split = columns
    timelines = Timelines(
        user_id=user_id,
        position=position.astype(np.int32),
        item_idx=item_idx.astype(np.int32),
        rating=rating.astype(np.float32),
        timestamp=timestamp,
        liked=rating >= 4.0,
        split=SplitColumn.of(split),
    )
    listed = [
        Item(
            row + 1,
            f"Film {row}",
            None if row % 5 == 0 else 1950 + 3 * row,
            tuple(genre for genre in GENRES if random.random() < 0.4),
        )
        for row in range(items)
    ]
    return problem_of(timelines, listed)


def problem_of(timelines: Timelines, items: list[Item], seed: int = 7) -> Problem:
    """The problem of all rows of the splits."""
    train, validation, test = (
        np.flatnonzero(timelines.split == split).astype(np.int64) for split in SPLITS[1:]
    )
    return Problem(timelines, items, train, validation, test, seed)


def with_ratings(problem: Problem, event: npt.NDArray[np.int64], rating: float) -> Problem:
    """The same problem with another rating for some events."""
    changed = problem.timelines.rating.copy()
    changed[event] = rating
    timelines = replace(problem.timelines, rating=changed, liked=changed >= 4.0)
    return replace(problem, timelines=timelines)


def _timeline(
    random: np.random.Generator, user: int, items: int, cold: int
) -> tuple[npt.NDArray[np.generic], ...]:
    count = int(random.integers(5, 12))
    cuts = np.cumsum([2, *random.multinomial(count - 5, [0.6, 0.2, 0.2]) + 1])[:3]
    split = np.array(SPLITS)[np.searchsorted(cuts, np.arange(count), side="right")]
    known = random.permutation(items - cold)
    item_idx = known[:count]
    item_idx[-1] = items - 1 - int(random.integers(cold))
    return (
        np.full(count, user, dtype=np.int64),
        np.arange(count),
        item_idx,
        random.integers(1, 11, size=count) / 2,
        1_000_000_000 + np.cumsum(random.integers(0, 100_000, size=count)),
        split,
    )
