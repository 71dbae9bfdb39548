"""The AUC over all rows is scikit-learn's, however often each user counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from reeltune.evaluation.ranked_rows import RankedRows

# Few values, so that ties are frequent; two of them are neighbours in float64.
SCORES = st.sampled_from([0.0, 0.1, float(np.nextafter(0.1, 1)), 0.25, 0.5, 1.0])
ROWS = st.lists(st.tuples(st.booleans(), SCORES, st.integers(0, 3)), min_size=1, max_size=24)
TIMES = st.lists(st.tuples(*[st.integers(0, 3)] * 4), min_size=1, max_size=4)


@given(ROWS, TIMES)
def test_it_is_the_auc_with_the_rows_of_users_weighted(drawn, times):
    labels, p_yes, user = map(np.array, zip(*drawn, strict=True))
    weights = np.array(times, dtype=np.float64)
    expected = [
        roc_auc_score(labels, p_yes, sample_weight=one[user])
        if one[user][labels].any() and one[user][~labels].any()
        else np.nan
        for one in weights
    ]
    assert RankedRows(labels, p_yes, user).auc(weights) == pytest.approx(expected, nan_ok=True)


def test_it_is_exact_where_whole_numbers_can_be():
    """Nine million pairs, each row of a user of its own, every tenth score tied."""
    rows = 6000
    labels = np.arange(rows) % 2 == 0
    p_yes = np.random.default_rng(0).integers(0, rows // 10, rows) / rows
    counts = np.random.default_rng(1).integers(0, 4, rows)
    found = RankedRows(labels, p_yes, np.arange(rows)).auc(counts[None].astype(np.float64))
    copied = roc_auc_score(labels.repeat(counts), p_yes.repeat(counts))
    assert found == pytest.approx([copied], rel=1e-12)


def test_users_of_one_label_have_no_auc():
    labels, p_yes = np.array([True, True, False]), np.array([0.9, 0.2, 0.4])
    times = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    assert RankedRows(labels, p_yes, np.arange(3)).auc(times) == pytest.approx(
        [np.nan, np.nan, np.nan, 1.0], nan_ok=True
    )
