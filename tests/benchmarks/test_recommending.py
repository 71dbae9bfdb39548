"""The comparison of runs with baselines, at a tiny size, on synthetic predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import recommending
from benchmarks.render import problems, render
from reeltune.baselines.score import BASELINES, SIGNALS_ALONE, WITH_SIGNALS
from reeltune.data.columns import TEST, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.domain import PromptSettings
from reeltune.evaluation.intervals import bootstrap_auc
from reeltune.evaluation.metrics import measure
from reeltune.evaluation.model_predictions import SHIPPED, WITH_MODEL, WITHOUT_MODEL
from reeltune.evaluation.predictions import PredictionTable, read_predictions, write_predictions


def evaluated(
    folder: PreparedFolder,
    path: Path,
    seed: int,
    signals=("recent",),
    skip: int = 0,
    fused: tuple[str, ...] = (),
) -> Path:
    """A run with predictions that correlate with the labels, more for higher seeds."""
    random = np.random.default_rng(seed)
    parts = []
    for split in (VALIDATION, TEST):
        event = np.flatnonzero(folder.timelines.split == split)[skip:]
        rows = PredictionTable.of_events(folder, split, random.permutation(event))
        for name, weight in (("tuned", 0.1 * seed), ("base", 0.0), *((f, 0.2) for f in fused)):
            noise = random.uniform(0.05, 0.6, len(rows))
            rows = rows.scored(name, noise + weight * rows.liked)
        parts.append(rows)
    (path / "evaluation").mkdir(parents=True)
    write_predictions(path / "evaluation" / "predictions.parquet", parts)
    prompt = PromptSettings(signals=signals).to_dict()
    record = {"config": {"train": {"seed": seed}}, "prompt": prompt}
    (path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return path


@pytest.mark.usefixtures("little_boosting")
@pytest.mark.slow
def test_it_writes_every_scorer_and_differences(
    prepared: PreparedFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    runs = [evaluated(prepared, tmp_path / f"run{seed}", seed) for seed in (1, 3)]
    file = tmp_path / "quality.json"
    given = ["--prepared", str(prepared.path), "--result", str(file), "--runs", *map(str, runs)]
    recommending.main(given)
    result = json.loads(file.read_text(encoding="utf-8"))
    assert problems(result) == []
    assert result["signals"].keys() == {"recent"}

    tuned = ["tuned, seed 1", "tuned, seed 3", "tuned, mean of the seeds"]
    names = [case["case"] for case in result["cases"]]
    assert names == [
        "base",
        *tuned,
        *(f"{name}, calibrated" for name in tuned),
        SIGNALS_ALONE,
        WITH_SIGNALS,
        *BASELINES,
    ]
    auc = {case["case"]: case["auc"] for case in result["cases"]}
    assert auc["tuned, seed 3"] > auc["tuned, seed 1"]
    for metric, best in result["best_baseline"].items():
        values = {
            case["case"]: case[f"{metric}, validation"]
            for case in result["cases"]
            if case["case"] in BASELINES
        }
        assert values[best] == max(values.values())
    compared = {gap["minus"] for gap in result["differences_of_auc_per_user"]}
    always = {SIGNALS_ALONE, WITH_SIGNALS, "logistic regression", "base"}
    assert compared == always | {result["best_baseline"]["auc_per_user_mean"]}
    assert {gap["case"] for gap in result["differences_of_log_loss"]} == {
        f"{name}, calibrated" for name in tuned
    }
    for case in result["calibration_errors"]:
        assert case["platt"] == pytest.approx(
            next(
                scored["ece"]
                for scored in result["cases"]
                if scored["case"] == case["case"] + ", calibrated"
            )
        )
    differences = {(gap["case"], gap["minus"]): gap for gap in result["differences_of_auc"]}
    gap = differences["tuned, seed 3", "base"]
    rows = read_predictions(runs[1] / "evaluation" / "predictions.parquet")[TEST]
    first = read_predictions(runs[0] / "evaluation" / "predictions.parquet")[TEST]
    order, base = np.argsort(rows.event), np.argsort(first.event)
    scores = {"tuned": rows.p_yes["tuned"][order], "base": first.p_yes["base"][base]}
    aucs = bootstrap_auc(rows.liked[order], rows.user_id[order], scores, seed=42)
    expected = aucs.difference("tuned", "base", "auc")
    assert expected is not None
    actual = (gap["value"], gap["low"], gap["high"])
    np.testing.assert_allclose(actual, (expected.value, expected.low, expected.high))
    page = render("quality", result)
    for metric in ("AUC", "AUC per user", "log loss"):
        assert f"Differences of {metric}:" in page
    assert f"tuned, seed 3 minus {result['best_baseline']['auc']}" in capsys.readouterr().out


def test_what_is_shipped_is_compared_with_all_but_other_runs(
    prepared: PreparedFolder, tmp_path: Path
):
    runs = [
        evaluated(prepared, tmp_path / "one", 1, fused=(SHIPPED, WITHOUT_MODEL)),
        evaluated(prepared, tmp_path / "two", 2, fused=(SHIPPED, WITH_MODEL)),
        evaluated(prepared, tmp_path / "three", 3),
    ]
    rows, _ = recommending.read_runs(runs)
    compared = recommending.shipped_minus_each(rows, recommending.resample(rows, 0))
    assert [(each["case"], each["minus"]) for each in compared] == [
        *(("shipped, seed 1", name) for name in ("base", "tuned, seed 1")),
        ("shipped, seed 1", "shipped without the model, seed 1"),
        *(("shipped, seed 2", name) for name in ("base", "tuned, seed 2")),
        ("shipped, seed 2", "shipped with the model, seed 2"),
    ]
    test, first = rows[TEST], compared[0]
    shipped, base = (
        measure(test.liked, test.p_yes[first[side]], test.user_id) for side in ("case", "minus")
    )
    assert first["log_loss"] == pytest.approx(shipped.log_loss - base.log_loss)
    assert first["log_loss_interval"][0] < first["log_loss"] < first["log_loss_interval"][1]


@pytest.mark.slow
def test_runs_evaluated_on_other_rows_are_refused(prepared: PreparedFolder, tmp_path: Path):
    runs = [
        evaluated(prepared, tmp_path / "one", 1),
        evaluated(prepared, tmp_path / "two", 2, skip=1),
    ]
    with pytest.raises(SystemExit, match="validation"):
        recommending.read_runs(runs)
