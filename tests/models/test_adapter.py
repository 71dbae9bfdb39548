"""An adapter is read from its folder alone, and all of it must fit the model."""

from __future__ import annotations

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

from reeltune.errors import ModelError
from reeltune.models.adapter import adapter_record, load_adapter, read_adapter, refuse_unfit
from reeltune.models.choices import make_choices
from reeltune.models.load import BaseModel, add_adapter, load_base
from reeltune.runs.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, RUN_FILE
from reeltune.training.train import train
from tests.errors import raises_error
from tests.runs import tiny_config

Tensors = dict[str, torch.Tensor]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture(scope="module")
def trained(tiny_qwen3, prepared, tmp_path_factory) -> Path:
    """A folder with an adapter whose weights are random, and nothing else."""
    work = tmp_path_factory.mktemp("trained")
    config = tiny_config(tiny_qwen3, prepared.path, work, lora__dropout=0.1)
    torch.manual_seed(0)
    model = add_adapter(load_base(config, make_choices(config)), config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    model.save_pretrained(work / "adapter")
    return work / "adapter"


@pytest.fixture
def adapter(trained, tmp_path) -> Path:
    """A copy of the adapter to damage."""
    return shutil.copytree(trained, tmp_path / "adapter")


@pytest.fixture
def base(tiny_qwen3, prepared, tmp_path) -> BaseModel:
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path)
    return load_base(config, make_choices(config))


def change(adapter: Path, of: Callable[[Tensors], Tensors]) -> None:
    file = adapter / ADAPTER_WEIGHTS
    changed = {name: tensor.contiguous() for name, tensor in of(load_file(file)).items()}
    save_file(changed, file, {"format": "pt"})


def test_every_weight_of_the_folder_is_in_the_model(base, adapter):
    model = load_adapter(base, adapter)
    saved = load_file(adapter / ADAPTER_WEIGHTS)
    loaded = {name.replace(".default", ""): p for name, p in model.named_parameters()}
    assert saved
    for name, weight in saved.items():
        assert torch.equal(loaded[name], weight)
    assert not model.training
    assert not any(p.requires_grad for name, p in model.named_parameters() if "lora" in name)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_weights_in_another_number_type_are_loaded(dtype, base, adapter):
    change(adapter, lambda tensors: {name: t.to(dtype) for name, t in tensors.items()})
    model = load_adapter(base, adapter)
    assert {p.dtype for name, p in model.named_parameters() if "lora" in name} == {torch.float32}


def first(tensors: Tensors) -> str:
    return min(tensors)


UNFIT: dict[str, Callable[[Tensors], Tensors]] = {
    "renamed": lambda t: {
        k.replace("base_model.model.model.", "base_model.model."): t[k] for k in t
    },
    "half": lambda t: {k: t[k] for k in sorted(t)[: len(t) // 2]},
    "none": lambda _: {},
    "one renamed": lambda t: {k + ("x" if k == first(t) else ""): t[k] for k in t},
    "one more": lambda t: t | {"base_model.model.lm_head.lora_A.weight": torch.ones(4, 16)},
    "not of LoRA": lambda t: t | {"base_model.model.model.norm.weight": torch.ones(16)},
    "another rank": lambda t: {k: t[k][:2] if "lora_A" in k else t[k][:, :2] for k in t},
    "another base": lambda t: {k: torch.cat([t[k], t[k]], int("lora_A" in k)) for k in t},
    "integers": lambda t: {k: (t[k] * 100).to(torch.int32) for k in t},
}


@pytest.mark.parametrize("kind", UNFIT)
def test_weights_that_do_not_all_fit_are_refused(kind, base, adapter):
    change(adapter, UNFIT[kind])
    with raises_error(ModelError, "adapter_does_not_fit", where=str(adapter), figures=[28]):
        load_adapter(base, adapter)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_weights_that_are_not_finite_are_refused(value, base, adapter):
    def change_one(tensors: Tensors) -> Tensors:
        changed = tensors[first(tensors)].double()
        changed[0, 0] = value
        return tensors | {first(tensors): changed}

    change(adapter, change_one)
    with raises_error(ModelError, "weights_damaged", where=ADAPTER_WEIGHTS, figures=["lora_A"]):
        load_adapter(base, adapter)


def test_weights_of_a_module_that_are_all_zero_are_refused(base, adapter):
    zero = "layers.1.mlp.up_proj"
    change(adapter, lambda t: {k: t[k] * 0 if zero in k else t[k] for k in t})
    with raises_error(ModelError, "weights_damaged", where=ADAPTER_WEIGHTS, figures=[zero]):
        load_adapter(base, adapter)


@pytest.mark.parametrize("kind", ["pointer", "empty", "cut", "header alone", "zeros", "text"])
def test_a_damaged_file_of_weights_is_named(kind, base, adapter):
    file = adapter / ADAPTER_WEIGHTS
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    file.write_bytes(
        {
            "pointer": POINTER,
            "empty": b"",
            "cut": whole[:-1],
            "header alone": whole[:header],
            "zeros": bytes(len(whole)),
            "text": b"<html>404</html>",
        }[kind]
    )
    figures = ["git lfs"] if kind == "pointer" else []
    with raises_error(ModelError, "weights_damaged", where=str(file), figures=figures):
        load_adapter(base, adapter)


@pytest.mark.parametrize("missing", [ADAPTER_CONFIG, ADAPTER_WEIGHTS])
def test_a_missing_file_is_never_downloaded(missing, base, adapter, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(httpx.Client, "send", lambda *_, **__: pytest.fail("the hub was asked"))
    monkeypatch.chdir(adapter.parent.parent)
    (adapter / missing).unlink()
    (adapter / "adapter_model.bin").write_bytes(b"\x80\x02never unpickled")
    relative = adapter.relative_to(Path.cwd())
    with raises_error(ModelError, "adapter_not_found", where=str(relative), figures=[missing]):
        load_adapter(base, relative)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        {"peft_type": "PROMPT_TUNING"},
        {"peft_type": ["LORA"]},
        {"task_type": "SEQ_CLS"},
        {"modules_to_save": ["lm_head"]},
        {"bias": "all"},
        {"init_lora_weights": "pissa"},
        {"megatron_config": {"a": 1}, "megatron_core": "evil"},
    ],
)
def test_options_that_cannot_be_used_are_refused(content, base, adapter):
    file = adapter / ADAPTER_CONFIG
    if isinstance(content, dict):
        content = json.dumps(json.loads(file.read_text()) | content)
    file.write_text(content)
    with raises_error(ModelError, "adapter_config_invalid", where=str(file)):
        load_adapter(base, adapter)


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": "nothing.*matches"},
        {"target_modules": "("},
        {"target_modules": ["absent"]},
        {"target_modules": 5},
        {"target_modules": None},
        {"r": 0},
        {"r": "four"},
        {"r": 8},
        {"rank_pattern": {"(": 2}},
        {"lora_alpha": None},
    ],
)
def test_options_of_another_model_are_refused(options, base, adapter):
    file = adapter / ADAPTER_CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | options))
    with raises_error(ModelError, "adapter_does_not_fit", where=str(adapter)):
        load_adapter(base, adapter)


def test_options_of_a_later_version_of_peft_are_named(base, adapter):
    file = adapter / ADAPTER_CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | {"later_option": None}))
    with pytest.warns(UserWarning, match="later_option"):
        load_adapter(base, adapter)


def test_the_base_that_the_adapter_names_is_not_loaded(base, adapter):
    file = adapter / ADAPTER_CONFIG
    named = {"base_model_name_or_path": "someone/else", "revision": "v1"}
    file.write_text(json.dumps(json.loads(file.read_text()) | named))
    assert load_adapter(base, adapter).get_base_model() is base.model


def test_a_checkpoint_is_compared_with_the_adapter_it_continues(base, adapter, prepared, tmp_path):
    config = tiny_config(Path(base.model.name_or_path), prepared.path, tmp_path)
    model = add_adapter(base, config)
    refuse_unfit(model, read_adapter(adapter)[1], adapter)
    change(adapter, UNFIT["half"])
    with raises_error(ModelError, "adapter_does_not_fit"):
        refuse_unfit(model, read_adapter(adapter)[1], adapter)


def test_the_record_does_not_depend_on_the_place_of_the_base(adapter):
    record = adapter_record(adapter)
    file = adapter / ADAPTER_CONFIG
    moved = {"base_model_name_or_path": "/elsewhere", "revision": "v2"}
    file.write_text(json.dumps(json.loads(file.read_text()) | moved, indent=4, sort_keys=True))
    assert adapter_record(adapter) == record


@pytest.mark.slow
def test_another_adapter_than_training_wrote_is_refused(tiny_qwen3, prepared, tmp_path, base):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, train__max_steps=2)
    run = train(config)
    record: dict[str, Any] = json.loads((run / RUN_FILE).read_text())
    assert record["adapter"] == adapter_record(run)
    options = json.loads((run / ADAPTER_CONFIG).read_text())
    (run / ADAPTER_CONFIG).write_text(json.dumps(options | {"lora_alpha": 9}))
    with raises_error(ModelError, "adapter_differs", where=ADAPTER_CONFIG):
        load_adapter(base, run)
    (run / ADAPTER_CONFIG).write_text(json.dumps(options))
    change(run, lambda t: t | {first(t): t[first(t)] + 1})
    with raises_error(ModelError, "adapter_differs", where=ADAPTER_WEIGHTS):
        load_adapter(base, run)
    del record["adapter"]  # as in runs of earlier versions
    (run / RUN_FILE).write_text(json.dumps(record))
    load_adapter(base, run)
