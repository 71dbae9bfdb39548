"""Judges that several tests ask; none of them is changed by being asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.domain import INTERVIEW, SIGNALS, WINDOW
from reeltune.scoring.predictor import Predictor
from tests.scoring.models import drawn_subject


@pytest.fixture(scope="session", params=[WINDOW, INTERVIEW])
def telling_judge(
    request: pytest.FixtureRequest, prepared: PreparedFolder, tiny_qwen3: Path
) -> Predictor:
    """A judge in either form that shows three events and tells all kinds of signals."""
    subject = drawn_subject(prepared, tiny_qwen3, request.param, signals=tuple(SIGNALS))
    return Predictor(subject, 3)


@pytest.fixture(scope="session", params=[WINDOW, INTERVIEW])
def judge(request: pytest.FixtureRequest, prepared: PreparedFolder, tiny_qwen3: Path) -> Predictor:
    """A judge in either form that shows five events."""
    return Predictor(drawn_subject(prepared, tiny_qwen3, request.param))
