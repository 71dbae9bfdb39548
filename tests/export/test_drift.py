"""Differences between variants, and the bounds."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.export.drift import (
    ENOUGH_ROWS,
    FOUR_BIT,
    MERGED,
    UNQUANTIZED,
    Bounds,
    Difference,
    Drift,
    Measurement,
    difference,
)

probability = st.floats(0, 1)
two_of_a_length = st.integers(1, 20).flatmap(
    lambda n: st.tuples(*[st.lists(probability, min_size=n, max_size=n)] * 2)
)


def measured(name: str, p_yes: list[float], auc: float | None = 0.5) -> Measurement:
    return Measurement(name, f"the {name}", np.array(p_yes), auc)


def missing(name: str) -> Measurement:
    return Measurement(name, f"the {name}", None, None, "no GPU")


def drift(
    *variants: Measurement, reference: str = UNQUANTIZED, bounds: Bounds | None = None
) -> Drift:
    return Drift("test", 3, 3, list(variants), reference, True, bounds or Bounds())


def test_differences_computed_by_hand():
    one = measured(UNQUANTIZED, [0.1, 0.49, 0.8], 0.75)
    other = measured(MERGED, [0.1, 0.52, 0.77], 0.5)
    found = difference(one, other)
    assert (found.first, found.second, found.changed) == (UNQUANTIZED, MERGED, 1)
    assert found.auc == -0.25
    assert found.p_yes_max == pytest.approx(0.03)
    assert found.p_yes_mean == pytest.approx(0.02)


@given(two_of_a_length)
def test_differences_are_symmetric(values):
    one, other = measured("a", values[0], 0.25), measured("b", values[1], 0.75)
    there, back = difference(one, other), difference(other, one)
    assert there.auc == -back.auc == 0.5
    assert there.p_yes_max == back.p_yes_max
    assert there.p_yes_mean == back.p_yes_mean
    assert there.changed == back.changed
    assert 0 <= there.p_yes_mean <= there.p_yes_max + 1e-15
    assert difference(one, one) == Difference("a", "a", 0, 0, 0, 0)


@given(two_of_a_length, *[st.tuples(probability, probability)] * 2)
def test_a_bound_is_exceeded_exactly_if_a_difference_is_larger(values, aucs, bounds):
    auc, other = aucs
    variants = measured(UNQUANTIZED, values[0], auc), measured(MERGED, values[1], other)
    found = drift(*variants, bounds=Bounds(*bounds)).exceeded()
    largest = max(abs(a - b) for a, b in zip(*values, strict=True))
    assert len(found) == (abs(auc - other) > bounds[0]) + (largest > bounds[1])


def test_only_the_adapter_as_trained_counts():
    near, far = measured(UNQUANTIZED, [0.5, 0.5, 0.5]), measured(FOUR_BIT, [0.5, 0.9, 0.5])
    merged = measured(MERGED, [0.5, 0.51, 0.5])
    assert drift(near, far, merged, reference=UNQUANTIZED).exceeded() == []
    (line,) = drift(near, far, merged, reference=FOUR_BIT).exceeded()
    assert re.findall(r"\d\.\d+", line) == ["0.39", "0.05"]


def test_an_unmeasured_reference_is_not_within_bounds():
    variants = measured(UNQUANTIZED, [0.5]), missing(FOUR_BIT), measured(MERGED, [0.5])
    (line,) = drift(*variants, reference=FOUR_BIT).exceeded()
    assert "no GPU" in line
    assert drift(*variants, reference=UNQUANTIZED).exceeded() == []


def test_an_undefined_auc_exceeds_no_bound():
    one, other = measured(UNQUANTIZED, [0.2], None), measured(MERGED, [0.3], None)
    assert difference(one, other).auc is None
    assert len(drift(one, other).exceeded()) == 1


def test_the_record_holds_every_pair_with_none_for_missing_values():
    found = drift(measured(UNQUANTIZED, [0.5]), missing(FOUR_BIT), measured(MERGED, [0.25]))
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [(pair["first"], pair["second"]) for pair in written["differences"]] == [
        (UNQUANTIZED, FOUR_BIT),
        (UNQUANTIZED, MERGED),
        (FOUR_BIT, MERGED),
    ]
    assert [pair["p_yes_max"] for pair in written["differences"]] == [None, 0.25, None]
    assert [r["not_measured"] for r in written["measurements"]] == [None, "no GPU", None]


def test_notes_state_few_rows_and_an_assumed_reference():
    variants = [measured(UNQUANTIZED, [0.5]), measured(MERGED, [0.5])]
    few = Drift("test", 3, 40, variants, UNQUANTIZED, True, Bounds())
    (note,) = few.notes
    assert re.findall(r"\d+", note) == ["3", "40", str(ENOUGH_ROWS)]
    many = Drift("test", ENOUGH_ROWS, ENOUGH_ROWS, variants, UNQUANTIZED, True, Bounds())
    assert many.notes == []
    assumed = Drift("test", ENOUGH_ROWS, ENOUGH_ROWS, variants, UNQUANTIZED, False, Bounds())
    assert len(assumed.notes) == 1
    assert assumed.to_dict()["reference_known"] is False
