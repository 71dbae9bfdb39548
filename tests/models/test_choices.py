"""Every choice has a reason, also where the configured value is not available."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from reeltune.config import load_config
from reeltune.errors import ConfigError
from reeltune.models import choices
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


def test_float16_is_not_trained_on_a_cpu():
    config = load_config(None, ["model.dtype=float16"])
    assert make_choices(config).dtype.value == torch.float16  # scoring works
    with raises_error(ConfigError, "dtype_not_supported", where="model.dtype"):
        make_choices(config, trainable=True)


@pytest.mark.parametrize(
    ("device", "bfloat16", "configured", "chosen"),
    [
        ("cuda", True, "auto", torch.bfloat16),
        ("cuda", False, "auto", torch.float16),
        ("cuda", False, "float16", torch.float16),
        ("cuda", False, "bfloat16", None),
        ("cpu", True, "auto", torch.bfloat16),
        ("cpu", False, "auto", torch.float32),
        ("cpu", False, "bfloat16", torch.bfloat16),
        ("mps", True, "auto", torch.float32),
        ("mps", True, "bfloat16", torch.bfloat16),
        ("mps", False, "bfloat16", None),
        ("mps", False, "float16", torch.float16),
    ],
)
def test_the_dtype_follows_the_device(device, bfloat16, configured, chosen, monkeypatch):
    state = SimpleNamespace(device=torch.device(device), num_processes=1)
    monkeypatch.setattr(choices, "process_state", lambda: state)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bfloat16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_: bfloat16)
    config = load_config(None, [f"model.dtype={configured}"])
    if chosen is None:
        with raises_error(ConfigError, "dtype_not_supported", where="model.dtype"):
            make_choices(config, trainable=True)
    else:
        choice = make_choices(config, trainable=True).dtype
        assert choice.value == chosen
        assert choice.reason.startswith("configured") == (configured != "auto")


FSDP = {**choices._FSDP, "ACCELERATE_USE_FSDP": "true"}


@pytest.mark.parametrize(
    ("environment", "trainable", "override", "named"),
    [
        ({}, False, "lora.r=8", "for training"),
        ({}, True, "quantization.load_in_4bit=true", "4-bit"),
        ({}, True, "train.optimizer=paged_adamw_8bit", "paged_adamw_8bit"),
        ({}, True, "train.optimizer=adafactor", "adafactor"),
        ({}, True, "train.optimizer=sgd", "sgd"),
        ({"FSDP_VERSION": "1"}, True, "lora.r=8", "fsdp_version is 1"),
        ({"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}, True, "lora.r=8", "FULL_STATE_DICT"),
        ({"FSDP_AUTO_WRAP_POLICY": "NO_WRAP"}, True, "lora.r=8", "TRANSFORMER_BASED_WRAP"),
        ({"FSDP_ACTIVATION_CHECKPOINTING": "true"}, True, "lora.r=8", "fsdp_activation"),
        ({"FSDP_OFFLOAD_PARAMS": "true"}, True, "lora.r=8", "fsdp_offload_params"),
    ],
)
def test_what_fsdp_cannot_do_is_refused(environment, trainable, override, named, monkeypatch):
    for name, value in (FSDP | environment).items():
        monkeypatch.setenv(name, value)
    config = load_config(None, [override])
    needed = [FSDP[name] for name in environment]
    with raises_error(ConfigError, "fsdp_not_supported", figures=[named, *needed]):
        make_choices(config, trainable=trainable)
    if environment:
        monkeypatch.setenv(next(iter(environment)), FSDP[next(iter(environment))])
        assert make_choices(config, trainable=trainable).device.value.type == "cpu"


def test_every_choice_is_one_line_with_its_reason():
    lines = list(choices_of().describe())
    assert [line.split(":")[0] for line in lines] == [
        "device",
        "dtype",
        "attention",
        "four bit",
    ]
    assert all(line.endswith(")") for line in lines)
