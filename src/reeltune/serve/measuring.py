"""What the service counts and times, in the text form Prometheus reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from reeltune.serve.passes import Part

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Measures:
    """Counters and timings of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "reeltune_requests",
            "Requests answered",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "reeltune_request_seconds",
            "Seconds from a request's headers to its answer",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.verdicts = Counter(
            "reeltune_verdicts", "Verdicts computed", ["model"], registry=self.registry
        )
        self.waiting = Gauge(
            "reeltune_questions_waiting", "Questions not in a pass yet", registry=self.registry
        )
        self.pass_seconds = Histogram(
            "reeltune_pass_seconds",
            "Seconds of one pass; their count is that of the passes",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.pass_questions = Histogram(
            "reeltune_pass_questions",
            "Questions in one pass",
            buckets=_SIZES,
            registry=self.registry,
        )
        self.pass_verdicts = Histogram(
            "reeltune_pass_verdicts",
            "Verdicts in one pass",
            buckets=_SIZES,
            registry=self.registry,
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request.

        Args:
            route: The path as the service declares it, never as the client wrote it.
            status: The HTTP status.
            seconds: How long it took.
        """
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def passed(self, parts: Sequence[Part], seconds: float) -> None:
        """Count one pass.

        Args:
            parts: What was in it.
            seconds: How long it took.
        """
        self.pass_seconds.observe(seconds)
        self.pass_questions.observe(len(parts))
        self.pass_verdicts.observe(sum(part.stop - part.start for part in parts))
        for part in parts:
            model = "base" if part.waiting.base else "tuned"
            self.verdicts.labels(model).inc(part.stop - part.start)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text form."""
        return generate_latest(self.registry)
