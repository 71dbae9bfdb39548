"""How far two readings are apart, and when that is too far."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.export.drift import (
    FOUR_BIT,
    MERGED,
    UNQUANTIZED,
    Bounds,
    Drift,
    Reading,
    pair_of,
)

probability = st.floats(0, 1)
two_of_a_length = st.integers(1, 20).flatmap(
    lambda n: st.tuples(*[st.lists(probability, min_size=n, max_size=n)] * 2)
)


def reading(name: str, p_yes: list[float], auc: float | None = 0.5) -> Reading:
    return Reading(name, f"the {name}", np.array(p_yes), auc)


def missing(name: str) -> Reading:
    return Reading(name, f"the {name}", None, None, "it cannot be had")


def drift(*readings: Reading, reference: str = UNQUANTIZED, bounds: Bounds | None = None) -> Drift:
    return Drift("test", 3, list(readings), reference, bounds or Bounds(), [])


def test_by_hand():
    one = reading(UNQUANTIZED, [0.1, 0.49, 0.8], 0.75)
    other = reading(MERGED, [0.1, 0.52, 0.77], 0.5)
    pair = pair_of(one, other)
    assert (pair.first, pair.second, pair.changed) == (UNQUANTIZED, MERGED, 1)
    assert pair.auc_difference == -0.25
    assert pair.largest == pytest.approx(0.03)
    assert pair.mean == pytest.approx(0.02)


@given(two_of_a_length)
def test_the_other_way_round_is_as_far(values):
    one, other = reading("a", values[0], 0.25), reading("b", values[1], 0.75)
    there, back = pair_of(one, other), pair_of(other, one)
    assert there.auc_difference == -back.auc_difference == 0.5
    assert (there.largest, there.mean, there.changed) == (back.largest, back.mean, back.changed)
    assert 0 <= there.mean <= there.largest + 1e-15
    same = pair_of(one, one)
    assert (same.auc_difference, same.largest, same.mean, same.changed) == (0, 0, 0, 0)


@given(two_of_a_length, *[st.tuples(probability, probability)] * 2)
def test_a_bound_is_passed_exactly_when_a_difference_is_larger(values, aucs, bounds):
    auc, other = aucs
    readings = reading(UNQUANTIZED, values[0], auc), reading(MERGED, values[1], other)
    found = drift(*readings, bounds=Bounds(*bounds)).exceeded()
    largest = max(abs(a - b) for a, b in zip(*values, strict=True))
    assert len(found) == (abs(auc - other) > bounds[0]) + (largest > bounds[1])


def test_only_the_adapter_as_trained_counts():
    near, far = reading(UNQUANTIZED, [0.5, 0.5, 0.5]), reading(FOUR_BIT, [0.5, 0.9, 0.5])
    merged = reading(MERGED, [0.5, 0.51, 0.5])
    assert drift(near, far, merged, reference=UNQUANTIZED).exceeded() == []
    (said,) = drift(near, far, merged, reference=FOUR_BIT).exceeded()
    assert "0.39" in said
    assert "0.05" in said


def test_nothing_known_is_not_within_bounds():
    readings = reading(UNQUANTIZED, [0.5]), missing(FOUR_BIT), reading(MERGED, [0.5])
    (said,) = drift(*readings, reference=FOUR_BIT).exceeded()
    assert "it cannot be had" in said
    assert drift(*readings, reference=UNQUANTIZED).exceeded() == []


def test_an_auc_that_does_not_exist_passes_no_bound_but_p_yes_does():
    one, other = reading(UNQUANTIZED, [0.2], None), reading(MERGED, [0.3], None)
    assert pair_of(one, other).auc_difference is None
    assert len(drift(one, other).exceeded()) == 1


def test_the_record_holds_every_pair_and_no_stand_in():
    found = drift(reading(UNQUANTIZED, [0.5]), missing(FOUR_BIT), reading(MERGED, [0.25]))
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [(pair["first"], pair["second"]) for pair in written["pairs"]] == [
        (UNQUANTIZED, FOUR_BIT),
        (UNQUANTIZED, MERGED),
        (FOUR_BIT, MERGED),
    ]
    assert [pair["largest"] for pair in written["pairs"]] == [None, 0.25, None]
    assert [r["not_measured"] for r in written["readings"]] == [None, "it cannot be had", None]
