"""From scores to P(Yes), and the choice by log loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.baselines.simple import choose_rating, fit_platt, mean_log_loss
from tests.baselines.problems import random_problem


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_the_mean_of_the_probabilities_is_that_of_platts_targets(seed: int, count: int):
    random = np.random.default_rng(seed)
    liked, score = random.random(count) < 0.6, random.normal(3.0, 1.0, count)
    p_yes = fit_platt(score, liked)(score)
    yes = int(liked.sum())
    targets = np.where(liked, (yes + 1) / (yes + 2), 1 / (count - yes + 2))
    assert p_yes.mean() == pytest.approx(targets.mean(), abs=1e-3)
    assert ((p_yes > 0) & (p_yes < 1)).all()


def test_a_known_curve_is_found_again():
    random = np.random.default_rng(0)
    score = random.normal(3.5, 1.0, 20_000)
    true = 1 / (1 + np.exp(-(1.5 * score - 5)))
    p_yes = fit_platt(score, random.random(20_000) < true)(score)
    assert np.abs(p_yes - true).max() < 0.02


def test_scores_that_part_the_labels_still_give_no_certainty():
    p_yes = fit_platt(np.array([1.0, 2.0, 4.0, 5.0]), np.array([False, False, True, True]))(
        np.array([-100.0, 1.0, 5.0])
    )
    assert p_yes[0] < p_yes[1] < 0.5 < p_yes[2] < 0.99


@pytest.mark.parametrize("label", [True, False])
def test_one_label_and_one_score_give_its_smoothed_share(label: bool):
    p_yes = fit_platt(np.full(8, 3.0), np.full(8, label))(np.array([3.0]))
    assert p_yes == pytest.approx([0.9 if label else 0.1], abs=1e-3)


def test_no_rows_to_judge_give_no_probabilities():
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


def test_log_loss_of_one_label_is_defined():
    assert mean_log_loss(np.array([True, True]), np.array([0.5, 0.25])) == pytest.approx(
        (np.log(2) + np.log(4)) / 2
    )
