"""Keys that are given explicitly with a trained adapter are used or refused, never ignored."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import torch

import reeltune
from reeltune.cli import main
from reeltune.config import Config, build_config, config_tree, load_config
from reeltune.errors import ConfigError
from reeltune.files import write_json
from reeltune.models.loaded_model import as_trained
from reeltune.runs.folder import RUN_FILE
from reeltune.runs.log import LOGGER
from reeltune.training.train import train
from tests.errors import error_code, raises_error
from tests.runs import tiny_config, tiny_overrides

GIVEN = {
    "model.dtype": "bfloat16",
    "model.attention": "eager",
    "quantization.allow_cpu": True,
    "model.name_or_path": "somewhere/else",
}
REFUSED = {
    "prompt.form": "window",
    "prompt.genres": True,
    "prompt.signals": ["item"],
    "prompt.item_text_tokens": 5,
    "quantization.load_in_4bit": True,
    "quantization.quant_type": "fp4",
    "quantization.double_quant": False,
    "model.revision": "main",
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with the record of a run with the default configuration, and nothing else."""
    write_json(tmp_path / RUN_FILE, {"config": config_tree(Config())})
    return tmp_path


def override(key: str, value: object) -> str:
    return f"{key}={str(value).replace(chr(39), '')}"


def value_of(config: Config, path: str) -> object:
    section, key = path.split(".")
    return config_tree(config)[section][key]


def test_every_key_that_a_run_replaces_is_either_used_or_refused():
    sections = ("model", "quantization", "prompt")
    keys = {f"{name}.{key}" for name in sections for key in config_tree(Config())[name]}
    assert keys == GIVEN.keys() | REFUSED.keys()


@pytest.mark.parametrize("key", GIVEN)
def test_an_explicit_key_of_the_machine_is_used(key, run, monkeypatch):
    monkeypatch.setattr("reeltune.models.loaded_model.refuse_missing_folder", lambda *_: None)
    config = as_trained(load_config(None, [override(key, GIVEN[key])]), run)
    assert value_of(config, key) == GIVEN[key]
    assert as_trained(config, run) == config


@pytest.mark.parametrize("key", REFUSED)
def test_any_other_explicit_key_that_differs_is_an_error_with_both_values(key, run):
    with raises_error(ConfigError, "differs_from_run", where=f"{run}: {key}") as caught:
        as_trained(load_config(None, [override(key, REFUSED[key])]), run)
    for value in (REFUSED[key], value_of(Config(), key)):
        assert str(value) in caught.value.message


def test_a_key_of_a_file_yields_to_the_run_and_an_equal_one_is_accepted(run):
    changes = {**GIVEN, **REFUSED}
    tree = config_tree(Config())
    for path, value in changes.items():
        section, key = path.split(".")
        tree[section][key] = value
    config = as_trained(build_config(tree), run)
    explicit = [override(key, value_of(Config(), key)) for key in changes]
    assert [value_of(config, key) for key in changes] == [
        value_of(Config(), key) for key in changes
    ]
    same = [text for text in explicit if "null" not in text and "None" not in text]
    assert config_tree(as_trained(load_config(None, same), run)) == config_tree(config)


def test_overrides_of_the_api_are_explicit_and_its_file_is_not(tmp_path):
    from reeltune.api.runs import as_config

    file = tmp_path / "own.yaml"
    file.write_text("model: {dtype: float16}\n")
    nested = as_config(file, {"model": {"attention": "eager"}, "prompt.genres": True})
    assert nested.explicit == {"model.attention", "prompt.genres"}
    assert as_config(nested, {"lora.r": 4}).explicit == {*nested.explicit, "lora.r"}


@pytest.mark.slow
def test_commands_and_api_compute_in_the_given_type(tiny_qwen3, prepared, tmp_path, caplog, capsys):
    folder = train(tiny_config(tiny_qwen3, prepared.path, tmp_path, train__max_steps=2))
    LOGGER.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, LOGGER.name):
        recommender = reeltune.load(folder, overrides={"model.dtype": "bfloat16"})
    LOGGER.removeHandler(caplog.handler)
    assert recommender.predictor.loaded.base.model.dtype == torch.bfloat16
    assert "model.dtype: bfloat16 (given), instead of the run's float32" in caplog.text
    sets = [
        part
        for text in tiny_overrides(tiny_qwen3, prepared.path, tmp_path)
        for part in ("--set", text)
    ]
    common = ["--config", os.devnull, "--adapter", str(folder), *sets]
    user = ["--user", str(prepared.ratings.user_id[0])]
    with pytest.raises(SystemExit) as left:
        main(["recommend", *user, *common, "--set", "model.dtype=bfloat16"])
    captured = capsys.readouterr()
    assert (left.value.code or 0, "dtype: bfloat16 (configured)" in captured.err) == (0, True)
    with pytest.raises(SystemExit) as left:
        main(["recommend", *user, *common, "--set", "prompt.form=interview"])
    assert (left.value.code, error_code(capsys.readouterr().err)) == (3, "differs_from_run")
