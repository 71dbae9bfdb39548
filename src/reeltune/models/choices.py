"""Device, number type, attention and quantization: what is used, and why, as printed sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import torch
from transformers import BitsAndBytesConfig
from transformers.utils import is_flash_attn_2_available

from reeltune.config.schema import Config
from reeltune.errors import ConfigError
from reeltune.models.processes import process_state

T = TypeVar("T")


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A value and the reason it was chosen."""

    value: T
    reason: str

    def sentence(self, name: str) -> str:
        """Return the line that tells it, for the terminal and the log."""
        return f"{name}: {str(self.value).removeprefix('torch.')} ({self.reason})"


@dataclass(frozen=True)
class ModelChoices:
    """Everything decided about how the base model is loaded."""

    device: Choice[torch.device]
    dtype: Choice[torch.dtype]
    attention: Choice[str]
    four_bit: Choice[bool]

    def describe(self) -> Iterator[str]:
        """Yield what :meth:`sentences` yields."""
        return self.sentences()

    def sentences(self) -> Iterator[str]:
        """Yield one line per choice, for the terminal and the log."""
        for field in fields(self):
            yield getattr(self, field.name).sentence(field.name.replace("_", " "))


def make_choices(config: Config) -> ModelChoices:
    """Decide how to load the model on this machine.

    Raises:
        ConfigError: The configuration asks for a number type the device does not have, or several
            GPUs are visible and nothing says how they are to be shared.
    """
    state = process_state()
    device = state.device or torch.device("cpu")
    if torch.cuda.device_count() > 1 and state.num_processes == 1:
        raise ConfigError(
            f"{torch.cuda.device_count()} GPUs are visible to one process",
            where="CUDA_VISIBLE_DEVICES",
            hint="Make one visible (CUDA_VISIBLE_DEVICES=0), or use all: accelerate launch -m "
            "reeltune train (or score) ...",
        )
    dtype = _dtype(config.model.dtype, device)
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


def _dtype(asked: str, device: torch.device) -> Choice[torch.dtype]:
    supported = _bfloat16_supported(device)
    if asked == "auto":
        if supported:
            return Choice(torch.bfloat16, "the processor has bfloat16 instructions")
        return Choice(torch.float32, "no bfloat16 instructions here")
    if asked == "bfloat16" and not supported and device.type != "cpu":
        raise ConfigError(
            f"{device} has no bfloat16",
            where="model.dtype",
            hint="Set model.dtype to float32 or auto",
        )
    if asked == "float16" and device.type == "cpu":
        raise ConfigError(
            "float16 is not trainable on a CPU",
            where="model.dtype",
            hint="Set model.dtype to auto, bfloat16 or float32",
        )
    return Choice(getattr(torch, asked), "asked for")


def _bfloat16_supported(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # Without these instructions bfloat16 runs, but slower than float32.
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def _attention(asked: str, device: torch.device, dtype: torch.dtype) -> Choice[str]:
    if asked == "auto":
        return Choice("sdpa", "PyTorch's own fused attention, for prompts one per row")
    if asked != "flash_attention_2":
        return Choice(asked, "asked for")
    if device.type != "cuda":
        return Choice("sdpa", "Flash Attention was asked for, but it needs a CUDA GPU")
    if dtype == torch.float32:
        return Choice("sdpa", "Flash Attention was asked for, but it has no float32 kernels")
    if not is_flash_attn_2_available():
        return Choice("sdpa", "Flash Attention was asked for, but flash-attn is not installed")
    return Choice("flash_attention_2", "asked for and installed")


def _four_bit(config: Config, device: torch.device) -> Choice[bool]:
    if not config.quantization.load_in_4bit:
        return Choice(False, "not asked for: LoRA on the unquantized base")
    if device.type == "cuda":
        return Choice(True, f"QLoRA, {config.quantization.quant_type}, as asked for")
    if device.type == "cpu" and config.quantization.allow_cpu:
        return Choice(True, "QLoRA on the CPU, as quantization.allow_cpu asks: slow, for checking")
    return Choice(
        False,
        "4 bits were asked for, but that needs a CUDA GPU: this is LoRA on the unquantized base "
        "instead; quantization.allow_cpu=true runs 4 bits here too, slowly",
    )


def quantization_config(config: Config, choices: ModelChoices) -> BitsAndBytesConfig | None:
    """Return what bitsandbytes is told, or None when the base is not quantized."""
    if not choices.four_bit.value:
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=config.quantization.quant_type,
        bnb_4bit_use_double_quant=config.quantization.double_quant,
        bnb_4bit_compute_dtype=choices.dtype.value,
    )
