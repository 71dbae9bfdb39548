"""No look-up of a shared token cache returns the rows of another configuration."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cache_stress import equal, look_up_often, stress, synthetic_rows
from reeltune.training import cache


@pytest.mark.slow
def test_two_processes_that_alternate_get_their_rows():
    counts = stress(lookups=50, processes=2, rows=100)
    assert (counts["lookups"], counts["wrong"], counts["not stored"]) == (50, 0, 0)


def test_the_cache_of_one_process_is_stored_at_every_change(tmp_path):
    counts = look_up_often(tmp_path, 0, 4, 10, True)
    assert counts == {"lookups": 4, "hits": 0, "wrong": 0, "not stored": 0}


def test_a_wrong_look_up_is_counted(tmp_path, monkeypatch):
    wrong = synthetic_rows(1, 10)[1]
    monkeypatch.setattr(cache, "look_up", lambda path, key: (wrong, ""))
    monkeypatch.setattr("benchmarks.cache_stress.rows_of", cache.rows_of)
    assert look_up_often(tmp_path, 0, 4, 10, True)["wrong"] == 2


def test_configurations_differ_in_rows_only():
    (_, one), (_, other) = synthetic_rows(0, 10), synthetic_rows(1, 10)
    assert len(one) == len(other)
    assert not equal(one, other)
    assert equal(one, synthetic_rows(0, 10)[1])
    assert not np.array_equal(one.liked, other.liked)
