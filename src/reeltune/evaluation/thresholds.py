"""The P(Yes) from which to say Yes, chosen on validation rows."""

from __future__ import annotations

import numpy as np

from reeltune.evaluation.verdict_arrays import THRESHOLD, Labels, Probabilities, probabilities


def choose_threshold(labels: Labels, p_yes: Probabilities) -> float:
    """Return the threshold in 0 to 1 with the highest accuracy on these rows.

    A verdict reads Yes from the threshold on, the threshold included. Thresholds between two
    neighbouring values of P(Yes) give the same verdicts, and of such a stretch 0.5 is taken where
    it lies inside, the middle otherwise. Of several stretches with the highest accuracy the one
    whose threshold is nearest to 0.5 is taken, of two equally near the lower: nothing but a
    gain in accuracy moves the threshold away from 0.5. A P(Yes) of 1 always reads Yes.

    Args:
        labels: True where the answer is Yes, shape ``(n,)``; of validation rows, never of the
            rows that are reported.
        p_yes: P(Yes), shape ``(n,)``.

    Returns:
        0.5 where the rows have one label only, or there are none: they say nothing about where
        Yes ends and No begins.

    Raises:
        DataError: A probability is missing or outside 0 to 1.
    """
    found = probabilities(labels, p_yes)
    if labels.all() or not labels.any():
        return THRESHOLD
    values, place = np.unique(found, return_inverse=True)
    rows, likes = np.bincount(place), np.bincount(place, weights=labels)
    # Stretch i goes from values[i - 1], left out, to values[i]; after the last, nothing is a Yes.
    low, high = np.append(0.0, values), np.append(values, 1.0)
    right = np.append(0.0, np.cumsum(rows - likes)) + likes.sum() - np.append(0.0, np.cumsum(likes))
    right[low == 1] = -1.0
    middle = low + (high - low) / 2
    # Neighbours in float64 have no middle.
    middle = np.where(middle > low, middle, high)
    threshold = np.where((low < THRESHOLD) & (high >= THRESHOLD), THRESHOLD, middle)
    best = threshold[right == right.max()]
    return float(best[np.argmin(np.abs(best - THRESHOLD))])
