"""Predictors, and a short run to call the command on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from reeltune.cli import main
from reeltune.training.train import train
from tests.runs import tiny_config, tiny_overrides
from tests.scoring.conftest import predictor

__all__ = ["predictor"]


@dataclass(frozen=True)
class Trained:
    """A finished run, shared by tests, which must not write to it.

    Attributes:
        adapter: The run folder.
        overrides: What it was trained with.
    """

    adapter: Path
    overrides: list[str]

    def recommend(self, *flags: object) -> int:
        """Call the command, and return its exit code."""
        sets = [part for override in self.overrides for part in ("--set", override)]
        with pytest.raises(SystemExit) as left:
            main(["recommend", "--config", os.devnull, *sets, *map(str, flags)])
        return int(left.value.code or 0)


@pytest.fixture(scope="session")
def trained(tiny_qwen3, prepared, tmp_path_factory) -> Trained:
    """A run in the interview form, in float32."""
    work = tmp_path_factory.mktemp("recommended")
    changes = {"prompt__form": "interview", "train__max_steps": 2, "train__batch_size": 1}
    run = train(tiny_config(tiny_qwen3, prepared.path, work, **changes))
    return Trained(run, tiny_overrides(tiny_qwen3, prepared.path, work, **changes))
