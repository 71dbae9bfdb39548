"""4-bit weights on the CPU: the same gradients as their dequantized values, also after scoring."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from safetensors.torch import load_file

from reeltune.models.adapter import load_adapter
from reeltune.models.causal_lm import causal_of
from reeltune.models.choices import make_choices
from reeltune.models.load import add_adapter, load_base
from reeltune.prompts.chat import AnswerTokens
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import Ragged
from reeltune.scoring.scorer import Scorer
from reeltune.training.train import train
from tests.runs import tiny_config

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="about a machine without GPU")


def load(tiny: Path, prepared, tmp_path: Path):
    config = tiny_config(
        tiny,
        prepared.path,
        tmp_path,
        quantization__load_in_4bit=True,
        quantization__allow_cpu=True,
        lora__dropout=0,
    )
    return config, load_base(config, make_choices(config))


def dequantized(model: torch.nn.Module) -> torch.nn.Module:
    """A copy whose 4-bit layers are ordinary ones with the same values."""
    twin = copy.deepcopy(model)
    for name, layer in list(twin.named_modules()):
        if isinstance(layer, Linear4bit):
            source = model.get_submodule(name)
            weight = dequantize_4bit(source.weight.data, source.weight.quant_state).float()
            plain = torch.nn.Linear(layer.in_features, layer.out_features, bias=False)
            plain.weight = torch.nn.Parameter(weight, requires_grad=False)
            parent, _, child = name.rpartition(".")
            setattr(twin.get_submodule(parent), child, plain)
    return twin


def gradients(model: torch.nn.Module, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    model.train()
    model.zero_grad()
    model(ids).logits[:, -1].float().log_softmax(-1)[:, 7].sum().backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def test_gradients_after_an_evaluation_equal_the_dequantized_reference(
    tiny_qwen3, prepared, tmp_path
):
    config, base = load(tiny_qwen3, prepared, tmp_path)
    assert sum(isinstance(module, Linear4bit) for module in base.model.modules()) == 14
    model = add_adapter(base, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    reference = dequantized(model)
    ids = torch.randint(3, 200, (2, 12), generator=torch.Generator().manual_seed(0))
    prompts = Sequences.single(Ragged.from_rows([np.arange(3, 15)]))
    Scorer(model, AnswerTokens(7, 9, 2), 100).score(prompts)  # this is what repacks the weights
    found, expected = gradients(model, ids), gradients(reference, ids)
    assert found.keys() == expected.keys()
    assert len(found) == 28
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=2e-3, atol=1e-5)


def test_a_reloaded_adapter_gives_the_same_predictions(tiny_qwen3, prepared, tmp_path):
    config, base = load(tiny_qwen3, prepared, tmp_path)
    model = add_adapter(base, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    prompts = Sequences.single(Ragged.from_rows([np.arange(3, 15), np.arange(9, 40)]))
    answers = AnswerTokens(7, 9, 2)
    before = Scorer(model, answers, 100).score(prompts).p_yes
    model.save_pretrained(tmp_path / "adapter")
    _, fresh = load(tiny_qwen3, prepared, tmp_path)
    assert fresh.model is not causal_of(model)
    again = load_adapter(fresh, tmp_path / "adapter")
    np.testing.assert_allclose(Scorer(again, answers, 100).score(prompts).p_yes, before, atol=1e-6)


@pytest.mark.slow
def test_what_is_trained_stays_in_float32_and_a_resumed_run_is_the_same(
    tiny_qwen3: Path, prepared, tmp_path: Path
):
    """Trainers of 4-bit models would round the adapter, and its optimizer, to bfloat16."""

    configs = [
        tiny_config(
            tiny_qwen3,
            prepared.path,
            tmp_path / name,
            quantization__load_in_4bit=True,
            quantization__allow_cpu=True,
            model__dtype="bfloat16",
            data__max_eval_examples=40,
            data__max_train_examples=16,
            train__max_steps=4,
            train__eval_steps=2,
            train__save_steps=2,
        )
        for name in ("whole", "halved")
    ]
    whole, halved = (train(config) for config in configs)
    state = torch.load(whole / "checkpoint-2" / "optimizer.pt", weights_only=True)["state"]
    assert {value.dtype for one in state.values() for value in one.values()} == {torch.float32}
    shutil.rmtree(halved / "checkpoint-4")
    (halved / "adapter_model.safetensors").unlink()
    train(configs[1], resume=True)
    expected, found = (
        load_file(path / "checkpoint-4" / "adapter_model.safetensors") for path in (whole, halved)
    )
    assert {value.dtype for value in expected.values()} == {torch.float32}
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
