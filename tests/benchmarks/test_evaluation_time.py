"""The duration of a full evaluation is extrapolated from fractions of its rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import evaluation_time
from benchmarks.launching import Launch
from benchmarks.render import problems
from reeltune.config import load_config
from reeltune.data.columns import TEST, VALIDATION
from reeltune.data.folder import PreparedFolder

CONFIG = "configs/smollm2_movielens_lora.yaml"


def test_a_line_is_fitted_to_the_fractions():
    assert evaluation_time.extrapolate([0.1, 0.5], [30.0, 110.0]) == pytest.approx((10.0, 210.0))
    start, end = evaluation_time.extrapolate([0.1, 0.2, 0.3], [20.0, 33.0, 40.0])
    assert (start, end) == pytest.approx((11.0, 111.0))


def test_every_fraction_has_its_share_of_rows_and_the_total_is_extrapolated(
    prepared: PreparedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    commands: list[list[str]] = []

    def run(_: Launch, *words: str | Path) -> float:
        """Return 60 seconds, and one more per test row."""
        commands.append([str(word) for word in words])
        changes = [value for value in commands[-1] if value.startswith(("evaluation.", "data."))]
        return 60.0 + (load_config(Path(CONFIG), changes).evaluation.max_examples or 0)

    monkeypatch.setattr(Launch, "run", run)
    file = tmp_path / "result.json"
    evaluation_time.main(
        f"--prepared {prepared.path} --config {CONFIG} --run {tmp_path / 'run'} --shares 0.25 0.5 "
        f"--set evaluation.ablation_examples=40 --work {tmp_path} --result {file}".split()
    )
    split = prepared.timelines.split
    test, validation = int(np.sum(split == TEST)), int(np.sum(split == VALIDATION))
    result = json.loads(file.read_text(encoding="utf-8"))
    assert problems(result) == []
    *parts, whole = result["cases"]
    for share, part, words in zip((0.25, 0.5), parts, commands, strict=True):
        assert part["test rows"] == round(share * test)
        assert part["validation rows"] == round(share * validation)
        assert part["ablation rows"] == 40 * share
        assert f"evaluation.validation_examples={part['validation rows']}" in words
        assert words[words.index("--adapter") + 1] == str(tmp_path / "run")
    assert (whole["test rows"], whole["validation rows"], whole["ablation rows"]) == (
        *(test, validation),
        40,
    )
    assert whole["seconds"] == pytest.approx(60 + test, abs=2)
    assert result["seconds_without_rows"] == pytest.approx(60, abs=2)


@pytest.mark.parametrize("shares", ["0.1", "0.1 0.1", "0 0.5", "0.5 1.5"])
def test_shares_that_make_no_line_are_refused(
    shares: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        evaluation_time.main(
            f"--prepared {tmp_path} --config {CONFIG} --run {tmp_path} --shares {shares}".split()
        )
    assert "--shares" in capsys.readouterr().err.splitlines()[-1]
