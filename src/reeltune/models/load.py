"""Load a base model and its tokenizer, and put a new adapter on it."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.pytorch_utils import Conv1D

from reeltune.config.schema import Config
from reeltune.errors import ConfigError, ModelError, first_line
from reeltune.models.causal_lm import CAUSAL_HINT, decoder_layers
from reeltune.models.choices import (
    AUTO,
    Choice,
    ModelChoices,
    is_sharded,
    quantization_config,
    switch_off_dropout,
)
from reeltune.models.pretrained import (
    from_pretrained,
    load_tokenizer,
    refuse_damaged,
)
from reeltune.runs.log import LOGGER

# What PEFT raises for values it cannot use; it hardly checks their types.
PEFT_ERRORS: Final = (
    *(ValueError, TypeError, AttributeError, ImportError, LookupError, RuntimeError, re.error),
)

# With these the base model, which predictions are compared with, would change; with the last, PEFT
# imports a module that another option names.
_CHANGING_OPTIONS: Final = frozenset(
    {"bias", "layer_replication", "modules_to_save", "trainable_token_indices", "megatron_config"}
)
_CHANGING_INIT: Final = ("pissa", "olora", "corda", "loftq", "lora_ga")

_ROUNDING: Final = 1e-9
"""0.1 of 30 layers are 3, not 4."""


@dataclass(frozen=True)
class BaseModel:
    """A base model without adapter, on its device, in evaluation mode."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    choices: ModelChoices


def load_base(config: Config, choices: ModelChoices) -> BaseModel:
    """Load the configured base model, without dropout of its own.

    Raises:
        ModelError: It is no causal language model, or a file is missing or damaged.
    """
    section, attention = config.model, choices.attention
    tokenizer = load_tokenizer(section.name_or_path, section.revision)
    settings = _causal_config(section.name_or_path, section.revision)
    if dropout := switch_off_dropout(settings):
        LOGGER.info(dropout.describe("dropout"))
    quantization = quantization_config(config, choices)
    # Quantized weights are created on their device; others are moved once they are loaded.
    placement = {"device_map": {"": str(choices.device.value)}} if quantization else {}
    model, loading = from_pretrained(
        AutoModelForCausalLM,
        section.name_or_path,
        section.revision,
        config=settings,
        dtype=choices.dtype.value,
        attn_implementation=None if section.attention == AUTO else attention.value,
        quantization_config=quantization,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are refused here, in one line
        **placement,
    )
    other_shape = {name for name, *_ in loading["mismatched_keys"]}
    if missing := sorted({*loading["missing_keys"], *other_shape}):
        raise ModelError(
            f"{len(missing)} weights of {type(model).__name__} are missing or have another shape, "
            f"such as {missing[0]}: its config.json names {_architecture(settings)}",
            code="weights_missing",
            where=section.name_or_path,
            hint=f"Copy the weights again. {CAUSAL_HINT}",
        )
    refuse_damaged(dict(model.named_parameters()), section.name_or_path)
    used = str(model.config.get_text_config()._attn_implementation)
    if used != attention.value:
        attention = Choice(used, f"{type(model).__name__} has no {attention.value}")
        choices = replace(choices, attention=attention)
        LOGGER.info(attention.describe("attention"))
    if is_sharded():
        LOGGER.info("FSDP: the base model stays in main memory until its weights are sharded")
    elif quantization is None:
        torch.nn.Module.to(model, choices.device.value)
    elif choices.device.value.type == "cpu":
        disable_cpu_repacking(model)
    model.config.use_cache = False
    for target in (model.config, model.generation_config):
        target.pad_token_id = tokenizer.pad_token_id
        target.eos_token_id = tokenizer.eos_token_id
    return BaseModel(model.eval(), tokenizer, choices)


def _causal_config(name: str, revision: str | None) -> PreTrainedConfig:
    """Return the configuration of a model.

    Raises:
        ModelError: The configuration cannot be read, or is not that of a causal language model.
    """
    config = from_pretrained(AutoConfig, name, revision)
    if config.is_encoder_decoder or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        kind = "an encoder-decoder" if config.is_encoder_decoder else f"of type {config.model_type}"
        raise ModelError(
            f"{_architecture(config)} is not a causal language model: it is {kind}",
            code="not_a_causal_model",
            where=name,
            hint=CAUSAL_HINT,
        )
    return config


def _architecture(config: PreTrainedConfig) -> str:
    return (config.architectures or [config.model_type])[0]


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
    settings, layers = adapter_config(config, base.model), _linear_layers(base.model)
    set_seed(config.train.seed)
    try:
        model = get_peft_model(base.model, settings)
    except PEFT_ERRORS as error:
        if config.lora.extra and "target modules" not in str(error).lower():
            raise _refused_option(error) from error
        # PEFT refuses some layers of recurrent models by name.
        listed = f"[{', '.join(name for name in layers if repr(name) not in str(error))}]"
        hint = f"Set lora.target_modules to {listed}"
        if chosen := {"layers_to_transform", "layers_pattern"} & config.lora.extra.keys():
            hint += f", or correct lora.extra.{' and lora.extra.'.join(sorted(chosen))}"
        raise ConfigError(
            f"no adapter can be put on this model: {first_line(error)}",
            code="no_target_modules",
            where="lora.target_modules",
            hint=hint,
        ) from error
    assert isinstance(model, PeftModel)
    # TRL and transformers call it with gradient checkpointing, and the backward pass then goes
    # through all layers. Only reentrant checkpointing needs that, and none here is.
    base.model.enable_input_require_grads = lambda: None  # pyright: ignore[reportAttributeAccessIssue]
    return model


def adapter_config(config: Config, model: PreTrainedModel) -> LoraConfig:
    """Return PEFT's configuration of a new adapter on a model; errors are those of lora_config.

    Raises:
        ConfigError: ``experts_in_all_layers``.
        ModelError: ``no_decoder_layers``: which are the top ones is unknown.
    """
    settings = lora_config(config)
    if config.lora.top_layers < 1:
        hint = "Set lora.top_layers to 1"
        if any("expert" in name and p.dim() > 2 for name, p in model.named_parameters()):
            raise ConfigError(
                "experts stored as one tensor get an adapter in all layers or in none",
                code="experts_in_all_layers",
                where="lora.top_layers",
                hint=hint,
            )
        name, decoder = decoder_layers(model, hint)
        count = max(1, math.ceil(config.lora.top_layers * len(decoder) - _ROUNDING))
        settings.layers_to_transform = list(range(len(decoder) - count, len(decoder)))
        settings.layers_pattern = name
        if settings.target_modules == "all-linear":  # PEFT chooses layers with listed names alone
            settings.target_modules = _linear_layers(model)
    return settings


def _linear_layers(model: PreTrainedModel) -> list[str]:
    """Return the names of a model's linear layers except the head."""
    head = model.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head
        }
    )


def lora_config(config: Config) -> LoraConfig:
    """Return PEFT's configuration of a new adapter.

    Raises:
        ConfigError: ``lora.extra`` has an option that PEFT does not know or accept, or that changes
            the base model.
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
        if changes_base(name, value):
            raise ConfigError(
                f"{name}: {value} changes the base model's own weights",
                code="lora_option_not_allowed",
                where=f"lora.extra.{name}",
                hint="Leave it out",
            )
    try:
        return LoraConfig(**options, **section.extra)
    except PEFT_ERRORS as error:
        raise _refused_option(error) from error


def changes_base(name: str, value: Any) -> bool:
    """Return whether an option of PEFT would change the base model, or import other code."""
    if name == "init_lora_weights":
        return str(value).startswith(_CHANGING_INIT)
    return name in _CHANGING_OPTIONS and value not in (None, "none")


def _refused_option(error: Exception) -> ConfigError:
    return ConfigError(
        f"PEFT refuses an option: {first_line(error)}",
        code="lora_option_refused",
        where="lora.extra",
        hint="See the documentation of PEFT's LoraConfig",
    )


def parameter_counts(model: PeftModel) -> tuple[int, int]:
    """Return the number of trainable and of all parameters, counting 4-bit weights unpacked."""
    trainable, total = model.get_nb_trainable_parameters()
    return int(trainable), int(total)
