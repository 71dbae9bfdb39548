"""What is surplus in one list of rows over another."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reeltune.check.multiset import surplus

VALUES = st.lists(st.integers(-3, 3), max_size=12)


def places(found: list[int], expected: list[int]) -> list[int]:
    return surplus(np.array(found, np.int64), np.array(expected, np.int64)).tolist()


@given(VALUES, VALUES)
def test_surplus_is_the_difference_of_multisets(found: list[int], expected: list[int]):
    extra = places(found, expected)
    assert extra == sorted(set(extra))
    assert Counter(found[place] for place in extra) == Counter(found) - Counter(expected)


@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(found: list[int], random):
    shuffled = random.sample(found, len(found))
    assert places(found, shuffled) == []


def test_of_equal_rows_the_last_are_surplus():
    assert places([7, 5, 7, 7], [7, 5]) == [2, 3]
