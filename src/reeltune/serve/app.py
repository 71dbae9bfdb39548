"""The web application: its routes, and what stands around them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import FastAPI, Query
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

from reeltune import __version__
from reeltune.asking.judge import Judge
from reeltune.config.schema import ServingSection
from reeltune.recommend.catalogue import Catalogue
from reeltune.runs.log import LOGGER
from reeltune.serve import contract, measuring
from reeltune.serve.bodies import WholeBodies
from reeltune.serve.bounds import Bounds
from reeltune.serve.costs import Costs
from reeltune.serve.description import add_description
from reeltune.serve.entrance import Entrance
from reeltune.serve.errors import add_error_handlers, error_responses
from reeltune.serve.gathering import Gatherer
from reeltune.serve.measuring import Measures
from reeltune.serve.observed import Observed
from reeltune.serve.pace import Pace
from reeltune.serve.page_files import add_page
from reeltune.serve.service import Service

_ABOUT: Final = (
    "Will somebody who has rated these films like that one? A language model answers. Films have "
    "their MovieLens ids. Where the service has a token, requests bear it in the header "
    "Authorization: Bearer TOKEN; the page, its files and /health are open to all. GET /health "
    "says what is served, on which scale films are rated, and how much one request may ask for."
)

_ERRORS: Final = error_responses(400, 401, 408, 413, 415, 421, 422, 503)


def make_app(judge: Judge, serving: ServingSection, token: str | None) -> ASGIApp:
    """Return the application, ready to be run by an ASGI server.

    Args:
        judge: Which model answers.
        serving: The limits, and the host that requests are addressed to.
        token: What requests must bear; None lets everybody ask.
    """
    measures = Measures()
    catalogue = Catalogue.of(judge.subject.folder)
    costs = Costs(judge.subject.tokens, judge.history_len, judge.subject.config.scoring.layout)
    bounds = Bounds(judge, catalogue, serving)
    LOGGER.info(bounds.sentence())
    pace = Pace(serving.target_batch_seconds, judge.subject.config.scoring.tokens_per_batch)
    gatherer = Gatherer(judge, costs, pace, serving.max_batch_queries, measures)
    service = Service(judge, catalogue, gatherer, bounds)
    app = _routes(service, gatherer, measures)
    open_paths = add_page(app) | {"/health"}
    paths = frozenset(str(getattr(route, "path", "")) for route in app.routes)
    whole = WholeBodies(app, serving.max_body_bytes, serving.receive_timeout_s)
    entrance = Entrance(whole, serving.host, token, open_paths)
    return Observed(entrance, measures, paths)


def _routes(service: Service, gatherer: Gatherer, measures: Measures) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with gatherer.working():
            yield

    app = FastAPI(
        title="reeltune",
        description=_ABOUT,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    add_error_handlers(app)

    @app.get("/health", responses=error_responses(421))
    async def health() -> contract.Health:
        """Say what is being served."""
        return service.health()

    @app.get("/films", responses=error_responses(401, 421, 422))
    def films(
        query: Annotated[str, Query(max_length=contract.MOST_QUERY)] = "",
        limit: Annotated[int, Query(ge=1, le=contract.MOST_FOUND)] = 10,
    ) -> contract.Films:
        """Find films by their titles; without a title, the most rated."""
        return service.films(query, limit)

    @app.post("/verdicts", responses=_ERRORS)
    async def verdicts(asked: contract.VerdictsRequest) -> contract.VerdictsTold:
        """Say how likely somebody is to like each film."""
        async with service.admitted():
            return await service.verdicts(asked)

    @app.post("/recommendations", responses=_ERRORS)
    async def recommendations(
        asked: contract.RecommendationsRequest,
    ) -> contract.RecommendationsTold:
        """Return the films somebody is likeliest to like."""
        async with service.admitted():
            return await service.recommendations(asked)

    @app.get(
        "/metrics",
        response_class=PlainTextResponse,
        responses=error_responses(401, 421, model=False),
    )
    async def metrics() -> Response:
        """Return counters and timings in Prometheus' text form."""
        return Response(measures.text(), media_type=measuring.CONTENT_TYPE)

    add_description(app)
    return app
