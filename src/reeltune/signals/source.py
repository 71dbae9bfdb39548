"""Collaborative signals as codes of context lines, computed from the past alone.

Item statistics exclude the user's fold; user features come from the user's earlier events. Neither
an event's own rating nor a later event changes its code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from reeltune.data.columns import TRAIN
from reeltune.data.history import NOW, History
from reeltune.data.timelines import Codes, Ints, Timelines
from reeltune.domain import Item, PromptSettings, SignalKind
from reeltune.domain.context_lines import CHANCE_STEPS, COUNTS, SHARE_STEPS
from reeltune.progress import show_progress
from reeltune.signals.gaussian_process import Posterior
from reeltune.signals.item_similarity import ItemSimilarities
from reeltune.signals.item_statistics import (
    FOLDS,
    ItemStatistics,
    assign_folds,
    first_events,
    statistics_without_folds,
    training_ratings,
)
from reeltune.signals.running_statistics import Floats, RunningStatistics
from reeltune.signals.target import gp_target, like_probability, stars_per_unit
from reeltune.signals.timeline_batches import TimelineBatches
from reeltune.signals.user_features import UserFeatures, user_features

if TYPE_CHECKING:
    from reeltune.signals.folder import SignalCache

_SEED: Final = 0
"""Folds belong to the data, not to a run: adapters are used with the folds they were trained on."""

_SHOWN_FROM: Final = 1_000_000
"""Number of events from which progress is shown: it takes minutes."""

_SLICE: Final = 2**16
"""Fewest events whose codes are computed at a time: whole timelines."""


class SignalSource:
    """Computes signals: a :class:`reeltune.data.history.ContextSource`.

    Args:
        known: All events of the prepared data. The attribute has their ratings in stars.
        items: Its items.
        settings: The signals to compute, threshold, scale, and the process's hyperparameters.
        cache: Of the codes of all events.
        auxiliary: Ratings by users of other data, which join item statistics and similarities.

    Attributes:
        fold: The fold of each event's user, whose ratings are excluded from item statistics.
        ratings: The events that may be learned from, ascending.
        first: The first event of each user.
    """

    reads_whole_history = True

    def __init__(
        self,
        known: Timelines,
        items: Sequence[Item],
        settings: PromptSettings,
        cache: SignalCache | None = None,
        auxiliary: Timelines | None = None,
    ) -> None:
        self.settings, self.kinds = settings, settings.signals
        self._items, self._cache = items, cache
        self._stars = np.float32(stars_per_unit(settings))
        self.known = (
            known if self._stars == 1 else replace(known, rating=known.rating * self._stars)
        )
        train = np.flatnonzero(known.split == TRAIN)
        self.ratings = training_ratings(known, train)
        self.fold = assign_folds(known, _SEED)
        self.first = first_events(known)
        self._users = known.user_id[self.first]
        self._auxiliary = auxiliary

    @cached_property
    def _learned(self) -> tuple[Timelines, Ints, Ints]:
        """All events with auxiliary ones last, those learned from, and the fold of each."""
        if self._auxiliary is None:
            return self.known, self.ratings, self.fold
        own = replace(self.known, user_id=np.searchsorted(self._users, self.known.user_id))
        users, rating = self._auxiliary.user_id + len(self._users), self._auxiliary.rating
        more = replace(self._auxiliary, user_id=users, rating=rating * self._stars)
        ratings = np.append(self.ratings, len(own) + np.arange(len(more)))
        fold = np.append(self.fold, np.full(len(more), FOLDS))
        return own.followed_by(more), ratings, fold

    @cached_property
    def _statistics(self) -> ItemStatistics:
        known, ratings, fold = self._learned
        return statistics_without_folds(known, ratings, len(self._items), fold)

    @cached_property
    def similarities(self) -> ItemSimilarities:
        """The similarities of items behind ``expected``."""
        return ItemSimilarities(*self._learned, self._statistics, self._items)

    def posterior(self, fold: int, item_idx: Ints, targets: Floats) -> Posterior:
        """Return the Gaussian process behind ``expected``, given events of a user of a fold."""
        similarity = self.similarities.of_fold(fold)
        return Posterior(similarity, self.settings.gaussian_process, item_idx, targets)

    def of_all_events(self) -> Codes:
        """Return the codes of every event, from the cache if it is fresh; ``(events, kinds)``."""
        return self.of_events() if self._cache is None else self._cache.codes(self.of_events)

    def of_events(self, events: Ints | None = None) -> Codes:
        """Return the codes of some events, or of all, shape ``(n, kinds)``."""
        known = self.known
        users = np.arange(len(self.first))
        if events is not None:
            users = np.unique(np.searchsorted(self.first, events, side="right") - 1)
        expected = self.expected_targets(users)
        codes = np.zeros((len(known), len(self.kinds)), dtype=np.int16)
        # Whole users at a time, in slices that stay in the processor's cache.
        ends = np.append(self.first, len(known))
        cuts = ends[np.searchsorted(ends, np.arange(0, len(known), _SLICE))]
        for part in map(slice, cuts, np.append(cuts[1:], len(known))):
            item = self._statistics.take(self.fold[part], known.item_idx[part])
            running = RunningStatistics(known.position[part])
            user = user_features(running, known.liked[part], item.any_like)
            codes[part] = self._codes(item, user, expected[part])
        return codes if events is None else codes[events]

    def of_query(
        self, history: History, candidates: Ints, shown: int, asked_at: Ints | int = NOW
    ) -> tuple[History, Codes]:
        """Return the newest events of a history with their codes, and the codes of candidates.

        Events that are not shown count, too.
        """
        del asked_at
        fold, rows = self._excluded_fold(history), history.item_idx
        liked = history.rating >= self.settings.threshold
        # One more event without a rating: the features before it cover the whole history.
        running = RunningStatistics(np.arange(len(rows) + 1))
        any_like = float(self._statistics.any_like[fold, 0])
        user = user_features(running, np.append(liked, False), any_like)
        posterior: Posterior | None = None
        if "expected" in self.kinds:
            targets = gp_target(history.rating * self._stars, liked)
            posterior = self.posterior(fold, rows, targets)
        if history.context is None:
            expected = np.zeros(len(rows)) if posterior is None else posterior.before_each_event()
            item = self._statistics.take(fold, rows)
            history = replace(history, context=self._codes(item, user.take(slice(-1)), expected))
        expected = np.zeros(len(candidates))
        if posterior is not None:
            expected = posterior.after_all_events(candidates)
        item = self._statistics.take(fold, candidates)
        return history.last(shown), self._codes(item, user.take(slice(-1, None)), expected)

    def _excluded_fold(self, history: History) -> int:
        """Return the fold of the history's user, or ``FOLDS`` for an unknown user."""
        user = np.flatnonzero(self._users == history.user_id)
        return int(self.fold[self.first[user[0]]]) if len(user) else FOLDS

    def expected_targets(self, users: Ints) -> Floats:
        """Return the expected target of every event of some users; 0 without ``expected``."""
        known, expected = self.known, np.zeros(len(self.known))
        if "expected" not in self.kinds:
            return expected
        timelines = np.column_stack([self.first, np.append(self.first, len(known))[1:]])[users]
        fold = self.fold[timelines[:, 0]]
        with show_progress("ratings", shown=len(known) >= _SHOWN_FROM) as progress:
            task = progress("signals", int(np.diff(timelines).sum()))
            for each in np.unique(fold).tolist():
                similarity = self.similarities.of_fold(each)
                batches = TimelineBatches(similarity, self.settings.gaussian_process, known)
                for events, values in batches.expected(timelines[fold == each]):
                    expected[events] = values
                    task.advance(len(values))
        return expected

    def _codes(self, item: ItemStatistics, user: UserFeatures, expected: Floats) -> Codes:
        """Return the code of each kind's line, shape ``(n, kinds)``."""
        codes_of: dict[SignalKind, Callable[[], Ints]] = {
            "item": lambda: _share_and_count(item.like_rate, item.count),
            "user": lambda: _share_and_count(user.like_rate, user.events),
            "recent": lambda: _nearest_step(user.lately, SHARE_STEPS),
            "expected": lambda: _nearest_step(
                like_probability(expected, self.settings), CHANCE_STEPS
            ),
        }
        codes = np.zeros((len(item.rating), len(self.kinds)), dtype=np.int16)
        for column, kind in enumerate(self.kinds):
            codes[:, column] = codes_of[kind]()
        return codes


def _share_and_count(share: Floats, count: Floats) -> Ints:
    count_index = np.searchsorted(COUNTS, np.rint(count), side="right") - 1
    return count_index * SHARE_STEPS + _nearest_step(share, SHARE_STEPS)


def _nearest_step(share: Floats, steps: int) -> Ints:
    return np.rint(share * (steps - 1)).astype(np.int64)
