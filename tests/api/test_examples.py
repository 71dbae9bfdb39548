"""The examples of the Python API run after ``make demo``."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from tests.test_doctests import NEED_A_RUN


@pytest.mark.slow
@pytest.mark.parametrize("file", NEED_A_RUN, ids=lambda file: file.stem)
def test_examples_of_docstrings_run(workplace: Path, file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(workplace)
    results = doctest.testmod(importlib.import_module(f"reeltune.api.{file.stem}"))
    assert results.attempted
    assert not results.failed
