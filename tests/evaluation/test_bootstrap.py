"""A draw of users is what its rows, literally repeated, would be measured as."""

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


def columns(drawn: list[tuple[bool, float, float, int]]) -> Columns:
    labels, one, two, users = zip(*drawn, strict=True) if drawn else ((), (), (), ())
    p_yes = {"one": np.array(one, dtype=float), "two": np.array(two, dtype=float)}
    return np.array(labels, dtype=bool), 7 - 3 * np.array(users, dtype=np.int64), p_yes


def judged(users: int, rows: int) -> Columns:
    random = np.random.default_rng(3)
    labels = random.random(users * rows) < 0.6
    p_yes = {
        name: np.clip(labels * share + random.normal(0.3, 0.2, len(labels)), 0, 1).round(2)
        for name, share in (("one", 0.4), ("two", 0.1))
    }
    return labels, np.repeat(np.arange(users), rows), p_yes


def times_of(users: int, rows: int, seed: int) -> np.ndarray:
    return np.concatenate([times for _, times in user_weights(users, rows, seed, SAMPLES)])


def repeated(times: np.ndarray, user_id: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a draw, and their users, each copy of whom is a user of its own."""
    rows, users, copies = [], [], 0
    for count, user in zip(times, np.unique(user_id), strict=True):
        own = np.flatnonzero(user_id == user)
        for _ in range(int(count)):
            rows.append(own)
            users.append(np.full(len(own), copies))
            copies += 1
    return np.concatenate(rows), np.concatenate(users)


@settings(max_examples=40)
@given(ROWS, THRESHOLDS, SEEDS)
def test_every_draw_is_measured_as_its_rows_repeated(drawn, thresholds, seed):
    labels, user_id, p_yes = columns([*drawn, (True, 0.5, 0.25, 1)])
    found = bootstrap(labels, user_id, p_yes, thresholds, seed, SAMPLES)
    draws = times_of(len(np.unique(user_id)), len(labels), seed)
    for i, times in enumerate(draws):
        rows, users = repeated(times, user_id)
        for name in p_yes:
            whole = measure(labels[rows], p_yes[name][rows], users, thresholds.get(name)).to_dict()
            for metric in METRICS:
                expected = np.nan if whole[metric] is None else whole[metric]
                value = found.samples[name][metric][i]
                assert value == pytest.approx(expected, abs=1e-9, nan_ok=True), metric


@settings(max_examples=40)
@given(ROWS, THRESHOLDS, SEEDS)
def test_the_value_is_that_of_the_rows_themselves(drawn, thresholds, seed):
    labels, user_id, p_yes = columns(drawn)
    found = bootstrap(labels, user_id, p_yes, thresholds, seed, SAMPLES)
    for name in p_yes:
        whole = measure(labels, p_yes[name], user_id, thresholds.get(name)).to_dict()
        for metric in METRICS:
            interval = found.interval(name, metric)
            if whole[metric] is None:
                assert interval is None
            elif interval is not None:
                assert interval.value == pytest.approx(whole[metric], abs=1e-12)
            else:
                assert np.isnan(found.samples[name][metric]).all()


@settings(max_examples=25)
@given(ROWS, THRESHOLDS, SEEDS)
def test_differences_are_taken_within_each_draw(drawn, thresholds, seed):
    labels, user_id, p_yes = columns(drawn)
    found = bootstrap(labels, user_id, p_yes, thresholds, seed, SAMPLES)
    for metric in METRICS:
        own = [found.samples[name][metric] for name in ("one", "two")]
        both = own[0] - own[1]
        both = both[~np.isnan(both)]
        interval = found.difference("one", "two", metric)
        back = found.difference("two", "one", metric)
        defined = not np.isnan([found.values[name][metric] for name in ("one", "two")]).any()
        assert (interval is None) == (not defined or not len(both))
        if interval is None:
            assert back is None
        else:
            low, high = np.percentile(both, [2.5, 97.5])
            value = found.values["one"][metric] - found.values["two"][metric]
            users = interval.users
            assert astuple(interval)[:4] == pytest.approx((value, low, high, len(both)), abs=1e-12)
            assert back is not None
            other_way = (-value, -high, -low, len(both), users)
            assert astuple(back) == pytest.approx(other_way, abs=1e-12)


@settings(max_examples=25)
@given(ROWS, SEEDS)
def test_the_auc_alone_has_the_same_interval(drawn, seed):
    labels, user_id, p_yes = columns(drawn)
    whole = bootstrap(labels, user_id, p_yes, {}, seed, SAMPLES)
    alone = bootstrap_auc(labels, user_id, p_yes, seed, SAMPLES)
    assert whole.interval("two", "auc") == alone.interval("two", "auc")
    assert whole.difference("one", "two", "auc") == alone.difference("one", "two", "auc")


def test_a_scorer_has_the_same_draws_whoever_stands_beside_it():
    labels, user_id, p_yes = judged(20, 6)
    beside = bootstrap(labels, user_id, p_yes, {}, 4, SAMPLES)
    alone = bootstrap(labels, user_id, {"two": p_yes["two"]}, {}, 4, SAMPLES)
    for metric in METRICS:
        expected = pytest.approx(beside.samples["two"][metric], nan_ok=True)
        assert alone.samples["two"][metric] == expected


def test_how_many_draws_are_made_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    rows = judged(20, 6)
    thresholds = {"one": 0.4}
    together = bootstrap(*rows, thresholds, 4, SAMPLES)
    monkeypatch.setattr(intervals, "_CHUNK", 5 * len(rows[0]))
    apart = bootstrap(*rows, thresholds, 4, SAMPLES)
    for name, metric in product(rows[2], METRICS):
        expected = pytest.approx(together.samples[name][metric], rel=1e-12, nan_ok=True)
        assert apart.samples[name][metric] == expected


def test_the_seed_decides_the_draws():
    rows = judged(20, 6)
    found = [bootstrap(*rows, {}, seed, SAMPLES).interval("one", "brier") for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize("metric", ["auc", "auc_per_user_mean", "log_loss", "ece", "f1_chosen"])
def test_intervals_are_those_of_every_way_to_draw_users(metric: str):
    """Three users can be drawn in 27 ways, all equally likely."""
    labels, user_id, p_yes = judged(3, 12)
    ways = []
    for chosen in product(range(3), repeat=3):
        rows, users = repeated(np.bincount(chosen, minlength=3), user_id)
        ways.append(getattr(measure(labels[rows], p_yes["one"][rows], users, 0.6), metric))
    low, high = np.percentile(ways, [2.5, 97.5], method="inverted_cdf")
    assert low < high
    found = bootstrap(labels, user_id, p_yes, {"one": 0.6}, 0, 4000).interval("one", metric)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), rel=0, abs=1e-12)


def test_users_are_drawn_and_not_their_rows():
    """Copies of a user's rows say nothing new; copies that other users made would."""
    labels, user_id, p_yes = judged(40, 5)
    few = bootstrap(labels, user_id, p_yes, {}, 0)
    copied = (labels.repeat(10), {name: found.repeat(10) for name, found in p_yes.items()})
    many = bootstrap(copied[0], user_id.repeat(10), copied[1], {}, 0)
    apart = bootstrap(copied[0], np.arange(len(copied[0])), copied[1], {}, 0)
    for metric in ("auc", "accuracy", "brier"):
        assert astuple(interval(many, metric)) == pytest.approx(astuple(interval(few, metric)))
        assert width(apart, metric) < 0.5 * width(few, metric)


def interval(found: Bootstrap, metric: str) -> Interval:
    one = found.interval("one", metric)
    assert one is not None
    return one


def width(found: Bootstrap, metric: str) -> float:
    return interval(found, metric).high - interval(found, metric).low


def test_about_95_of_100_intervals_hold_the_truth():
    """Users from a known population, each with a share of hits of their own."""
    random = np.random.default_rng(0)
    held = 0
    for _ in range(150):
        share = random.beta(4, 2, size=60).repeat(8)
        labels = random.random(len(share)) < 0.5
        right = random.random(len(share)) < share
        p_yes = {"one": np.where(right == labels, 0.9, 0.1)}
        found = interval(bootstrap(labels, np.arange(60).repeat(8), p_yes, {}, 0, 300), "accuracy")
        held += found.low <= 4 / 6 <= found.high
    assert 0.87 * 150 < held < 0.995 * 150
