"""Metrics of a bootstrap sample equal those of its rows, repeated."""

from __future__ import annotations

from dataclasses import astuple
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reeltune.evaluation import intervals
from reeltune.evaluation.intervals import (
    Bootstrap,
    Interval,
    bootstrap,
    bootstrap_auc,
    user_weights,
)
from reeltune.evaluation.metrics import METRICS, measure

# Few values, so that ties are frequent.
SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
ROWS = st.lists(st.tuples(st.booleans(), SCORES, SCORES, st.integers(0, 3)), max_size=24)
THRESHOLDS = st.fixed_dictionaries({}, optional={"one": SCORES, "two": SCORES})
SEEDS = st.integers(0, 99)
SAMPLES = 12

Columns = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]
"""Labels, users, P(Yes) by scorer."""


def columns(sampled: list[tuple[bool, float, float, int]]) -> Columns:
    labels, one, two, users = zip(*sampled, strict=True) if sampled else ((), (), (), ())
    p_yes = {"one": np.array(one, dtype=float), "two": np.array(two, dtype=float)}
    return np.array(labels, dtype=bool), 7 - 3 * np.array(users, dtype=np.int64), p_yes


def random_rows(users: int, rows: int) -> Columns:
    random = np.random.default_rng(3)
    labels = random.random(users * rows) < 0.6
    p_yes = {
        name: np.clip(labels * share + random.normal(0.3, 0.2, len(labels)), 0, 1).round(2)
        for name, share in (("one", 0.4), ("two", 0.1))
    }
    return labels, np.repeat(np.arange(users), rows), p_yes


def weights_of(users: int, rows: int, seed: int) -> np.ndarray:
    return np.concatenate([weights for _, weights in user_weights(users, rows, seed, SAMPLES)])


def repeated(weights: np.ndarray, user_id: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a sample; each copy of a user counts as a separate user."""
    rows, users, copies = [], [], 0
    for count, user in zip(weights, np.unique(user_id), strict=True):
        own = np.flatnonzero(user_id == user)
        for _ in range(int(count)):
            rows.append(own)
            users.append(np.full(len(own), copies))
            copies += 1
    return np.concatenate(rows), np.concatenate(users)


@pytest.mark.slow
@settings(max_examples=40)
@given(ROWS, THRESHOLDS, SEEDS)
def test_every_sample_equals_its_rows_repeated(sampled, thresholds, seed):
    labels, user_id, p_yes = columns([*sampled, (True, 0.5, 0.25, 1)])
    result = bootstrap(labels, user_id, p_yes, thresholds, seed, SAMPLES)
    samples_of_users = weights_of(len(np.unique(user_id)), len(labels), seed)
    for i, weights in enumerate(samples_of_users):
        rows, users = repeated(weights, user_id)
        for name in p_yes:
            whole = measure(labels[rows], p_yes[name][rows], users, thresholds.get(name)).to_dict()
            for metric in METRICS:
                expected = np.nan if whole[metric] is None else whole[metric]
                value = result.samples[name][metric][i]
                assert value == pytest.approx(expected, abs=1e-9, nan_ok=True), metric


@settings(max_examples=40)
@given(ROWS, THRESHOLDS, SEEDS)
def test_the_value_is_the_metric_of_the_rows(sampled, thresholds, seed):
    labels, user_id, p_yes = columns(sampled)
    result = bootstrap(labels, user_id, p_yes, thresholds, seed, SAMPLES)
    for name in p_yes:
        whole = measure(labels, p_yes[name], user_id, thresholds.get(name)).to_dict()
        for metric in METRICS:
            interval = result.interval(name, metric)
            if whole[metric] is None:
                assert interval is None
            elif interval is not None:
                assert interval.value == pytest.approx(whole[metric], abs=1e-12)
            else:
                assert np.isnan(result.samples[name][metric]).all()


@settings(max_examples=25)
@given(ROWS, THRESHOLDS, SEEDS)
def test_differences_are_taken_within_each_sample(sampled, thresholds, seed):
    labels, user_id, p_yes = columns(sampled)
    result = bootstrap(labels, user_id, p_yes, thresholds, seed, SAMPLES)
    for metric in METRICS:
        own = [result.samples[name][metric] for name in ("one", "two")]
        both = own[0] - own[1]
        both = both[~np.isnan(both)]
        interval = result.difference("one", "two", metric)
        back = result.difference("two", "one", metric)
        defined = not np.isnan([result.values[name][metric] for name in ("one", "two")]).any()
        assert (interval is None) == (not defined or not len(both))
        if interval is None:
            assert back is None
        else:
            low, high = np.percentile(both, [2.5, 97.5])
            value = result.values["one"][metric] - result.values["two"][metric]
            users = interval.users
            assert astuple(interval)[:4] == pytest.approx((value, low, high, len(both)), abs=1e-12)
            assert back is not None
            other_way = (-value, -high, -low, len(both), users)
            assert astuple(back) == pytest.approx(other_way, abs=1e-12)


@settings(max_examples=25)
@given(ROWS, SEEDS)
def test_the_auc_alone_has_the_same_interval(sampled, seed):
    labels, user_id, p_yes = columns(sampled)
    whole = bootstrap(labels, user_id, p_yes, {}, seed, SAMPLES)
    alone = bootstrap_auc(labels, user_id, p_yes, seed, SAMPLES)
    assert whole.interval("two", "auc") == alone.interval("two", "auc")
    assert whole.difference("one", "two", "auc") == alone.difference("one", "two", "auc")


def test_samples_do_not_depend_on_the_other_scorers():
    labels, user_id, p_yes = random_rows(20, 6)
    beside = bootstrap(labels, user_id, p_yes, {}, 4, SAMPLES)
    alone = bootstrap(labels, user_id, {"two": p_yes["two"]}, {}, 4, SAMPLES)
    for metric in METRICS:
        expected = pytest.approx(beside.samples["two"][metric], nan_ok=True)
        assert alone.samples["two"][metric] == expected


def test_metrics_do_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch):
    rows = random_rows(20, 6)
    thresholds = {"one": 0.4}
    together = bootstrap(*rows, thresholds, 4, SAMPLES)
    monkeypatch.setattr(intervals, "_CHUNK", 5 * len(rows[0]))
    apart = bootstrap(*rows, thresholds, 4, SAMPLES)
    for name, metric in product(rows[2], METRICS):
        expected = pytest.approx(together.samples[name][metric], rel=1e-12, nan_ok=True)
        assert apart.samples[name][metric] == expected


def test_the_seed_determines_the_samples():
    rows = random_rows(20, 6)
    result = [bootstrap(*rows, {}, seed, SAMPLES).interval("one", "brier") for seed in (1, 1, 2)]
    assert result[0] == result[1]
    assert result[0] != result[2]


@pytest.mark.parametrize("metric", ["auc", "auc_per_user_mean", "log_loss", "ece", "f1_chosen"])
def test_intervals_equal_those_of_all_possible_samples(metric: str):
    """Three users have 27 equally likely samples."""
    labels, user_id, p_yes = random_rows(3, 12)
    possible = []
    for chosen in product(range(3), repeat=3):
        rows, users = repeated(np.bincount(chosen, minlength=3), user_id)
        possible.append(getattr(measure(labels[rows], p_yes["one"][rows], users, 0.6), metric))
    low, high = np.percentile(possible, [2.5, 97.5], method="inverted_cdf")
    assert low < high
    result = bootstrap(labels, user_id, p_yes, {"one": 0.6}, 0, 4000).interval("one", metric)
    assert result is not None
    assert (result.low, result.high) == pytest.approx((low, high), rel=0, abs=1e-12)


@pytest.mark.slow
def test_users_are_resampled_not_rows():
    """Copies of a user's rows add no information; rows of further users would."""
    labels, user_id, p_yes = random_rows(40, 5)
    few = bootstrap(labels, user_id, p_yes, {}, 0)
    copied = (labels.repeat(10), {name: result.repeat(10) for name, result in p_yes.items()})
    many = bootstrap(copied[0], user_id.repeat(10), copied[1], {}, 0)
    apart = bootstrap(copied[0], np.arange(len(copied[0])), copied[1], {}, 0)
    for metric in ("auc", "accuracy", "brier"):
        assert astuple(interval(many, metric)) == pytest.approx(astuple(interval(few, metric)))
        assert width(apart, metric) < 0.5 * width(few, metric)


def interval(result: Bootstrap, metric: str) -> Interval:
    one = result.interval("one", metric)
    assert one is not None
    return one


def width(result: Bootstrap, metric: str) -> float:
    return interval(result, metric).high - interval(result, metric).low


@pytest.mark.slow
def test_about_95_of_100_intervals_contain_the_true_value():
    """Users of a known population, each with their accuracy."""
    random = np.random.default_rng(0)
    contained = 0
    for _ in range(150):
        share = random.beta(4, 2, size=60).repeat(8)
        labels = random.random(len(share)) < 0.5
        right = random.random(len(share)) < share
        p_yes = {"one": np.where(right == labels, 0.9, 0.1)}
        result = interval(bootstrap(labels, np.arange(60).repeat(8), p_yes, {}, 0, 300), "accuracy")
        contained += result.low <= 4 / 6 <= result.high
    assert 0.87 * 150 < contained < 0.995 * 150


def test_a_long_bootstrap_logs_its_progress(monkeypatch: pytest.MonkeyPatch, caplog):
    """By a clock that is 16 s later at every chunk of samples."""
    now = iter(range(0, 10_000, 8))
    monkeypatch.setattr("reeltune.progress.time.monotonic", lambda: next(now))
    monkeypatch.setattr(intervals, "_CHUNK", 1)
    caplog.set_level("INFO", logger="reeltune")
    bootstrap(*random_rows(20, 6), {}, 4, SAMPLES)
    lines = [record.getMessage() for record in caplog.records]
    assert 2 <= len(lines) <= SAMPLES // 2
    assert all(f"/{SAMPLES} samples" in line for line in lines)
