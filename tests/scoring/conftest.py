"""Predictors shared by tests, which do not change them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.domain import INTERVIEW, SIGNALS, WINDOW
from reeltune.scoring.predictor import Predictor
from tests.scoring.models import random_loaded_model


@pytest.fixture(scope="session", params=[WINDOW, INTERVIEW])
def predictor_with_signals(
    request: pytest.FixtureRequest, prepared: PreparedFolder, tiny_qwen3: Path
) -> Predictor:
    """A predictor in each form that shows three events and all signals."""
    loaded = random_loaded_model(prepared, tiny_qwen3, request.param, signals=tuple(SIGNALS))
    return Predictor(loaded, 3)


@pytest.fixture(scope="session", params=[WINDOW, INTERVIEW])
def predictor(
    request: pytest.FixtureRequest, prepared: PreparedFolder, tiny_qwen3: Path
) -> Predictor:
    """A predictor in each form that shows five events."""
    return Predictor(random_loaded_model(prepared, tiny_qwen3, request.param))
