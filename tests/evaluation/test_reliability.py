"""How far P(Yes) can be taken at its word, in bins that together hold every row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.errors import DataError
from reeltune.evaluation.calibration_error import EDGES
from reeltune.evaluation.reliability import reliability
from tests.errors import raises_error

EDGE = [*EDGES.tolist(), *np.nextafter(EDGES[1:], 0).tolist()]
ROWS = st.lists(
    st.tuples(st.booleans(), st.floats(0, 1) | st.sampled_from(EDGE)), min_size=1, max_size=60
)


def columns(rows: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    liked, p_yes = map(np.array, zip(*rows, strict=True))
    return liked, p_yes


@given(ROWS)
def test_every_row_lies_in_the_bin_its_p_yes_belongs_to(rows):
    liked, p_yes = columns(rows)
    bins = reliability("x", liked, p_yes).bins
    assert [found.low for found in bins] == EDGES[:-1].tolist()
    assert [found.high for found in bins] == EDGES[1:].tolist()
    for found in bins:
        own = (p_yes >= found.low) & ((p_yes < found.high) | (found.high == 1))
        assert found.rows == own.sum()
        if own.any():
            assert found.mean_p_yes == pytest.approx(p_yes[own].mean())
            assert found.positive_rate == pytest.approx(liked[own].mean())
        else:
            assert (found.mean_p_yes, found.positive_rate) == (None, None)


@given(ROWS)
def test_the_error_is_what_the_bins_say(rows):
    found = reliability("x", *columns(rows))
    gaps = [
        one.rows * abs(one.mean_p_yes - one.positive_rate)
        for one in found.bins
        if one.mean_p_yes is not None and one.positive_rate is not None
    ]
    assert found.ece == pytest.approx(sum(gaps) / len(rows))


def test_worked_out_by_hand():
    """0.7 is said of four, of whom one is liked; 0.02 of one, who is not."""
    liked = np.array([True, False, False, False, False])
    p_yes = np.array([0.7, 0.7, 0.7, 0.7, 0.02])
    found = reliability("as the model gives it", liked, p_yes)
    assert found.name == "as the model gives it"
    assert [one.rows for one in found.bins] == [1] + [0] * 9 + [4] + [0] * 4
    assert found.ece == pytest.approx((4 * 0.45 + 1 * 0.02) / 5)
    assert found.log_loss == pytest.approx(-(np.log(0.7) + 3 * np.log(0.3) + np.log(0.98)) / 5)
    assert found.brier == pytest.approx((0.3**2 + 3 * 0.7**2 + 0.02**2) / 5)


def test_what_is_right_on_average_has_no_error():
    liked = np.array([True, False, False, False, True, True])
    assert reliability("x", liked, np.repeat([0.25, 1.0], [4, 2])).ece == pytest.approx(0)


def test_by_chance_one_row_is_off_by_its_own_doubt():
    """One row of P(Yes) = p is off by 1 - p with chance p, else by p: 2p(1 - p) on average."""
    for p in (0.1, 0.5, 0.8):
        found = reliability("x", np.array([True]), np.array([p]))
        assert found.ece_by_chance == pytest.approx(2 * p * (1 - p), abs=0.05)
        assert found.ece_by_chance_high == pytest.approx(max(p, 1 - p))


def test_verdicts_that_are_certain_have_nothing_by_chance():
    found = reliability("x", np.array([True, False]), np.array([0.0, 1.0]))
    assert (found.ece, found.ece_by_chance, found.ece_by_chance_high) == (1, 0, 0)


def test_verdicts_that_are_exact_lie_within_chance_and_others_do_not():
    random = np.random.default_rng(1)
    p_yes = random.uniform(0.05, 0.95, 5000)
    liked = random.random(5000) < p_yes
    exact, low = reliability("x", liked, p_yes), reliability("x", liked, p_yes * 0.8)
    assert exact.ece < exact.ece_by_chance_high
    assert low.ece > 2 * low.ece_by_chance_high


def test_more_rows_leave_less_to_chance():
    few, many = (
        reliability("x", np.ones(n, dtype=bool), np.linspace(0.1, 0.9, n)) for n in (300, 30_000)
    )
    assert many.ece_by_chance == pytest.approx(few.ece_by_chance / 10, rel=0.1)


def test_without_rows_nothing_is_said():
    with raises_error(DataError, "no_rows_to_measure", where="x"):
        reliability("x", np.zeros(0, dtype=bool), np.zeros(0))


def test_what_is_no_probability_is_refused():
    with raises_error(DataError, "not_a_probability", figures=[1.5]):
        reliability("x", np.array([True]), np.array([1.5]))
