"""A predictor and services that tests share; requests do not change them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.scoring.predictor import Predictor
from tests.prepared_data import change_meta
from tests.scoring.models import random_loaded_model
from tests.serve.running import MOST_BYTES, Running, running


@pytest.fixture(scope="session")
def served_predictor(prepared: PreparedFolder, tiny_qwen3: Path) -> Predictor:
    """A tuned predictor that shows five events."""
    return Predictor(random_loaded_model(prepared, tiny_qwen3))


@pytest.fixture(scope="module")
def service(served_predictor: Predictor) -> Iterator[Running]:
    """The predictor, served with the default settings."""
    with running(served_predictor) as found:
        yield found


@pytest.fixture(scope="module")
def strict(served_predictor: Predictor) -> Iterator[Running]:
    """A service with narrow limits."""
    limits = {"max_history": 6, "max_candidates": 30, "max_top": 12, "receive_timeout_s": 1}
    with running(served_predictor, max_body_bytes=MOST_BYTES, **limits) as found:
        yield found


@pytest.fixture(scope="module")
def books(
    prepared: PreparedFolder, tiny_qwen3: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The same data as books that get points, served."""
    domain = {"name": "book", "item": "book", "items": "books", "unit": "points"}
    folder = tmp_path_factory.mktemp("books") / "prepared"
    shutil.copytree(prepared.path, folder)
    change_meta(folder, lambda meta: meta["prompt"].update(domain=domain))
    predictor = Predictor(random_loaded_model(PreparedFolder.open(folder), tiny_qwen3))
    with running(predictor) as found:
        yield found


@pytest.fixture
def alive_afterwards(strict: Running, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The service still answers, nothing was unforeseen, and nothing was logged."""
    yield
    assert strict.client.get("/health").status_code == 200
    assert strict.post("/predictions", history=[], item_ids=[1]).status_code == 200
    assert 'status="500"' not in strict.client.get("/metrics").text
    assert caplog.get_records("call") == []
