"""Load a base model and its tokenizer, and put a new or a trained adapter on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
    section = config.lora
    targets = section.target_modules
    set_seed(config.train.seed)
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        r=section.r,
        lora_alpha=section.alpha,
        lora_dropout=section.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        revision=config.model.revision,
    )
    try:
        model = get_peft_model(base.model, settings)
    except ValueError as error:
        raise ConfigError(
            f"no adapter can be put on this model: {first_line(error)}",
            code="no_target_modules",
            where="lora.target_modules",
            hint="Name linear layers it has, such as q_proj, or all-linear",
        ) from error
    assert isinstance(model, PeftModel)
    return model


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
