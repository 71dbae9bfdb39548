"""Every choice has a reason, also where the configured value is not available."""

from __future__ import annotations

import pytest
import torch

from reeltune.config import load_config
from reeltune.errors import ConfigError
from reeltune.models.choices import make_choices, quantization_config
from tests.errors import raises_error


@pytest.fixture(autouse=True)
def on_the_cpu():
    if torch.cuda.is_available():
        pytest.skip("these tests are about a machine without GPU")


def choices_of(*overrides: str):
    return make_choices(load_config(None, overrides))


def test_four_bits_without_a_gpu_become_lora_with_a_reason():
    choice = choices_of("quantization.load_in_4bit=true").four_bit
    assert choice.value is False
    assert "CUDA" in choice.reason
    assert "quantization.allow_cpu" in choice.reason


def test_four_bits_on_the_cpu_when_allowed():
    config = load_config(None, ["quantization.load_in_4bit=true", "quantization.allow_cpu=true"])
    choices = make_choices(config)
    assert choices.four_bit.value is True
    settings = quantization_config(config, choices)
    assert settings is not None
    assert settings.bnb_4bit_quant_type == "nf4"
    assert settings.bnb_4bit_use_double_quant is True


def test_flash_attention_without_a_gpu_becomes_sdpa_with_a_reason():
    choice = choices_of("model.attention=flash_attention_2").attention
    assert choice.value == "sdpa"
    assert "CUDA" in choice.reason


@pytest.mark.parametrize("name", ["bfloat16", "float32"])
def test_a_configured_dtype_is_used(name):
    assert choices_of(f"model.dtype={name}").dtype.value == getattr(torch, name)


def test_float16_on_a_cpu_names_the_key():
    with raises_error(ConfigError, "dtype_not_supported", where="model.dtype"):
        choices_of("model.dtype=float16")


def test_every_choice_is_one_line_with_its_reason():
    lines = list(choices_of().describe())
    assert [line.split(":")[0] for line in lines] == [
        "device",
        "dtype",
        "attention",
        "four bit",
    ]
    assert all(line.endswith(")") for line in lines)
