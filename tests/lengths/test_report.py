from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.errors import ConfigError
from reeltune.lengths.measure import describe_lengths, parse_percentiles
from tests.errors import raises_error

length_lists = st.lists(st.integers(0, 2000), min_size=1, max_size=120)


def test_hand_made_lengths():
    report = describe_lengths(np.array([3, 1, 2, 10]), (0, 25, 50, 75, 99, 100), "tokens", 9)
    assert (report.unit, report.count) == ("tokens", 4)
    assert (report.minimum, report.maximum, report.mean) == (1, 10, 4.0)
    assert report.percentiles == ((0, 1), (25, 1), (50, 2), (75, 3), (99, 10), (100, 10))
    assert (report.limit, report.exceeding) == (9, 1)


def test_exactly_at_the_limit_does_not_exceed_it():
    assert describe_lengths(np.array([9, 10, 11]), (), "tokens", 10).exceeding == 1


def test_without_a_limit_nothing_exceeds_it():
    report = describe_lengths(np.array([5, 5]), (), "characters")
    assert (report.limit, report.exceeding, report.percentiles) == (None, 0, ())


@given(length_lists, st.lists(st.integers(0, 100), max_size=5))
def test_a_percentile_is_the_smallest_length_that_share_does_not_exceed(
    lengths: list[int], asked: list[int]
):
    report = describe_lengths(np.array(lengths), asked, "tokens")
    assert [percentile for percentile, _ in report.percentiles] == asked
    for percentile, value in report.percentiles:
        enough = [
            length
            for length in lengths
            if Fraction(sum(other <= length for other in lengths), len(lengths))
            >= Fraction(int(percentile), 100)
        ]
        assert value == min(enough)


def test_percentiles_of_a_hundred_lengths_are_the_lengths_themselves():
    asked = range(1, 101)
    report = describe_lengths(np.arange(1, 101), asked, "tokens")
    assert report.percentiles == tuple((p, p) for p in asked)


@given(length_lists, st.integers(0, 2000))
def test_every_length_is_counted(lengths: list[int], limit: int):
    report = describe_lengths(np.array(lengths), (), "tokens", limit)
    assert report.histogram.sum() == report.count == len(lengths)
    assert len(report.edges) == len(report.histogram) + 1
    assert report.edges[0] == min(lengths)
    assert report.edges[-2] <= max(lengths) < report.edges[-1]
    assert len(report.histogram) <= 12
    assert len(set(np.diff(report.edges))) == 1
    for count, first, beyond in zip(report.histogram, report.edges, report.edges[1:], strict=False):
        assert count == sum(first <= length < beyond for length in lengths)
    assert report.exceeding == sum(length > limit for length in lengths)
    assert report.mean == pytest.approx(sum(lengths) / len(lengths))


@pytest.mark.parametrize(
    ("text", "values"),
    [("50", (50.0,)), ("0,99.5, 100", (0.0, 99.5, 100.0)), ("90,50,90", (90.0, 50.0, 90.0))],
)
def test_percentiles_are_read_in_the_order_given(text: str, values: tuple[float, ...]):
    assert parse_percentiles(text) == values


@pytest.mark.parametrize("text", ["", "x", "50,", "50,,90", "-1", "100.1", "nan", "inf", "50;90"])
def test_what_is_no_percentile_is_refused(text: str):
    with raises_error(ConfigError, "bad_percentile", where="--percentiles"):
        parse_percentiles(text)
