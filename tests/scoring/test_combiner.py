"""The combination of log-odds: its objective, its prior, and cross-fitting over users."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime

from reeltune.scoring import combiner
from reeltune.scoring.combiner import (
    BOOSTING,
    INTERCEPT,
    MODEL,
    Combination,
    Objective,
    combine,
    fit,
    fold_of,
    log_losses,
    standard_error,
    user_pairs,
)
from reeltune.training.loss import pairwise_loss


def rows(users: int, seed: int = 0):
    """Return inputs, labels and users: the model knows half of the log-odds, boosting the rest."""
    random = np.random.default_rng(seed)
    user = random.integers(0, users, 12 * users)
    model, boosting, noise = random.normal(0, (2.0, 1.0, 3.0), (len(user), 3)).T
    liked = random.random(len(user)) < 1 / (1 + np.exp(-(model + boosting - 0.5)))
    return {MODEL: model, BOOSTING: boosting, "noise": noise}, liked, user


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_the_gradient_is_that_of_the_objective(strength: float):
    inputs, liked, user = rows(8)
    some = user != user[0]
    objective = Objective(inputs, liked, user_pairs(liked, user), strength, some)
    kept = {name: values[some] for name, values in inputs.items()}
    alone = Objective(kept, liked[some], user_pairs(liked[some], user[some]), strength)
    at = np.random.default_rng(1).normal(size=4)
    estimated = approx_fprime(at, lambda weights: objective(weights)[0], 1e-7)
    np.testing.assert_allclose(objective(at)[1], estimated, atol=1e-5)
    np.testing.assert_allclose(objective(at)[0], alone(at)[0])


def test_pairs_weigh_as_in_training():
    inputs, liked, user = rows(8)
    yes, no, weight = user_pairs(liked, user)
    assert liked[yes].all() and not liked[no].any() and (user[yes] == user[no]).all()
    found = weight @ np.logaddexp(0, inputs[MODEL][no] - inputs[MODEL][yes])
    tensors = (torch.from_numpy(values) for values in (inputs[MODEL], liked, user))
    assert found == pytest.approx(pairwise_loss(*tensors).item())


def test_some_of_many_pairs_weigh_as_much_as_all():
    _, liked, user = rows(8)
    every, some = user_pairs(liked, user)[2], user_pairs(liked, user, limit=40)[2]
    assert len(some) < len(every)
    assert some.sum() == pytest.approx(every.sum())


def test_the_weights_are_those_that_made_the_labels():
    inputs, liked, user = rows(1500)
    weights = fit(inputs, liked, user_pairs(liked, user), 0.0)
    expected = {MODEL: 1.0, BOOSTING: 1.0, "noise": 0.0, INTERCEPT: -0.5}
    assert weights == pytest.approx(expected, abs=0.1)


def test_under_a_strong_penalty_boosting_counts_twice_as_much_as_the_model():
    inputs, liked, user = rows(8)
    weights = fit(inputs, liked, user_pairs(liked, user), 1e6)
    assert 2 * weights[MODEL] == pytest.approx(weights[BOOSTING], rel=1e-3)
    assert weights["noise"] == pytest.approx(0.0, abs=1e-3)


def test_no_other_slope_or_intercept_has_a_lower_log_loss():
    inputs, liked, user = rows(50)
    for strength in (0.0, 0.1):
        weights = fit(inputs, liked, user_pairs(liked, user), strength)
        log_odds = Combination(strength, weights, ()).log_odds(inputs)
        lowest = log_losses(liked, log_odds).mean()
        for slope, shift in [(0.98, 0.0), (1.02, 0.0), (1.0, 0.05), (1.0, -0.05)]:
            assert log_losses(liked, slope * log_odds + shift).mean() > lowest


def test_no_row_of_a_user_changes_their_own_cross_fitted_log_odds(monkeypatch):
    monkeypatch.setattr(combiner, "STRENGTHS", (0.1,))  # else the strength may change
    inputs, liked, user = rows(20)
    before = combine(inputs, liked, user, user_pairs(liked, user)).log_odds(inputs, user)
    own = user == 3
    other = np.where(own, ~liked, liked)
    after = combine(inputs, other, user, user_pairs(other, user)).log_odds(inputs, user)
    np.testing.assert_array_equal(after[own], before[own])
    others = fold_of(user) != fold_of(np.array([3]))[0]
    assert (after[others] != before[others]).all()


def test_folds_of_users_are_even_and_depend_on_the_key_alone():
    folds = fold_of(np.arange(-500, 500))
    assert np.bincount(folds).min() > 150
    assert fold_of(np.array([7, 7, 499])).tolist() == folds[[507, 507, 999]].tolist()


def test_the_strength_is_that_of_the_lowest_cross_fitted_log_loss():
    inputs, liked, user = rows(6)
    best = combine(inputs, liked, user, user_pairs(liked, user))
    loss = log_losses(liked, best.log_odds(inputs, user)).mean()
    for strength in combiner.STRENGTHS:
        tried = [
            fit(inputs, liked, user_pairs(liked, user), strength, fold_of(user) != each)
            for each in range(combiner.FOLDS)
        ]
        assert (
            loss
            <= log_losses(
                liked, combiner.Combination(strength, {}, tuple(tried)).log_odds(inputs, user)
            ).mean()
        )


def test_fits_at_the_same_time_are_those_that_follow_one_another(monkeypatch):
    inputs, liked, user = rows(8)
    pairs = user_pairs(liked, user)
    at_once = combine(inputs, liked, user, pairs)
    monkeypatch.setattr(combiner, "_MANY_ROWS", 0)
    assert combine(inputs, liked, user, pairs) == at_once


def test_rows_of_one_user_count_as_one_in_the_standard_error():
    differences, user = np.array([1.0, 1.0, 3.0, 3.0]), np.array([5, 5, 9, 9])
    assert standard_error(differences, user) == pytest.approx(np.sqrt(2 * 2.0**2) / 4)
