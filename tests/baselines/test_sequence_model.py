"""The sequence model: it learns what order alone tells, and looks at nothing later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from reeltune.baselines import sequence_model as module
from reeltune.baselines.problem import Problem
from reeltune.baselines.sequence_model import Events, SequenceNetwork, sequence_model
from reeltune.baselines.simple import item_mean
from reeltune.data.timelines import SplitColumn, Timelines
from reeltune.domain import Item
from tests.baselines.problems import SPLITS, problem_of, random_problem
from tests.baselines.test_score import auc


def changing_tastes(users: int, length: int) -> Problem:
    """Each user likes one of two genres, and changes it after about 20 events."""
    random = np.random.default_rng(5)
    items = [Item(row + 1, f"Film {row}", 1990, (("War", "Love")[row % 2],)) for row in range(80)]
    item_idx = np.concatenate([random.permutation(80)[:length] for _ in range(users)])
    changes = random.random((users, length)) < 1 / 20
    taste = (random.integers(2, size=(users, 1)) + np.cumsum(changes, axis=1)) % 2
    liked = item_idx % 2 == taste.ravel()
    position = np.tile(np.arange(length), users)
    split = np.searchsorted([2, length - 10, length - 5], position, side="right")
    timelines = Timelines(
        user_id=np.repeat(np.arange(users), length),
        position=position.astype(np.int32),
        item_idx=item_idx.astype(np.int32),
        rating=np.where(liked, 5, 1).astype(np.float32),
        timestamp=position * 1000,
        liked=liked,
        split=SplitColumn.of(np.array(SPLITS)[split]),
    )
    return problem_of(timelines, items)


@pytest.mark.slow
def test_it_learns_an_order_that_item_means_cannot(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"EPOCHS": 12, "LEARNING_RATE": 0.02, "BATCH": 8, "HISTORY": 8}.items():
        monkeypatch.setattr(module, name, value)
    problem = changing_tastes(users=60, length=24)
    assert auc(problem, item_mean(problem).test) < 0.6
    assert auc(problem, sequence_model(problem).test) > 0.75


@pytest.mark.slow
def test_the_same_seed_gives_the_same_scores_and_leaves_the_random_state_alone():
    problem = random_problem(12, users=15)
    before = torch.random.get_rng_state()
    once, again = sequence_model(problem), sequence_model(problem)
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(once.test, again.test)
    other = sequence_model(replace(problem, seed=problem.seed + 1))
    assert not np.array_equal(once.test, other.test)


def log_odds(problem: Problem, events: Events) -> np.ndarray:
    torch.manual_seed(1)
    network = SequenceNetwork(events).eval()
    return module.log_odds_of(network, events, np.arange(len(problem.timelines)))


@pytest.mark.slow
def test_a_candidate_sees_the_newest_earlier_events_of_its_user_alone(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(module, "HISTORY", 3)
    monkeypatch.setattr(module, "CHUNK", 4)
    problem = random_problem(3)
    events, known = Events.of(problem), problem.timelines
    before = log_odds(problem, events)
    for changed in range(0, len(known), 5):
        rating = events.rating.clone()
        rating[changed] += 1
        after = log_odds(problem, replace(events, rating=rating))
        own = known.user_id == known.user_id[changed]
        distance = np.arange(len(known)) - changed
        sees = own & (distance > 0) & (distance <= 3)
        assert np.array_equal(np.flatnonzero(before != after), np.flatnonzero(sees))


@pytest.mark.slow
def test_no_score_depends_on_other_later_events():
    problem = random_problem(21, users=25)
    known = problem.timelines
    last = np.flatnonzero(np.diff(known.user_id, append=-1))
    item_idx, timestamp = known.item_idx.copy(), known.timestamp.copy()
    item_idx[last], timestamp[last] = item_idx[last - 1], timestamp[last] + 10**6
    changed = replace(known, item_idx=item_idx, timestamp=timestamp, liked=known.liked.copy())
    changed.liked[last] ^= True
    before, after = (
        sequence_model(replace(problem, timelines=timelines)) for timelines in (known, changed)
    )
    assert np.array_equal(before.validation, after.validation)
    earlier = ~np.isin(problem.test, last)
    assert earlier.any()
    assert np.array_equal(before.test[earlier], after.test[earlier])
    assert not np.array_equal(before.test, after.test)


@pytest.mark.slow
def test_a_single_user_has_scores():
    problem = random_problem(5, users=1)
    assert module.item_vectors(problem).shape == (len(problem.items), 0)
    assert 0 < sequence_model(problem).test[0] < 1


@pytest.mark.slow
def test_of_many_chunks_random_ones_are_learned(monkeypatch: pytest.MonkeyPatch):
    problem = random_problem(6, users=25)
    monkeypatch.setattr(module, "MOST_CHUNKS", 12)
    scores = sequence_model(problem)
    assert scores.settings["chunks"] == 12
    assert 12 <= scores.learned_from < len(problem.train)
