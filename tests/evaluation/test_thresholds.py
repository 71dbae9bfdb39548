"""The chosen threshold is as accurate as any, and leaves 0.5 only for a gain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.errors import DataError
from reeltune.evaluation.metrics import choose_threshold
from tests.errors import raises_error

LEAST = float(np.nextafter(0, 1))
# Few values, so that ties are frequent; some are neighbours in float64.
SCORES = st.sampled_from(
    [0.0, LEAST, 0.1, float(np.nextafter(0.1, 1)), 0.25, 0.5, float(np.nextafter(0.5, 0)), 0.9, 1.0]
)
ROWS = st.lists(st.tuples(st.booleans(), SCORES | st.floats(0, 1)), min_size=1, max_size=20)


def columns(sampled: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    labels, p_yes = map(np.array, zip(*sampled, strict=True))
    return labels, p_yes


def accuracy(sampled: list[tuple[bool, float]], threshold: float) -> float:
    return float(np.mean([(p_yes >= threshold) == label for label, p_yes in sampled]))


@given(ROWS)
def test_no_threshold_is_more_accurate(sampled):
    chosen = choose_threshold(*columns(sampled))
    assert 0 <= chosen <= 1
    if len({label for label, _ in sampled}) == 2:
        values = [p_yes for _, p_yes in sampled]
        above = [float(np.nextafter(value, 1)) for value in values]
        others = [0.0, 0.5, 1.0, *values, *above]
        assert accuracy(sampled, chosen) == max(accuracy(sampled, other) for other in others)


@given(ROWS)
def test_a_half_stays_unless_another_is_more_accurate(sampled):
    chosen = choose_threshold(*columns(sampled))
    assert chosen == 0.5 or accuracy(sampled, chosen) > accuracy(sampled, 0.5)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(sampled, random):
    shuffled = random.sample(sampled, len(sampled))
    assert choose_threshold(*columns(shuffled)) == choose_threshold(*columns(sampled))


@given(ROWS, st.integers(2, 5))
def test_copies_of_the_rows_change_nothing(sampled, copies):
    assert choose_threshold(*columns(sampled * copies)) == choose_threshold(*columns(sampled))


@pytest.mark.parametrize(
    ("no", "yes", "expected"),
    [
        ([0.1, 0.2], [0.3, 0.4], 0.25),  # the middle of the gap
        ([0.6, 0.7], [0.8], 0.75),
        ([0.2], [0.9], 0.5),  # the gap holds 0.5
        ([0.2], [0.5], 0.5),
        ([0.5], [0.7], 0.6),  # from 0.5 on is too low: 0.5 itself would read Yes
        ([0.9], [0.1, 0.2], 0.05),  # always Yes
        ([0.7, 0.8], [0.6], 0.9),  # never Yes
        ([0.9], [0.0, 0.4], 0.0),  # always Yes, down to 0
        ([0.3, 1.0, 1.0], [0.2, 0.9], 0.5),  # never Yes would be best, but a 1 always is one
        ([0.2, 0.8], [0.1, 0.7, 0.9], 0.5),  # as accurate as 0.85
        ([0.2, 0.6, 0.8], [0.1, 0.7, 0.9], 0.65),  # as accurate as 0.85, and nearer to 0.5
    ],
)
def test_examples(no: list[float], yes: list[float], expected: float):
    labels = np.array([False] * len(no) + [True] * len(yes))
    assert choose_threshold(labels, np.array(no + yes)) == pytest.approx(expected)


def test_of_two_equally_near_a_half_the_lower_is_taken():
    """At 0.25 and at 0.75 three of four are right, at 0.5 two."""
    p_yes = np.array([0.125, 0.375, 0.625, 0.875])
    labels = np.array([False, True, False, True])
    assert choose_threshold(labels, p_yes) == 0.25


def test_neighbours_in_float64_are_separated():
    low, high = 0.1, float(np.nextafter(0.1, 1))
    assert choose_threshold(np.array([False, True]), np.array([low, high])) == high


def test_float32_is_compared_as_it_is():
    p_yes = np.array([0.1, 0.1], dtype=np.float32)
    p_yes[1] = np.nextafter(p_yes[0], np.float32(1))
    chosen = choose_threshold(np.array([False, True]), p_yes)
    assert float(p_yes[0]) < chosen <= float(p_yes[1])


@pytest.mark.parametrize("labels", [[], [True], [False], [True, True], [False, False]])
def test_one_label_keeps_a_half(labels: list[bool]):
    p_yes = np.linspace(0.1, 0.3, len(labels))
    assert choose_threshold(np.array(labels, dtype=bool), p_yes) == 0.5


def test_values_that_are_not_probabilities_are_refused():
    with raises_error(DataError, "not_a_probability", where="row 1", figures=["nan"]):
        choose_threshold(np.array([True, False]), np.array([0.5, np.nan]))
