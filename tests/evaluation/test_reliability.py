"""Every row is in a calibration bin, and the calibration error follows from the bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.errors import DataError
from reeltune.evaluation.metrics import (
    ECE_BINS,
    ECE_EDGES,
    bin_of,
    calibration_error,
    calibration_gaps,
)
from reeltune.evaluation.reliability import reliability
from tests.errors import raises_error

EDGE = [*ECE_EDGES.tolist(), *np.nextafter(ECE_EDGES[1:], 0).tolist()]
ROWS = st.lists(
    st.tuples(st.booleans(), st.floats(0, 1) | st.sampled_from(EDGE)), min_size=1, max_size=60
)


def columns(rows: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    liked, p_yes = map(np.array, zip(*rows, strict=True))
    return liked, p_yes


@given(ROWS)
def test_every_row_is_in_the_bin_of_its_p_yes(rows):
    liked, p_yes = columns(rows)
    bins = reliability("x", liked, p_yes).bins
    assert [result.low for result in bins] == ECE_EDGES[:-1].tolist()
    assert [result.high for result in bins] == ECE_EDGES[1:].tolist()
    for result in bins:
        own = (p_yes >= result.low) & ((p_yes < result.high) | (result.high == 1))
        assert result.rows == own.sum()
        if own.any():
            assert result.mean_p_yes == pytest.approx(p_yes[own].mean())
            assert result.positive_rate == pytest.approx(liked[own].mean())
        else:
            assert (result.mean_p_yes, result.positive_rate) == (None, None)


@given(ROWS)
def test_the_error_is_computed_from_the_bins(rows):
    result = reliability("x", *columns(rows))
    gaps = [
        one.rows * abs(one.mean_p_yes - one.positive_rate)
        for one in result.bins
        if one.mean_p_yes is not None and one.positive_rate is not None
    ]
    assert result.ece == pytest.approx(sum(gaps) / len(rows))


def test_worked_out_by_hand():
    """Four rows of 0.7, one of them liked, and one of 0.02 that is not."""
    liked = np.array([True, False, False, False, False])
    p_yes = np.array([0.7, 0.7, 0.7, 0.7, 0.02])
    result = reliability("uncalibrated", liked, p_yes)
    assert result.name == "uncalibrated"
    assert [one.rows for one in result.bins] == [1] + [0] * 9 + [4] + [0] * 4
    assert result.ece == pytest.approx((4 * 0.45 + 1 * 0.02) / 5)
    assert result.log_loss == pytest.approx(-(np.log(0.7) + 3 * np.log(0.3) + np.log(0.98)) / 5)
    assert result.brier == pytest.approx((0.3**2 + 3 * 0.7**2 + 0.02**2) / 5)


def test_predictions_right_on_average_have_no_error():
    liked = np.array([True, False, False, False, True, True])
    assert reliability("x", liked, np.repeat([0.25, 1.0], [4, 2])).ece == pytest.approx(0)


def test_error_by_chance_of_one_row():
    """One row of P(Yes) = p has error 1 - p with probability p, else p: 2p(1 - p) on average."""
    for p in (0.1, 0.5, 0.8):
        result = reliability("x", np.array([True]), np.array([p]))
        assert result.ece_by_chance == pytest.approx(2 * p * (1 - p), abs=0.05)
        assert result.ece_by_chance_high == pytest.approx(max(p, 1 - p))


def test_certain_predictions_have_no_error_by_chance():
    result = reliability("x", np.array([True, False]), np.array([0.0, 1.0]))
    assert (result.ece, result.ece_by_chance, result.ece_by_chance_high) == (1, 0, 0)


def test_only_calibrated_predictions_are_within_chance():
    random = np.random.default_rng(1)
    p_yes = random.uniform(0.05, 0.95, 5000)
    liked = random.random(5000) < p_yes
    exact, low = reliability("x", liked, p_yes), reliability("x", liked, p_yes * 0.8)
    assert exact.ece < exact.ece_by_chance_high
    assert low.ece > 2 * low.ece_by_chance_high


def test_the_error_by_chance_falls_with_rows():
    few, many = (
        reliability("x", np.ones(n, dtype=bool), np.linspace(0.1, 0.9, n)) for n in (300, 30_000)
    )
    assert many.ece_by_chance == pytest.approx(few.ece_by_chance / 10, rel=0.1)


def test_no_rows_are_refused():
    with raises_error(DataError, "no_rows_to_measure", where="x"):
        reliability("x", np.zeros(0, dtype=bool), np.zeros(0))


def test_values_that_are_not_probabilities_are_refused():
    with raises_error(DataError, "not_a_probability", figures=[1.5]):
        reliability("x", np.array([True]), np.array([1.5]))


PROBABILITIES = st.floats(0, 1)
USER_ROWS = st.lists(st.tuples(st.booleans(), PROBABILITIES, st.integers(0, 2)), max_size=30)


@given(PROBABILITIES)
def test_every_probability_is_in_its_bin(p_yes: float):
    index = int(bin_of(np.array([p_yes]))[0])
    assert ECE_EDGES[index] <= p_yes
    assert p_yes < ECE_EDGES[index + 1] or (p_yes == 1 and index == ECE_BINS - 1)


@pytest.mark.parametrize(
    ("p_yes", "index"), [(0.0, 0), (0.2, 3), (np.nextafter(0.2, 0), 2), (0.5, 7), (1.0, 14)]
)
def test_an_edge_belongs_to_the_bin_above(p_yes: float, index: int):
    assert bin_of(np.array([p_yes])) == [index]


@given(USER_ROWS)
def test_gaps_of_users_are_sums_over_their_rows(sampled):
    """User 2 is always present, so that there are three."""
    sampled = [*sampled, (True, 0.5, 2)]
    labels, p_yes, user = map(np.array, zip(*sampled, strict=True))
    expected = np.zeros((3, ECE_BINS))
    for label, p, number in sampled:
        expected[number, min(int(np.searchsorted(ECE_EDGES, p, side="right")) - 1, 14)] += p - label
    assert calibration_gaps(labels, p_yes, user) == pytest.approx(expected, abs=1e-12)


def test_gaps_cancel_within_a_bin_only():
    labels, p_yes = np.array([True, False, True, False]), np.array([0.9, 0.1, 0.51, 0.53])
    gaps = calibration_gaps(labels, p_yes, np.array([0, 0, 1, 1]))
    both = gaps.sum(axis=0, keepdims=True)
    # 0.9 and 0.1 are each 0.1 off; in the bin of 0.51 and 0.53, 0.52 is promised and half is Yes.
    assert calibration_error(both, np.array([4.0])) == pytest.approx([(0.1 + 0.1 + 0.04) / 4])


def test_without_rows_there_is_no_error():
    nothing = calibration_gaps(np.zeros(0, dtype=bool), np.zeros(0), np.zeros(0, dtype=np.int64))
    assert nothing.shape == (0, ECE_BINS)
    assert np.isnan(calibration_error(nothing.sum(axis=0, keepdims=True), np.zeros(1))).all()
