"""The regression target of the Gaussian process, and the probability of a like."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SPREAD: Final = 0.4
"""Distance above the decision boundary at which the odds of a like are e to 1."""


def gp_target(rating: npt.NDArray[Any], like: npt.NDArray[Any]) -> Floats:
    """Return half the (mean) rating, plus 1 for a like (or the share of likes).

    The rating alone would weight every step of the scale alike; the like alone would ignore how
    clear it was.
    """
    return rating.astype(np.float64) / 2 + like


def like_probability(expected: Floats, threshold: float, step: float) -> Floats:
    """Return the probability of a like, a logistic function of the expected target."""
    least_liked = math.ceil(threshold / step) * step
    middle = ((least_liked / 2 + 1) + (least_liked - step) / 2) / 2
    return 1 / (1 + np.exp((middle - expected) / _SPREAD))
