"""The ratings an edition allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class RatingScale:
    """The ratings from ``min`` to ``max`` in steps of ``step``.

    >>> RatingScale(1.0, 5.0, 1.0).ratings()
    (1.0, 2.0, 3.0, 4.0, 5.0)
    """

    min: float
    max: float
    step: float

    def __str__(self) -> str:
        return f"{self.min:.1f} to {self.max:.1f} in steps of {self.step:.1f}"

    def contains(self, rating: float) -> bool:
        """Return whether a rating is one of :meth:`ratings`; False for NaN."""
        return self.min <= rating <= self.max and (rating / self.step).is_integer()

    def ratings(self) -> tuple[float, ...]:
        """Return every rating, lowest first."""
        steps = range(math.ceil(self.min / self.step), math.floor(self.max / self.step) + 1)
        return tuple(step * self.step for step in steps)

    def round_up(self, value: float) -> float:
        """Return the lowest multiple of ``step`` that is at least ``value``."""
        return math.ceil(value / self.step) * self.step


HALF_STARS: Final = RatingScale(0.5, 5.0, 0.5)
"""The finest scale of any edition: it contains every rating of the others."""

WHOLE_STARS: Final = RatingScale(1.0, 5.0, 1.0)


def format_rating(rating: float) -> str:
    """Return stars as the prompt shows them, always with one decimal: ``4.5``, ``3.0``."""
    return f"{rating:.1f}"
