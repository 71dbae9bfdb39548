"""A judge and a service that several tests ask; neither is changed by being asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reeltune.asking.judge import Judge
from reeltune.data.folder import PreparedFolder
from tests.asking.build import drawn_subject
from tests.serve.running import MOST_BYTES, Running, running


@pytest.fixture(scope="session")
def served_judge(prepared: PreparedFolder, tiny_qwen3: Path) -> Judge:
    """A tuned judge that shows five events."""
    return Judge(drawn_subject(prepared, tiny_qwen3))


@pytest.fixture(scope="session")
def service(served_judge: Judge) -> Iterator[Running]:
    """The judge, served with the default settings."""
    with running(served_judge) as found:
        yield found


@pytest.fixture(scope="session")
def strict(served_judge: Judge) -> Iterator[Running]:
    """A service with narrow limits."""
    limits = {"max_history": 6, "max_candidates": 30, "max_top": 12, "receive_timeout_s": 1}
    with running(served_judge, max_body_bytes=MOST_BYTES, **limits) as found:
        yield found


@pytest.fixture
def alive_afterwards(strict: Running, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The service still answers, nothing was unforeseen, and nothing was logged."""
    yield
    assert strict.client.get("/health").status_code == 200
    assert strict.post("/verdicts", rated=[], item_ids=[1]).status_code == 200
    assert 'status="500"' not in strict.client.get("/metrics").text
    assert caplog.get_records("call") == []
