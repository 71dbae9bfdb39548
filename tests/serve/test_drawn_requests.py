"""Requests drawn from the OpenAPI description are answered as it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serve.running import Running

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OPERATIONS = [
    ("/health", "GET"),
    ("/items", "GET"),
    ("/predictions", "POST"),
    ("/recommendations", "POST"),
    ("/metrics", "GET"),
]

few = settings(
    max_examples=12,
    deadline=None,
    database=None,
    # What counts as against a description is a guess of the library's now and then.
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def described(service: Running) -> Any:
    """The description, as what draws requests."""
    return schemathesis.openapi.from_url(str(service.client.base_url.join("/openapi.json")))


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Connections that stay open."""
    with requests.Session() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_requests_as_described(described: Any, session: requests.Session, path: str, method: str):
    strategy = described[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE)

    @few
    @given(case=strategy)
    def ask(case: Any) -> None:
        case.call_and_validate(session=session, checks=CHECKS)

    ask()


@pytest.mark.parametrize(("path", "method"), OPERATIONS[1:4])
def test_requests_against_the_description_are_refused(
    described: Any, session: requests.Session, path: str, method: str
):
    strategy = described[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @few
    @given(case=strategy)
    def ask(case: Any) -> None:
        case.call_and_validate(session=session, checks=[*CHECKS, negative_data_rejection])

    ask()


def test_the_service_is_alive_afterwards(service: Running):
    assert service.client.get("/health").json()["status"] == "ok"
    assert 'status="500"' not in service.client.get("/metrics").text
