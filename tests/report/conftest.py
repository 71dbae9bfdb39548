"""Reports that several tests read, and a real browser to open them in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reeltune.evaluation.predictions import PredictionTable
from reeltune.evaluation.result import Evaluation
from reeltune.report.write import write_report
from tests.browser import chromium
from tests.report.build import make_evaluation, make_predictions, make_training
from tests.report.reading import Page

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def predictions() -> PredictionTable:
    return make_predictions()


@pytest.fixture(scope="session")
def evaluation(predictions: PredictionTable) -> Evaluation:
    return make_evaluation(predictions)


@pytest.fixture(scope="session")
def report(
    tmp_path_factory: pytest.TempPathFactory, evaluation: Evaluation, predictions: PredictionTable
) -> Path:
    """A report with everything in it; read it, never write to it."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, evaluation, predictions, make_training())
    return path


@pytest.fixture(scope="session")
def page(report: Path) -> Page:
    return Page(report.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium, for one module: while it is open, nothing else can run a loop."""
    with chromium() as opened:
        yield opened
