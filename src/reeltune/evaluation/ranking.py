"""Ranking metrics: AUC over all rows with weighted users, AUC and nDCG of each user's rows.

The AUC is the Mann-Whitney statistic: the share of pairs of a Yes row and a No row in which the Yes
row has the higher score, ties counting one half (Hanley and McNeil 1982,
https://doi.org/10.1148/radiology.143.1.7063747).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.stats import rankdata

from reeltune.evaluation.arrays import Floats, Ints, Labels

CUTOFF: Final = 10
"""Ranks that nDCG looks at."""


class WeightedAuc:
    """The AUC of one scorer's rows under any weights of the users.

    Rows are sorted once, so each set of weights costs time linear in the rows.

    Args:
        labels: True where the answer is Yes, shape ``(n,)``.
        scores: Shape ``(n,)``; need not be probabilities.
        user: Index of the row's user, shape ``(n,)``.
    """

    def __init__(self, labels: Labels, scores: Floats, user: Ints) -> None:
        order = np.argsort(scores)
        yes, no = order[labels[order]], order[~labels[order]]
        self._user_of_yes, self._user_of_no = user[yes], user[no]
        # How many No rows have a lower score than each Yes row, and how many no higher one.
        self._lower = np.searchsorted(scores[no], scores[yes], side="left")
        self._not_higher = np.searchsorted(scores[no], scores[yes], side="right")

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """Return ``{"auc": ...}`` for each set of weights.

        Args:
            weights: How often each user counts, shape ``(samples, users)``. A user of weight ``k``
                contributes every row ``k`` times.

        Returns:
            Shape ``(samples,)``; NaN where the weighted rows have one label only.
        """
        no = np.zeros((len(weights), len(self._user_of_no) + 1))
        np.cumsum(np.take(weights, self._user_of_no, axis=1), axis=1, out=no[:, 1:])
        yes = np.take(weights, self._user_of_yes, axis=1)
        beaten = np.take(no, self._lower, axis=1)
        beaten += np.take(no, self._not_higher, axis=1)
        won = np.einsum("ij,ij->i", yes, beaten) / 2
        with np.errstate(invalid="ignore"):
            return {"auc": won / (yes.sum(axis=1) * no[:, -1])}


def auc_per_user(labels: Labels, p_yes: Floats, user: Ints) -> Floats:
    """Return the AUC of each user's rows, shape ``(users,)``; NaN for one label.

    ``user`` is the index of the row's user.
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


def ndcg_per_user(labels: Labels, p_yes: Floats, user: Ints) -> Floats:
    """Return nDCG@10 of each user's rows, ranked by P(Yes).

    A liked item at rank ``i``, from 1, gains ``1 / log2(i + 1)`` up to rank 10; the sum is divided
    by that of the best order (Järvelin and Kekäläinen 2002,
    https://doi.org/10.1145/582415.582418). Tied rows share the mean gain of their ranks, the
    expectation over all their orders (McSherry and Najork 2008,
    https://doi.org/10.1007/978-3-540-78646-7_38), so the order of rows in the data has no effect.

    Returns:
        Shape ``(users,)``; NaN for one label, where any order has the same value.
    """
    order = np.lexsort((-p_yes, user))
    liked, p_yes, user = labels[order].astype(np.float64), p_yes[order], user[order]
    sizes = np.bincount(user)
    rank = np.arange(len(user)) - (np.cumsum(sizes) - sizes)[user]
    gain = np.where(rank < CUTOFF, 1 / np.log2(rank + 2), 0.0)
    # Runs of equal P(Yes) within a user.
    begins = np.flatnonzero(
        (np.diff(user, prepend=-1) != 0) | (np.diff(p_yes, prepend=np.nan) != 0)
    )
    lengths = np.diff(begins, append=len(user))
    gained = np.add.reduceat(liked, begins) * np.add.reduceat(gain, begins) / lengths
    positives = np.bincount(user, weights=liked).astype(np.int64)
    best = np.cumsum(1 / np.log2(np.arange(CUTOFF) + 2))
    ideal = best[np.clip(positives, 1, CUTOFF) - 1]
    both = (positives > 0) & (positives < sizes)
    return np.where(both, np.bincount(user[begins], weights=gained) / ideal, np.nan)
