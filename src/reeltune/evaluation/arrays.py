"""Types of labels, probabilities and users, and the check that probabilities are probabilities."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.errors import DataError

Labels = npt.NDArray[np.bool_]
Probabilities = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

THRESHOLD: Final = 0.5
"""P(Yes) from which the answer is Yes, unless another threshold was chosen."""


def probabilities(labels: Labels, p_yes: Probabilities, where: str = "") -> Floats:
    """Return P(Yes) in float64, the type in which thresholds are chosen and compared.

    Args:
        labels: Shape ``(n,)``.
        p_yes: Shape ``(n,)``.
        where: Put before the row in an error, such as the scorer.

    Raises:
        DataError: The shapes differ, or a value is not a probability.
    """
    found = np.asarray(p_yes, dtype=np.float64)
    if found.shape != labels.shape:
        raise DataError(
            f"{len(found)} predictions for {len(labels)} rows",
            code="wrong_number_of_predictions",
            where=where or None,
        )
    bad = ~((found >= 0) & (found <= 1))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{p_yes[row]} is not a probability",
            code="not_a_probability",
            where=", ".join(filter(None, (where, f"row {row}"))),
        )
    return found


def user_indices(user_id: Ints) -> Ints:
    """Return each row's user as an index, 0 to ``users - 1``, in the order of the ids."""
    return np.unique(user_id, return_inverse=True)[1]
