"""A study: its trials are runs, compared on validation rows; it survives killed processes."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import polars as pl
import pytest
from transformers import TrainerControl, TrainerState

import reeltune
from reeltune.cli import main
from reeltune.config import load_config
from reeltune.data.folder import PreparedFolder
from reeltune.errors import DataError, FileError, RunError
from reeltune.models.choices import process_state
from reeltune.runs.folder import RunFolder
from reeltune.training import tune as module
from tests.errors import raises_error
from tests.prepared_data import sign
from tests.runs import tiny_config, tiny_overrides

pytestmark = pytest.mark.slow

SPACE = ["lora.r=2:8", "train.learning_rate=1e-3:0.1:log", "lora.dropout=0", "lora.alpha=8"]
RECORDS = {"run.json", "metrics.json", "README.md", "training.log", "prompt.json", "logs"}


class Trainings:
    """Stands in for ``train``: evaluates to given losses, and writes what a study reads."""

    def __init__(self) -> None:
        self.configs: list[Any] = []
        self.resumed: list[bool] = []

    def losses(self, number: int) -> list[float]:
        return [0.7, 0.5 + number / 100]

    def __call__(self, config: Any, *, resume: bool, added: Any) -> None:
        folder = config.train.output_dir
        self.resumed.append(folder.exists() and resume)
        self.configs.append(config)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "checkpoint-1").mkdir(exist_ok=True)
        (folder / "adapter_model.safetensors").touch()
        losses, best = self.losses(int(folder.name)), float("inf")
        control = TrainerControl()
        for step, loss in enumerate([9.9, *losses]):
            if not control.should_training_stop:
                state = TrainerState(global_step=step, max_steps=len(losses))
                for callback in added:
                    callback.on_evaluate(None, state, control, metrics={"eval_log_loss": loss})
                best = min(best, loss)
        (folder / "metrics.json").write_text(json.dumps({"best": {"eval_log_loss": best}}))


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    found = Trainings()
    monkeypatch.setattr(module, "train", found)
    monkeypatch.setattr(module.gc, "collect", lambda: 0)  # no model to free
    return found


@pytest.fixture
def config(prepared, tmp_path):
    return tiny_config(tmp_path / "model", prepared.path, tmp_path, train__max_steps="null")


def search(config: Any, folder: Path, trials: int = 4, **changes: Any) -> dict[str, Any]:
    return reeltune.tune(config, **{"output": folder, "space": SPACE, "trials": trials} | changes)


def states(results: dict[str, Any]) -> dict[int, str]:
    return {trial["number"]: trial["state"] for trial in results["trials"]}


def values(results: dict[str, Any]) -> list[Any]:
    return sorted((trial["number"], str(trial["values"])) for trial in results["trials"])


def test_trials_are_runs_and_the_best_is_a_configuration(tiny_qwen3, prepared, tmp_path, capsys):
    overrides = tiny_overrides(
        tiny_qwen3, prepared.path, tmp_path, train__max_steps=2, scoring__fusion="auto"
    )
    settings = [word for value in overrides for word in ("--set", value)]
    space = [word for value in SPACE[:2] for word in ("--space", value)]
    with pytest.raises(SystemExit) as left:
        main(["tune", *settings, *space, "--trials", "2", "--keep", "1"])
    assert left.value.code == 0
    folder = tmp_path / "run-tune"
    assert f"reeltune train --config {folder / 'best.yaml'}" in capsys.readouterr().out
    results = json.loads((folder / "tune.json").read_text())
    best = results["best"]
    assert states(results) == {0: "complete", 1: "complete"}
    assert best["eval_log_loss"] == min(trial["eval_log_loss"] for trial in results["trials"])
    assert results["importances"] == {}  # of two trials
    assert best["values"].keys() == results["space"].keys()
    for number in range(2):
        run = RunFolder(folder / "trials" / str(number))
        names = {path.name for path in run.path.iterdir()}
        assert names >= RECORDS
        weights = {name for name in names if name.startswith(("adapter_", "checkpoint-"))}
        assert bool(weights) == (number == best["number"])
        assert run.config().scoring.fusion == "none"
        assert "fusion.json" not in names
    chosen, run = load_config(folder / "best.yaml"), folder / "trials" / str(best["number"])
    assert chosen.lora == RunFolder(run).config().lora
    assert chosen.train.learning_rate == best["values"]["train.learning_rate"]
    assert (chosen.scoring.fusion, chosen.train.output_dir) == ("auto", tmp_path / "run")


def test_test_rows_are_never_read(tiny_qwen3, prepared, tmp_path, monkeypatch):
    """With other ratings of every test row, a study is the same; and no split is test."""
    other = tmp_path / "other"
    shutil.copytree(prepared.path, other)
    events = pl.read_parquet(other / "timelines.parquet")
    test = pl.col("split") == "test"
    rating = pl.when(test).then(5.5 - pl.col("rating")).otherwise(pl.col("rating"))
    changed = events.with_columns(rating=rating.cast(pl.Float32))
    changed = changed.with_columns(liked=pl.col("rating") >= 4.0)
    assert changed.filter(test)["liked"].to_list() != events.filter(test)["liked"].to_list()
    changed.write_parquet(other / "timelines.parquet")
    sign(other)
    splits = []
    examples = PreparedFolder.examples
    monkeypatch.setattr(
        PreparedFolder,
        "examples",
        lambda self, split: splits.append(split) or examples(self, split),
    )
    found = []
    for folder in (prepared.path, other):
        changes = {"prompt__signals": "[recent, expected]", "train__max_steps": 2}
        config = tiny_config(tiny_qwen3, folder, tmp_path / folder.name, **changes)
        search(config, tmp_path / folder.name / "study", trials=1)
        storage = f"sqlite:///{tmp_path / folder.name / 'study' / 'study.db'}"
        (trial,) = optuna.load_study(study_name="reeltune", storage=storage).trials
        found.append((trial.params, trial.intermediate_values, trial.value))
    assert found[0] == found[1]
    assert found[0][1].keys() == {10_000}  # of 10,000 parts of the steps
    assert set(splits) == {"train", "validation"}


def test_an_interrupted_trial_is_continued(config, trainings, tmp_path, monkeypatch):
    expected = search(config, tmp_path / "whole")
    losses = trainings.losses
    monkeypatch.setattr(trainings, "losses", lambda n: losses(n) if n != 2 else interrupt())

    def interrupt() -> list[float]:
        raise KeyboardInterrupt

    folder = tmp_path / "study"
    with pytest.raises(KeyboardInterrupt):
        search(config, folder)
    left = json.loads((folder / "tune.json").read_text())
    assert states(left) == {0: "complete", 1: "complete", 2: "running"}
    monkeypatch.setattr(trainings, "losses", losses)
    results = search(config, folder)
    assert trainings.resumed == [False] * 7 + [True, False]
    assert states(results) == dict.fromkeys(range(4), "complete")
    assert values(results) == values(expected)
    assert search(config, folder)["trials"] == results["trials"]
    assert len(trainings.configs) == 9


def test_a_trial_in_which_every_process_dies_fails_in_the_end(
    config, trainings, tmp_path, monkeypatch
):
    losses = trainings.losses

    def ends(number: int) -> list[float]:
        if number == 1:
            raise end
        return losses(number)

    monkeypatch.setattr(trainings, "losses", ends)
    for end in [KeyboardInterrupt] * 5 + [SystemExit] * 4:  # the second as a killed process does
        with pytest.raises(end):
            search(config, tmp_path / "study", trials=3)
    results = search(config, tmp_path / "study", trials=3)
    assert states(results) == {0: "complete", 1: "fail", 2: "complete"}
    assert {t["error"]["code"] for t in results["trials"] if t["error"]} == {"trial_crashes"}


def test_two_processes_share_a_study(config, trainings, tmp_path, monkeypatch):
    both = threading.Barrier(2, timeout=60)
    monkeypatch.setattr(trainings, "losses", lambda n: [0.5 + n / 100 + both.wait() * 0])
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(search, config, tmp_path / "study") for _ in range(2)]
        results = [each.result() for each in found]
    assert sorted(int(c.train.output_dir.name) for c in trainings.configs) == [0, 1, 2, 3]
    assert any(states(each) == dict.fromkeys(range(4), "complete") for each in results)
    assert len({json.dumps(trial["values"]) for trial in results[0]["trials"]}) > 1


def test_a_failed_trial_does_not_end_the_study(config, trainings, tmp_path, monkeypatch):
    losses = trainings.losses

    def fail(number: int) -> list[float]:
        if number == 1:
            raise DataError("no rows", code="empty_split")
        return losses(number) if number != 2 else [1 / 0]

    monkeypatch.setattr(trainings, "losses", fail)
    results = search(config, tmp_path / "study")
    errors = {trial["number"]: trial["error"] for trial in results["trials"] if trial["error"]}
    assert {number: error["code"] for number, error in errors.items()} == {
        1: "empty_split",
        2: "unexpected_error",
    }
    assert states(results) == {0: "complete", 1: "fail", 2: "fail", 3: "complete"}
    assert "fail: empty_split" in (tmp_path / "study" / "report.md").read_text()
    monkeypatch.setattr(trainings, "losses", lambda number: fail(1))
    with raises_error(RunError, "no_complete_trial", figures=["3 trials", "no rows"]):
        search(config, tmp_path / "failing", trials=9)  # ended early: all fail alike


def test_a_trial_above_the_median_is_pruned(config, trainings, tmp_path, monkeypatch):
    monkeypatch.setattr(trainings, "losses", lambda n: [0.6 if n < 6 else 0.8, 0.5 + n / 100])
    results = search(config, tmp_path / "study", trials=7, keep=2)
    assert states(results) == dict.fromkeys(range(6), "complete") | {6: "pruned"}
    pruned = results["trials"][-1]
    assert (pruned["pruned_after_step"], pruned["eval_log_loss"]) == (1, 0.8)
    kept = {path.parent.name for path in (tmp_path / "study").glob("trials/*/adapter_*")}
    assert kept == {"0", "1"} == {str(t["number"]) for t in results["trials"] if t["weights"]}
    assert sum(results["importances"].values()) == pytest.approx(1)
    assert results["importances"].keys() == results["space"].keys()


def test_trials_of_other_lengths_are_compared_at_the_same_share_of_the_training(
    config, trainings, tmp_path, monkeypatch
):
    """At step 1 every long trial is above the short ones, whose learning rate falls sooner."""
    long = {5: [0.7, 0.6, 0.6, 0.4], 6: [0.7, 0.7, 0.6, 0.4]}
    monkeypatch.setattr(trainings, "losses", lambda n: long.get(n, [0.6, 0.5]))
    results = search(config, tmp_path / "study", trials=7)
    assert states(results) == dict.fromkeys(range(6), "complete") | {6: "pruned"}
    assert results["best"]["number"] == 5
    assert results["trials"][-1]["pruned_after_step"] == 2


def test_every_evaluation_of_a_long_training_is_reported():
    reported: list[int] = []
    trial: Any = SimpleNamespace(
        report=lambda _, share: reported.append(share), should_prune=lambda: False
    )
    callback, control = module._ReportTrial(trial), TrainerControl()
    for step in (100, 200, 40_000):  # of 32 million ratings
        state = TrainerState(global_step=step, max_steps=40_000)
        callback.on_evaluate(None, state, control, metrics={module.METRIC: 0.5})
    assert reported == [25, 50, 10_000]


@pytest.mark.parametrize(
    ("key", "change", "space"),
    [
        ("train.weight_decay", {"train__weight_decay": 0.1}, SPACE),
        ("--space lora.r", {}, ["lora.r=2:9", *SPACE[1:]]),
        ("--space train.epochs", {}, [*SPACE, "train.epochs=1,2"]),
    ],
)
def test_another_study_is_refused(config, trainings, prepared, tmp_path, key, change, space):
    search(config, tmp_path / "study", trials=1)
    values = {"train__max_steps": "null", "train__output_dir": "elsewhere"} | change
    other = tiny_config(tmp_path / "model", prepared.path, tmp_path, **values)
    with raises_error(RunError, "study_changed", figures=[key]):
        search(other, tmp_path / "study", space=space)


def test_other_data_are_refused(config, trainings, prepared, larger, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(prepared.path, folder)
    config = tiny_config(tmp_path / "model", folder, tmp_path)
    search(config, tmp_path / "study", trials=1)
    shutil.rmtree(folder)
    shutil.copytree(larger.path, folder)
    with raises_error(RunError, "study_changed", figures=["prepared data"]):
        search(config, tmp_path / "study")


def test_no_trial_begins_after_the_time(config, trainings, tmp_path):
    with raises_error(RunError, "no_complete_trial", figures=["0 trials"]):
        search(config, tmp_path / "study", timeout=0)
    assert trainings.configs == []


def test_a_folder_with_other_files_is_refused(config, trainings, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with raises_error(RunError, "output_not_empty", where=str(tmp_path), figures=["mine.txt"]):
        search(config, tmp_path)


def test_a_damaged_study_is_an_error_that_names_it(config, trainings, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.db").write_text("no database, whoever wrote it " * 100)
    with raises_error(FileError, "file_damaged", where=str(tmp_path / "study")):
        search(config, tmp_path / "study")


def test_a_launcher_is_refused(config, trainings, tmp_path, monkeypatch):
    monkeypatch.setattr(process_state(), "num_processes", 2)
    with raises_error(RunError, "study_with_launcher"):
        search(config, tmp_path / "study")
    assert not (tmp_path / "study").exists()
