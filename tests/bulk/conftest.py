"""A tiny model, loaded once, that scores whatever a test writes to a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reeltune.bulk.lookup import Lookup
from reeltune.data.folder import PreparedFolder
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.scoring.predictor import Predictor
from tests.bulk.build import Bench
from tests.runs import tiny_config


@pytest.fixture(scope="session")
def loaded(tiny_qwen3, prepared, tmp_path_factory) -> LoadedModel:
    """The tiny base model with the small prepared folder."""
    work = tmp_path_factory.mktemp("bulk")
    return load_model(tiny_config(tiny_qwen3, prepared.path, work), None)


@pytest.fixture(scope="session")
def predictor(loaded) -> Predictor:
    """Predictions of that model."""
    return Predictor(loaded)


@pytest.fixture(scope="session")
def lookup(loaded) -> Lookup:
    """Users, items and histories of the folder."""
    return Lookup(loaded.folder)


@pytest.fixture
def bench(loaded, monkeypatch) -> Bench:
    """Calls that use the loaded model."""

    def load(*_: object, folder: PreparedFolder, **__: object) -> LoadedModel:
        return replace(loaded, folder=folder)

    monkeypatch.setattr("reeltune.bulk.score.load_model", load)
    return Bench(loaded.config)
