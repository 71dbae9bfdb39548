"""Features equal their definitions and depend on allowed data only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reeltune.baselines.features import FEATURES, YEAR_SECONDS, FeatureSource, feature_table
from reeltune.baselines.problem import Floats, Problem
from reeltune.data.history import NOW, History
from reeltune.signals.item_statistics import FOLDS, assign_folds, excluded_folds
from tests.baselines.naive import Naive
from tests.baselines.problems import problem_of, random_problem, with_ratings
from tests.docs.pages import ROOT, text_of

seeds = st.integers(0, 10_000)


def features_of(problem: Problem) -> Floats:
    return feature_table(problem, np.arange(len(problem.timelines)))


@settings(max_examples=10)
@given(seed=seeds, users=st.integers(1, 12))
def test_features_equal_their_definitions(seed: int, users: int):
    problem = random_problem(seed, users)
    table, naive = features_of(problem), Naive(problem)
    for event in range(len(problem.timelines)):
        wanted = naive.features(event)
        found = dict(zip(FEATURES, table[event].tolist(), strict=True))
        assert found == pytest.approx(wanted, abs=1e-4), event


@settings(max_examples=15)
@given(seed=seeds, data=st.data())
def test_features_do_not_depend_on_the_event_or_on_later_or_held_out_ratings(
    seed: int, data: st.DataObject
):
    problem = random_problem(seed)
    known = problem.timelines
    changed = data.draw(st.integers(0, len(known) - 1))
    rating = data.draw(st.sampled_from([0.5, 5.0]))
    before = features_of(problem)
    after = features_of(with_ratings(problem, np.array([changed]), rating))

    everyone = np.arange(len(known))
    own_user = known.user_id == known.user_id[changed]
    must_not_know = own_user & (everyone <= changed)
    if known.split[changed] in {"validation", "test"}:
        must_not_know |= ~own_user
    assert np.array_equal(before[must_not_know], after[must_not_know])


@given(seed=seeds)
def test_features_of_later_events_depend_on_a_rating(seed: int):
    problem = random_problem(seed)
    first = int(problem.train[0])
    other = 0.5 if problem.rating[first] > 2.5 else 5.0
    before = features_of(problem)[first + 1]
    after = features_of(with_ratings(problem, np.array([first]), other))[first + 1]
    moved = {name for name, a, b in zip(FEATURES, before, after, strict=True) if a != b}
    assert {"user_rating", "recent_rating", "user_lift"} <= moved


def test_an_item_without_training_ratings_has_the_overall_mean():
    problem = random_problem(3)
    fold = excluded_folds(problem.timelines, problem.seed)
    view = FeatureSource(problem, fold).events().item
    cold = np.flatnonzero(problem.timelines.item_idx >= 12)
    assert len(cold)
    assert np.allclose(view.rating[cold], view.any_rating[cold])
    assert np.allclose(view.like_rate[cold], view.any_like[cold])
    assert not view.count[cold].any()


def test_all_features_are_finite_even_for_a_single_user():
    assert np.isfinite(features_of(random_problem(5, users=1))).all()


@settings(max_examples=15)
@given(seed=seeds, users=st.integers(2, 9))
def test_a_query_has_the_features_of_its_event(seed: int, users: int):
    problem = random_problem(seed, users)
    known = problem.timelines
    known = known.take((known.position == 0) | (known.user_id != 3))  # the first user has one event
    problem = problem_of(known, list(problem.items))
    source = FeatureSource(problem, assign_folds(known, problem.seed))
    whole = source.table(source.events(), np.arange(len(known)))
    for event in range(len(known)):
        earlier = range(event - int(known.position[event]), event)
        history = History.from_timelines(known, earlier, int(known.user_id[event]))
        candidates = known.item_idx[[event, 0, event]].astype(np.int64)
        rows = source.query(history, candidates, known.timestamp[event])
        table = source.table(rows, np.arange(len(history), len(history) + 3))
        assert np.array_equal(table[[0, 2]], whole[[event, event]]), event


def test_unknown_users_have_the_statistics_of_all_users_and_unknown_times_a_typical_gap():
    problem = random_problem(9)
    known, column = problem.timelines, list(FEATURES).index
    source = FeatureSource(problem, assign_folds(known, problem.seed))
    own = History.from_timelines(known, range(3))

    def features(history: History, asked_at: int = NOW) -> Floats:
        rows = source.query(history, np.array([1]), asked_at)
        return source.table(rows, np.array([len(history)]))[0]

    unknown = features(replace(own, user_id=None))
    nobody_excluded = FeatureSource(problem, np.full(len(known), FOLDS)).events().item
    assert unknown[column("item_rating")] == nobody_excluded.rating[known.item_idx == 1][0]
    assert unknown[column("item_rating")] != features(own)[column("item_rating")]
    train = problem.train
    typical = np.log1p(np.median(known.timestamp[train] - known.timestamp[train - 1]))
    soon = int(known.timestamp[2]) + 60
    assert features(own)[column("gap")] == pytest.approx(typical)
    assert features(replace(own, timestamp=None), soon)[column("gap")] == pytest.approx(typical)
    assert features(own, soon)[column("gap")] == pytest.approx(np.log1p(60))
    assert features(own, 0)[column("gap")] == features(own.take(slice(0)))[column("gap")] == 0
    newest = 1970 + known.timestamp.max() / YEAR_SECONDS
    assert features(own)[column("item_age")] == pytest.approx(newest - unknown[column("item_year")])


def test_the_page_explains_every_feature():
    text = text_of(ROOT / "docs" / "EVALUATION.md")
    assert [name for name in FEATURES if f"`{name}`" not in text] == []
