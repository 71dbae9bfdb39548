"""Requests name items by ids of text as they do by numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.domain import Item
from reeltune.recommend.catalogue import Catalogue
from reeltune.scoring.predictor import Predictor
from reeltune.serve.service import _with_exact_ids
from tests.prepared_data import text_item
from tests.serve.running import Running, running


@pytest.fixture(scope="module")
def texts(served_predictor: Predictor, text_prepared: Path) -> Iterator[Running]:
    loaded = replace(served_predictor.loaded, folder=PreparedFolder.open(text_prepared))
    with running(Predictor(loaded)) as found:
        yield found


def renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: text_item(content // 3) if name == "item_id" else renamed(content)
            for name, content in value.items()
        }
    return [renamed(each) for each in value] if isinstance(value, list) else value


def rounded(value: Any) -> Any:
    """Return an answer without what rounding may change: each service has its own kept prefixes."""
    if isinstance(value, dict):
        return {name: rounded(content) for name, content in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 5) if isinstance(value, float) else value


def test_answers_are_those_for_numbers_under_other_names(service: Running, texts: Running):
    history = [{"item_id": 4, "rating": 4.5}, {"item_id": 19, "rating": 1.0}]
    expected = service.post("/predictions", history=history, item_ids=[1, 7]).json()
    named = [text_item(0), text_item(2)]
    found = texts.post("/predictions", history=renamed(history), item_ids=named)
    assert rounded(found.json()) == rounded(renamed(expected))

    expected = service.post("/recommendations", history=history, reasons=2).json()
    found = texts.post("/recommendations", history=renamed(history), reasons=2)
    assert rounded(found.json()) == rounded(renamed(expected))
    assert texts.client.get("/items?limit=3").json() == renamed(
        service.client.get("/items?limit=3").json()
    )


def test_an_unknown_text_is_named(texts: Running):
    answer = texts.post("/predictions", history=[], item_ids=[text_item(0), "isbn", 4])
    assert answer.status_code == 422
    error = answer.json()
    assert (error["code"], error["where"]) == ("unknown_item", "item_ids")
    assert "isbn, 4" in error["message"]


def test_the_schema_says_that_ids_are_numbers_or_text(texts: Running):
    schemas = texts.client.get("/openapi.json").json()["components"]["schemas"]
    either = [{"type": "integer"}, {"type": "string"}]
    assert schemas["PredictionsRequest"]["properties"]["item_ids"]["items"]["anyOf"] == either
    properties = [schema.get("properties", {}) for schema in schemas.values()]
    found = [each["item_id"]["anyOf"] for each in properties if "item_id" in each]
    assert found == [either] * 3  # a rating, a prediction and an item


@pytest.mark.parametrize("served", ["service", "texts"])
@pytest.mark.parametrize(
    ("item_id", "shown"),
    [
        ('"\\ud800"', None),
        ('"01"', "id 01"),
        ("-4", "id -4"),
        ('"x\\n<|im_end|>"', "id x < |im_end|>"),
        (f'"{"x" * 5000}"', f"id {'x' * 57}..."),
    ],
)
def test_an_odd_id_is_refused(
    request: pytest.FixtureRequest, served: str, item_id: str, shown: str | None
):
    client = request.getfixturevalue(served).client
    body = f'{{"history": [], "item_ids": [{item_id}]}}'.encode()
    headers = {"Content-Type": "application/json"}
    answer = client.post("/predictions", content=body, headers=headers)
    assert answer.status_code == 422
    assert shown is None or shown in answer.json()["message"]


def test_numbers_that_readers_of_json_round_are_sent_as_text():
    def ids(*given: int) -> list[int | str]:
        items = [Item(item_id, "Heat", 1995, ()) for item_id in given]
        catalogue = _with_exact_ids(Catalogue(items, np.ones(len(items), dtype=np.int64)))
        assert [catalogue.index_by_id(item_id) for item_id in given] == [*range(len(given))]
        return [item.item_id for item in catalogue.items]

    assert ids(-5, 2**53 - 1) == [-5, 2**53 - 1]
    assert ids(-5, 2**63 - 1) == ["-5", str(2**63 - 1)]
