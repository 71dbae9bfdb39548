"""Several processes take the same steps on the same rows as one, and log them once."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.launching import Launch
from reeltune.runs.folder import ADAPTER_WEIGHTS
from reeltune.training.train import train
from tests.runs import tiny_config, tiny_overrides


def launch(processes: int, overrides: list[str]) -> str:
    sets = [part for override in overrides for part in ("--set", override)]
    command = [*Launch(processes).command(), "train", "--config", os.devnull, *sets]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_processes_train_and_measure_as_one(tiny_qwen3, prepared, tmp_path):
    # Not to the end of an epoch, where rows are repeated until each process has one.
    run = {"lora__dropout": 0.0, "train__max_steps": 3}
    one = tiny_config(tiny_qwen3, prepared.path, tmp_path / "one", train__batch_size=2, **run)
    alone = train(one)
    work = tmp_path / "two"
    log = launch(2, tiny_overrides(tiny_qwen3, prepared.path, work, train__batch_size=1, **run))
    together = work / "run"
    assert log.count("[4/4] save") == 1
    assert "(1 per device x 1 accumulated x 2 processes)" in log
    assert len(list((together / "logs").iterdir())) == 1
    expected, found = (load_file(folder / ADAPTER_WEIGHTS) for folder in (alone, together))
    assert found.keys() == expected.keys()
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, rtol=0, atol=1e-6)
    assert measured(together) == pytest.approx(measured(alone), abs=1e-5)


def measured(run: Path) -> dict[str, float]:
    """Return every figure of every evaluation in training."""
    evaluations = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["evaluations"]
    assert evaluations
    return {
        f"{number}: {name}": value
        for number, evaluation in enumerate(evaluations)
        for name, value in evaluation.items()
    }
