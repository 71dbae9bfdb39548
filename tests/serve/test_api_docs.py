"""The OpenAPI description holds what is answered, and /docs shows it without loading anything."""

from __future__ import annotations

import re
from typing import Any

import pytest
from markupsafe import escape

from reeltune.serve.api_docs import fields, render, type_text
from tests.serve.running import Running

ROUTES = {
    "/health": "get",
    "/items": "get",
    "/predictions": "post",
    "/recommendations": "post",
    "/metrics": "get",
}


@pytest.fixture(scope="module")
def openapi(service: Running) -> dict[str, Any]:
    """The description."""
    return service.client.get("/openapi.json").json()


def test_every_route_is_described(openapi):
    assert {path: next(iter(found)) for path, found in openapi["paths"].items()} == ROUTES


def test_every_error_response_has_the_one_schema(openapi):
    error = {"$ref": "#/components/schemas/ErrorResponse"}
    for methods in openapi["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if status != "200":
                    assert answer["content"]["application/json"]["schema"] == error
    assert "HTTPValidationError" not in openapi["components"]["schemas"]


def test_docs_show_every_route_and_every_field(service: Running, openapi):
    page = service.client.get("/docs").text
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            assert f"<code>{method.upper()} {path}</code>" in page
            assert escape(operation["description"]) in page
    for schema in openapi["components"]["schemas"].values():
        for name in schema["properties"]:
            assert f"<td><code>{name}</code></td>" in page


def test_docs_load_nothing_but_their_own_style(service: Running):
    page = service.client.get("/docs").text
    assert re.findall(r'(?:href|src)="([^"]*)"', page) == [
        "/favicon.svg",
        "/docs.css",
        "/openapi.json",
    ]
    assert not re.search(r"<script|<style|style=|\son\w+=|://", page)
    style = service.client.get("/docs.css")
    assert style.headers["content-type"].startswith("text/css")
    assert not re.search(r"@import|url\(|://", style.text)


def test_descriptions_are_escaped(openapi):
    hostile = "<script>alert(1)</script>"
    changed = {**openapi, "info": {"title": hostile, "version": "1", "description": hostile}}
    page = render(changed)
    assert hostile not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 0, "maximum": 5}, "integer, at least 0, at most 5"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Rated"}}, "list of Rated"),
        ({"type": "number", "multipleOf": 0.5}, "number, in steps of 0.5"),
        ({}, "anything"),
    ],
)
def test_types_and_constraints_as_text(schema, words):
    assert type_text(schema) == words


def test_only_optional_fields_have_a_default():
    schema = {
        "required": ["a"],
        "properties": {"a": {"type": "string"}, "b": {"type": "string", "default": "x"}},
    }
    assert [field["default"] for field in fields(schema)] == ["", '"x"']
