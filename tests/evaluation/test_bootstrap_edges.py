"""Intervals where something is undefined: one user, one row, one label, no row at all."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from reeltune.errors import DataError
from reeltune.evaluation.intervals import Bootstrap, Interval, bootstrap
from reeltune.evaluation.metrics import METRICS, measure
from tests.errors import raises_error

SAMPLES = 12


def interval(found: Bootstrap, metric: str) -> Interval:
    one = found.interval("one", metric)
    assert one is not None
    return one


def test_draws_in_which_a_metric_is_undefined_are_left_out_and_counted():
    """One user always says Yes, the other always No: half of the draws hold one of them alone."""
    labels, p_yes = np.array([True, False]), {"one": np.array([0.8, 0.3])}
    found = bootstrap(labels, np.arange(2), p_yes, {}, 0)
    auc = interval(found, "auc")
    assert (auc.value, auc.low, auc.high) == (1.0, 1.0, 1.0)
    assert 400 < auc.bootstrap_samples < 600
    assert interval(found, "accuracy").bootstrap_samples == 1000


def test_one_user_is_drawn_every_time():
    labels, p_yes = np.array([True, False, True]), {"one": np.array([0.8, 0.3, 0.2])}
    found = bootstrap(labels, np.full(3, 9), p_yes, {"one": 0.1}, 0, SAMPLES)
    whole = measure(labels, p_yes["one"], np.full(3, 9), 0.1).to_dict()
    for metric in METRICS:
        value = whole[metric]
        assert astuple(interval(found, metric)) == pytest.approx((value, value, value, SAMPLES, 1))
        assert not interval(found, metric).enough_users


@pytest.mark.parametrize("label", [True, False])
def test_one_row(label: bool):
    found = bootstrap(np.array([label]), np.array([4]), {"one": np.array([0.75])}, {}, 0, SAMPLES)
    undefined = {"auc", "auc_per_user_mean", "ndcg_at_10", "accuracy_chosen", "f1_chosen"}
    assert {name for name in METRICS if found.interval("one", name) is None} == undefined
    assert astuple(interval(found, "brier"))[:3] == pytest.approx([(0.75 - label) ** 2] * 3)


def test_no_row_has_no_interval():
    nothing = np.zeros(0)
    found = bootstrap(
        nothing.astype(bool), nothing.astype(np.int64), {"one": nothing}, {"one": 0.5}, 0, SAMPLES
    )
    assert all(found.interval("one", name) is None for name in METRICS)


def test_users_of_one_label_each_have_an_auc_together_and_none_alone():
    labels = np.array([True, True, False, False, True])
    p_yes = {"one": np.array([0.9, 0.4, 0.3, 0.6, 0.8])}
    found = bootstrap(labels, np.array([1, 1, 2, 2, 3]), p_yes, {}, 0, 200)
    assert interval(found, "auc").value == pytest.approx(5 / 6)
    assert 0 < interval(found, "auc").bootstrap_samples < 200
    assert found.interval("one", "auc_per_user_mean") is None
    assert found.interval("one", "ndcg_at_10") is None


@pytest.mark.parametrize("label", [True, False])
def test_labels_of_one_kind_leave_what_needs_both_undefined(label: bool):
    p_yes = {"one": np.array([0.1, 0.2, 0.3]), "two": np.array([0.6, 0.2, 0.4])}
    found = bootstrap(np.full(3, label), np.array([1, 2, 2]), p_yes, {}, 0, 200)
    for metric in ("auc", "auc_per_user_mean", "ndcg_at_10"):
        assert found.interval("one", metric) is None
        assert found.difference("one", "two", metric) is None
    assert interval(found, "majority_rate").value == 1.0
    # No Yes is said by one; of the rows labelled No, none should have been.
    f1 = found.interval("one", "f1")
    assert (None if f1 is None else f1.value) == (0.0 if label else None)
    assert found.difference("one", "two", "accuracy") is not None


def test_a_difference_to_an_undefined_metric_is_undefined():
    labels, p_yes = np.array([True, False]), {"one": np.array([0.8, 0.3])}
    found = bootstrap(labels, np.arange(2), p_yes | {"two": p_yes["one"]}, {"one": 0.4}, 0, SAMPLES)
    assert found.interval("one", "accuracy_chosen") is not None
    assert found.interval("two", "accuracy_chosen") is None
    assert found.difference("one", "two", "accuracy_chosen") is None


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ([0.5, 1.5], "not_a_probability"),
        ([0.5, np.nan], "not_a_probability"),
        ([0.5], "wrong_number_of_predictions"),
    ],
)
def test_what_is_no_probability_for_every_row_is_refused(wrong: list[float], code: str):
    with raises_error(DataError, code):
        bootstrap(np.array([True, False]), np.arange(2), {"one": np.array(wrong)}, {}, 0)
