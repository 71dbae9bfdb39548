"""Notable rows match their reasons, and no row is shown twice."""

from __future__ import annotations

import numpy as np
import pytest

from reeltune.data.columns import TEST
from reeltune.data.folder import PreparedFolder
from reeltune.evaluation.examples import notable_examples
from reeltune.evaluation.predictions import PredictionTable
from reeltune.evaluation.result import Example

NAMES = ("tuned", "base", "means")


@pytest.fixture
def predictions(prepared: PreparedFolder) -> PredictionTable:
    rows = PredictionTable.of_events(prepared, TEST, prepared.examples(TEST).target)
    random = np.random.default_rng(1)
    for name in NAMES:
        rows = rows.scored(name, random.random(len(rows)).round(2))
    return rows


def row_of(predictions: PredictionTable, example: Example) -> int:
    """The one row an example is of: no two have the same predictions."""
    same = [predictions.p_yes[name] == example.p_yes[name] for name in NAMES]
    (row,) = np.flatnonzero(np.logical_and.reduce(same))
    return int(row)


def first_of(predictions: PredictionTable, worth: np.ndarray, true_of: np.ndarray, taken: set[int]):
    """The row a reason gives: the most extreme, then first, that is not taken."""
    rows = [row for row in range(len(predictions)) if true_of[row] and row not in taken]
    return max(rows, key=lambda row: (worth[row], -row)) if rows else None


def reasons(predictions: PredictionTable) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """How extreme each row is for every reason, and the rows it applies to."""
    tuned, base, means = (predictions.p_yes[name] for name in NAMES)
    liked, anything = predictions.liked, np.ones(len(predictions), dtype=bool)
    to_truth = np.where(liked, tuned - means, means - tuned)
    return {
        "confident and right: Yes": (tuned, liked & (tuned >= 0.5)),
        "confident and right: No": (-tuned, ~liked & (tuned < 0.5)),
        "confident and wrong: Yes": (tuned, ~liked & (tuned >= 0.5)),
        "confident and wrong: No": (-tuned, liked & (tuned < 0.5)),
        "most ahead of means": (to_truth, to_truth > 0),
        "most behind means": (-to_truth, to_truth < 0),
        "changed most from base": (np.abs(tuned - base), tuned != base),
        "undecided": (-np.abs(tuned - 0.5), anything),
    }


def test_every_reason_gives_its_most_extreme_row(prepared, predictions):
    found = notable_examples(prepared, predictions, "tuned", "base", "means", count=8)
    assert [example.why for example in found] == list(reasons(predictions))
    taken: set[int] = set()
    for example in found:
        expected = first_of(predictions, *reasons(predictions)[example.why], taken)
        assert row_of(predictions, example) == expected
        taken.add(expected)


def test_every_reason_is_true_of_its_rows(prepared, predictions):
    found = notable_examples(prepared, predictions, "tuned", "base", "means", count=1000)
    assert {example.why for example in found} == set(reasons(predictions))
    for example in found:
        _, true_of = reasons(predictions)[example.why]
        assert true_of[row_of(predictions, example)]


@pytest.mark.parametrize("count", [0, 3, 10, 17, 1000])
def test_no_row_is_shown_twice(prepared, predictions, count: int):
    found = notable_examples(prepared, predictions, "tuned", "base", "means", count)
    assert len(found) == min(count, len(predictions))
    assert len({row_of(predictions, example) for example in found}) == len(found)
    assert found == notable_examples(prepared, predictions, "tuned", "base", "means", count)


def test_of_equally_extreme_rows_the_first_is_taken(prepared, predictions):
    rows = PredictionTable.of_events(prepared, TEST, np.tile(predictions.event, 40))
    random = np.random.default_rng(2)
    rows = rows.scored("tuned", random.choice([0.6, 0.7, 0.8], len(rows)))
    for name in NAMES[1:]:
        rows = rows.scored(name, random.random(len(rows)))
    found = notable_examples(prepared, rows, "tuned", None, None, count=60)
    shown = [row_of(rows, one) for one in found if one.why == "confident and right: Yes"]
    surest = np.flatnonzero(rows.liked & (rows.p_yes["tuned"] == 0.8))
    assert shown == surest[: len(shown)].tolist()
    assert len(shown) == 20


def test_reasons_come_in_turn_and_are_shown_together(prepared, predictions):
    found = notable_examples(prepared, predictions, "tuned", "base", "means", count=10)
    why = [example.why for example in found]
    assert len(set(why)) == 8
    assert why == sorted(why, key=why.index)
    assert [why.count(reason) for reason in dict.fromkeys(why)] == [2, 2, 1, 1, 1, 1, 1, 1]


def test_without_other_scorers_their_reasons_are_left_out(prepared, predictions):
    found = notable_examples(prepared, predictions, "tuned", None, None, count=20)
    why = {example.why.partition(":")[0] for example in found}
    assert why == {"confident and right", "confident and wrong", "undecided"}


def test_a_reason_that_is_true_of_no_row_gives_none(prepared, predictions):
    sure = predictions.scored("tuned", np.full(len(predictions), 0.9))
    found = notable_examples(prepared, sure, "tuned", "tuned", "tuned", count=6)
    why = {example.why for example in found}
    assert why == {
        "confident and right: Yes",
        "confident and wrong: Yes",
        "undecided",
    }


def test_an_example_shows_its_row(prepared, predictions):
    timelines, items = prepared.timelines, prepared.items
    titles = []
    for example in notable_examples(prepared, predictions, "tuned", "base", "means", count=1000):
        row = row_of(predictions, example)
        event = int(predictions.event[row])
        past = range(event - prepared.history_len, event)
        assert example.user_id == timelines.user_id[event]
        assert {int(timelines.user_id[one]) for one in past} == {example.user_id}
        assert [one.rating for one in example.history] == timelines.rating[past].tolist()
        shown = [*(one.title for one in example.history), example.candidate]
        for title, one in zip(shown, [*past, event], strict=True):
            item = items[timelines.item_idx[one]]
            assert title == (f"{item.title} ({item.year})" if item.year else item.title)
        assert (example.rating, example.liked) == (timelines.rating[event], timelines.liked[event])
        assert list(example.p_yes) == list(NAMES)
        titles += shown
    assert any(not title.endswith(")") for title in titles)
