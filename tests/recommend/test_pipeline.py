"""Recommendations have the order and the values of predictions made one at a time."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.history import History
from reeltune.recommend.candidates import ALL, CandidateLimit
from reeltune.recommend.pipeline import Ranking, RecommendationPipeline, RecommendationRequest
from reeltune.recommend.results import Recommendations
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.predictor import Predictor, Query
from tests.recommend.build import FakePredictor, catalogue_of
from tests.scoring.models import ROUNDING, random_history

NO_RATINGS = History.of([], [])
HISTORY = random_history(np.random.default_rng(1), 20, 9)


def known_predictions(log_odds: Sequence[float], calibrate=None) -> Predictions:
    logits = np.array(log_odds, dtype=np.float32)
    return Predictions(logits, np.zeros_like(logits), calibrate)


@pytest.fixture(scope="module")
def pipeline(predictor: Predictor) -> RecommendationPipeline:
    return RecommendationPipeline.of(predictor, limit=CandidateLimit(ALL, "test"))


@pytest.fixture(scope="module")
def run(predictor: Predictor, pipeline: RecommendationPipeline):
    def recommend(history: History = HISTORY, **options) -> Recommendations:
        return pipeline.recommend(predictor, RecommendationRequest(history, **options))

    return recommend


def p_like(predictor: Predictor, history: History, item: int, base: bool = False) -> float:
    """P(like) of one item, predicted by itself."""
    query = Query(history, np.array([item]))
    return float(predictor.predict([query], base=base)[0].p_yes[0])


def indices(pipeline: RecommendationPipeline, result: Recommendations) -> list[int]:
    return [pipeline.catalogue.index_of(each.item.item_id) for each in result.recommendations]


@given(
    st.lists(st.integers(-2, 2), min_size=1, max_size=12),
    st.none() | st.integers(1, 15),
    st.data(),
)
def test_items_are_ranked_by_p_like_and_ties_keep_their_order(
    log_odds: list[int], top: int | None, data: st.DataObject
):
    items = data.draw(st.permutations(range(len(log_odds))))
    predictions = known_predictions([log_odds[item] for item in items])
    ranking = Ranking.top(np.array(items, dtype=np.int64), predictions, top)
    expected = sorted(items, key=lambda item: -log_odds[item])[:top]
    assert ranking.items.tolist() == expected
    odds = np.array([log_odds[item] for item in expected], dtype=float)
    np.testing.assert_allclose(ranking.p_like, 1 / (1 + np.exp(-odds)))


@given(st.permutations(range(6)))
def test_ties_made_by_calibration_are_ordered_by_the_models_own_odds(items: list[int]):
    predictions = known_predictions([item / 10 for item in items], lambda p: np.round(p, 1))
    ranking = Ranking.top(np.array(items), predictions)
    assert ranking.items.tolist() == [5, 4, 3, 2, 1, 0]
    assert len(set(ranking.p_like)) < 6


@pytest.mark.slow
def test_recommendations_are_predictions_made_one_at_a_time(predictor: Predictor, pipeline, run):
    alone = {item: p_like(predictor, HISTORY, item) for item in range(40)}
    unrated = {item: p for item, p in alone.items() if item not in HISTORY.item_idx}
    assert np.diff(sorted(unrated.values())).min() > 2 * ROUNDING  # rounding keeps the order
    result = run(top_k=100)
    found = indices(pipeline, result)
    assert found == sorted(unrated, key=lambda item: -unrated[item])
    for each, item in zip(result.recommendations, found, strict=True):
        assert each.p_like == pytest.approx(unrated[item], abs=ROUNDING)
        assert (each.p_like_base, each.reasons) == (None, ())
    assert run(top_k=4).recommendations == result.recommendations[:4]
    assert (result.scored, result.eligible) == (len(unrated), len(unrated))
    assert (result.rated, result.notes) == (9, ())
    shown = HISTORY.last(5)
    assert [(each.item, each.rating) for each in result.history] == [
        (pipeline.catalogue.summary(item), rating)
        for item, rating in zip(shown.item_idx.tolist(), shown.rating.tolist(), strict=True)
    ]


def test_items_carry_what_the_catalogue_knows(predictor: Predictor, pipeline, run):
    items, ratings = predictor.loaded.folder.items, predictor.loaded.folder.ratings
    result = run()
    for index, each in zip(indices(pipeline, result), result.recommendations, strict=True):
        item = items[index]
        assert (each.item.title, each.item.year, each.item.genres) == (
            item.title,
            item.year,
            item.genres,
        )
        assert each.item.ratings == (ratings.item_idx == index).sum()


@pytest.mark.slow
def test_base_predictions_belong_to_their_items(predictor: Predictor, pipeline, run):
    result = run(top_k=3, base=True)
    for index, each in zip(indices(pipeline, result), result.recommendations, strict=True):
        base = p_like(predictor, HISTORY, index, base=True)
        assert each.p_like_base == pytest.approx(base, abs=ROUNDING)
    assert len({each.p_like_base for each in result.recommendations}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("rated", [0, 1, 4, 9])
def test_an_effect_is_the_difference_of_two_predictions(
    predictor: Predictor, pipeline, run, rated: int
):
    history = random_history(np.random.default_rng(rated), 40, rated)
    shown = history.last(predictor.history_len)
    result = run(history, top_k=3, reasons=100)
    for index, each in zip(indices(pipeline, result), result.recommendations, strict=True):
        by_item = {reason.item.item_id: reason for reason in each.reasons}
        assert len(by_item) == len(each.reasons) == len(shown)
        for position, item in enumerate(shown.item_idx.tolist()):
            reason = by_item[pipeline.catalogue.items[item].item_id]
            assert reason.rating == shown.rating[position]
            without = p_like(predictor, shown.without(position), index)
            expected = p_like(predictor, shown, index) - without
            assert reason.effect == pytest.approx(expected, abs=2 * ROUNDING)
        strength = [abs(reason.effect) for reason in each.reasons]
        assert strength == sorted(strength, reverse=True)
    if rated > 1:
        effects = [reason.effect for reason in result.recommendations[0].reasons]
        assert max(map(abs, effects)) > 10 * ROUNDING
    fewer = run(history, top_k=3, reasons=2)
    assert [each.reasons for each in fewer.recommendations] == [
        each.reasons[:2] for each in result.recommendations
    ]


def test_leaving_one_rating_out_leaves_the_others():
    """No older rating moves in, and the order stays."""
    shelf = catalogue_of(*(f"Film {n} (2000)" for n in range(10)))
    pipeline = RecommendationPipeline(
        shelf,
        history_len=3,
        used_history=9,
        has_adapter=True,
        trained_history=3,
        limit=CandidateLimit(ALL, "test"),
    )
    known = FakePredictor(dict.fromkeys(range(10), 0.0), history_len=3)
    history = History.of([5, 6, 7, 8, 9], [1.0, 2.0, 3.0, 4.0, 5.0])
    request = RecommendationRequest(history, top_k=1, base=True, reasons=1)
    pipeline.recommend(cast("Predictor", known), request)
    (query,), (base,), ablated = known.calls
    assert query.history.item_idx.tolist() == base.history.item_idx.tolist() == [5, 6, 7, 8, 9]
    assert [(q.history.item_idx.tolist(), q.history.rating.tolist()) for q in ablated] == [
        ([7, 8, 9], [3.0, 4.0, 5.0]),
        ([8, 9], [4.0, 5.0]),
        ([7, 9], [3.0, 5.0]),
        ([7, 8], [3.0, 4.0]),
    ]
    assert {q.candidates.tolist() == [0] for q in (base, *ablated)} == {True}
    known.calls.clear()
    request = RecommendationRequest(history.last(2), top_k=1, reasons=1)
    pipeline.recommend(cast("Predictor", known), request)
    _, ablated = known.calls  # the shown history in full is that of the ranking
    assert [q.history.item_idx.tolist() for q in ablated] == [[9], [8]]


def test_nothing_eligible_gives_no_recommendations(run):
    everything = History.of(list(range(40)), [3.0] * 40)
    result = run(everything, base=True, reasons=2)
    assert result.recommendations == ()
    assert (result.scored, result.eligible) == (0, 0)


@pytest.mark.parametrize("shown", [0, 1, 4, 5])
def test_a_history_shorter_than_those_in_training_is_noted(predictor: Predictor, run, shown: int):
    assert predictor.loaded.folder.min_history == predictor.loaded.folder.history_len == 5
    notes = run(HISTORY.last(shown), top_k=1).notes
    numbers = [re.findall(r"\d+", note) for note in notes]
    expected = {0: [["5"]], 5: []}
    assert numbers == expected.get(shown, [[str(shown), "5"]])


@pytest.mark.slow
def test_the_base_model_alone_has_no_note_and_no_base_beside_it(predictor: Predictor):
    plain = Predictor(replace(predictor.loaded, model=predictor.loaded.base.model))
    request = RecommendationRequest(HISTORY.last(1), top_k=2, base=True)
    result = RecommendationPipeline.of(plain).recommend(plain, request)
    assert result.notes == ()
    assert [each.p_like_base for each in result.recommendations] == [None, None]


@pytest.mark.slow
def test_there_is_a_progress_bar_for_each_kind_of_query(predictor: Predictor, pipeline):
    bars: dict[str, tuple[int, int]] = {}

    def start(name: str):
        return lambda done, total: bars.update({name: (done, total)})

    request = RecommendationRequest(HISTORY, top_k=2, candidates=12, base=True, reasons=1)
    pipeline.recommend(predictor, request, start)
    assert bars == {"candidates": (12, 12), "base": (2, 2), "reasons": (10, 10)}


@pytest.mark.slow
def test_filters_catalogue_and_results_are_imported_without_torch():
    code = (
        "import sys; from reeltune.recommend import candidates, catalogue, results; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
