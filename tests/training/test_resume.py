"""A killed run resumes and ends with the same bytes as an uninterrupted one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from reeltune.config import Config
from reeltune.runs.folder import ADAPTER_WEIGHTS, CHECKSUMS_FILE
from reeltune.training.train import train
from tests.runs import tiny_config, tiny_overrides

# No evaluation improves the AUC by more than 1, so patience runs out at the fifth evaluation: at
# step 10 of 20, if the counter survives the kill.
SETTINGS = {
    "train__max_steps": 20,
    "train__early_stopping_patience": 4,
    "train__early_stopping_min_delta": 1.0,
    "train__save_total_limit": 3,
    "train__learning_rate": 1e-3,
    "train__batch_size": 2,
}
_DEADLINE_S = 240


def start(overrides: list[str], *flags: str) -> subprocess.Popen[str]:
    sets = [part for override in overrides for part in ("--set", override)]
    command = [sys.executable, "-m", "reeltune", "train", "--config", os.devnull, *sets, *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=_DEADLINE_S)
    assert process.returncode == 0, output
    return output


def kill_once_saved(process: subprocess.Popen[str], checkpoint: Path) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not (checkpoint / CHECKSUMS_FILE).is_file():  # written last, in one piece
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.kill()
    process.communicate()
    assert process.returncode < 0 or sys.platform == "win32"


def assert_same(killed: Path, whole: Path) -> None:
    """Compare adapters, metrics and losses of two runs."""
    assert (killed / ADAPTER_WEIGHTS).read_bytes() == (whole / ADAPTER_WEIGHTS).read_bytes()
    one, other = (json.loads((run / "metrics.json").read_text()) for run in (whole, killed))
    for key in ("steps", "stopped_early", "best_step", "tokens_seen", "evaluations", "losses"):
        assert other[key] == one[key]
    assert (one["steps"], one["stopped_early"]) == (10, True)


@pytest.mark.slow
def test_sigkill_then_resume_equals_the_uninterrupted_run(tiny_qwen3, prepared, tmp_path):
    def overrides(name: str) -> list[str]:
        return tiny_overrides(
            tiny_qwen3, prepared.path, tmp_path, train__output_dir=tmp_path / name, **SETTINGS
        )

    finish(start(overrides("whole")))
    process = start(overrides("killed"))
    kill_once_saved(process, tmp_path / "killed" / "checkpoint-4")
    killed = tmp_path / "killed"
    assert json.loads((killed / "run.json").read_text())["status"] == "running"
    assert not (killed / ADAPTER_WEIGHTS).exists()
    # An incomplete checkpoint must not be resumed from.
    (killed / "checkpoint-19").mkdir()

    output = finish(start(overrides("killed"), "--resume"))
    assert "resuming from checkpoint-" in output
    assert "removed incomplete checkpoint-19" in output

    assert_same(killed, tmp_path / "whole")
    assert json.loads((killed / "run.json").read_text())["resumed_from"]


@pytest.mark.slow
def test_single_prompts_resume_to_the_same_bytes(tiny_qwen3, prepared, tmp_path):
    """Only the killed run is a separate process."""

    def changes(name: str) -> dict[str, Any]:
        return {**SETTINGS, "train__share_history": False, "train__output_dir": tmp_path / name}

    def config(name: str) -> Config:
        return tiny_config(tiny_qwen3, prepared.path, tmp_path, **changes(name))

    whole = train(config("whole"))
    process = start(tiny_overrides(tiny_qwen3, prepared.path, tmp_path, **changes("killed")))
    kill_once_saved(process, tmp_path / "killed" / "checkpoint-2")
    killed = train(config("killed"), resume=True)
    assert json.loads((killed / "run.json").read_text())["resumed_from"]
    assert_same(killed, whole)
