"""The page at ``/docs``: the OpenAPI description, for people.

The usual pages load their scripts from elsewhere and style themselves inline, which the headers of
this service forbid. This one is plain HTML, made from the description once.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final

import jinja2
from fastapi import FastAPI
from starlette.responses import Response

_REF: Final = "#/components/schemas/"
_BOUNDS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "in steps of {}",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} of them",
}


def add_description(app: FastAPI) -> None:
    """Add ``/docs`` and its style to an application that has all its other routes."""
    folder = resources.files("reeltune.serve") / "templates"
    style = (folder / "docs.css").read_bytes()
    page = described(app.openapi()).encode()

    async def docs() -> Response:
        return Response(page, media_type="text/html")

    async def docs_style() -> Response:
        return Response(style, media_type="text/css")

    app.add_api_route("/docs", docs, methods=["GET"], include_in_schema=False)
    app.add_api_route("/docs.css", docs_style, methods=["GET"], include_in_schema=False)


def described(openapi: dict[str, Any]) -> str:
    """Return a description as an HTML page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reeltune.serve"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"kind": kind, "fields": fields}
    return environment.get_template("docs.html.j2").render(
        info=openapi["info"],
        operations=list(_operations(openapi)),
        schemas=openapi["components"]["schemas"],
    )


def kind(schema: dict[str, Any]) -> str:
    """Return what values a schema takes, in a few words."""
    if "$ref" in schema:
        return schema["$ref"].removeprefix(_REF)
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"])
    words = str(schema.get("type", "anything"))
    if words == "array":
        words = f"list of {kind(schema['items'])}"
    bounds = [text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema]
    return ", ".join([words, *bounds])


def fields(schema: dict[str, Any]) -> list[dict[str, str]]:
    """Return the fields of an object: their names, what they take, and what they mean."""
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "kind": kind(one),
            "default": "" if name in required else json.dumps(one.get("default")),
            "about": one.get("description", ""),
        }
        for name, one in schema.get("properties", {}).items()
    ]


def _operations(openapi: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what can be asked: method, path, parameters, body and answers."""
    return [
        {
            "method": method.upper(),
            "path": path,
            "about": one.get("description", ""),
            "parameters": {
                "properties": {
                    parameter["name"]: parameter["schema"]
                    for parameter in one.get("parameters", [])
                }
            },
            "body": _body(one.get("requestBody", {})),
            "answers": {
                status: {"about": answer["description"], "body": _body(answer)}
                for status, answer in one["responses"].items()
            },
        }
        for path, methods in openapi["paths"].items()
        for method, one in methods.items()
    ]


def _body(part: dict[str, Any]) -> str:
    """Return what a body holds; nothing where there is none, or none that is described."""
    schemas = [content.get("schema", {}) for content in part.get("content", {}).values()]
    return ", ".join(kind(schema) for schema in schemas if schema)
