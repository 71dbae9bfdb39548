"""Whole timelines in batches have the values of one timeline at a time, with any threads."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from reeltune.data.columns import TRAIN
from reeltune.data.timelines import Timelines
from reeltune.domain import Item, PromptSettings
from reeltune.signals import gaussian_process, source, timeline_batches
from reeltune.signals.item_statistics import FOLDS
from reeltune.signals.source import SignalSource
from reeltune.signals.target import gp_target
from tests.timelines import timelines_of

GENRES = ("Comedy", "Drama", "War")
ITEMS = [
    Item(row, f"Film {row}", 1950 + row % 60 if row % 7 else None, GENRES[: row % 4])
    for row in range(90)
]
SETTINGS = PromptSettings(signals=("item", "recent", "expected"))


def drawn(seed: int, users: int) -> Timelines:
    """Users with 1 to 90 ratings, popular items more often."""
    random = np.random.default_rng(seed)
    weights = 1 / np.arange(1, len(ITEMS) + 1)
    lengths = [*random.integers(1, 30, users - 4), 15, 16, 63, 90]
    rows = [
        random.choice(len(ITEMS), length, replace=False, p=weights / weights.sum())
        for length in lengths
    ]
    rating = random.integers(1, 11, sum(lengths)) / 2
    user = np.repeat(np.arange(users), lengths)
    rows = np.concatenate(rows).tolist()
    return timelines_of(rows, rating.tolist(), user.tolist(), [TRAIN] * len(rows))


def one_at_a_time(made: SignalSource) -> np.ndarray:
    known, ends = made.known, np.append(made.first, len(made.known))
    targets = gp_target(known.rating, known.liked)
    values = [
        made.posterior(
            int(made.fold[first]), known.item_idx[first:end].astype(np.int64), targets[first:end]
        ).before_each_event()
        for first, end in pairwise(ends)
    ]
    return np.concatenate(values)


@pytest.mark.parametrize("auxiliary", [None, drawn(1, 20)])
@pytest.mark.parametrize(
    "most_items, users",
    [(0, 60), (5, 60), (11_000, 60), (11_000, 600)],  # of 600 users, the table has all items
)
def test_values_are_those_of_one_timeline_at_a_time(
    auxiliary: Timelines | None, most_items: int, users: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gaussian_process, "STRIDE", 20)  # chunks of 40 of at most 90 events
    monkeypatch.setattr(timeline_batches, "MAX_ITEMS", most_items)
    made = SignalSource(drawn(0, users), ITEMS, SETTINGS, auxiliary=auxiliary)
    assert np.unique(made.fold).tolist() == list(range(FOLDS))
    result = made.expected_targets(np.arange(users))
    assert np.abs(result - one_at_a_time(made)).max() < 1e-12


def test_neither_threads_nor_other_timelines_change_a_value(monkeypatch: pytest.MonkeyPatch):
    made = SignalSource(drawn(2, 60), ITEMS, SETTINGS)
    results = []
    for threads in (1, 2, 5):
        with threadpool_limits(threads):
            results.append(made.expected_targets(np.arange(60)))
    assert all(np.array_equal(results[0], other) for other in results[1:])
    # A table of as many items for fewer timelines: the same path for all items.
    monkeypatch.setattr(timeline_batches, "MAX_ITEMS", 4)
    everybody, some = made.expected_targets(np.arange(60)), np.array([3, 17, 58])
    alone = made.expected_targets(some)
    chosen = np.isin(made.known.user_id, some)
    assert np.array_equal(alone[chosen], everybody[chosen])
    assert not alone[~chosen].any()


def test_codes_do_not_depend_on_slices(monkeypatch: pytest.MonkeyPatch):
    made = SignalSource(drawn(3, 30), ITEMS, SETTINGS)
    whole = made.of_events()
    for size in (1, 50):
        monkeypatch.setattr(source, "_SLICE", size)
        assert np.array_equal(made.of_events(), whole)
    events = np.array([700, 3, 4])
    assert np.array_equal(made.of_events(events % len(whole)), whole[events % len(whole)])


def test_nobody_has_no_codes():
    assert SignalSource(drawn(0, 10).take(slice(0)), ITEMS, SETTINGS).of_events().shape == (0, 3)
