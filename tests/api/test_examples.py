"""The examples of the Python API, the README and the notebook run after ``make demo``."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

import reeltune
from tests.docs.pages import README, ROOT, text_of
from tests.test_doctests import NEED_A_RUN


@pytest.mark.slow
@pytest.mark.parametrize("file", NEED_A_RUN, ids=lambda file: file.stem)
def test_examples_of_docstrings_run(workplace: Path, file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(workplace)
    results = doctest.testmod(importlib.import_module(f"reeltune.api.{file.stem}"))
    assert results.attempted
    assert not results.failed


@pytest.mark.slow
def test_the_lines_of_the_readme_run(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (code,) = re.findall(r"^```python\n(.*?)^```", text_of(README), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(workplace)
    user = reeltune.load("output/demo").predictor.loaded.folder.timelines.user_id[0]
    exec(compile(code.replace("user=42", f"user={user}"), "README.md", "exec"), {})
    assert {"item_id", "p_yes", "effect"} <= set(re.findall(r"\w+", capsys.readouterr().out))


@pytest.mark.slow
def test_the_notebook_runs(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(workplace)
    train = reeltune.train
    monkeypatch.setattr(
        reeltune,
        "train",
        lambda config, *, overrides, **options: train(
            config, overrides={**overrides, "train.max_steps": 2}, **options
        ),
    )
    code = (ROOT / "examples/quickstart.py").read_text(encoding="utf-8")
    exec(compile(code, "quickstart.py", "exec"), {})
    report = workplace / "output/quickstart/evaluation/report.html"
    shown = capsys.readouterr().out
    assert f"{report.relative_to(workplace)}" in shown
    # Polars leaves columns out of the middle of a wide table.
    assert {"eval_auc", "auc", "accuracy_at_half", "effect"} <= set(re.findall(r"\w+", shown))
    assert " … ┆" not in shown
    assert "accuracy_at_half" in report.read_text(encoding="utf-8")
