"""Load a base model and its tokenizer, and put a new or a trained adapter on it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from reeltune.config.schema import Config
from reeltune.errors import ConfigError, ModelError
from reeltune.models.choices import ModelChoices, quantization_config
from reeltune.models.tokenizer import first_line, load_tokenizer, not_loadable
from reeltune.runs.folder import ADAPTER_CONFIG

# What PEFT raises for values it cannot use; it hardly checks their types.
_PEFT_ERRORS: Final = (ValueError, TypeError, AttributeError, ImportError, NotImplementedError)

# With these the base model, which predictions are compared with, would change.
_CHANGING_OPTIONS: Final = frozenset(
    {"bias", "layer_replication", "modules_to_save", "trainable_token_indices"}
)
_CHANGING_INIT: Final = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True)
class BaseModel:
    """A base model without adapter, on its device, in evaluation mode."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    choices: ModelChoices


def load_base(config: Config, choices: ModelChoices) -> BaseModel:
    """Load the configured base model."""
    section = config.model
    tokenizer = load_tokenizer(section.name_or_path, section.revision)
    quantization = quantization_config(config, choices)
    # Quantized weights are created on their device; others are moved once they are loaded.
    placement = {"device_map": {"": str(choices.device.value)}} if quantization else {}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            section.name_or_path,
            revision=section.revision,
            dtype=choices.dtype.value,
            attn_implementation=choices.attention.value,
            quantization_config=quantization,
            **placement,
        )
    except (OSError, ValueError) as error:
        raise not_loadable("model", section.name_or_path, error) from error
    if quantization is None:
        torch.nn.Module.to(model, choices.device.value)
    elif choices.device.value.type == "cpu":
        disable_cpu_repacking(model)
    model.config.use_cache = False
    for settings in (model.config, model.generation_config):
        settings.pad_token_id = tokenizer.pad_token_id
        settings.eos_token_id = tokenizer.eos_token_id
    return BaseModel(model.eval(), tokenizer, choices)


def disable_cpu_repacking(model: torch.nn.Module) -> None:
    """Switch off a repacking of 4-bit weights that makes later gradients wrong.

    On CPUs with AVX512-BF16, bitsandbytes 0.50.2 repacks each weight at the first forward pass in
    evaluation mode, and its backward pass misreads it. A test of gradients fails without this.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def add_adapter(base: BaseModel, config: Config) -> PeftModel:
    """Put a new LoRA adapter on a base model, initialized from the run's seed."""
    settings = lora_config(config)
    set_seed(config.train.seed)
    try:
        model = get_peft_model(base.model, settings)
    except _PEFT_ERRORS as error:
        if config.lora.extra and "target modules" not in str(error).lower():
            raise _refused_option(error) from error
        raise ConfigError(
            f"no adapter can be put on this model: {first_line(error)}",
            code="no_target_modules",
            where="lora.target_modules",
            hint="Name linear layers it has, such as q_proj, or all-linear",
        ) from error
    assert isinstance(model, PeftModel)
    return model


def lora_config(config: Config) -> LoraConfig:
    """Return PEFT's configuration of a new adapter.

    Raises:
        ConfigError: ``lora.extra`` has an option that PEFT does not know or accept, that another
            key sets, or that changes the base model.
    """
    section, targets = config.lora, config.lora.target_modules
    options: dict[str, Any] = {
        "task_type": "CAUSAL_LM",
        "r": section.r,
        "lora_alpha": section.alpha,
        "lora_dropout": section.dropout,
        "target_modules": targets if isinstance(targets, str) else list(targets),
        "revision": config.model.revision,
    }
    known = {field.name for field in fields(LoraConfig) if field.init}
    for name, value in section.extra.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                f"PEFT's LoraConfig has no option {name}",
                code="unknown_lora_option",
                where=f"lora.extra.{name}",
                hint=f"Did you mean {close[0]}?" if close else None,
            )
        initialization = name == "init_lora_weights" and str(value).startswith(_CHANGING_INIT)
        if name in options or name in _CHANGING_OPTIONS or initialization:
            raise ConfigError(
                f"{name}: {value} is set by another key, or changes the base model's own weights",
                code="lora_option_not_allowed",
                where=f"lora.extra.{name}",
                hint="Use lora.r, lora.alpha, lora.dropout or lora.target_modules, or leave it out",
            )
    try:
        return LoraConfig(**options, **section.extra)
    except _PEFT_ERRORS as error:
        raise _refused_option(error) from error


def _refused_option(error: Exception) -> ConfigError:
    return ConfigError(
        f"PEFT refuses an option: {first_line(error)}",
        code="lora_option_refused",
        where="lora.extra",
        hint="See the documentation of PEFT's LoraConfig",
    )


def load_adapter(base: BaseModel, adapter: Path) -> PeftModel:
    """Put a trained adapter on a base model, frozen, in evaluation mode."""
    if not (adapter / ADAPTER_CONFIG).is_file():
        raise ModelError(
            "no adapter here",
            code="adapter_not_found",
            where=str(adapter),
            hint="Run: reeltune train",
        )
    try:
        return PeftModel.from_pretrained(base.model, str(adapter)).eval()
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"the adapter does not fit {base.model.config.name_or_path}: {first_line(error)}",
            code="adapter_does_not_fit",
            where=str(adapter),
            hint="Use the base model the adapter was trained on",
        ) from error


def parameter_counts(model: PeftModel) -> tuple[int, int]:
    """Return the number of trainable and of all parameters, counting 4-bit weights unpacked."""
    trainable, total = model.get_nb_trainable_parameters()
    return int(trainable), int(total)
