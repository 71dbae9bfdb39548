"""Running sums: what came before, of the same user, exactly."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reeltune.signals.running_statistics import RunningStatistics
from tests.timelines import random_timelines


@given(random_timelines(), st.integers(1, 4), st.integers(0, 1000))
def test_sums_are_those_of_a_loop(timelines, length: int, seed: int):
    values = np.random.default_rng(seed).normal(size=len(timelines))
    running = RunningStatistics(timelines.position)
    earlier, recent = running.earlier(values), running.recent(values, length)
    for event, position in enumerate(timelines.position.tolist()):
        before = values[event - position : event]
        assert abs(earlier[event] - before.sum()) < 1e-5
        assert abs(recent[event] - before[-length:].sum()) < 1e-5
        assert running.before[event] == position


@given(random_timelines(), st.integers(0, 1000))
def test_sums_do_not_depend_on_other_users_not_even_by_rounding(timelines, seed: int):
    random = np.random.default_rng(seed)
    values = random.normal(size=len(timelines))
    last = timelines.user_id == timelines.user_id[-1]
    others = np.where(last, values, 1e6 * random.normal(size=len(timelines)))
    running = RunningStatistics(timelines.position)
    assert np.array_equal(running.earlier(values)[last], running.earlier(others)[last])
    assert np.array_equal(running.recent(values, 2)[last], running.recent(others, 2)[last])


def test_whole_and_half_ratings_are_added_exactly():
    from tests.timelines import timelines_of

    timelines = timelines_of([0, 1, 2, 3], [4.5, 0.5, 3.0, 5.0])
    running = RunningStatistics(timelines.position)
    assert running.earlier(timelines.rating).tolist() == [0.0, 4.5, 5.0, 8.0]
    assert running.recent(timelines.rating, 2).tolist() == [0.0, 4.5, 5.0, 3.5]
