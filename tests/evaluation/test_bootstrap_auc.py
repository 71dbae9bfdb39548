"""Intervals come from drawing users, the same ones for both scorers."""

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
JUDGED = st.lists(
    st.tuples(st.booleans(), SCORES, SCORES, st.integers(0, 4)), min_size=2, max_size=24
).filter(lambda drawn: len({label for label, *_ in drawn}) == 2)

Judged = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
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


@settings(max_examples=25)
@given(JUDGED, st.integers(0, 99))
def test_a_scorer_is_not_better_than_itself(drawn, seed):
    labels, p_yes, _, users = columns(drawn)
    assert close(auc_difference(labels, p_yes, p_yes, users, seed, samples=50), 0.0, 0.0, 0.0)


@settings(max_examples=25)
@given(JUDGED, st.integers(0, 99))
def test_changing_the_scorers_over_changes_the_sign(drawn, seed):
    labels, p_yes, other, users = columns(drawn)
    found = auc_difference(labels, p_yes, other, users, seed, samples=50)
    assert found is not None
    changed = auc_difference(labels, other, p_yes, users, seed, samples=50)
    assert close(changed, -found.value, -found.high, -found.low)


@settings(max_examples=25)
@given(JUDGED, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(drawn, random):
    found = auc_difference(*columns(drawn), seed=3, samples=50)
    assert found is not None
    shuffled = random.sample(drawn, len(drawn))
    other = auc_difference(*columns(shuffled), seed=3, samples=50)
    assert close(other, found.value, found.low, found.high)


@given(JUDGED)
def test_the_value_is_the_difference_on_the_rows_themselves(drawn):
    labels, p_yes, other, users = columns(drawn)
    found = auc_difference(labels, p_yes, other, users, seed=0, samples=50)
    assert found is not None
    assert found.value == pytest.approx(plain_difference(labels, p_yes, other), abs=1e-12)


def test_a_seed_decides_the_draws():
    data = judged(30, 4)
    found = [auc_difference(*data, seed=seed, samples=150) for seed in (5, 5, 6)]
    assert found[0] == found[1]
    assert found[0] is not None
    assert found[2] is not None
    assert found[2].value == found[0].value
    assert (found[2].low, found[2].high) != (found[0].low, found[0].high)
    assert found[0].bootstrap_samples == 150


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
    found = auc_difference(labels, one, other, users, seed=0, samples=4000)
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
    assert 400 < found.bootstrap_samples < 600


@pytest.mark.parametrize("labels", [[True, True], [False, False], []])
def test_one_label_has_no_difference(labels: list[bool]):
    p_yes = np.linspace(0.2, 0.8, len(labels))
    rows = np.array(labels, dtype=bool)
    assert auc_difference(rows, p_yes, 1 - p_yes, np.arange(len(labels)), seed=0) is None


def test_no_draw_with_both_labels_has_no_difference():
    """With one draw of two users, half of the seeds draw one of them twice."""
    labels = np.array([True, False])
    found = [
        auc_difference(labels, np.array([0.8, 0.3]), np.array([0.2, 0.6]), np.arange(2), seed, 1)
        for seed in range(20)
    ]
    assert None in found
    assert Interval(1.0, 1.0, 1.0, 1, 2) in found


@pytest.mark.parametrize(
    ("value", "drawn", "expected"),
    [
        (0.5, np.linspace(0.0, 1.0, 201), Interval(0.5, 0.025, 0.975, 201, 60)),
        (0.5, np.array([np.nan, 0.25, np.nan]), Interval(0.5, 0.25, 0.25, 1, 60)),
        (0.5, np.array([np.nan]), None),
        (0.5, np.array([]), None),
        (np.nan, np.array([0.25]), None),
    ],
)
def test_an_interval_is_of_the_draws_in_which_the_figure_is_defined(
    value: float, drawn: np.ndarray, expected: Interval | None
):
    found = interval_of(value, drawn, 60)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert close(found, *astuple(expected)[:3])
        assert found.bootstrap_samples == expected.bootstrap_samples


def all_draws(users: int, rows: int, samples: int) -> np.ndarray:
    found = np.full((samples, users), -1.0)
    for some, times in user_weights(users, rows, seed=1, samples=samples):
        found[some] = times
    return found


@pytest.mark.parametrize("users", [1, 7])
def test_every_draw_has_as_many_users_as_there_are(users: int):
    times = all_draws(users, 10, samples=30)
    assert (times >= 0).all()
    assert (times.sum(axis=1) == users).all()


def test_no_users_are_never_drawn():
    assert list(user_weights(0, 0, seed=1, samples=30)) == []


def test_how_many_draws_are_made_at_a_time_changes_none_of_them(monkeypatch: pytest.MonkeyPatch):
    together = all_draws(7, 10, samples=30)
    for held in (1, 40, 170):
        monkeypatch.setattr(intervals, "_CHUNK", held)
        assert (all_draws(7, 10, samples=30) == together).all()


def test_what_is_held_at_once_does_not_grow_with_the_draws():
    sizes = [times.size for _, times in user_weights(2000, 20_000, seed=1, samples=200)]
    assert sum(sizes) == 200 * 2000
    assert max(sizes) * 10 <= intervals._CHUNK


def test_every_user_is_drawn_as_often_as_any_other():
    times = all_draws(20, 20, samples=4000)
    # The number of times one user is drawn in one draw has variance 0.95.
    assert times.mean(axis=0) == pytest.approx(np.ones(20), abs=5 * (0.95 / 4000) ** 0.5)
    assert times.var(axis=0) == pytest.approx(np.full(20, 0.95), abs=0.15)


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
def test_the_value_is_the_auc_of_the_rows_themselves(drawn):
    liked, one, other, user_id = map(np.array, zip(*drawn, strict=True))
    scores = {"one": one, "other": other}
    found = bootstrap_auc(liked, user_id, scores, seed=1, samples=20)
    if liked.all() or not liked.any():
        assert [found.interval(name, "auc") for name in scores] == [None, None]
        return
    for name, values in scores.items():
        assert found.values[name]["auc"] == pytest.approx(roc_auc_score(liked, values), abs=1e-12)


def test_the_samples_are_those_of_every_way_to_draw_users():
    liked, user_id, scores = scored_rows(3, 8)
    of_user = [np.flatnonzero(user_id == user) for user in np.unique(user_id)]
    ways = [np.concatenate([of_user[user] for user in way]) for way in product(range(3), repeat=3)]
    found = bootstrap_auc(liked, user_id, scores, seed=0, samples=600)
    for name, values in scores.items():
        possible = [roc_auc_score(liked[way], values[way]) for way in ways]
        distance = np.abs(found.samples[name]["auc"][:, None] - np.array(possible)[None])
        assert distance.min(axis=1).max() < 1e-12  # no other AUC occurs
        assert distance.min(axis=0).max() < 1e-12  # each of them occurs


def test_all_scorers_are_measured_on_the_same_users():
    liked, user_id, scores = scored_rows(20, 5)
    scores["again"] = scores["good"] * 2 + 1
    found = bootstrap_auc(liked, user_id, scores, seed=0)
    aucs = {name: found.samples[name]["auc"] for name in scores}
    assert aucs["again"].tolist() == aucs["good"].tolist()
    difference = found.difference("good", "again", "auc")
    assert difference is not None
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert np.corrcoef(aucs["good"], aucs["poor"])[0, 1] > 0.05


def test_no_rows_have_no_auc():
    nothing = np.zeros(0)
    found = bootstrap_auc(
        nothing.astype(bool), nothing.astype(np.int64), {"a": nothing}, seed=0, samples=20
    )
    assert found.interval("a", "auc") is None
