"""A run trained through the API, and its recommender."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

import reeltune
from reeltune.config import config_tree
from reeltune.data.folder import PreparedFolder
from reeltune.offline.synthetic import make_synthetic
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


TITLES = ("Heat (1995)", "Fargo (1996)", "Casino (1995)")
"""Titles of the first items of :func:`workplace`."""


@pytest.fixture(scope="session")
def workplace(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as it is after ``make demo``, from synthetic ratings and a tiny model.

    ``data/raw/ml-latest-small`` has ratings too. Shared by tests, which write under other names.
    """
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("ml-100k", "ml-latest-small"):
        raw = folder / "data/raw" / name
        make_synthetic(raw, users=24, items=40, ratings_per_user=25)
        movies = raw / "movies.csv"
        header, *lines = movies.read_text(encoding="utf-8").splitlines()
        for index, title in enumerate(TITLES):
            item_id, _, genres = lines[index].split(",")
            lines[index] = f"{item_id},{title},{genres}"
        movies.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    (folder / "models").mkdir()
    (folder / "models/smollm2-135m").symlink_to(tiny_llama)
    with contextlib.chdir(folder):
        reeltune.prepare("data/raw/ml-latest-small", "data/demo", history_len=5)
        reeltune.train("demo_cpu", overrides={"train.max_steps": 4})
    return folder
