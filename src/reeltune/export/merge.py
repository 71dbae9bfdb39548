"""Merge an adapter into the weights of its base, and write them as an ordinary model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, cast

import torch
from peft.tuners.lora import LoraModel
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from reeltune.config import Config
from reeltune.errors import ModelError, first_line
from reeltune.models.adapter import load_adapter
from reeltune.models.choices import Choice, ModelChoices, make_choices
from reeltune.models.load import BaseModel, load_base
from reeltune.models.pretrained import from_pretrained, load_tokenizer
from reeltune.models.prompt_record import PromptRecord, write_prompt_record
from reeltune.prompts.chat import AnswerTokens

DType = Literal["bfloat16", "float16", "float32"]
"""Data type of merged weights."""

Onto = Literal["published", "4bit"]
"""Base weights to merge into: as published, or their dequantized 4-bit values."""

NO_FOUR_BIT: Final = (
    "4 bits need a CUDA GPU; --set quantization.allow_cpu=true allows a CPU, which is slow"
)

_MAX_NEW_TOKENS: Final = 8
"""Enough for an answer and its end; generation without a limit warns."""

_MERGING: Final = ModelChoices(
    device=Choice(torch.device("cpu"), "merging takes memory, not time"),
    dtype=Choice(torch.float32, "sums are computed in float32 and rounded once"),
    attention=Choice("sdpa", "unused"),
    four_bit=Choice(False, "4-bit weights cannot be added to"),
)


def with_four_bit(config: Config, four_bit: bool, allow_cpu: bool) -> Config:
    """Return the configuration with a 4-bit or an unquantized base."""
    changes = {"load_in_4bit": four_bit, "allow_cpu": allow_cpu}
    quantization = config.quantization.model_copy(update=changes)
    return config.model_copy(update={"quantization": quantization})


def write_merged(
    folder: Path,
    config: Config,
    adapter: Path,
    dtype: DType,
    onto: Onto,
    answers: AnswerTokens,
    prompt: PromptRecord,
) -> None:
    """Write base and adapter as one model, with its tokenizer, into an empty folder.

    Args:
        folder: The folder to write into.
        config: Names the base; for ``4bit``, with 4 bits enabled.
        adapter: The adapter's folder.
        dtype: Data type of the weights.
        onto: Base weights to merge into.
        answers: Its end-of-turn token ends generation.
        prompt: The prompt of the adapter's training.

    Raises:
        ModelError: Base or adapter cannot be loaded, or a merged weight is not a finite number.
    """
    base = _load_to_merge(config, onto)
    lora = cast("LoraModel", load_adapter(base, adapter).base_model)
    try:
        model = cast("PreTrainedModel", lora.merge_and_unload(safe_merge=True))
    except (ValueError, RuntimeError) as error:
        raise ModelError(
            f"the adapter cannot be merged: {first_line(error)}",
            code="cannot_merge",
            where=str(adapter),
        ) from error
    model.to(getattr(torch, dtype))  # pyright: ignore[reportArgumentType]
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(
                f"a merged weight is too large for {dtype}",
                code="weight_overflow",
                where=name,
                hint="Export with --dtype bfloat16, which has the range of float32",
            )
    _generate_one_answer(model, answers.end)
    model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    write_prompt_record(folder, prompt)
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes files only their owner can read


def _load_to_merge(config: Config, onto: Onto) -> BaseModel:
    """Load the base in float32 on the CPU; for ``4bit``, its dequantized weights."""
    if onto == "published":
        return load_base(config, _MERGING)
    choices = make_choices(config)
    if not choices.four_bit.value:
        raise ModelError(NO_FOUR_BIT, code="four_bit_unavailable", where="--onto 4bit")
    base = load_base(config, choices)
    model = cast("Any", base.model).dequantize(dtype=torch.float32)
    # Embeddings and norms are not quantized and still have the dtype they were loaded in.
    model.to(device=_MERGING.device.value, dtype=torch.float32)
    return BaseModel(cast("PreTrainedModel", model), base.tokenizer, _MERGING)


def _generate_one_answer(model: PreTrainedModel, end: int) -> None:
    """Set generation to be greedy and to stop at the end of the turn."""
    settings = model.config
    settings.use_cache = True  # load_base disables it for training
    settings.eos_token_id = end
    model.generation_config = GenerationConfig(
        bos_token_id=settings.bos_token_id,
        eos_token_id=end,
        pad_token_id=settings.pad_token_id,
        do_sample=False,
        max_new_tokens=_MAX_NEW_TOKENS,
    )


def load_merged(folder: Path, device: torch.device) -> BaseModel:
    """Load a merged model by plain transformers, in its own dtype."""
    model: Any = from_pretrained(AutoModelForCausalLM, str(folder), dtype="auto")
    choices = ModelChoices(
        device=Choice(device, "as for the adapter"),
        dtype=Choice(model.dtype, "as saved"),
        attention=Choice(model.config._attn_implementation, "the default of transformers"),
        four_bit=Choice(False, "as saved"),
    )
    model.requires_grad_(False)
    return BaseModel(model.to(device).eval(), load_tokenizer(str(folder)), choices)
