"""The web application: routes and middleware."""

from __future__ import annotations

import contextlib
import mimetypes
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Query
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from reeltune import __version__
from reeltune.asking.judge import Judge
from reeltune.config.schema import ServingSection
from reeltune.recommend.catalogue import Catalogue
from reeltune.runs.log import LOGGER
from reeltune.serve import contract, metrics
from reeltune.serve.api_docs import add_docs
from reeltune.serve.auth import BEARER, AuthMiddleware, SecurityHeadersMiddleware
from reeltune.serve.batch_size import BatchSize, TokenCounts
from reeltune.serve.bounds import Bounds
from reeltune.serve.errors import add_error_handlers, error_responses
from reeltune.serve.gathering import Gatherer
from reeltune.serve.metrics import Metrics, MetricsMiddleware
from reeltune.serve.request_body import RequestBodyMiddleware
from reeltune.serve.service import Service

_DESCRIPTION: Final = (
    "Will somebody who has rated these films like that one? A language model answers. Films have "
    "their MovieLens ids. Where the service has a token, requests carry it in the header "
    "Authorization: Bearer TOKEN; the page, its files and /health are open to all. GET /health "
    "tells what is served, on which scale films are rated, and how much one request may ask for."
)

_PAGE_SUFFIXES: Final = {".html", ".css", ".js", ".svg"}

_ERRORS: Final = error_responses(400, 401, 408, 413, 415, 421, 422, 503)


def make_app(judge: Judge, serving: ServingSection, token: str | None) -> ASGIApp:
    """Return the ASGI application.

    Args:
        judge: Which model answers.
        serving: The limits, and the host that requests are addressed to.
        token: The token that requests must carry; None admits all.
    """
    mimetypes.add_type("text/javascript", ".js")  # Python 3.11 knows it under its old name
    service_metrics = Metrics()
    catalogue = Catalogue.of(judge.subject.folder)
    counts = TokenCounts(
        judge.subject.tokens, judge.history_len, judge.subject.config.scoring.layout
    )
    bounds = Bounds(judge, catalogue, serving)
    LOGGER.info(bounds.sentence())
    size = BatchSize(serving.target_batch_seconds, judge.subject.config.scoring.tokens_per_batch)
    gatherer = Gatherer(judge, counts, size, serving.max_batch_queries, service_metrics)
    service = Service(judge, catalogue, gatherer, bounds)
    app = _make_routes(service, gatherer, service_metrics, bool(token))
    open_paths = _add_page(app) | {"/health"}
    paths = {str(getattr(route, "path", "")) for route in app.routes}
    with_body = RequestBodyMiddleware(app, serving.max_body_bytes, serving.receive_timeout_s)
    with_auth = AuthMiddleware(with_body, serving.host, token, open_paths)
    # Outside of the application, so that responses to unforeseen errors pass through them, too.
    return SecurityHeadersMiddleware(MetricsMiddleware(with_auth, service_metrics, paths))


def _make_routes(
    service: Service, gatherer: Gatherer, service_metrics: Metrics, needs_token: bool
) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with gatherer.working():
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

    @app.get("/health", responses=error_responses(421))
    async def health() -> contract.Health:
        """Say what is being served."""
        return service.health()

    @app.get("/films", dependencies=with_token, responses=error_responses(401, 421, 422))
    def films(
        query: Annotated[str, Query(max_length=contract.MOST_QUERY)] = "",
        limit: Annotated[int, Query(ge=1, le=contract.MOST_FOUND)] = 10,
    ) -> contract.Items:
        """Find films by their titles; without a title, the most rated."""
        return service.films(query, limit)

    @app.post("/verdicts", dependencies=with_token, responses=_ERRORS)
    async def verdicts(asked: contract.VerdictsRequest) -> contract.VerdictsTold:
        """Say how likely somebody is to like each film."""
        async with service.admitted():
            return await service.verdicts(asked)

    @app.post("/recommendations", dependencies=with_token, responses=_ERRORS)
    async def recommendations(
        asked: contract.RecommendationsRequest,
    ) -> contract.RecommendationsTold:
        """Return the films somebody is likeliest to like."""
        async with service.admitted():
            return await service.recommendations(asked)

    @app.get(
        "/metrics",
        dependencies=with_token,
        response_class=PlainTextResponse,
        responses=error_responses(401, 421, model=False),
    )
    async def prometheus_metrics() -> Response:
        """Return counters and timings in the text format of Prometheus."""
        return Response(service_metrics.text(), media_type=metrics.CONTENT_TYPE)

    add_docs(app)
    return app


def _add_page(app: FastAPI) -> set[str]:
    """Add a route for every file of the page, and return their paths; they need no token."""
    folder = Path(__file__).parent / "page"
    files = StaticFiles(directory=folder)

    async def page_file(request: Request) -> Response:
        name = request.url.path.removeprefix("/") or "index.html"
        response = await files.get_response(name, request.scope)
        response.headers["Cache-Control"] = "no-cache"
        return response

    # Routes instead of a mount at /, which would answer 404 in place of 405 for every API path.
    names = [file.name for file in folder.iterdir() if file.suffix in _PAGE_SUFFIXES]
    paths = {"/" if name == "index.html" else f"/{name}" for name in names}
    for path in paths:
        app.add_route(path, page_file, include_in_schema=False)
    return paths
