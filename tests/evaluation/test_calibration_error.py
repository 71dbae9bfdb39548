"""The expected calibration error, and what users add to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.evaluation.calibration_error import (
    BINS,
    EDGES,
    bin_of,
    calibration_error,
    gaps_per_user,
)

PROBABILITIES = st.floats(0, 1)
ROWS = st.lists(st.tuples(st.booleans(), PROBABILITIES, st.integers(0, 2)), max_size=30)


@given(PROBABILITIES)
def test_every_probability_lies_in_its_bin(p_yes: float):
    place = int(bin_of(np.array([p_yes]))[0])
    assert EDGES[place] <= p_yes
    assert p_yes < EDGES[place + 1] or (p_yes == 1 and place == BINS - 1)


@pytest.mark.parametrize(
    ("p_yes", "place"), [(0.0, 0), (0.2, 3), (np.nextafter(0.2, 0), 2), (0.5, 7), (1.0, 14)]
)
def test_an_edge_belongs_to_the_bin_above(p_yes: float, place: int):
    assert bin_of(np.array([p_yes])) == [place]


@given(ROWS)
def test_what_users_add_is_what_their_rows_add(drawn):
    """User 2 is always there, so that there are three."""
    drawn = [*drawn, (True, 0.5, 2)]
    labels, p_yes, user = map(np.array, zip(*drawn, strict=True))
    expected = np.zeros((3, BINS))
    for label, p, number in drawn:
        expected[number, min(int(np.searchsorted(EDGES, p, side="right")) - 1, 14)] += p - label
    assert gaps_per_user(labels, p_yes, user) == pytest.approx(expected, abs=1e-12)


def test_gaps_of_different_bins_do_not_cancel_and_those_of_one_do():
    labels, p_yes = np.array([True, False, True, False]), np.array([0.9, 0.1, 0.51, 0.53])
    gaps = gaps_per_user(labels, p_yes, np.array([0, 0, 1, 1]))
    both = gaps.sum(axis=0, keepdims=True)
    # 0.9 and 0.1 are each 0.1 off; in the bin of 0.51 and 0.53, 0.52 is promised and half is Yes.
    assert calibration_error(both, np.array([4.0])) == pytest.approx([(0.1 + 0.1 + 0.04) / 4])


def test_without_rows_there_is_no_error():
    nothing = gaps_per_user(np.zeros(0, dtype=bool), np.zeros(0), np.zeros(0, dtype=np.int64))
    assert nothing.shape == (0, BINS)
    assert np.isnan(calibration_error(nothing.sum(axis=0, keepdims=True), np.zeros(1))).all()
