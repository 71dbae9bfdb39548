"""Intervals by resampling users: how far a figure would move with other users.

Rows of one user are alike, so users are drawn, not rows (the cluster bootstrap; Field and Welsh
2007, https://doi.org/10.1111/j.1467-9868.2007.00593.x). A difference between two scorers on the
same rows is drawn with the same users for both. A handful of users, drawn again and again, are
always that handful: their interval is too narrow, and one user's has no width at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from reeltune.evaluation.verdict_arrays import Floats
from reeltune.seeds import stream

DRAWS: Final = 1000

FEWEST_USERS: Final = 10
"""Of fewer users no interval is told, and nothing is ruled."""

_AT_ONCE: Final = 1 << 19
"""Draws times rows that are worked on together, in arrays of 4 MiB: memory stays bounded."""


@dataclass(frozen=True)
class Interval:
    """A figure and the middle 95 % of its draws.

    Attributes:
        value: On the rows themselves.
        low: The 2.5th percentile.
        high: The 97.5th percentile.
        draws: How many draws the figure was defined in.
        users: How many users the figure is made of.
    """

    value: float
    low: float
    high: float
    draws: int
    users: int

    @property
    def told(self) -> bool:
        """Whether there are users enough for the interval to mean what it says."""
        return self.users >= FEWEST_USERS


def interval_of(value: float, drawn: Floats, users: int) -> Interval | None:
    """Return a figure with its percentile interval.

    Args:
        value: On the rows themselves; NaN where undefined.
        drawn: In every draw, shape ``(draws,)``; NaN where undefined, which is left out.
        users: How many users it is made of.

    Returns:
        None where the figure is undefined on the rows themselves, or in every draw.
    """
    defined = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(defined):
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return Interval(float(value), float(low), float(high), len(defined), users)


def draw_users(
    users: int, rows: int, seed: int, draws: int = DRAWS
) -> Iterator[tuple[slice, Floats]]:
    """Draw users with replacement, as many as there are, a few draws at a time.

    Args:
        users: How many there are.
        rows: How many rows they have; decides how many draws are given at a time, and nothing
            else.
        seed: Decides the draws: equal seeds and numbers of users give equal draws.
        draws: How often users are drawn.

    Yields:
        Which draws these are, and how often each user counts in them, shape ``(draws, users)``.
        Nothing where there are no users.
    """
    if not users:
        return
    random = stream(seed, "bootstrap")
    even = np.full(users, 1 / users)
    at_once = max(1, _AT_ONCE // max(rows, users))
    for first in range(0, draws, at_once):
        times = random.multinomial(users, even, size=min(at_once, draws - first))
        yield slice(first, first + len(times)), times.astype(np.float64)
