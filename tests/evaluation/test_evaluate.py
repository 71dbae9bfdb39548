"""``reeltune evaluate`` from the command to its files."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reeltune.baselines.score import BASELINES
from reeltune.cli import main
from reeltune.errors import FileError
from reeltune.evaluation.intervals import MIN_USERS
from reeltune.evaluation.metrics import choose_threshold, measure
from reeltune.evaluation.predictions import read_predictions
from reeltune.models.calibration import CALIBRATED, load_calibration
from reeltune.scoring.scorer import Scorer
from reeltune.training.train import train
from tests.errors import error_code
from tests.prepared_data import text_item, text_user
from tests.runs import tiny_config, tiny_overrides

pytestmark = pytest.mark.usefixtures("little_boosting")

SHORT = {"evaluation__bootstrap_samples": 40, "evaluation__ablation_examples": 12}


@pytest.fixture(scope="module")
def run(tiny_qwen3, prepared, tmp_path_factory) -> tuple[Path, list[str]]:
    """A trained run and its overrides."""
    work = tmp_path_factory.mktemp("whole")
    folder = train(tiny_config(tiny_qwen3, prepared.path, work, **SHORT))
    return folder, tiny_overrides(tiny_qwen3, prepared.path, work, **SHORT)


def evaluate(overrides: list[str], *flags: str) -> None:
    sets = [part for override in overrides for part in ("--set", override)]
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "--config", os.devnull, *sets, *flags])
    assert not left.value.code


@pytest.fixture(scope="module")
def evaluated(run) -> Path:
    folder, overrides = run
    evaluate(overrides)
    return folder


@pytest.mark.slow
def test_every_scorer_scores_the_same_rows(evaluated, prepared):
    rows = read_predictions(evaluated / "evaluation" / "predictions.parquet")
    assert rows["test"].event.tolist() == prepared.examples("test").target.tolist()
    assert rows["validation"].event.tolist() == prepared.examples("validation").target.tolist()
    names = list(rows["test"].p_yes)
    assert names == ["tuned", "base", *BASELINES] == list(rows["validation"].p_yes)


def test_figures_are_those_of_the_predictions(evaluated):
    rows = read_predictions(evaluated / "evaluation" / "predictions.parquet")
    written = json.loads((evaluated / "evaluation" / "metrics.json").read_text())
    assert [scorer["name"] for scorer in written["scorers"]] == list(rows["test"].p_yes)
    for scorer in written["scorers"]:
        p_yes = {split: part.p_yes[scorer["name"]] for split, part in rows.items()}
        threshold = choose_threshold(rows["validation"].liked, p_yes["validation"])
        assert scorer["threshold"] == threshold
        own = measure(rows["test"].liked, p_yes["test"], rows["test"].user_id, threshold)
        for name, found in scorer["metrics"].items():
            expected = getattr(own, name)
            assert (found is None) == (expected is None)
            if found is not None:
                assert found["value"] == pytest.approx(expected, abs=1e-9)
                assert found["low"] <= found["high"]


def test_differences_are_tuned_minus_other(evaluated):
    written = json.loads((evaluated / "evaluation" / "metrics.json").read_text())
    auc = {s["name"]: s["metrics"]["auc"]["value"] for s in written["scorers"]}
    assert {d["other"] for d in written["differences"]} == auc.keys() - {"tuned"}
    for found in written["differences"]:
        expected = auc["tuned"] - auc[found["other"]]
        assert found["metrics"]["auc"]["value"] == pytest.approx(expected, abs=1e-9)


def test_calibration_and_figures_are_written_beside_the_adapter(evaluated):
    written = json.loads((evaluated / "evaluation" / "metrics.json").read_text())
    assert load_calibration(evaluated).rows > 0
    assert [found["name"] for found in written["reliability"]][1:] == [*CALIBRATED]
    tuned = next(s for s in written["scorers"] if s["name"] == "tuned")["metrics"]["auc"]
    card = (evaluated / "README.md").read_text()
    assert tuned["users"] < MIN_USERS
    (row,) = (line for line in card.splitlines() if line.startswith("| tuned | "))
    auc = row.split(" | ")[1]
    assert auc.startswith(f"{tuned['value']:.4f} (")
    assert f"{tuned['users']} users" in auc and f"{tuned['low']:.4f}" not in auc
    report = (evaluated / "evaluation" / "report.html").read_text()
    assert all(scorer["name"] in report for scorer in written["scorers"])


@pytest.mark.slow
def test_with_text_ids_every_figure_is_the_same(evaluated, run, text_prepared, tmp_path):
    sets = [*run[1], f"data.prepared_dir={text_prepared}"]
    evaluate(sets, "--output", str(tmp_path / "text"))
    assert check(tmp_path / "text", text_prepared) == 0
    before, after = (
        read_predictions(folder / "predictions.parquet")["test"]
        for folder in (evaluated / "evaluation", tmp_path / "text")
    )
    assert after.item_id.tolist() == [text_item(item // 3) for item in before.item_id.tolist()]
    assert after.user_id.tolist() == [text_user(user) for user in before.user_id.tolist()]
    assert {name: p.tolist() for name, p in after.p_yes.items()} == {
        name: p.tolist() for name, p in before.p_yes.items()
    }
    written = json.loads((tmp_path / "text/metrics.json").read_text())
    assert {example["user_id"] for example in written["examples"]} <= set(after.user_id)
    assert written["examples"][0]["user_id"] in (tmp_path / "text/report.html").read_text()


def check(folder: Path, data: Path) -> int:
    with pytest.raises(SystemExit) as left:
        main(["check", str(folder), "--data", str(data)])
    return int(left.value.code or 0)


@pytest.mark.slow
def test_calibration_changes_the_tuned_model_alone(evaluated, run, tmp_path):
    _, overrides = run
    flags = ("--set", "scoring.calibration=temperature", "--output", str(tmp_path / "calibrated"))
    evaluate(overrides, *flags, "--ablations", "0")
    before = read_predictions(evaluated / "evaluation" / "predictions.parquet")["test"].p_yes
    after = read_predictions(tmp_path / "calibrated" / "predictions.parquet")["test"].p_yes
    calibrated = load_calibration(evaluated).apply(before["tuned"], "temperature")
    np.testing.assert_allclose(after["tuned"], calibrated, atol=1e-7)
    np.testing.assert_allclose(after["base"], before["base"], atol=1e-7)
    np.testing.assert_array_equal(after["item mean"], before["item mean"])
    assert not json.loads((tmp_path / "calibrated" / "metrics.json").read_text())["ablations"]


@pytest.mark.slow
def test_kept_predictions_are_used_and_the_rest_is_computed(
    evaluated, run, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    _, overrides = run
    there = tmp_path / "kept"
    shutil.copytree(evaluated / "evaluation", there)
    before = read_predictions(there / "predictions.parquet")
    monkeypatch.setattr(Scorer, "score", None)  # no model is run
    ablations = json.loads((there / "metrics.json").read_text())["ablations"]
    assert ablations
    flags = ("--output", str(there), "--ablations", "20", "--keep-predictions")
    evaluate(overrides, "--set", "train.seed=7", *flags)
    after = read_predictions(there / "predictions.parquet")
    for split, rows in after.items():
        assert list(rows.p_yes) == list(before[split].p_yes)
        for name in ("tuned", "base", "item mean"):
            np.testing.assert_array_equal(rows.p_yes[name], before[split].p_yes[name])
    written = json.loads((there / "metrics.json").read_text())
    first = json.loads((evaluated / "evaluation" / "metrics.json").read_text())
    # One warning more: the models' predictions are reused.
    assert len(written["warnings"]) == len(first["warnings"]) + 1
    assert written["scorers"][0]["seconds"] is None
    assert written["ablations"] == ablations
    evaluate(overrides, "--output", str(there), "--ablations", "0", "--keep-predictions")
    assert json.loads((there / "metrics.json").read_text())["ablations"] == []


@pytest.mark.slow
@pytest.mark.parametrize("written", ['{"format_version": 1}', "no JSON"])
def test_an_unreadable_calibration_is_replaced(evaluated, run, tmp_path, written: str):
    _, overrides = run
    there = tmp_path / "again"
    shutil.copytree(evaluated / "evaluation", there)
    before = load_calibration(evaluated)
    (evaluated / "calibration.json").write_text(written)
    evaluate(overrides, "--output", str(there), "--keep-predictions", "--no-baselines")
    assert load_calibration(evaluated) == before


@pytest.mark.slow
def test_a_run_of_someone_else_is_evaluated_elsewhere(
    evaluated, run, tmp_path, monkeypatch, capsys
):
    _, overrides = run
    before = {path: path.read_bytes() for path in evaluated.rglob("*") if path.is_file()}
    touch = Path.touch

    def owned(path: Path, *args: Any, **kwargs: Any) -> None:
        if evaluated in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        touch(path, *args, **kwargs)

    monkeypatch.setattr(Path, "touch", owned)
    sets = [part for override in overrides for part in ("--set", override)]
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "--config", os.devnull, *sets])
    assert left.value.code == FileError.exit_code
    err = capsys.readouterr().err
    assert error_code(err) == "not_writable"
    assert "--output" in err and "scoring" not in err
    shutil.copytree(evaluated / "evaluation", tmp_path / "mine")
    flags = ("--no-baselines", "--ablations", "0", "--keep-predictions")
    evaluate(overrides, "--output", str(tmp_path / "mine"), *flags)
    warning = (
        "calibration, fusion and model card are not updated: cannot be written (Permission denied)"
    )
    assert warning in capsys.readouterr().out
    assert {path: path.read_bytes() for path in evaluated.rglob("*") if path.is_file()} == before


def test_predictions_of_an_evaluation_killed_before_its_metrics_are_refused(
    evaluated, run, tmp_path, capsys
):
    _, overrides = run
    there = tmp_path / "killed"
    shutil.copytree(evaluated / "evaluation", there)
    metrics = json.loads((there / "metrics.json").read_text())
    metrics["predictions_sha256"] = "0" * 64
    (there / "metrics.json").write_text(json.dumps(metrics))
    sets = [part for override in overrides for part in ("--set", override)]
    with pytest.raises(SystemExit):
        main(
            [
                "evaluate",
                "--config",
                os.devnull,
                *sets,
                "--output",
                str(there),
                "--keep-predictions",
            ]
        )
    assert error_code(capsys.readouterr().err) == "predictions_of_other_settings"


@pytest.mark.parametrize(
    ("flags", "exit_code", "code", "named"),
    [
        (["--max-examples", "20"], 4, "predictions_of_other_rows", "tuned"),
        (
            ["--set", "scoring.calibration=isotonic"],
            3,
            "calibrated_predictions",
            "scoring.calibration",
        ),
        (["--split", "validation"], 4, "no_predictions", "reeltune evaluate"),
        (
            ["--set", "scoring.share_history=false"],
            4,
            "predictions_of_other_settings",
            "scoring.share_history",
        ),
    ],
)
def test_predictions_that_do_not_fit_are_refused(
    evaluated, run, flags, exit_code, code, named, capsys
):
    _, overrides = run
    sets = [part for override in overrides for part in ("--set", override)]
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "--config", os.devnull, *sets, "--keep-predictions", *flags])
    stderr = capsys.readouterr().err
    assert (left.value.code, error_code(stderr)) == (exit_code, code)
    assert named in stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [(["--keep-verdicts"], "--keep-predictions"), (["--controls", "0"], "--ablations")],
)
def test_a_renamed_flag_is_an_error_naming_the_new_one(old, new, capsys):
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "--config", os.devnull, *old])
    stderr = capsys.readouterr().err
    assert (left.value.code, error_code(stderr)) == (3, "renamed_flag")
    assert new in stderr


@pytest.mark.slow
def test_a_base_model_is_evaluated_alone(run, tiny_qwen3, prepared, tmp_path):
    overrides = tiny_overrides(tiny_qwen3, prepared.path, tmp_path, **SHORT)
    evaluate(overrides, "--base-only", "--no-baselines", "--max-examples", "20")
    written = json.loads((tmp_path / "run-base-evaluation" / "metrics.json").read_text())
    assert [(s["name"], s["kind"]) for s in written["scorers"]] == [("base", "base")]
    assert (written["rows"], written["ablations"]) == (20, [])
    assert any(" 20 of " in warning for warning in written["warnings"])
    assert not (tmp_path / "run").exists()
