"""Every metric of every scorer with its interval, from one set of draws of users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reeltune.evaluation.intervals import DRAWS, Interval, draw_users, interval_of
from reeltune.evaluation.user_sums import MEANS_OVER_USERS, METRICS, UserSums
from reeltune.evaluation.verdict_arrays import Floats, Labels, Probabilities, number_users


@dataclass(frozen=True)
class Bootstrapped:
    """Metrics of scorers on the same rows, and in the same draws of their users.

    Attributes:
        values: Each scorer's metrics on the rows themselves; NaN where undefined.
        drawn: Each scorer's metrics in every draw, each of shape ``(draws,)``; NaN where
            undefined.
        users: How many users there are.
        users_scored: How many of them have rows of both labels.
    """

    values: dict[str, dict[str, float]]
    drawn: dict[str, dict[str, Floats]]
    users: int
    users_scored: int

    def interval(self, scorer: str, metric: str) -> Interval | None:
        """Return a scorer's metric with the middle 95 % of its draws.

        Args:
            scorer: One of those bootstrapped.
            metric: One of :data:`reeltune.evaluation.user_sums.METRICS`.

        Returns:
            None where the metric is undefined on the rows themselves, or in every draw. Draws it
            is undefined in are left out of the interval and of its ``draws``.
        """
        return interval_of(
            self.values[scorer][metric], self.drawn[scorer][metric], self._users_of(metric)
        )

    def difference(self, scorer: str, other: str, metric: str) -> Interval | None:
        """Return how much higher a scorer's metric is than another's, taken within each draw.

        Args:
            scorer: The scorer of interest.
            other: What it is compared with.
            metric: One of :data:`reeltune.evaluation.user_sums.METRICS`.

        Returns:
            None where either is undefined on the rows themselves, or one of them in every draw.
        """
        return interval_of(
            self.values[scorer][metric] - self.values[other][metric],
            self.drawn[scorer][metric] - self.drawn[other][metric],
            self._users_of(metric),
        )

    def _users_of(self, metric: str) -> int:
        return self.users_scored if metric in MEANS_OVER_USERS else self.users


def bootstrap(
    labels: Labels,
    user_id: npt.NDArray[np.int64],
    p_yes: Mapping[str, Probabilities],
    thresholds: Mapping[str, float],
    seed: int,
    draws: int = DRAWS,
) -> Bootstrapped:
    """Measure scorers on their rows and on draws of the rows' users.

    A user drawn ``k`` times brings every row ``k`` times, and counts as ``k`` users in means over
    users.

    Args:
        labels: True where the answer is Yes, shape ``(n,)``.
        user_id: Whose row it is, shape ``(n,)``.
        p_yes: P(Yes) by scorer, each of shape ``(n,)``.
        thresholds: P(Yes) from which a scorer says Yes in the ``_chosen`` metrics, chosen on other
            rows; a scorer without one has these undefined.
        seed: Decides the draws.
        draws: How often users are drawn.

    Raises:
        DataError: A scorer has more or fewer verdicts than there are labels, or one is not a
            probability.
    """
    user = number_users(user_id)
    users = int(user.max(initial=-1)) + 1
    sums = {
        name: UserSums(labels, found, user, thresholds.get(name)) for name, found in p_yes.items()
    }
    once = np.ones((1, users))
    values = {
        name: {metric: float(value[0]) for metric, value in own.measured(once).items()}
        for name, own in sums.items()
    }
    drawn = {name: {metric: np.full(draws, np.nan) for metric in METRICS} for name in sums}
    for some, times in draw_users(users, len(labels), seed, draws):
        for name, own in sums.items():
            for metric, found in own.measured(times).items():
                drawn[name][metric][some] = found
    scored = max((own.users_scored for own in sums.values()), default=0)  # the labels' alone
    return Bootstrapped(values, drawn, users, scored)
