"""How well the rows of each user are ordered: AUC and nDCG within a user.

A user whose rows all have one label says nothing about an order. Their AUC does not exist, and
their nDCG would be 1 or 0 whatever the scorer says; both are NaN here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.stats import rankdata

from reeltune.evaluation.verdict_arrays import Floats, Labels, Users

PLACES: Final = 10
"""The first places of a user's list, which are all that nDCG looks at."""


def auc_per_user(labels: Labels, p_yes: Floats, user: Users) -> Floats:
    """Return the AUC within each user's rows.

    The AUC is the Mann-Whitney statistic on average ranks, so ties count one half (Hanley and
    McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747).

    Args:
        labels: True where the answer is Yes, shape ``(n,)``.
        p_yes: P(Yes), shape ``(n,)``.
        user: The number of the row's user, 0 to ``users - 1``, shape ``(n,)``.

    Returns:
        Shape ``(users,)``; NaN with one label only.
    """
    # Ranks within users: shift every user's scores apart by more than their range, rank once.
    # Ranking first keeps ties exact, which adding an offset to the scores themselves would not.
    order = rankdata(p_yes, method="dense")
    rank = rankdata(user * (order.max(initial=0) + 1.0) + order, method="average")
    sizes = np.bincount(user)
    rank -= (np.cumsum(sizes) - sizes)[user]
    positives = np.bincount(user, weights=labels)
    negatives = sizes - positives
    rank_sum = np.bincount(user, weights=rank * labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def ndcg_per_user(labels: Labels, p_yes: Floats, user: Users) -> Floats:
    """Return the nDCG of the first ten places of each user's rows, best P(Yes) first.

    A liked film at place ``i``, from 1, is worth ``1 / log2(i + 1)`` up to place 10 and nothing
    below; the sum is divided by the largest one any order of the same rows has (Järvelin and
    Kekäläinen 2002, https://doi.org/10.1145/582415.582418). Rows of equal P(Yes) each get the
    mean worth of the places they hold together, which is the expected value over all their
    orders (McSherry and Najork 2008, https://doi.org/10.1007/978-3-540-78646-7_38): the order of
    rows in the data can neither help nor harm.

    Args:
        labels: True where the answer is Yes, shape ``(n,)``.
        p_yes: P(Yes), shape ``(n,)``.
        user: The number of the row's user, 0 to ``users - 1``, shape ``(n,)``.

    Returns:
        Shape ``(users,)``; NaN with one label only.
    """
    order = np.lexsort((-p_yes, user))
    liked, p_yes, user = labels[order].astype(np.float64), p_yes[order], user[order]
    sizes = np.bincount(user)
    place = np.arange(len(user)) - (np.cumsum(sizes) - sizes)[user]
    worth = np.where(place < PLACES, 1 / np.log2(place + 2), 0.0)
    # Runs of equal P(Yes) within a user.
    begins = np.flatnonzero(
        (np.diff(user, prepend=-1) != 0) | (np.diff(p_yes, prepend=np.nan) != 0)
    )
    lengths = np.diff(begins, append=len(user))
    gained = np.add.reduceat(liked, begins) * np.add.reduceat(worth, begins) / lengths
    positives = np.bincount(user, weights=liked).astype(np.int64)
    best = np.cumsum(1 / np.log2(np.arange(PLACES) + 2))
    ideal = best[np.clip(positives, 1, PLACES) - 1]
    both = (positives > 0) & (positives < sizes)
    return np.where(both, np.bincount(user[begins], weights=gained) / ideal, np.nan)
