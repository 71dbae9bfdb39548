"""Whatever is sent, the answer is JSON that says what is wrong, and the service goes on."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.serve.running import Running, error_of

pytestmark = pytest.mark.usefixtures("alive_afterwards")


def one(item_id: Any = 4, rating: Any = 4.0) -> dict[str, Any]:
    return {"item_id": item_id, "rating": rating}


BAD_VERDICTS = [
    ('{"rated": [{"item_id": 4, "rating": NaN}], "item_ids": []}', "rated.0.rating"),
    ('{"rated": [{"item_id": 4, "rating": Infinity}], "item_ids": []}', "rated.0.rating"),
    ('{"rated": [{"item_id": 4, "rating": 1e999}], "item_ids": []}', "rated.0.rating"),
    ('{"rated": [{"item_id": 4, "rating": -3}], "item_ids": []}', "rated.0.rating"),
    ('{"rated": [{"item_id": 4, "rating": 0}], "item_ids": []}', "rated.0.rating"),
    ('{"rated": [{"item_id": 4, "rating": 5.5}], "item_ids": []}', "rated.0.rating"),
    ('{"rated": [{"item_id": 4, "rating": 4.25}], "item_ids": []}', "rated.0.rating"),
    ('{"rated": [{"item_id": 4, "rating": "4"}], "item_ids": []}', "rated.0.rating"),
    ('{"rated": [{"item_id": 4, "rating": true}], "item_ids": []}', "rated.0.rating"),
    ('{"rated": [{"item_id": 4, "rating": null}], "item_ids": []}', "rated.0.rating"),
    ('{"rated": [{"item_id": 4}], "item_ids": []}', "rated.0.rating"),
    ('{"rated": [{"item_id": "4", "rating": 4}], "item_ids": []}', "rated.0.item_id"),
    ('{"rated": [{"item_id": -4, "rating": 4}], "item_ids": []}', "rated.0.item_id"),
    ('{"rated": [], "item_ids": [1e400]}', "item_ids.0"),
    ('{"rated": [], "item_ids": [%s]}' % ("9" * 30), "item_ids.0"),
    ('{"rated": [], "item_ids": [true]}', "item_ids.0"),
    ('{"rated": [], "item_ids": "1"}', "item_ids"),
    ('{"rated": {}, "item_ids": []}', "rated"),
    ('{"item_ids": []}', "rated"),
    ('{"rated": [], "item_ids": [], "extra": 1}', "extra"),
    ('{"rated": [], "item_ids": [], "base": "yes"}', "base"),
    ('{"rated": [], "item_ids": [], "\\ud800": 1}', "body"),
    ('{"rated": [], "item_ids": [], "%s": 1}' % ("x" * 5000), "x" * 100),
    ("[]", "body"),
    ("null", "body"),
    ("", "body"),
]


@pytest.mark.parametrize(("body", "place"), BAD_VERDICTS)
def test_a_bad_field_is_named(strict: Running, body: str, place: str):
    headers = {"Content-Type": "application/json"}
    answer = strict.client.post("/verdicts", content=body.encode(), headers=headers)
    error_of(answer, 422, "invalid_field", where=place)


def test_json_that_is_cut_off_is_told_where(strict: Running):
    headers = {"Content-Type": "application/json"}
    answer = strict.client.post("/verdicts", content=b'{"rated": [', headers=headers)
    error_of(answer, 422, "invalid_json", where="body, character 11")


def test_all_bad_fields_are_named_up_to_five(strict: Running):
    error = error_of(
        strict.post("/verdicts", item_ids="1", base="yes", a=1, b=1, c=1, d=1),
        422,
        "invalid_field",
        where="rated",
    )
    assert all(f"{field}: " in error["message"] for field in ("item_ids", "base", "a", "b"))
    assert "c: " not in error["message"]
    assert "2 more" in error["message"]


@pytest.mark.parametrize("body", [b"\xff\xff", b"[" * 9000, b'{"a":' * 4000, b"9" * 9000])
def test_a_body_that_is_hardly_json_is_refused(strict: Running, body: bytes):
    headers = {"Content-Type": "application/json"}
    answer = strict.client.post("/recommendations", content=body, headers=headers)
    error_of(answer, 400, "unreadable_body")


@pytest.mark.parametrize(
    ("fields", "code", "figures"),
    [
        ({"rated": [one(2), one(4), one(8)]}, "unknown_item", ["2", "8"]),
        ({"item_ids": [1, 999_999]}, "unknown_item", ["999999"]),
        ({"item_ids": [2] * 30}, "unknown_item", ["2"]),
        ({"item_ids": [*range(2, 60, 3)]}, "unknown_item", ["2", "29", "10"]),
        ({"rated": [one(4), one(1), one(4)]}, "duplicate_rating", ["4"]),
        ({"rated": [one(3 * i + 1) for i in range(7)]}, "over_request_limit", ["7", "6"]),
        ({"item_ids": [1] * 31}, "over_request_limit", ["31", "30"]),
    ],
)
def test_what_is_not_to_be_had_is_named(
    strict: Running, fields: dict[str, Any], code: str, figures: list[str]
):
    answer = strict.post("/verdicts", **{"rated": [], "item_ids": [], **fields})
    message = error_of(answer, 422, code, where=next(iter(fields)))["message"]
    numbers = re.findall(r"\d+", message)
    assert [number for number in numbers if number in figures] == figures
    assert code != "unknown_item" or len(numbers) <= 11


def test_ten_thousand_candidates_are_refused_by_default(service: Running):
    answer = service.post("/verdicts", rated=[], item_ids=[1] * 10_000)
    message = error_of(answer, 422, "over_request_limit", where="item_ids")["message"]
    assert re.findall(r"\d+", message) == ["10000", "5000"]
    answer = service.post("/recommendations", rated=[], candidates=10_000)
    error_of(answer, 422, "over_request_limit", where="candidates")


@pytest.mark.parametrize(
    ("fields", "code", "place"),
    [
        ({"top": 13}, "over_request_limit", "top"),
        ({"top": 0}, "invalid_field", "top"),
        ({"why": 6}, "invalid_field", "why"),
        ({"why": -1}, "invalid_field", "why"),
        ({"candidates": 31}, "over_request_limit", "candidates"),
        ({"candidates": 0}, "invalid_field", "candidates"),
        ({"filters": {"year_from": "old"}}, "invalid_field", "filters.year_from"),
        ({"filters": {"min_ratings": -1}}, "invalid_field", "filters.min_ratings"),
        ({"filters": {"genres": ["x" * 101]}}, "invalid_field", "filters.genres.0"),
        ({"filters": {"genre": []}}, "invalid_field", "filters.genre"),
        ({"filters": {"genres": ["<|im_end|>\ud800"]}}, "invalid_field", "filters.genres.0"),
    ],
)
def test_a_bad_wish_is_named(strict: Running, fields: dict[str, Any], code: str, place: str):
    answer = strict.client.post(
        "/recommendations",
        content=json.dumps({"rated": [], **fields}),
        headers={"Content-Type": "application/json"},
    )
    error_of(answer, 422, code, where=place)


def test_an_unknown_genre_is_named(strict: Running):
    answer = strict.post("/recommendations", rated=[], filters={"genres": ["Drama", "Nonsense"]})
    assert answer.status_code == 422
    assert "Nonsense" in answer.json()["message"]


@pytest.mark.parametrize(
    ("params", "place"),
    [({"limit": 51}, "limit"), ({"limit": 0}, "limit"), ({"query": "x" * 201}, "query")],
)
def test_a_search_is_bounded(strict: Running, params: dict[str, Any], place: str):
    error_of(strict.client.get("/films", params=params), 422, "invalid_field", where=place)


@pytest.mark.parametrize(
    "query", ["<|im_end|>", "'; DROP TABLE films; --", "\x00\x1b[2J", "%ff%fe", "🤖" * 100, "../.."]
)
def test_any_text_can_be_searched_for(strict: Running, query: str):
    answer = strict.client.get("/films", params={"query": query})
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_does_not_exist(strict: Running):
    for path in ("/nothing", "/page/../../etc/passwd", "/page.js/../api.js/x", "/verdicts/"):
        error_of(strict.client.get(path), 404, "not_found")
    answer = strict.client.get("/verdicts")
    error_of(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
