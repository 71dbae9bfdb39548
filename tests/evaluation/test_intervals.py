"""Intervals come from drawing users, the same ones for both scorers."""

from __future__ import annotations

from dataclasses import astuple
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from reeltune.evaluation.intervals import Interval, auc_difference, weighted_auc

# Few values, so that ties are frequent; two of them are neighbours in float64.
SCORES = st.sampled_from([0.0, 0.1, float(np.nextafter(0.1, 1)), 0.25, 0.5, 1.0])
WEIGHTS = st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, 3.0])] * 3)
WEIGHTED = st.lists(st.tuples(st.booleans(), SCORES, WEIGHTS), min_size=1, max_size=24)
JUDGED = st.lists(
    st.tuples(st.booleans(), SCORES, SCORES, st.integers(0, 4)), min_size=2, max_size=24
).filter(lambda drawn: len({label for label, *_ in drawn}) == 2)

Judged = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Labels, P(Yes) of two scorers, users."""


def columns(drawn: list[tuple[bool, float, float, int]]) -> Judged:
    labels, p_yes, other, users = map(np.array, zip(*drawn, strict=True))
    return labels, p_yes, other, users.astype(np.int64)


def judged(users: int, rows: int, seed: int = 0) -> Judged:
    """Rows of a few users with ties, the first scorer better than the second."""
    random = np.random.default_rng(seed)
    labels = random.random(users * rows) < 0.5
    one, other = (
        np.clip(
            np.round(0.5 + share * (labels - 0.5) + random.normal(0, 0.25, len(labels)), 1), 0, 1
        )
        for share in (0.5, 0.2)
    )
    return labels, one, other, np.repeat(np.arange(users), rows)


def close(interval: Interval | None, *expected: float) -> bool:
    """Whether value and both ends are the expected ones up to rounding."""
    assert interval is not None
    return astuple(interval)[:3] == pytest.approx(expected, rel=0, abs=1e-12)


def plain_difference(labels: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    return float(roc_auc_score(labels, one) - roc_auc_score(labels, other))


@given(WEIGHTED)
def test_the_weighted_auc_is_that_of_scikit_learn_under_every_set_of_weights(drawn):
    labels, p_yes, weights = map(np.array, zip(*drawn, strict=True))
    found = weighted_auc(labels, p_yes, weights.T)
    expected = [
        roc_auc_score(labels, p_yes, sample_weight=one)
        if one[labels].any() and one[~labels].any()
        else np.nan
        for one in weights.T
    ]
    assert found == pytest.approx(expected, nan_ok=True)


def test_weights_count_rows_as_copies_would():
    labels, p_yes, _, _ = judged(2, 15)
    times = np.random.default_rng(1).integers(0, 4, size=len(labels))
    copied = weighted_auc(labels.repeat(times), p_yes.repeat(times), np.ones((1, times.sum())))
    weighted = weighted_auc(labels, p_yes, times[None].astype(np.float64))
    assert weighted == pytest.approx(copied, rel=1e-12)


def test_weights_on_one_label_alone_have_no_auc():
    labels, p_yes = np.array([True, True, False]), np.array([0.9, 0.2, 0.4])
    weights = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    assert weighted_auc(labels, p_yes, weights) == pytest.approx(
        [np.nan, np.nan, np.nan, 1.0], nan_ok=True
    )


@settings(max_examples=25)
@given(JUDGED, st.integers(0, 99))
def test_a_scorer_is_not_better_than_itself(drawn, seed):
    labels, p_yes, _, users = columns(drawn)
    assert close(auc_difference(labels, p_yes, p_yes, users, seed, draws=50), 0.0, 0.0, 0.0)


@settings(max_examples=25)
@given(JUDGED, st.integers(0, 99))
def test_changing_the_scorers_over_changes_the_sign(drawn, seed):
    labels, p_yes, other, users = columns(drawn)
    found = auc_difference(labels, p_yes, other, users, seed, draws=50)
    assert found is not None
    changed = auc_difference(labels, other, p_yes, users, seed, draws=50)
    assert close(changed, -found.value, -found.high, -found.low)


@settings(max_examples=25)
@given(JUDGED, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(drawn, random):
    found = auc_difference(*columns(drawn), seed=3, draws=50)
    assert found is not None
    shuffled = random.sample(drawn, len(drawn))
    other = auc_difference(*columns(shuffled), seed=3, draws=50)
    assert close(other, found.value, found.low, found.high)


@given(JUDGED)
def test_the_value_is_the_difference_on_the_rows_themselves(drawn):
    labels, p_yes, other, users = columns(drawn)
    found = auc_difference(labels, p_yes, other, users, seed=0, draws=50)
    assert found is not None
    assert found.value == pytest.approx(plain_difference(labels, p_yes, other), abs=1e-12)


def test_a_seed_decides_the_draws():
    data = judged(30, 4)
    found = [auc_difference(*data, seed=seed, draws=150) for seed in (5, 5, 6)]
    assert found[0] == found[1]
    assert found[0] is not None
    assert found[2] is not None
    assert found[2].value == found[0].value
    assert (found[2].low, found[2].high) != (found[0].low, found[0].high)
    assert found[0].draws == 150


def test_the_interval_is_that_of_every_way_to_draw_users():
    """Three users can be drawn in 27 ways, all equally likely; both scorers get the same users."""
    labels, one, other, users = judged(3, 12)
    own = [np.flatnonzero(users == user) for user in range(3)]
    assert all(0 < labels[rows].mean() < 1 for rows in own)
    drawn = [
        np.concatenate([own[user] for user in chosen]) for chosen in product(range(3), repeat=3)
    ]
    ways = sorted(plain_difference(labels[rows], one[rows], other[rows]) for rows in drawn)
    low, high = np.percentile(ways, [2.5, 97.5], method="inverted_cdf")
    assert ways[1] - low > 1e-3  # other percentiles have other values
    assert high - ways[-2] > 1e-3
    found = auc_difference(labels, one, other, users, seed=0, draws=4000)
    assert close(found, plain_difference(labels, one, other), low, high)


def test_users_are_drawn_and_not_their_rows():
    """Copies of a user's rows say nothing new; copies that other users made would."""
    labels, one, other, users = judged(40, 1)
    few = auc_difference(labels, one, other, users, seed=0)
    assert few is not None
    labels, one, other = (values.repeat(10) for values in (labels, one, other))
    many = auc_difference(labels, one, other, users.repeat(10), seed=0)
    assert close(many, few.value, few.low, few.high)
    apart = auc_difference(labels, one, other, np.arange(len(labels)), seed=0)
    assert apart is not None
    assert apart.high - apart.low < 0.5 * (few.high - few.low)


def test_draws_without_an_auc_are_left_out():
    """One user always says Yes, the other always No: half of the draws hold one of them alone."""
    labels = np.array([True, False])
    found = auc_difference(labels, np.array([0.8, 0.3]), np.array([0.2, 0.6]), np.arange(2), seed=0)
    assert close(found, 1.0, 1.0, 1.0)
    assert found is not None
    assert 400 < found.draws < 600


@pytest.mark.parametrize("labels", [[True, True], [False, False], []])
def test_one_label_has_no_difference(labels: list[bool]):
    p_yes = np.linspace(0.2, 0.8, len(labels))
    rows = np.array(labels, dtype=bool)
    assert auc_difference(rows, p_yes, 1 - p_yes, np.arange(len(labels)), seed=0) is None
