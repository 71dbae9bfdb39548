"""The learning curve: training on a sample of users, and comparing scorers that used it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fit_gaussian_process, learning_curve, one_epoch
from benchmarks.render import problems, render
from reeltune.data.folder import PreparedFolder
from reeltune.signals.item_statistics import training_ratings
from tests.benchmarks.test_recommending import evaluated
from tests.helpers import tiny_tokenizer


def test_only_whole_users_are_sampled(prepared: PreparedFolder, tmp_path: Path):
    known = prepared.timelines
    whole = int((known.split == "train").sum())
    wanted = whole // 2
    left = learning_curve.with_fewer_users(prepared.path, wanted, 1, tmp_path / "few")
    few = PreparedFolder.open(tmp_path / "few")
    split = few.timelines.split
    assert left == (split == "train").sum() == len(few.examples("train"))
    assert wanted - 30 < left <= wanted
    kept = np.unique(known.user_id[split == "train"])
    sampled = np.isin(known.user_id, kept)
    assert np.array_equal(split[sampled], known.split[sampled])
    assert set(split[~sampled & (known.split == "train")].tolist()) == {"context"}
    held_out = np.isin(known.split, ["validation", "test"])
    assert np.array_equal(split[held_out], known.split[held_out])
    # No rating of other users is used, not even their context events.
    ratings = training_ratings(few.timelines, np.flatnonzero(split == "train"))
    assert set(few.timelines.user_id[ratings]) == set(kept)
    assert few.items == prepared.items


@pytest.mark.slow
@pytest.mark.usefixtures("little_boosting")
def test_present_runs_are_compared_and_not_trained_again(
    prepared: PreparedFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    size = int((prepared.timelines.split == "train").sum()) // 2
    evaluated(prepared, tmp_path / f"run_{size}", 1)
    whole = evaluated(prepared, tmp_path / "whole", 3)
    file = tmp_path / "curve.json"
    learning_curve.main(
        f"--prepared {prepared.path} --config none.yaml --sizes {size} --whole {whole} "
        f"--work {tmp_path} --result {file}".split()
    )
    result = json.loads(file.read_text(encoding="utf-8"))
    assert problems(result) == []
    few, every = result["cases"]
    assert few["training_rows"] <= size < every["training_rows"]
    for case in result["cases"]:
        assert case["low"] <= case["value"] <= case["high"]
        best = case["all"][case["best_baseline"]]["auc"]
        assert case["auc, best baseline"] == best
        assert case["value"] == pytest.approx(case["auc, tuned"] - best)
    # The baselines were fitted on different rows.
    assert few["all"]["item mean"] != every["all"]["item mean"]
    differences = result["differences_from_the_best_with_signals"]
    assert [gap["case"] for gap in differences] == [few["case"], every["case"]]
    per_user = result["auc_per_user"][1]
    assert per_user["item kNN"] == every["all"]["item kNN"]["auc_per_user_mean"]
    # Three tables of a heading, a rule and the two sizes.
    assert render("quality_curve", result).count("\n|") == 3 * (2 + 2)
    assert capsys.readouterr().out.count("'training_rows'") == 2


@pytest.mark.slow
@pytest.mark.usefixtures("forked_launches")
def test_one_epoch_trains_every_configuration(prepared: PreparedFolder, tmp_path: Path):
    config = tmp_path / "small.yaml"
    config.write_text(
        "model: {name_or_path: Qwen/Qwen3-0.6B, dtype: float32}\n"
        "prompt: {form: interview, signals: [recent, expected]}\n"
        "lora: {r: 2}\n"
        "data: {max_train_examples: 40, max_eval_examples: 10, max_length: 8192}\n"
        "train: {batch_size: 1, pack_length: 8192, eval_steps: 1, save_steps: 1,\n"
        "        gradient_checkpointing: false}\n"
        "scoring: {fusion: none}\n",
        encoding="utf-8",
    )
    file = tmp_path / "one_epoch.json"
    tokenizer = tiny_tokenizer(tmp_path / "tokenizer")
    one_epoch.main(
        f"--prepared {prepared.path} --configs {config} --tokenizer {tokenizer} --shape tiny "
        f"--work {tmp_path / 'work'} --result {file}".split()
    )
    result = json.loads(file.read_text(encoding="utf-8"))
    assert problems(result) == []
    (case,) = result["cases"]
    assert (case["case"], case["shape"]) == ("small", "tiny")
    assert case["evaluations"] >= case["steps"] >= 1
    assert 0 < case["training_and_evaluation_seconds"] < case["whole_command_seconds"]


def test_shipped_and_fitted_hyperparameters_are_compared(prepared: PreparedFolder, tmp_path: Path):
    file = tmp_path / "fit.json"
    fit_gaussian_process.main(f"--prepared {prepared.path} --result {file}".split())
    fit, shipped, fitted = json.loads(file.read_text(encoding="utf-8"))["cases"]
    assert not fit["fitted"]  # so few rows that prepare would not fit
    assert fitted["long_term"] != shipped["long_term"]
    for case in (shipped, fitted):
        assert 0 < case["auc, test"] < 1
        assert case["log_loss, validation"] > 0
