"""No prediction, by whatever way, is shown the user's own rating of its candidate or later ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reeltune.api.recommender import Recommender
from reeltune.bulk.lookup import Lookup
from reeltune.bulk.tasks import Top
from reeltune.data.history import History
from reeltune.recommend.candidates import Filters
from reeltune.recommend.pipeline import RecommendationRequest
from reeltune.recommend.ratings_file import read_ratings_file
from reeltune.recommend.user_ratings import rated_history
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.predictor import Predictor, Query
from tests.scoring.models import ROUNDING, alone
from tests.serve.running import Running

ITEMS = (4, 19, 7, 13, 10)
RATINGS = (4.5, 1.0, 5.0, 2.0, 3.0)
CANDIDATES = [7, 31, 4, 10, 7, 22]
"""Three of them rated, one of these twice."""


def sent(count: int = len(ITEMS), **changed: float) -> list[dict[str, float]]:
    """The first ratings as JSON, some of them changed, by item as ``i<id>``."""
    pairs = zip(ITEMS[:count], RATINGS, strict=False)
    return [{"item_id": item, "rating": changed.get(f"i{item}", r)} for item, r in pairs]


@pytest.fixture
def recommender(served_predictor: Predictor) -> Recommender:
    return Recommender(served_predictor)


@pytest.fixture
def queries(served_predictor: Predictor, monkeypatch) -> Iterator[list[Query]]:
    """All queries of the test, none of which may show a rating of a candidate."""
    seen: list[Query] = []
    predict = served_predictor.predict

    def recording(queries: Sequence[Query], **options: Any) -> list[Predictions]:
        seen.extend(queries)
        return predict(queries, **options)

    monkeypatch.setattr(served_predictor, "predict", recording)
    yield seen
    assert sum(len(query.candidates) for query in seen) > 0
    for query in seen:
        assert not np.isin(query.candidates, query.history.item_idx).any()


def write_ratings(path: Path) -> Path:
    rows = [f"{each['item_id']},{each['rating']}\n" for each in sent()]
    path.write_text("item_id,rating\n" + "".join(rows))
    return path


def recommend_from_file(recommender: Recommender, path: Path) -> None:
    scale = recommender.predictor.loaded.settings.scale
    entries = read_ratings_file(write_ratings(path), {})
    history = rated_history(recommender.catalogue, scale, entries)
    request = RecommendationRequest(history, base=True, reasons=2)
    recommender._pipeline.recommend(recommender.predictor, request)


def top(recommender: Recommender) -> None:
    lookup = Lookup(recommender.predictor.loaded.folder)
    task = Top(None, lookup, 9, recommender.catalogue, Filters(), 5, None)
    (table,) = task.slices([range(3)])
    task.score(table, recommender.predictor, lambda _: None)


def rated_pairs(recommender: Recommender) -> list[tuple[int | str, int | str]]:
    """Pairs of a user and each item, most of which the user has rated."""
    user = int(recommender.predictor.loaded.folder.ratings.user_id[0])
    return [(user, item.item_id) for item in recommender.catalogue.items]


GIVEN = dict(zip(ITEMS, RATINGS, strict=True))
WAYS: dict[str, Callable[[Recommender, Path], object]] = {
    "predict": lambda one, _: one.predict(rated_pairs(one)),
    "recommend a user": lambda one, _: one.recommend(user=rated_pairs(one)[0][0], candidates="all"),
    "recommend from ratings": lambda one, _: one.recommend(ratings=GIVEN, candidates="all"),
    "recommend from a file": lambda one, path: recommend_from_file(one, path / "ratings.csv"),
    "explain": lambda one, _: [one.explain(item, ratings=GIVEN) for item in (7, 31)],
    "explain to a user": lambda one, _: [one.explain(i, user=u) for u, i in rated_pairs(one)],
    "top": lambda one, _: top(one),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.slow
def test_no_query_shows_a_rating_of_its_candidate(
    recommender: Recommender, queries: list[Query], tmp_path: Path, way: str
):
    WAYS[way](recommender, tmp_path)


def test_nor_does_one_over_http(service: Running, queries: list[Query]):
    answer = service.post("/predictions", history=sent(), item_ids=CANDIDATES, base=True)
    assert answer.status_code == 200
    answer = service.post("/recommendations", history=sent(), reasons=2, base=True)
    recommended = {each["item"]["item_id"] for each in answer.json()["recommendations"]}
    assert recommended and not recommended & set(ITEMS)


def test_a_rated_item_is_predicted_from_the_ratings_before_it(
    service: Running, served_predictor: Predictor
):
    def predicted(history: list[dict[str, float]], items: list[int]) -> list[dict[str, Any]]:
        found = service.post("/predictions", history=history, item_ids=items, base=True)
        return found.json()["predictions"]

    found = predicted(sent(), CANDIDATES)
    assert [each["item_id"] for each in found] == CANDIDATES
    assert predicted(sent(), [7]) == predicted(sent(i7=0.5, i13=5.0), [7])
    index_of = served_predictor.loaded.folder.items
    index = {item.item_id: at for at, item in enumerate(index_of)}
    for each in found:
        count = ITEMS.index(each["item_id"]) if each["item_id"] in ITEMS else len(ITEMS)
        history = History.of([index[item] for item in ITEMS[:count]], RATINGS[:count])
        expected = alone(served_predictor, history, index[each["item_id"]])
        assert each["p_like"] == pytest.approx(expected, abs=ROUNDING)
