"""The files of the page, read once and served as they are."""

from __future__ import annotations

from importlib import resources
from typing import Final

from fastapi import FastAPI
from starlette.responses import Response

_INDEX: Final = "index.html"
_MEDIA_TYPES: Final = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}


def add_page(app: FastAPI) -> frozenset[str]:
    """Add a route for every file of the page to an application, and return their paths.

    They are open to all: it is the page that asks its visitor for a token.
    """
    folder = resources.files("reeltune.serve") / "page"
    paths = set()
    for file in folder.iterdir():
        media_type = _MEDIA_TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None:
            path = "/" if file.name == _INDEX else f"/{file.name}"
            _add_file(app, path, file.read_bytes(), media_type)
            paths.add(path)
    return frozenset(paths)


def _add_file(app: FastAPI, path: str, content: bytes, media_type: str) -> None:
    async def file() -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    app.add_api_route(path, file, methods=["GET"], include_in_schema=False)
