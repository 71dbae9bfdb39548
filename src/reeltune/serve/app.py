"""The web application: routes and middleware."""

from __future__ import annotations

import contextlib
import hashlib
import mimetypes
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final

import jinja2
from fastapi import Depends, FastAPI, Query
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

from reeltune import __version__
from reeltune.blas import one_blas_thread
from reeltune.config.schema import ServingSection
from reeltune.domain import RatingWords, capitalized
from reeltune.recommend.results import Recommendations
from reeltune.scoring.predictor import Predictor
from reeltune.serve import schemas
from reeltune.serve.api_docs import add_docs
from reeltune.serve.auth import BEARER, AuthMiddleware, SecurityHeadersMiddleware
from reeltune.serve.batch_plan import BatchSize, TokenCounts
from reeltune.serve.batching import Batcher
from reeltune.serve.errors import add_error_handlers, error_responses
from reeltune.serve.metrics import CONTENT_TYPE, Metrics, MetricsMiddleware
from reeltune.serve.request_body import (
    RequestBodyMiddleware,
    known_parameters,
    unique_fields,
)
from reeltune.serve.service import Service

_DESCRIPTION: Final = (
    "Will a user who has rated these items like that one? A language model answers. Items have "
    "the ids of the data. Where the service has a token, requests carry it in the header "
    "Authorization: Bearer TOKEN; the page, its files and /health are open to all. GET /health "
    "tells what is served, the rating scale, and the limits of one request."
)

_ERRORS: Final = error_responses(400, 401, 408, 413, 415, 421, 422, 503)


def make_app(predictor: Predictor, serving: ServingSection, token: str | None) -> ASGIApp:
    """Return the ASGI application; requests must carry the ``token``, if there is one."""
    mimetypes.add_type("text/javascript", ".js")  # Python 3.11 knows it under its old name
    metrics = Metrics()
    scoring = predictor.loaded.config.scoring
    counts = TokenCounts(predictor.loaded.tokens, predictor.history_len, scoring.share_history)
    size = BatchSize(serving.target_batch_seconds, scoring.tokens_per_batch)
    batcher = Batcher(predictor, counts, size, serving.max_batch_queries, metrics)
    app = _make_routes(Service(predictor, batcher, serving), batcher, metrics, bool(token))
    open_paths = _add_page(app, predictor.loaded.settings.rating_words) | {"/health"}
    paths = {str(getattr(route, "path", "")) for route in app.routes}
    with_body = RequestBodyMiddleware(app, serving.max_body_bytes, serving.receive_timeout_s)
    with_auth = AuthMiddleware(with_body, serving.host, token, open_paths)
    # Outside of the application, so that responses to unforeseen errors pass through them, too.
    return SecurityHeadersMiddleware(MetricsMiddleware(with_auth, metrics, paths))


def _make_routes(
    service: Service, batcher: Batcher, metrics: Metrics, needs_token: bool
) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with one_blas_thread():  # for the signals, in whatever thread they are computed
            async with batcher.running():
                yield

    app = FastAPI(
        title="reeltune",
        description=_DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    add_error_handlers(app)
    # Declares the token in the OpenAPI schema; AuthMiddleware checks it.
    with_token = [Depends(BEARER)] if needs_token else []
    checked = [*with_token, Depends(known_parameters)]
    with_body = [*checked, Depends(unique_fields)]

    @app.get("/health", responses=error_responses(421))
    async def health() -> schemas.HealthResponse:
        """Tell what is served."""
        return service.health

    @app.get("/items", dependencies=checked, responses=error_responses(401, 421, 422))
    def items(
        query: Annotated[str, Query(max_length=schemas.MAX_QUERY_LENGTH)] = "",
        limit: Annotated[int, Query(ge=1, le=schemas.MAX_ITEMS_FOUND)] = 10,
    ) -> schemas.ItemsResponse:
        """Find items by title; without a query, return the most rated."""
        return service.items(query, limit)

    @app.post("/predictions", dependencies=with_body, responses=_ERRORS)
    async def predictions(request: schemas.PredictionsRequest) -> schemas.PredictionsResponse:
        """Predict how likely a user is to like each item."""
        async with service.admitted():
            return await service.predict(request)

    @app.post("/recommendations", dependencies=with_body, responses=_ERRORS)
    async def recommendations(request: schemas.RecommendationsRequest) -> Recommendations:
        """Return the items a user is most likely to like."""
        async with service.admitted():
            return await service.recommend(request)

    @app.get(
        "/metrics",
        dependencies=with_token,
        response_class=PlainTextResponse,
        responses=error_responses(401, 421, model=False),
    )
    async def prometheus_metrics() -> Response:
        """Return counters and timings in the text format of Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    add_docs(app)
    return app


def _add_page(app: FastAPI, words: RatingWords) -> set[str]:
    """Add a route for every file of the page, and return their paths; they need no token.

    The files are read once: StaticFiles opens one per request, which fails without descriptors.
    ``index.html`` is a template, filled with the words of the data.
    """
    files: dict[str, tuple[bytes, str | None, str]] = {}
    for file in (Path(__file__).parent / "page").iterdir():
        path, content = f"/{file.name}", file.read_bytes()
        if file.name == "index.html":
            path, content = "/", _fill(content.decode(), words).encode()
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        files[path] = content, mimetypes.guess_type(file)[0], etag

    async def page_file(request: Request) -> Response:
        content, media_type, etag = files[request.scope["path"]]
        headers = {"Cache-Control": "no-cache", "ETag": etag}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    # Routes instead of a mount at /, which would answer 404 in place of 405 for every API path.
    for path in files:
        app.add_route(path, page_file, include_in_schema=False)
    return set(files)


def _fill(page: str, words: RatingWords) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["capitalized"] = capitalized
    names = ("item", "items", "an_item", "like")
    values = {name: getattr(words.domain, name) for name in names}
    noun = words.noun if words.unit else "a rating"
    return environment.from_string(page).render(values, noun=noun)
