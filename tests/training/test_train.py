"""A training run from the command line to its folder."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from peft import PeftModel
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM

from reeltune.cli import main
from reeltune.data.columns import VALIDATION
from reeltune.errors import ConfigError, DataError, LengthError, ModelError, RunError
from reeltune.models.loaded_model import load_model
from reeltune.runs.folder import RunFolder
from reeltune.scoring.scorer import Scorer
from reeltune.training.train import train
from reeltune.training.trainer import YesNoTrainer
from tests.errors import raises_error
from tests.helpers import write_prepared
from tests.models.test_choices import FSDP
from tests.runs import tiny_config, tiny_overrides
from tests.scored import score_split


@pytest.fixture(scope="module")
def run(tiny_qwen3, prepared, tmp_path_factory) -> Path:
    """One finished run; read it, never write to it."""
    work = tmp_path_factory.mktemp("trained")
    return train(tiny_config(tiny_qwen3, prepared.path, work, train__max_steps=5))


def read(path: Path):
    return json.loads(path.read_text())


@pytest.mark.slow
def test_the_run_folder_is_complete(run):
    names = {path.name for path in run.iterdir()}
    assert {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "prompt.json",
        "logs",
        "training.log",
        "metrics.json",
        "run.json",
        "README.md",
    } <= names
    assert 1 <= sum(name.startswith("checkpoint-") for name in names) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_pairwise_loss_on_few_rows_is_a_warning(tiny_qwen3, prepared, tmp_path, weight):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, train__pairwise_weight=weight)
    log = (train(config) / "training.log").read_text()
    warnings = re.findall(r"WARNING train\.pairwise_weight\b.* 64 .*\b8,000\b", log)
    assert len(warnings) == bool(weight)


@pytest.mark.slow
def test_without_a_metric_the_last_step_is_kept(tiny_qwen3, prepared, tmp_path):
    config = tiny_config(
        tiny_qwen3,
        prepared.path,
        tmp_path,
        train__metric_for_best_model="null",
        train__early_stopping_patience="null",
        train__learning_rate=0.5,  # every further step makes it worse
    )
    run = train(config)
    metrics = read(run / "metrics.json")
    assert metrics["best_step"] == metrics["steps"] == metrics["best"]["step"]
    last = max(run.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    kept, newest = (load_file(folder / "adapter_model.safetensors") for folder in (run, last))
    assert int(last.name.rpartition("-")[2]) == metrics["steps"]
    assert all(torch.equal(weight, newest[name]) for name, weight in kept.items())


def test_the_record_holds_configuration_data_and_versions(run, tiny_qwen3, prepared):
    record = read(run / "run.json")
    assert record["status"] == "finished"
    assert record["config"]["model"]["name_or_path"] == str(tiny_qwen3)
    assert record["rows"]["train"] == 64
    assert record["data"]["files"] == prepared.meta["files"]
    assert record["versions"]["torch"] == torch.__version__
    assert record["peak_memory"]["resident_gib"] > 0
    assert record["parameters"]["trainable"] < record["parameters"]["total"]
    assert len(record["config_sha256"]) == 64


def test_the_first_evaluation_precedes_training_and_the_last_follows_it(run):
    metrics = read(run / "metrics.json")
    assert [entry["step"] for entry in metrics["evaluations"]] == [0, 2, 4, 5]
    assert metrics["steps"] == 5
    assert not metrics["stopped_early"]
    aucs = {entry["step"]: entry["eval_auc"] for entry in metrics["evaluations"][1:]}
    assert metrics["best_step"] == max(aucs, key=lambda step: aucs[step])


def test_evaluation_during_training_equals_evaluation_afterwards(run, prepared, tiny_qwen3):
    """The adapter that was kept scores the validation rows exactly as it did during training."""
    config = tiny_config(tiny_qwen3, prepared.path, run.parent)
    scored = score_split(load_model(config, run), VALIDATION)
    best = read(run / "metrics.json")["best"]
    after = scored.metrics.to_dict()
    for name in ("auc", "auc_per_user_mean", "accuracy", "log_loss", "brier", "users_scored"):
        assert after[name] == pytest.approx(best[f"eval_{name}"], abs=1e-6)


def test_the_adapter_loads_in_plain_peft(run, tiny_qwen3):
    base = AutoModelForCausalLM.from_pretrained(tiny_qwen3)
    ids = torch.arange(3, 30)[None]
    before = base(ids).logits
    tuned = PeftModel.from_pretrained(base, str(run))
    assert not torch.allclose(tuned(ids).logits, before)


def test_other_users_can_read_every_file_of_the_run(run):
    files = [path for path in run.rglob("*") if path.is_file()]
    assert [path.name for path in files if not path.stat().st_mode & 0o044] == []


def test_tensorboard_has_losses_and_validation(run):
    events = EventAccumulator(str(run / "logs"))
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    assert {"train/loss", "train/learning_rate", "eval/auc", "eval/log_loss"} <= scalars
    assert [event.step for event in events.Scalars("eval/auc")] == [0, 2, 4, 5]


def test_the_log_shows_phases_choices_and_cache(run, prepared):
    log = (run / "training.log").read_text()
    assert re.findall(r"\[(\d)/4\] .* \(\d:\d\d since the start\)", log) == ["1", "2", "3", "4"]
    for expected in (
        "device: cpu (",
        "gradient checkpointing: off (configured)",
        "trainable parameters: ",
        "effective batch size: 4 rows (4 per device x 1 accumulated x 1 processes)",
        f"train rows: 64 of {len(prepared.examples('train'))} ",
    ):
        assert expected in log


def test_loss_and_evaluation_of_a_step_are_one_line(run):
    log = (run / "training.log").read_text()
    lines = re.findall(r" step (\d)/5: (loss .* left)?(?:, )?(eval_auc .*)?", log)
    shown = [(int(step), bool(loss), bool(evaluation)) for step, loss, evaluation in lines]
    both = [(step, True, True) for step in (2, 4)]
    assert shown == [(0, False, True), (1, True, False), *both, (5, False, True)]


def test_the_card_shows_the_numbers_of_metrics_json(run):
    card = (run / "README.md").read_text()
    best = read(run / "metrics.json")["best"]
    assert f"| AUC | {best['eval_auc']:.4f} |" in card
    data = ModelCard.load(run / "README.md").data
    assert (data.library_name, data["base_model_relation"]) == ("peft", "adapter")
    assert "Film to judge: The Candidate (1999)\nYes or No?" in card


@pytest.mark.slow
def test_a_second_run_hits_the_cache_and_trains_the_same_adapter(run, tiny_qwen3, prepared):
    other = train(
        tiny_config(
            tiny_qwen3,
            prepared.path,
            run.parent,
            train__max_steps=5,
            train__output_dir=run.parent / "again",
        )
    )
    assert "cache hit for train rows" in (other / "training.log").read_text()
    name = "adapter_model.safetensors"
    assert (other / name).read_bytes() == (run / name).read_bytes()


def test_an_earlier_run_is_not_overwritten_by_default(run, tiny_qwen3, prepared):
    config = tiny_config(tiny_qwen3, prepared.path, run.parent, train__max_steps=5)
    before = (run / "adapter_model.safetensors").read_bytes()
    with raises_error(RunError, "run_exists", where=str(run), figures=["--resume", "--overwrite"]):
        train(config)
    assert (run / "adapter_model.safetensors").read_bytes() == before


@pytest.mark.slow
def test_a_run_that_could_not_load_its_model_is_replaced(tiny_qwen3, prepared, tmp_path):
    with raises_error(ModelError, "model_not_found"):
        train(tiny_config(Path("nobody/nothing-here"), prepared.path, tmp_path))
    assert (tmp_path / "run" / "training.log").is_file()
    train(tiny_config(tiny_qwen3, prepared.path, tmp_path, train__max_steps=1))


def test_an_interrupted_run_does_not_wait_until_the_weights_are_read(
    tiny_qwen3, prepared, tmp_path, monkeypatch
):
    reading, interrupted, ended = threading.Event(), threading.Event(), []

    def read_weights(*_):
        reading.set()
        ended.append(interrupted.wait(60))

    def interrupt(*_):
        assert reading.wait(600)
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{train.__module__}.base_entry", read_weights)
    monkeypatch.setattr(f"{train.__module__}.cached_rows", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(tiny_qwen3, prepared.path, tmp_path))
    assert not ended
    interrupted.set()


def test_a_base_that_cannot_be_read_ends_the_run(tiny_qwen3, prepared, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error", "model.safetensors")

    monkeypatch.setattr(f"{train.__module__}.base_entry", fail)
    with pytest.raises(OSError, match=r"model\.safetensors"):
        train(tiny_config(tiny_qwen3, prepared.path, tmp_path))
    assert not (tmp_path / "run" / "checkpoint-2").exists()


def test_resuming_a_finished_run_changes_nothing(run, tiny_qwen3, prepared):
    config = tiny_config(tiny_qwen3, prepared.path, run.parent, train__max_steps=5)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert train(config, resume=True) == run
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_resuming_with_other_settings_names_them(run, tiny_qwen3, prepared):
    config = tiny_config(tiny_qwen3, prepared.path, run.parent, train__max_steps=9)
    with raises_error(RunError, "run_config_changed", figures=["train.max_steps: 5 -> 9"]):
        train(config, resume=True)


def test_other_files_are_left_alone(tiny_qwen3, prepared, tmp_path):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    with raises_error(RunError, "output_not_empty", where=str(tmp_path / "run")):
        train(config, overwrite=True)
    assert (tmp_path / "run" / "thesis.txt").read_text() == "years of work"


@pytest.mark.slow
def test_a_failed_replacement_leaves_the_earlier_run(tiny_qwen3, prepared, tmp_path):
    path = train(tiny_config(tiny_qwen3, prepared.path, tmp_path, train__max_steps=1))
    before = {file: file.stat().st_mtime_ns for file in sorted(path.rglob("*")) if file.is_file()}
    with raises_error(LengthError, "prompt_too_long"):
        shorter = tiny_config(tiny_qwen3, prepared.path, tmp_path, data__max_length=50)
        train(shorter, overwrite=True)
    assert before == {
        file: file.stat().st_mtime_ns for file in sorted(path.rglob("*")) if file.is_file()
    }
    assert not list(tmp_path.glob("*earlier*"))
    train(tiny_config(tiny_qwen3, prepared.path, tmp_path, train__max_steps=2), overwrite=True)
    assert (path / "checkpoint-2").is_dir()
    assert not list(tmp_path.glob("*earlier*"))


def test_a_refused_model_starts_nothing(tiny_qwen3, prepared, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ModelError("its logits are its own", code="unknown_logit_transform")

    started: list[str] = []
    monkeypatch.setattr(Scorer, "check", refuse)
    monkeypatch.setattr(YesNoTrainer, "train", lambda *_, **__: started.append("training"))
    monkeypatch.setattr(f"{train.__module__}.start_trackers", lambda _: started.append("trackers"))
    run = RunFolder(tmp_path / "run")
    _record(run.path, "finished")
    (run.path / "adapter_model.safetensors").touch()
    with raises_error(ModelError, "unknown_logit_transform"):
        train(tiny_config(tiny_qwen3, prepared.path, tmp_path), overwrite=True)
    assert started == []
    assert run.finished


@pytest.mark.skipif(torch.cuda.is_available(), reason="accelerate shards on this machine")
def test_fsdp_is_refused_without_gpus(tiny_qwen3, prepared, tmp_path, monkeypatch):
    for name, value in FSDP.items():
        monkeypatch.setenv(name, value)
    with raises_error(ConfigError, "fsdp_not_supported", figures=["GPUs"]):
        train(tiny_config(tiny_qwen3, prepared.path, tmp_path))
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_run_is_restored_after_its_replacement_was_killed(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    (run.path / "run.json").write_text('{"status": "finished"}')
    (run.path / "adapter_model.safetensors").write_text("weights")
    run.start(overwrite=True)
    assert not run.finished
    again = RunFolder(run.path)
    with raises_error(RunError, "run_exists"):
        again.start(overwrite=False)
    assert again.finished


def _record(path, status="running"):
    path.mkdir()
    (path / "run.json").write_text(f'{{"status": "{status}"}}')


def test_a_folder_named_like_an_earlier_run_is_kept(tmp_path):
    run, mine = RunFolder(tmp_path / "run"), tmp_path / ".run.earlier"
    _record(mine)
    for path in (mine, run.path):
        path.mkdir(exist_ok=True)
        (path / "thesis.txt").write_text("years of work")
    run.restore_earlier()
    run.remove_earlier()
    (run.path / "run.json").write_text('{"status": "running"}')
    with raises_error(RunError, "output_not_empty", where=str(mine)):
        run.start(overwrite=True)
    for path in (mine, run.path):
        assert (path / "thesis.txt").read_text() == "years of work"


def test_a_run_without_checkpoint_but_with_other_files_is_not_removed(tmp_path):
    run = RunFolder(tmp_path / "run")
    _record(run.path)
    (run.path / ".run.json.0123abcd.part").touch()  # of a killed process
    run.start(overwrite=False)
    assert list(run.path.iterdir()) == []
    run.path.rmdir()
    _record(run.path)
    (run.path / "thesis.txt").write_text("years of work")
    with raises_error(RunError, "run_exists", where=str(run.path)):
        run.start(overwrite=False)
    assert (run.path / "thesis.txt").is_file()


def test_a_linked_run_folder_is_replaced_where_it_is(tmp_path):
    run = RunFolder(tmp_path / "link")
    _record(tmp_path / "run", "finished")
    run.path.symlink_to(tmp_path / "run")
    run.start(overwrite=True)
    assert run.path.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".run.earlier", "link", "run"]
    run.restore_earlier()
    assert run.record()["status"] == "finished"
    run.start(overwrite=True)
    run.remove_earlier()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "run"]
    assert list(run.path.iterdir()) == []


@pytest.mark.slow
def test_predictions_that_are_not_finite_end_the_run(tiny_qwen3, prepared, tmp_path, monkeypatch):
    nothing = np.full(1, np.nan)
    monkeypatch.setattr(YesNoTrainer, "_p_yes", lambda *_: nothing)
    with raises_error(RunError, "training_diverged", figures=["train.learning_rate"]):
        train(tiny_config(tiny_qwen3, prepared.path, tmp_path, train__max_steps=1))


TOO_LONG = {"code": "prompt_too_long", "where": "data.max_length", "figures": ["64 of 64", 50]}


def test_too_long_prompts_stop_the_run(tiny_qwen3, prepared, tmp_path):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, data__max_length=50)
    with raises_error(LengthError, **TOO_LONG):
        train(config)


@pytest.mark.slow
def test_too_long_prompts_stop_a_run_that_hits_the_cache(tiny_qwen3, prepared, tmp_path):
    train(tiny_config(tiny_qwen3, prepared.path, tmp_path, train__max_steps=1))
    shorter = tiny_config(tiny_qwen3, prepared.path, tmp_path, data__max_length=50)
    with raises_error(LengthError, **TOO_LONG):
        train(shorter, overwrite=True)


@pytest.mark.parametrize("metric", ["eval_auc", "eval_auc_per_user_mean"])
def test_an_undefined_metric_stops_the_run_at_the_start(metric, tiny_qwen3, prepared, tmp_path):
    config = tiny_config(
        tiny_qwen3,
        prepared.path,
        tmp_path,
        data__max_eval_examples=1,
        train__metric_for_best_model=metric,
    )
    with raises_error(DataError, "metric_undefined", figures=[metric]):
        train(config)
    assert not list((tmp_path / "run").glob("checkpoint-*"))


@pytest.mark.slow
def test_resuming_on_other_data_is_refused(tiny_qwen3, tmp_path):
    folder = write_prepared(tmp_path / "prepared", seed=0)
    config = tiny_config(tiny_qwen3, folder, tmp_path)
    run = RunFolder(train(config))
    run.write_record(run.record() | {"status": "running"})  # as a kill before the end leaves it
    write_prepared(tmp_path / "prepared", seed=1)
    with raises_error(RunError, "run_data_changed", figures=["timelines.parquet"]):
        train(config, resume=True)


@pytest.mark.slow
def test_an_evaluation_of_the_base_model_makes_no_run_folder(tiny_qwen3, prepared, tmp_path):
    overrides = tiny_overrides(tiny_qwen3, prepared.path, tmp_path)
    sets = [part for override in overrides for part in ("--set", override)]
    with pytest.raises(SystemExit) as exited:
        flags = ("--base-only", "--no-baselines", "--split", "validation")
        main(["evaluate", "--config", os.devnull, *flags, *sets])
    assert exited.value.code == 0
    written = read(tmp_path / "run-base-evaluation-validation" / "metrics.json")
    assert written["rows"] == len(prepared.examples(VALIDATION))
    assert not (tmp_path / "run").exists()


def test_an_incomplete_checkpoint_is_not_resumed_from(tmp_path):
    folder = RunFolder(tmp_path)
    for step, complete in ((2, True), (10, True), (12, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if complete:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert [path.name for path in folder.checkpoints()] == ["checkpoint-2", "checkpoint-10"]
    assert [path.name for path in folder.remove_incomplete_checkpoints()] == ["checkpoint-12"]
    assert not (tmp_path / "checkpoint-12").exists()
