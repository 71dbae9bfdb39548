"""Any invalid request gets a JSON error, and the service continues."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from reeltune.config.schema import ServingSection
from reeltune.domain import WHOLE_STARS
from reeltune.errors import RequestError
from reeltune.recommend.catalogue import Catalogue
from reeltune.scoring.predictor import Predictor
from reeltune.serve.schemas import RatedItem
from reeltune.serve.service import RequestValidator
from tests.errors import raises_error
from tests.serve.running import Running, error_of

pytestmark = pytest.mark.usefixtures("alive_afterwards")


def one(item_id: Any = 4, rating: Any = 4.0) -> dict[str, Any]:
    return {"item_id": item_id, "rating": rating}


INVALID_REQUESTS = [
    ('{"history": [{"item_id": 4, "rating": NaN}], "item_ids": []}', "history.0.rating"),
    ('{"history": [{"item_id": 4, "rating": Infinity}], "item_ids": []}', "history.0.rating"),
    ('{"history": [{"item_id": 4, "rating": 1e999}], "item_ids": []}', "history.0.rating"),
    ('{"history": [{"item_id": 4, "rating": "4"}], "item_ids": []}', "history.0.rating"),
    ('{"history": [{"item_id": 4, "rating": true}], "item_ids": []}', "history.0.rating"),
    ('{"history": [{"item_id": 4, "rating": null}], "item_ids": []}', "history.0.rating"),
    ('{"history": [{"item_id": 4}], "item_ids": []}', "history.0.rating"),
    ('{"history": [{"item_id": 4.0, "rating": 4}], "item_ids": []}', "history.0.item_id"),
    ('{"history": [{"item_id": ["4"], "rating": 4}], "item_ids": []}', "history.0.item_id"),
    ('{"history": [], "item_ids": [1e400]}', "item_ids.0"),
    ('{"history": [], "item_ids": [%s]}' % ("9" * 30), "item_ids.0"),
    ('{"history": [], "item_ids": [true]}', "item_ids.0"),
    ('{"history": [], "item_ids": "1"}', "item_ids"),
    ('{"history": {}, "item_ids": []}', "history"),
    ('{"item_ids": []}', "history"),
    ('{"history": [], "item_ids": [], "extra": 1}', "extra"),
    ('{"history": [], "item_ids": [], "base": "yes"}', "base"),
    ('{"history": [], "item_ids": [], "\\ud800": 1}', "body"),
    ('{"history": [], "item_ids": [], "%s": 1}' % ("x" * 5000), "x" * 100),
    ("[]", "body"),
    ("null", "body"),
    ("", "body"),
]


@pytest.mark.parametrize(("body", "place"), INVALID_REQUESTS)
def test_a_bad_field_is_named(strict: Running, body: str, place: str):
    headers = {"Content-Type": "application/json"}
    answer = strict.client.post("/predictions", content=body.encode(), headers=headers)
    error_of(answer, 422, "invalid_field", where=place)


@pytest.mark.parametrize(
    ("address", "code", "where"),
    [
        ("items?limit=1&limit=2", "duplicate_field", "limit"),
        ("items?query=a&foo=1", "unknown_parameter", "foo"),
        ("items?limit=x", "invalid_field", "limit"),
        ("predictions?base=1", "unknown_parameter", "base"),
        ("recommendations?top_k=3", "unknown_parameter", "top_k"),
    ],
)
def test_parameters_of_an_address_are_checked(strict: Running, address: str, code: str, where: str):
    post = not address.startswith("items")
    fields = {"history": []} | ({"item_ids": [1]} if "predictions" in address else {})
    answer = strict.post(f"/{address}", **fields) if post else strict.client.get(f"/{address}")
    error_of(answer, 422, code, where=where)


def test_messages_begin_with_what_is_wrong(strict: Running):
    answer = strict.post("/predictions", history=[one(1.5)], item_ids=[True])
    message = error_of(answer, 422, "invalid_field", where="history.0.item_id")["message"]
    assert message.startswith("an id is") and "Value error" not in message


def test_truncated_json_is_located(strict: Running):
    headers = {"Content-Type": "application/json"}
    answer = strict.client.post("/predictions", content=b'{"history": [', headers=headers)
    error_of(answer, 422, "invalid_json", where="body, character 13")


def test_names_of_fields_have_no_control_characters(strict: Running):
    answer = strict.post("/predictions", history=[], **{"a\n\x1b[2J\x7f": 1})
    message = error_of(answer, 422, "invalid_field", where="item_ids")["message"]
    assert "a\\n\\x1b[2J\\x7f: " in message
    assert message.isprintable()


def test_all_bad_fields_are_named_up_to_five(strict: Running):
    error = error_of(
        strict.post("/predictions", item_ids="1", base="yes", a=1, b=1, c=1, d=1),
        422,
        "invalid_field",
        where="history",
    )
    assert all(f"{field}: " in error["message"] for field in ("item_ids", "base", "a", "b"))
    assert "c: " not in error["message"]
    assert "2 more" in error["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"item_ids: [1]", 422, "invalid_json"),
        (b"\xff\xfeitem", 422, "invalid_json"),  # UTF-16
        (b'{"item_ids": ["\xe9"]}', 400, "unreadable_body"),  # Latin-1
        (b"9" * 9000, 400, "unreadable_body"),
    ],
)
def test_what_is_no_json_has_the_status_of_the_documents(
    strict: Running, body: bytes, status: int, code: str
):
    headers = {"Content-Type": "application/json"}
    answer = strict.client.post("/predictions", content=body, headers=headers)
    error_of(answer, status, code, where="body, character 0" if status == 422 else None)
    docs = Path(__file__).parents[2] / "docs"
    assert f"| `{code}` | HTTP {status} |" in (docs / "ERRORS.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {status}.*", (docs / "USING-serve.md").read_text("utf-8"), re.M)
    assert {422: "is not JSON", 400: "cannot be decoded"}[status] in row


@pytest.mark.parametrize("body", [b"\xff\xff", b"[" * 9000, b'{"a":' * 4000, b"9" * 9000])
def test_an_invalid_body_is_rejected(strict: Running, body: bytes):
    headers = {"Content-Type": "application/json"}
    answer = strict.client.post("/recommendations", content=body, headers=headers)
    # Which one depends on how deep the parser of this Python version goes.
    codes = {400: "unreadable_body", 422: "invalid_json"}
    assert answer.json()["code"] == codes[answer.status_code]


@pytest.mark.parametrize(
    ("fields", "code", "figures"),
    [
        ({"history": [one(2), one(4), one(8)]}, "unknown_item", ["2", "8"]),
        ({"item_ids": [1, 999_999]}, "unknown_item", ["999999"]),
        ({"item_ids": [2] * 30}, "unknown_item", ["2"]),
        ({"item_ids": [*range(2, 60, 3)]}, "unknown_item", ["2", "29", "10"]),
        ({"history": [one(4), one(1), one(4)]}, "item_rated_twice", ["4"]),
        ({"history": [one("4"), one(1), one(4)]}, "item_rated_twice", ["4"]),
        ({"history": [one(3 * i + 1) for i in range(7)]}, "over_request_limit", ["7", "6"]),
        ({"item_ids": [1] * 31}, "over_request_limit", ["31", "30"]),
    ],
)
def test_an_invalid_request_is_explained(
    strict: Running, fields: dict[str, Any], code: str, figures: list[str]
):
    answer = strict.post("/predictions", **{"history": [], "item_ids": [], **fields})
    where = "history.2.item_id" if code == "item_rated_twice" else next(iter(fields))
    message = error_of(answer, 422, code, where=where)["message"]
    numbers = re.findall(r"\d+", message)
    assert [number for number in numbers if number in figures] == figures
    assert code != "unknown_item" or len(numbers) <= 11


def test_ten_thousand_candidates_are_refused_by_default(service: Running):
    answer = service.post("/predictions", history=[], item_ids=[1] * 10_000)
    message = error_of(answer, 422, "over_request_limit", where="item_ids")["message"]
    assert re.findall(r"\d+", message) == ["10000", "5000"]
    answer = service.post("/recommendations", history=[], candidates=10_000)
    error_of(answer, 422, "over_request_limit", where="candidates")


@pytest.mark.parametrize("rating", [-3, 0, 0.25, 5.5, 4.25, 1e308])
@pytest.mark.parametrize("path", ["/predictions", "/recommendations"])
def test_a_rating_that_is_not_on_the_scale_is_named(strict: Running, rating: float, path: str):
    fields = {"item_ids": []} if path == "/predictions" else {}
    answer = strict.post(path, history=[one(1), one(4, rating)], **fields)
    error_of(answer, 422, "rating_not_on_scale", where="history.1.rating")


@pytest.mark.parametrize(
    ("fields", "code", "place"),
    [
        ({"top_k": 13}, "over_request_limit", "top_k"),
        ({"top_k": 0}, "invalid_field", "top_k"),
        ({"reasons": 6}, "invalid_field", "reasons"),
        ({"reasons": -1}, "invalid_field", "reasons"),
        ({"candidates": 31}, "over_request_limit", "candidates"),
        ({"candidates": 0}, "invalid_field", "candidates"),
        ({"filters": {"year_from": "old"}}, "invalid_field", "filters.year_from"),
        ({"filters": {"min_ratings": -1}}, "invalid_field", "filters.min_ratings"),
        ({"filters": {"genres": ["x" * 101]}}, "invalid_field", "filters.genres.0"),
        ({"filters": {"genre": []}}, "invalid_field", "filters.genre"),
        ({"filters": {"genres": ["<|im_end|>\ud800"]}}, "invalid_field", "filters.genres.0"),
    ],
)
def test_a_bad_field_of_recommendations_is_named(
    strict: Running, fields: dict[str, Any], code: str, place: str
):
    answer = strict.client.post(
        "/recommendations",
        content=json.dumps({"history": [], **fields}),
        headers={"Content-Type": "application/json"},
    )
    error_of(answer, 422, code, where=place)


def test_an_unknown_genre_is_named(strict: Running):
    answer = strict.post("/recommendations", history=[], filters={"genres": ["Drama", "Nonsense"]})
    assert answer.status_code == 422
    assert "Nonsense" in answer.json()["message"]


@pytest.mark.parametrize(
    ("params", "place"),
    [({"limit": 51}, "limit"), ({"limit": 0}, "limit"), ({"query": "x" * 201}, "query")],
)
def test_a_search_is_bounded(strict: Running, params: dict[str, Any], place: str):
    error_of(strict.client.get("/items", params=params), 422, "invalid_field", where=place)


@pytest.mark.parametrize(
    "query", ["<|im_end|>", "'; DROP TABLE films; --", "\x00\x1b[2J", "%ff%fe", "🤖" * 100, "../.."]
)
def test_any_text_can_be_searched_for(strict: Running, query: str):
    answer = strict.client.get("/items", params={"query": query})
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_unknown_paths_and_methods(strict: Running):
    for path in (
        "/nothing",
        "/films",
        "/prediction",
        "/page/../../etc/passwd",
        "/page.js/../api.js/x",
        "/predictions/",
    ):
        error_of(strict.client.get(path), 404, "not_found")
    answer = strict.client.get("/predictions")
    error_of(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("rating", [0.5, 3.5, 5.5])
def test_half_stars_are_rejected_where_the_edition_has_none(
    served_predictor: Predictor, rating: float
):
    catalogue = Catalogue.of(served_predictor.loaded.folder)
    validator = RequestValidator(catalogue, WHOLE_STARS, ServingSection())
    ratings = [RatedItem(item_id=1, rating=4.0), RatedItem(item_id=4, rating=rating)]
    with raises_error(
        RequestError, "rating_not_on_scale", where="history.1.rating", figures=[rating, "1 to 5"]
    ):
        validator.history(ratings)
    assert len(validator.history(ratings[:1])) == 1
