"""What the service answers is what the model gives to each request alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reeltune.asking.judge import Judge
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.domain import SIGNALS, Item
from reeltune.files import file_digest
from reeltune.recommend.candidates import DEFAULT_CANDIDATES
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.filters import Filters
from reeltune.recommend.recommender import RecommendationRequest, Recommender
from tests.asking.build import ROUNDING, alone, drawn_subject, random_history
from tests.helpers import write_prepared
from tests.serve.running import Running, running

RATED = [(4, 4.5), (19, 1.0), (49, 5.0)]


def items_of(judge: Judge) -> list[Item]:
    return list(judge.subject.folder.items)


def rated_as_json(judge: Judge, history: History) -> list[dict[str, Any]]:
    films = items_of(judge)
    return [
        {"item_id": films[row].item_id, "rating": rating}
        for row, rating in zip(history.item_idx.tolist(), history.rating.tolist(), strict=True)
    ]


def some_history(judge: Judge, seed: int = 0, count: int = 5) -> History:
    return random_history(np.random.default_rng(seed), len(items_of(judge)), count)


@pytest.mark.parametrize("count", [0, 3, 5, 12])
def test_a_verdict_is_the_one_of_a_whole_prompt(service: Running, served_judge: Judge, count: int):
    history = some_history(served_judge, count, count)
    rows = [3, 30, 3, 17]
    asked = [items_of(served_judge)[row].item_id for row in rows]
    answer = service.post(
        "/verdicts", rated=rated_as_json(served_judge, history), item_ids=asked
    ).json()
    expected = [alone(served_judge, history.last(5), row) for row in rows]
    assert [one["item_id"] for one in answer["verdicts"]] == asked
    assert [one["p_like"] for one in answer["verdicts"]] == pytest.approx(expected, abs=ROUNDING)
    assert {one["p_like_base"] for one in answer["verdicts"]} == {None}


def test_evidence_is_made_of_every_rating_that_is_sent(prepared: PreparedFolder, tiny_qwen3: Path):
    judge = Judge(drawn_subject(prepared, tiny_qwen3, signals=tuple(SIGNALS)), 3)
    history = some_history(judge, 1, 12)
    rated = rated_as_json(judge, history)
    asked = [items_of(judge)[row].item_id for row in (3, 30)]
    with running(judge) as told:
        assert told.client.get("/health").json()["every_rating_counts"] is True
        answer = told.post("/verdicts", rated=rated, item_ids=asked).json()["verdicts"]
        newest = told.post("/verdicts", rated=rated[-3:], item_ids=asked).json()["verdicts"]
    expected = [alone(judge, history, row) for row in (3, 30)]
    assert [one["p_like"] for one in answer] == pytest.approx(expected, abs=ROUNDING)
    assert [one["p_like"] for one in newest] != pytest.approx(expected, abs=1e-6)


def test_the_base_model_answers_beside_the_tuned_one(service: Running, served_judge: Judge):
    history = some_history(served_judge)
    rated = rated_as_json(served_judge, history)
    (found,) = service.post("/verdicts", rated=rated, item_ids=[4], base=True).json()["verdicts"]
    with served_judge.subject.without_adapter():
        base = alone(served_judge, history, 1)
    assert found["p_like_base"] == pytest.approx(base, abs=ROUNDING)
    assert abs(found["p_like_base"] - found["p_like"]) > 100 * ROUNDING


def test_answers_under_concurrency_are_those_of_requests_alone(
    service: Running, served_judge: Judge
):
    # Few histories and many clients, so that questions are merged as well as gathered.
    random = np.random.default_rng(11)
    films = items_of(served_judge)
    asked = []
    for i in range(48):
        rows = random.choice(len(films), 1 + i % 4, replace=False)
        rated = rated_as_json(served_judge, some_history(served_judge, i % 7))
        ids = [films[row].item_id for row in rows]
        asked.append({"rated": rated, "item_ids": ids, "base": i % 3 == 0})
    one_by_one = [service.post("/verdicts", **fields).json()["verdicts"] for fields in asked]
    before = service.value("reeltune_batch_seconds_count")
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda fields: service.post("/verdicts", **fields), asked))
    assert service.value("reeltune_batch_seconds_count") - before < len(asked)
    for answer, expected in zip(together, one_by_one, strict=True):
        assert answer.status_code == 200
        for found, wanted in zip(answer.json()["verdicts"], expected, strict=True):
            assert found["item_id"] == wanted["item_id"]
            assert found["p_like"] == pytest.approx(wanted["p_like"], abs=ROUNDING)
            assert found["p_like_base"] == pytest.approx(wanted["p_like_base"], abs=ROUNDING)


def test_recommendations_are_those_of_the_package(service: Running, served_judge: Judge):
    # Of nine events the newest five are shown.
    history = some_history(served_judge, count=9)
    answer = service.post(
        "/recommendations",
        rated=rated_as_json(served_judge, history),
        top=4,
        why=2,
        base=True,
        filters={"genres": ["drama", "Comedy"], "year_from": 1950},
    ).json()
    filters = Filters(genres=("Drama", "Comedy"), year_from=1950)
    request = RecommendationRequest(history, filters, top_k=4, base=True, reasons=2)
    expected = Recommender.of(served_judge).recommend(served_judge, request)
    assert (answer["judged"], answer["fitting"]) == (expected.scored, expected.eligible)
    assert 4 < expected.scored == expected.eligible
    for one, wanted in zip(answer["recommendations"], expected.recommendations, strict=True):
        assert one["film"]["id"] == wanted.item.item_id
        assert one["p_like"] == pytest.approx(wanted.p_like, abs=ROUNDING)
        assert one["p_like_base"] == pytest.approx(wanted.p_like_base, abs=ROUNDING)
        assert [(why["film"]["id"], why["rating"]) for why in one["why"]] == [
            (reason.item.item_id, reason.rating) for reason in wanted.reasons
        ]
        assert [reason["moved"] for reason in one["why"]] == pytest.approx(
            [reason.effect for reason in wanted.reasons], abs=3 * ROUNDING
        )


def test_only_the_most_rated_films_are_judged(service: Running, served_judge: Judge):
    rated = [{"item_id": film, "rating": rating} for film, rating in RATED]
    answer = service.post("/recommendations", rated=rated, candidates=5, top=9).json()
    films = items_of(served_judge)
    assert (answer["judged"], answer["fitting"]) == (5, len(films) - 3)
    catalogue = Catalogue.of(served_judge.subject.folder)
    seen = [catalogue.index_of(film) for film, _ in RATED]
    unrated = np.setdiff1d(np.arange(len(films)), seen)
    rows = sorted(unrated, key=lambda row: (-catalogue.ratings[row], row))[:5]
    found = {one["film"]["id"] for one in answer["recommendations"]}
    assert found == {films[row].item_id for row in rows}


def test_nothing_fits(service: Running):
    answer = service.post("/recommendations", rated=[], filters={"min_ratings": 10_000}, why=3)
    assert answer.json() == {"recommendations": [], "judged": 0, "fitting": 0}


def test_a_history_without_events_has_no_reasons(service: Running):
    answer = service.post("/recommendations", rated=[], top=2, why=3).json()
    assert [one["why"] for one in answer["recommendations"]] == [[], []]


def test_films_are_found_by_title_or_by_how_often_they_were_rated(
    service: Running, served_judge: Judge
):
    catalogue = Catalogue.of(served_judge.subject.folder)
    found = service.client.get("/films", params={"query": "amelie"}).json()["films"]
    assert found[0]["title"] == "Amélie"
    assert found[0]["id"] == catalogue.items[catalogue.find("amelie")].item_id
    for query in ({}, {"query": "  "}):
        listed = service.client.get("/films", params=query).json()["films"]
        ratings = [film["ratings"] for film in listed]
        assert ratings == sorted(catalogue.ratings.tolist(), reverse=True)[:10]
    assert len(service.client.get("/films", params={"limit": 3}).json()["films"]) == 3


def test_health_says_what_is_served(service: Running, served_judge: Judge, tiny_qwen3: Path):
    health = service.client.get("/health").json()
    assert health == {
        "status": "ok",
        "model": tiny_qwen3.name,
        "tuned": True,
        "data": file_digest(served_judge.subject.folder.path / "items.parquet")[:16],
        "films": len(items_of(served_judge)),
        "history_len": 5,
        "every_rating_counts": False,
        "scale": {"min": 0.5, "max": 5.0, "step": 0.5},
        "genres": ["Action", "Comedy", "Drama", "Film-Noir", "Sci-Fi"],
        "limits": {"candidates": 5000, "history": 1000, "top": 100},
    }


def test_odd_titles_are_told_as_they_are(service: Running, served_judge: Judge):
    listed = service.client.get("/films", params={"limit": 50})
    assert listed.headers["content-type"] == "application/json"
    titles = {film["title"] for film in listed.json()["films"]}
    assert titles == {film.title for film in items_of(served_judge)}


def test_a_cpu_judges_few_films_unless_told(
    tmp_path: Path, tiny_qwen3: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "reeltune")
    many = PreparedFolder.open(write_prepared(tmp_path / "prepared", users=2, items=130))
    judge = Judge(drawn_subject(many, tiny_qwen3))
    with running(judge) as service:
        answer = service.post("/recommendations", rated=[]).json()
        assert (answer["judged"], answer["fitting"]) == (DEFAULT_CANDIDATES, 130)
        assert service.post("/recommendations", rated=[], candidates=130).json()["judged"] == 130
    assert [one for one in caplog.records if f" {DEFAULT_CANDIDATES} " in one.getMessage()]
    with running(judge, default_candidates=20) as service:
        assert service.post("/recommendations", rated=[]).json()["judged"] == 20
