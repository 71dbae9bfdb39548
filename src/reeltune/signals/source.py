"""Signals on films that are asked about, as the prompt tells it; made of the past alone.

Of films: training ratings of users in other parts than the one who is asked. Of that user: earlier
events. Nothing depends on the stars of the event itself, nor on anything after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.data.columns import TRAIN
from reeltune.data.folder import Codes, Timelines
from reeltune.data.history import History
from reeltune.domain import CHANCE_STEPS, COUNTS, SHARE_STEPS, Item, SignalKind
from reeltune.progress import show_progress
from reeltune.signals.gaussian_process import GaussianProcess
from reeltune.signals.item_similarity import ItemSimilarities
from reeltune.signals.item_statistics import (
    FOLDS,
    ItemStatistics,
    assign_folds,
    statistics_without_folds,
    training_ratings,
)
from reeltune.signals.running_statistics import RunningStatistics
from reeltune.signals.target import gp_target, like_probability
from reeltune.signals.user_features import UserFeatures, user_features

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SEED: Final = 0
"""The parts of users belong to the data, not to a run: adapters are asked as they were taught."""

_SHOWN_FROM: Final = 1_000_000
"""Number of events from which progress is shown: it takes minutes or hours."""


class SignalSource:
    """Tells what is known of films that are asked about.

    Args:
        known: All events of the prepared data.
        items: Its films.
        threshold: Stars from which a film counts as liked.
        step: From one number of stars to the next.
        kinds: What is told.

    Attributes:
        fold: The part of each event's user: nobody in it is asked about that user.
    """

    def __init__(
        self,
        known: Timelines,
        items: Sequence[Item],
        threshold: float,
        step: float,
        kinds: tuple[SignalKind, ...],
    ) -> None:
        self.known, self.threshold, self.kinds = known, threshold, kinds
        self._items, self._rating_step = items, step
        train = np.flatnonzero(known.split == TRAIN)
        self._ratings = training_ratings(known, train)
        self.fold = assign_folds(known, _SEED)
        self._statistics = statistics_without_folds(known, self._ratings, len(items), self.fold)
        self._users, self._first = np.unique(known.user_id, return_index=True)

    @cached_property
    def gaussian_process(self) -> GaussianProcess:
        """What to expect, from training ratings."""
        return GaussianProcess(
            ItemSimilarities(self.known, self._ratings, self.fold, self._statistics, self._items)
        )

    def of_events(self, events: Ints | None = None) -> Codes:
        """Return the signals on events of the prepared data.

        Args:
            events: Places among them, shape ``(n,)``; None for all.

        Returns:
            Shape ``(n, kinds)``.
        """
        known = self.known
        item = self._statistics.take(self.fold, known.item_idx)
        user = user_features(RunningStatistics(known.position), known.liked, item.any_like)
        users = np.arange(len(self._first))
        if events is not None:
            users = np.unique(np.searchsorted(self._first, events, side="right") - 1)
        codes = self._codes(item, user, self._expected_along(users))
        return codes if events is None else codes[events]

    def of_question(self, history: History, candidates: Ints, shown: int) -> tuple[History, Codes]:
        """Return the newest events of a history with their signals, and that on candidates.

        Signals is made of everything before an event, shown or not.

        Args:
            history: Everything the user has rated; signals it has already stays.
            candidates: Film rows asked about after it, shape ``(n,)``.
            shown: How many events are returned.

        Returns:
            The history, and codes of shape ``(n, kinds)``.
        """
        fold, rows = self._excluded_fold(history), history.item_idx
        liked = history.rating >= self.threshold
        # One event more, whose own stars nothing is made of: what is known before it is the whole.
        running = RunningStatistics(np.arange(len(rows) + 1))
        any_like = float(self._statistics.any_like[fold, 0])
        user = user_features(running, np.append(liked, False), any_like)
        posterior = None
        if "expected" in self.kinds:
            posterior = self.gaussian_process.posterior(
                fold, rows, gp_target(history.rating, liked)
            )
        if history.signals is None:
            expected = np.zeros(len(rows)) if posterior is None else posterior.before_each_event()
            item = self._statistics.take(fold, rows)
            history = replace(history, signals=self._codes(item, user.take(slice(-1)), expected))
        expected = (
            np.zeros(len(candidates))
            if posterior is None
            else posterior.after_all_events(candidates)
        )
        item = self._statistics.take(fold, candidates)
        return history.last(shown), self._codes(item, user.take(slice(-1, None)), expected)

    def _excluded_fold(self, history: History) -> int:
        """Return the part of the user whose history it is, or ``FOLDS`` for somebody new."""
        place = np.flatnonzero(self._users == history.user_id)
        return int(self.fold[self._first[place[0]]]) if len(place) else FOLDS

    def _expected_along(self, users: Ints) -> Floats:
        """Return the outcome to expect of every event of some users, 0 where that is not told."""
        known, expected = self.known, np.zeros(len(self.known))
        if "expected" not in self.kinds:
            return expected
        targets = gp_target(known.rating, known.liked)
        ends = np.append(self._first[1:], len(known))
        with show_progress("users", shown=len(known) >= _SHOWN_FROM) as progress:
            task = progress("signals", len(users))
            # Fold by fold: the similarities of a fold serve all its users.
            for user in users[np.argsort(self.fold[self._first[users]])]:
                own = slice(self._first[user], ends[user])
                rows, fold = known.item_idx[own].astype(np.int64), int(self.fold[own.start])
                expected[own] = self.gaussian_process.posterior(
                    fold, rows, targets[own]
                ).before_each_event()
                task.advance(1)
        return expected

    def _codes(self, item: ItemStatistics, user: UserFeatures, expected: Floats) -> Codes:
        """Return the entries of what each kind can say, shape ``(n, kinds)``."""
        entries: dict[SignalKind, Callable[[], Ints]] = {
            "film": lambda: _share_entry(item.like_rate, item.count),
            "user": lambda: _share_entry(user.like_rate, user.events),
            "recent": lambda: _step(user.lately, SHARE_STEPS),
            "expected": lambda: _step(
                like_probability(expected, self.threshold, self._rating_step), CHANCE_STEPS
            ),
        }
        codes = np.zeros((len(item.rating), len(self.kinds)), dtype=np.int16)
        for column, kind in enumerate(self.kinds):
            codes[:, column] = entries[kind]()
        return codes


def _share_entry(share: Floats, count: Floats) -> Ints:
    told = np.searchsorted(COUNTS, np.rint(count), side="right") - 1
    return told * SHARE_STEPS + _step(share, SHARE_STEPS)


def _step(share: Floats, steps: int) -> Ints:
    return np.rint(share * (steps - 1)).astype(np.int64)
