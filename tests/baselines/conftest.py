"""Small baselines, so that tests are quick."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def always_little_boosting(little_boosting: None) -> None:
    """Fit small baselines in every test."""
