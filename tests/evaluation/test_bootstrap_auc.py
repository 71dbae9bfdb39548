"""Intervals come from resampling users, the same samples for both scorers."""

from __future__ import annotations

from dataclasses import astuple
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from reeltune.evaluation import intervals
from reeltune.evaluation.intervals import Interval, bootstrap_auc, interval_of, user_weights

# Few values, so that ties are frequent; two of them are neighbours in float64.
SCORES = st.sampled_from([0.0, 0.1, float(np.nextafter(0.1, 1)), 0.25, 0.5, 1.0])
ROWS = st.lists(
    st.tuples(st.booleans(), SCORES, SCORES, st.integers(0, 4)), min_size=2, max_size=24
).filter(lambda sampled: len({label for label, *_ in sampled}) == 2)

Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Labels, P(Yes) of two scorers, users."""


def auc_difference(
    labels: np.ndarray,
    p_yes: np.ndarray,
    other: np.ndarray,
    users: np.ndarray,
    seed: int,
    samples: int = 1000,
) -> Interval | None:
    scores = {"one": p_yes, "other": other}
    return bootstrap_auc(labels, users, scores, seed, samples).difference("one", "other", "auc")


def columns(sampled: list[tuple[bool, float, float, int]]) -> Rows:
    labels, p_yes, other, users = map(np.array, zip(*sampled, strict=True))
    return labels, p_yes, other, users.astype(np.int64)


def random_rows(users: int, rows: int, seed: int = 0) -> Rows:
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


@settings(max_examples=25)
@given(ROWS, st.integers(0, 99))
def test_a_scorer_is_not_better_than_itself(sampled, seed):
    labels, p_yes, _, users = columns(sampled)
    assert close(auc_difference(labels, p_yes, p_yes, users, seed, samples=50), 0.0, 0.0, 0.0)


@settings(max_examples=25)
@given(ROWS, st.integers(0, 99))
def test_swapping_the_scorers_changes_the_sign(sampled, seed):
    labels, p_yes, other, users = columns(sampled)
    result = auc_difference(labels, p_yes, other, users, seed, samples=50)
    assert result is not None
    changed = auc_difference(labels, other, p_yes, users, seed, samples=50)
    assert close(changed, -result.value, -result.high, -result.low)


@settings(max_examples=25)
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(sampled, random):
    result = auc_difference(*columns(sampled), seed=3, samples=50)
    assert result is not None
    shuffled = random.sample(sampled, len(sampled))
    other = auc_difference(*columns(shuffled), seed=3, samples=50)
    assert close(other, result.value, result.low, result.high)


@pytest.mark.slow
@given(ROWS)
def test_the_value_is_the_difference_on_the_rows(sampled):
    labels, p_yes, other, users = columns(sampled)
    result = auc_difference(labels, p_yes, other, users, seed=0, samples=50)
    assert result is not None
    assert result.value == pytest.approx(plain_difference(labels, p_yes, other), abs=1e-12)


def test_the_seed_determines_the_samples():
    data = random_rows(30, 4)
    result = [auc_difference(*data, seed=seed, samples=150) for seed in (5, 5, 6)]
    assert result[0] == result[1]
    assert result[0] is not None
    assert result[2] is not None
    assert result[2].value == result[0].value
    assert (result[2].low, result[2].high) != (result[0].low, result[0].high)
    assert result[0].bootstrap_samples == 150


def test_the_interval_equals_that_of_all_possible_samples():
    """Three users have 27 equally likely samples; both scorers get the same users."""
    labels, one, other, users = random_rows(3, 12)
    own = [np.flatnonzero(users == user) for user in range(3)]
    assert all(0 < labels[rows].mean() < 1 for rows in own)
    sampled = [
        np.concatenate([own[user] for user in chosen]) for chosen in product(range(3), repeat=3)
    ]
    ways = sorted(plain_difference(labels[rows], one[rows], other[rows]) for rows in sampled)
    low, high = np.percentile(ways, [2.5, 97.5], method="inverted_cdf")
    assert ways[1] - low > 1e-3  # other percentiles have other values
    assert high - ways[-2] > 1e-3
    result = auc_difference(labels, one, other, users, seed=0, samples=4000)
    assert close(result, plain_difference(labels, one, other), low, high)


def test_users_are_resampled_not_rows():
    """Copies of a user's rows add no information; rows of further users would."""
    labels, one, other, users = random_rows(40, 1)
    few = auc_difference(labels, one, other, users, seed=0)
    assert few is not None
    labels, one, other = (values.repeat(10) for values in (labels, one, other))
    many = auc_difference(labels, one, other, users.repeat(10), seed=0)
    assert close(many, few.value, few.low, few.high)
    apart = auc_difference(labels, one, other, np.arange(len(labels)), seed=0)
    assert apart is not None
    assert apart.high - apart.low < 0.5 * (few.high - few.low)


def test_samples_without_an_auc_are_left_out():
    """One user has a Yes, the other a No: half of the samples contain only one of them."""
    labels = np.array([True, False])
    result = auc_difference(
        labels, np.array([0.8, 0.3]), np.array([0.2, 0.6]), np.arange(2), seed=0
    )
    assert close(result, 1.0, 1.0, 1.0)
    assert result is not None
    assert 400 < result.bootstrap_samples < 600


@pytest.mark.parametrize("labels", [[True, True], [False, False], []])
def test_one_label_has_no_difference(labels: list[bool]):
    p_yes = np.linspace(0.2, 0.8, len(labels))
    rows = np.array(labels, dtype=bool)
    assert auc_difference(rows, p_yes, 1 - p_yes, np.arange(len(labels)), seed=0) is None


def test_without_a_sample_of_both_labels_there_is_no_difference():
    """In one sample of two users, half of the seeds sample one of them twice."""
    labels = np.array([True, False])
    result = [
        auc_difference(labels, np.array([0.8, 0.3]), np.array([0.2, 0.6]), np.arange(2), seed, 1)
        for seed in range(20)
    ]
    assert None in result
    assert Interval(1.0, 1.0, 1.0, 1, 2) in result


@pytest.mark.parametrize(
    ("value", "sampled", "expected"),
    [
        (0.5, np.linspace(0.0, 1.0, 201), Interval(0.5, 0.025, 0.975, 201, 60)),
        (0.5, np.array([np.nan, 0.25, np.nan]), Interval(0.5, 0.25, 0.25, 1, 60)),
        (0.5, np.array([np.nan]), None),
        (0.5, np.array([]), None),
        (np.nan, np.array([0.25]), None),
    ],
)
def test_an_interval_uses_the_samples_in_which_the_value_is_defined(
    value: float, sampled: np.ndarray, expected: Interval | None
):
    result = interval_of(value, sampled, 60)
    if expected is None:
        assert result is None
    else:
        assert result is not None
        assert close(result, *astuple(expected)[:3])
        assert result.bootstrap_samples == expected.bootstrap_samples


def all_weights(users: int, rows: int, samples: int) -> np.ndarray:
    result = np.full((samples, users), -1.0)
    for some, weights in user_weights(users, rows, seed=1, samples=samples):
        result[some] = weights
    return result


@pytest.mark.parametrize("users", [1, 7])
def test_every_sample_has_as_many_users_as_the_data(users: int):
    weights = all_weights(users, 10, samples=30)
    assert (weights >= 0).all()
    assert (weights.sum(axis=1) == users).all()


def test_without_users_there_are_no_samples():
    assert list(user_weights(0, 0, seed=1, samples=30)) == []


def test_samples_do_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch):
    together = all_weights(7, 10, samples=30)
    for size in (1, 40, 170):
        monkeypatch.setattr(intervals, "_CHUNK", size)
        assert (all_weights(7, 10, samples=30) == together).all()


def test_chunks_are_bounded():
    sizes = [weights.size for _, weights in user_weights(2000, 20_000, seed=1, samples=200)]
    assert sum(sizes) == 200 * 2000
    assert max(sizes) * 10 <= intervals._CHUNK


def test_all_users_are_equally_likely():
    weights = all_weights(20, 20, samples=4000)
    # The count of one user in one sample has variance 0.95.
    assert weights.mean(axis=0) == pytest.approx(np.ones(20), abs=5 * (0.95 / 4000) ** 0.5)
    assert weights.var(axis=0) == pytest.approx(np.full(20, 0.95), abs=0.15)


def scored_rows(users: int, each: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Labels, users, and scores that are no probabilities, one scorer better than the other."""
    random = np.random.default_rng(0)
    liked = random.random(users * each) < 0.5
    scores = {
        name: np.round(share * liked + random.normal(0, 1, len(liked)), 1)
        for name, share in (("good", 1.5), ("poor", 0.3))
    }
    return liked, np.repeat(np.arange(users) * 3 + 1, each), scores


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from([-2.0, 0.1, 0.25, 0.5, 7.0]),
            st.sampled_from([-2.0, 0.1, 0.25, 0.5, 7.0]),
            st.integers(0, 4),
        ),
        min_size=1,
        max_size=24,
    )
)
def test_the_value_is_the_auc_of_the_rows(sampled):
    liked, one, other, user_id = map(np.array, zip(*sampled, strict=True))
    scores = {"one": one, "other": other}
    result = bootstrap_auc(liked, user_id, scores, seed=1, samples=20)
    if liked.all() or not liked.any():
        assert [result.interval(name, "auc") for name in scores] == [None, None]
        return
    for name, values in scores.items():
        assert result.values[name]["auc"] == pytest.approx(roc_auc_score(liked, values), abs=1e-12)


def test_the_samples_are_all_possible_samples():
    liked, user_id, scores = scored_rows(3, 8)
    of_user = [np.flatnonzero(user_id == user) for user in np.unique(user_id)]
    ways = [np.concatenate([of_user[user] for user in way]) for way in product(range(3), repeat=3)]
    result = bootstrap_auc(liked, user_id, scores, seed=0, samples=600)
    for name, values in scores.items():
        possible = [roc_auc_score(liked[way], values[way]) for way in ways]
        distance = np.abs(result.samples[name]["auc"][:, None] - np.array(possible)[None])
        assert distance.min(axis=1).max() < 1e-12  # no other AUC occurs
        assert distance.min(axis=0).max() < 1e-12  # each of them occurs


def test_all_scorers_are_measured_on_the_same_users():
    liked, user_id, scores = scored_rows(20, 5)
    scores["again"] = scores["good"] * 2 + 1
    result = bootstrap_auc(liked, user_id, scores, seed=0)
    aucs = {name: result.samples[name]["auc"] for name in scores}
    assert aucs["again"].tolist() == aucs["good"].tolist()
    difference = result.difference("good", "again", "auc")
    assert difference is not None
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert np.corrcoef(aucs["good"], aucs["poor"])[0, 1] > 0.05


def test_no_rows_have_no_auc():
    nothing = np.zeros(0)
    result = bootstrap_auc(
        nothing.astype(bool), nothing.astype(np.int64), {"a": nothing}, seed=0, samples=20
    )
    assert result.interval("a", "auc") is None
