"""Exported trees predict as scikit-learn does, and refuse what they cannot have come from."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from reeltune.baselines import trees
from reeltune.baselines.trees import NODE, BoostedTrees
from reeltune.errors import ModelError
from tests.errors import raises_error

RANDOM = np.random.default_rng(3)
TABLE = np.where(RANDOM.random((300, 4)) < 0.1, np.nan, RANDOM.normal(size=(300, 4)).round(1))
LIKED = np.nansum(TABLE, axis=1) + RANDOM.normal(size=300) > 0


@pytest.fixture(scope="module")
def model() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=8, max_leaf_nodes=7, random_state=0).fit(
        TABLE, LIKED
    )


@pytest.fixture(scope="module")
def fitted(model: HistGradientBoostingClassifier) -> BoostedTrees:
    return BoostedTrees.of(model, 8)


@pytest.mark.parametrize("rounds", [1, 5, 8])
def test_log_odds_are_those_of_scikit_learn(model: HistGradientBoostingClassifier, rounds: int):
    table = np.concatenate([TABLE, RANDOM.normal(size=(50, 4))])
    expected = list(model.staged_decision_function(table))[rounds - 1]
    found = BoostedTrees.of(model, rounds)
    assert found.log_odds(table) == pytest.approx(expected, abs=1e-9)
    likes = list(model.staged_predict_proba(table))[rounds - 1][:, 1]
    assert found.p_yes(table) == pytest.approx(likes, abs=1e-9)


def test_a_row_has_the_same_log_odds_in_every_batch(
    fitted: BoostedTrees, monkeypatch: pytest.MonkeyPatch
):
    whole = fitted.log_odds(TABLE)
    monkeypatch.setattr(trees, "_VISITS", 100)
    assert np.array_equal(fitted.log_odds(TABLE), whole)
    assert fitted.log_odds(TABLE[7:8]) == whole[7]
    assert fitted.log_odds(TABLE[:0]).shape == (0,)


def test_a_file_without_pickle_keeps_them(fitted: BoostedTrees):
    file = io.BytesIO()
    np.savez(file, **dict[str, Any](fitted.to_arrays()))
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        again = BoostedTrees.from_arrays(arrays)
    assert np.array_equal(again.log_odds(TABLE), fitted.log_odds(TABLE))


def test_a_tree_by_hand():
    nodes = [
        *((1, 2.0, True, 1, 2, 9.0), (0, 0, False, 1, 1, 1.0), (0, 0, False, 2, 2, -1.0)),
        (0, 0, False, 3, 3, 0.25),
    ]
    by_hand = BoostedTrees(np.array(nodes, NODE), np.array([0, 3]), 0.5, 2)
    table = np.array([[7, 2.0], [7, 2.1], [7, np.nan]])
    assert by_hand.log_odds(table).tolist() == [1.75, -0.25, 1.75]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nodes", None),
        ("nodes", np.zeros(3)),
        ("root", np.array([10**6])),
        ("root", np.array([0.0])),
        ("baseline", np.array(np.nan)),
        ("baseline", np.array("none")),
        ("features", np.zeros(2)),
        ("features", np.array(1)),
        ("left", 0),
        ("right", 10**6),
        ("feature", -1),
        ("value", np.inf),
    ],
)
def test_other_arrays_are_refused(fitted: BoostedTrees, name: str, value: Any):
    arrays = fitted.to_arrays()
    if name in (NODE.names or ()):
        arrays["nodes"] = arrays["nodes"].copy()
        arrays["nodes"][name] = value
    else:
        arrays[name] = value
    if value is None:
        del arrays[name]
    with raises_error(ModelError, "boosting_damaged", where="run/boosting.npz"):
        BoostedTrees.from_arrays(arrays, "run/boosting.npz")


def test_other_columns_and_another_scikit_learn_are_named(fitted: BoostedTrees):
    with raises_error(ModelError, "boosting_does_not_fit", figures=[4, 5]):
        fitted.log_odds(np.zeros((2, 5)))
    for model in (SimpleNamespace(), SimpleNamespace(_predictors=[(SimpleNamespace(nodes=[1]),)])):
        with raises_error(ModelError, "unknown_tree_format"):
            BoostedTrees.of(model, 1)
