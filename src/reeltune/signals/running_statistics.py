"""Sums over the earlier events of each event's user, for all events at once."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.ragged import Floats

_GRID: Final = 2.0**20
"""Values are rounded to this many steps per unit, which float64 adds without error: sums do not
depend on the timelines of other users."""


class RunningStatistics:
    """Sums over earlier events of the same user. An event's own value is never in its sum.

    Args:
        position: Number of the user's earlier events, for each event; users one after another,
            oldest event first.
        index: Number of events before each, of whatever user; by default one more than before the
            last. It is the same for all candidates of one history: none is earlier than another.

    Attributes:
        before: ``position`` as floats, shape ``(events,)``.
    """

    def __init__(
        self, position: npt.NDArray[np.integer], index: npt.NDArray[np.int64] | None = None
    ) -> None:
        self._index = np.arange(len(position), dtype=np.int64) if index is None else index
        self._first = self._index - position
        self.before: Floats = position.astype(np.float64)

    def earlier(self, values: npt.NDArray[Any]) -> Floats:
        """Return the sum of values, one per event, over all earlier events of the user."""
        totals = _totals(values)
        return (totals[self._index] - totals[self._first]) / _GRID

    def recent(self, values: npt.NDArray[Any], length: int) -> Floats:
        """Return the sum over the user's last ``length`` events before each event."""
        totals = _totals(values)
        start = np.maximum(self._first, self._index - length)
        return (totals[self._index] - totals[start]) / _GRID

    def decayed(self, values: npt.NDArray[Any], half_life: float, length: int) -> Floats:
        """Return the exponentially weighted sum over the user's last ``length`` events.

        An event's weight is halved after ``half_life`` later events.
        """
        total = np.zeros(len(self.before))
        for back in range(1, min(length, int(self.before.max(initial=0))) + 1):
            known = np.flatnonzero(self.before >= back)
            total[known] += values[self._index[known] - back] * 0.5 ** ((back - 1) / half_life)
        return total


def _totals(values: npt.NDArray[Any]) -> Floats:
    """Return the sums of all values before each index, in grid steps, shape ``(events + 1,)``.

    They are whole numbers, exact up to 2**53: a thousand million ratings of 5.
    """
    return np.concatenate([[0.0], np.cumsum(np.rint(values * _GRID))])
