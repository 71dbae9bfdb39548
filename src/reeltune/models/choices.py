"""Device, dtype, attention and quantization, with the reason for each choice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Final, Generic, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from transformers import BitsAndBytesConfig, PreTrainedConfig
from transformers.utils import is_flash_attn_2_available

from reeltune.config.schema import Config
from reeltune.errors import ConfigError

T = TypeVar("T")

AUTO: Final = "auto"
"""The value of a key that leaves the choice to this module."""

PROCESS_TIMEOUT: Final = timedelta(days=30)
"""How long one process waits for another; ten minutes, the default, is too short for unequal work.

The launcher ends the others when a process dies.
"""

_FSDP: Final = {
    "FSDP_VERSION": "2",  # version 1 joins weights of different number types in one tensor
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_ACTIVATION_CHECKPOINTING": "false",  # train.gradient_checkpointing does it
    "FSDP_OFFLOAD_PARAMS": "false",
}
"""What ``accelerate launch`` sets from its configuration file, and must set for training."""


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A value and the reason it was chosen."""

    value: T
    reason: str

    def describe(self, name: str) -> str:
        """Return ``name: value (reason)``, for the terminal, the log and ``run.json``."""
        return f"{name}: {str(self.value).removeprefix('torch.')} ({self.reason})"


@dataclass(frozen=True)
class ModelChoices:
    """How the base model is loaded."""

    device: Choice[torch.device]
    dtype: Choice[torch.dtype]
    attention: Choice[str]
    four_bit: Choice[bool]

    def describe(self) -> Iterator[str]:
        """Yield one line per choice."""
        for field in fields(self):
            yield getattr(self, field.name).describe(field.name.replace("_", " "))


def process_state() -> PartialState:
    """Return the state of the launch by ``accelerate launch`` or ``torchrun``, if any."""
    several = "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
    # Without an accelerator, accelerate only joins the processes when asked for the CPU.
    on_cpu = several and not torch.accelerator.is_available()
    return PartialState(cpu=on_cpu, timeout=PROCESS_TIMEOUT)


def is_sharded() -> bool:
    """Return whether ``accelerate launch`` shards the weights over the processes (FSDP)."""
    return parse_flag_from_env("ACCELERATE_USE_FSDP")


def fsdp_not_supported(message: str, hint: str) -> ConfigError:
    """Return the error for what FSDP cannot do."""
    return ConfigError(message, code="fsdp_not_supported", where="accelerate launch", hint=hint)


def _refuse_unfit_fsdp(config: Config, trainable: bool) -> None:
    optimizer = config.train.optimizer
    if not trainable:
        raise fsdp_not_supported("FSDP is for training", "Run it without accelerate launch")
    if config.quantization.load_in_4bit:
        raise fsdp_not_supported(
            "4-bit weights are not sharded", "Set quantization.load_in_4bit=false"
        )
    if optimizer not in ("adamw_torch", "adamw_torch_fused"):
        raise fsdp_not_supported(f"{optimizer} is not sharded", "Set train.optimizer=adamw_torch")
    for name, needed in _FSDP.items():
        if (given := os.environ.get(name)) != needed:
            message = f"{name.lower()} is {given}, and must be {needed}"
            raise fsdp_not_supported(message, "Set it in the configuration of accelerate launch")


def make_choices(config: Config, *, trainable: bool = False) -> ModelChoices:
    """Decide how to load the model on this machine.

    Raises:
        ConfigError: The device lacks the configured dtype, or several GPUs are visible to a single
            process.
    """
    state = process_state()
    device = state.device or torch.device("cpu")
    if torch.cuda.device_count() > 1 and state.num_processes == 1:
        raise ConfigError(
            f"{torch.cuda.device_count()} GPUs are visible to one process",
            code="several_gpus_visible",
            where="CUDA_VISIBLE_DEVICES",
            hint="Make one visible (CUDA_VISIBLE_DEVICES=0), or use all: accelerate launch -m "
            "reeltune train ..., or reeltune score --ray local ...",
        )
    if is_sharded():
        _refuse_unfit_fsdp(config, trainable)
    dtype = _dtype(config.model.dtype, device, trainable)
    return ModelChoices(
        device=Choice(device, _device_reason(device)),
        dtype=dtype,
        attention=_attention(config.model.attention, device, dtype.value),
        four_bit=_four_bit(config, device),
    )


def _device_reason(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "no GPU found" if device.type == "cpu" else "the accelerator found here"


def _dtype(configured: str, device: torch.device, trainable: bool) -> Choice[torch.dtype]:
    if configured == AUTO:
        return _auto_dtype(device)
    if configured == "bfloat16" and not _bfloat16_runs(device):
        raise ConfigError(
            f"{device} does not support bfloat16",
            code="dtype_not_supported",
            where="model.dtype",
            hint="Set model.dtype to auto, float16 or float32",
        )
    if configured == "float16" and device.type == "cpu" and trainable:
        raise ConfigError(
            "float16 is not trainable on a CPU: it needs loss scaling, which accelerate has for "
            "other devices only",
            code="dtype_not_supported",
            where="model.dtype",
            hint="Set model.dtype to auto, bfloat16 or float32",
        )
    if configured == "float16" and trainable:
        return Choice(torch.float16, "configured; with loss scaling, the adapter in float32")
    return Choice(getattr(torch, configured), "configured")


def _auto_dtype(device: torch.device) -> Choice[torch.dtype]:
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Choice(torch.bfloat16, "the GPU has bfloat16 instructions")
        return Choice(torch.float16, "the GPU has no bfloat16 instructions; float16, loss scaled")
    if device.type == "cpu":
        # Without these instructions bfloat16 runs, but slower than float32.
        if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
            return Choice(torch.bfloat16, "the processor has bfloat16 instructions")
        return Choice(torch.float32, "the processor has no bfloat16 instructions")
    return Choice(
        torch.float32, f"16-bit types are untested on {device.type}; model.dtype sets one"
    )


def _bfloat16_runs(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type != "mps" or torch.backends.mps.is_macos_or_newer(14, 0)


def _attention(configured: str, device: torch.device, dtype: torch.dtype) -> Choice[str]:
    if configured == AUTO:
        return Choice("sdpa", "PyTorch's fused attention, used where each row is one prompt")
    if configured != "flash_attention_2":
        return Choice(configured, "configured")
    if device.type != "cuda":
        return Choice("sdpa", "flash_attention_2 is configured, but needs a CUDA GPU")
    if dtype == torch.float32:
        return Choice("sdpa", "flash_attention_2 is configured, but has no float32 kernels")
    if not is_flash_attn_2_available():
        return Choice("sdpa", "flash_attention_2 is configured, but flash-attn is not installed")
    return Choice("flash_attention_2", "configured")


def _four_bit(config: Config, device: torch.device) -> Choice[bool]:
    if not config.quantization.load_in_4bit:
        return Choice(False, "configured; LoRA on the unquantized base")
    if device.type == "cuda":
        return Choice(True, f"QLoRA, {config.quantization.quant_type}, configured")
    if device.type == "cpu" and config.quantization.allow_cpu:
        return Choice(True, "QLoRA on the CPU by quantization.allow_cpu; slow, for checks")
    return Choice(
        False,
        "configured, but needs a CUDA GPU; LoRA on the unquantized base instead. "
        "quantization.allow_cpu=true runs 4 bits on a CPU, slowly",
    )


def quantization_config(config: Config, choices: ModelChoices) -> BitsAndBytesConfig | None:
    """Return the bitsandbytes settings, or None when the base is not quantized."""
    if not choices.four_bit.value:
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=config.quantization.quant_type,
        bnb_4bit_use_double_quant=config.quantization.double_quant,
        bnb_4bit_compute_dtype=choices.dtype.value,
    )


def switch_off_dropout(config: PreTrainedConfig) -> Choice[str] | None:
    """Set a base model's own dropout rates to 0; return None if it has none."""
    parts = [part for part in vars(config).values() if isinstance(part, PreTrainedConfig)]
    rates: dict[str, float] = {}
    for part in (config, *parts):
        found = {name: rate for name, rate in vars(part).items() if "drop" in name}
        found = {name: rate for name, rate in found.items() if isinstance(rate, float) and rate}
        vars(part).update(dict.fromkeys(found, 0.0))
        rates |= found
    listed = ", ".join(f"{name} {rate:g}" for name, rate in rates.items())
    return Choice("off", f"the base's {listed}; lora.dropout stays") if rates else None
