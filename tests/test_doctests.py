"""The examples in docstrings give what they show."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
NEED_A_RUN = [SOURCE / f"reeltune/api/{name}.py" for name in ("evaluation", "recommender", "runs")]
"""Run by tests/api/test_examples.py."""

WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in SOURCE.rglob("*.py")
    if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
    and path not in NEED_A_RUN
)


def test_there_are_examples():
    assert "reeltune.data.items" in WITH_EXAMPLES


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_run(module: str):
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted
    assert not results.failed
