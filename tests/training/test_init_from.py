"""A run that begins with the weights of a trained adapter, whose prompt may differ."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from reeltune.errors import ConfigError, ModelError, RunError
from reeltune.models import loaded_model
from reeltune.runs.folder import ADAPTER_WEIGHTS, RUN_FILE
from reeltune.training.train import train
from tests.errors import raises_error
from tests.helpers import tiny_model, write_prepared
from tests.runs import tiny_config


def read(run: Path, name: str) -> dict[str, Any]:
    return json.loads((run / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def first(tiny_qwen3, prepared, tmp_path_factory) -> Path:
    """A finished run, whose adapter is that of its last step; read it, never write to it."""
    work = tmp_path_factory.mktemp("first")
    changes = {"train__metric_for_best_model": "null", "train__max_steps": 2}
    return train(tiny_config(tiny_qwen3, prepared.path, work, **changes))


@pytest.fixture
def continued(tiny_qwen3, prepared, tmp_path, first):
    def config(**changes: Any):
        values = {"lora__init_from": first, "train__max_steps": 2, **changes}
        model = values.pop("model", tiny_qwen3)
        return tiny_config(model, values.pop("data", prepared.path), tmp_path, **values)

    return config


@pytest.mark.slow
@pytest.mark.parametrize("form", ["window", "interview"])
def test_training_begins_with_the_weights_of_the_other_run(form, continued, first, tmp_path):
    config = continued(prompt__form=form, lora__dropout=0.5)
    loaded = loaded_model.load_model(config, trainable=True)
    loaded.peft_model.save_pretrained(tmp_path / "begin")
    weights = (tmp_path / "begin" / ADAPTER_WEIGHTS).read_bytes()
    assert weights == (first / ADAPTER_WEIGHTS).read_bytes()
    run = train(config)
    assert (run / ADAPTER_WEIGHTS).read_bytes() != weights
    begin, last = read(run, "metrics")["evaluations"][0], read(first, "metrics")["evaluations"][-1]
    assert begin["step"] == 0
    same = [begin[key] == last[key] for key in last if key.startswith("eval_log_loss")]
    assert same == [form == "window"]  # the prompt of the first run
    record = read(run, "run")["init_from"]
    assert (run / record.pop("path")).resolve() == first.resolve()
    assert record == read(first, "run")["adapter"]
    assert record[ADAPTER_WEIGHTS] in (run / "README.md").read_text()


@pytest.mark.slow
def test_a_run_resumes_without_the_one_it_began_from(continued, first, tmp_path, monkeypatch):
    moved = shutil.copytree(first, tmp_path / "first")
    config = continued(lora__init_from=moved, train__max_steps=4)
    whole = train(config)
    kept, record = (whole / ADAPTER_WEIGHTS).read_bytes(), read(whole, "run")
    (whole / ADAPTER_WEIGHTS).unlink()
    shutil.rmtree(whole / "checkpoint-4")
    (whole / RUN_FILE).write_text(json.dumps(record | {"status": "running"}))
    shutil.rmtree(moved)
    assert train(config, resume=True) == whole
    assert (whole / ADAPTER_WEIGHTS).read_bytes() == kept
    again = read(whole, "run")
    assert again["resumed_from"] == ["checkpoint-2"]
    assert again["init_from"] == record["init_from"]
    with raises_error(RunError, "run_config_changed", figures=["lora.init_from"]):
        train(continued(train__max_steps=4), resume=True)


@pytest.mark.parametrize(
    ("changes", "figures"),
    [
        ({"lora__r": 2, "lora__alpha": 4}, ["lora.r 4 and not 2", "--set lora.alpha='8'"]),
        ({"lora__target_modules": "[q_proj]"}, ["--set lora.target_modules='\"all-linear\"'"]),
        ({"lora__extra": "{use_dora: true}"}, ["--set lora.extra='{}'"]),
    ],
    ids=["rank", "layers", "method"],
)
def test_another_shape_is_refused_with_the_settings_to_use(changes, figures, continued, first):
    with raises_error(ModelError, "init_from_differs", where=str(first), figures=figures):
        train(continued(**changes))


def test_another_base_model_is_refused(continued, tmp_path):
    other = tiny_model(tmp_path / "other", head_dim=16)
    with raises_error(ModelError, "base_differs", where=str(other), figures=["model.name_or_path"]):
        train(continued(model=other))


def test_other_ratings_are_refused(continued, first, tmp_path):
    other = write_prepared(tmp_path / "other", users=9)
    with raises_error(ModelError, "init_from_other_data", where=str(first)):
        train(continued(data=other))


def remove_adapter(weights: Path) -> None:
    for name in (ADAPTER_WEIGHTS, "adapter_config.json", "prompt.json"):  # as until the end
        (weights.parent / name).unlink()


def change(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x00\x3f")


@pytest.mark.parametrize(
    ("name", "damage", "kind", "code"),
    [
        (RUN_FILE, Path.unlink, RunError, "not_a_run"),
        (ADAPTER_WEIGHTS, remove_adapter, ModelError, "adapter_not_found"),
        (ADAPTER_WEIGHTS, change, ModelError, "adapter_differs"),
    ],
    ids=["no record", "unfinished", "other weights"],
)
def test_a_run_without_its_adapter_is_refused(name, damage, kind, code, continued, first, tmp_path):
    run = shutil.copytree(first, tmp_path / "first")
    damage(run / name)
    with raises_error(kind, code, where=str(run)):
        train(continued(lora__init_from=run))


def test_the_run_that_would_be_replaced_is_refused(continued, tmp_path):
    with raises_error(ConfigError, "init_from_own_output", where="lora.init_from"):
        continued(lora__init_from=tmp_path / "x" / ".." / "run")
