"""Expected calibration error: how far P(Yes) is from the share of Yes, in bins of equal width.

With rows weighing alike, the error is a sum over bins of what P(Yes) promises too much or too
little there, so it follows from what each user adds to each bin.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.evaluation.verdict_arrays import Floats, Labels, Probabilities, Users
from reeltune.seeds import stream

BINS: Final = 15
EDGES: Final[Floats] = np.arange(BINS + 1) / BINS
"""Where the bins begin, and where the last one ends: 0 to 1."""

_DRAWS: Final = 500


def bin_of(p_yes: Probabilities) -> npt.NDArray[np.int64]:
    """Return the bin of every P(Yes): an edge belongs to the bin above it, and 1 to the last."""
    return np.searchsorted(EDGES[1:-1], p_yes, side="right")


def gaps_per_user(labels: Labels, p_yes: Floats, user: Users) -> Floats:
    """Return the sum of P(Yes) less the sum of labels, of each user's rows in each bin.

    Args:
        labels: True where the answer is Yes, shape ``(n,)``.
        p_yes: P(Yes), shape ``(n,)``.
        user: The number of the row's user, 0 to ``users - 1``, shape ``(n,)``.

    Returns:
        Shape ``(users, BINS)``.
    """
    users = int(user.max(initial=-1)) + 1
    gaps = np.bincount(user * BINS + bin_of(p_yes), weights=p_yes - labels, minlength=users * BINS)
    return gaps.reshape(users, BINS).astype(np.float64, copy=False)


def errors_by_chance(p_yes: Floats) -> Floats:
    """Return the errors of labels drawn from P(Yes) itself, shape ``(500,)``.

    Verdicts that are right to the last digit have these: on few rows, the share of Yes in a bin is
    by chance not what was promised, and the error takes every such gap without its sign.

    Args:
        p_yes: P(Yes), shape ``(n,)``, at least one.
    """
    random, place, rows = stream(0, "labels drawn from P(Yes)"), bin_of(p_yes), len(p_yes)
    gaps = [
        np.bincount(place, weights=p_yes - (random.random(rows) < p_yes), minlength=BINS)
        for _ in range(_DRAWS)
    ]
    return calibration_error(np.array(gaps, dtype=np.float64), np.full(_DRAWS, float(rows)))


def calibration_error(gaps: Floats, rows: Floats) -> Floats:
    """Return the expected calibration error from gaps summed over users.

    The mean over rows of how far, in the row's bin, the mean P(Yes) is from the share of Yes
    (Naeini, Cooper and Hauskrecht 2015, https://doi.org/10.1609/aaai.v29i1.9602). A bin's share
    of the rows times the difference of its means is the difference of its sums over all rows.

    Args:
        gaps: As of :func:`gaps_per_user`, summed, shape ``(draws, BINS)``.
        rows: How many rows there are, shape ``(draws,)``.

    Returns:
        Shape ``(draws,)``; NaN without rows.
    """
    with np.errstate(invalid="ignore"):
        return np.abs(gaps).sum(axis=1) / rows
