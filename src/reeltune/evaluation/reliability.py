"""Reliability: among rows with a P(Yes) of about 0.7, are about 70 of 100 liked?"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import brier_score_loss, log_loss

from reeltune.errors import DataError
from reeltune.evaluation.calibration_error import BINS, EDGES, bin_of, errors_by_chance
from reeltune.evaluation.result import Reliability, ReliabilityBin
from reeltune.evaluation.verdict_arrays import Labels, Probabilities, probabilities


def reliability(name: str, liked: Labels, p_yes: Probabilities) -> Reliability:
    """Return how far P(Yes) can be taken at its word.

    The expected calibration error is the mean over rows of how far, in the row's bin, the mean
    P(Yes) is from the share of Yes (:mod:`reeltune.evaluation.calibration_error`).

    Args:
        name: What was done to P(Yes).
        liked: The labels, shape ``(n,)``.
        p_yes: Shape ``(n,)``.

    Raises:
        DataError: There are no rows, or a verdict is not a probability.
    """
    if not len(liked):
        raise DataError("there are no rows to measure", code="no_rows_to_measure", where=name)
    exact = probabilities(liked, p_yes)
    bins = reliability_bins(liked, exact)
    gaps = [
        found.rows * abs(found.mean_p_yes - found.positive_rate)
        for found in bins
        if found.mean_p_yes is not None and found.positive_rate is not None
    ]
    by_chance = errors_by_chance(exact)
    return Reliability(
        name=name,
        bins=bins,
        ece=sum(gaps) / len(liked),
        ece_by_chance=float(by_chance.mean()),
        ece_by_chance_high=float(np.quantile(by_chance, 0.95)),
        log_loss=float(log_loss(liked, p_yes, labels=[False, True])),
        brier=float(brier_score_loss(liked, p_yes)),
    )


def reliability_bins(liked: Labels, p_yes: Probabilities) -> list[ReliabilityBin]:
    """Return the rows in the bins of the expected calibration error, empty ones included."""
    place = bin_of(p_yes)
    rows = np.bincount(place, minlength=BINS)
    said = np.bincount(place, weights=p_yes, minlength=BINS)
    true = np.bincount(place, weights=liked, minlength=BINS)
    return [
        ReliabilityBin(
            low=float(EDGES[i]),
            high=float(EDGES[i + 1]),
            rows=int(rows[i]),
            mean_p_yes=float(said[i] / rows[i]) if rows[i] else None,
            positive_rate=float(true[i] / rows[i]) if rows[i] else None,
        )
        for i in range(BINS)
    ]
