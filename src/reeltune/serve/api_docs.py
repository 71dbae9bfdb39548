"""The page at ``/docs``: the OpenAPI schema as plain HTML.

FastAPI's pages load scripts from elsewhere and use inline styles, which our content security
policy forbids.
"""

from __future__ import annotations

import json
from typing import Any, Final

import jinja2
from fastapi import FastAPI
from starlette.responses import HTMLResponse, Response

_REF: Final = "#/components/schemas/"
_CONSTRAINTS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "in steps of {}",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} of them",
}


def add_docs(app: FastAPI) -> None:
    """Add ``/docs`` to an application that has all its other routes."""
    page = render(app.openapi())

    async def docs() -> Response:
        return HTMLResponse(page)

    app.add_api_route("/docs", docs, methods=["GET"], include_in_schema=False)


def render(openapi: dict[str, Any]) -> str:
    """Return an OpenAPI schema as an HTML page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reeltune.serve"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "fields": fields,
        "body_type": _body_type,
        "properties": lambda parameters: {each["name"]: each["schema"] for each in parameters},
    }
    return environment.get_template("docs.html.j2").render(openapi)


def type_text(schema: dict[str, Any]) -> str:
    """Return the type of a schema and its constraints, such as ``integer, at least 0``."""
    if "$ref" in schema:
        return schema["$ref"].removeprefix(_REF)
    if "anyOf" in schema:
        return " or ".join(type_text(choice) for choice in schema["anyOf"])
    text = str(schema.get("type", "anything"))
    if text == "array":
        text = f"list of {type_text(schema['items'])}"
    constraints = (form.format(schema[key]) for key, form in _CONSTRAINTS.items() if key in schema)
    return ", ".join([text, *constraints])


def fields(schema: dict[str, Any]) -> list[dict[str, str]]:
    """Return name, type, default (empty if required) and description of an object's fields."""
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "type": type_text(field),
            "default": "" if name in required else json.dumps(field.get("default")),
            "description": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _body_type(described: dict[str, Any]) -> str:
    """Return the type of a request or response body; empty where none is described."""
    schemas = [content.get("schema", {}) for content in described.get("content", {}).values()]
    return ", ".join(type_text(schema) for schema in schemas if schema)
