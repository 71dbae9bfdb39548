"""The service answers each request as the package does for that request alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.domain import SIGNALS, Item
from reeltune.files import file_digest
from reeltune.recommend.candidates import DEFAULT_CANDIDATES, Filters
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.pipeline import RecommendationPipeline, RecommendationRequest
from reeltune.scoring.predictor import Predictor
from tests.helpers import write_prepared
from tests.scoring.models import ROUNDING, alone, random_history, random_loaded_model
from tests.serve.running import Running, running

RATED = [{"item_id": 4, "rating": 4.5}, {"item_id": 19, "rating": 1.0}]


def items_of(predictor: Predictor) -> list[Item]:
    return list(predictor.loaded.folder.items)


def as_json(predictor: Predictor, history: History) -> list[dict[str, Any]]:
    items = items_of(predictor)
    return [
        {"item_id": items[index].item_id, "rating": rating}
        for index, rating in zip(history.item_idx.tolist(), history.rating.tolist(), strict=True)
    ]


def some_history(predictor: Predictor, seed: int = 0, count: int = 5) -> History:
    return random_history(np.random.default_rng(seed), len(items_of(predictor)), count)


def unrated(predictor: Predictor, history: History) -> np.ndarray:
    return np.setdiff1d(np.arange(len(items_of(predictor))), history.item_idx)


def p_like(response: Any) -> list[float]:
    assert response.status_code == 200, response.text
    return [each["p_like"] for each in response.json()["predictions"]]


@pytest.mark.parametrize("count", [0, 3, 5, 12])
def test_a_prediction_is_that_of_a_whole_prompt(
    service: Running, served_predictor: Predictor, count: int
):
    history = some_history(served_predictor, count, count)
    indices = unrated(served_predictor, history)[[3, 20, 3, 17]].tolist()
    item_ids = [items_of(served_predictor)[index].item_id for index in indices]
    response = service.post(
        "/predictions", history=as_json(served_predictor, history), item_ids=item_ids
    )
    expected = [alone(served_predictor, history.last(5), index) for index in indices]
    assert p_like(response) == pytest.approx(expected, abs=ROUNDING)
    predictions = response.json()["predictions"]
    assert [each["item_id"] for each in predictions] == item_ids
    assert {each["p_like_base"] for each in predictions} == {None}


@pytest.mark.slow
def test_signals_are_computed_from_every_rating_that_is_sent(
    prepared: PreparedFolder, tiny_qwen3: Path
):
    predictor = Predictor(random_loaded_model(prepared, tiny_qwen3, signals=tuple(SIGNALS)), 3)
    history = some_history(predictor, 1, 12)
    ratings = as_json(predictor, history)
    indices = unrated(predictor, history)[[3, 20]].tolist()
    item_ids = [items_of(predictor)[index].item_id for index in indices]
    with running(predictor) as service:
        assert service.client.get("/health").json()["uses_all_ratings"] is True
        all_ratings = p_like(service.post("/predictions", history=ratings, item_ids=item_ids))
        newest = p_like(service.post("/predictions", history=ratings[-3:], item_ids=item_ids))
    assert all_ratings == pytest.approx(
        [alone(predictor, history, index) for index in indices], abs=ROUNDING
    )
    assert newest != pytest.approx(all_ratings, abs=1e-6)


def test_the_base_model_predicts_beside_the_tuned_one(
    service: Running, served_predictor: Predictor
):
    history = some_history(served_predictor)
    ratings = as_json(served_predictor, history)
    response = service.post("/predictions", history=ratings, item_ids=[4], base=True)
    (found,) = response.json()["predictions"]
    with served_predictor.loaded.without_adapter():
        base = alone(served_predictor, history, 1)
    assert found["p_like_base"] == pytest.approx(base, abs=ROUNDING)
    assert abs(found["p_like_base"] - found["p_like"]) > 100 * ROUNDING


@pytest.mark.slow
def test_answers_under_concurrency_are_those_of_requests_alone(
    service: Running, served_predictor: Predictor
):
    # Few histories and many clients, so that equal histories are merged.
    random = np.random.default_rng(11)
    items = items_of(served_predictor)
    requests = []
    for i in range(48):
        indices = random.choice(len(items), 1 + i % 4, replace=False)
        history = as_json(served_predictor, some_history(served_predictor, i % 7))
        item_ids = [items[index].item_id for index in indices]
        requests.append({"history": history, "item_ids": item_ids, "base": i % 3 == 0})
    alone_ = [service.post("/predictions", **fields).json()["predictions"] for fields in requests]
    before = service.value("reeltune_batch_seconds_count")
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda fields: service.post("/predictions", **fields), requests))
    assert service.value("reeltune_batch_seconds_count") - before < len(requests)
    for response, expected in zip(together, alone_, strict=True):
        assert response.status_code == 200
        for found, wanted in zip(response.json()["predictions"], expected, strict=True):
            assert found["item_id"] == wanted["item_id"]
            assert found["p_like"] == pytest.approx(wanted["p_like"], abs=ROUNDING)
            assert found["p_like_base"] == pytest.approx(wanted["p_like_base"], abs=ROUNDING)


def numbers_in(content: Any) -> Iterator[float]:
    """Return all numbers that are not whole, in the order of the JSON."""
    if isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from numbers_in(value)
    elif isinstance(content, float) and not content.is_integer():
        yield content


def without_numbers(content: Any) -> Any:
    """Return the same JSON without those numbers."""
    if isinstance(content, dict):
        return {key: without_numbers(value) for key, value in content.items()}
    if isinstance(content, list):
        return [without_numbers(value) for value in content]
    return ... if isinstance(content, float) and not content.is_integer() else content


def test_the_json_of_recommendations_is_that_of_the_package(
    service: Running, served_predictor: Predictor
):
    # The newest five of nine events are shown.
    history = some_history(served_predictor, count=9)
    response = service.post(
        "/recommendations",
        history=as_json(served_predictor, history),
        top_k=4,
        reasons=2,
        base=True,
        filters={"genres": ["drama", "Comedy"], "year_from": 1950},
    ).json()
    request = RecommendationRequest(
        history,
        Filters(genres=("Drama", "Comedy"), year_from=1950),
        top_k=4,
        base=True,
        reasons=2,
    )
    expected = RecommendationPipeline.of(served_predictor).recommend(served_predictor, request)
    assert 4 < expected.scored == expected.eligible
    content = json.loads(json.dumps(expected.to_dict()))
    assert without_numbers(response) == without_numbers(content)
    assert list(numbers_in(response)) == pytest.approx(list(numbers_in(content)), abs=3 * ROUNDING)
    assert len(response["recommendations"]) == 4
    for each in response["recommendations"]:
        assert each["p_like_base"] is not None
        assert len(each["reasons"]) == 2


def test_only_the_most_rated_items_are_scored(service: Running, served_predictor: Predictor):
    response = service.post("/recommendations", history=RATED, candidates=5, top_k=9).json()
    items = items_of(served_predictor)
    assert (response["scored"], response["eligible"]) == (5, len(items) - 2)
    catalogue = Catalogue.of(served_predictor.loaded.folder)
    rated = [catalogue.index_of(each["item_id"]) for each in RATED]
    unrated = np.setdiff1d(np.arange(len(items)), rated)
    most_rated = sorted(unrated, key=lambda index: (-catalogue.ratings[index], index))[:5]
    found = {each["item"]["item_id"] for each in response["recommendations"]}
    assert found == {items[index].item_id for index in most_rated}


def test_no_item_matches(service: Running):
    response = service.post(
        "/recommendations", history=[], filters={"min_ratings": 10_000}, reasons=3
    ).json()
    assert response["recommendations"] == []
    assert (response["scored"], response["eligible"]) == (0, 0)


@pytest.mark.parametrize(
    ("path", "fields"), [("predictions", {"item_ids": [10]}), ("recommendations", {})]
)
def test_histories_shorter_than_those_in_training_are_noted(
    service: Running, served_predictor: Predictor, path: str, fields: dict[str, Any]
):
    assert served_predictor.loaded.trained_history == 5
    for count in (0, 4, 5):
        history = as_json(served_predictor, some_history(served_predictor, 1, count))
        notes = service.post(f"/{path}", history=history, **fields).json()["notes"]
        assert notes == [note] if (note := served_predictor.history_note(count)) else not notes
        assert bool(notes) == (count < 5)


def test_an_empty_history_has_no_reasons(service: Running):
    response = service.post("/recommendations", history=[], top_k=2, reasons=3).json()
    assert [each["reasons"] for each in response["recommendations"]] == [[], []]


def test_items_are_found_by_title_or_by_their_number_of_ratings(
    service: Running, served_predictor: Predictor
):
    catalogue = Catalogue.of(served_predictor.loaded.folder)
    found = service.client.get("/items", params={"query": "amelie"}).json()["items"]
    summary = asdict(catalogue.summary(catalogue.find("amelie")))
    assert found[0] == summary | {"genres": list(summary["genres"])}
    assert found[0]["title"] == "Amélie"
    for query in ({}, {"query": "  "}):
        listed = service.client.get("/items", params=query).json()["items"]
        ratings = [item["ratings"] for item in listed]
        assert ratings == sorted(catalogue.ratings.tolist(), reverse=True)[:10]
    assert len(service.client.get("/items", params={"limit": 3}).json()["items"]) == 3


def test_health_tells_what_is_served(
    service: Running, served_predictor: Predictor, tiny_qwen3: Path
):
    health = service.client.get("/health").json()
    assert health == {
        "status": "ok",
        "model": tiny_qwen3.name,
        "tuned": True,
        "fused": False,
        "data": file_digest(served_predictor.loaded.folder.path / "items.parquet")[:16],
        "items": len(items_of(served_predictor)),
        "history_len": 5,
        "uses_all_ratings": False,
        "scale": {"min": 0.5, "max": 5.0, "step": 0.5},
        "domain": {
            "name": "film",
            "item": "film",
            "items": "films",
            "noun": "stars",
            "ratings": [
                {"rating": step / 2, "said": f"{step / 2:.1f} stars", "label": f"{step / 2:.1f}"}
                for step in range(1, 11)
            ],
        },
        "genres": ["Action", "Comedy", "Drama", "Film-Noir", "Sci-Fi"],
        "limits": {"candidates": 5000, "history": 1000, "top_k": 100},
    }


def test_odd_titles_are_returned_unchanged(service: Running, served_predictor: Predictor):
    listed = service.client.get("/items", params={"limit": 50})
    assert listed.headers["content-type"] == "application/json"
    titles = {item["title"] for item in listed.json()["items"]}
    assert titles == {item.title for item in items_of(served_predictor)}


@pytest.mark.slow
def test_a_cpu_scores_few_items_by_default(
    tmp_path: Path, tiny_qwen3: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "reeltune")
    many = PreparedFolder.open(write_prepared(tmp_path / "prepared", users=2, items=130))
    predictor = Predictor(random_loaded_model(many, tiny_qwen3))

    def scored(service: Running, **fields: Any) -> tuple[int, int]:
        response = service.post("/recommendations", history=[], **fields).json()
        return response["scored"], response["eligible"]

    with running(predictor) as service:
        assert scored(service) == (DEFAULT_CANDIDATES, 130)
        assert scored(service, candidates=130) == (130, 130)
    assert [one for one in caplog.records if f" {DEFAULT_CANDIDATES} " in one.getMessage()]
    with running(predictor, default_candidates=20) as service:
        assert scored(service) == (20, 130)
    with running(predictor, max_candidates=30, default_candidates=40) as service:
        assert scored(service) == (30, 130)
