"""Merged weights are base plus product, added in float32 and rounded once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, GenerationConfig

from reeltune.domain import PromptSettings
from reeltune.errors import ModelError
from reeltune.export.merge import DType, write_merged
from reeltune.models.choices import make_choices
from reeltune.models.load import add_adapter, load_base
from reeltune.models.prompt_record import PromptRecord, read_prompt_record
from reeltune.prompts.chat import AnswerTokens
from reeltune.runs.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from tests.errors import raises_error
from tests.runs import tiny_config

END = 2
ANSWERS = AnswerTokens(yes=7, no=9, end=END)
PROMPT = PromptRecord(PromptSettings(threshold=3.5), history_len=7, base_model="some/model")


@pytest.fixture(params=["qwen3", "llama"])
def base(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(f"tiny_{request.param}")


def write_adapter(base: Path, prepared, work: Path, size: float = 0.1) -> Path:
    """A random adapter whose products have the given scale."""
    config = tiny_config(base, prepared.path, work)
    model = add_adapter(load_base(config, make_choices(config)), config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight).data.mul_(size)
    model.save_pretrained(work / "adapter")
    return work / "adapter"


def merge(base: Path, prepared, work: Path, dtype: DType, size: float = 0.1) -> Path:
    adapter, folder = write_adapter(base, prepared, work, size), work / "merged"
    folder.mkdir()
    config = tiny_config(base, prepared.path, work)
    write_merged(folder, config, adapter, dtype, "published", ANSWERS, PROMPT)
    return folder


def expected(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    """Every weight of the merged model in float32, by the formula: W + alpha / r * B A."""
    weights = load_file(base / "model.safetensors")
    lora = load_file(adapter / ADAPTER_WEIGHTS)
    settings = json.loads((adapter / ADAPTER_CONFIG).read_text())
    for name, down in lora.items():
        if ".lora_A." in name:
            up = lora[name.replace("lora_A", "lora_B")]
            layer = name.removeprefix("base_model.model.").replace(".lora_A", "")
            weights[layer] = weights[layer] + up @ down * (settings["lora_alpha"] / settings["r"])
    return weights


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_weight_is_the_sum_in_float32_rounded_once(base, prepared, tmp_path, dtype):
    folder = merge(base, prepared, tmp_path, dtype)
    found, wanted = load_file(folder / "model.safetensors"), expected(base, tmp_path / "adapter")
    before = load_file(base / "model.safetensors")
    assert found.keys() == wanted.keys()
    for name, weight in found.items():
        assert torch.equal(weight, wanted[name].to(getattr(torch, dtype))), name
    changed = {name for name in found if not torch.equal(wanted[name], before[name])}
    assert changed == {name for name in found if name.endswith("_proj.weight")}


def test_generation_is_greedy_and_ends_with_the_turn(base, prepared, tmp_path):
    folder = merge(base, prepared, tmp_path, "bfloat16")
    settings = GenerationConfig.from_pretrained(folder)
    assert settings.eos_token_id == END
    assert settings.do_sample is False
    written = json.loads((folder / "config.json").read_text())
    assert written["eos_token_id"] == END
    assert written["use_cache"] is True
    assert written["dtype"] == "bfloat16"
    assert "quantization_config" not in written


def test_tokenizer_template_and_prompt_are_saved(base, prepared, tmp_path):
    folder = merge(base, prepared, tmp_path, "bfloat16")
    own, saved = (AutoTokenizer.from_pretrained(path) for path in (base, folder))
    assert saved.get_vocab() == own.get_vocab()
    assert saved.chat_template == own.chat_template
    text = "Amélie (2001) <|im_end|> 千と千尋"
    assert saved(text)["input_ids"] == own(text)["input_ids"]
    assert (saved.eos_token, saved.pad_token) == (own.eos_token, own.pad_token)
    assert read_prompt_record(folder) == PROMPT


def test_files_are_readable_by_everyone(base, prepared, tmp_path):
    folder = merge(base, prepared, tmp_path, "bfloat16")
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o644}


def test_weights_that_overflow_the_dtype_are_refused(tiny_qwen3, prepared, tmp_path):
    with raises_error(ModelError, "weight_overflow", figures=["float16", "--dtype bfloat16"]):
        merge(tiny_qwen3, prepared, tmp_path, "float16", size=1e6)


def test_an_adapter_with_biases_that_the_base_lacks_is_refused(tiny_qwen3, prepared, tmp_path):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, lora__extra="{lora_bias: true}")
    add_adapter(load_base(config, make_choices(config)), config).save_pretrained(tmp_path)
    with raises_error(ModelError, "cannot_merge", where=str(tmp_path)):
        write_merged(tmp_path, config, tmp_path, "float32", "published", ANSWERS, PROMPT)


def test_an_adapter_too_large_to_be_added_is_refused(tiny_qwen3, prepared, tmp_path):
    options = write_adapter(tiny_qwen3, prepared, tmp_path, size=1e37) / ADAPTER_CONFIG
    options.write_text(json.dumps(json.loads(options.read_text()) | {"lora_alpha": 10**9}))
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path)
    with raises_error(ModelError, "cannot_merge", where="adapter"):
        write_merged(tmp_path, config, options.parent, "bfloat16", "published", ANSWERS, PROMPT)
