"""Ranking metrics equal those of scikit-learn: per user, and with weighted users."""

from __future__ import annotations

from itertools import pairwise, permutations
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from reeltune.evaluation.metrics import WeightedAuc, ndcg_per_user, user_indices
from reeltune.ragged import auc_per_user

# Few values, so that ties are frequent; two of them are neighbours in float64.
SCORES = st.sampled_from([0.0, 0.1, float(np.nextafter(0.1, 1)), 0.25, 0.5, 0.75, 1.0])
ROWS = st.lists(st.tuples(st.booleans(), SCORES, st.integers(0, 3)), min_size=1, max_size=60)
FEW = st.lists(st.tuples(st.booleans(), SCORES), min_size=2, max_size=6)
Rows = list[tuple[bool, float, int]]


def columns(sampled: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels, p_yes, users = zip(*sampled, strict=True)
    return np.array(labels), np.array(p_yes), user_indices(np.array(users, dtype=np.int64))


def each_user(sampled: Rows, metric) -> list[float]:
    labels, p_yes, user = columns(sampled)
    result = []
    for number in range(user.max() + 1):
        own = user == number
        both = 0 < labels[own].mean() < 1
        result.append(metric(labels[own], p_yes[own]) if both else np.nan)
    return result


@given(ROWS)
def test_auc_per_user_is_the_auc_of_each_users_rows(sampled: Rows):
    expected = pytest.approx(each_user(sampled, roc_auc_score), nan_ok=True)
    assert auc_per_user(*columns(sampled)) == expected


@given(ROWS)
def test_ndcg_per_user_is_the_ndcg_of_each_users_rows(sampled: Rows):
    def ndcg(labels: np.ndarray, p_yes: np.ndarray) -> float:
        return float(ndcg_score([labels], [p_yes], k=10))

    assert ndcg_per_user(*columns(sampled)) == pytest.approx(each_user(sampled, ndcg), nan_ok=True)


@given(FEW.filter(lambda rows: len({label for label, _ in rows}) == 2))
def test_ties_gain_the_mean_over_their_orders(rows: list[tuple[bool, float]]):
    """Every order that P(Yes) allows, written out."""
    discounts = [1 / log2(index + 2) for index in range(len(rows))]
    gains = []
    for order in permutations(rows):
        if all(one[1] >= other[1] for one, other in pairwise(order)):
            gains.append(sum(d for d, (label, _) in zip(discounts, order, strict=True) if label))
    ideal = sum(discounts[: sum(label for label, _ in rows)])
    result = ndcg_per_user(*columns([(*row, 0) for row in rows]))
    assert result == pytest.approx([np.mean(gains) / ideal])


def test_ten_ranks_count():
    """Of twelve rows in order one is liked: at rank 10, or at rank 11."""
    p_yes = np.linspace(0.9, 0.1, 12)
    tenth, eleventh = np.arange(12) == 9, np.arange(12) == 10
    user = np.zeros(12, dtype=np.int64)
    assert ndcg_per_user(tenth, p_yes, user) == pytest.approx([1 / log2(11)])
    assert ndcg_per_user(eleventh, p_yes, user) == [0.0]


def test_more_than_ten_liked_films_can_be_in_perfect_order():
    labels = np.arange(15) < 12
    user = np.zeros(15, dtype=np.int64)
    assert ndcg_per_user(labels, np.linspace(0.9, 0.1, 15), user) == pytest.approx([1.0])


def test_a_tie_across_the_tenth_rank_is_shared():
    """Of two tied rows at ranks 10 and 11 one is liked: it gets half of the gain of rank 10."""
    p_yes = np.append(np.linspace(0.9, 0.5, 9), [0.3, 0.3])
    labels = np.arange(11) == 10
    assert ndcg_per_user(labels, p_yes, np.zeros(11, dtype=np.int64)) == pytest.approx(
        [0.5 / log2(11)]
    )


def test_no_row_has_no_user():
    nothing = (np.zeros(0, dtype=bool), np.zeros(0), np.zeros(0, dtype=np.int64))
    assert auc_per_user(*nothing).shape == (0,)
    assert ndcg_per_user(*nothing).shape == (0,)


WEIGHTED_ROWS = st.lists(
    st.tuples(st.booleans(), SCORES, st.integers(0, 3)), min_size=1, max_size=24
)
WEIGHTS = st.lists(st.tuples(*[st.integers(0, 3)] * 4), min_size=1, max_size=4)


@given(WEIGHTED_ROWS, WEIGHTS)
def test_weighted_auc_equals_scikit_learns(sampled, weights):
    labels, p_yes, user = map(np.array, zip(*sampled, strict=True))
    weights = np.array(weights, dtype=np.float64)
    expected = [
        roc_auc_score(labels, p_yes, sample_weight=one[user])
        if one[user][labels].any() and one[user][~labels].any()
        else np.nan
        for one in weights
    ]
    assert WeightedAuc(labels, p_yes, user).metrics(weights)["auc"] == pytest.approx(
        expected, nan_ok=True
    )


def test_weighted_auc_is_exact_for_many_rows():
    """Nine million pairs, one user per row, every tenth score tied."""
    rows = 6000
    labels = np.arange(rows) % 2 == 0
    p_yes = np.random.default_rng(0).integers(0, rows // 10, rows) / rows
    counts = np.random.default_rng(1).integers(0, 4, rows)
    weights = counts[None].astype(np.float64)
    result = WeightedAuc(labels, p_yes, np.arange(rows)).metrics(weights)["auc"]
    copied = roc_auc_score(labels.repeat(counts), p_yes.repeat(counts))
    assert result == pytest.approx([copied], rel=1e-12)


def test_users_of_one_label_have_no_auc():
    labels, p_yes = np.array([True, True, False]), np.array([0.9, 0.2, 0.4])
    weights = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    assert WeightedAuc(labels, p_yes, np.arange(3)).metrics(weights)["auc"] == pytest.approx(
        [np.nan, np.nan, np.nan, 1.0], nan_ok=True
    )
