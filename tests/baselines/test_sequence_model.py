"""The sequence model learns what order alone tells, looks at nothing later, and can be kept."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from reeltune.baselines import sequence_network as module
from reeltune.baselines.features import FeatureSource
from reeltune.baselines.problem import Problem, make_problem
from reeltune.baselines.sequence_model import SequenceModel, sequence_model
from reeltune.baselines.sequence_network import Events, SequenceNetwork
from reeltune.baselines.simple import item_mean
from reeltune.data.columns import CONTEXT, TEST, TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.data.timelines import SplitColumn, Timelines
from reeltune.domain import Item
from reeltune.errors import ModelError
from reeltune.signals.item_statistics import FOLDS, assign_folds
from tests.baselines.problems import SPLITS, problem_of, random_problem
from tests.baselines.test_score import auc
from tests.baselines.test_score import events as rows
from tests.errors import raises_error


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
    sizes = {"BATCH": 8, "HISTORY": 8, "LEARNING_RATE": 0.01, "EPOCHS": 12, "PATIENCE": 12}
    for name, value in sizes.items():
        monkeypatch.setattr(module, name, value)
    problem = changing_tastes(users=60, length=40)
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


@pytest.mark.parametrize("users", [4, 15, 80])
def test_item_vectors_do_not_change_from_call_to_call(users: int):
    problem = random_problem(12, users=users)
    once = module.item_vectors(problem)
    assert once.shape[1] == min(module.COMPONENTS + 1, users - 1, len(problem.items) - 1) - 1
    assert all(np.array_equal(once, module.item_vectors(problem)) for _ in range(5))


def log_odds(problem: Problem, events: Events) -> np.ndarray:
    torch.manual_seed(1)
    network = SequenceNetwork(len(problem.items), 3).eval()
    return network.of_events(events, np.arange(len(problem.timelines)))


@pytest.mark.slow
def test_a_candidate_sees_the_newest_earlier_events_of_its_user_alone(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(module, "HISTORY", 3)
    monkeypatch.setattr(module, "CHUNK", 4)
    problem = random_problem(3)
    known = problem.timelines
    events = Events.of(FeatureSource(problem, assign_folds(known, problem.seed)).events())
    before = log_odds(problem, events)
    for changed in range(0, len(known), 5):
        table = events.table.clone()
        table[changed, module.STATISTICS] += 1
        after = log_odds(problem, replace(events, table=table))
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


@pytest.fixture(scope="module")
def model(prepared: PreparedFolder) -> SequenceModel:
    return SequenceModel.fit(prepared, rows(prepared, VALIDATION), 5)


@pytest.mark.slow
def test_the_kept_model_is_the_baseline(prepared: PreparedFolder, model: SequenceModel):
    validation, test = rows(prepared, VALIDATION), rows(prepared, TEST)
    scores = sequence_model(make_problem(prepared, validation, test, seed=5))
    for event, p_yes in ((validation, scores.validation), (test, scores.test)):
        assert 1 / (1 + np.exp(-model.of_events(prepared, event))) == pytest.approx(p_yes)
    assert scores.settings.items() <= model.settings.items()


def asked(folder: PreparedFolder, model: SequenceModel, event: int, **known: Any) -> float:
    timelines, candidates = folder.timelines, np.array([3, 8, folder.timelines.item_idx[event]])
    before = range(event - int(timelines.position[event]), event)
    history = History.from_timelines(timelines, before, timelines.user_id[event])
    query = replace(history, **known), candidates, int(timelines.timestamp[event])
    return model.of_query(model.features_of(folder), *query)[-1]


@pytest.mark.slow
@pytest.mark.parametrize("split", [CONTEXT, TRAIN, VALIDATION, TEST])
def test_a_query_has_the_log_odds_of_its_event(
    prepared: PreparedFolder, model: SequenceModel, split: str, monkeypatch: pytest.MonkeyPatch
):
    for name, value in {"HISTORY": 3, "CHUNK": 2, "BATCH": 1}.items():
        monkeypatch.setattr(module, name, value)
    events = rows(prepared, split)[:: 1 if split == CONTEXT else 5]
    assert (prepared.timelines.position[events].min() == 0) == (split == CONTEXT)
    found = [asked(prepared, model, event) for event in events.tolist()]
    assert len(np.unique(found)) > len(events) / 2
    assert found == pytest.approx(model.of_events(prepared, events), abs=1e-5)


@pytest.mark.slow
def test_for_an_unknown_user_items_are_described_by_all_users(
    prepared: PreparedFolder, model: SequenceModel
):
    events, known = rows(prepared, TEST)[::9], prepared.timelines
    problem = make_problem(prepared, rows(prepared, VALIDATION), events, seed=5)
    whole = FeatureSource(problem, np.full(len(known), FOLDS)).events()
    expected = model.network.of_events(Events.of(whole), events)
    assert np.abs(expected - model.of_events(prepared, events)).max() > 1e-3
    found = [asked(prepared, model, event, user_id=10**6) for event in events.tolist()]
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_a_file_without_pickle_keeps_it(prepared: PreparedFolder, model: SequenceModel):
    file, before = io.BytesIO(), torch.random.get_rng_state()
    np.savez_compressed(file, **dict[str, Any](model.to_arrays()), nodes=np.zeros(3))
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        assert sum(name.startswith("sequence_") for name in arrays) == len(arrays) - 1
        again = SequenceModel.from_arrays(arrays)
    assert torch.equal(before, torch.random.get_rng_state())
    assert again.settings == model.settings
    events = rows(prepared, TEST)
    assert np.array_equal(again.of_events(prepared, events), model.of_events(prepared, events))
    assert again.of_query(again.features_of(prepared), History.of([], []), events[:0]).size == 0
    fewer = PreparedFolder(prepared.path, prepared.meta)
    vars(fewer)["items"] = prepared.items[1:]
    with raises_error(ModelError, "sequence_model_does_not_fit", where=str(prepared.path)):
        again.features_of(fewer)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["settings", "items", "scale", "out.1.bias"])
@pytest.mark.parametrize("value", [None, "[]", np.zeros((2, 2)), np.full(1, np.nan, np.float32)])
def test_damaged_arrays_are_refused(model: SequenceModel, name: str, value: Any):
    arrays = {**model.to_arrays(), f"sequence_{name}": np.array(value)}
    arrays = {name: values for name, values in arrays.items() if values.dtype != object}
    with raises_error(ModelError, "sequence_model_damaged", where="kept.npz"):
        SequenceModel.from_arrays(arrays, "kept.npz")
