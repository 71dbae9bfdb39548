"""Counters and timings of the service, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reeltune.serve.batch_plan import QuerySlice

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

_OTHER: Final = "other"
"""The route counted for unknown paths: their number is unbounded."""

_CLIENT_CLOSED: Final = 499
"""The status counted for a client that closed its connection early, as in nginx."""


class Metrics:
    """All metrics of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(name, text, labels, registry=self._registry, buckets=buckets)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self._registry)

        self._requests = counter("reeltune_requests", "Requests answered", "route", "status")
        self._request_seconds = histogram(
            "reeltune_request_seconds",
            "Seconds from the headers of a request to the end of its response",
            _SECONDS,
            "route",
        )
        self._predictions = counter("reeltune_predictions", "Predictions computed", "model")
        self.queries_waiting = Gauge(
            "reeltune_queries_waiting",
            "Queries that are not in a batch yet",
            registry=self._registry,
        )
        self._batch_seconds = histogram("reeltune_batch_seconds", "Seconds per batch", _SECONDS)
        self._batch_queries = histogram("reeltune_batch_queries", "Queries per batch", _SIZES)
        self._batch_predictions = histogram(
            "reeltune_batch_predictions", "Predictions per batch", _SIZES
        )

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count one request; ``route`` is the path as declared, never as the client wrote it."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def count_batch(self, batch: Sequence[QuerySlice], seconds: float) -> None:
        """Count one batch and its duration."""
        self._batch_seconds.observe(seconds)
        self._batch_queries.observe(len(batch))
        self._batch_predictions.observe(sum(len(part) for part in batch))
        for part in batch:
            model = "base" if part.pending.base else "tuned"
            self._predictions.labels(model).inc(len(part))

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)


class MetricsMiddleware:
    """Count and time every request, by the path of its route."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = _CLIENT_CLOSED
        start = time.perf_counter()

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note_status)
        finally:
            route = scope["path"] if scope["path"] in self._paths else _OTHER
            self._metrics.count_request(route, status, time.perf_counter() - start)
