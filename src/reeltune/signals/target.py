"""What is expected of a user and a film: the outcome of an event, and the chance of a like."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SPREAD: Final = 0.4
"""How far above the middle between likes and the rest an outcome lies whose odds are e to 1."""


def gp_target(rating: npt.NDArray[Any], like: npt.NDArray[Any]) -> Floats:
    """Return what is expected: half the stars, and 1 more for a like.

    Stars alone would ask as much about the step from 1 to 2 as about the one that decides; a like
    alone forgets by how much.

    Args:
        rating: Of each event, or means of them.
        like: Whether each is a like, or shares of likes; the same shape.
    """
    return rating.astype(np.float64) / 2 + like


def like_probability(expected: Floats, threshold: float, step: float) -> Floats:
    """Return how likely a like is, given the outcome to expect; any shape.

    Args:
        expected: The outcome to expect.
        threshold: Stars from which a film counts as liked.
        step: From one number of stars to the next: a whole star in the oldest editions.
    """
    least_liked = math.ceil(threshold / step) * step
    middle = ((least_liked / 2 + 1) + (least_liked - step) / 2) / 2
    return 1 / (1 + np.exp((middle - expected) / _SPREAD))
