"""A killed run resumes and ends with the same bytes as an uninterrupted one."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from reeltune.cli import main
from reeltune.runs.folder import ADAPTER_WEIGHTS, CHECKSUMS_FILE
from tests import forked
from tests.runs import tiny_overrides

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
_DEADLINE_S = 600


def command(overrides: list[str], *flags: str) -> list[str]:
    sets = [part for override in overrides for part in ("--set", override)]
    return ["train", "--config", os.devnull, *sets, *flags]


def start(overrides: list[str]) -> Any:
    started = [sys.executable, "-m", "reeltune", *command(overrides)]
    return forked.Popen(started, stdout=forked.PIPE, stderr=forked.STDOUT, text=True)


def finish(overrides: list[str], *flags: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(command(overrides, *flags))
    assert not left.value.code


def kill_once_saved(process: Any, checkpoint: Path) -> None:
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
@pytest.mark.parametrize("share_history", [True, False])
def test_sigkill_then_resume_equals_the_uninterrupted_run(
    tiny_qwen3, prepared, tmp_path, capsys, share_history: bool
):
    """Only the killed run is a separate process."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def overrides(run: Path) -> list[str]:
        changes = {**SETTINGS, "train__share_history": share_history, "train__output_dir": run}
        return tiny_overrides(tiny_qwen3, prepared.path, tmp_path, **changes)

    finish(overrides(whole))
    kill_once_saved(start(overrides(killed)), killed / "checkpoint-4")
    assert json.loads((killed / "run.json").read_text())["status"] == "running"
    assert not (killed / ADAPTER_WEIGHTS).exists()
    # An incomplete checkpoint must not be resumed from.
    (killed / "checkpoint-19").mkdir()

    capsys.readouterr()
    finish(overrides(killed), "--resume")
    output = "".join(capsys.readouterr())
    assert "resuming from checkpoint-" in output
    assert "removed incomplete checkpoint-19" in output

    assert_same(killed, whole)
    assert json.loads((killed / "run.json").read_text())["resumed_from"]
