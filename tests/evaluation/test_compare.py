"""``compare`` reports the difference of tuned and base model with its interval."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from reeltune.cli import main
from reeltune.evaluation.intervals import BOOTSTRAP_SAMPLES, MIN_USERS, Interval
from reeltune.evaluation.tables import difference_line
from reeltune.training.train import train
from tests.runs import tiny_config, tiny_overrides


@pytest.fixture(scope="module")
def overrides(tiny_qwen3, prepared, tmp_path_factory) -> list[str]:
    """The overrides a run was trained with."""
    work = tmp_path_factory.mktemp("compared")
    train(tiny_config(tiny_qwen3, prepared.path, work))
    return tiny_overrides(tiny_qwen3, prepared.path, work)


def compared(
    overrides: list[str], output: Path, capsys: pytest.CaptureFixture[str], *flags: str
) -> tuple[str, dict[str, Any]]:
    """The command's output on one line, and the file it writes."""
    capsys.readouterr()
    sets = [part for override in overrides for part in ("--set", override)]
    args = ["--config", os.devnull, "--samples", "0", "--output", str(output)]
    with pytest.raises(SystemExit) as left:
        main(["compare", *args, *sets, *flags])
    assert not left.value.code
    return " ".join(capsys.readouterr().out.split()), json.loads(output.read_text())


@pytest.mark.slow
def test_the_difference_is_shown_and_written_with_its_interval(overrides, tmp_path, capsys):
    output_text, written = compared(overrides, tmp_path / "comparison.json", capsys)
    interval = Interval(**written["auc_difference"])
    base, tuned = (written["metrics"][name]["auc"] for name in ("base", "tuned"))
    assert interval.value == pytest.approx(tuned - base, abs=1e-12)
    assert tuned != base
    assert interval.low < interval.high
    assert 0 < interval.bootstrap_samples <= BOOTSTRAP_SAMPLES
    assert difference_line(interval) in output_text
    closing = output_text.partition(difference_line(interval))[2]
    assert interval.users < MIN_USERS
    for figure in (f"{base:.4f}", f"{tuned:.4f}", f"{interval.value:+.3f}", interval.users):
        assert str(figure) in closing


def test_one_label_has_no_difference(overrides, tmp_path, capsys):
    output_text, written = compared(
        overrides, tmp_path / "comparison.json", capsys, "--max-examples", "1"
    )
    assert written["metrics"]["tuned"]["rows"] == 1
    assert written["auc_difference"] is None
    assert difference_line(None) in output_text
