"""Reliability of P(Yes): of the rows with P(Yes) of about 0.7, are about 70 % liked?"""

from __future__ import annotations

from typing import Final

import numpy as np

from reeltune.errors import DataError
from reeltune.evaluation.metrics import (
    ECE_BINS,
    ECE_EDGES,
    MetricSums,
    bin_of,
    calibration_error,
)
from reeltune.evaluation.predictions import Floats, Labels, Probabilities, probabilities
from reeltune.evaluation.result import Reliability, ReliabilityBin
from reeltune.seeds import stream

_SAMPLES: Final = 500


def reliability(name: str, liked: Labels, p_yes: Probabilities) -> Reliability:
    """Return how well P(Yes) is calibrated.

    Args:
        name: The calibration that was applied.

    Raises:
        DataError: There are no rows, or a value is not a probability.
    """
    if not len(liked):
        raise DataError("there are no rows to measure", code="no_rows_to_measure", where=name)
    exact = probabilities(liked, p_yes, name)
    one_user = np.zeros(len(liked), dtype=np.int64)
    values = MetricSums(liked, exact, one_user, None).metrics(np.ones((1, 1)))
    by_chance = errors_by_chance(exact)
    return Reliability(
        name=name,
        bins=_bins(liked, exact),
        ece=float(values["ece"][0]),
        ece_by_chance=float(by_chance.mean()),
        ece_by_chance_high=float(np.quantile(by_chance, 0.95)),
        log_loss=float(values["log_loss"][0]),
        brier=float(values["brier"][0]),
    )


def errors_by_chance(p_yes: Floats) -> Floats:
    """Return calibration errors of labels sampled from P(Yes) itself, shape ``(500,)``.

    Even perfectly calibrated predictions have these errors: with few rows, the share of Yes in a
    bin differs from its mean P(Yes) by chance.
    """
    random, bins, rows = stream(0, "labels drawn from P(Yes)"), bin_of(p_yes), len(p_yes)
    gaps = [
        np.bincount(bins, weights=p_yes - (random.random(rows) < p_yes), minlength=ECE_BINS)
        for _ in range(_SAMPLES)
    ]
    return calibration_error(np.array(gaps, dtype=np.float64), np.full(_SAMPLES, float(rows)))


def _bins(liked: Labels, p_yes: Floats) -> list[ReliabilityBin]:
    bins = bin_of(p_yes)
    rows = np.bincount(bins, minlength=ECE_BINS)
    p_sum = np.bincount(bins, weights=p_yes, minlength=ECE_BINS)
    likes = np.bincount(bins, weights=liked, minlength=ECE_BINS)
    return [
        ReliabilityBin(
            low=float(ECE_EDGES[i]),
            high=float(ECE_EDGES[i + 1]),
            rows=int(rows[i]),
            mean_p_yes=float(p_sum[i] / rows[i]) if rows[i] else None,
            positive_rate=float(likes[i] / rows[i]) if rows[i] else None,
        )
        for i in range(ECE_BINS)
    ]
