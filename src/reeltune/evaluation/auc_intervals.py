"""The AUC alone, of several scorers on some rows, under the same draws of users for all of them.

Where only the order of rows counts: within a group of rows, or of scores that are no probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from reeltune.evaluation.intervals import DRAWS, Interval, draw_users, interval_of
from reeltune.evaluation.ranked_rows import RankedRows
from reeltune.evaluation.verdict_arrays import (
    Floats,
    Labels,
    Probabilities,
    number_users,
    probabilities,
)


def drawn_aucs(
    liked: Labels,
    scores: Mapping[str, Floats],
    user_id: npt.NDArray[np.int64],
    seed: int,
    draws: int = DRAWS,
) -> dict[str, Floats]:
    """Return the AUC of every scorer on the rows themselves, then under draws of users.

    Args:
        liked: The labels, shape ``(n,)``.
        scores: By scorer: P(Yes), or whatever else puts the rows in order, shape ``(n,)``.
        user_id: Whose row it is, shape ``(n,)``.
        seed: Decides the draws.
        draws: How often users are drawn.

    Returns:
        By scorer, shape ``(1 + draws,)``; NaN where the users drawn have rows of one label only.
    """
    user = number_users(user_id)
    users = int(user.max(initial=-1)) + 1
    ranked = {name: RankedRows(liked, values, user) for name, values in scores.items()}
    found = {name: np.full(1 + draws, np.nan) for name in scores}
    for name, rows in ranked.items():
        found[name][:1] = rows.auc(np.ones((1, users)))
    for some, times in draw_users(users, len(liked), seed, draws):
        for name, rows in ranked.items():
            found[name][1:][some] = rows.auc(times)
    return found


def auc_interval(aucs: Floats, users: int) -> Interval | None:
    """Return an AUC, or a difference of two, with its interval; None where it is undefined.

    Args:
        aucs: As of :func:`drawn_aucs`, or the difference of two of them.
        users: How many users the rows are of.
    """
    return interval_of(float(aucs[0]), aucs[1:], users)


def auc_difference(
    labels: Labels,
    p_yes: Probabilities,
    other: Probabilities,
    user_id: npt.NDArray[np.int64],
    seed: int,
    draws: int = DRAWS,
) -> Interval | None:
    """Return the AUC of ``p_yes`` less that of ``other``, with its interval over users.

    Args:
        labels: True where the answer is Yes, shape ``(n,)``.
        p_yes: P(Yes) of one scorer, shape ``(n,)``.
        other: P(Yes) of another on the same rows.
        user_id: Whose row it is, shape ``(n,)``.
        seed: Decides the draws.
        draws: How often users are drawn.

    Returns:
        None where all rows have one label, or those of every draw.

    Raises:
        DataError: There are more or fewer verdicts than labels, or one is not a probability.
    """
    scores = {"one": probabilities(labels, p_yes), "other": probabilities(labels, other)}
    aucs = drawn_aucs(labels, scores, user_id, seed, draws)
    return auc_interval(aucs["one"] - aucs["other"], len(np.unique(user_id)))
