"""The regression target of the Gaussian process, and the probability of a like."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from reeltune.domain import PromptSettings
from reeltune.signals.running_statistics import Floats


def gp_target(rating: npt.NDArray[Any], like: npt.NDArray[Any]) -> Floats:
    """Return half the (mean) rating in stars, plus 1 for a like (or the share of likes).

    The rating alone would weight every step of the scale alike; the like alone would ignore how
    clear it was.
    """
    return rating.astype(np.float64) / 2 + like


def stars_per_unit(settings: PromptSettings) -> float:
    """Return the factor that shrinks a scale wider than that of stars to its width.

    Variances of the target are then about as large on every scale; that of stars itself has 1.
    """
    return min(1.0, 5.0 / (settings.scale_max - settings.scale_min))


def decision_boundary(settings: PromptSettings) -> float:
    """Return the target midway between the best dislike and the least like."""
    scale, stars = settings.scale, stars_per_unit(settings)
    liked = scale.round_up(settings.threshold)
    return ((liked * stars / 2 + 1) + (liked - scale.step) * stars / 2) / 2


def like_probability(expected: Floats, settings: PromptSettings) -> Floats:
    """Return the probability of a like, a logistic function of the expected target."""
    middle = decision_boundary(settings)
    return 1 / (1 + np.exp((middle - expected) / settings.gaussian_process.spread))
