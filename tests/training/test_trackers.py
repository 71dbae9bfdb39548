"""Experiment trackers get metrics, speed, memory and hyperparameters; telemetry is off."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _telemetry
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reeltune.config import load_config
from reeltune.errors import ConfigError, MissingExtraError, RunError
from reeltune.training import trackers
from reeltune.training.callbacks import ProgressLog
from reeltune.training.dry_run import dry_run
from reeltune.training.train import train
from tests.errors import raises_error
from tests.runs import tiny_config

VARIABLES = (
    "WANDB_PROJECT",
    "WANDB_QUIET",
    "WANDB_CONSOLE",
    "WANDB_ERROR_REPORTING",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_FLATTEN_PARAMS",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_ALLOW_FILE_STORE",
    "MLFLOW_DISABLE_TELEMETRY",
    "GRADIO_ANALYTICS_ENABLED",
    "HF_HUB_DISABLE_TELEMETRY",
)
SCALARS = ("tokens_per_second", "peak_resident_gib", "loss", "learning_rate")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Unset the variables that a run sets; after the test they are as before."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.chdir(tmp_path)


def need(tracker: str) -> None:
    if importlib.util.find_spec(tracker) is None:
        pytest.skip(f"{tracker} is not installed (extra {tracker})")


def run_with(tracker: str, model: Path, prepared: Any, work: Path) -> Path:
    changes = {"train__report_to": f"[{tracker}]", "train__run_name": "a first run"}
    return train(tiny_config(model, prepared.path, work, **changes))


@pytest.mark.slow
def test_tensorboard(tiny_qwen3, prepared, tmp_path):
    run = run_with("tensorboard", tiny_qwen3, prepared, tmp_path)
    events = EventAccumulator(str(run / "logs"))
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    assert {f"train/{name}" for name in SCALARS} | {"eval/auc", "eval/log_loss"} <= scalars
    assert [event.step for event in events.Scalars("eval/auc")] == [0, 2, 4]
    assert min(event.value for event in events.Scalars("train/tokens_per_second")) > 0
    (text,) = events.Tensors("args/text_summary")
    values = json.loads(text.tensor_proto.string_val[0])
    assert (values["lora.r"], values["train.block_size"]) == (4, 8)


@pytest.mark.slow
def test_no_tracker(tiny_qwen3, prepared, tmp_path):
    run = run_with("", tiny_qwen3, prepared, tmp_path)
    assert not (run / "logs").exists()


@pytest.mark.slow
def test_wandb_offline(tiny_qwen3, prepared, tmp_path):
    need("wandb")
    import wandb

    run_with("wandb", tiny_qwen3, prepared, tmp_path)
    assert wandb.run is None  # a second run of this process would continue it
    (file,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    content = file.read_bytes()
    for name in ("eval/auc", "lora.r", "a first run", *SCALARS):
        assert name.encode() in content


@pytest.mark.slow
def test_mlflow_in_a_local_folder(tiny_qwen3, prepared, tmp_path, monkeypatch):
    need("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run_with("mlflow", tiny_qwen3, prepared, tmp_path)
    import mlflow

    (run,) = mlflow.search_runs(experiment_names=["reeltune"], output_format="list")
    assert run.info.run_name == "a first run"
    assert {"eval_auc", *SCALARS} <= run.data.metrics.keys()
    assert run.data.params["lora.r"] == "4"


@pytest.mark.slow
def test_trackio_in_a_local_folder(tiny_qwen3, prepared, tmp_path):
    need("trackio")
    run_with("trackio", tiny_qwen3, prepared, tmp_path)
    with sqlite3.connect(tmp_path / "trackio" / "reeltune.db") as database:
        rows = database.execute("SELECT run_name, step, metrics FROM metrics").fetchall()
        (settings,) = database.execute("SELECT config FROM configs").fetchone()
    assert {name for name, _, _ in rows} == {"a first run"}
    metrics = {name for _, _, text in rows for name in json.loads(text)}
    assert {f"train/{name}" for name in SCALARS} | {"eval/auc"} <= metrics
    assert json.loads(settings)["lora.r"] == 4


def test_an_unknown_tracker_is_refused():
    with raises_error(
        ConfigError, "invalid_setting", where="train.report_to", figures=["tensorbord", "wandb"]
    ):
        load_config(None, ["train.report_to=[tensorbord]"])


@pytest.mark.parametrize("start", [train, dry_run])
def test_a_missing_tracker_names_its_extra(start, tiny_qwen3, prepared, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with raises_error(MissingExtraError, "missing_extra", where="wandb", figures=["[wandb]"]):
        start(tiny_config(tiny_qwen3, prepared.path, tmp_path, train__report_to="[wandb]"))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_tracker_that_does_not_start_leaves_the_earlier_run(
    tiny_qwen3, prepared, tmp_path, monkeypatch
):
    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionError("nobody listens.\nDetails: ...")

    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, train__max_steps=1)
    run = train(config)
    before = (run / "adapter_model.safetensors").read_bytes(), (run / "run.json").read_text()
    monkeypatch.setattr(ProgressLog, "on_train_begin", refuse)
    monkeypatch.setitem(trackers._CALLBACKS, ProgressLog, ("wandb", "Log in"))
    with raises_error(
        RunError,
        "tracker_failed",
        where="wandb",
        figures=["ConnectionError: nobody listens)", "Log in; or remove wandb"],
    ):
        train(config, overwrite=True)
    after = (run / "adapter_model.safetensors").read_bytes(), (run / "run.json").read_text()
    assert after == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tracker", "variables"),
    [
        ("wandb", {"WANDB_MODE": "online", "WANDB_API_KEY": "no key"}),
        ("mlflow", {"MLFLOW_TRACKING_URI": "nosuch://server"}),
        ("trackio", {"TRACKIO_SERVER_URL": "http://127.0.0.1:9"}),
    ],
)
def test_a_tracker_with_wrong_settings_is_an_error_that_names_it(
    tracker, variables, tiny_qwen3, prepared, tmp_path, monkeypatch
):
    need(tracker)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if tracker == "wandb":
        import wandb

        wandb.teardown()  # a process keeps the settings it began with
    with raises_error(RunError, "tracker_failed", where=tracker, figures=[]):
        run_with(tracker, tiny_qwen3, prepared, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("variable", "reports"), [(None, 0), ("0", 1)])
def test_trl_reports_a_training_only_if_the_environment_allows_it(
    variable, reports, tiny_qwen3, prepared, tmp_path, monkeypatch
):
    sent: list[Any] = []
    queue = type("Queue", (), {"put": staticmethod(sent.append)})
    monkeypatch.setattr(_telemetry, "_TELEMETRY_QUEUE", queue)
    monkeypatch.setattr(_telemetry, "_start_telemetry_thread", lambda: None)
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    monkeypatch.delenv("CI", raising=False)  # TRL reports nothing where CI is set
    if variable is not None:
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", variable)
    train(tiny_config(tiny_qwen3, prepared.path, tmp_path, train__max_steps=1))
    assert len(sent) == reports
