from __future__ import annotations

import json
from dataclasses import fields, replace
from itertools import product
from math import exp, log, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, ndcg_score

from reeltune.errors import DataError
from reeltune.evaluation.metrics import Metrics, measure
from tests.errors import raises_error

# Few values, so that ties are frequent; two of them are neighbours in float64.
scores = st.sampled_from([0.0, 0.1, float(np.nextafter(0.1, 1)), 0.25, 0.5, 0.75, 1.0])
rows = st.lists(st.tuples(st.booleans(), scores, st.integers(0, 3)), min_size=1, max_size=24)
Rows = list[tuple[bool, float, int]]


def columns(sampled: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels, p_yes, users = zip(*sampled, strict=True)
    return np.array(labels), np.array(p_yes), np.array(users, dtype=np.int64)


def pair_count(labels: np.ndarray, p_yes: np.ndarray) -> float | None:
    """The share of pairs, one of each label, that are ordered rightly; a tie counts one half."""
    pairs = list(product(p_yes[labels], p_yes[~labels]))
    if not pairs:
        return None
    return sum((yes > no) + 0.5 * (yes == no) for yes, no in pairs) / len(pairs)


def test_hand_computed_values():
    labels = np.array([True, True, False, False, True])
    p_yes = np.array([0.9, 0.6, 0.6, 0.2, 0.4])
    users = np.array([1, 1, 1, 2, 2])
    metrics = measure(labels, p_yes, users, threshold=0.4)
    assert metrics.rows == 5
    assert metrics.positive_rate == pytest.approx(3 / 5)
    assert metrics.majority_rate == pytest.approx(3 / 5)
    # Of 3 x 2 pairs, 0.9 beats both, 0.6 ties one and beats one, 0.4 loses one and beats one.
    assert metrics.auc == pytest.approx((2 + 1.5 + 1) / 6)
    # User 1: 0.9 beats 0.6, 0.6 ties it; user 2: 0.4 beats 0.2.
    assert metrics.auc_per_user_mean == pytest.approx((1.5 / 2 + 1) / 2)
    assert (metrics.users_scored, metrics.users_skipped) == (2, 0)
    assert metrics.accuracy == pytest.approx(3 / 5)
    assert metrics.f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    # From 0.4 on, all but the 0.2 read Yes: three rightly, one wrongly.
    assert metrics.accuracy_chosen == pytest.approx(4 / 5)
    assert metrics.f1_chosen == pytest.approx(2 * 3 / (2 * 3 + 1))
    # User 1: a Yes in front, then one Yes of two rows in places 2 and 3; user 2 is in order.
    second, third = 1 / log2(3), 1 / log2(4)
    assert metrics.ndcg_at_10 == pytest.approx(((1 + (second + third) / 2) / (1 + second) + 1) / 2)
    nats = -(log(0.9) + log(0.6) + log(0.4) + log(0.8) + log(0.4)) / 5
    assert metrics.log_loss == pytest.approx(nats)
    assert metrics.brier == pytest.approx((0.01 + 0.16 + 0.36 + 0.04 + 0.36) / 5)
    # Bins 13, 9 (one Yes of two), 3 and 6.
    assert metrics.ece == pytest.approx((0.1 + 0.2 + 0.2 + 0.6) / 5)
    assert metrics.yes_rate == pytest.approx(3 / 5)


@given(rows)
def test_auc_is_the_share_of_correctly_ordered_pairs(sampled: Rows):
    labels, p_yes, users = columns(sampled)
    expected = pair_count(labels, p_yes)
    auc = measure(labels, p_yes, users).auc
    assert auc == (None if expected is None else pytest.approx(expected))


@given(rows)
def test_the_mean_is_over_users_with_both_labels(sampled: Rows):
    labels, p_yes, users = columns(sampled)
    metrics = measure(labels, p_yes, users)
    each = [pair_count(labels[users == user], p_yes[users == user]) for user in np.unique(users)]
    defined = [auc for auc in each if auc is not None]
    assert metrics.users_scored == len(defined)
    assert metrics.users_scored + metrics.users_skipped == len(each)
    mean = pytest.approx(sum(defined) / len(defined)) if defined else None
    assert metrics.auc_per_user_mean == mean
    ordered = [
        ndcg_score([labels[users == user]], [p_yes[users == user]], k=10)
        for user, auc in zip(np.unique(users), each, strict=True)
        if auc is not None
    ]
    mean = pytest.approx(sum(ordered) / len(ordered)) if ordered else None
    assert metrics.ndcg_at_10 == mean


@given(rows)
def test_shares_count_rows(sampled: Rows):
    labels, p_yes, users = columns(sampled)
    metrics = measure(labels, p_yes, users)
    predicts = [p >= 0.5 for p in p_yes]
    right = [predicted == label for predicted, label in zip(predicts, labels, strict=True)]
    assert metrics.accuracy == pytest.approx(sum(right) / len(sampled))
    assert metrics.yes_rate == pytest.approx(sum(predicts) / len(sampled))
    assert metrics.majority_rate == pytest.approx(max(labels.mean(), 1 - labels.mean()))
    hits = sum(predicted and label for predicted, label in zip(predicts, labels, strict=True))
    total = sum(predicts) + int(labels.sum())
    assert metrics.f1 == (pytest.approx(2 * hits / total) if total else None)


@given(rows, scores)
def test_the_chosen_threshold_affects_the_chosen_metrics_only(sampled: Rows, threshold: float):
    labels, p_yes, users = columns(sampled)
    plain = measure(labels, p_yes, users)
    chosen = measure(labels, p_yes, users, threshold)
    predicted = p_yes >= threshold
    assert chosen.accuracy_chosen == pytest.approx((predicted == labels).mean())
    wanted = predicted.sum() + labels.sum()
    assert chosen.f1_chosen == (
        pytest.approx(2 * (predicted & labels).sum() / wanted) if wanted else None
    )
    assert replace(chosen, accuracy_chosen=None, f1_chosen=None) == plain


@given(rows)
def test_losses_are_those_of_scikit_learn(sampled: Rows):
    labels, p_yes, users = columns(sampled)
    metrics = measure(labels, p_yes, users)
    assert metrics.log_loss == pytest.approx(log_loss(labels, p_yes, labels=[False, True]))
    assert metrics.brier == pytest.approx(brier_score_loss(labels, p_yes))


@given(rows)
def test_the_calibration_error_is_the_mean_gap_of_the_rows_bins(sampled: Rows):
    labels, p_yes, users = columns(sampled)
    index = np.array([min(int(p * 15 + 1e-9), 14) for p in p_yes])
    gap = [abs(p_yes[index == at].mean() - labels[index == at].mean()) for at in index]
    assert measure(labels, p_yes, users).ece == pytest.approx(np.mean(gap), abs=1e-12)


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_names_of_users_do_not_matter(sampled: Rows, random):
    shuffled = random.sample(sampled, len(sampled))
    labels, p_yes, users = columns(shuffled)
    other = measure(labels, p_yes, 1000 - 7 * users).to_dict()
    assert other == pytest.approx(measure(*columns(sampled)).to_dict())


def test_no_row_has_no_metric():
    empty = measure(np.array([], dtype=bool), np.array([]), np.array([], dtype=np.int64))
    counts = {"rows": 0, "users_scored": 0, "users_skipped": 0}
    assert empty == Metrics(**{field.name: counts.get(field.name) for field in fields(Metrics)})


@pytest.mark.parametrize("label", [True, False])
def test_a_single_row(label: bool):
    metrics = measure(np.array([label]), np.array([0.8]), np.array([5]))
    assert metrics.auc is None
    assert metrics.auc_per_user_mean is None
    assert metrics.ndcg_at_10 is None
    assert metrics.ece == pytest.approx(0.2 if label else 0.8)
    assert (metrics.rows, metrics.users_scored, metrics.users_skipped) == (1, 0, 1)
    assert metrics.accuracy == (1.0 if label else 0.0)
    assert metrics.f1 == (1.0 if label else 0.0)
    assert metrics.log_loss == pytest.approx(-log(0.8 if label else 0.2))
    assert metrics.majority_rate == 1.0


def test_f1_is_undefined_without_true_or_predicted_yes():
    metrics = measure(np.array([False, False]), np.array([0.1, 0.4]), np.array([1, 2]))
    assert metrics.f1 is None
    assert metrics.auc is None
    assert metrics.accuracy == 1.0


def test_half_is_a_yes():
    assert measure(np.array([True]), np.array([0.5]), np.array([1])).yes_rate == 1.0


def test_a_threshold_is_compared_as_it_was_chosen():
    """0.1 in float32 is above 0.1 in float64, and below its neighbour but one."""
    p_yes = np.array([0.1], dtype=np.float32)
    row = (np.array([True]), p_yes, np.array([1]))
    assert measure(*row, threshold=float(p_yes[0])).accuracy_chosen == 1.0
    assert measure(*row, threshold=float(np.nextafter(float(p_yes[0]), 1))).accuracy_chosen == 0.0


def test_users_without_both_labels_have_no_ndcg():
    """Rows that are all liked are in perfect order for any scorer."""
    labels = np.array([True, True, False, False, False, True])
    p_yes = np.array([0.1, 0.2, 0.9, 0.8, 0.7, 0.3])
    metrics = measure(labels, p_yes, np.array([1, 1, 2, 2, 3, 3]))
    assert metrics.ndcg_at_10 == pytest.approx(1 / log2(3))
    assert (metrics.users_scored, metrics.users_skipped) == (1, 2)


def test_the_loss_of_a_certain_wrong_prediction_is_finite():
    metrics = measure(np.array([True, False]), np.array([0.0, 1.0]), np.array([1, 1]))
    assert metrics.log_loss is not None
    assert 10 < metrics.log_loss < 100
    assert metrics.brier == 1.0
    assert metrics.auc == 0.0


def test_float32_probabilities_are_accepted():
    p_yes = np.array([1 / (1 + exp(-x)) for x in (-2, 0.5, 3)], dtype=np.float32)
    metrics = measure(np.array([False, True, True]), p_yes, np.array([1, 1, 1]))
    assert metrics.auc == 1.0
    assert json.loads(json.dumps(metrics.to_dict())) == metrics.to_dict()


def test_the_dictionary_names_every_metric():
    metrics = measure(np.array([True]), np.array([0.8]), np.array([5]))
    assert list(metrics.to_dict()) == [field.name for field in fields(Metrics)]


def test_as_many_predictions_as_labels_are_needed():
    with raises_error(DataError, "wrong_number_of_predictions", figures=[2, 3]):
        measure(np.array([True, False, True]), np.array([0.5, 0.5]), np.array([1, 1, 2]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.01, 1.01])
def test_values_that_are_not_probabilities_are_refused_with_their_row(bad: float):
    with raises_error(DataError, "not_a_probability", where="row 2", figures=[bad]):
        measure(np.array([True, False, True]), np.array([0.5, 0.5, bad]), np.array([1, 1, 2]))
