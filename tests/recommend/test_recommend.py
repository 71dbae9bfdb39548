"""Films stand in the order of verdicts asked one at a time, and why is a difference of verdicts."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reeltune.recommend.recommend import recommend, why

from reeltune.asking.judge import Judge
from reeltune.data.history import History
from reeltune.scoring.ranking import Question
from tests.asking.build import ROUNDING, random_candidates, random_history
from tests.recommend.build import KnownJudge

ITEMS = 40
NOBODY = History.of([], [])


def known(judge: KnownJudge) -> Judge:
    return cast("Judge", judge)


@given(
    st.lists(st.integers(-2, 2), min_size=1, max_size=12),
    st.none() | st.integers(1, 15),
    st.data(),
)
def test_the_order_is_that_of_verdicts_and_equals_stay_as_they_were(
    log_odds: list[int], top: int | None, data: st.DataObject
):
    items = data.draw(st.permutations(range(len(log_odds))))
    judge = known(KnownJudge(dict(enumerate(map(float, log_odds)))))
    found = recommend(judge, NOBODY, np.array(items, dtype=np.int64), top)
    expected = sorted(items, key=lambda item: -log_odds[item])[:top]
    assert [one.item_idx for one in found] == expected
    odds = np.array([log_odds[item] for item in expected], dtype=float)
    np.testing.assert_allclose([one.p_yes for one in found], 1 / (1 + np.exp(-odds)))


@given(st.permutations(range(6)))
def test_what_calibration_makes_equal_keeps_the_models_own_order(items: list[int]):
    flat = KnownJudge({item: item / 10 for item in range(6)}, calibrate=lambda p: np.round(p, 1))
    found = recommend(known(flat), NOBODY, np.array(items))
    assert [one.item_idx for one in found] == [5, 4, 3, 2, 1, 0]
    assert len({one.p_yes for one in found}) < 6


def test_no_candidates_no_recommendations(judge: Judge):
    none = np.array([], dtype=np.int64)
    assert recommend(judge, NOBODY, none) == []
    assert why(judge, NOBODY, []) == []


@pytest.mark.parametrize("base", [False, True])
def test_recommending_is_asking_about_one_film_at_a_time(judge: Judge, base: bool):
    random = np.random.default_rng(7)
    history, items = random_history(random, ITEMS, 9), random_candidates(random, ITEMS, 20)

    def one_at_a_time(item: int) -> float:
        question = Question(history, np.array([item]))
        return float(judge.verdicts([question], base=base)[0].p_yes[0])

    alone = {int(item): one_at_a_time(item) for item in items}
    gaps = np.diff(sorted(alone.values()))
    assert gaps.min() > 2 * ROUNDING  # so that rounding cannot change the order
    found = recommend(judge, history, items, base=base)
    assert [one.item_idx for one in found] == sorted(alone, key=lambda item: -alone[item])
    for one in found:
        assert one.p_yes == pytest.approx(alone[one.item_idx], abs=ROUNDING)
    assert recommend(judge, history, items, 4, base=base) == found[:4]


@pytest.mark.parametrize("rated", [0, 1, 4, 9])
def test_why_is_the_difference_of_verdicts_asked_separately(judge: Judge, rated: int):
    history = random_history(np.random.default_rng(rated), ITEMS, rated)
    shown = history.last(judge.history_len)
    items = [11, 12, 13]

    def asked(one: History, item: int) -> float:
        return float(judge.verdicts([Question(one, np.array([item]))])[0].p_yes[0])

    found = why(judge, history, items)
    assert len(found) == len(items)
    for item, influences in zip(items, found, strict=True):
        assert sorted(one.place for one in influences) == list(range(len(shown)))
        for one in influences:
            assert one.item_idx == shown.item_idx[one.place]
            assert one.rating == shown.rating[one.place]
            expected = asked(shown, item) - asked(shown.without(one.place), item)
            assert one.moved == pytest.approx(expected, abs=2 * ROUNDING)
        strength = [abs(one.moved) for one in influences]
        assert strength == sorted(strength, reverse=True)
    if rated > 1:
        assert max(abs(one.moved) for one in found[0]) > 10 * ROUNDING
    assert why(judge, history, items, 2) == [influences[:2] for influences in found]


def test_leaving_one_out_leaves_everything_else():
    """No older event comes in, not even where the newest is left out, and the order stays."""
    judge = KnownJudge({1: 0.0}, history_len=3)
    history = History.of([5, 6, 7, 8, 9], [1.0, 2.0, 3.0, 4.0, 5.0])
    why(known(judge), history, [1])
    (questions,) = judge.asked
    shown = [(one.history.item_idx.tolist(), one.history.rating.tolist()) for one in questions]
    assert shown == [
        ([7, 8, 9], [3.0, 4.0, 5.0]),
        ([8, 9], [4.0, 5.0]),
        ([7, 9], [3.0, 5.0]),
        ([7, 8], [3.0, 4.0]),
    ]


def test_progress_is_told(judge: Judge):
    told: dict[str, Any] = {}
    history = random_history(np.random.default_rng(0), ITEMS, 2)
    recommend(judge, history, np.arange(5), progress=lambda *done: told.update(ranked=done))
    why(judge, history, [6, 7], progress=lambda *done: told.update(why=done))
    assert told == {"ranked": (5, 5), "why": (6, 6)}
