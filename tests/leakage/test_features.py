"""Features that depend on later or held-out events are found; others pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reeltune.data.folder import PreparedFolder
from reeltune.data.invariants import EventTable
from reeltune.data.timelines import Bools, Ints, SplitColumn, Timelines
from reeltune.domain import Item
from reeltune.leakage.features import (
    BASELINE_FEATURES,
    AlteredTimelines,
    FeatureFunction,
    baseline_features,
    features_are_from_the_past,
    held_out_ratings_are_hidden,
    learned_from,
    signals_are_from_the_past,
    without_the_future,
)
from reeltune.leakage.outcomes import Outcome
from reeltune.signals.timeline_batches import TimelineBatches
from tests.leakage.plant import DIVIDE, failing, hold_out_items, hold_out_users, named

Column = Callable[[Timelines, Bools], np.ndarray]


def user_mean(known: Timelines, train: Bools) -> np.ndarray:
    """Mean stars of the user's earlier events."""
    del train
    total = np.concatenate([[0.0], np.cumsum(known.rating.astype(np.float64))])
    here = np.arange(len(known))
    return (total[here] - total[here - known.position]) / np.maximum(known.position, 1)


def item_mean(known: Timelines, train: Bools) -> np.ndarray:
    """Mean stars of the film's training events, the event itself left out."""
    own = np.where(train, known.rating, 0.0)
    total = np.bincount(known.item_idx, np.where(train, known.rating, 0.0), minlength=100)
    count = np.bincount(known.item_idx, train, minlength=100)
    return (total[known.item_idx] - own) / np.maximum(count[known.item_idx] - train, 1)


def own_rating(known: Timelines, train: Bools) -> np.ndarray:
    del train
    return known.rating


def own_label(known: Timelines, train: Bools) -> np.ndarray:
    del train
    return known.liked


def user_mean_with_itself(known: Timelines, train: Bools) -> np.ndarray:
    """A running mean that is off by one."""
    return (user_mean(known, train) * known.position + known.rating) / (known.position + 1)


def next_rating(known: Timelines, train: Bools) -> np.ndarray:
    """The stars of the user's next event."""
    del train
    last = np.append(known.user_id[1:] != known.user_id[:-1], True)
    return np.where(last, 0.0, np.roll(known.rating, -1))


def user_events(known: Timelines, train: Bools) -> np.ndarray:
    """EventTable of the user, later ones too."""
    del train
    return np.bincount(known.user_id)[known.user_id]


def item_mean_of_all(known: Timelines, train: Bools) -> np.ndarray:
    """As ``item_mean``, with the ratings other users' held-out events have."""
    return item_mean(known, np.ones_like(train))


def item_events_of_all(known: Timelines, train: Bools) -> np.ndarray:
    """How popular a film is among all events, without a look at any stars."""
    del train
    return np.bincount(known.item_idx, minlength=100)[known.item_idx]


VALID: dict[str, Column] = {"user_mean": user_mean, "item_mean": item_mean}
LEAKING = (
    own_rating,
    own_label,
    user_mean_with_itself,
    next_rating,
    user_events,
    item_mean_of_all,
    item_events_of_all,
)


def function_of(columns: dict[str, Column]) -> FeatureFunction:
    def features(
        timelines: Timelines, items: list[Item], train_mask: Bools, events: Ints
    ) -> np.ndarray:
        del items
        table = [column(timelines, train_mask)[events] for column in columns.values()]
        return np.stack(table, axis=1).astype(np.float64)

    return features


def check(events: EventTable, columns: dict[str, Column]) -> Outcome:
    return features_are_from_the_past(
        events, events.is_in("train", "context"), function_of(columns), list(columns)
    )


def test_features_from_the_past_pass(many_events: EventTable):
    outcome = check(many_events, VALID)
    assert outcome.status == "ok"
    assert outcome.about == "2 features of 108 held-out events"  # 100 users, and 8 further on


@pytest.mark.parametrize("column", LEAKING, ids=lambda column: column.__name__)
def test_a_feature_that_depends_on_hidden_events_is_named(many_events: EventTable, column: Column):
    outcome = check(many_events, {**VALID, column.__name__: column})
    assert outcome.status == "failed"
    for user, item, event in named(outcome):
        assert event is not None
        assert many_events.timelines.split[event] in ("validation", "test")
        assert user == many_events.timelines.user_id[event]
        assert item == many_events.item_id[event]
    for found in outcome.offenders.first:
        assert found.message.startswith(f"{column.__name__} is ")
        assert "user_mean is" not in found.message.removeprefix(column.__name__)


def test_a_sample_of_users_is_checked(many_events: EventTable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("reeltune.leakage.features._SAMPLED_USERS", 7)
    seen = set()

    def spy(known: Timelines, train: Bools) -> np.ndarray:
        seen.update(known.user_id.tolist())
        return own_rating(known, train)

    outcome = check(many_events, {"spy": spy})
    assert outcome.about == "1 features of 15 held-out events"
    assert len(seen) == 7
    for user, item, event in named(outcome):
        assert user in seen
        assert (user, item) == (many_events.timelines.user_id[event], many_events.item_id[event])


def test_nan_features_are_equal(many_events: EventTable):
    def undefined(known: Timelines, train: Bools) -> np.ndarray:
        del train
        return np.full(len(known), np.nan)

    assert check(many_events, {"undefined": undefined}).status == "ok"


def test_not_applicable_without_held_out_events(many_events: EventTable):
    split = SplitColumn.of(["train"] * len(many_events))
    events = replace(many_events, timelines=replace(many_events.timelines, split=split))
    assert check(events, VALID).status == "not applicable"


def copy_for(events: EventTable, targets: Ints, seed: int) -> AlteredTimelines:
    items, random = len(events.folder.items), np.random.default_rng(seed)
    return without_the_future(events.timelines, events.is_in("train"), targets, items, random)


def rows(timelines: Timelines, where: Bools | Ints) -> list[tuple[object, ...]]:
    """User, film, stars, label and time of some events."""
    names = ("user_id", "item_idx", "rating", "liked", "timestamp")
    return list(zip(*(getattr(timelines, name)[where].tolist() for name in names), strict=True))


@settings(max_examples=20)
@given(user=st.integers(0, 99), back=st.integers(0, 5), seed=st.integers(0, 9))
def test_altered_copy_agrees_only_in_allowed_information(
    many_events: EventTable, user: int, back: int, seed: int
):
    known, train = many_events.timelines, many_events.is_in("train")
    targets = np.flatnonzero(known.user_id == 10 * user + 1)[-1 - back :][:1]
    copy = copy_for(many_events, targets, seed)
    own = copy.timelines.user_id == known.user_id[targets]
    assert copy.targets.tolist() == [np.flatnonzero(own)[-1]]
    past = np.flatnonzero(known.user_id == known.user_id[targets])[
        : int(known.position[targets][0])
    ]
    assert rows(copy.timelines, own)[:-1] == rows(known, past)
    others = known.user_id != known.user_id[targets]
    assert rows(copy.timelines, ~own & copy.train_mask) == rows(known, others & train)
    unknown = ~own & ~copy.train_mask
    hidden = others & ~train
    assert unknown.sum() == hidden.sum()
    assert (copy.timelines.rating[unknown] != known.rating[hidden]).all()
    assert (copy.timelines.liked[unknown] != known.liked[hidden]).all()
    assert (copy.timelines.item_idx[unknown] != known.item_idx[hidden]).mean() > 0.9
    (target,) = copy.targets
    assert copy.timelines.item_idx[target] == known.item_idx[targets[0]]
    assert copy.timelines.timestamp[target] == known.timestamp[targets[0]]
    assert copy.timelines.rating[target] != known.rating[targets[0]]
    assert copy.timelines.liked[target] != known.liked[targets[0]]


def test_targets_in_one_copy_do_not_depend_on_each_other(many_events: EventTable):
    known, held_out = many_events.timelines, many_events.is_in("validation", "test")
    users = np.unique(known.user_id)[::3]
    targets = np.array([np.flatnonzero(held_out & (known.user_id == user))[0] for user in users])
    copy = copy_for(many_events, targets[::-1], 0)
    assert copy.timelines.user_id[copy.targets].tolist() == users[::-1].tolist()
    for user, event, target in zip(users, targets, copy.targets[::-1], strict=True):
        own = np.flatnonzero(copy.timelines.user_id == user)
        assert own[-1] == target
        past = np.arange(event - known.position[event], event)
        assert rows(copy.timelines, own[:-1]) == rows(known, past)
        assert not held_out[past].any()
        assert copy.timelines.rating[target] != known.rating[event]


@pytest.mark.parametrize("split", DIVIDE)
def test_the_features_of_the_baselines_are_from_the_past(folder: Path, split: str):
    DIVIDE[split](folder)
    events = EventTable.read(PreparedFolder.open(folder, verify=False))
    mask = learned_from(events)
    assert mask[events.is_in("train")].all()
    assert not mask[events.held_out].any()
    assert events.held_out[events.is_in("validation", "test")].all()
    outcome = features_are_from_the_past(events, mask, baseline_features, BASELINE_FEATURES)
    assert outcome.status == "ok", outcome.offenders


def test_a_leak_in_the_baselines_features_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "reeltune.signals.running_statistics.RunningStatistics.earlier",
        lambda self, values: np.cumsum(values.astype(np.float64)) * (self.before > 0),
    )
    failed = failing(folder)
    assert list(failed) == [
        "features from the past",
        "signals from the past",
        "held-out ratings hidden",
    ]
    assert "user_rating is" in failed["features from the past"].offenders.first[0].message
    assert "user is" in failed["signals from the past"].offenders.first[0].message


@pytest.mark.parametrize("split", DIVIDE)
def test_signals_are_from_the_past(folder: Path, split: str):
    DIVIDE[split](folder)
    outcome = signals_are_from_the_past(EventTable.read(PreparedFolder.open(folder, verify=False)))
    assert outcome.status == "ok", outcome.offenders


def test_a_signal_that_depends_on_the_target_rating_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    original = TimelineBatches.expected

    def leaking(self: TimelineBatches, timelines: Ints) -> Iterator[tuple[slice, np.ndarray]]:
        for events, values in original(self, timelines):
            yield events, values + 0.2 * self._known.rating[events]

    monkeypatch.setattr(TimelineBatches, "expected", leaking)
    failed = failing(folder)
    assert list(failed) == ["signals from the past"]
    assert "expected is" in failed["signals from the past"].offenders.first[0].message


@pytest.mark.parametrize("split", DIVIDE)
def test_training_rows_know_no_held_out_rating(folder: Path, split: str):
    DIVIDE[split](folder)
    events = EventTable.read(PreparedFolder.open(folder, verify=False))
    outcome = held_out_ratings_are_hidden(events)
    assert outcome.status == "ok", outcome.offenders
    assert outcome.about == f"features and signals of {events.is_in('train').sum()} training rows"


@pytest.mark.parametrize("hold_out", [hold_out_items, hold_out_users])
def test_statistics_of_held_out_items_and_users_are_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch, hold_out: Callable[[Path], None]
):
    """Where all context events are learned from, also those after a held-out item."""
    hold_out(folder)

    def all_context(known: Timelines, train: Ints) -> Ints:
        return np.union1d(train, np.flatnonzero(known.split == "context"))

    monkeypatch.setattr("reeltune.signals.source.training_ratings", all_context)
    monkeypatch.setattr("reeltune.baselines.problem.training_ratings", all_context)
    events = EventTable.read(PreparedFolder.open(folder, verify=False))
    outcome = held_out_ratings_are_hidden(events)
    assert outcome.status == "failed"
    held = events.held_out & events.is_in("context")
    assert outcome.offenders.count == held.sum() > 0
    for (_, _, event), found in zip(named(outcome), outcome.offenders.first, strict=True):
        assert event is not None and held[event]
        assert found.message == "is held out, but learned from"


def test_a_signal_that_a_held_out_rating_changes_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        "reeltune.signals.source.training_ratings", lambda known, _: np.arange(len(known))
    )
    failed = failing(folder)
    assert list(failed) == ["signals from the past", "held-out ratings hidden"]
    found = failed["held-out ratings hidden"].offenders
    assert "expected is" in found.first[0].message or "film is" in found.first[0].message
