"""What a user's own earlier events say, whatever film is asked about next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.signals.running_statistics import Floats, RunningStatistics

USER_PRIOR: Final = 5.0
"""Events of the average user that are added to each user's own."""

HALF_LIFE: Final = 7.0
"""Lately: after so many further events, an event counts half. Users rate in moods."""

LATELY: Final = 50
"""Lately: how many events count at all."""

LATELY_PRIOR: Final = 2.0
"""Lately: events of the average user that are added."""


@dataclass(frozen=True)
class UserFeatures:
    """All arrays have one entry per event, made of its user's earlier events.

    Attributes:
        events: How many they are.
        like_rate: Share of likes among them, shrunk to that of all users.
        lately: The same, where the newest count most.
    """

    events: Floats
    like_rate: Floats
    lately: Floats

    def take(self, events: slice) -> UserFeatures:
        """Return the entries of some events."""
        return UserFeatures(**{name: values[events] for name, values in vars(self).items()})


def user_features(
    running: RunningStatistics, liked: npt.NDArray[np.bool_], any_like: npt.NDArray[Any] | float
) -> UserFeatures:
    """Return what is known of the user before each event.

    Args:
        running: Sums over earlier events.
        liked: Shape ``(events,)``.
        any_like: Share of likes of all users.
    """
    newest = _lately(running, np.ones(len(liked))) + LATELY_PRIOR
    own = running.earlier(liked) + USER_PRIOR * any_like
    return UserFeatures(
        events=running.before,
        like_rate=own / (running.before + USER_PRIOR),
        lately=(_lately(running, liked) + LATELY_PRIOR * any_like) / newest,
    )


def _lately(running: RunningStatistics, values: npt.NDArray[Any]) -> Floats:
    return running.decayed(values, HALF_LIFE, LATELY)
