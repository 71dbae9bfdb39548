"""The AUC over all rows, when users count differently often."""

from __future__ import annotations

import numpy as np

from reeltune.evaluation.verdict_arrays import Floats, Labels, Users


class RankedRows:
    """The rows of one scorer, sorted once, so that every draw of users is linear in the rows.

    The AUC is the Mann-Whitney statistic: the share of pairs of a Yes row and a No row in which
    the Yes row has the higher P(Yes), a tie counting one half (Hanley and McNeil 1982,
    https://doi.org/10.1148/radiology.143.1.7063747). A user counted ``k`` times brings every row
    ``k`` times.

    Args:
        labels: True where the answer is Yes, shape ``(n,)``.
        p_yes: P(Yes), shape ``(n,)``.
        user: The number of the row's user, shape ``(n,)``.
    """

    def __init__(self, labels: Labels, p_yes: Floats, user: Users) -> None:
        order = np.argsort(p_yes)
        yes, no = order[labels[order]], order[~labels[order]]
        self._user_of_yes, self._user_of_no = user[yes], user[no]
        # How many No rows each Yes row is above, and how many it is not below: ties lie between.
        self._above = np.searchsorted(p_yes[no], p_yes[yes], side="left")
        self._not_below = np.searchsorted(p_yes[no], p_yes[yes], side="right")

    def auc(self, times: Floats) -> Floats:
        """Return the AUC of every draw.

        Args:
            times: How often each user counts, shape ``(draws, users)``.

        Returns:
            Shape ``(draws,)``; NaN where the users drawn have rows of one label only.
        """
        no = np.zeros((len(times), len(self._user_of_no) + 1))
        np.cumsum(np.take(times, self._user_of_no, axis=1), axis=1, out=no[:, 1:])
        yes = np.take(times, self._user_of_yes, axis=1)
        beaten = np.take(no, self._above, axis=1)
        beaten += np.take(no, self._not_below, axis=1)
        won = np.einsum("ij,ij->i", yes, beaten) / 2
        with np.errstate(invalid="ignore"):
            return won / (yes.sum(axis=1) * no[:, -1])
