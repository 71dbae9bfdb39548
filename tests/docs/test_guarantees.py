"""Every promise of docs/GUARANTEES.md names tests that exist."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, text_of

ROWS = [
    line.strip("| ").split(" | ")
    for line in text_of(ROOT / "docs" / "GUARANTEES.md").splitlines()
    if line.startswith("|") and "::" in line
]
TESTS = [
    (path, name)
    for row in ROWS
    for path, name in re.findall(r"`([\w/]+\.py)::(test_\w+)`", row[-1])
]


@functools.cache
def names_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_but_the_heads_names_a_test():
    lines = text_of(ROOT / "docs" / "GUARANTEES.md").splitlines()
    promises = [line for line in lines if line.startswith("| ") and "Held by" not in line]
    assert [line for line in promises if "::test_" not in line] == []
    assert len(promises) == len(ROWS) > 20
    # Every code of the last column is a test, so that a misspelt one is not overlooked.
    assert len(TESTS) == sum(row[-1].count("`") // 2 for row in ROWS)


@pytest.mark.parametrize(("path", "name"), sorted(set(TESTS)))
def test_every_named_test_exists(path: str, name: str):
    assert name in names_in(ROOT / "tests" / path)
