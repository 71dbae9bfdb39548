"""Means by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reeltune.baselines.lenskit_models import ratings_for_lenskit
from reeltune.baselines.problem import Problem
from reeltune.baselines.simple import (
    bias_model,
    bias_parts,
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


def test_offsets_are_shrunk_sums_of_what_lies_above_the_mean():
    problem = small_problem()
    assert problem.ratings.tolist() == [0, 1, 4, 5]
    assert overall_mean(problem) == 4.0
    # Film 0: 5 and 4 stars, film 1: 3 and 4; two ratings like the mean are added to each.
    assert item_offsets(problem, 2.0).tolist() == [0.25, -0.25, 0.0, 0.0]


def test_the_bias_model_adds_what_the_users_earlier_events_lie_above_their_films():
    expected = bias_parts(small_problem(), item_damping=2.0).expected(1.0, np.arange(8))
    # User 1 before the test row: 5 - 4.25, 3 - 3.75 and 4 - 4, over three events and one more.
    # User 2: 4 - 3.75, 4 - 4.25 and 2 - 4.
    assert expected[[3, 7]].tolist() == [4.0, pytest.approx(4.0 - 2.0 / 4)]
    assert expected[[0, 4]].tolist() == [4.25, 3.75]


def test_offsets_and_expectations_are_those_of_lenskits_bias_model():
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
    answers = majority(random_problem(2))
    problem = random_problem(2)
    share = problem.liked(problem.train).mean()
    assert set(answers.test.tolist()) == set(answers.validation.tolist()) == {share}
    assert answers.learned_from == len(problem.train)


def test_films_that_are_liked_more_get_a_higher_chance():
    problem = random_problem(4, users=60)
    good = problem.timelines.item_idx % 2 == 0
    problem = _with_labels(problem, good)
    answers = item_mean(problem)
    warm = problem.timelines.item_idx[problem.test] < 12
    assert answers.test[good[problem.test] & warm].min() > answers.test[~good[problem.test]].max()
    assert answers.learned_from == len(problem.ratings)


def test_users_who_liked_more_get_a_higher_chance():
    problem = random_problem(4, users=40)
    generous = problem.timelines.user_id % 20 == 3
    problem = _with_labels(problem, generous)
    for baseline in (user_running_mean, bias_model):
        answers = baseline(problem)
        high = generous[problem.test]
        assert answers.test[high].min() > answers.test[~high].max()


def test_a_user_without_training_rows_teaches_nothing():
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
