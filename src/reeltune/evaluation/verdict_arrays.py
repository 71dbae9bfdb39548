"""Labels, verdicts and users as arrays: what every metric is computed from."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.errors import DataError

Labels = npt.NDArray[np.bool_]
Probabilities = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]
Users = npt.NDArray[np.int64]

THRESHOLD: Final = 0.5
"""P(Yes) from which a verdict reads Yes, unless another threshold was chosen."""


def probabilities(labels: Labels, p_yes: Probabilities) -> Floats:
    """Return P(Yes) in float64, so that it compares with a threshold as it was chosen.

    Args:
        labels: Shape ``(n,)``.
        p_yes: Shape ``(n,)``, of any floating type.

    Raises:
        DataError: There are more or fewer verdicts than labels, or one is not a probability.
    """
    if p_yes.shape != labels.shape:
        raise DataError(
            f"{len(p_yes)} predictions for {len(labels)} labels", code="wrong_number_of_predictions"
        )
    found = p_yes.astype(np.float64)
    bad = ~((found >= 0) & (found <= 1))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{p_yes[row]} is not a probability", code="not_a_probability", where=f"row {row}"
        )
    return found


def number_users(user_id: npt.NDArray[np.int64]) -> Users:
    """Return users by number, 0 to ``users - 1``, in the order of their ids; shape ``(n,)``."""
    return np.unique(user_id, return_inverse=True)[1]
