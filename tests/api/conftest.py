"""A run trained through the API, and its recommender."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import reeltune
from reeltune.config import config_tree
from reeltune.data.folder import PreparedFolder
from tests.runs import tiny_config


@pytest.fixture(scope="session")
def values(
    tiny_qwen3: Path, prepared: PreparedFolder, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The configuration of a short run in the interview form, as nested values."""
    work = tmp_path_factory.mktemp("api")
    changes = {"prompt__form": "interview", "train__max_steps": 2, "train__batch_size": 1}
    return config_tree(tiny_config(tiny_qwen3, prepared.path, work, **changes))


@pytest.fixture(scope="session")
def run(values: dict[str, Any]) -> reeltune.Run:
    """A finished run, shared by tests, which must not write to it."""
    return reeltune.train(values)


@pytest.fixture(scope="session")
def recommender(run: reeltune.Run) -> reeltune.Recommender:
    return reeltune.load(run)
