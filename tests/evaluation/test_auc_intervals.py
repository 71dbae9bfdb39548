"""The AUC of several scorers under the same draws of users."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from reeltune.evaluation import intervals
from reeltune.evaluation.auc_intervals import auc_interval, drawn_aucs
from reeltune.evaluation.intervals import Interval

SCORES = st.sampled_from([-2.0, 0.1, 0.25, 0.5, 7.0])
JUDGED = st.lists(
    st.tuples(st.booleans(), SCORES, SCORES, st.integers(0, 4)), min_size=1, max_size=24
)


def auc_intervals(*data, seed: int, draws: int = 1000) -> dict[str, Interval | None]:
    aucs = drawn_aucs(*data, seed=seed, draws=draws)
    assert all(found.shape == (1 + draws,) for found in aucs.values())
    return {name: auc_interval(found, len(np.unique(data[2]))) for name, found in aucs.items()}


def rows(users: int, each: int) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    random = np.random.default_rng(0)
    liked = random.random(users * each) < 0.5
    scores = {
        name: np.round(share * liked + random.normal(0, 1, len(liked)), 1)
        for name, share in (("good", 1.5), ("poor", 0.3))
    }
    return liked, scores, np.repeat(np.arange(users) * 3 + 1, each)


@settings(max_examples=40)
@given(JUDGED)
def test_the_value_is_the_auc_of_the_rows_themselves(drawn):
    liked, one, other, user_id = map(np.array, zip(*drawn, strict=True))
    found = auc_intervals(liked, {"one": one, "other": other}, user_id, seed=1, draws=20)
    if liked.all() or not liked.any():
        assert found == {"one": None, "other": None}
        return
    for name, scores in (("one", one), ("other", other)):
        interval = found[name]
        if interval is not None:  # hardly any draw of few users may hold both labels
            assert interval.value == pytest.approx(roc_auc_score(liked, scores), abs=1e-12)


def test_the_draws_are_those_of_every_way_to_draw_users():
    liked, scores, user_id = rows(3, 8)
    own = [np.flatnonzero(user_id == user) for user in np.unique(user_id)]
    ways = [np.concatenate([own[user] for user in way]) for way in product(range(3), repeat=3)]
    aucs = drawn_aucs(liked, scores, user_id, seed=0, draws=600)
    for name, values in scores.items():
        possible = [roc_auc_score(liked[way], values[way]) for way in ways]
        distance = np.abs(aucs[name][1:, None] - np.array(possible)[None])
        assert distance.min(axis=1).max() < 1e-12  # no other AUC occurs
        assert distance.min(axis=0).max() < 1e-12  # each of them occurs


def test_all_scorers_are_drawn_with_the_same_users():
    liked, scores, user_id = rows(20, 5)
    aucs = drawn_aucs(liked, {**scores, "again": scores["good"] * 2 + 1}, user_id, seed=0)
    assert aucs["again"].tolist() == aucs["good"].tolist()
    difference = auc_interval(aucs["good"] - aucs["again"], 20)
    assert difference is not None
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert np.corrcoef(aucs["good"], aucs["poor"])[0, 1] > 0.05


def test_what_is_held_at_once_changes_nothing(monkeypatch):
    data = rows(6, 5)
    whole = auc_intervals(*data, seed=3, draws=50)
    monkeypatch.setattr(intervals, "_AT_ONCE", 7 * 30)
    assert auc_intervals(*data, seed=3, draws=50) == whole


def test_a_seed_decides_the_draws():
    found = [auc_intervals(*rows(20, 5), seed=seed, draws=50)["good"] for seed in (5, 5, 6)]
    assert found[0] == found[1]
    assert found[2] != found[0]
    assert found[0] is not None
    assert found[0].low < found[0].value < found[0].high
    assert found[0].draws == 50


def test_no_rows_have_no_auc():
    nothing = np.zeros(0)
    found = auc_intervals(nothing.astype(bool), {"a": nothing}, nothing.astype(np.int64), seed=0)
    assert found == {"a": None}
