"""Intervals where something is undefined: one user, one row, one label, no rows."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from reeltune.errors import DataError
from reeltune.evaluation.intervals import Bootstrap, Interval, bootstrap
from reeltune.evaluation.metrics import METRICS, measure
from tests.errors import raises_error

SAMPLES = 12


def interval(result: Bootstrap, metric: str) -> Interval:
    one = result.interval("one", metric)
    assert one is not None
    return one


def test_samples_in_which_a_metric_is_undefined_are_left_out():
    """One user has a Yes, the other a No: half of the samples contain only one of them."""
    labels, p_yes = np.array([True, False]), {"one": np.array([0.8, 0.3])}
    result = bootstrap(labels, np.arange(2), p_yes, {}, 0)
    auc = interval(result, "auc")
    assert (auc.value, auc.low, auc.high) == (1.0, 1.0, 1.0)
    assert 400 < auc.bootstrap_samples < 600
    assert interval(result, "accuracy").bootstrap_samples == 1000


def test_one_user_is_in_every_sample():
    labels, p_yes = np.array([True, False, True]), {"one": np.array([0.8, 0.3, 0.2])}
    result = bootstrap(labels, np.full(3, 9), p_yes, {"one": 0.1}, 0, SAMPLES)
    whole = measure(labels, p_yes["one"], np.full(3, 9), 0.1).to_dict()
    for metric in METRICS:
        value = whole[metric]
        assert astuple(interval(result, metric)) == pytest.approx((value, value, value, SAMPLES, 1))
        assert not interval(result, metric).enough_users


@pytest.mark.parametrize("label", [True, False])
def test_one_row(label: bool):
    result = bootstrap(np.array([label]), np.array([4]), {"one": np.array([0.75])}, {}, 0, SAMPLES)
    undefined = {"auc", "auc_per_user_mean", "ndcg_at_10", "accuracy_chosen", "f1_chosen"}
    assert {name for name in METRICS if result.interval("one", name) is None} == undefined
    assert astuple(interval(result, "brier"))[:3] == pytest.approx([(0.75 - label) ** 2] * 3)


def test_no_row_has_no_interval():
    nothing = np.zeros(0)
    result = bootstrap(
        nothing.astype(bool), nothing.astype(np.int64), {"one": nothing}, {"one": 0.5}, 0, SAMPLES
    )
    assert all(result.interval("one", name) is None for name in METRICS)


def test_users_with_one_label_each_have_an_auc_over_all_rows_only():
    labels = np.array([True, True, False, False, True])
    p_yes = {"one": np.array([0.9, 0.4, 0.3, 0.6, 0.8])}
    result = bootstrap(labels, np.array([1, 1, 2, 2, 3]), p_yes, {}, 0, 200)
    assert interval(result, "auc").value == pytest.approx(5 / 6)
    assert 0 < interval(result, "auc").bootstrap_samples < 200
    assert result.interval("one", "auc_per_user_mean") is None
    assert result.interval("one", "ndcg_at_10") is None


@pytest.mark.parametrize("label", [True, False])
def test_metrics_that_need_both_labels_are_undefined_for_one(label: bool):
    p_yes = {"one": np.array([0.1, 0.2, 0.3]), "two": np.array([0.6, 0.2, 0.4])}
    result = bootstrap(np.full(3, label), np.array([1, 2, 2]), p_yes, {}, 0, 200)
    for metric in ("auc", "auc_per_user_mean", "ndcg_at_10"):
        assert result.interval("one", metric) is None
        assert result.difference("one", "two", metric) is None
    assert interval(result, "majority_rate").value == 1.0
    # Scorer one predicts no Yes; without a true Yes either, F1 is undefined.
    f1 = result.interval("one", "f1")
    assert (None if f1 is None else f1.value) == (0.0 if label else None)
    assert result.difference("one", "two", "accuracy") is not None


def test_a_difference_to_an_undefined_metric_is_undefined():
    labels, p_yes = np.array([True, False]), {"one": np.array([0.8, 0.3])}
    result = bootstrap(
        labels, np.arange(2), p_yes | {"two": p_yes["one"]}, {"one": 0.4}, 0, SAMPLES
    )
    assert result.interval("one", "accuracy_chosen") is not None
    assert result.interval("two", "accuracy_chosen") is None
    assert result.difference("one", "two", "accuracy_chosen") is None


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ([0.5, 1.5], "not_a_probability"),
        ([0.5, np.nan], "not_a_probability"),
        ([0.5], "wrong_number_of_predictions"),
    ],
)
def test_predictions_that_are_not_probabilities_are_refused(wrong: list[float], code: str):
    with raises_error(DataError, code):
        bootstrap(np.array([True, False]), np.arange(2), {"one": np.array(wrong)}, {}, 0)
