"""Fewer boosting rounds and epochs, so that tests are quick."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reeltune.baselines import learned, sequence_network


@pytest.fixture(scope="package", autouse=True)
def little_boosting() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned, "ROUNDS", 12)
        patch.setattr(learned, "LEAVES", (4, 8))
        patch.setattr(learned, "LEAST_ROWS", (5,))
        patch.setattr(sequence_network, "EPOCHS", 2)
        yield
