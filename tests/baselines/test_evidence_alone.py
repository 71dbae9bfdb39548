"""The scorer that knows just what the prompt tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reeltune.baselines.evidence_alone import numbers_of, score_evidence_alone
from reeltune.data.columns import TEST, TRAIN
from reeltune.prompts.renderer import SHARE_STEPS
from tests.timelines import timelines_of

CODES = np.array([[10], [90], [20], [80], [70], [30]], dtype=np.int16)
KNOWN = timelines_of(
    [0, 1, 2, 3, 4, 5], [1.0, 5.0, 2.0, 4.5, 0.5, 5.0], None, [TRAIN] * 4 + [TEST] * 2
)


def test_it_follows_the_evidence_and_learns_from_training_rows_alone():
    known = replace(KNOWN, evidence=CODES)
    found = score_evidence_alone(known, ("expected",), [np.array([4, 5]), np.array([0])])
    assert found is not None
    assert found[0][0] > 0.5 > found[0][1] > found[1][0]
    other = replace(known, liked=np.where(known.split == TEST, ~known.liked, known.liked))
    again = score_evidence_alone(other, ("expected",), [np.array([4, 5])])
    assert again is not None
    assert again[0].tolist() == found[0].tolist()


def test_without_evidence_or_without_both_labels_there_is_nothing_to_learn():
    assert score_evidence_alone(KNOWN, (), [np.array([4])]) is None
    one_label = replace(KNOWN, evidence=CODES, liked=np.ones(6, dtype=np.bool_))
    assert score_evidence_alone(one_label, ("expected",), [np.array([4])]) is None


def test_entries_become_numbers_that_grow_with_what_they_say():
    codes = np.array([3 * SHARE_STEPS + 7])
    assert [int(column[0]) for column in numbers_of("film", codes)] == [7, 3]
    assert [int(column[0]) for column in numbers_of("expected", np.array([38]))] == [38]
