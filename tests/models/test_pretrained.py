"""Base models: complete, from their folder alone, and without running their code."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from reeltune.errors import ModelError
from reeltune.models.choices import make_choices
from reeltune.models.load import load_base
from reeltune.models.pretrained import from_pretrained, load_tokenizer, no_hub
from tests.errors import raises_error
from tests.runs import tiny_config

ROOT = Path(__file__).parents[2]
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture
def folder(tiny_qwen3, tmp_path, monkeypatch) -> Path:
    """A copy of a model to damage; the hub may be asked, and a request fails the test."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(httpx.Client, "send", lambda *_, **__: pytest.fail("the hub was asked"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    return shutil.copytree(tiny_qwen3, tmp_path / "model")


def change(folder: Path, of: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    tensors = of(load_file(folder / WEIGHTS))
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def set_keys(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(content | values))


def load(folder: Path) -> None:
    config = tiny_config(folder, folder, folder)
    load_base(config, make_choices(config))


def test_a_complete_model_is_loaded(folder):
    load(folder)


@pytest.mark.parametrize(
    ("of", "count"),
    [
        (lambda t: {k: t[k] for k in list(t)[: len(t) // 2]}, 12),
        (lambda t: {f"other.{k}": t[k] for k in t}, 25),
        (lambda t: {k: torch.cat([t[k], t[k]]) if t[k].ndim > 1 else t[k] for k in t}, 15),
    ],
)
def test_weights_that_are_missing_or_of_another_shape_are_refused(of, count, folder):
    change(folder, of)
    with raises_error(ModelError, "weights_missing", where=str(folder), figures=[count]):
        load(folder)


def test_weights_that_are_not_finite_are_refused(folder):
    name = "model.layers.1.mlp.up_proj.weight"
    change(folder, lambda t: t | {name: t[name].log()})
    with raises_error(ModelError, "weights_damaged", where=str(folder), figures=[name]):
        load(folder)


@pytest.mark.parametrize(
    "content", [POINTER, b"", bytes(1000), b"<html>", None], ids=lambda c: str(c and c[:8])
)
@pytest.mark.parametrize("shards", [False, True])
def test_a_damaged_file_of_weights_is_named(content, shards, folder):
    file = folder / WEIGHTS
    if shards:
        file = file.rename(folder / "model-00001-of-00001.safetensors")
        set_keys(folder / INDEX, weight_map={"model.norm.weight": file.name})
    file.write_bytes(file.read_bytes()[:-1] if content is None else content)
    figures = ["git lfs"] if content == POINTER else []
    with raises_error(ModelError, "weights_damaged", where=str(file), figures=figures):
        load(folder)


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "absent.safetensors", 5, None])
def test_weights_outside_the_folder_are_not_read(name, folder):
    (folder / WEIGHTS).rename(folder.parent / "elsewhere.safetensors")
    set_keys(folder / INDEX, weight_map={"model.norm.weight": name})
    with raises_error(ModelError, "model_folder_incomplete", where=str(folder)):
        load(folder)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
)
@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "\x00" * 99, "[" * 100_000])
def test_a_damaged_file_of_settings_is_named(name, content, folder):
    (folder / name).write_text(content)
    with raises_error(ModelError, "model_folder_incomplete", where=str(folder), figures=[name]):
        load(folder)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("config.json", {"hidden_size": "wide"}),
        ("config.json", {"model_type": ["qwen3"]}),
        ("tokenizer.json", {"model": None}),
        ("tokenizer.json", {"added_tokens": [{"id": 2**40, "content": "x"}]}),
        ("tokenizer_config.json", {"tokenizer_class": 7}),
    ],
)
def test_settings_that_cannot_be_used_are_refused(name, values, folder):
    set_keys(folder / name, **values)
    with raises_error(ModelError, "model_folder_incomplete", where=str(folder)):
        load(folder)


EVIL = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
from transformers import PretrainedConfig as Config, Qwen3ForCausalLM as Model
from transformers import PreTrainedTokenizerFast as Tokenizer
"""


@pytest.mark.parametrize("known", [False, True])
def test_code_of_a_model_is_never_run(known, folder):
    (folder / "evil.py").write_text(EVIL)
    classes = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    set_keys(folder / "config.json", auto_map=classes)
    tokenizer = {"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]}
    set_keys(folder / "tokenizer_config.json", auto_map=tokenizer)
    if known:
        load(folder)  # by the class of transformers
    else:
        set_keys(folder / "config.json", model_type="no_such_model")
        set_keys(folder / "tokenizer_config.json", tokenizer_class="EvilTokenizer")
        with raises_error(ModelError, "model_needs_its_own_code", where=str(folder)):
            from_pretrained(AutoConfig, str(folder))
        with raises_error(ModelError, "model_needs_its_own_code", where=str(folder)):
            load_tokenizer(str(folder))
    assert not list(folder.rglob("ran"))


def test_an_adapter_is_no_base_model(folder):
    named = {"base_model_name_or_path": "someone/else", "peft_type": "LORA"}
    set_keys(folder / "adapter_config.json", **named)
    with raises_error(ModelError, "base_is_an_adapter", where=str(folder)):
        load(folder)
    (folder / "config.json").unlink()
    with raises_error(ModelError, "base_is_an_adapter", where=str(folder)):
        from_pretrained(AutoConfig, str(folder))


def test_a_link_to_nothing_is_no_name_on_the_hub(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    Path("base").symlink_to("absent")
    with raises_error(ModelError, "model_folder_missing", where="base"):
        load_tokenizer("base")


def test_the_hub_is_refused_inside_the_block_only(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with no_hub():
        assert constants.is_offline_mode()
    assert not constants.is_offline_mode()


@pytest.mark.parametrize("part", ["src", "examples", "benchmarks"])
def test_every_call_of_from_pretrained_refuses_code_explicitly(part):
    calls = [
        (file.name, node.lineno, {k.arg: getattr(k.value, "value", None) for k in node.keywords})
        for file in (ROOT / part).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "from_pretrained"
    ]
    assert calls
    assert [call for call in calls if call[2].get("trust_remote_code") is not False] == []
