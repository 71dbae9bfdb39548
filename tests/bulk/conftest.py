"""A tiny model, loaded once, that scores whatever a test writes to a table."""

from __future__ import annotations

import pytest

from reeltune.asking.judge import Judge
from reeltune.asking.subject import Subject, load_subject
from reeltune.bulk.lookup import Lookup
from tests.bulk.build import Bench
from tests.runs import tiny_config


@pytest.fixture(scope="session")
def loaded(tiny_qwen3, prepared, tmp_path_factory) -> Subject:
    """The tiny base model with the small prepared folder."""
    work = tmp_path_factory.mktemp("bulk")
    return load_subject(tiny_config(tiny_qwen3, prepared.path, work), None)


@pytest.fixture(scope="session")
def predictor(loaded) -> Judge:
    """Predictions of that model."""
    return Judge(loaded)


@pytest.fixture(scope="session")
def lookup(loaded) -> Lookup:
    """Users, items and histories of the folder."""
    return Lookup(loaded.folder)


@pytest.fixture
def bench(loaded, monkeypatch) -> Bench:
    """Calls that use the loaded model."""
    monkeypatch.setattr("reeltune.bulk.score.load_subject", lambda *_: loaded)
    return Bench(loaded.config)
