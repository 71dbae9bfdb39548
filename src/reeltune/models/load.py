"""Load a base model and its tokenizer, and put a new or a trained adapter on it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub.errors import StrictDataclassError
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
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
from reeltune.errors import ConfigError, ModelError
from reeltune.models.causal_lm import CAUSAL_HINT
from reeltune.models.choices import (
    AUTO,
    Choice,
    ModelChoices,
    quantization_config,
    switch_off_dropout,
)
from reeltune.models.tokenizer import first_line, load_tokenizer, not_loadable
from reeltune.runs.folder import ADAPTER_CONFIG
from reeltune.runs.log import LOGGER

# What PEFT raises for values it cannot use; it hardly checks their types.
_PEFT_ERRORS: Final = (ValueError, TypeError, AttributeError, ImportError, NotImplementedError)

# What transformers raises for files it cannot use.
_LOAD_ERRORS: Final = (
    *(OSError, ValueError, RuntimeError, TypeError, AttributeError, KeyError, ImportError),
    *(SafetensorError, StrictDataclassError),
)

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
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            section.name_or_path,
            config=settings,
            revision=section.revision,
            dtype=choices.dtype.value,
            attn_implementation=None if section.attention == AUTO else attention.value,
            quantization_config=quantization,
            output_loading_info=True,  # pyright: ignore[reportGeneralTypeIssues]
            trust_remote_code=False,
            **placement,
        )
    except _LOAD_ERRORS as error:
        raise not_loadable("model", section.name_or_path, error) from error
    if missing := sorted(loading["missing_keys"]):
        raise ModelError(
            f"{len(missing)} weights of {type(model).__name__} are missing, such as {missing[0]}: "
            f"its config.json names {_architecture(settings)}",
            code="weights_missing",
            where=section.name_or_path,
            hint=f"Copy the weights again. {CAUSAL_HINT}",
        )
    used = str(model.config.get_text_config()._attn_implementation)
    if used != attention.value:
        attention = Choice(used, f"{type(model).__name__} has no {attention.value}")
        choices = replace(choices, attention=attention)
        LOGGER.info(attention.describe("attention"))
    if quantization is None:
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
    try:
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    except _LOAD_ERRORS as error:
        raise not_loadable("model", name, error) from error
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
    settings, layers = lora_config(config), _linear_layers(base.model)
    set_seed(config.train.seed)
    try:
        model = get_peft_model(base.model, settings)
    except _PEFT_ERRORS as error:
        if config.lora.extra and "target modules" not in str(error).lower():
            raise _refused_option(error) from error
        # PEFT refuses some layers of recurrent models by name.
        listed = f"[{', '.join(name for name in layers if repr(name) not in str(error))}]"
        raise ConfigError(
            f"no adapter can be put on this model: {first_line(error)}",
            code="no_target_modules",
            where="lora.target_modules",
            hint=f"Set lora.target_modules to {listed}",
        ) from error
    assert isinstance(model, PeftModel)
    return model


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
