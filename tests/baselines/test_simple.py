"""Means computed by hand, P(Yes) by Platt scaling, and the choice by log loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from reeltune.baselines.lenskit_models import ratings_for_lenskit
from reeltune.baselines.problem import Problem, mean_log_loss
from reeltune.baselines.simple import (
    bias_model,
    bias_parts,
    choose_rating,
    fit_platt,
    item_mean,
    item_offsets,
    majority,
    overall_mean,
    user_running_mean,
)
from reeltune.data.timelines import SplitColumn, Timelines
from reeltune.domain import Item
from tests.baselines.problems import problem_of, random_problem
from tests.timelines import timelines_of

ITEMS = [Item(row, f"Film {row}", 2000, ()) for row in range(4)]


def small_problem() -> Problem:
    """Two users; film 3 is in no training rating."""
    timelines = timelines_of(
        item_idx=[0, 1, 2, 3, 1, 0, 3, 2],
        rating=[5.0, 3.0, 4.0, 1.0, 4.0, 4.0, 2.0, 5.0],
        user_id=[1, 1, 1, 1, 2, 2, 2, 2],
        split=["context", "train", "validation", "test"] * 2,
    )
    return problem_of(timelines, ITEMS)


def test_offsets_are_shrunk_deviations_from_the_mean():
    problem = small_problem()
    assert problem.ratings.tolist() == [0, 1, 4, 5]
    assert overall_mean(problem) == 4.0
    # Film 0: 5 and 4 stars, film 1: 3 and 4; two ratings like the mean are added to each.
    assert item_offsets(problem, 2.0).tolist() == [0.25, -0.25, 0.0, 0.0]


def test_the_bias_model_adds_the_users_shrunk_deviation():
    expected = bias_parts(small_problem(), item_damping=2.0).expected(1.0, np.arange(8))
    # User 1 before the test row: 5 - 4.25, 3 - 3.75 and 4 - 4, over three events and one more.
    # User 2: 4 - 3.75, 4 - 4.25 and 2 - 4.
    assert expected[[3, 7]].tolist() == [4.0, pytest.approx(4.0 - 2.0 / 4)]
    assert expected[[0, 4]].tolist() == [4.25, 3.75]


def test_the_bias_model_equals_lenskits():
    from lenskit.basic.bias import BiasModel
    from lenskit.data import ItemList

    problem = random_problem(5, users=20)
    known = problem.timelines
    model = BiasModel.learn(ratings_for_lenskit(problem), (3.0, 2.0))
    expected = bias_parts(problem, item_damping=2.0).expected(3.0, problem.test)
    for event, value in zip(problem.test.tolist(), expected.tolist(), strict=True):
        earlier = np.arange(event - known.position[event], event)
        history = ItemList(item_ids=known.item_idx[earlier], rating=known.rating[earlier])
        item = ItemList(item_ids=known.item_idx[event : event + 1])
        scores, _ = model.compute_for_items(item, user_items=history)
        assert scores[0] == pytest.approx(value, abs=1e-5)


def test_the_majority_is_the_share_of_likes_among_training_rows():
    scores = majority(random_problem(2))
    problem = random_problem(2)
    share = problem.liked(problem.train).mean()
    assert set(scores.test.tolist()) == set(scores.validation.tolist()) == {share}
    assert scores.learned_from == len(problem.train)


def test_items_liked_more_get_a_higher_p_yes():
    problem = random_problem(4, users=60)
    good = problem.timelines.item_idx % 2 == 0
    problem = _with_labels(problem, good)
    scores = item_mean(problem)
    warm = problem.timelines.item_idx[problem.test] < 12
    assert scores.test[good[problem.test] & warm].min() > scores.test[~good[problem.test]].max()
    assert scores.learned_from == len(problem.ratings)


def test_users_who_liked_more_get_a_higher_p_yes():
    problem = random_problem(4, users=40)
    generous = problem.timelines.user_id % 20 == 3
    problem = _with_labels(problem, generous)
    for baseline in (user_running_mean, bias_model):
        scores = baseline(problem)
        high = generous[problem.test]
        assert scores.test[high].min() > scores.test[~high].max()


def test_a_user_without_training_rows_has_no_training_ratings():
    problem = random_problem(6, users=5)
    known = problem.timelines
    late = known.user_id == known.user_id[-1]
    split = SplitColumn.of(np.where(late & (known.split != "context"), "test", known.split))
    problem = problem_of(replace(known, split=split), list(problem.items))
    assert not late[problem.ratings].any()
    others = (known.split == "context") | (known.split == "train")
    assert problem.ratings.tolist() == np.flatnonzero(others & ~late).tolist()


def _with_labels(problem: Problem, good: np.ndarray) -> Problem:
    rating = np.where(good, 4.5, 2.5).astype(np.float32)
    timelines: Timelines = replace(problem.timelines, rating=rating, liked=rating >= 4.0)
    return replace(problem, timelines=timelines)


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_the_mean_of_the_probabilities_is_that_of_platts_targets(seed: int, count: int):
    random = np.random.default_rng(seed)
    liked, score = random.random(count) < 0.6, random.normal(3.0, 1.0, count)
    p_yes = fit_platt(score, liked)(score)
    yes = int(liked.sum())
    targets = np.where(liked, (yes + 1) / (yes + 2), 1 / (count - yes + 2))
    assert p_yes.mean() == pytest.approx(targets.mean(), abs=1e-3)
    assert ((p_yes > 0) & (p_yes < 1)).all()


def test_a_known_curve_is_recovered():
    random = np.random.default_rng(0)
    score = random.normal(3.5, 1.0, 20_000)
    true = 1 / (1 + np.exp(-(1.5 * score - 5)))
    p_yes = fit_platt(score, random.random(20_000) < true)(score)
    assert np.abs(p_yes - true).max() < 0.02


def test_separable_labels_give_no_certainty():
    p_yes = fit_platt(np.array([1.0, 2.0, 4.0, 5.0]), np.array([False, False, True, True]))(
        np.array([-100.0, 1.0, 5.0])
    )
    assert p_yes[0] < p_yes[1] < 0.5 < p_yes[2] < 0.99


@pytest.mark.parametrize("label", [True, False])
def test_one_label_and_one_score_give_its_smoothed_share(label: bool):
    p_yes = fit_platt(np.full(8, 3.0), np.full(8, label))(np.array([3.0]))
    assert p_yes == pytest.approx([0.9 if label else 0.1], abs=1e-3)


def test_no_rows_give_no_probabilities():
    curve = fit_platt(np.array([1.0, 2.0]), np.array([False, True]))
    assert curve(np.empty(0)).shape == (0,)


def test_the_choice_is_the_lowest_log_loss_on_validation_rows():
    problem = random_problem(1, users=20)
    liked = problem.timelines.liked.astype(np.float64)
    noise = np.random.default_rng(0).normal(size=len(liked))
    # The third knows the test rows only: it must not be chosen for that.
    is_test = problem.timelines.split == "test"
    scores = {"noise": noise, "knows": liked + 0.3 * noise, "test": np.where(is_test, liked, 0)}
    answers = choose_rating(
        problem, (({"name": name}, score.__getitem__) for name, score in scores.items()), 5
    )
    assert answers.settings == {"name": "knows"}
    assert answers.learned_from == 5
    wanted = fit_platt(scores["knows"][problem.validation], problem.liked(problem.validation))
    assert np.array_equal(answers.validation, wanted(scores["knows"][problem.validation]))
    assert np.array_equal(answers.test, wanted(scores["knows"][problem.test]))


def test_log_loss_is_that_of_scikit_learn_also_of_certain_predictions():
    random = np.random.default_rng(0)
    p_yes = np.concatenate([random.uniform(size=50), [0.0, 0.0, 1.0, 1.0]])
    liked = np.concatenate([random.uniform(size=50) < 0.5, [False, True, False, True]])
    assert mean_log_loss(liked, p_yes) == pytest.approx(log_loss(liked, p_yes), rel=1e-12)


def test_log_loss_of_one_label_is_defined():
    assert mean_log_loss(np.array([True, True]), np.array([0.5, 0.25])) == pytest.approx(
        (np.log(2) + np.log(4)) / 2
    )
