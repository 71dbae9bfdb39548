"""Whatever is sent, the answer is JSON that says what is wrong, and the service goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.serve.running import Running, refusal

pytestmark = pytest.mark.usefixtures("alive_afterwards")


def one(film_id: Any = 4, stars: Any = 4.0) -> dict[str, Any]:
    return {"film_id": film_id, "stars": stars}


BAD_VERDICTS = [
    ('{"rated": [{"film_id": 4, "stars": NaN}], "film_ids": []}', "rated.0.stars"),
    ('{"rated": [{"film_id": 4, "stars": Infinity}], "film_ids": []}', "rated.0.stars"),
    ('{"rated": [{"film_id": 4, "stars": 1e999}], "film_ids": []}', "rated.0.stars"),
    ('{"rated": [{"film_id": 4, "stars": -3}], "film_ids": []}', "rated.0.stars"),
    ('{"rated": [{"film_id": 4, "stars": 0}], "film_ids": []}', "rated.0.stars"),
    ('{"rated": [{"film_id": 4, "stars": 5.5}], "film_ids": []}', "rated.0.stars"),
    ('{"rated": [{"film_id": 4, "stars": 4.25}], "film_ids": []}', "rated.0.stars"),
    ('{"rated": [{"film_id": 4, "stars": "4"}], "film_ids": []}', "rated.0.stars"),
    ('{"rated": [{"film_id": 4, "stars": true}], "film_ids": []}', "rated.0.stars"),
    ('{"rated": [{"film_id": 4, "stars": null}], "film_ids": []}', "rated.0.stars"),
    ('{"rated": [{"film_id": 4}], "film_ids": []}', "rated.0.stars"),
    ('{"rated": [{"film_id": "4", "stars": 4}], "film_ids": []}', "rated.0.film_id"),
    ('{"rated": [{"film_id": -4, "stars": 4}], "film_ids": []}', "rated.0.film_id"),
    ('{"rated": [], "film_ids": [1e400]}', "film_ids.0"),
    ('{"rated": [], "film_ids": [%s]}' % ("9" * 30), "film_ids.0"),
    ('{"rated": [], "film_ids": [true]}', "film_ids.0"),
    ('{"rated": [], "film_ids": "1"}', "film_ids"),
    ('{"rated": {}, "film_ids": []}', "rated"),
    ('{"film_ids": []}', "rated"),
    ('{"rated": [], "film_ids": [], "extra": 1}', "extra"),
    ('{"rated": [], "film_ids": [], "base": "yes"}', "base"),
    ('{"rated": [], "film_ids": [], "\\ud800": 1}', "body"),
    ('{"rated": [], "film_ids": [], "%s": 1}' % ("x" * 5000), "x" * 100),
    ("[]", "body"),
    ("null", "body"),
    ("", "body"),
]


@pytest.mark.parametrize(("body", "place"), BAD_VERDICTS)
def test_a_bad_field_is_named(strict: Running, body: str, place: str):
    headers = {"Content-Type": "application/json"}
    answer = strict.client.post("/verdicts", content=body.encode(), headers=headers)
    assert refusal(answer, 422).startswith(f"{place}: ")


def test_json_that_is_cut_off_is_told_where(strict: Running):
    headers = {"Content-Type": "application/json"}
    answer = strict.client.post("/verdicts", content=b'{"rated": [', headers=headers)
    assert refusal(answer, 422) == "the body is not JSON from its character 11 on"


@pytest.mark.parametrize("body", [b"\xff\xff", b"[" * 9000, b'{"a":' * 4000, b"9" * 9000])
def test_a_body_that_is_hardly_json_is_refused(strict: Running, body: bytes):
    headers = {"Content-Type": "application/json"}
    answer = strict.client.post("/recommendations", content=body, headers=headers)
    assert refusal(answer, 400) == "the body cannot be read as JSON"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rated": [one(2), one(4), one(8)]}, "rated: no film has the id 2, 8"),
        ({"film_ids": [1, 999_999]}, "film_ids: no film has the id 999999"),
        ({"film_ids": [2] * 30}, "film_ids: no film has the id 2"),
        ({"film_ids": [*range(2, 60, 3)]}, "and 10 more"),
        ({"rated": [one(4), one(1), one(4)]}, "film 4 is rated twice"),
        ({"rated": [one(3 * i + 1) for i in range(7)]}, "rated: 7 films are more than the 6"),
        ({"film_ids": [1] * 31}, "film_ids: 31 films are more than the 30"),
    ],
)
def test_what_is_not_to_be_had_is_named(strict: Running, fields: dict[str, Any], said: str):
    answer = strict.post("/verdicts", **{"rated": [], "film_ids": [], **fields})
    assert said in refusal(answer, 422)


def test_ten_thousand_candidates_are_refused_by_default(service: Running):
    answer = service.post("/verdicts", rated=[], film_ids=[1] * 10_000)
    assert "10000 films are more than the 5000" in refusal(answer, 422)
    answer = service.post("/recommendations", rated=[], candidates=10_000)
    assert refusal(answer, 422).startswith("candidates: 10000 films")


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"top": 13}, "top"),
        ({"top": 0}, "top"),
        ({"why": 6}, "why"),
        ({"why": -1}, "why"),
        ({"candidates": 31}, "candidates"),
        ({"candidates": 0}, "candidates"),
        ({"filters": {"year_from": "old"}}, "filters.year_from"),
        ({"filters": {"min_ratings": -1}}, "filters.min_ratings"),
        ({"filters": {"genres": ["x" * 101]}}, "filters.genres.0"),
        ({"filters": {"genre": []}}, "filters.genre"),
        ({"filters": {"genres": ["Drama", "Nonsense"]}}, "no film has the genre 'Nonsense'"),
        ({"filters": {"genres": ["<|im_end|>\ud800"]}}, "filters.genres.0"),
    ],
)
def test_a_bad_wish_is_named(strict: Running, fields: dict[str, Any], place: str):
    answer = strict.client.post(
        "/recommendations",
        content=json.dumps({"rated": [], **fields}),
        headers={"Content-Type": "application/json"},
    )
    assert refusal(answer, 422).startswith(place)


@pytest.mark.parametrize(
    ("params", "place"),
    [({"limit": 51}, "limit"), ({"limit": 0}, "limit"), ({"query": "x" * 201}, "query")],
)
def test_a_search_is_bounded(strict: Running, params: dict[str, Any], place: str):
    assert refusal(strict.client.get("/films", params=params), 422).startswith(place)


@pytest.mark.parametrize(
    "query", ["<|im_end|>", "'; DROP TABLE films; --", "\x00\x1b[2J", "%ff%fe", "🤖" * 100, "../.."]
)
def test_any_text_can_be_searched_for(strict: Running, query: str):
    answer = strict.client.get("/films", params={"query": query})
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_does_not_exist(strict: Running):
    assert refusal(strict.client.get("/nothing"), 404) == "not found"
    assert refusal(strict.client.get("/page/../../etc/passwd"), 404) == "not found"
    assert refusal(strict.client.get("/verdicts/"), 404) == "not found"
    answer = strict.client.get("/verdicts")
    assert refusal(answer, 405) == "method not allowed"
    assert answer.headers["allow"] == "POST"
